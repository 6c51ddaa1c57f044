"""Channels 1 and 2: square waves.

For:       the duty steps, and what a trigger and a new period do to them.
Not for:   volume (envelope.py), sweep (sweep.py).
Invariant: `advance` to one time and then to another is `advance` to the second.
           A step comes before an access at the same time.
Source:    Pan Docs, "Pulse channels (CH1, CH2)"; SameSuite channel_1_*.
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u16, u64

from .rounds import left_over
from .state import CGB_C, Apu

DUTIES = (0b1000_0000, 0b1000_0001, 0b1110_0001, 0b0111_1110)
"""By duty: the eight steps, step 0 in bit 0."""

DELAY = 4
"""Ticks from a trigger to the first step, beyond the step's own length. Proof: SameSuite channel_1_delay."""
DELAY_RUNNING = 2
"""The same where the channel ran already. Proof: SameSuite channel_1_restart."""


@typed
def step_length(period: u16) -> u16:
    """Ticks that a step takes."""
    return (2048 - (period & 0x7FF)) * 2


@typed
def duty_bit(apu: Apu, channel: Any, step: u8) -> u8:
    """The level of a step, by NRx1's bits 7-6."""
    return DUTIES[apu.registers[5 * channel + 1] >> 6] >> (step & 7) & 1


@typed(shared=True)
def advance(apu: Apu, channel: Any, now: u64) -> None:
    """Take all steps up to `now`, as one."""
    pulse = apu.pulses[channel]
    if apu.running >> channel & 1 and pulse.step_at <= now:
        length = step_length(pulse.period)
        steps, since = left_over(u64(now - pulse.step_at), length, (4, 2, 1))
        pulse.stepped_at = u64(now - since)
        pulse.step_at = u64(pulse.stepped_at + length)
        pulse.step = (pulse.step + 1 + steps) & 7
        pulse.high = duty_bit(apu, channel, pulse.step)


@typed
def write_period(apu: Apu, channel: Any, period: u16, now: u64) -> None:
    """NRx3 or NRx4: another period, from the next step on. The clock of a step that just began still takes it.

    The clock is the chip's 1,048,576 Hz, so "just" is two ticks; up to CGB C only the first of them.
    Proof: SameSuite channel_1_freq_change, channel_1_freq_change_timing-*.
    """
    pulse = apu.pulses[channel]
    pulse.period = period
    if apu.running >> channel & 1 and u64(now - pulse.stepped_at) < (1 if apu.revision <= CGB_C else 2):
        pulse.step_at = u64(pulse.stepped_at + step_length(period))


@typed
def trigger(apu: Apu, channel: Any, now: u64) -> None:
    """Begin a step anew, on the next clock of 1,048,576 Hz. Which step it is only power resets."""
    pulse = apu.pulses[channel]
    start = u64(now + (u64(now - apu.powered_at) & 1))
    if apu.running >> channel & 1:
        pulse.step_at = u64(start + step_length(pulse.period) + DELAY_RUNNING)
    else:
        pulse.step_at = u64(start + step_length(pulse.period) + DELAY)
        pulse.high = 0


@typed
def output(apu: Apu, channel: Any) -> u8:
    """The four bits that go to the DAC."""
    if apu.running >> channel & 1 and apu.pulses[channel].high:
        return apu.envelopes[channel].volume & 15
    return 0
