"""A boot ROM: the program that runs before the cartridge's, where there is one.

For:     FF50, which takes it away, and KEY0.
Not for: placing it at 0000, and 0200-08FF on a Color (maps.py); power-on, with or without one (boot.py).
Source:  Pan Docs, "Power-Up Sequence", "FF50 - BANK", "FF4C - KEY0".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import typed, u8
from tracklayer.machine.common.registers import Reg

from . import maps

SIZES = {False: 0x100, True: 0x900}
"""Bytes of a boot ROM, of a Color too. A Color's second page is not mapped: the cartridge's header shines through."""


class Machine(maps.Machine, Protocol):
    """What the registers reach of their machine."""


@typed
def write_bank(gb: Machine, value: u8) -> None:
    """FF50: bit 0 takes the boot ROM away for good."""
    if gb.boot_rom.mapped != 0 and value & 1 != 0:
        gb.boot_rom.mapped = 0
        maps.place_rom(gb, maps.ROM_LOW, gb.banks.low)
        maps.remap(gb, maps.ROM_LOW, 64)


@typed
def write_key0(gb: Machine, value: u8) -> None:
    """FF4C: a Color's boot ROM decides whether the cartridge may use what a Color has more: bits 3-2 are 0 then."""
    if gb.boot_rom.mapped != 0 and gb.color.hardware != 0:
        gb.color.functions = value & 0x0C == 0


REGISTERS = (
    #   address name    reads as 1  on read  on write
    Reg(0xFF4C, "KEY0", 0x00,       None,    write_key0),
    Reg(0xFF50, "BANK", 0x00,       None,    write_bank),
)  # fmt: skip
