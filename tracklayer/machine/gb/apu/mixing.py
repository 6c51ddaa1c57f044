"""From steps to samples: the sum of all that the channels changed, without its constant part.

For:       16-bit samples of a lane, and the capacitor behind the console's mixer, a high-pass filter.
Not for:   the steps (listener.py).
Invariant: all of it is integers, and the same whether samples are made in one piece or in many.
Source:    Pan Docs, "Mixer", "Obscure Behavior" (the high-pass filter).
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, Ptr, address_of, i16, i32, i64, pointer_at, typed, u2, u8, u16, u32, u64

from .kernel import TAPS
from .pairs import left, right

CHARGE_BITS = 20
VOLUME_BITS = 10
"""One channel of four, at full volume, swings over 240 / 1024 of the range of a sample."""


class Listener(Protocol):
    """What this needs of a listener (listener.py)."""

    leak: u32
    capacity: u32
    count: u32
    steps: Ptr[u64]
    samples: Ptr[i16]
    sums: Array[u64]
    charges: Array[i64]


@typed
def silent(listener: Listener, lane: u2) -> bool:
    """Whether a lane's samples are 0 as long as there are no steps: the high-pass filter has taken off everything."""
    total = listener.sums[lane]
    return listener.charges[2 * lane] >> CHARGE_BITS == left(total) and listener.charges[
        2 * lane + 1
    ] >> CHARGE_BITS == right(total)


@typed(shared=True)
def hush(listener: Listener, lane: u2, made: u32) -> None:
    """So many samples of nothing."""
    to: u32 = u32(2 * (lane * listener.capacity + listener.count))
    end = u32(to + 2 * made)
    while to < end:
        listener.samples[to] = 0
        to = u32(to + 1)


@typed(shared=True)
def mix(listener: Listener, lane: u2, made: u32) -> u64:
    """So many samples of a lane: the sum of all differences, less what the high-pass filter takes off.

    First one after the other, in place of the differences, then several at once to 16 bits.
    Returns: 0 if no steps are left for later samples.
    """
    row: Ptr[u64] = pointer_at(u64(address_of(listener.steps) + lane * (listener.capacity + TAPS) * 8), u64)
    total: u64 = listener.sums[lane]
    charge_left: i64 = listener.charges[2 * lane]
    charge_right: i64 = listener.charges[2 * lane + 1]
    leak = listener.leak
    index: u32 = 0
    while index < made:
        total = u64(total + row[index])
        out_left = left(total) - (charge_left >> CHARGE_BITS)
        out_right = right(total) - (charge_right >> CHARGE_BITS)
        charge_left = i64(charge_left + i64(out_left * leak))
        charge_right = i64(charge_right + i64(out_right * leak))
        row[index] = u64(u64(out_left) << 32) | u32(out_right)
        index = u32(index + 1)
    listener.sums[lane] = total
    listener.charges[2 * lane] = charge_left
    listener.charges[2 * lane + 1] = charge_right
    place = u64(lane * listener.capacity + listener.count)
    samples: Ptr[u32] = pointer_at(u64(address_of(listener.samples) + place * 4), u32)
    index = 0
    while index < made:
        pair = row[index]
        row[index] = 0
        samples[index] = sample(i32(pair >> 32)) | sample(i32(pair)) << 16
        index = u32(index + 1)
    return carried(row, made)


@typed(shared=True)
def carried(row: Ptr[u64], made: u32) -> u64:
    """So many samples were made: what belongs to the next ones goes to the begin. Returns: 0 if there is nothing."""
    found: u64 = 0
    tap: u8 = 0
    while tap < TAPS:
        kept = row[made + tap]
        row[made + tap] = 0
        row[tap] = kept
        found = found | kept
        tap = u8(tap + 1)
    return found


@typed
def sample(level: i32) -> u16:
    """A level as 16 bits, as they stand in memory."""
    return max(-32768, min(32767, level >> VOLUME_BITS)) & 0xFFFF
