"""Objects of a line: which ten, in what order, and how long they make mode 3.

For:     the OAM scan of mode 2, and what objects and the window add to mode 3.
Not for: their pixels (line.py).
Source:  Pan Docs, "Object Attribute Memory (OAM)", "OBJ penalty algorithm".
"""

from __future__ import annotations

from tracklayer.lang import address_of, pointer, pointer_at, typed, u8, u16, u32

from . import oam
from .state import (
    OBJ_ENABLE,
    OBJ_TALL,
    OBJECTS_PER_LINE,
    WIDTH,
    Machine,
)  # fmt: skip
from .window import LATE_WX, begins_on_line

OBJECTS = 40
PLAIN_END = 253
"""The dot at which mode 3 ends on a line with SCX % 8 == 0, no objects and no window."""
FIRST_LINE_DELAY = 2
"""The first line after the LCD went on is so much late. Source: mooneye ppu/lcdon_timing-GS."""
WINDOW_DOTS = 6
SCAN_DOT = 2
"""The first object is looked at here, the others every second dot: so do writes to LCDC come in between."""
LAST_DOT = SCAN_DOT + 2 * (OBJECTS - 1)
"""The last one is looked at here, when a DMG's scan seems to be over."""
LOOKED_AT = 3
"""The same, as OAM DMA comes in between. Proof: gambatte oamdma/late_sp*."""
OBJECT_DOTS = 6
LAST_PX = WIDTH + 7


@typed
def begin_scan(gb: Machine) -> None:
    """A line's scan begins. What an earlier one found is cleared: it would show which lines were drawn."""
    gb.ppu.object_count = 0
    gb.ppu.scanned = 0
    gb.ppu.disturbed = 0
    for index in range(16):
        gb.ppu.objects[index] = 0


@typed
def scan(gb: Machine) -> None:
    """Find the first ten objects that touch the line, and keep them sorted by X, then by their place in OAM."""
    beside_dma = gb.ppu.scanned | gb.ppu.disturbed | gb.dma.blocking
    if beside_dma != 0 or any_touches(gb, 16 if gb.ppu.lcdc & OBJ_TALL else 8) != 0:
        scan_before(gb, OBJECTS)


@typed
def scan_until(gb: Machine, dot: u16) -> None:
    """Do what the scan has done by `dot`: LCDC is about to change. Proof: gambatte sprites/late_sizechange_*."""
    if dot > SCAN_DOT:
        scan_before(gb, u8(min((dot - SCAN_DOT + 1) >> 1, OBJECTS)))


@typed(outline=True)
def scan_before(gb: Machine, end: u8) -> None:
    """Scan the objects before `end` that were not scanned yet."""
    if gb.dma.blocking | gb.ppu.disturbed:
        scan_beside_dma(gb, end)
        return
    height = 16 if gb.ppu.lcdc & OBJ_TALL else 8
    row = gb.ppu.line + 16
    index: u8 = gb.ppu.scanned
    while index < end and index < OBJECTS:
        y = gb.oam[index * 4]
        if y <= row < y + height and gb.ppu.object_count < OBJECTS_PER_LINE:
            insert(gb, gb.oam[index * 4 + 1], index)
        index = u8(index + 1)
    gb.ppu.scanned = index


@typed(cold=True)
def scan_beside_dma(gb: Machine, end: u8) -> None:
    """The same while OAM DMA runs, or may: each object through the latch."""
    if gb.ppu.disturbed == 0:
        oam.keep_rows(gb)
    height = 16 if gb.ppu.lcdc & OBJ_TALL else 8
    row = gb.ppu.line + 16
    index: u8 = gb.ppu.scanned
    while index < end and index < OBJECTS:
        if not oam.copying(gb, LOOKED_AT + 2 * index):
            oam.latch(gb, index * 4)
        y = gb.ppu.oam_even
        if y <= row < y + height and gb.ppu.object_count < OBJECTS_PER_LINE:
            place = insert(gb, gb.ppu.oam_odd, index)
            oam.insert_row(gb, place, row - y & 15)
        index = u8(index + 1)
    gb.ppu.scanned = index


@typed(cold=True)
def look_again(gb: Machine) -> None:
    """Scan the last object anew: LCDC was written just before its turn, though the scan is over for the CPU.

    Proof: gambatte sprites/late_sizechange_sp39_2, late_sizechange2_sp39_1.
    """
    index: u8 = 0
    count = gb.ppu.object_count
    gb.ppu.object_count = 0
    while index < count:
        key = gb.ppu.objects[index & 15]
        if key & 63 != OBJECTS - 1:
            gb.ppu.objects[gb.ppu.object_count & 15] = key
            gb.ppu.object_count += 1
        index = u8(index + 1)
    gb.ppu.scanned = OBJECTS - 1
    if gb.ppu.disturbed == 0:
        scan_before(gb, OBJECTS)


@typed
def any_touches(gb: Machine, height: u8) -> u32:
    """Whether any object touches the line: a loop that compiles to a few vector instructions."""
    entries = pointer_at(address_of(pointer(gb.oam)), u32)
    row = gb.ppu.line + 16
    found: u32 = 0
    index: u32 = 0
    while index < OBJECTS:
        found = found | u32(((row - (entries[index] & 0xFF)) & 0xFF) < height)
        index += 1
    return found


@typed
def insert(gb: Machine, x: u8, index: u8) -> u8:
    """Add an object to the line's list, behind those that are further left, or at the same X and earlier in OAM.

    Returns: its place in the list.
    """
    key = x << 8 | index
    place: u8 = gb.ppu.object_count
    while place > 0 and gb.ppu.objects[(place - 1) & 15] > key:
        gb.ppu.objects[place & 15] = gb.ppu.objects[(place - 1) & 15]
        place = u8(place - 1)
    gb.ppu.objects[place & 15] = key
    gb.ppu.object_count += 1
    return place


@typed(outline=True)
def plain_mode3_end(gb: Machine) -> u16:
    """The dot at which mode 3 ends if no register changes until then.

    Source: Pan Docs, "Mode 3 length", "OBJ penalty algorithm".  Proof: mooneye ppu/intr_2_mode0_timing_sprites.
    """
    fine = gb.ppu.scx & 7
    gb.ppu.pipe.waited = 0
    end: u16 = PLAIN_END + fine + FIRST_LINE_DELAY * gb.ppu.first_line
    window_x: u16 = 0x100
    if begins_on_line(gb):
        end = u16(end + WINDOW_DOTS)
        window_x = gb.ppu.wx
        if window_x == 0 and fine > 0:
            end = u16(end + 1)
        if window_x == LATE_WX:
            gb.ppu.pipe.waited = WINDOW_DOTS
    if gb.ppu.lcdc & OBJ_ENABLE != 0 or gb.color.hardware != 0:
        last_tile: u16 = 0x1FF
        index: u8 = 0
        while index < gb.ppu.object_count:
            x = gb.ppu.objects[index & 15] >> 8
            if x < WIDTH + 8:
                # Which tile the leftmost pixel lies in, counted along the line, and where in it.
                place = x + fine
                if x > window_x:
                    place = x + 0x100 + 7 - (window_x & 0xFF)
                tile = place >> 3
                before = end
                end = u16(end + OBJECT_DOTS)
                if tile != last_tile:
                    end = u16(end + (5 if x == 0 else max(5 - (place & 7), 0)))
                last_tile = tile
                if x == LAST_PX:
                    gb.ppu.pipe.waited += end - before
            index = u8(index + 1)
    return end
