"""MBC5: up to 8 MiB of ROM and 128 KiB of RAM; bank 0 can be selected like any other.

Source: Pan Docs, "MBC5"; gb-ctr, "MBC5 mapper chip".  Proof: mooneye emulator-only/mbc5/*.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16

from ..maps import select
from .machine import Machine


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """RAMG, ROMB0, ROMB1, RAMB. Only the exact value 0A opens the RAM."""
    match (address >> 12) & 7:
        case 0 | 1:
            gb.mapper.ram_enable = value == 10
        case 2:
            gb.mapper.bank = gb.mapper.bank & 0x100 | value
        case 3:
            gb.mapper.bank = gb.mapper.bank & 0xFF | (value & 1) << 8
        case 4 | 5:
            gb.mapper.upper = value & 15
        case _:
            pass
    select(gb, 0, gb.mapper.bank, gb.mapper.upper, gb.mapper.ram_enable)


@typed
def write_rumble(gb: Machine, address: u16, value: u8) -> None:
    """With a rumble motor, bit 3 of RAMB drives the motor and selects no RAM."""
    masked = value & 7 if (address >> 13) & 3 == 2 else value
    write(gb, address, masked)
