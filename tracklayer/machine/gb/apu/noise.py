"""Channel 4: noise from a shift register.

For:       the clock of the shift register, and the register itself, one clock at a time or very many.
Not for:   volume (envelope.py).
Invariant: as for pulses: `advance` may be split anywhere.
Source:    Pan Docs, "Noise channel (CH4)", "FF22 - NR43"; SameSuite channel_4_*.
"""

from __future__ import annotations

from tracklayer.lang import comptime, typed, u8, u16, u32, u64

from .state import NOISE, NR43, Apu

DELAY = 6
"""Ticks from a trigger to the first count where the divider is 0. Proof: SameSuite channel_4_delay, channel_4_align."""
SHORTEST = 7
"""No first count comes sooner where the divider is not 0. Proof: SameSuite channel_4_frequency_alignment."""
SINGLE = 16
"""Up to so many shifts are done one by one."""
FORESEEN = 14
"""Clocks that the register knows beforehand in white noise: all but one of its 15 bits are compared as they are."""
DE_BRUIJN = 0x09AF
"""Each four bits of it in a row are others, so its product with a power of two tells which that was."""
PLACES = tuple(next(n for n in range(16) if (DE_BRUIJN << n >> 12) & 15 == top) for top in range(16))
LONG_CYCLE, SHORT_CYCLE = 32767, 127
"""After so many shifts the register repeats itself; in short mode from the eighth on, when all of it was shifted in."""


@typed
def shifted(lfsr: u16, short: u8) -> u16:
    """The register one clock later: bits 0 and 1 compared go in on top; in short mode into bit 6 too."""
    new = (lfsr ^ lfsr >> 1 ^ 1) & 1
    lfsr = lfsr >> 1 & 0x3FFF | new << 14
    if short:
        lfsr = lfsr & 0x7FBF | new << 6
    return u16(lfsr)


@typed
def foreseen(lfsr: u16) -> u32:
    """The register in white noise with what comes in on top in the next clocks: bit n is its lowest bit after n of
    them, up to FORESEEN. Those are clocked by bits that are in it already."""
    return (lfsr & 0x7FFF) | ((lfsr ^ lfsr >> 1 ^ 0x7FFF) & 0x3FFF) << 15


@typed
def lowest(bits: u16) -> u8:
    """Which is the lowest 1 of some bits, at least one of which is 1."""
    return PLACES[((bits & 0 - bits) * DE_BRUIJN >> 12) & 15]


@comptime
def powers(short: int) -> tuple[int, ...]:
    """By n: where 2**n shifts bring each of the 15 bits, for the register with all bits inverted, which is linear."""
    columns = [shifted(0x7FFF ^ 1 << bit, short) ^ 0x7FFF for bit in range(15)]
    table: list[int] = []
    for _ in range(15):
        table += columns
        columns = [_apply(columns, column) for column in columns]
    return tuple(table)


def _apply(columns: list[int], vector: int) -> int:
    result = 0
    for bit, column in enumerate(columns):
        if vector >> bit & 1:
            result ^= column
    return result


LONG_POWERS = powers(0)
SHORT_POWERS = powers(8)


@typed(shared=True)
def shift(lfsr: u16, short: u8, clocks: u64) -> u16:
    """The register so many clocks later."""
    state: u16 = lfsr
    left: u32 = 0
    if clocks <= SINGLE:
        left = u32(clocks)
    elif short:
        left = u32(u64(clocks - 8) % SHORT_CYCLE + 8)
    else:
        left = u32(clocks % LONG_CYCLE)
    if left <= SINGLE:
        while left > 0:
            state = shifted(state, short)
            left = u32(left - 1)
        return state
    state = state ^ 0x7FFF
    row: u16 = 0
    while left > 0:
        if left & 1:
            vector: u16 = state
            state = 0
            column: u16 = row
            while vector:
                if vector & 1 and column < 225:
                    state = state ^ (SHORT_POWERS[column] if short else LONG_POWERS[column])
                vector = vector >> 1
                column = u16(column + 1)
        left = left >> 1
        row = u16(row + 15)
    return u16((state ^ 0x7FFF) & 0x7FFF)


@typed
def count_length(nr43: u8) -> u8:
    """Ticks between two counts: the divider's, in 8 dots each; 0 is half of one."""
    return (nr43 & 7) * 4 if nr43 & 7 else 2


@typed
def clocks_in(counter: u16, counts: u64, nr43: u8) -> u64:
    """How often the bit that NR43 selects rises in so many counts. Bits 14 and 15 do not exist."""
    bit = nr43 >> 4
    if bit > 13:
        return 0
    half = 1 << bit
    before = (counter & (half << 1) - 1) + half
    return u64((u64(before + counts) >> (bit + 1)) - (before >> (bit + 1)))


@typed
def count(apu: Apu, now: u64) -> u64:
    """Count up to `now`. How often the shift register is clocked by that."""
    noise = apu.noise
    clocks: u64 = 0
    if apu.running >> NOISE & 1 and noise.count_at <= now:
        nr43 = apu.registers[NR43]
        length = count_length(nr43)
        since = u64(now - noise.count_at)
        counts: u64 = 1
        for divider in range(8):
            if nr43 & 7 == divider:
                counts = u64(since // (divider * 4 if divider else 2) + 1)
        clocks = clocks_in(noise.counter, counts, nr43)
        noise.counter = u16(noise.counter + counts) & 0x3FFF
        noise.counted_at = u64(noise.count_at + u64(counts - 1) * length)
        noise.count_at = u64(noise.counted_at + length)
    return clocks


@typed(shared=True)
def advance(apu: Apu, now: u64) -> None:
    """Count, and shift as often as that says."""
    clocks = count(apu, now)
    if clocks > 0:
        apu.noise.lfsr = shift(apu.noise.lfsr, apu.registers[NR43] & 8, clocks)


@typed
def write_nr43(apu: Apu, value: u8, now: u64) -> None:
    """Another frequency. Where that selects a bit of the counter that is high, and the old one was not, it clocks."""
    noise = apu.noise
    old = apu.registers[NR43]
    apu.registers[NR43] = value
    if apu.running >> NOISE & 1:
        if noise.counted_at == now:
            noise.count_at = u64(now + count_length(value))
        if selected(noise.counter, value) and not selected(noise.counter, old):
            noise.lfsr = shifted(noise.lfsr, value & 8)


@typed
def selected(counter: u16, nr43: u8) -> u16:
    """The bit of the counter that clocks the shift register."""
    return counter >> (nr43 >> 4) & 1 if nr43 >> 4 < 14 else 0


@typed
def trigger(apu: Apu, now: u64) -> None:
    """Clear the shift register and the counter. Counting begins on a clock of the chip, which runs since power came on.

    Proof: SameSuite channel_4_align, channel_4_frequency_alignment.
    """
    noise = apu.noise
    noise.lfsr = 0
    noise.counter = 0
    since = u64(now - apu.powered_at)
    divider = apu.registers[NR43] & 7
    if divider == 0:
        first = u64(now + (since & 1) + DELAY)
        if apu.running >> NOISE & 1:
            first = u64(first + 2)
    else:
        # The divider's clock ticks at 2 after every multiple of 4; the first two ticks after a trigger it does not see.
        first = u64(now + 2 + (u64(0 - since) & 3) + divider * 4)
        if first < u64(now + SHORTEST):
            first = u64(first + 4)
    noise.count_at = first


@typed
def output(apu: Apu) -> u8:
    """The four bits that go to the DAC."""
    if apu.running >> NOISE & 1 and apu.noise.lfsr & 1:
        return apu.envelopes[NOISE].volume & 15
    return 0
