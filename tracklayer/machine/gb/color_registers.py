"""The registers of a Game Boy Color that a DMG does not have, but for VRAM DMA's.

For:     KEY1, VBK, RP, BCPS to OCPD, OPRI, SVBK, FF72 to FF75.
Not for: what palettes do to a picture (ppu/color.py); VRAM DMA (hdma.py).
Source:  Pan Docs, "CGB Registers", "LCD Color Palettes (CGB only)".
Proof:   mooneye misc/bits/unused_hwio-C, misc/boot_hwio-C.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import typed, u1, u2, u8
from tracklayer.machine.common.clock import STOP_ASKED
from tracklayer.machine.common.registers import Reg

from . import maps, ppu, speed


class Machine(ppu.Machine, speed.Machine, Protocol):
    """What these registers reach of their machine."""


@typed
def read_key1(gb: Machine) -> u8:
    """KEY1: the speed, and whether STOP will change it."""
    if gb.color.functions == 0:
        return 0xFF
    return 0x7E | gb.speed.double << 7 | gb.speed.armed


@typed
def write_key1(gb: Machine, value: u8) -> None:
    """Prepare a change of speed."""
    if gb.color.functions:
        gb.speed.armed = value & 1


@typed
def read_vbk(gb: Machine) -> u8:
    """VBK: the VRAM bank. A plain cartridge reads it too. Proof: mooneye misc/bits/unused_hwio-C."""
    if gb.color.hardware == 0:
        return 0xFF
    return 0xFE | gb.color.vram_bank


@typed
def write_vbk(gb: Machine, value: u8) -> None:
    """Select the VRAM bank."""
    if gb.color.functions:
        maps.select_vram(gb, value & 1)


@typed
def read_svbk(gb: Machine) -> u8:
    """SVBK: the bank of work RAM at D000."""
    if gb.color.functions == 0:
        return 0xFF
    return 0xF8 | gb.color.wram_bank


@typed
def write_svbk(gb: Machine, value: u8) -> None:
    """Select the bank of work RAM at D000, and at F000."""
    if gb.color.functions:
        maps.select_wram(gb, value & 7)


@typed
def read_rp(gb: Machine) -> u8:
    """RP: bit 1 is 0 while light is seen and reading is enabled."""
    if gb.color.functions == 0:
        return 0xFF
    sees = gb.color.light.seen != 0 and gb.color.light.control & 0xC0 == 0xC0
    return gb.color.light.control | 0x3C | (0 if sees else 2)


@typed
def write_rp(gb: Machine, value: u8) -> None:
    """Switch the diode, and the sensor."""
    if gb.color.functions:
        if gb.host.linked != 0 and (gb.color.light.control ^ value) & 1 != 0:
            gb.clock.stop = STOP_ASKED
            gb.clock.attention()
        gb.color.light.control = value & 0xC1


@typed
def read_opri(gb: Machine) -> u8:
    """OPRI: 1 if objects are ordered as on a DMG."""
    if gb.color.functions == 0:
        return 0xFF
    return 0xFE | gb.color.object_order


@typed
def write_opri(gb: Machine, value: u8) -> None:
    """Locked, as far as drawing goes, since the boot ROM. Source: Pan Docs, "FF6C - OPRI"."""
    if gb.color.functions:
        gb.color.object_order = value & 1


@typed
def palette_index(gb: Machine, objects: u1) -> u8:
    """Which byte of the background's or the objects' palettes is selected; bit 7 steps it after each write."""
    return gb.color.object_index if objects else gb.color.background_index


@typed
def select_byte(gb: Machine, objects: u1, index: u8) -> None:
    """Select a byte of these palettes."""
    if objects:
        gb.color.object_index = index
    else:
        gb.color.background_index = index


@typed
def read_palette_index(gb: Machine, objects: u1) -> u8:
    """BCPS, OCPS; also for a plain cartridge."""
    return palette_index(gb, objects) | 0x40 if gb.color.hardware else 0xFF


@typed
def write_palette_index(gb: Machine, objects: u1, value: u8) -> None:
    """Select a byte."""
    select_byte(gb, objects, value & 0xBF)


@typed
def read_palette(gb: Machine, objects: u1) -> u8:
    """BCPD, OCPD: the selected byte; FF in mode 3, and for a plain cartridge."""
    if gb.color.functions == 0:
        return 0xFF
    ppu.catch_up(gb)
    if ppu.palettes_closed(gb):
        return 0xFF
    index = palette_index(gb, objects)
    colour = gb.color.palettes[(index >> 1 & 31) + 32 * objects]
    return u8(colour >> 8) if index & 1 else u8(colour)


@typed
def write_palette(gb: Machine, objects: u1, value: u8) -> None:
    """Write the selected byte, except in mode 3. The index steps in any case."""
    if gb.color.functions == 0:
        return
    index = palette_index(gb, objects)
    ppu.catch_up(gb)
    if not ppu.palettes_closed(gb):
        ppu.repaint(gb, 0)
        gb.host.drawn.unsure = 1
        at = (index >> 1 & 31) + 32 * objects
        colour = gb.color.palettes[at]
        gb.color.palettes[at] = colour & 0xFF | value << 8 if index & 1 else colour & 0xFF00 | value
    select_byte(gb, objects, index & 0x80 | (index + (index >> 7)) & 0x3F)


@typed
def read_odd(gb: Machine, which: u2) -> u8:
    """FF72 and FF73, bytes of no known use."""
    return gb.color.odd[which] if gb.color.hardware else 0xFF


@typed
def write_odd(gb: Machine, which: u2, value: u8) -> None:
    """Keep it."""
    gb.color.odd[which] = value


@typed
def read_ff74(gb: Machine) -> u8:
    """FF74, like FF72, but only for a cartridge that knows the Color."""
    return gb.color.odd[2] if gb.color.functions else 0xFF


@typed
def write_ff74(gb: Machine, value: u8) -> None:
    """Keep it."""
    gb.color.odd[2] = value


@typed
def read_ff75(gb: Machine) -> u8:
    """FF75: three bits of no known use."""
    return gb.color.odd[3] | 0x8F if gb.color.hardware else 0xFF


@typed
def write_ff75(gb: Machine, value: u8) -> None:
    """Keep bits 6-4."""
    gb.color.odd[3] = value & 0x70


BACKGROUND, OBJECTS = (0,), (1,)

REGISTERS = (
    #   address name    reads as 1  on read             on write             which
    Reg(0xFF4D, "KEY1", 0x00,       read_key1,          write_key1),
    Reg(0xFF4F, "VBK",  0x00,       read_vbk,           write_vbk),
    Reg(0xFF56, "RP",   0x00,       read_rp,            write_rp),
    Reg(0xFF68, "BCPS", 0x00,       read_palette_index, write_palette_index, BACKGROUND),
    Reg(0xFF69, "BCPD", 0x00,       read_palette,       write_palette,       BACKGROUND),
    Reg(0xFF6A, "OCPS", 0x00,       read_palette_index, write_palette_index, OBJECTS),
    Reg(0xFF6B, "OCPD", 0x00,       read_palette,       write_palette,       OBJECTS),
    Reg(0xFF6C, "OPRI", 0x00,       read_opri,          write_opri),
    Reg(0xFF70, "SVBK", 0x00,       read_svbk,          write_svbk),
    Reg(0xFF72, "FF72", 0x00,       read_odd,           write_odd,           (0,)),
    Reg(0xFF73, "FF73", 0x00,       read_odd,           write_odd,           (1,)),
    Reg(0xFF74, "FF74", 0x00,       read_ff74,          write_ff74),
    Reg(0xFF75, "FF75", 0x00,       read_ff75,          write_ff75),
)  # fmt: skip
