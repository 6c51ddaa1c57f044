"""Calls: inlined, outlined, cold, recursive, specialised on what is known."""

from __future__ import annotations

import enum
from typing import Any, Protocol

import pytest

from tracklayer.compiler.program import Program
from tracklayer.lang import Array, Ptr, array, comptime, i8, i64, pointer, struct, typed, u1, u2, u4, u8, u16, u32, u64

from .harness import agree, build, compiled


@struct
class Counter:
    calls: u32
    cells: Array[u8] = array(8)

    @typed(outline=True)
    def count(self, by: u8) -> u32:
        self.calls += by
        return self.calls

    @typed(cold=True)
    def slow(self, index: u8) -> u8:
        self.calls += 1000
        return self.cells[index & 7]


@struct
class Other:
    padding: u64
    calls: u32


class Counts(Protocol):
    calls: u32


@typed
def divide(x: u16, by: u8 = 10) -> tuple[u16, u8]:
    if by == 10:
        return x // 10, x % 10
    return 0, by


@typed(outline=True)
def divide_outlined(x: u16) -> tuple[u16, i8]:
    return x // 7, -(x % 7)


@typed
def tuples(x: u16) -> u64:
    tens, ones = divide(x)
    quotient, rest = divide_outlined(x=x)
    a, b = divide(x, by=3)
    pair = divide(by=10, x=quotient)
    return u64(tens + 7 * ones + 11 * quotient - rest * 13 + a + b + pair[0] + pair[-1] + sum3(*pair, 5) + len(pair))


@typed
def sum3(a: u16, b: u8, c: u8) -> u32:
    return a + b + c


def test_functions_return_tuples() -> None:
    agree(tuples, *((x,) for x in (0, 6, 7, 9, 10, 999, 65535)))


@typed
def methods(counter: Counter, x: u8) -> u64:
    a = counter.count(x)
    b = counter.slow(x)
    if x > 100:
        b = counter.slow(index=2)
    return u64(a * 3 + b + counter.count(1))


def test_methods_are_called_out_of_line() -> None:
    for level in (0, 2):
        machine = build(methods, level=level)[0]
        for x in (0, 3, 7, 8, 101, 255):
            mine, other = Counter(), Counter()
            for counter in (mine, other):
                counter.cells[3] = counter.cells[7] = 200
                counter.cells[2] = 9
            assert machine(mine, x) == methods(other, x)
            assert bytes(mine) == bytes(other)


@typed
def add_call(thing: Counts, n: u8) -> None:
    thing.calls += n


@typed(outline=True)
def add_call_outlined(thing: Counts, n: u8) -> None:
    thing.calls += n * 2


@typed
def both_structs(a: Counter, b: Other) -> u32:
    add_call(a, 1)
    add_call(b, 2)
    add_call_outlined(a, 3)
    add_call_outlined(b, 4)
    return a.calls * 100 + b.calls & 0xFFFF


def test_a_protocol_takes_any_struct_that_has_what_is_used() -> None:
    one, two = Counter(), Other()
    mine, other = Counter(), Other()
    assert compiled(both_structs)(one, two) == both_structs(mine, other) == 710


@typed(outline=True)
def fibonacci(n: u8) -> u32:
    if n < 2:
        return n
    return u32(fibonacci(u8(n - 1)) + fibonacci(u8(n - 2)))


@typed(outline=True)
def is_even(n: u8) -> u1:
    return 1 if n == 0 else is_odd(u8(n - 1))


@typed(outline=True)
def is_odd(n: u8) -> u1:
    return 0 if n == 0 else is_even(u8(n - 1))


@typed
def recursion(n: u8) -> u32:
    return u32(fibonacci(n & 15) * 10 + is_even(n))


def test_recursion_through_outlined_functions() -> None:
    agree(recursion, *((n,) for n in (0, 1, 2, 10, 15, 255)))


@typed(outline=True)
def power(x: u32, exponent: Any) -> u64:
    """`exponent` is known: one function for each."""
    if exponent == 0:
        return 1
    return u64(x * power(x, exponent - 1))


@typed
def powers(x: u32) -> u64:
    return u64(power(x, 3) + power(x, 5) + power(x, True))


def test_outlined_functions_are_made_once_for_each_set_of_known_arguments() -> None:
    agree(powers, (0,), (1,), (7,), (1000,))
    program = Program()
    program.function("f", powers)
    assert program.render().count("define hidden") == 7  # exponents 0 to 5, and True


@typed(outline=True)
def kind_of(what: Any) -> u8:
    return len(what)


@typed
def unhashable(x: u8) -> u16:
    return kind_of([1, 2][x:x]) + x if False else kind_of(LISTS[0]) * 100 + kind_of(LISTS[1]) + x


