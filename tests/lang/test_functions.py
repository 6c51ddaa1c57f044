"""The operations that Python has no word for, as plain Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from tracklayer.lang import (
    Array,
    Host,
    Object,
    acquire,
    address_of,
    array,
    ask,
    comptime,
    consult,
    go,
    null,
    pointer,
    pointer_at,
    publish,
    release,
    struct,
    take_error,
    tell,
    typed,
    u8,
    u32,
    u64,
    unlikely,
)  # fmt: skip
from tracklayer.lang.functions import Typed


@struct
class Program:
    host: Host
    function: Object
    words: Array[u32] = array(4)


def test_a_mark_changes_nothing() -> None:
    def double(x: int) -> int:
        return 2 * x

    for mark, outline, cold in (
        (typed, False, False),
        (typed(outline=True), True, False),
        (typed(cold=True), True, True),
    ):
        assert mark(double) is double
        kind: Typed = double.__typed__  # type: ignore[attr-defined]
        assert (kind.outline, kind.cold) == (outline, cold)
    assert double(4) == 8
    assert comptime(double) is double


def test_ask_gives_what_the_callable_returns() -> None:
    program = Program()
    assert ask(program.host, lambda a, b: a + b, 9, 3, 4) == 7
    assert consult(program.host, lambda: True, 9) == 1
    assert take_error(program.host) is None


class Index:
    def __index__(self) -> int:
        return 42


def test_ask_takes_what_counts_as_an_integer() -> None:
    assert ask(Program().host, lambda: Index(), 0) == 42


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda: "text", TypeError),
        (lambda: None, TypeError),
        (lambda: 1.5, TypeError),
        (lambda: 1 << 63, OverflowError),
        (lambda: 1 // 0, ZeroDivisionError),
        (lambda: exec("raise KeyboardInterrupt"), KeyboardInterrupt),
    ],
)
def test_an_error_is_kept_and_the_default_returned(function: Callable[[], Any], error: type[BaseException]) -> None:
    host = Program().host
    assert ask(host, function, 5) == 5
    assert host.failed == 1
    calls: list[int] = []
    assert ask(host, lambda: calls.append(1) or 3, 6) == 6
    tell(host, lambda: calls.append(2))
    assert not calls
    kept = take_error(host)
    assert type(kept) is error
    assert host.failed == 0
    assert ask(host, lambda: 3, 6) == 3
    assert take_error(host) is None


def test_tell_hands_objects_on_and_drops_the_result() -> None:
    program, seen = Program(), []
    tell(program.host, lambda thing: seen.append(thing), "thing")
    assert seen == ["thing"]
    tell(program.host, lambda: 1 // 0)
    assert type(take_error(program.host)) is ZeroDivisionError


def test_unlikely_is_the_condition() -> None:
    assert unlikely(5) is True
    assert unlikely(0) is False


def test_go_exists_in_generated_code_only() -> None:
    with pytest.raises(TypeError, match="compiled"):
        go(null(u8))


def test_addresses() -> None:
    program = Program()
    words = pointer(program.words, 1)
    assert address_of(words) == ctypes.addressof(program.words) + 4
    assert address_of(null(u8)) == 0
    again = pointer_at(address_of(words), u32)
    again[0] = 7
    assert program.words[1] == 7


def test_locks_are_words() -> None:
    program = Program()
    lock = pointer(program.words, 2)
    acquire(lock)
    assert program.words[2] == 1
    release(lock)
    assert program.words[2] == 0
    publish(pointer_at(address_of(pointer(program.words)), u64), 1 << 40)
    assert program.words[1] == 1 << 8
