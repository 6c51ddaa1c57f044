"""MBC1: up to 2 MiB of ROM and 32 KiB of RAM, in two banking modes.

Source: Pan Docs, "MBC1"; gb-ctr, "MBC1 mapper chip".  Proof: mooneye emulator-only/mbc1/*.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16

from ..maps import select
from .machine import Machine

UPPER_SHIFT = 5
MULTICART_UPPER_SHIFT = 4
"""MBC1M is wired otherwise: BANK2 extends the ROM bank from bit 4 on, and bit 4 of BANK1 is not connected."""


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """A write to 0000-7FFF of an ordinary MBC1."""
    set_register(gb, address, value)
    place(gb, UPPER_SHIFT)


@typed
def write_multicart(gb: Machine, address: u16, value: u8) -> None:
    """A write to 0000-7FFF of an MBC1M."""
    set_register(gb, address, value)
    place(gb, MULTICART_UPPER_SHIFT)


@typed
def set_register(gb: Machine, address: u16, value: u8) -> None:
    """RAMG, BANK1, BANK2, MODE, by address bits 14-13. BANK1 is never 0: the chip makes it 1."""
    match (address >> 13) & 3:
        case 0:
            gb.mapper.ram_enable = value & 15 == 10
        case 1:
            gb.mapper.bank = max(value & 31, 1)
        case 2:
            gb.mapper.upper = value & 3
        case _:
            gb.mapper.mode = value & 1


@typed
def place(gb: Machine, upper_shift: u8) -> None:
    """Mode 1 lets BANK2 reach the lower ROM area and the RAM; in mode 0 both see 0."""
    upper = gb.mapper.upper & 3
    low = 0
    ram = 0
    if gb.mapper.mode:
        low = upper << upper_shift
        ram = upper
    high = upper << upper_shift | gb.mapper.bank & ((1 << upper_shift) - 1)
    select(gb, low, high, ram, gb.mapper.ram_enable)
