"""Drawing a whole line at once, eight pixels to a word.

For:     lines on which nothing was written during mode 3: nearly all.
Not for: when (timing.py).
Source:  Pan Docs, "Tile Data", "Tile Maps", "Window", "Palettes", "Object Priority and Conflicts".
Proof:   dmg-acid2.

A word holds 8 pixels, one in each byte, the leftmost in the low byte. Masks and small multiplications then work on
eight pixels at a time; `ONES * n` is eight times n.
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u16, u64

from ..host import COLOUR_WORDS, PICTURE_WORDS
from . import unchanged
from .state import (
    BG_ENABLE,
    BG_MAP,
    OBJ_ENABLE,
    OBJ_TALL,
    TILE_DATA,
    WINDOW_MAP,
    WORDS,
    Machine,
)  # fmt: skip
from .window import begins_on_line

ONES = 0x0101010101010101

SPREAD = tuple(sum(((byte >> (7 - x)) & 1) << (8 * x) for x in range(8)) for byte in range(256))
"""A byte of tile data as a word: bit 7, the leftmost pixel, in the low byte."""
SPREAD_FLIPPED = tuple(sum(((byte >> x) & 1) << (8 * x) for x in range(8)) for byte in range(256))

WHITE = 0x7FFF7FFF7FFF7FFF
"""Four pixels of a colour picture."""

OBJ_PALETTE, OBJ_BEHIND = 4, 8
"""Bits of a pixel in the object layer, above its colour: it uses OBP1; colours 1 to 3 of the background hide it."""


@typed(outline=True)
def draw(gb: Machine) -> None:
    """Draw the current line into the picture that is not shown."""
    if unchanged.stands(gb):
        return
    if gb.ppu.lcdc & BG_ENABLE:
        draw_background(gb, tile_row)
        if begins_on_line(gb):
            draw_window(gb, tile_row)
    else:
        for k in range(WORDS):
            gb.host.line.background[k] = 0
    row = (1 - gb.host.shown) * PICTURE_WORDS + gb.ppu.line * WORDS
    if row <= 2 * PICTURE_WORDS - WORDS:
        if gb.ppu.lcdc & OBJ_ENABLE != 0 and gb.ppu.object_count > 0:
            draw_objects(gb)
            mix(gb, row)
        else:
            for k in range(WORDS):
                gb.host.picture.words[row + k] = shades(gb.ppu.bgp, gb.host.line.background[k])


@typed
def tile_row(gb: Machine, place: u16, row: u16) -> u64:
    """Eight pixels of the background or window tile whose number stands at `place` in VRAM."""
    tile = gb.vram[place & 0x1FFF]
    address = tile * 16 + row * 2
    if gb.ppu.lcdc & TILE_DATA == 0 and tile < 128:
        address = address + 0x1000
    return SPREAD[gb.vram[address & 0x1FFF]] | SPREAD[gb.vram[(address + 1) & 0x1FFF]] << 1


@typed
def draw_background(gb: Machine, fetch: Any) -> None:
    """Fetch 21 tiles from the map, by `tile_row` or its like, and shift them left by SCX's low bits."""
    y = (gb.ppu.line + gb.ppu.scy) & 0xFF
    first = (0x1C00 if gb.ppu.lcdc & BG_MAP else 0x1800) + (y >> 3) * 32
    column = gb.ppu.scx >> 3
    shift = (gb.ppu.scx & 7) * 8
    left = fetch(gb, first + column, y & 7)
    for k in range(WORDS):
        right = fetch(gb, first + ((column + k + 1) & 31), y & 7)
        gb.host.line.background[k] = (left >> shift) | u64(u64(right << (56 - shift)) << 8)
        left = right


@typed
def draw_window(gb: Machine, fetch: Any) -> None:
    """Put the window's current row over the background from WX - 7 on."""
    y = gb.ppu.window_line
    first = (0x1C00 if gb.ppu.lcdc & WINDOW_MAP else 0x1800) + (y >> 3) * 32
    start = gb.ppu.wx + 1  # where the window begins, counted from 8 pixels left of the screen
    shift = (start & 7) * 8
    word: u8 = start >> 3
    tile: u8 = 0
    left: u64 = 0
    keep = u64((1 << shift) - 1)
    while word <= WORDS:
        right = fetch(gb, first + (tile & 31), y & 7)
        pixels = u64(right << shift) | ((left >> (56 - shift)) >> 8)
        if word > 0:
            at = word - 1
            gb.host.line.background[at] = (gb.host.line.background[at] & keep) | (pixels & u64(~keep))
        keep = 0
        left = right
        tile = u8(tile + 1)
        word = u8(word + 1)


