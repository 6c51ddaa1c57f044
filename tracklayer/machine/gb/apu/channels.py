"""The four channels alike: where one is meant by its number.

For:     bringing a channel up to date, turning it off, its output.
Not for: what a kind of channel does (pulse.py, wave.py, noise.py).
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u64

from . import noise, pulse, wave
from .state import NR30, PULSES, WAVE, Apu


@typed
def advance(apu: Apu, channel: Any, now: u64) -> None:
    """Everything that the channel does by itself up to `now`."""
    if channel in PULSES:
        pulse.advance(apu, channel, now)
    elif channel == WAVE:
        wave.advance(apu, now)
    else:
        noise.advance(apu, now)


@typed
def stop(apu: Apu, channel: Any, now: u64) -> None:
    """Turn a channel off."""
    advance(apu, channel, now)
    apu.running &= ~(1 << channel)


@typed
def dac(apu: Apu, channel: Any) -> bool:
    """Whether the channel's DAC is on. Source: Pan Docs, "DACs"."""
    if channel == WAVE:
        return apu.registers[NR30] & 0x80 != 0
    return apu.registers[5 * channel + 2] & 0xF8 != 0


@typed
def output(apu: Apu, channel: Any) -> u8:
    """The four bits that go to the channel's DAC, when the channel is up to date."""
    if channel in PULSES:
        return pulse.output(apu, channel)
    elif channel == WAVE:
        return wave.output(apu)
    return noise.output(apu)
