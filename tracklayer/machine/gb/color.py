"""What a Game Boy Color has more: banks of VRAM and work RAM, palettes, KEY0, KEY1, OPRI, infrared, odd registers.

For:     the struct of these.
Not for: their registers (color_registers.py); VRAM DMA (hdma.py); double speed itself (speed.py).
Source:  Pan Docs, "CGB Registers", "LCD Color Palettes (CGB only)".
"""

from __future__ import annotations

from tracklayer.lang import Array, array, struct, u1, u3, u8, u16


@struct
class Light:
    """The infrared port: RP."""

    control: u8
    """Bits 7, 6 and 0 as written: reading enabled, diode on."""
    seen: u1
    """The sensor sees light. A partner sets it."""


@struct
class Color:
    """Everything but the memory itself. All zero on a monochrome console."""

    hardware: u1
    """1: this is a Game Boy Color."""
    functions: u1
    """1: the cartridge may use what that has more. 0: it is a plain one, and the console behaves nearly like a DMG."""
    revision: u8
    """Of the chip, as model.py counts."""
    vram_bank: u1
    wram_bank: u3
    """As written: 0 selects bank 1."""
    object_order: u1
    """OPRI bit 0. The boot ROM has decided; what is written here later changes nothing but what is read."""
    light: Light
    odd: Array[u8] = array(4)
    """FF72 to FF75."""
    behind: Array[u8] = array(96)
    """What stands behind OAM, at FEA0, before revision E."""
    background_index: u8
    object_index: u8
    """BCPS and OCPS: a byte's index, and bit 7 steps it after each write."""
    palettes: Array[u16] = array(64)
    """Eight palettes of four colours for the background, then eight for objects; BGR555 with red in the low bits."""