LISTS = ([1, 2, 3], [4, 5])


def test_known_arguments_without_a_hash_are_told_apart_by_identity() -> None:
    agree(unhashable, (0,), (5,))


class Bit(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rows:
    """A plain object that is known while compiling."""

    def __init__(self) -> None:
        self.scale = 3
        self.table = {"one": 1, "many": (5, 6, 7)}

    @typed
    def scaled(self, x: u8) -> u16:
        return x * self.scale


ROWS = Rows()
ITEMS = tuple(ROWS.table.items())
FUNCTIONS = (lambda: 0, divide)


@comptime
def primes(n: int) -> tuple[int, ...]:
    return tuple(p for p in range(2, n) if all(p % q for q in range(2, p)))


@typed
def known_values(x: u8, mode: Any = "fast") -> u64:
    total: u64 = ROWS.scaled(x)
    if mode == "fast":
        total = u64(total + primes(30)[x & 7])
    else:
        total = undefined_name  # noqa: F821 - never looked at
    if Bit.HIGH in (2, 3) and isinstance(mode, str):
        total = u64(total + Bit.LOW + ROWS.table["many"][1])
    match mode:
        case "slow":
            total = 0
        case "fast" | None:
            total = u64(total + 1)
    for name, value in sorted(ITEMS, reverse=True):
        if name == "one":
            total = u64(total + value)
    if ROWS.scale is not None and mode is not None:
        total = u64(total + 1000)
    q, r = FUNCTIONS[1](x)
    return u64(
        total + q * r + (3 if x > 5 else 4) + max(1, 2) + abs(-3) + len("four") + int(True) + bool("x") + min((4, 5))
    )


def test_what_is_known_is_decided_while_compiling() -> None:
    machine = build(known_values, mode="fast")[0]
    for x in range(256):
        assert machine(x) == known_values(x)


@typed
def with_known_function(x: u8, f: Any, times: Any) -> u32:
    total: u32 = 0
    for _ in range(times):
        total = u32(total + f(x))
    return total


@typed
def square(x: u8) -> u16:
    return x * x


def test_functions_as_known_arguments() -> None:
    assert compiled(with_known_function, f=square, times=3)(200) == 3 * 200 * 200


@typed
def early(counter: Counter, x: u8) -> None:
    if x == 0:
        return
    counter.calls = x


@typed
def falls_off(counter: Counter, x: u8) -> u8:
    early(counter, x)
    early(counter, 0)
    counter.calls += 1
    return 7


def test_functions_without_a_result() -> None:
    counter = Counter()
    machine = compiled(falls_off)
    assert machine(counter, 0) == 7
    assert counter.calls == 1
    machine(counter, 9)
    assert counter.calls == 10
    assert compiled(early)(counter, 4) is None
    assert counter.calls == 4


@typed(outline=True)
def through_pointer(p: Ptr[u8], cells: Any, n: u2) -> u16:
    p[n] += 1
    return p[n] + cells[n]


@typed
def pass_pointers(counter: Counter, x: u2) -> u16:
    return through_pointer(pointer(counter.cells, 2), counter.cells, x)


def test_pointers_and_arrays_are_passed_to_outlined_functions() -> None:
    mine, other = Counter(), Counter()
    assert compiled(pass_pointers)(mine, 3) == pass_pointers(other, 3)
    assert bytes(mine) == bytes(other)


@typed(outline=True)
def all_widths(a: u1, b: u4, c: i8, d: u16, e: u32, f: i64, g: u64) -> tuple[u1, i8, u64, i64]:
    return a, c, u64(g + e + d + b), f


@typed
def widths(x: i64, y: u64) -> u64:
    a, b, c, d = all_widths(u1(x), u4(y), i8(x), u16(y), u32(x), x, y)
    return u64(a + b * 3 + c * 5 + d * 7)


def test_arguments_and_results_of_every_width() -> None:
    agree(widths, (-1, 1 << 63), (0, 0), (-(1 << 63), (1 << 64) - 1), (127, 255), (-128, 1 << 40))


def test_the_same_function_can_be_compiled_many_times() -> None:
    one, two = build(square, square)
    assert one(9) == two(9) == 81


@typed
def sixty(x: u8, n: Any) -> u8:
    return x if n == 0 else sixty(u8(x + 1), n - 1)


def test_inlined_recursion_has_an_end_that_is_known() -> None:
    assert compiled(sixty, n=20)(5) == 25


@pytest.mark.parametrize("name", ["plain", "with.dots", "x" * 300])
def test_names_of_entries(name: str) -> None:
    program = Program()
    program.function(name, square)
    assert f"@{name}(" in program.render()
