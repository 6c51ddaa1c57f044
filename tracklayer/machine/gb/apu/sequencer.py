"""The sequencer: what lengths, envelopes and the sweep are clocked by.

For:       catching up with it; the divider being cleared; power.
Not for:   what its clocks do (length.py, envelope.py, sweep.py).
Invariant: after `catch_up(apu, now)` everything that the sequencer moves is right as of `now`, and nothing earlier than
           now is left to do; the channels' own waves may lag behind.
Source:    Pan Docs, "DIV-APU".  Proof: SameSuite div_write_trigger, div_write_trigger_10.
"""

from __future__ import annotations

from tracklayer.lang import typed, u64
from tracklayer.machine.common.clock import NEVER

from . import envelope, length
from . import sweep as sweep_unit
from .state import CHANNELS, ENVELOPES, NR10, Apu

HALF_BITS = 11
"""log2 of the ticks between two changes of the divider's bit: half a period of 512 Hz."""
HALF = 1 << HALF_BITS
ROUND = 16 * HALF
"""Eight steps: behind these all is where it was, but for what counts."""


@typed
def catch_up(apu: Apu, now: u64) -> None:
    """Do all that was due up to `now`."""
    while min(apu.edge_at, apu.sweep.due) <= now:
        if u64(apu.edge_at + ROUND) <= now:
            leap(apu, now)
        next_event(apu)


@typed(shared=True)
def leap(apu: Apu, now: u64) -> None:
    """Whole rounds up to `now` in which nothing but counters would move, at once; none where that is not sure.

    It begins where no envelope is between its count, its preparation and its step.
    """
    sweep = apu.sweep
    if apu.steps == 7 or apu.skip != 0 or sweep.due != NEVER or (sweep.enabled and apu.registers[NR10] & 0x70):
        return
    if u64(apu.edge_at - sweep.triggered_at) <= sweep_unit.HOLD:
        return
    rounds = u64(now - apu.edge_at) // ROUND
    for channel in range(CHANNELS):
        if apu.lengths[channel].enabled and apu.lengths[channel].left > 0:
            return
    for channel in ENVELOPES:
        rounds = min(rounds, envelope.quiet(apu, channel))
    if rounds > 0:
        for channel in ENVELOPES:
            envelope.pass_rounds(apu, channel, rounds)
        sweep.counter = (sweep.counter + 2 * rounds) & 7
        apu.edge_at = u64(apu.edge_at + rounds * ROUND)


@typed(shared=True)
def next_event(apu: Apu) -> None:
    """Do what is due next."""
    now = apu.edge_at
    if apu.sweep.due < now:
        sweep_unit.check(apu)
    else:
        apu.edge_at = u64(now + HALF)
        if u64(now - apu.origin) & HALF:
            for channel in ENVELOPES:
                envelope.prepare(apu, channel)
        else:
            step(apu, now)


@typed(shared=True)
def step(apu: Apu, now: u64) -> None:
    """The divider's bit fell: one step of 512 Hz.

    If the bit was high when power came on, the first fall does nothing, and the second is the first step.
    """
    if apu.skip == 2:
        apu.skip = 1
        return
    if apu.skip == 1:
        apu.skip = 0
    else:
        apu.steps = (apu.steps + 1) & 7
    if apu.steps == 7:
        for channel in ENVELOPES:
            envelope.count(apu, channel)
    for channel in ENVELOPES:
        envelope.step(apu, channel)
    if apu.steps & 1:
        for channel in range(CHANNELS):
            length.clock(apu, channel, now)
    if apu.steps & 3 == 3:
        sweep_unit.clock(apu, now)


@typed
def bit(apu: Apu, now: u64) -> u64:
    """The divider's bit that the sequencer watches."""
    return u64(now - apu.origin) >> HALF_BITS & 1


@typed
def divider_cleared(apu: Apu, now: u64) -> None:
    """The divider is zero now. If that made the bit fall, it is a step. `catch_up` was called."""
    if apu.power and bit(apu, now):
        step(apu, now)
    apu.origin = u64(now + apu.late)
    if apu.power:
        apu.edge_at = u64(apu.origin + HALF)


@typed
def power_on(apu: Apu, now: u64, end: u64) -> None:
    """Begin with the first step. The divider's bit is looked at when the M-cycle of the write ends.

    Proof: gambatte sound/ch2_late_reset_nr52_*.
    """
    apu.powered_at = now
    apu.origin = u64(apu.origin - apu.late)
    apu.late = 0
    apu.switches = 0
    apu.edge_at = u64(end + HALF - (u64(end - apu.origin) & (HALF - 1)))
    if bit(apu, end):
        apu.steps = 1
        apu.skip = 2
    else:
        apu.steps = 0
        apu.skip = 0


@typed
def power_off(apu: Apu) -> None:
    """Nothing happens any more."""
    apu.edge_at = NEVER
    apu.sweep.due = NEVER
