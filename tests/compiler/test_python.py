"""Generated code asks Python: results, exceptions, references, and threads."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tracklayer.compiler.errors import CompileError
from tracklayer.compiler.program import Program
from tracklayer.lang import Host, Object, ask, consult, i64, struct, take_error, tell, typed, u8, u64

from .harness import PythonCaller, compiled


@struct
class Owner:
    host: Host
    function: Object
    thing: Object
    other: Object
    count: u64


@typed
def asks(o: Owner, a: i64, b: i64) -> i64:
    first = ask(o.host, o.function, -1, a, b)
    o.count += 1
    second = consult(o.host, o.function, -2, b, a)
    return i64((first & 0xFFFFFFFF) * 3 + (second & 0xFFFFFFFF) * 5)


@typed
def asks_once(o: Owner, a: i64, b: i64) -> i64:
    return ask(o.host, o.function, b, a)


@typed
def tells(o: Owner, a: i64, b: i64) -> i64:
    tell(o.host, o.function, o.thing, o.other)
    return i64(a + (o.count & 0xFF))


@typed
def many(o: Owner, a: i64, b: i64) -> i64:
    return ask(o.host, o.function, 0, 1, 2, 3, 4, 5, 6, a, b)


@typed
def asks_in_a_loop(o: Owner, a: i64, b: i64) -> i64:
    total: u64 = 0
    while total < 1000000 and not o.host.failed:
        total = u64(total + 1)
        o.count += ask(o.host, o.function, 0, i64(total & 0xFFFF))
        if total >= 200:
            return 0
    return 1


def run(function: Callable[..., Any], callable: Any, a: int = 0, b: int = 0, **fields: Any) -> tuple[Any, int]:
    """The function compiled, on a new owner; the owner and the result."""
    owner: Any = Owner()
    owner.function = callable
    for name, value in fields.items():
        setattr(owner, name, value)
    return owner, PythonCaller(function)(owner, owner.host, a, b)


@pytest.mark.parametrize("a", [0, -1, (1 << 63) - 1, -(1 << 63), 1 << 40])
def test_integers_go_both_ways(a: int) -> None:
    seen: list[tuple[int, int]] = []

    def function(x: int, y: int) -> int:
        seen.append((x, y))
        return i64(x - y)

    owner, result = run(asks, function, a, 7)
    plain = Owner()
    plain.function = function
    assert result == asks(plain, a, 7)
    assert seen == [(a, 7), (7, a)] * 2
    assert owner.count == 1


def test_eight_arguments_and_no_more() -> None:
    _, result = run(many, lambda *xs: sum(x * 10**n for n, x in enumerate(xs)), 7, 8)
    assert result == 87654321

    @typed
    def nine(o: Owner, a: i64) -> i64:
        return ask(o.host, o.function, 0, 1, 2, 3, 4, 5, 6, 7, 8, a)

    with pytest.raises(CompileError, match="9 arguments for Python; at most 8"):
        Program().function("f", nine)


class Index:
    def __index__(self) -> int:
        return 42


@pytest.mark.parametrize(("result", "expected"), [(True, 1), (Index(), 42), (-1, -1), (-(1 << 63), -(1 << 63))])
def test_what_counts_as_an_integer(result: Any, expected: int) -> None:
    owner, got = run(asks_once, lambda x: result, 1, 5)
    assert (got, owner.host.failed) == (expected, 0)
    plain = Owner()
    plain.function = lambda x: result
    assert asks_once(plain, 1, 5) == expected


def complain(x: int) -> int:
    raise LookupError("no such thing")


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (complain, LookupError),
        (lambda x: "text", TypeError),
        (lambda x: None, TypeError),
        (lambda x: 1 << 63, OverflowError),
        (lambda: 3, TypeError),
        (lambda x: exec("raise KeyboardInterrupt"), KeyboardInterrupt),
        (lambda x: exec("raise SystemExit(3)"), SystemExit),
        (42, TypeError),
    ],
)
def test_an_exception_is_kept_once_with_its_traceback(function: Any, error: type[BaseException]) -> None:
    owner, result = run(asks_once, function, 1, 99)
    assert result == 99
    assert owner.host.failed == 1
    kept = take_error(owner.host)
    assert type(kept) is error
    assert owner.host.failed == 0
    assert take_error(owner.host) is None
    if function is complain:
        assert kept is not None
        assert "no such thing" in "".join(traceback.format_exception(kept))
        assert "in complain" in "".join(traceback.format_tb(kept.__traceback__))


def test_nothing_is_called_while_an_error_is_kept() -> None:
    calls: list[int] = []

    def function(x: int, y: int) -> int:
        calls.append(x)
        raise ValueError(x)

    owner, result = run(asks, function, 1, 2)
    assert calls == [1]
    assert result == i64((-1 & 0xFFFFFFFF) * 3 + (-2 & 0xFFFFFFFF) * 5)
    assert str(take_error(owner.host)) == "1"


def test_no_reference_is_lost_or_kept() -> None:
    class Thing:
        pass

    thing, other, results = Thing(), Thing(), [object() for _ in range(10)]
    owner: Any = Owner()
    owner.thing, owner.other = thing, other

    def function(a: Any, b: Any) -> Any:
        assert a is thing
        assert b is other
        return results[0]

    owner.function = function
    caller = PythonCaller(tells)
    before = [sys.getrefcount(x) for x in (thing, other, function, results[0])]
    for _ in range(500):
        caller(owner, owner.host, 1)
    assert [sys.getrefcount(x) for x in (thing, other, function, results[0])] == before

    def large(x: int) -> int:
        return x + (1 << 50)

    def raising(x: int) -> int:
        raise error

    error = ValueError("one and the same")
    caller = PythonCaller(asks_once)
    for callable in (large, raising):
        owner.function = callable
        counts = (sys.getrefcount(callable), sys.getrefcount(error))
        for _ in range(200):
            caller(owner, owner.host, 1 << 40)
            take_error(owner.host)
        error.__traceback__ = None
        gc.collect()
        assert (sys.getrefcount(callable), sys.getrefcount(error)) == counts


def test_a_kept_exception_dies_when_it_is_taken_and_dropped() -> None:
    class Complaint(Exception):
        pass

    def function(x: int) -> int:
        raise Complaint

    owner, _ = run(asks_once, function, 1)
    kept = take_error(owner.host)
    assert kept is not None
    seen = weakref.ref(kept)
    kept = None
    gc.collect()
    assert seen() is None


def test_tell_keeps_what_is_raised() -> None:
    owner, result = run(tells, lambda a, b: 1 // 0, 4, thing=1, other=2)
    assert result == 4
    assert type(take_error(owner.host)) is ZeroDivisionError


def test_the_callable_may_change_what_memory_holds() -> None:
    owner: Any = Owner()
    owner.thing = owner.other = 0

    def function(a: Any, b: Any) -> None:
        owner.count = 0x55
        gc.collect()

    owner.function = function
    assert PythonCaller(tells)(owner, owner.host, 1) == 0x56


def test_calls_nest() -> None:
    inner: Any = Owner()
    inner.function = lambda x: x * 2
    caller = PythonCaller(asks_once)
    owner: Any = Owner()
    owner.function = lambda x: caller(inner, inner.host, x + 1) + 1
    assert caller(owner, owner.host, 20) == 43


def test_threads_take_turns() -> None:
    caller = PythonCaller(asks_in_a_loop)
    owners = []

    def work() -> None:
        owner: Any = Owner()
        owner.function = lambda x: x
        owners.append(owner)
        caller(owner, owner.host)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [owner.count for owner in owners] == [sum(range(1, 201))] * 4


def test_only_integers_within_64_bits_are_handed_on() -> None:
    @typed
    def wide(o: Owner, a: u64) -> i64:
        return ask(o.host, o.function, 0, a)

    with pytest.raises(CompileError, match=r"Python is given an integer in 0\.\.18446744073709551615"):
        Program().function("f", wide)


def test_wrong_arguments_are_refused() -> None:
    @typed
    def no_function(o: Owner, a: i64) -> i64:
        return ask(o.host, o.count, 0, a)

    @typed
    def no_object(o: Owner, a: u8) -> None:
        tell(o.host, o.function, a)

    for function, problem in ((no_function, "takes a Host, an Object field"), (no_object, "hands on Object fields")):
        with pytest.raises(CompileError, match=problem):
            compiled(function)
