"""Native functions as builtins: every type in and out, arguments checked like a builtin's, buffers always released."""

from __future__ import annotations

import array
import ctypes
import gc
import inspect
import math
import os
import pickle
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tracklayer.lang import struct, u32
from tracklayer.native.assembler import Assembler
from tracklayer.native.operands import dword, eax, edi, mem, qword, rax, rcx, rdi, rdx, rsi, rsp, xmm0, xmm1, xmm7
from tracklayer.native.signatures import SignatureError, parse_signature

X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")

INTEGERS = {f"{sign}{bits}": (sign == "i", bits) for sign in "iu" for bits in (8, 16, 32, 64)}


def assembled(write: Callable[[Any], None], signature: str, **options: Any) -> Any:
    a = Assembler("f")
    write(a)
    return a.function(signature, **options)


def identity(kind: str, **options: Any) -> Any:
    """A function that gives back its argument."""

    def write(a: Any) -> None:
        if not kind.startswith("f"):
            a.mov(rax, rdi)
        if kind == "object":
            a.inc(qword[rax])
        a.ret()

    return assembled(write, f"{kind}(x: {kind})", **options)


class Index:
    """Something with __index__."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __index__(self) -> Any:
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


# ------------------------------------------------------------------------------------------------------------- integers


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_of_every_width(kind: str) -> None:
    signed, bits = INTEGERS[kind]
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    f = identity(kind)
    around = {
        0,
        1,
        -1,
        2**15,
        2**30 - 1,
        2**30,
        2**30 + 1,
        -(2**30),
        2**31,
        2**60,
        2**62,
        2**63 - 1,
        -(2**63),
        low,
        high,
    }
    for value in sorted(around):
        if low <= value <= high:
            assert f(value) == value and type(f(value)) is int
            assert f(Index(value)) == value
        else:
            with pytest.raises(OverflowError, match=f"argument 'x' must be {kind}, from {low} to {high}, not {value}"):
                f(value)
    for value in (low - 1, high + 1, 1 << 64, -(1 << 64), 1 << 100):
        with pytest.raises(OverflowError, match=f"argument 'x' must be {kind}"):
            f(value)
        with pytest.raises(OverflowError, match=f"argument 'x' must be {kind}"):
            f(Index(value))
    assert f(True) == 1
    assert f(np.int16(7)) == 7


@pytest.mark.parametrize("kind", ["i64", "u64", "i8"])
def test_what_is_no_integer_is_refused_with_the_name_of_the_argument(kind: str) -> None:
    f = identity(kind)
    for value, name in (("5", "str"), (1.0, "float"), (None, "NoneType"), ([], "list")):
        with pytest.raises(TypeError, match=rf"f\(\) argument 'x' must be an integer, not {name}"):
            f(value)
    with pytest.raises(ZeroDivisionError, match="own"):
        f(Index(ZeroDivisionError("own")))
    with pytest.raises(ValueError, match="own"):
        f(Index(ValueError("own")))
    with pytest.raises(TypeError, match="__index__ returned non-int"):
        f(Index("text"))


def test_the_number_of_arguments_is_checked() -> None:
    f = identity("i64")
    with pytest.raises(TypeError, match=r"f\(\) takes exactly 1 argument \(0 given\)"):
        f()
    with pytest.raises(TypeError, match=r"f\(\) takes exactly 1 argument \(3 given\)"):
        f(1, 2, 3)
    with pytest.raises(TypeError, match="no keyword arguments"):
        f(x=1)
    nothing = assembled(lambda a: a.ret(), "void()")
    assert nothing() is None
    with pytest.raises(TypeError, match=r"f\(\) takes no arguments \(1 given\)"):
        nothing(1)


def test_integer_results_ignore_the_upper_half_of_the_register() -> None:
    for kind, expected in (("i8", -1), ("u8", 255), ("i16", -1), ("u16", 65535), ("i32", -1), ("u32", 2**32 - 1)):
        f = assembled(lambda a: (a.mov(rax, -1), a.ret()), f"{kind}()")
        assert f() == expected
    assert assembled(lambda a: (a.mov(rax, 0x7FF), a.ret()), "i8()")() == -1


# -------------------------------------------------------------------------------------------------------- other scalars


def test_floats_of_both_widths() -> None:
    double, single = identity("f64"), identity("f32")
    for value in (0.0, -0.0, 1.5, math.pi, 1e308, math.inf, -1.0, 5e-324):
        assert double(value) == value and math.copysign(1, double(value)) == math.copysign(1, value)
        assert single(value) == float(np.float64(value).astype(np.float32)) if abs(value) < 1e38 else True
    assert math.isnan(double(math.nan))
    assert double(3) == 3.0 and double(True) == 1.0 and double(np.float32(0.5)) == 0.5 and double(-1) == -1.0

    class Half:
        def __float__(self) -> float:
            return 0.5

    class Broken:
        def __float__(self) -> float:
            raise LookupError("own")

    assert double(Half()) == 0.5
    with pytest.raises(LookupError, match="own"):
        double(Broken())
    with pytest.raises(TypeError, match=r"f\(\) argument 'x' must be a number, not str"):
        double("1.0")
    with pytest.raises(OverflowError, match="too large"):
        double(10**400)


def test_booleans_are_truth() -> None:
    f = identity("bool")
    assert [f(value) for value in (True, False, 1, 0, "", "a", [], [0], None)] == [
        bool(value) for value in (True, False, 1, 0, "", "a", [], [0], None)
    ]
    assert f(5) is True
    with pytest.raises(ValueError, match="ambiguous"):
        f(np.array([1, 2]))


def test_addresses_and_null() -> None:
    f = identity("ptr")
    assert f(None) == 0 and f(0) == 0 and f(2**64 - 1) == 2**64 - 1
    with pytest.raises(TypeError, match=r"must be an address \(an integer\) or None, not str"):
        f("x")
    with pytest.raises(OverflowError, match="from 0 to"):
        f(-1)
    cell = ctypes.c_int64(42)
    read = assembled(lambda a: (a.mov(rax, qword[rdi]), a.ret()), "i64(where: ptr)")
    assert read(ctypes.addressof(cell)) == 42


def test_objects_pass_through() -> None:
    f = identity("object")
    thing = object()
    before = sys.getrefcount(thing)
    for _ in range(1000):
        assert f(thing) is thing
    assert sys.getrefcount(thing) == before
    broken = assembled(lambda a: (a.xor(eax, eax), a.ret()), "object()")
    with pytest.raises(SystemError):
        broken()


def test_pairs_come_back_as_tuples() -> None:
    assert assembled(lambda a: (a.mov(rax, rdi), a.lea(rdx, mem[rdi + 1]), a.ret()), "(i64, i64)(x: i64)")(10) == (
        10,
        11,
    )
    assert assembled(lambda a: (a.movapd(xmm1, xmm0), a.addsd(xmm1, xmm1), a.ret()), "(f64, f64)(x: f64)")(1.5) == (
        1.5,
        3.0,
    )
    assert assembled(lambda a: (a.mov(rax, 7), a.ret()), "(i64, f64)(x: f64)")(0.25) == (7, 0.25)


def test_more_arguments_than_registers() -> None:
    def write(a: Any) -> None:
        a.mov(rax, qword[rsp + 8])  # the seventh integer
        a.sub(rax, qword[rsp + 16])  # the eighth
        a.add(rax, rdi)
        a.cvttsd2si(rcx, xmm7)
        a.add(rax, rcx)
        a.cvttsd2si(rcx, qword[rsp + 24])  # the ninth float
        a.add(rax, rcx)
        a.ret()

    integers = ", ".join("i64" for _ in range(8))
    floats = ", ".join("f64" for _ in range(9))
    f = assembled(write, f"i64({integers}, {floats})")
    assert f(1, 0, 0, 0, 0, 0, 500, 30, *[0.0] * 7, 7000.0, 90000.0) == 1 + 500 - 30 + 7000 + 90000


# -------------------------------------------------------------------------------------------------------------- buffers


def total(a: Any) -> None:
    """The sum of (pointer, count) of 64-bit floats."""
    a.xorps(xmm0, xmm0)
    a.test(rsi, rsi)
    a.jz("out")
    a.label("next")
    a.addsd(xmm0, qword[rdi + rsi * 8 - 8])
    a.dec(rsi)
    a.jnz("next")
    a.label("out")
    a.ret()


def test_buffers_are_read_in_place() -> None:
    f = assembled(total, "f64(data: f64[])")
    for data in (array.array("d", [1, 2, 3.5]), np.array([1, 2, 3.5]), memoryview(np.array([1, 2, 3.5]))):
        assert f(data) == 6.5
    assert f(np.zeros(0)) == 0.0
    assert f((ctypes.c_double * 2)(1, 2)) == 3.0
    assert f(np.ones((3, 4))) == 12.0


def test_buffers_of_the_wrong_kind_are_refused_in_words() -> None:
    f = assembled(total, "f64(data: f64[])")
    with pytest.raises(TypeError, match="argument 'data' must be a buffer of f64, not int"):
        f(5)
    with pytest.raises(TypeError, match="a buffer of f64; the elements of this ndarray are 'f'"):
        f(np.zeros(4, np.float32))
    with pytest.raises(TypeError, match="a buffer of f64; the elements of this ndarray are 'l'"):
        f(np.zeros(4, np.int64))
    with pytest.raises(TypeError, match="the elements of this bytes are 'B'"):
        f(b"12345678")
    with pytest.raises(ValueError, match="contiguous; this ndarray is not"):
        f(np.zeros(8)[::2])
    with pytest.raises(TypeError, match="the elements of this ndarray are '>d'"):
        f(np.zeros(4, ">f8"))


@pytest.mark.parametrize("kind", [*INTEGERS, "f32", "f64"])
def test_buffers_of_every_element_type(kind: str) -> None:
    letter = {"i": "i", "u": "u", "f": "f"}[kind[0]] + str(int(kind[1:]) // 8)
    count = assembled(lambda a: (a.mov(rax, rsi), a.ret()), f"u64(data: {kind}[])")
    assert count(np.zeros(5, letter)) == 5
    for other in ("i1", "u2", "i4", "u8", "f4", "f8"):
        if other != letter:
            with pytest.raises(TypeError, match="the elements of this ndarray"):
                count(np.zeros(5, other))


def test_writable_buffers() -> None:
    def fill(a: Any) -> None:
        a.mov(eax, 7)
        a.mov(rcx, rsi)
        a.stosb(rep=True)
        a.ret()

    f = assembled(fill, "void(data: mut u8[])")
    data = bytearray(4)
    f(data)
    assert data == b"\7\7\7\7"
    with pytest.raises(TypeError, match="a writable buffer of u8; this bytes is read-only"):
        f(bytes(4))
    frozen = np.zeros(4, np.uint8)
    frozen.flags.writeable = False
    with pytest.raises(TypeError, match="read-only"):
        f(frozen)
    raw = assembled(lambda a: (a.mov(rax, rsi), a.ret()), "u64(data: buffer)")
    assert raw(np.zeros(5)) == 40 and raw(b"abc") == 3


def test_structs_of_ctypes_are_buffers() -> None:
    class Point(ctypes.Structure):
        _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]

    def write(a: Any) -> None:
        a.movsd(xmm0, qword[rdi])
        a.addsd(xmm0, qword[rdi + 8])
        a.movsd(qword[rdi], xmm0)
        a.mov(rax, rsi)
        a.ret()

    point = Point(1.5, 2.0)
    assert assembled(write, "u64(point: mut buffer)")(point) == 16
    assert point.x == 3.5


@struct
class Pair:
    """A struct of typed Python."""

    x: u32
    y: u32


def test_structs_of_typed_python_are_buffers() -> None:
    def write(a: Any) -> None:
        a.mov(eax, dword[rdi])
        a.add(eax, dword[rdi + 4])
        a.mov(dword[rdi], 7)
        a.ret()

    pair = Pair()
    pair.x, pair.y = 40, 2
    assert assembled(write, "u32(pair: mut buffer)")(pair) == 42
    assert pair.x == 7


class Counted:
    """A buffer that counts how often it is exported. Before Python 3.12 a bytearray's refusal to grow tells."""

    def __init__(self) -> None:
        self.data = bytearray(16)

    @property
    def exported(self) -> bool:
        try:
            self.data.append(0)
            self.data.pop()
        except BufferError:
            return True
        return False


