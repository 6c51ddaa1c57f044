"""MBC2: up to 256 KiB of ROM, and 512 half bytes of RAM inside the chip.

Source: Pan Docs, "MBC2"; gb-ctr, "MBC2 mapper chip".  Proof: mooneye emulator-only/mbc2/*.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16

from ..maps import select
from .machine import Machine


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """One register area, 0000-3FFF: address bit 8 tells RAMG from ROMB. ROMB is never 0: the chip makes it 1."""
    if address < 0x4000:
        if address & 0x100:
            gb.mapper.bank = max(value & 15, 1)
        else:
            gb.mapper.ram_enable = value & 15 == 10
        select(gb, 0, gb.mapper.bank, 0, gb.mapper.ram_enable)


@typed
def write_ram(gb: Machine, address: u16, value: u8) -> None:
    """Only bits 3-0 exist; the others read as 1, so they are kept as 1. The 512 half bytes repeat."""
    memory = gb.host.memory_map[address >> 8]
    if memory:
        memory[address & 0xFF] = value | 0xF0
