"""Stereo pairs: two signed numbers in one word, left << 32 plus right. Sums and multiples of pairs are pairs again.

For:     taking them apart.
Not for: what they mean.
"""

from __future__ import annotations

from tracklayer.lang import i32, typed, u64


@typed
def right(pair: u64) -> i32:
    """The right half of a pair."""
    return i32(pair)


@typed
def left(pair: u64) -> i32:
    """The left half of a pair."""
    return i32(u64(pair - right(pair)) >> 32)