def test_buffers_are_released_on_every_way_out() -> None:
    one, two = Counted(), Counted()
    f = assembled(lambda a: (a.mov(rax, rsi), a.ret()), "u64(a: buffer, b: mut u8[], n: u8, c: f64[])")
    good = np.zeros(2)
    assert f(one.data, two.data, 5, good) == 16
    for bad in (
        (one.data, two.data, 256, good),
        (one.data, two.data, "x", good),
        (one.data, b"read-only", 1, good),
        (one.data, two.data, 1, b"no floats"),
        (one.data, two.data, 1, None),
        (None, two.data, 1, good),
        (one.data, two.data),
    ):
        with pytest.raises((TypeError, OverflowError)):
            f(*bad)
        assert not one.exported and not two.exported
    a = Assembler("f")
    a.prologue()
    a.call(a.callback(lambda: 1 / 0, "void()"))
    a.epilogue()
    g = a.function("u64(a: buffer, b: mut u8[])")
    with pytest.raises(ZeroDivisionError):
        g(one.data, two.data)
    assert not one.exported and not two.exported


def test_a_buffer_is_held_while_the_code_runs() -> None:
    """A callback cannot resize what the code is looking at."""
    data = bytearray(16)
    a = Assembler("f")
    a.prologue()
    a.call(a.callback(lambda: data.append(0), "void()"))
    a.epilogue()
    f = a.function("void(data: buffer)")
    with pytest.raises(BufferError):
        f(data)
    data.append(0)


