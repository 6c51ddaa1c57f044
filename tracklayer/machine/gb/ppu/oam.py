"""The latch through which the PPU reads OAM, and what comes through it while OAM DMA has OAM to itself.

For:     objects whose scan or fetch a copy disturbs; reading an object's tile and attributes in mode 3.
Not for: the copy (dma.py); the scan of a line that no copy disturbs (objects.py).
Source:  Pan Docs, "OAM DMA bus conflicts"; aappleby/metroboy, GateBoyLib/GateBoyOamBus.cpp, from the chip's gates; the
         sources of Hacktix/strikethrough.gb and pinobatch's "Red from OAM".
Proof:   hacktix strikethrough; gambatte oamdma/late_sp*; tests/machine/gb/ppu/test_oam.py.

OAM gives 16 bits at a time: a Y and an X, or a tile's number and its attributes. Its address is the copy's while that
runs. The scan does not open the latch then: it goes on to find what the latch last held, for each object anew, which is
the place where an object stands, as often as it is looked at, or nothing at all. An object's fetch does open it, and
gets the word that the copy is at.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16, u64

from .. import dma, speed
from .state import HEIGHT, OBJ_ENABLE, WIDTH, Machine

LAST_READ = 156
"""Where the Y of the object stands that a scan looks at last."""


@typed
def copying(gb: Machine, dot: u16) -> bool:
    """Whether OAM is the copy's at this dot of the line. The copy catches up to it."""
    if gb.dma.blocking:
        dma.advance(gb, speed.time_of(gb, u64(gb.ppu.line_start + dot)))
        return gb.dma.running != 0
    return False


@typed
def latch(gb: Machine, place: u8) -> None:
    """Read the two bytes at an even place of OAM."""
    if place <= 158:
        gb.ppu.oam_even = gb.oam[place]
        gb.ppu.oam_odd = gb.oam[place + 1]


@typed
def fetch(gb: Machine, index: u8, dot: u16) -> None:
    """Read an object's tile number and attributes, or what the copy has there instead."""
    place = u8((index & 63) * 4 + 2)
    if copying(gb, dot):
        place = dma.word_at(gb)
    latch(gb, place)


@typed
def row_of(gb: Machine, index: u8, position: u8) -> u8:
    """The row of an object that is the next in it on this line. It is known since the scan."""
    if gb.ppu.disturbed:
        return gb.ppu.rows >> (position & 15) * 4 & 15
    place = (index & 63) * 4
    return gb.ppu.line + 16 - (gb.oam[place] if place <= LAST_READ else 0) & 15


@typed(outline=True)
def disturb(gb: Machine) -> None:
    """A copy is about to begin. The PPU has read until now what it had to: keep what OAM will not tell any more."""
    place: u8 = LAST_READ
    drawn: u8 = 0
    index: u8 = 0
    while index < gb.ppu.object_count:
        if gb.ppu.objects[index & 15] >> 8 < WIDTH + 8 and (gb.ppu.lcdc & OBJ_ENABLE != 0 or gb.color.hardware != 0):
            drawn = index + 1
        index = u8(index + 1)
    if gb.ppu.pipe.active:
        drawn = gb.ppu.pipe.object
    if 0 < gb.ppu.scanned < 40:
        place = u8((gb.ppu.scanned - 1) * 4)
    elif drawn > 0:
        place = u8((gb.ppu.objects[(drawn - 1) & 15] & 63) * 4 + 2)
    if gb.ppu.disturbed == 0:
        latch(gb, place)
        keep_rows(gb)


@typed
def keep_rows(gb: Machine) -> None:
    """From here on the line's objects have the rows that they have now."""
    rows: u64 = 0
    index: u8 = 0
    while index < gb.ppu.object_count:
        row = row_of(gb, u8(gb.ppu.objects[index & 15]), index)
        rows = rows | row << (index & 15) * 4
        index = u8(index + 1)
    gb.ppu.rows = rows
    gb.ppu.disturbed = gb.ppu.line < HEIGHT


@typed
def insert_row(gb: Machine, position: u8, row: u8) -> None:
    """An object came to `position` of the line's list: so does its row."""
    shift = (position & 15) * 4
    before = gb.ppu.rows & u64((1 << shift) - 1)
    gb.ppu.rows = before | u64((gb.ppu.rows ^ before) << 4) | row << shift