@typed
def draw_objects(gb: Machine) -> None:
    """Lay the line's objects into the object layer, the first in front. It begins 8 pixels left of the screen."""
    for k in range(WORDS + 2):
        gb.host.line.objects[k] = 0
    height = 16 if gb.ppu.lcdc & OBJ_TALL else 8
    index: u8 = 0
    while index < gb.ppu.object_count:
        draw_object(gb, gb.ppu.objects[index & 15], height, False)
        index = u8(index + 1)


@typed
def draw_object(gb: Machine, key: u16, height: u8, functions: Any) -> None:
    """Lay one object under those already there. `functions`: with what its flags mean on a Color."""
    x = key >> 8
    if x < 168:
        place = (key & 63) * 4
        flags = object_byte(gb, place + 3)
        tile = object_byte(gb, place + 2)
        row = (gb.ppu.line + 16 - object_byte(gb, place)) & (height - 1)
        if flags & 0x40:
            row = height - 1 - row
        if height == 16:
            tile = tile & 0xFE
        address = (tile * 16 + row * 2) & 0x1FFF
        if functions:
            address = address | (flags & 8) << 10
        low, high = gb.vram[address & 0x3FFF], gb.vram[(address + 1) & 0x3FFF]
        pixels: u64 = 0
        if flags & 0x20:
            pixels = SPREAD_FLIPPED[low] | SPREAD_FLIPPED[high] << 1
        else:
            pixels = SPREAD[low] | SPREAD[high] << 1
        if functions:
            marks = (flags & 7) << 2 | flags & 0x80
        else:
            marks = (flags >> 4 & 1) * OBJ_PALETTE + (flags >> 7) * OBJ_BEHIND
        pixels = pixels | u64(ONES * marks) & opaque(pixels)
        shift = (x & 7) * 8
        lay_under(gb, x >> 3, u64(pixels << shift))
        lay_under(gb, (x >> 3) + 1, (pixels >> (56 - shift)) >> 8)


@typed
def object_byte(gb: Machine, index: u8) -> u8:
    """A byte of OAM."""
    return gb.oam[index] if index < 160 else 0


@typed
def lay_under(gb: Machine, word: u8, pixels: u64) -> None:
    """Fill what is still empty in one word of the object layer."""
    there = gb.host.line.objects[word]
    gb.host.line.objects[word] = there | pixels & u64(~opaque(there))


@typed
def opaque(pixels: u64) -> u64:
    """FF in each byte whose colour (bits 1-0) is not 0."""
    return u64(((pixels | pixels >> 1) & ONES) * 0xFF)


@typed
def shades(palette: u8, pixels: u64) -> u64:
    """The colours in bits 1-0 of each byte, seen through a palette register."""
    both = pixels & pixels >> 1 & ONES
    low = pixels & ONES ^ both
    high = pixels >> 1 & ONES ^ both
    none = ONES ^ low ^ high ^ both
    return u64(none * (palette & 3) + low * (palette >> 2 & 3) + high * (palette >> 4 & 3) + both * (palette >> 6))


@typed
def mix(gb: Machine, row: u16) -> None:
    """Put the object layer over the background, through the palettes, into the picture."""
    for k in range(WORDS):
        background = gb.host.line.background[k]
        pixels = shades(gb.ppu.bgp, background)
        objects = gb.host.line.objects[k + 1]
        if objects != 0:
            behind = u64((objects >> 3 & ONES) * 0xFF)
            wins = opaque(objects) & u64(~(behind & opaque(background)))
            second = u64((objects >> 2 & ONES) * 0xFF)
            coloured = shades(gb.ppu.obp0, objects) & u64(~second) | shades(gb.ppu.obp1, objects) & second
            pixels = pixels & u64(~wins) | coloured & wins
        gb.host.picture.words[row + k] = pixels


@typed(outline=True)
def blank(gb: Machine) -> None:
    """The shown picture becomes white: the LCD is off."""
    unchanged.forget_shown(gb)
    index: u16 = 0
    start = gb.host.shown * PICTURE_WORDS
    while index < PICTURE_WORDS:
        gb.host.picture.words[start + index] = 0
        index = u16(index + 1)
    if gb.color.hardware:
        index = 0
        start = gb.host.shown * COLOUR_WORDS
        while index < COLOUR_WORDS:
            gb.host.colours.words[start + index] = WHITE
            index = u16(index + 1)
