"""The OAM corruption bug of monochrome models: touching FE00-FEFF while the PPU scans OAM damages a row of it.

For:     what the CPU's accesses, and its address unit's steps, do to OAM in mode 2.
Not for: whether the CPU gets at OAM at all (memory.py); the scan (ppu/objects.py).
Source:  Pan Docs, "OAM Corruption Bug".
Proof:   blargg oam_bug/*; tests/machine/gb/test_oam_bug.py.

OAM lies there as 20 rows of four 16-bit words. The scan opens one row each M-cycle; an access of the CPU then mixes the
row with the one before, whatever address it names. The first row has none before it and stays whole.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16, u64

from . import ppu, speed
from .ppu import LCD_ENABLE
from .ppu.state import HEIGHT, Machine

ROWS = 20
ROW = 8
SCAN_DOTS = 4 * ROWS


@typed(cold=True)
def step(gb: Machine) -> None:
    """The address unit steps an address in FE00-FEFF, or the CPU writes there."""
    ppu.catch_up(gb)
    row = open_row(gb)
    if row > 0:
        mix(gb, row, 0)


@typed
def read(gb: Machine) -> None:
    """The CPU reads there. The PPU has caught up."""
    row = open_row(gb)
    if row > 0:
        mix(gb, row, 1)


@typed(rare=True)
def read_step(gb: Machine) -> None:
    """The CPU is about to read there, and its address unit steps the address in the same M-cycle."""
    ppu.catch_up(gb)
    row = open_row(gb)
    if 4 <= row < ROWS - 1:
        at = row * ROW
        a, b = word(gb, u8(at - 2 * ROW)), word(gb, u8(at - ROW))
        c, d = word(gb, at), word(gb, u8(at - ROW + 4))
        set_word(gb, u8(at - ROW), b & (a | c | d) | a & c & d)
        index: u8 = 0
        while index < ROW:
            byte = gb.oam[at - ROW + index]
            gb.oam[at + index] = byte
            gb.oam[at - 2 * ROW + index] = byte
            index = u8(index + 1)


@typed(rare=True)
def open_row(gb: Machine) -> u8:
    """The row that the scan has open now; 0 where the bug does nothing: for the first row too, and where none is open.

    The PPU has caught up, and sees now what it was to see of OAM as it was.
    UNVERIFIED: that nothing happens while OAM DMA has OAM to itself; no test known.
    """
    if gb.color.hardware != 0 or gb.dma.running != 0 or gb.ppu.lcdc & LCD_ENABLE == 0:
        return 0
    dot = u64(speed.dots(gb) - gb.ppu.line_start)
    if gb.ppu.line >= HEIGHT or gb.ppu.first_line != 0 or dot >= SCAN_DOTS:
        return 0
    ppu.touch(gb, 0)
    return u8(dot >> 2)


@typed(rare=True)
def mix(gb: Machine, row: u8, reading: u8) -> None:
    """Damage a row by a write, or a read."""
    at = max(min(row, ROWS - 1), 1) * ROW
    a, b, c = word(gb, at), word(gb, u8(at - ROW)), word(gb, u8(at - ROW + 4))
    set_word(gb, at, b | a & c if reading else (a ^ c) & (b ^ c) ^ c)
    index: u8 = 2
    while index < ROW:
        gb.oam[at + index] = gb.oam[at - ROW + index]
        index = u8(index + 1)


@typed
def word(gb: Machine, at: u8) -> u16:
    """The 16-bit word of OAM at a byte's place."""
    return gb.oam[at] << 8 | gb.oam[at + 1]


@typed
def set_word(gb: Machine, at: u8, value: u16) -> None:
    """Store a word."""
    gb.oam[at] = value >> 8
    gb.oam[at + 1] = value & 0xFF
