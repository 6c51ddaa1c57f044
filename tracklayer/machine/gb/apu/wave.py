"""Channel 3: samples from wave RAM.

For:       the sample clock, and the CPU's access to wave RAM while it runs.
Not for:   its length (length.py).
Invariant: as for pulses: `advance` may be split anywhere.
Source:    Pan Docs, "Wave channel (CH3)", "FF30-FF3F", "Obscure Behavior"; SameSuite channel_3_*.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16, u64

from .rounds import left_over
from .state import DMG, NR30, NR32, WAVE, Apu

DELAY = 3
"""Ticks from a trigger to the first sample, beyond the sample's own length. Proof: SameSuite channel_3_delay."""

SHIFTS = (4, 0, 1, 2)
"""By NR32's bits 6-5: how far the sample is shifted right."""


@typed
def sample_length(period: u16) -> u16:
    """Ticks that a sample takes."""
    return 2048 - (period & 0x7FF)


@typed
def running(apu: Apu) -> bool:
    """Whether samples are being fetched."""
    return apu.running >> WAVE & 1 != 0


@typed(shared=True)
def advance(apu: Apu, now: u64) -> None:
    """Fetch all samples up to `now`, as one."""
    wave = apu.wave
    if running(apu) and wave.fetch_at <= now:
        length = sample_length(wave.period)
        fetches, since = left_over(u64(now - wave.fetch_at), length, (16, 8, 4, 2, 1))
        wave.fetched_at = u64(now - since)
        wave.fetch_at = u64(wave.fetched_at + length)
        wave.index = (wave.index + 1 + fetches) & 31
        wave.buffer = wave.ram[wave.index >> 1 & 15]


@typed
def write_period(apu: Apu, period: u16, now: u64) -> None:
    """NR33 or NR34: another period, from the next sample on. Proof: SameSuite channel_3_freq_change_delay."""
    wave = apu.wave
    wave.period = period
    if running(apu) and wave.fetched_at == now:
        wave.fetch_at = u64(now + sample_length(period))


@typed
def trigger(apu: Apu, now: u64) -> None:
    """Begin at sample 0, which is not fetched: the byte in the buffer is heard until sample 1 is.

    Proof: SameSuite channel_3_first_sample, channel_3_restart_delay.
    """
    wave = apu.wave
    if running(apu) and apu.revision == DMG and wave.fetch_at <= u64(now + 1):
        corrupt(apu)
    wave.index = 0
    wave.fetch_at = u64(now + sample_length(wave.period) + DELAY)


@typed
def corrupt(apu: Apu) -> None:
    """A trigger while a sample is being fetched writes to wave RAM, on DMG.

    Source: Pan Docs, "Obscure Behavior".  Proof: blargg dmg_sound 10-wave trigger while on.
    """
    wave = apu.wave
    at = (wave.index + 1 >> 1) & 15
    if at < 4:
        wave.ram[0] = wave.ram[at]
    else:
        for offset in range(4):
            wave.ram[offset] = wave.ram[at & 12 | offset]


@typed
def stop(apu: Apu) -> None:
    """NR30 turned the DAC off. Proof: SameSuite channel_3_restart_stop_delay: what was fetched is gone."""
    apu.wave.buffer = 0


@typed
def reachable(apu: Apu, now: u64) -> bool:
    """Whether the CPU reaches wave RAM now: on a DMG that runs, only in the tick of a fetch."""
    return not running(apu) or apu.revision != DMG or apu.wave.fetched_at == now


@typed
def ram_index(apu: Apu, index: u8) -> u8:
    """Which byte of wave RAM the CPU gets: while the channel runs, the one that it reads. `advance` was called."""
    return apu.wave.index >> 1 & 15 if running(apu) else index & 15


@typed
def output(apu: Apu) -> u8:
    """The four bits that go to the DAC."""
    if not running(apu) or apu.registers[NR30] & 0x80 == 0:
        return 0
    return sample(apu, apu.wave.index, apu.wave.buffer)


@typed
def sample(apu: Apu, index: u8, buffer: u8) -> u8:
    """The nibble of a byte that is heard, as loud as NR32 says."""
    return (buffer & 15 if index & 1 else buffer >> 4) >> SHIFTS[apu.registers[NR32] >> 5 & 3]
