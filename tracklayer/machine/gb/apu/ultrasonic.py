"""Tones that lie above half the sampling rate as a whole: all that is heard of one is its average.

For:       pulses and samples whose pattern repeats at least that fast, and the average of theirs.
Not for:   fast tones that repeat more slowly: their edges are played one by one (listener.py); noise (average.py).
Invariant: what is decided here depends on the chip's state and the rate alone, not on how time is divided into calls.

A pattern that repeats itself has its own frequency and multiples of it, and nothing else but its average. Edges add up
to the same, but there are 4,400 in a frame of a pulse, 35,000 in one of a wave. Programs leave channels so to hold a
level, and change its volume: pulses play recorded sounds that way. So averages are exact: in sixteenths.
"""

from __future__ import annotations

from typing import Any, Protocol

from tracklayer.lang import typed, u8, u16, u32, u64

from . import pulse, wave
from .state import RATE_BITS, WAVE, Apu

PARTS_BITS = 4
"""Levels are in sixteenths: the average of 32 samples, each an odd number of levels from the middle."""
ONES = tuple(bits.bit_count() for bits in pulse.DUTIES)
LONGEST = 1 << 16
"""Ticks: longer than any pattern."""


class Listener(Protocol):
    """What this needs of a listener (listener.py)."""

    apu: Apu
    rate: u32


@typed
def beyond(listener: Listener, ticks: u64) -> bool:
    """Whether what repeats itself after so many ticks has nothing below half the sampling rate."""
    return u64(min(ticks, LONGEST) * listener.rate) <= 2 << RATE_BITS


@typed
def pulse_is(listener: Listener, channel: Any) -> bool:
    """Whether a square wave is beyond hearing."""
    return beyond(listener, 8 * pulse.step_length(listener.apu.pulses[channel].period))


@typed
def wave_is(listener: Listener) -> bool:
    """Whether the samples of wave RAM are."""
    return beyond(listener, 32 * wave.sample_length(listener.apu.wave.period))


@typed
def averaged(listener: Listener, channel: Any) -> bool:
    """Whether the average of a channel, which is up to date, is heard: the step that it is in is as short as all."""
    apu = listener.apu
    if apu.running >> channel & 1 == 0:
        return False
    if channel == WAVE:
        own = apu.wave
        return wave_is(listener) and beyond(listener, u64(min(u64(own.fetch_at - own.fetched_at), LONGEST) * 32))
    step = apu.pulses[channel]
    return pulse_is(listener, channel) and beyond(listener, u64(min(u64(step.step_at - step.stepped_at), LONGEST) * 8))


@typed
def level(apu: Apu, channel: Any, amplification: u64) -> u64:
    """A pair: the average, in sixteenths."""
    if channel == WAVE:
        return u64((240 - wave_sum(apu)) * amplification)
    ones = ONES[apu.registers[5 * channel + 1] >> 6]
    return u64((240 - 4 * (apu.envelopes[channel].volume & 15) * ones) * amplification)


@typed(shared=True)
def wave_sum(apu: Apu) -> u16:
    """The sum of all 32 samples."""
    total: u16 = 0
    index: u8 = 0
    while index < 32:
        total = u16(total + wave.sample(apu, index, apu.wave.ram[index >> 1 & 15]))
        index = u8(index + 1)
    return total
