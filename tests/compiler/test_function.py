"""Typed functions as builtins: what Python passes and gets back, held against the same functions in plain Python."""

from __future__ import annotations

import array
import inspect
import math
import pickle
import pydoc
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracklayer import CompileError, function, original
from tracklayer.lang import (
    Array,
    Buffer,
    MutBuffer,
    Object,
    Ptr,
    ask,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    struct,
    typed,
    u8,
    u16,
    u32,
    u64,
)
from tracklayer.lang import array as elements

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="builtins of typed functions are known for Linux only")


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives: its result, or the kind of exception."""
    try:
        result = function(*arguments)
    except Exception as error:
        return type(error)
    return ("nan",) if isinstance(result, float) and math.isnan(result) else (result, type(result))


def same(made: Any, *arguments: Any) -> None:
    """The builtin and the Python function do the same."""
    assert outcome(made, *arguments) == outcome(original(made), *arguments), arguments


# ------------------------------------------------------------------------------------------------------ a real builtin


@function
def add(left: i64, right: i32) -> i64:
    """The sum of two integers."""
    return i64(left + right)


def test_it_is_a_builtin() -> None:
    assert type(add) is type(len)
    assert add(40, 2) == 42
    assert add.__name__ == add.__qualname__ == "add"
    assert add.__doc__ == "The sum of two integers."
    assert add.__module__ == __name__
    assert str(inspect.signature(add)) == "(left, right, /)"
    assert "The sum of two integers." in pydoc.render_doc(add)
    assert repr(add) == "<built-in function add>"
    assert original(add)(40, 2) == 42 and not isinstance(original(add), type(len))
    with pytest.raises(TypeError, match="not made by tracklayer"):
        original(len)


def test_it_is_pickled_by_reference(tmp_path: Path) -> None:
    (tmp_path / "pickled.py").write_text(
        "from tracklayer import function\nfrom tracklayer.lang import i64\n"
        "@function\ndef twice(x: i64) -> i64:\n    return i64(x * 2)\n"
    )
    program = "import pickle, pickled; assert pickle.loads(pickle.dumps(pickled.twice)) is pickled.twice"
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=tmp_path)
    with pytest.raises(pickle.PicklingError):  # not to be found in its module under its name
        pickle.dumps(function(original(LOCAL)))


def _local(x: i64) -> i64:
    return x


LOCAL = function(_local)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((), TypeError, r"add\(\) takes exactly 2 arguments \(0 given\)"),
        ((1, 2, 3), TypeError, r"takes exactly 2 arguments \(3 given\)"),
        (("1", 2), TypeError, "argument 'left' must be an integer, not str"),
        ((1.0, 2), TypeError, "argument 'left' must be an integer, not float"),
        ((1 << 63, 2), OverflowError, "argument 'left' must be i64"),
        ((1, 1 << 31), OverflowError, "argument 'right' must be i32, from -2147483648 to 2147483647"),
    ],
)
def test_arguments_are_checked_like_a_builtins(arguments: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        add(*arguments)


def test_a_parameter_that_a_builtin_cannot_have_is_refused() -> None:
    with pytest.raises(TypeError, match="without defaults"):

        @function
        def f(x: i64 = 3) -> i64:
            return x

    with pytest.raises(TypeError, match="positional"):

        @function
        def g(*x: i64) -> i64:
            return 0

    for wrong in (len, add, 3, type):
        with pytest.raises(TypeError, match=r"function\(\) takes a Python function"):
            function(wrong)  # type: ignore[type-var]


def test_what_cannot_be_compiled_is_said_at_the_first_call_or_at_once() -> None:
    @function
    def late(x: i64) -> i64:
        return [x]  # type: ignore[return-value]

    for _ in range(2):
        with pytest.raises(CompileError, match=r"test_function.py:\d+:16: in .*late: List is not in the typed subset"):
            late(1)
    with pytest.raises(CompileError, match="parameter x has no annotation"):

        @function(eager=True)
        def early(x) -> i64:  # type: ignore[no-untyped-def]
            return 1

    with pytest.raises(CompileError, match="dict, which Python cannot pass"):

        @function(eager=True)
        def strange(x: dict) -> i64:  # type: ignore[type-arg]
            return 1


# -------------------------------------------------------------------------------------------------------------- numbers


@function
def integers(a: i8, b: u8, c: i16, d: u16, e: i32, f: u32, g: i64, h: u64) -> i64:
    return i64((a ^ b) + c - d + (e & f) + (g >> 3) + (h >> 5))


NUMBERS = (i8, u8, i16, u16, i32, u32, i64, u64)


@settings(deadline=None)
@given(st.tuples(*(st.integers(kind.lo, kind.hi) for kind in NUMBERS)))  # type: ignore[attr-defined]
def test_integers_of_every_width(values: tuple[int, ...]) -> None:
    same(integers, *values)


@function
def floor_division(a: i64, b: i64) -> i64:
    return i64(a // b)


@function
def remainder(a: i64, b: i64) -> i64:
    return a % b


@function
def small_division(a: u8, b: i8) -> tuple[i64, i64]:
    return a // b, a % b


@settings(deadline=None, max_examples=300)
@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-9, 9))
def test_division_of_integers(a: int, b: int) -> None:
    same(floor_division, a, b)
    same(remainder, a, b)
    same(small_division, a & 255, max(-128, min(127, b)))


def test_the_least_integer_divided_by_minus_one_is_no_trap() -> None:
    least = -(1 << 63)
    assert floor_division(least, -1) == least == original(floor_division)(least, -1)
    assert remainder(least, -1) == 0
    with pytest.raises(ZeroDivisionError):
        floor_division(1, 0)


@function
def arithmetic(x: f64, y: float, n: i64) -> f64:
    return (x + y) * n - x / y + (-x if x < y else abs(y)) + x**2.0


@function
def float_division(x: f64, y: f64) -> tuple[f64, f64]:
    return x // y, x % y


@function
def compared(x: f64, y: f64, n: i32) -> i64:
    return (x < y) + 2 * (x <= y) + 4 * (x == y) + 8 * (x != y) + 16 * (x > y) + 32 * (x >= n) + 64 * bool(x)


@function
def extremes(x: f64, y: f64, z: f64) -> tuple[f64, f64]:
    return min(x, y, z), max(x, y, z)


@function
def single(x: f64) -> f64:
    y = f32(x)
    return y * f32(0.1)


@function
def whole(x: f64) -> i64:
    return int(x)


@function
def floor_and_ceil(x: f64) -> tuple[i64, i64]:
    return math.floor(x), math.ceil(x)


@function
def nearest(x: f64) -> i64:
    return round(x)


FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, 1e300, -1e300, 5e-324, 2.0**53])


@settings(deadline=None, max_examples=400)
@given(FLOATS, FLOATS, FLOATS, st.integers(-(1 << 31), (1 << 31) - 1))
def test_floats_are_pythons_to_the_last_bit(x: float, y: float, z: float, n: int) -> None:
    same(arithmetic, x, y, n)
    assert repr(outcome(float_division, x, y)) == repr(outcome(original(float_division), x, y))
    assert repr(outcome(extremes, x, y, z)) == repr(outcome(original(extremes), x, y, z))
    same(compared, x, y, n)
    if abs(x) < 1e38:
        same(single, x)
    if not abs(x) >= 2.0**63:
        for made in (whole, floor_and_ceil, nearest):
            same(made, x)


def test_a_float_without_an_integer_of_64_bits_is_an_error() -> None:
    for made in (whole, nearest):
        with pytest.raises(OverflowError, match="from -9223372036854775808"):
            made(1e19)
        with pytest.raises(ValueError, match="cannot convert float NaN"):
            made(math.nan)
        with pytest.raises(OverflowError, match="cannot convert float infinity"):
            made(math.inf)


@function
def mathematics(x: f64, y: f64) -> f64:
    return math.sin(x) + math.atan2(y, x) + math.copysign(y, x) + math.fabs(x) + math.exp(-abs(y)) + math.tanh(y)


@function
def root(x: f64) -> f64:
    return math.sqrt(x)


@function
def logarithm(x: f64) -> f64:
    return math.log(x)


@function
def powers(x: f64, y: f64) -> f64:
    return math.pow(x, y)


@function
def exponential(x: f64) -> f64:
    return math.exp(x)


@function
def kinds(x: f64) -> i64:
    return math.isnan(x) + 2 * math.isinf(x) + 4 * math.isfinite(x)


@settings(deadline=None, max_examples=300)
@given(FLOATS, FLOATS)
def test_mathematics_is_pythons(x: float, y: float) -> None:
    for made in (mathematics, powers):
        same(made, x, y)
    for made in (root, logarithm, exponential, kinds):
        same(made, x)


@function
def truth(x: bool, y: i64) -> bool:
    return not x and y > 3


def test_bools_are_bools() -> None:
    for x in (False, True):
        for y in (0, 4):
            assert truth(x, y) is original(truth)(x, y)
    assert truth([], 9) is True


# --------------------------------------------------------------------------------------------------------------- loops


@function
def gcd(a: u64, b: u64) -> u64:
    while b != 0:
        a, b = b, a % b
    return a


@function
def triangle(n: i64, step: i32) -> i64:
    total: i64 = 0
    for i in range(n):
        if i % 7 == 3:
            continue
        if i > 50:
            break
        for j in range(i, -3, -2):
            total = i64(total + j * step)
    return total


@settings(deadline=None)
@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1), st.integers(-3, 70), st.integers(-5, 5))
def test_loops_over_ranges_that_are_not_known(a: int, b: int, n: int, step: int) -> None:
    same(gcd, a, b)
    same(triangle, n, step)


@typed
def square(x: f64) -> f64:
    return x * x


@typed(outline=True)
def collatz(n: u64) -> u32:
    steps: u32 = 0
    while n != 1 and steps < 1000:
        n = u64(3 * n + 1) if n & 1 else n >> 1
        steps += 1
    return steps


@function
def longest(limit: u32) -> u32:
    best: u32 = 0
    for n in range(1, limit):
        best = max(best, collatz(n))
    return best


@function
def fibonacci(n: u8) -> i64:
    if n < 2:
        return n
    return i64(fibonacci(n - 1) + fibonacci(n - 2))


@function
def is_even(n: u32) -> bool:
    return True if n == 0 else is_odd(n - 1)


@function
def is_odd(n: u32) -> bool:
    return False if n == 0 else is_even(n - 1)


def test_functions_call_each_other_and_themselves() -> None:
    same(longest, 300)
    same(fibonacci, 15)
    for n in (0, 7, 100):
        same(is_even, n)
        same(is_odd, n)


# -------------------------------------------------------------------------------------------------------------- buffers


@function
def total(data: Buffer[f64]) -> f64:
    result = 0.0
    for value in data:
        result += square(value)
    return result


@function
def pick(data: Buffer[i32], index: i64) -> i32:
    return data[index]


@function
def scale(data: MutBuffer[f64], factor: f64) -> None:
    for i in range(len(data)):
        data[i] *= factor


@function
def histogram(text: Buffer[u8], counts: MutBuffer[u32]) -> u64:
    for byte in text:
        counts[byte] = u32(counts[byte] + 1)
    return len(text)


@function
def first_elements(p: Ptr[i16], n: u32) -> i64:
    result: i64 = 0
    for i in range(n):
        result = i64(result + p[i])
    return result


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False), max_size=20), st.floats(allow_nan=False))
def test_buffers_of_floats(values: list[float], factor: float) -> None:
    data = array.array("d", values)
    same(total, data)
    copy, other = array.array("d", values), np.array(values, float)
    scale(data, factor)
    original(scale)(copy, factor)
    scale(other, factor)
    assert data.tobytes() == copy.tobytes() == other.tobytes() or any(map(math.isnan, data))


@settings(deadline=None)
@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1), max_size=5), st.integers(-7, 7))
def test_indices_count_from_both_ends_and_never_leave_the_buffer(values: list[int], index: int) -> None:
    same(pick, array.array("i", values), index)


def test_buffers_are_worked_on_in_place_and_let_go() -> None:
    counts = array.array("I", bytes(1024))
    assert histogram(b"hello", counts) == 5
    assert counts[ord("l")] == 2
    counts.append(0)  # nothing exports it any more
    assert first_elements(np.array([1, -2, 3], np.int16), 3) == 2
    data = array.array("I", [0])
    with pytest.raises(IndexError, match="index out of range"):
        histogram(b"\0\1", data)
    data.append(1)
    with pytest.raises(TypeError, match="argument 'factor'"):
        scale(array.array("d"), "x")


@pytest.mark.parametrize(
    ("made", "given", "kind", "text"),
    [
        (total, array.array("f"), TypeError, "argument 'data' must be a buffer of f64; .* are 'f'"),
        (total, np.zeros((4, 4)).T[::2], ValueError, "contiguous; this ndarray is not"),
        (total, [1.0], TypeError, "must be a buffer of f64, not list"),
        (lambda x: scale(x, 1.0), np.broadcast_to(1.0, 3), TypeError, "writable buffer of f64; .* read-only"),
        (lambda x: histogram(b"", x), np.zeros(3, np.int32), TypeError, "writable buffer of u32"),
    ],
)
def test_buffers_of_another_kind_are_refused(made: Any, given: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        made(given)


def test_a_buffer_that_is_only_read_is_not_written() -> None:
    @function
    def clear(data: Buffer[u8]) -> None:
        data[0] = 0  # type: ignore[index]

    with pytest.raises(CompileError, match="this buffer is only read"):
        clear(b"x")

    @function
    def store(data: MutBuffer[u8], x: i64) -> None:
        data[0] = x

    with pytest.raises(CompileError, match="an element is declared u8, the value is an integer in"):
        store(bytearray(1), 3)


# -------------------------------------------------------------------------------------------------------------- structs


@struct
class Point:
    """A place, and where it has been."""

    x: f64
    y: f32
    steps: u32
    trail: Array[f32] = elements(4)


@struct
class Further(Point):  # type: ignore[misc]
    """Another structure, with another layout."""

    z: f64


@function
def move(p: Point, dx: f64, dy: f64) -> f64:
    p.x += dx
    p.y += dy
    p.trail[p.steps & 3] = p.x
    p.steps += 1
    return math.sqrt(p.x * p.x + p.y * p.y)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=6))
def test_structs_are_passed_by_address(moves: list[tuple[float, float]]) -> None:
    ours, theirs = Point(), Point()
    for dx, dy in moves:
        assert move(ours, dx, dy) == original(move)(theirs, dx, dy)
        assert bytes(ours) == bytes(theirs)  # type: ignore[call-overload]


@struct
class Listener:
    """Whom to tell, and what was said."""

    whom: Object
    told: u32


@function
def say(listener: Listener, text: object) -> object:
    listener.told += 1
    if listener.whom is None:
        return text
    whom: object = listener.whom
    return whom(text)  # type: ignore[operator]


def test_objects_in_structs() -> None:
    listener = Listener()
    assert say(listener, "nobody") == "nobody"
    said: list[object] = []

    def hear(text: object) -> int:
        listener.whom = None  # the struct lets go of it while it runs
        said.append(text)
        return 7

    before = sys.getrefcount(hear)
    for _ in range(50):
        listener.whom = hear
        assert say(listener, "text") == 7
    after = sys.getrefcount(hear)
    assert listener.told == 51 and said == ["text"] * 50 and after == before

    @function
    def asks(listener: Listener) -> i64:
        return ask(listener, listener.whom, 0)  # type: ignore[arg-type]

    with pytest.raises(CompileError, match=r"ask\(\) is for emulators"):
        asks(listener)


def test_another_structure_is_refused() -> None:
    class Heir(Point):  # type: ignore[misc]
        pass

    assert move(Heir(), 3.0, 4.0) == 5.0
    for wrong in (None, 3, Timer()):
        with pytest.raises(TypeError, match="argument 'p' must be a Point, not "):
            move(wrong, 0.0, 0.0)


@struct
class Timer:
    """Not a point."""

    x: f64


# --------------------------------------------------------------------------------------------------- objects, callbacks


@function
def apply(f: Callable[[i64, f64], f64], x: i64, y: f64) -> f64:
    return f(x, y) + 1.0


@function
def fold(f: Callable[..., object], first: object, times: u32) -> object:
    result = first
    for i in range(times):
        result = f(result, i)
    return result


@function
def choose(a: object, b: object, first: bool) -> object:
    if a is None:
        return b
    return a if first else b


def announce(x: i64, y: f64) -> None:
    LOG.append((x, y))


def measure(text: object) -> u16:
    return len(text)  # type: ignore[arg-type]


LOG: list[Any] = []


@function
def tells(n: u8) -> u32:
    for i in range(n):
        announce(i, i / 2)
    return u32(measure("four") * 10)


def test_callables_that_are_passed_in() -> None:
    same(apply, lambda x, y: x * y, 3, 2.5)
    same(apply, math.ldexp and (lambda x, y: math.ldexp(y, x)), 3, 2.5)
    with pytest.raises(TypeError, match="argument 'f' must be callable, not int"):
        apply(3, 1, 2.0)
    with pytest.raises(TypeError, match=r"f\(\) must return a number, not str"):
        apply(lambda x, y: "text", 1, 2.0)


def test_objects_go_in_and_come_out() -> None:
    same(fold, lambda text, i: f"{text}{i}", "-", 12)
    same(fold, lambda rest, i: (rest, i), None, 5)
    for a in (None, [1], "a"):
        for first in (False, True):
            b = object()
            assert choose(a, b, first) is original(choose)(a, b, first)


def test_known_callables_with_annotations() -> None:
    LOG.clear()
    assert tells(3) == 40
    assert LOG == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert all(type(x) is int and type(y) is float for x, y in LOG)


@function
def careful(x: i64) -> i64:
    if x < 0:
        raise ValueError("must not be negative")
    if x > 100:
        raise KeyError
    return x


def test_typed_code_raises() -> None:
    assert careful(7) == 7
    with pytest.raises(ValueError, match="must not be negative"):
        careful(-1)
    with pytest.raises(KeyError):
        careful(101)


# ----------------------------------------------------------------------------------------------------------- disk cache


def test_from_the_disk_cache_without_llvm_numpy_or_the_assembler(tmp_path: Path) -> None:
    (tmp_path / "cached.py").write_text(
        textwrap.dedent(
            """
            import array, sys
            from tracklayer import function
            from tracklayer.lang import Buffer, f64, i64

            LIMIT = int(sys.argv[1])

            @function
            def total(data: Buffer[f64]) -> f64:
                result = 0.0
                for i in range(len(data)):
                    result += data[i]
                return result + LIMIT

            @function
            def small(x: i64) -> i64:
                return x // 7

            assert total(array.array("d", [1, 2])) == 3 + LIMIT
            assert small(70) == 10
            print(*sorted({"llvmlite", "numpy", "iced_x86", "tracklayer.api.gameboy"} & set(sys.modules)))
            """
        )
    )
    environment = {"PYTHONPATH": str(ROOT), "TRACKLAYER_CACHE": str(tmp_path / "cache")}

    def run(limit: int) -> str:
        command = [sys.executable, "-W", "error", "cached.py", str(limit)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert "llvmlite" in run(1)
    assert run(1) == ""
    assert "llvmlite" in run(2)  # a global that it reads is another one
    assert run(2) == ""
    for kept in (tmp_path / "cache").iterdir():
        kept.write_bytes(kept.read_bytes()[:-1])
    assert "llvmlite" in run(1)
