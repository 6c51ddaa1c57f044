"""Narrowing, as hardware does it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracklayer.lang import IntType, i8, i16, i32, i64, u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64

ALL = (u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64, i8, i16, i32, i64)


@pytest.mark.parametrize("kind", ALL, ids=repr)
@given(value=st.integers(-(1 << 70), 1 << 70))
def test_narrowing_keeps_the_low_bits_within_the_type(kind: IntType, value: int) -> None:
    narrow = kind(value)
    assert kind.lo <= narrow <= kind.hi
    assert (narrow - value) % (1 << kind.bits) == 0


@pytest.mark.parametrize("kind", ALL, ids=repr)
def test_what_fits_stays_as_it_is(kind: IntType) -> None:
    assert (kind(kind.lo), kind(kind.hi), kind(kind.hi + 1)) == (kind.lo, kind.hi, kind.lo)


def test_sizes_are_those_of_the_machine() -> None:
    assert [kind.size for kind in ALL] == [1] * 8 + [2, 4, 8] + [1, 2, 4, 8]


def test_truth_values_are_integers() -> None:
    assert u8(True) == 1
    assert type(u8(True)) is int
