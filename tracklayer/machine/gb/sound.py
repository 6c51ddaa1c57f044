"""The sound registers NR10 to NR52 and wave RAM, FF10-FF3F, as a register file.

For:     what the CPU reads back.
Not for: making sound.
Source:  Pan Docs, "Audio Registers". Proof of the bits that read as 1: blargg dmg_sound 01-registers.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, array, struct, typed, u8, u16

FIRST = 0xFF10
COUNT = 0x30
WAVE = 0x20
"""Index of wave RAM in `registers`."""
NR52 = 0x16
"""Index of NR52: bit 7 is the power, bits 3-0 are the channels that run."""

ONES = (
    #   x0    x1    x2    x3    x4
    0x80, 0x3F, 0x00, 0xFF, 0xBF,  # NR10-NR14
    0xFF, 0x3F, 0x00, 0xFF, 0xBF,  # NR20-NR24; FF15 does not exist
    0x7F, 0xFF, 0x9F, 0xFF, 0xBF,  # NR30-NR34
    0xFF, 0xFF, 0x00, 0x00, 0xBF,  # NR40-NR44; FF1F does not exist
    0x00, 0x00, 0x70,              # NR50-NR52
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
) + (0x00,) * 16  # fmt: skip
"""Bits that read as 1, from FF10 on."""


@struct
class Sound:
    """The 48 bytes from FF10 to FF3F as written."""

    registers: Array[u8] = array(COUNT)


class Machine(Protocol):
    """What sound reaches of its machine."""

    sound: Sound


@typed
def read(gb: Machine, address: u16) -> u8:
    """A register FF10-FF3F as the CPU sees it; elsewhere all ones."""
    index = (address - FIRST) & 0x3F
    if index < COUNT:
        return gb.sound.registers[index] | ONES[index]
    return 0xFF


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """Registers hold what is written while the power is on; without it only NR52 and wave RAM do."""
    index = (address - FIRST) & 0x3F
    if index == NR52:
        if not value & 0x80:
            for register in range(NR52):
                gb.sound.registers[register] = 0
            gb.sound.registers[NR52] = 0
        else:
            gb.sound.registers[NR52] |= 0x80
    elif index < COUNT and (index >= WAVE or gb.sound.registers[NR52] & 0x80 != 0):
        gb.sound.registers[index] = value
