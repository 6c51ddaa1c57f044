"""Callbacks: Python from generated code, with every kind of value, and what happens when Python raises."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracklayer.native.assembler import Assembler
from tracklayer.native.functions import callback
from tracklayer.native.operands import qword, rax, rbx, rcx, rdi, rdx, rsi, rsp
from tracklayer.native.signatures import SignatureError

X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")


def through(function: Callable[..., Any], inner: str, outer: str | None = None, **options: Any) -> Any:
    """A builtin that passes its arguments on to a callback and gives back the result."""
    a = Assembler("through")
    a.prologue()
    a.call(a.callback(function, inner))  # passes on
    a.epilogue()
    return a.function(outer or inner, **options)


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if text in line and "line_of" not in line]
    return number


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("i8", (-128, 127)),
        ("u8", (0, 255)),
        ("i16", (-32768, 32767)),
        ("u16", (65535,)),
        ("i32", (-(2**31), 2**31 - 1)),
        ("u32", (2**32 - 1,)),
        ("i64", (-(2**63), 2**63 - 1, 0, 5, -5, 2**30)),
        ("u64", (2**64 - 1, 2**63)),
        ("f64", (1.5, -0.0, 1e300)),
        ("f32", (1.5, -2.25)),
        ("bool", (True, False)),
        ("ptr", (0, 2**64 - 1)),
        ("object", (None, "x", [1])),
    ],
)
def test_values_of_every_kind_go_in_and_out(kind: str, values: tuple[Any, ...]) -> None:
    heard = []

    def echo(x: Any) -> Any:
        heard.append(x)
        return x

    f = through(echo, f"{kind}(x: {kind})")
    assert [f(value) for value in values] == list(values)
    assert heard == list(values)
    assert [type(x) for x in heard] == [type(value) for value in values]


def test_three_integers_in_and_two_out() -> None:
    def three(x: int, y: int, z: int) -> tuple[int, int]:
        return y + z, x + 1

    a = Assembler()
    a.prologue()
    a.mov(rsi, 1)
    a.mov(rdx, 2)
    a.call(a.callback(three, "(i64, i64)(i64, i64, i64)"))
    a.epilogue()
    assert a.function("(i64, i64)(x: i64)")(10) == (3, 11)


def test_pairs_of_every_kind_come_out_of_callbacks() -> None:
    thing = object()
    before = sys.getrefcount(thing)
    for kinds, value in (("(f64, f64)", (0.5, 1.5)), ("(i64, f64)", (7, 1.5)), ("(object, i64)", (thing, 5))):
        f = through(lambda value=value: value, f"{kinds}()")
        for _ in range(10):
            assert f() == value
    for wrong, message in (
        ([1, 2], "a tuple of 2, not list"),
        ((1, 2, 3), "a tuple of 2, not tuple of 3"),
        ((1, "x"), "as its second result an integer, not str"),
        ((1 << 64, 1), "as its first result i64, from"),
    ):
        with pytest.raises((TypeError, OverflowError), match=message):
            through(lambda wrong=wrong: wrong, "(i64, i64)()")()
    del f, value
    gc.collect()
    assert sys.getrefcount(thing) == before


def test_more_arguments_than_registers() -> None:
    seen: list[tuple[Any, ...]] = []
    integers = ", ".join("i64" for _ in range(9))
    floats = ", ".join("f64" for _ in range(10))
    a = Assembler()
    a.jmp(a.callback(lambda *x: seen.append(x), f"void({integers}, {floats})"))
    a.function(f"void({integers}, {floats})")(*range(9), *(i / 2 for i in range(10)))
    assert seen == [(*range(9), *(i / 2 for i in range(10)))]


def test_results_are_checked_like_arguments() -> None:
    with pytest.raises(TypeError, match=r"<lambda>\(\) must return an integer, not str"):
        through(lambda: "x", "i64()")()
    with pytest.raises(OverflowError, match=r"must return u8, from 0 to 255, not 256"):
        through(lambda: 256, "u8()")()
    with pytest.raises(TypeError, match="must return a number, not NoneType"):
        through(lambda: None, "f64()")()
    assert through(lambda: "anything", "void()")() is None


def test_what_is_no_callback() -> None:
    with pytest.raises(TypeError, match="not int"):
        callback(5, "void()")  # type: ignore[arg-type]
    with pytest.raises(SignatureError, match="no buffers"):
        callback(print, "void(u8[])")


@pytest.mark.parametrize("function", [max, [].append, functools.partial(print, end=""), str, lambda x: x])
def test_any_callable_will_do(function: Callable[..., Any]) -> None:
    through(function, "object(x: object)" if function is not max else "object(x: object, y: object)")


def test_callbacks_serve_c_functions() -> None:
    """qsort from the C library, comparing in Python."""

    def compare(x: int, y: int) -> int:
        one, other = ctypes.c_int.from_address(x).value, ctypes.c_int.from_address(y).value
        return (one > other) - (one < other)

    made = callback(compare, "i32(ptr, ptr)")
    numbers = (ctypes.c_int * 8)(5, 3, 8, 1, 9, 2, 7, 0)
    a = Assembler()
    a.prologue()
    a.mov(rdi, a.buffer(numbers))
    a.mov(rsi, 8)
    a.mov(rdx, 4)
    a.mov(rcx, made.unchecked)
    a.call(a.c_function("qsort"))
    a.epilogue()
    a.function("void()")()
    assert list(numbers) == [0, 1, 2, 3, 5, 7, 8, 9]


def test_a_callback_in_a_function_without_the_gil_takes_it() -> None:
    def one_more(x: int) -> int:
        if x < 0:
            raise ArithmeticError(x)
        return x + 1

    a = Assembler()
    a.prologue(rbx)
    a.mov(rbx, 1000)
    a.mov(rax, rdi)
    a.label("next")
    a.mov(rdi, rax)
    a.call(a.callback(one_more, "i64(i64)", nogil=True))
    a.dec(rbx)
    a.jnz("next")
    a.epilogue()
    count = a.function("i64(x: i64)", nogil=True)
    results: list[int] = []
    threads = [threading.Thread(target=lambda i=i: results.append(count(i))) for i in range(4)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [1000, 1001, 1002, 1003]
    with pytest.raises(ArithmeticError):
        count(-500)


# ----------------------------------------------------------------------------------------------------------- exceptions


class Odd(BaseException):
    """No Exception: nobody may swallow it."""


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, Odd])
def test_exceptions_come_out_at_once_and_the_function_works_afterwards(kind: type[BaseException]) -> None:
    raises = True

    def maybe(x: int) -> int:
        if raises:
            raise kind("mine")
        return x

    a = Assembler("out")
    a.prologue()
    a.call(a.callback(maybe, "i64(i64)"))
    a.label("after")
    a.add(rax, 100)
    a.epilogue()
    f = a.function("i64(x: i64)")
    for _ in range(3):
        with pytest.raises(kind, match="mine"):
            f(1)
    raises = False
    assert f(1) == 101


def test_the_traceback_names_generated_functions_and_their_source_lines() -> None:
    def fail() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError) as caught:
        through(fail, "void()")()
    entries = traceback.extract_tb(caught.value.__traceback__)[-3:]
    assert [entry.name for entry in entries][1:] == ["through", "fail"]
    assert entries[1].filename == __file__
    assert entries[1].lineno == line_of("# passes on")


def test_eight_deep_through_both_sides() -> None:
    """Python, code, Python, code ...: the exception that comes out is the one that went in, its traceback complete."""
    error = ValueError("from the depth")

    def bottom() -> None:
        raise error

    function: Callable[[], Any] = bottom
    for i in range(8):

        def level(inner: Callable[[], Any] = function) -> None:
            inner()

        level.__name__ = f"level{i}"
        function = through(level, "void()")
    with pytest.raises(ValueError, match="from the depth") as caught:
        function()
    assert caught.value is error
    names = [entry.name for entry in traceback.extract_tb(error.__traceback__)]
    assert names.count("through") == 8 and names.count("level") == 8 and names[-1] == "bottom"
    assert names[-17:-1] == ["through", "level"] * 8


def test_without_a_frame_the_exception_waits_for_the_return() -> None:
    called = []

    def fail(x: int) -> int:
        called.append(x)
        raise KeyError(x)

    a = Assembler("frameless")
    a.push(rdi)
    a.call(a.callback(fail, "i64(i64)"))
    a.pop(rdi)
    a.push(rdi)
    a.call(a.callback(fail, "i64(i64)"))  # not called: an exception waits
    a.pop(rdi)
    a.mov(rax, 5)
    a.ret()
    f = a.function("i64(x: i64)")
    with pytest.raises(KeyError):
        f(7)
    assert called == [7]


def test_an_exception_in_a_loop_leaves_it() -> None:
    counted = 0

    def count() -> bool:
        nonlocal counted
        counted += 1
        if counted == 1000:
            raise StopIteration
        return True

    a = Assembler("loop")
    a.prologue()
    a.label("again")
    a.call(a.callback(count, "bool()"))
    a.jmp("again")
    f = a.function("void()")
    with pytest.raises(StopIteration):
        f()
    assert counted == 1000


def test_an_object_result_is_dropped_where_an_exception_waits() -> None:
    thing = object()
    before = sys.getrefcount(thing)

    def fail() -> None:
        raise KeyError

    a = Assembler("frameless")
    a.sub(rsp, 8)
    a.call(a.callback(fail, "void()"))
    a.add(rsp, 8)
    a.mov(rax, a.object(thing))
    a.inc(qword[rax])
    a.ret()
    f = a.function("object()")
    with pytest.raises(KeyError):
        f()
    del a, f
    gc.collect()
    assert sys.getrefcount(thing) == before


# ----------------------------------------------------------------------------------------------------------- references


def test_the_code_owns_its_callables() -> None:
    class Callee:
        def __call__(self) -> int:
            return 5

    callee = Callee()
    alive = weakref.ref(callee)
    f = through(callee, "i64()")
    del callee
    gc.collect()
    assert f() == 5 and alive() is not None
    del f
    gc.collect()
    assert alive() is None


def test_a_cycle_through_a_callback_is_collected() -> None:
    class Node:
        f: Any

        def call(self) -> int:
            return 1

    node = Node()
    node.f = through(node.call, "i64()")
    assert node.f() == 1
    alive = weakref.ref(node)
    del node
    gc.collect()
    assert alive() is None


def test_references_are_equal_after_a_million_calls() -> None:
    thing = object()

    def back(number: int, real: float, x: object, truth: bool) -> object:
        return x

    f = through(back, "object(i64, f64, object, bool)")
    f(2**40, 0.5, thing, True)
    before = [sys.getrefcount(x) for x in (thing, back, f, True, None)]
    blocks = sys.getallocatedblocks()
    for i in range(1_000_000):
        f(2**40 + i, 0.5, thing, True)
    assert [sys.getrefcount(x) for x in (thing, back, f, True, None)] == before
    assert abs(sys.getallocatedblocks() - blocks) < 100


def test_references_are_equal_after_failures() -> None:
    thing = object()

    def fail(number: int, x: object) -> int:
        if number % 3 == 0:
            raise KeyError(x)
        return "no number" if number % 3 == 1 else 1 << 70  # type: ignore[return-value]

    f = through(fail, "i64(i64, object)")

    def run(times: int) -> None:
        for i in range(times):
            with pytest.raises((KeyError, TypeError, OverflowError)):
                f(2**40 + i, thing)

    run(10)
    gc.collect()
    before = sys.getrefcount(thing), sys.getrefcount(fail)
    run(2000)
    gc.collect()
    assert (sys.getrefcount(thing), sys.getrefcount(fail)) == before


def test_integers_that_python_keeps_ready_are_the_same_objects_with_exact_counts() -> None:
    """From -5 to 256 an int is one that CPython keeps, both ways; around them it is a new one."""
    got: list[int] = []
    a = Assembler("both_ways")
    a.prologue(rbx)
    a.mov(rbx, rdi)
    a.call(a.callback(got.append, "void(x: i64)"))
    a.mov(rax, rbx)
    a.epilogue()
    f = a.function("i64(x: i64)")
    for value in [*range(-8, 262), 1 << 40, -(1 << 40)]:
        assert f(value) == value == got[-1]
        assert (got[-1] is f(value)) == (-5 <= value <= 256)
    before = sys.getrefcount(7)
    got.clear()
    for _ in range(1000):
        f(7)
    got.clear()
    assert abs(sys.getrefcount(7) - before) < 50


def test_references_are_taken_and_given_back_by_two_methods() -> None:
    class Thing:
        pass

    a = Assembler("hold")
    a.mov(rax, rdi)
    a.incref(rax)
    a.ret()
    hold = a.function("object(x: object)")
    a = Assembler("drop")
    a.prologue()
    a.mov(rax, rdi)
    a.decref(rax)
    a.epilogue()
    drop = a.function("void(x: object)")
    thing = Thing()
    before = sys.getrefcount(thing)
    same = hold(thing)
    assert same is thing
    del same
    after = sys.getrefcount(thing)
    assert after == before
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    after = sys.getrefcount(thing)
    assert after == before + 1
    drop(thing)
    after = sys.getrefcount(thing)
    assert after == before
    gone = weakref.ref(thing)
    hold(None), hold(True), hold(1), hold("text")
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    address = id(thing)
    del thing
    assert gone() is not None
    a = Assembler("drop_last")
    a.prologue()
    a.mov(rdi, address)
    a.decref(rdi)
    a.epilogue()
    a.function("void()")()
    assert gone() is None
