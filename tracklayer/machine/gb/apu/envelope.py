"""Volume envelopes, and what writing NRx2 does to a channel that sounds.

For:     channels 1, 2 and 4: the volume's own movement, and its sudden changes, known as zombie mode.
Not for: when the sequencer steps them (sequencer.py).
Source:  Pan Docs, "Obscure Behavior"; SameSuite channel_1_nrx2_speed_change, channel_1_nrx2_glitch, channel_1_volume.
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u64
from tracklayer.machine.common.clock import NEVER

from .state import CGB_C, Apu


@typed
def register(apu: Apu, channel: Any) -> u8:
    """NRx2: the volume to begin with, bit 3 set to become louder, and the pace."""
    return apu.registers[5 * channel + 2]


@typed
def trigger(apu: Apu, channel: Any) -> None:
    """Begin with the volume in NRx2."""
    envelope = apu.envelopes[channel]
    value = register(apu, channel)
    envelope.volume = value >> 4
    envelope.countdown = value & 7
    envelope.armed = 0
    envelope.ended = 0


@typed
def prepare(apu: Apu, channel: Any) -> None:
    """Half-way between two steps: where the countdown is over, the coming step moves the volume.

    So a pace that was 0 until just now moves it at the next step, not at one in eight.
    Proof: SameSuite channel_1_nrx2_speed_change, tests 6 and 7.
    """
    envelope = apu.envelopes[channel]
    if apu.running >> channel & 1 and envelope.countdown == 0:
        envelope.countdown = register(apu, channel) & 7
        envelope.armed = envelope.countdown != 0


@typed
def count(apu: Apu, channel: Any) -> None:
    """One step in eight: 64 Hz."""
    envelope = apu.envelopes[channel]
    if not envelope.armed:
        envelope.countdown = (envelope.countdown - 1) & 7


@typed
def step(apu: Apu, channel: Any) -> None:
    """A step of the sequencer: move the volume where that was prepared. At either end it stays from then on."""
    envelope = apu.envelopes[channel]
    if envelope.armed:
        envelope.armed = 0
        value = register(apu, channel)
        if envelope.volume == (15 if value & 8 else 0):
            envelope.ended = 1
        elif not envelope.ended and value & 7:
            move(apu, channel, value)


@typed
def quiet(apu: Apu, channel: Any) -> u64:
    """For how many rounds of eight steps, from a time between two counts, nothing but the countdown will move."""
    envelope = apu.envelopes[channel]
    pace = register(apu, channel) & 7
    if envelope.armed:
        return 0
    if apu.running >> channel & 1 == 0 or pace == 0 or at_end(apu, channel):
        return NEVER
    return u64(max(envelope.countdown, 1) - 1)


@typed
def at_end(apu: Apu, channel: Any) -> bool:
    """Whether the volume stays where it is, and the countdown runs round in NRx2's pace."""
    envelope = apu.envelopes[channel]
    value = register(apu, channel)
    return envelope.ended != 0 and envelope.volume == (15 if value & 8 else 0) and 0 < envelope.countdown <= value & 7


@typed
def pass_rounds(apu: Apu, channel: Any, rounds: u64) -> None:
    """So many rounds, as `quiet` allows, pass."""
    envelope = apu.envelopes[channel]
    pace = register(apu, channel) & 7
    if apu.running >> channel & 1 and pace != 0 and at_end(apu, channel):
        left = rounds % 420  # a multiple of every pace
        while left > 0:
            envelope.countdown = envelope.countdown - 1 if envelope.countdown > 1 else pace
            left = u64(left - 1)
    else:
        envelope.countdown = (envelope.countdown - rounds) & 7


@typed
def move(apu: Apu, channel: Any, value: u8) -> None:
    """One up or down, as NRx2's bit 3 says."""
    envelope = apu.envelopes[channel]
    envelope.volume = (envelope.volume + (1 if value & 8 else 15)) & 15


@typed
def rewrite(apu: Apu, channel: Any, value: u8) -> None:
    """NRx2 is written while the channel runs. Call before the register changes.

    The chips up to CGB C behave as if FF stood on the bus for a moment before the value. On two of them that was
    measured ("CGB-02", "CGB-04" in Pan Docs).
    UNVERIFIED (DMG): said to be less consistent.
    """
    old = register(apu, channel)
    if apu.revision <= CGB_C:
        change(apu, channel, old, 0xFF)
        change(apu, channel, 0xFF, value)
    else:
        change(apu, channel, old, value)


@typed(shared=True)
def change(apu: Apu, channel: Any, old: u8, new: u8) -> None:
    """What the volume does when NRx2 goes from one value to another.

    Source: SameSuite channel_1_volume, all pairs of direction and of a pace that is or is not 0.
    """
    envelope = apu.envelopes[channel]
    if envelope.armed:
        envelope.countdown = new & 7
    loose = old & 7 == 0 and not envelope.ended
    moves = loose and (new & 7 != 0 or old & new & 8 != 0)
    if (old ^ new) & 8:
        if new & 8:
            envelope.volume = ((15 if loose else 14) - envelope.volume) & 15
            moves = False
        else:
            envelope.volume = (16 - envelope.volume) & 15
    if moves:
        move(apu, channel, new)
    elif new & 7 == 0:
        envelope.armed = 0
