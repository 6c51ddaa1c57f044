"""MMM01: several games and a menu. The menu picks a game's part of ROM and RAM and locks it; then the chip is an MBC1.

Before that the last 32 KiB stand at 0000-7FFF, whatever the registers hold.

Source: Pan Docs, "MMM01".
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16

from ..maps import select
from .machine import Machine


@typed(rare=True)
def write(gb: Machine, address: u16, value: u8) -> None:
    """A write to 0000-7FFF. Most bits can be changed only while no game is mapped."""
    chip = gb.mapper.mmm01
    free = not chip.mapped
    match (address >> 13) & 3:
        case 0:
            gb.mapper.ram_enable = value & 15 == 10
            if free:
                chip.ram_mask = (value >> 4) & 3
                chip.mapped = (value >> 6) & 1
        case 1:
            chip.rom_low = chip.rom_low & chip.rom_mask | value & 31 & ~chip.rom_mask
            if free:
                chip.rom_mid = (value >> 5) & 3
        case 2:
            chip.ram_low = chip.ram_low & chip.ram_mask | value & 3 & ~chip.ram_mask
            if free:
                chip.ram_high = (value >> 2) & 3
                chip.rom_high = (value >> 4) & 3
                chip.mode_locked = (value >> 6) & 1
        case _:
            if not chip.mode_locked:
                gb.mapper.mode = value & 1
            if free:
                chip.rom_mask = (value >> 1) & 0x1E
                chip.multiplex = (value >> 6) & 1
    place(gb)


@typed
def place(gb: Machine) -> None:
    """Banks as the registers say. Multiplex swaps the middle bits of the ROM bank with the low bits of the RAM bank."""
    chip = gb.mapper.mmm01
    if not chip.mapped:
        last = u16(gb.host.rom_banks - 1)
        select(gb, last & 0x1FE, last | 1, chip.ram_high << 2, gb.mapper.ram_enable)
    else:
        ram_fixed = chip.ram_low & chip.ram_mask
        ram_used = chip.ram_low if gb.mapper.mode else ram_fixed
        bank = chip.rom_low if chip.rom_low & ~chip.rom_mask & 31 else chip.rom_low | 1
        mid_low = ram_used if chip.multiplex else chip.rom_mid
        mid = chip.ram_low if chip.multiplex else chip.rom_mid
        low = chip.rom_high << 7 | mid_low << 5 | chip.rom_low & chip.rom_mask & 31
        high = chip.rom_high << 7 | mid << 5 | bank & 31
        ram = chip.ram_high << 2 | (chip.rom_mid if chip.multiplex else ram_used)
        select(gb, low, high, ram, gb.mapper.ram_enable)