# ------------------------------------------------------------------------------------------------------ being a builtin


def test_it_looks_like_a_builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    home = types.ModuleType("tracklayer_test_functions")
    monkeypatch.setitem(sys.modules, home.__name__, home)
    f = assembled(total, "f64(data: f64[])", name="total", doc="Adds.", module=home.__name__)
    home.total = f  # type: ignore[attr-defined]
    assert type(f) is types.BuiltinFunctionType
    assert str(inspect.signature(f)) == "(data, /)"
    assert (f.__name__, f.__doc__, f.__module__, repr(f)) == (
        "total",
        "Adds.",
        home.__name__,
        "<built-in function total>",
    )
    assert pickle.loads(pickle.dumps(f)) is f


def test_signatures_that_cannot_be_read() -> None:
    for text, message in (
        ("i64", "looks like"),
        ("i64(x: i65)", "'i65' is no type; there are i8, i16"),
        ("i64(x y: i64)", "'x y' is no name"),
        ("i64(x: i64, x: i64)", "the same name"),
        ("(i64)(x: i64)", "a pair"),
        ("u8[](x: i64)", "cannot be returned"),
        ("mut i64()", "no type"),
    ):
        with pytest.raises(SignatureError, match=message):
            parse_signature(text)
    assert [p.shown for p in parse_signature("void(i64, y: f64, mut  u8[])").parameters] == ["arg1", "y", "arg3"]


