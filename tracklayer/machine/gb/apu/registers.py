"""What a write to a sound register does, and what a read gives.

For:     FF10 to FF3F and, on a Game Boy Color, FF76 and FF77; power.
Not for: finding out what time it is, and who listens (port.py).
Source:  Pan Docs, "Audio Registers".  Proof of the bits that read as 1: blargg dmg_sound 01-registers.
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u64

from . import channels, envelope, length, noise, pulse, sequencer, sweep, wave
from .state import CHANNELS, DMG, NOISE, NR10, NR30, NR32, NR43, NR50, NR51, NR52, PULSES, WAVE, WAVE_RAM, Apu

ONES = (
    #   x0    x1    x2    x3    x4
    0x80, 0x3F, 0x00, 0xFF, 0xBF,  # NR10-NR14
    0xFF, 0x3F, 0x00, 0xFF, 0xBF,  # NR20-NR24; FF15 does not exist
    0x7F, 0xFF, 0x9F, 0xFF, 0xBF,  # NR30-NR34
    0xFF, 0xFF, 0x00, 0x00, 0xBF,  # NR40-NR44; FF1F does not exist
    0x00, 0x00, 0x70,              # NR50-NR52
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
)  # fmt: skip
"""Bits that read as 1, from FF10 on."""


@typed
def write_length(apu: Apu, channel: Any, value: u8, now: u64) -> None:
    """NRx1."""
    channels.advance(apu, channel, now)
    apu.registers[5 * channel + 1] = value
    length.load(apu, channel, value)


@typed
def write_envelope(apu: Apu, channel: Any, value: u8, now: u64) -> None:
    """NR12, NR22, NR42. Bits 7-3 all clear turn the DAC off, and the channel with it."""
    if apu.running >> channel & 1:
        if value & 0xF8:
            envelope.rewrite(apu, channel, value)
        else:
            channels.stop(apu, channel, now)
    apu.registers[5 * channel + 2] = value


@typed
def write_dac(apu: Apu, value: u8, now: u64) -> None:
    """NR30: the wave channel's DAC."""
    if value & 0x80 == 0:
        channels.stop(apu, WAVE, now)
        wave.stop(apu)
    apu.registers[NR30] = value


@typed
def write_control(apu: Apu, channel: Any, value: u8, now: u64) -> None:
    """NRx4: the period's high bits, the trigger, the length's switch."""
    channels.advance(apu, channel, now)
    apu.registers[5 * channel + 4] = value
    if channel in PULSES:
        pulse.write_period(apu, channel, (value & 7) << 8 | apu.pulses[channel].period & 0xFF, now)
    elif channel == WAVE:
        wave.write_period(apu, (value & 7) << 8 | apu.wave.period & 0xFF, now)
    if value & 0x80:
        trigger(apu, channel, now)
    length.enable(apu, channel, value, now)


@typed
def trigger(apu: Apu, channel: Any, now: u64) -> None:
    """Start a channel. Without its DAC it does not run, but all else happens."""
    if channel in PULSES:
        pulse.trigger(apu, channel, now)
    elif channel == WAVE:
        wave.trigger(apu, now)
    else:
        noise.trigger(apu, now)
    if channel != WAVE:
        envelope.trigger(apu, channel)
    if channel == 0:
        sweep.trigger(apu, now)
    length.refill(apu, channel)
    if channels.dac(apu, channel):
        apu.running |= 1 << channel


@typed(shared=True)
def power_off(apu: Apu, now: u64) -> None:
    """All registers are cleared but wave RAM; a DMG keeps its length counters.

    Source: Pan Docs, "FF26 - NR52".  Proof: blargg dmg_sound 08-len ctr during power, 11-regs after power.
    """
    for channel in range(CHANNELS):
        channels.stop(apu, channel, now)
        apu.lengths[channel].enabled = 0
        if apu.revision != DMG:
            apu.lengths[channel].left = 0
    for index in range(NR52):
        apu.registers[index] = 0
    for channel in PULSES:
        apu.pulses[channel].period = 0
        apu.pulses[channel].step = 0
        apu.pulses[channel].high = 0
    for channel in range(CHANNELS):
        apu.envelopes[channel].volume = 0
        apu.envelopes[channel].armed = 0
    apu.wave.period = 0
    apu.wave.index = 0
    apu.wave.buffer = 0
    apu.power = 0
    sequencer.power_off(apu)


@typed
def write_power(apu: Apu, value: u8, now: u64, end: u64) -> None:
    """NR52: only bit 7 can be written."""
    if value & 0x80 and not apu.power:
        apu.power = 1
        sequencer.power_on(apu, now, end)
    elif value & 0x80 == 0 and apu.power:
        power_off(apu, now)


@typed
def write_wave_ram(apu: Apu, index: u8, value: u8, now: u64) -> None:
    """FF30-FF3F."""
    wave.advance(apu, now)
    if wave.reachable(apu, now):
        apu.wave.ram[wave.ram_index(apu, index)] = value


@typed(shared=True)
def write(apu: Apu, index: u8, value: u8, now: u64, end: u64) -> None:
    """A register, by its distance from FF10. The write's M-cycle ends at `end`.

    Without power only NR52, wave RAM and, on a DMG, lengths can be written.
    """
    sequencer.catch_up(apu, now)
    if index >= WAVE_RAM:
        write_wave_ram(apu, u8(index - WAVE_RAM), value, now)
    elif index == NR52:
        write_power(apu, value, now, end)
    elif apu.power:
        if index == NR10:
            sweep.write_nr10(apu, value, now)
        elif index == NR30:
            write_dac(apu, value, now)
        elif index == NR43:
            noise.advance(apu, now)
            noise.write_nr43(apu, value, now)
        else:
            for channel in range(CHANNELS):
                if index == 5 * channel + 1:
                    write_length(apu, channel, value, now)
                elif index == 5 * channel + 2 and channel != WAVE:
                    write_envelope(apu, channel, value, now)
                elif index == 5 * channel + 3 and channel != NOISE:
                    channels.advance(apu, channel, now)
                    if channel == WAVE:
                        wave.write_period(apu, apu.wave.period & 0x700 | value, now)
                    else:
                        pulse.write_period(apu, channel, apu.pulses[channel].period & 0x700 | value, now)
                elif index == 5 * channel + 4:
                    write_control(apu, channel, value, now)
            if index in (NR32, NR50, NR51):
                apu.registers[index & 31] = value
    elif apu.revision == DMG:
        for channel in range(CHANNELS):
            if index == 5 * channel + 1:
                length.load(apu, channel, value)


@typed(shared=True)
def read(apu: Apu, index: u8, now: u64) -> u8:
    """A register, by its distance from FF10."""
    sequencer.catch_up(apu, now)
    if index >= WAVE_RAM:
        wave.advance(apu, now)
        if wave.reachable(apu, now):
            return apu.wave.ram[wave.ram_index(apu, u8(index - WAVE_RAM))]
        return 0xFF
    if index == NR52:
        return apu.power << 7 | 0x70 | apu.running
    return apu.registers[index & 31] | ONES[index & 31]


@typed(shared=True)
def pcm(apu: Apu, low: Any, now: u64) -> u8:
    """PCM12 or PCM34: what channels `low` and `low + 1` give to their DACs. Source: Pan Docs, "PCM registers"."""
    sequencer.catch_up(apu, now)
    channels.advance(apu, low, now)
    channels.advance(apu, low + 1, now)
    return channels.output(apu, low) | channels.output(apu, low + 1) << 4
