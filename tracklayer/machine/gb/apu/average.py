"""Noise that is faster than the samples: its average over each sample, which needs no edges.

For:       white noise with several clocks in a sample: the shift register is taken a dozen clocks at a time.
Not for:   the short shift register, whose cycle is a tone, which an average would fold back: it is played edge by edge.
Invariant: a sample gets the average of the output over its time, however this is divided into calls.

The average of white noise over a sample is white noise again, as loud in every band as it was: what lies above half the
sampling rate folds back, but as noise upon noise. tests/machine/gb/apu/test_average.py measures both.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Ptr, i64, typed, u1, u8, u16, u32, u64

from . import mixing, noise
from .kernel import TAPS, UNIT_BITS
from .pairs import left, right
from .state import NOISE, RATE_BITS, Apu

AT_LEAST = 4
"""Clocks in a sample from which on noise is averaged."""
DELAY = TAPS // 2 - 1
"""Samples by which a step's kernel comes late."""


class Listener(Protocol):
    """What this needs of a listener (listener.py)."""

    apu: Apu
    separate: u1
    rate: u32
    base: u64
    lead: u64
    capacity: u32
    steps: Ptr[u64]
    areas: Ptr[u64]
    touched: u1
    averaging: u1
    area: u64


@typed
def worthwhile(listener: Listener, period: u64) -> bool:
    """Whether noise with so many ticks between two clocks is averaged."""
    return u64(period * listener.rate) <= (1 << RATE_BITS) // AT_LEAST


@typed
def ones(bits: u16) -> u16:
    """How many bits are 1."""
    twos = (bits & 0x5555) + (bits >> 1 & 0x5555)
    fours = (twos & 0x3333) + (twos >> 2 & 0x3333)
    eights = (fours & 0x0F0F) + (fours >> 4 & 0x0F0F)
    return (eights & 15) + (eights >> 8)


@typed(shared=True)
def play(listener: Listener, height: u64, at: u64, period: u64, to: u64) -> u16:
    """The register's clocks from `at` to `to`, `period` ticks apart; `height` is the pair by which 1 is above 0.

    An edge at the fraction u of a sample moves this sample's average by 1 - u of its height, and the next one's by u
    more. Of all edges in a sample only two sums matter: of their heights, which is the last bit less the first; and of
    heights times u, which is that of a sum by parts, with the number of ones between.
    Returns: the register after that.
    """
    lfsr: u16 = listener.apu.noise.lfsr & 0x7FFF
    position: u64 = u64(listener.lead + u64(u64(at - listener.base) * listener.rate))
    end = u64(listener.lead + u64(u64(to - listener.base) * listener.rate))
    stride = u64(period * listener.rate)
    most: u8 = 1
    while most < noise.FORESEEN and u64(most * stride) < 1 << RATE_BITS:
        most = u8(most + 1)
    while position <= end:
        index = u32(position >> RATE_BITS)
        limit = min(end, position | (1 << RATE_BITS) - 1)
        clocks: u8 = most
        last: u64 = u64(position + u64(u8(most - 1) * stride))
        while last > limit and clocks > 1:
            clocks = u8(clocks - 1)
            last = u64(last - stride)
        bits = noise.foreseen(lfsr)
        first = lfsr & 1
        final = bits >> (clocks & 15) & 1
        between = ones(u16(bits >> 1 & (1 << (clocks & 15) >> 1) - 1))
        lfsr = bits >> (clocks & 15) & 0x7FFF
        if index < listener.capacity:
            later = i64(0)
            if final:
                later = i64(last & (1 << RATE_BITS) - 1)
            if first:
                later = i64(later - (position & (1 << RATE_BITS) - 1))
            later = i64(later - i64(between * stride))
            earlier = i64((final - first << RATE_BITS) - later)
            place = index + DELAY
            listener.areas[place] = u64(listener.areas[place] + u64(height * u64(earlier)))
            listener.areas[place + 1] = u64(listener.areas[place + 1] + u64(height * u64(later)))
        position = u64(last + stride)
    listener.averaging = 1
    return lfsr


@typed
def scaled(area: u64) -> u64:
    """An area as a level << UNIT_BITS, rounded down."""
    return u64((left(area) >> RATE_BITS - UNIT_BITS << 32) + (right(area) >> RATE_BITS - UNIT_BITS))


@typed(shared=True)
def finish(listener: Listener, made: u32) -> None:
    """Put the areas of so many samples into their steps."""
    lane = NOISE if listener.separate else 0
    at: u32 = u32(lane * (listener.capacity + TAPS))
    area: u64 = listener.area
    was: u64 = scaled(area)
    index: u32 = 0
    while index < made:
        area = u64(area + listener.areas[index])
        listener.areas[index] = 0
        now = scaled(area)
        listener.steps[at] = u64(listener.steps[at] + u64(now - was))
        was = now
        at = u32(at + 1)
        index = u32(index + 1)
    listener.area = area
    listener.averaging = mixing.carried(listener.areas, made) != 0
    listener.touched = 1
