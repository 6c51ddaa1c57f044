"""The sweep of channel 1: a period that moves by itself, and turns the channel off where it would pass 11 bits.

For:     NR10, the counter of 128 Hz, the serial shifter and its check.
Not for: the square wave (pulse.py).
Source:  Pan Docs, "Pulse channel with sweep (CH1)", "Obscure Behavior"; SameSuite channel_1_sweep,
         channel_1_sweep_restart, channel_1_sweep_restart_2.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u64
from tracklayer.machine.common.clock import NEVER

from . import channels, pulse
from .state import DMG, NR10, Apu

FULL = 7
"""Where the counter comes round."""
HOLD, HOLD_DMG = 4, 2
"""Ticks after a trigger in which the counter misses its clock.

Proof: SameSuite channel_1_sweep_restart_2; gambatte sound/ch1_init_reset_sweep_counter_timing_4 for the DMG."""


@typed
def trigger(apu: Apu, now: u64) -> None:
    """Copy the period; where there is a shift, reckon and check the first move already.

    With neither pace nor shift the sweep is off until the next trigger. Proof: blargg dmg_sound 04-sweep.
    """
    sweep = apu.sweep
    sweep.shadow = apu.pulses[0].period
    sweep.addend = 0
    sweep.enabled = apu.registers[NR10] & 0x77 != 0
    sweep.subtracted = 0
    sweep.triggered_at = now
    sweep.due = NEVER
    reload(apu)
    if apu.registers[NR10] & 7:
        begin_check(apu, u64(now + 2))


@typed
def reload(apu: Apu) -> None:
    """The counter starts so far from full as NR10's pace says; a pace of 0 makes it go all the way round."""
    apu.sweep.counter = FULL - (apu.registers[NR10] >> 4 & 7)


@typed
def clock(apu: Apu, now: u64) -> None:
    """One clock of 128 Hz."""
    if u64(now - apu.sweep.triggered_at) <= (HOLD_DMG if apu.revision == DMG else HOLD):
        return
    apu.sweep.counter = (apu.sweep.counter + 1) & 7
    if apu.sweep.counter == FULL and apu.sweep.enabled and apu.registers[NR10] & 0x70:
        move(apu, now)


@typed(shared=True)
def move(apu: Apu, now: u64) -> None:
    """The period moves by what was reckoned before, and the next move is reckoned from the result."""
    sweep = apu.sweep
    reload(apu)
    if apu.registers[NR10] & 7:
        pulse.advance(apu, 0, now)
        if apu.registers[NR10] & 8:
            sweep.shadow = (sweep.shadow - sweep.addend) & 0x7FF
        else:
            sweep.shadow = (sweep.shadow + sweep.addend) & 0x7FF
        pulse.write_period(apu, 0, sweep.shadow & 0x7FF, now)
    begin_check(apu, now)


@typed
def begin_check(apu: Apu, now: u64) -> None:
    """The shifter works a bit at a time, at 1,048,576 Hz: the check's outcome is there that much later."""
    start = u64(now + (u64(now - apu.powered_at) & 1))
    apu.sweep.due = u64(start + 2 * ((apu.registers[NR10] & 7) + 1))


@typed(shared=True)
def check(apu: Apu) -> None:
    """The shifter is done: what it holds is the next move, and if that would pass 11 bits, the channel goes off now."""
    sweep = apu.sweep
    now = sweep.due
    sweep.due = NEVER
    sweep.addend = sweep.shadow >> (apu.registers[NR10] & 7)
    if apu.registers[NR10] & 8:
        sweep.subtracted = 1
    elif sweep.shadow + sweep.addend > 0x7FF:
        channels.stop(apu, 0, now)


@typed
def write_nr10(apu: Apu, value: u8, now: u64) -> None:
    """Pace, direction, shift. Turning from subtracting to adding turns the channel off if it has subtracted.

    A shift of 0 stops a shifter at work. Proof: SameSuite channel_1_sweep_restart, rounds 3 and 7.
    """
    apu.registers[NR10] = value
    if value & 7 == 0:
        apu.sweep.due = NEVER
    if value & 8 == 0 and apu.sweep.subtracted:
        channels.stop(apu, 0, now)
