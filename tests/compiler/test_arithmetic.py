"""Integers: every operation is exact, at the edges of every type."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tracklayer.lang import i8, i16, i32, i64, typed, u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64

from .harness import agree, build, compiled

SIGNED = (-(1 << 63), -(1 << 31) - 1, -(1 << 31), -65537, -1000, -129, -128, -9, -8, -7, -2, -1,
          0, 1, 2, 7, 8, 9, 127, 1000, (1 << 31) - 1, 1 << 31, (1 << 63) - 1)  # fmt: skip
I32S = tuple(value for value in SIGNED if -(1 << 31) <= value < 1 << 31)
WIDE = (
    0,
    1,
    2,
    255,
    256,
    65535,
    65536,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
U32S = tuple(value for value in WIDE if value < 1 << 32)


@typed
def narrow(x: i64, kind: Any) -> i64:
    return i64(kind(x))


@typed
def narrow_unsigned(x: u64, kind: Any) -> i64:
    return i64(kind(x))


@typed
def narrow_sum(x: u32, y: u32, kind: Any) -> i64:
    return i64(kind(x * y + x))


@pytest.mark.parametrize("kind", (u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64, i8, i16, i32, i64), ids=repr)
def test_narrowing_to_every_type_from_every_width(kind: Any) -> None:
    signed, unsigned, of_sum = build(narrow, narrow_unsigned, narrow_sum, kind=kind)
    for value in SIGNED:
        assert signed(value) == i64(kind(value))
    for value in WIDE:
        assert unsigned(value) == i64(kind(value))
    for x, y in itertools.product(U32S, U32S):
        assert of_sum(x, y) == i64(kind(x * y + x))


@typed
def floor(x: i32) -> i64:
    return x // 7 + (x // 8) * 1000 + (x // 1) * 1000000


@typed
def remainder(x: i32) -> i64:
    return x % 7 + (x % 8) * 1000 + (x % 1) * 7777


@typed
def floor_wide(x: i64) -> i64:
    return x // 3 + x // (1 << 40) + x // 16


@typed
def remainder_wide(x: i64) -> u64:
    return u64((x % 10) + (x % (1 << 40)) + (x % 64))


@typed
def large_divisors(x: i32) -> i64:
    """Divisors that 32 bits do not hold."""
    return (
        x // (1 << 40)
        + x % (1 << 40)
        + x // 5000000000
        + x % 5000000000
        + x // 3000000000
        + x % 3000000000
        + x // (1 << 31)
    )


@typed
def unsigned_divisors(x: u64) -> u64:
    return u64(
        x // 10 + x % 10 + x // (1 << 63) + x % (1 << 63) + x // ((1 << 63) + 3) + x % ((1 << 63) + 3) + x // (1 << 70)
    )


@typed
def small_divided(x: u8) -> u64:
    return u64(x // 300 + x % 300 + x // 255 + x % 255 + x // (1 << 70) + x % (1 << 70))


def test_division_rounds_down() -> None:
    agree(floor, *((x,) for x in I32S))
    agree(floor_wide, *((x,) for x in SIGNED))
    agree(remainder, *((x,) for x in I32S))
    agree(remainder_wide, *((x,) for x in SIGNED))


def test_divisors_that_the_dividend_has_no_bits_for() -> None:
    agree(large_divisors, *((x,) for x in I32S))
    agree(unsigned_divisors, *((x,) for x in WIDE))
    agree(small_divided, *((x,) for x in range(256)))


@typed
def right(x: i64, n: u6) -> i64:
    return x >> n


@typed
def right_small(x: i16, n: u6) -> i64:
    return (x >> n) + (x >> (n & 31)) + (x >> 3) + (x >> 0)


@typed
def right_unsigned(x: u64, n: u6) -> u64:
    return (x >> n) ^ (x >> (n & 31))


@typed
def left_exact(x: u32, n: u5) -> u64:
    return x << n


@typed
def left_signed(x: i32, n: u5) -> i64:
    return x << n


@typed
def left_narrowed(x: u32, n: u6) -> u64:
    """More is shifted out than 64 bits hold; the halves above the narrowed one must be gone."""
    return u64(u32(x << n)) + u64(u8(x << n)) * 3 + u64(x << n & 0xFFFF) * 5


@typed
def left_wide(x: u64, n: u6) -> u64:
    return u64(x << n)


@typed
def left_bit(n: u6) -> u64:
    return 1 << n


def test_shifts() -> None:
    counts = (0, 1, 2, 7, 8, 15, 30, 31, 32, 33, 62, 63)
    agree(right, *itertools.product(SIGNED, counts))
    agree(right_small, *itertools.product((-32768, -1, 0, 1, 32767), counts))
    agree(right_unsigned, *itertools.product(WIDE, counts))
    agree(left_exact, *itertools.product(U32S, counts[:8]))
    agree(left_signed, *itertools.product(I32S, counts[:8]))
    agree(left_narrowed, *itertools.product(U32S, counts))
    agree(left_wide, *itertools.product(WIDE, counts))
    agree(left_bit, *((n,) for n in counts))


@typed
def bits(x: i64, y: i64) -> i64:
    return (x & y) + (x | y) - (x ^ y) & 0xFFFFFFFF


@typed
def bits_mixed(x: i32, y: u32) -> i64:
    return (x & y) + 3 * (x | y) + 5 * (x ^ y) + ~x + ~y - -y


@typed
def bits_of_truth(x: u8, y: u8) -> u8:
    a, b = x > 3, y > 3
    return (a & b) | (a ^ b) << 1 | (a | b) << 2 | (a & 1) << 3 | (a - b + 1) << 4


def test_bitwise_operations_of_both_signs() -> None:
    pairs = list(itertools.product(SIGNED, SIGNED))
    agree(bits, *pairs)
    agree(bits_mixed, *itertools.product(I32S, U32S))
    agree(bits_of_truth, *itertools.product((0, 3, 4, 255), repeat=2))


@typed
def compare(x: i64, y: i64) -> u8:
    return (x < y) | (x <= y) << 1 | (x > y) << 2 | (x >= y) << 3 | (x == y) << 4 | (x != y) << 5


@typed
def compare_mixed(x: i32, y: u32) -> u8:
    return (x < y) | (x <= y) << 1 | (x > y) << 2 | (x >= y) << 3 | (x == y) << 4 | (x != y) << 5


@typed
def compare_unsigned(x: u64, y: u64) -> u8:
    return (x < y) | (x <= y) << 1 | (x > y) << 2 | (x >= y) << 3 | (x == y) << 4 | (x != y) << 5


@typed
def decided(x: u8, y: i8) -> u8:
    """Intervals alone decide these."""
    return (x < 256) | (x >= 0) << 1 | (x == 300) << 2 | (y != -129) << 3 | (y <= 127) << 4 | (x > y - 200) << 5


def test_comparisons() -> None:
    agree(compare, *itertools.product(SIGNED, SIGNED))
    agree(compare_mixed, *itertools.product(I32S, U32S))
    agree(compare_unsigned, *itertools.product(WIDE, WIDE))
    agree(decided, *itertools.product((0, 127, 255), (-128, 0, 127)))


@typed
def extremes(x: i32, y: u16, z: i64) -> i64:
    return min(x, y) + max(x, y, 5) * 3 + abs(x) * 7 + min((x, 9)) + max(min(z, 1000), -1000)


@typed
def conversions(x: i32) -> i64:
    return bool(x) + int(x) + bool(x - x) * 8 + int(x > 3) * 16


def test_builtins() -> None:
    agree(extremes, *((x, y, z) for x in I32S for y in (0, 5, 65535) for z in (-(1 << 63), 0, 999, (1 << 63) - 1)))
    agree(conversions, *((x,) for x in I32S))


@typed
def wraps(x: u64, y: u64) -> u64:
    """Right under what narrows, results may pass 64 bits."""
    return u64(u64(x * y) + u64(x + y) + u64(x - y) + u8(x * y * x - 5) + u16(-x) + (x * y & 0xFFF) + u64(~x))


@typed
def product(x: u32, y: u32) -> u64:
    return x * y


def test_wide_results() -> None:
    agree(wraps, *itertools.product(WIDE, WIDE))
    agree(product, *itertools.product(U32S, U32S))


@typed
def largest(x: u64) -> u64:
    return x


def test_results_have_the_declared_sign() -> None:
    assert compiled(largest)((1 << 64) - 1) == (1 << 64) - 1
