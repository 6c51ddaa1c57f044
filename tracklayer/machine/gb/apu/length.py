"""Length counters: channels that turn themselves off after a time.

For:     NRx1's low bits, NRx4's bit 6, and the quirks of writing these.
Not for: when the sequencer clocks them (sequencer.py).
Source:  Pan Docs, "Length timer", "Obscure Behavior".  Proof: blargg dmg_sound and cgb_sound 02, 03, 07.
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u16, u64

from . import channels
from .state import CGB_B, DMG, WAVE, Apu


@typed
def longest(channel: Any) -> u16:
    """What a length counter begins at when it had run out."""
    return 256 if channel == WAVE else 64


@typed
def load(apu: Apu, channel: Any, value: u8) -> None:
    """NRx1: how long the channel shall sound."""
    apu.lengths[channel].left = longest(channel) - (value & (longest(channel) - 1))


@typed
def clock(apu: Apu, channel: Any, now: u64) -> None:
    """One clock of 256 Hz. Only its last one turns the channel off."""
    length = apu.lengths[channel]
    if length.enabled and length.left > 0:
        length.left -= 1
        if length.left == 0:
            channels.stop(apu, channel, now)


@typed
def refill(apu: Apu, channel: Any) -> None:
    """A trigger of a channel whose length had run out gives it the longest one. Enabling it counts as new then."""
    length = apu.lengths[channel]
    if length.left == 0:
        length.left = longest(channel)
        length.enabled = 0


@typed
def enable(apu: Apu, channel: Any, value: u8, now: u64) -> None:
    """NRx4's bit 6. Enabling a counter is a clock in itself where the sequencer's next step would not clock it.

    Up to CGB B any write of NRx4 to a counter that was disabled is that clock. There the wave channel goes on when its
    counter comes to 0 in this way, and the next such write stops it.
    Source: Pan Docs, "Obscure Behavior"; SameSuite channel_1_extra_length_clocking-cgb0B, channel_3_*-cgbB.
    UNVERIFIED: on CPU CGB, before B, the wave channel does not wait for the next write; here it does.
    """
    length = apu.lengths[channel]
    if not length.enabled and apu.steps & 1 and length.left > 0 and (value & 0x40 or DMG < apu.revision <= CGB_B):
        length.left -= 1
        if length.left == 0:
            if value & 0x80:
                length.left = longest(channel) - 1
            elif channel != WAVE or apu.revision != CGB_B:
                channels.stop(apu, channel, now)
    elif channel == WAVE and apu.revision == CGB_B and length.left == 0 and not length.enabled and apu.steps & 1:
        channels.stop(apu, channel, now)
    length.enabled = value & 0x40 != 0