def test_adapters_are_made_once_for_a_signature() -> None:
    identity("i64")
    start = time.perf_counter()
    a = Assembler("f")
    a.mov(rax, rdi)
    a.ret()
    for _ in range(100):
        a.function("i64(x: i64)")
    assert (time.perf_counter() - start) / 100 < 0.005


# ------------------------------------------------------------------------------------------------------ without the GIL


def test_without_the_gil_others_run() -> None:
    """The native code sleeps; meanwhile this thread goes on."""
    a = Assembler("doze")
    a.prologue()
    a.call(a.c_function("usleep"))
    a.epilogue()
    doze = a.function("i32(microseconds: u32)", nogil=True)
    thread = threading.Thread(target=doze, args=(300_000,))
    thread.start()
    start = time.perf_counter()
    turns = 0
    while thread.is_alive():
        turns += 1
        time.sleep(0.001)
    assert turns > 50 and time.perf_counter() - start > 0.2


def test_without_the_gil_two_functions_run_at_once() -> None:
    """Each waits, inside its code, for what the other does inside its: with the GIL held neither would ever return."""
    cells = (ctypes.c_uint64 * 2)()
    a = Assembler("meet")
    a.label("next")
    a.inc(qword[rdi])
    a.label("wait")
    a.pause()
    a.mov(rax, qword[rsi])
    a.cmp(rax, qword[rdi])
    a.jb("wait")
    a.dec(rdx)
    a.jnz("next")
    a.ret()
    meet = a.function("void(mine: ptr, other: ptr, times: u64)", nogil=True)
    where = ctypes.addressof(cells)
    thread = threading.Thread(target=meet, args=(where, where + 8, 20))
    thread.start()
    meet(where + 8, where, 20)
    thread.join(30)
    assert not thread.is_alive() and list(cells) == [20, 20]


def test_values_survive_giving_up_the_gil() -> None:
    f = identity("f64", nogil=True)
    g = assembled(lambda a: (a.lea(rax, mem[rdi + rsi]), a.ret()), "i64(x: i64, y: i64)", nogil=True)
    assert f(1.5) == 1.5 and g(2, 3) == 5
    data = np.arange(100.0)
    assert assembled(total, "f64(data: f64[])", nogil=True)(data) == data.sum()


def test_reference_counts_stay_equal() -> None:
    f = assembled(total, "f64(data: f64[])")
    data, text = np.arange(10.0), "no buffer"
    references = sys.getrefcount(data), sys.getrefcount(text)
    for _ in range(10_000):
        f(data)
    for _ in range(1000):
        with pytest.raises(TypeError):
            f(text)
    gc.collect()
    assert (sys.getrefcount(data), sys.getrefcount(text)) == references


def _short_and_long(signature: str, *body: tuple[Any, ...], nogil: bool = False) -> tuple[Any, Any]:
    """A builtin of a few instructions, and one of the same behind a jump, which is called where it lies."""
    made = []
    for is_short in (True, False):
        a = Assembler("body")
        if not is_short:
            a.jmp("start")
            a.label("start")
        for mnemonic, *operands in body:
            a.emit(mnemonic, *operands)
        a.ret()
        assert bool(a._short()) == is_short
        made.append(a.function(signature, nogil=nogil))
    return made[0], made[1]


@pytest.mark.parametrize("nogil", [False, True])
def test_short_bodies_do_the_same_as_called_ones(nogil: bool) -> None:
    short, long = _short_and_long("i64(x: i64, y: i64)", ("lea", rax, mem[rdi + rsi * 2]), nogil=nogil)
    for x, y in [(1, 2), (-5, 1 << 40), (1 << 61, -1)]:
        assert short(x, y) == long(x, y) == x + 2 * y
    for wrong in [(1,), ("1", 2), (1 << 63, 0)]:
        kinds = []
        for f in (short, long):
            with pytest.raises((TypeError, OverflowError)) as caught:
                f(*wrong)
            kinds.append((caught.type, str(caught.value)))
        assert kinds[0] == kinds[1]
    short, long = _short_and_long("f64(x: f64, data: f64[])", ("addsd", xmm0, qword[rdi]), nogil=nogil)
    assert short(1.5, array.array("d", [2.0])) == long(1.5, array.array("d", [2.0])) == 3.5
    short, long = _short_and_long("i64()", ("xor", eax, eax), nogil=nogil)
    assert short() == long() == 0
    with pytest.raises(TypeError, match="takes no arguments"):
        short(1)
    short, long = _short_and_long("bool(x: i32)", ("mov", eax, edi), nogil=nogil)
    assert [short(0), short(1)] == [long(0), long(1)] == [False, True]


def test_short_bodies_that_give_back_an_object() -> None:
    if sys.version_info >= (3, 12):
        short, long = _short_and_long("object(x: object)", ("mov", rax, rdi), ("inc", dword[rax]))
    else:
        short, long = _short_and_long("object(x: object)", ("mov", rax, rdi), ("inc", qword[rax]))
    thing: list[object] = []
    before = sys.getrefcount(thing)
    for f in (short, long):
        for _ in range(10):
            f(thing)
    after = sys.getrefcount(thing)
    assert after == before


def test_bodies_that_use_the_stack_are_called() -> None:
    for body in ([("push", rdi), ("pop", rax)], [("mov", rax, qword[rsp + 8])], [("mov", rax, 1)] * 3):
        a = Assembler("body")
        for mnemonic, *operands in body:
            a.emit(mnemonic, *operands)
        a.ret()
        assert not a._short()
        a.function("i64(x: i64)")(7)
