"""Drawing a whole line at once on a Game Boy Color.

For:     the background's attributes, objects in OAM's order, priorities, palettes; plain cartridges' shades as colours.
Not for: a DMG (line.py); lines on which something is written during mode 3 (pipeline.py).
Source:  Pan Docs, "BG Map Attributes (CGB Mode only)", "BG-to-OBJ Priority in CGB Mode", "LCD Color Palettes".
Proof:   cgb-acid2; tests/machine/gb/ppu/test_color.py holds it against pipeline.py.

As in line.py a word holds 8 pixels, one in each byte: bits 1-0 are the colour, bits 4-2 the palette, bit 7 is the
attribute that puts the background in front, or the object behind. What comes out is an index into the palettes: bit 5
is 1 for an object.
"""

from __future__ import annotations

from tracklayer.lang import address_of, pointer, pointer_at, typed, u8, u16, u64

from ..host import COLOUR_WORDS
from . import unchanged
from .line import (
    ONES,
    SPREAD,
    SPREAD_FLIPPED,
    draw_background,
    draw_object,
    draw_objects,
    draw_window,
    opaque,
    tile_row,
)
from .line import shades as through
from .state import BG_ENABLE, HEIGHT, OBJ_ENABLE, OBJ_TALL, TILE_DATA, WIDTH, WORDS, Machine
from .window import begins_on_line

OF_OBJECTS = 0x20
"""Index of the first colour of the objects' palettes."""
ATTRIBUTES = 0x2000
"""From a tile's number in VRAM to its attributes, in bank 1."""


@typed(outline=True)
def draw(gb: Machine) -> None:
    """Draw the current line into the picture that is not shown."""
    if unchanged.stands(gb):
        return
    if gb.color.functions:
        draw_background(gb, attributed_row)
        if begins_on_line(gb):
            draw_window(gb, attributed_row)
    elif gb.ppu.lcdc & BG_ENABLE:
        draw_background(gb, tile_row)
        if begins_on_line(gb):
            draw_window(gb, tile_row)
    else:
        for k in range(WORDS):
            gb.host.line.background[k] = 0
    has_objects = gb.ppu.lcdc & OBJ_ENABLE != 0 and gb.ppu.object_count > 0
    if not has_objects:
        for k in range(WORDS + 2):
            gb.host.line.objects[k] = 0
    elif gb.color.functions:
        draw_in_order(gb)
    else:
        draw_objects(gb)
    if gb.color.functions:
        mix(gb)
    else:
        mix_plain(gb)
    put_line(gb)


@typed
def attributed_row(gb: Machine, place: u16, row: u16) -> u64:
    """Eight pixels of the tile whose number stands at `place` in VRAM, as its attributes say."""
    tile = gb.vram[place & 0x1FFF]
    attributes = gb.vram[(place & 0x1FFF) + ATTRIBUTES]
    if attributes & 0x40:
        row = 7 - (row & 7)
    address = (attributes & 8) << 10 | tile * 16 + (row & 7) * 2
    if gb.ppu.lcdc & TILE_DATA == 0 and tile < 128:
        address = address + 0x1000
    low, high = gb.vram[address & 0x3FFF], gb.vram[(address + 1) & 0x3FFF]
    pixels: u64 = 0
    if attributes & 0x20:
        pixels = SPREAD_FLIPPED[low] | SPREAD_FLIPPED[high] << 1
    else:
        pixels = SPREAD[low] | SPREAD[high] << 1
    return pixels | u64(ONES * ((attributes & 7) << 2 | attributes & 0x80))


@typed
def draw_in_order(gb: Machine) -> None:
    """Lay the line's objects into the object layer, the first in OAM in front."""
    for k in range(WORDS + 2):
        gb.host.line.objects[k] = 0
    height = 16 if gb.ppu.lcdc & OBJ_TALL else 8
    wanted: u64 = 0
    index: u8 = 0
    while index < gb.ppu.object_count:
        wanted = wanted | 1 << (gb.ppu.objects[index & 15] & 63)
        index = u8(index + 1)
    place: u8 = 0
    while wanted >> (place & 63) != 0 and place < 40:
        if wanted >> place & 1:
            draw_object(gb, gb.oam[place * 4 + 1] << 8 | place, height, True)
        place = u8(place + 1)


@typed
def mix(gb: Machine) -> None:
    """Put the object layer over the background. LCDC bit 0 off puts every object in front."""
    attributes_count: u64 = ONES if gb.ppu.lcdc & BG_ENABLE else 0
    for k in range(WORDS):
        pixels = gb.host.line.background[k]
        objects = gb.host.line.objects[k + 1]
        hidden = u64(((pixels | objects) >> 7 & attributes_count) * 0xFF) & opaque(pixels)
        wins = opaque(objects) & u64(~hidden)
        gb.host.line.background[k] = pixels & u64(~wins) | (objects | u64(ONES * OF_OBJECTS)) & wins


@typed
def mix_plain(gb: Machine) -> None:
    """A plain cartridge: shades first, by BGP, OBP0 and OBP1; each has a palette of its own."""
    for k in range(WORDS):
        background = gb.host.line.background[k]
        pixels = through(gb.ppu.bgp, background)
        objects = gb.host.line.objects[k + 1]
        if objects != 0:
            behind = u64((objects >> 3 & ONES) * 0xFF)
            wins = opaque(objects) & u64(~(behind & opaque(background)))
            second = u64((objects >> 2 & ONES) * 0xFF)
            first = through(gb.ppu.obp0, objects) | u64(ONES * OF_OBJECTS)
            other = through(gb.ppu.obp1, objects) | u64(ONES * (OF_OBJECTS + 4))
            pixels = pixels & u64(~wins) | (first & u64(~second) | other & second) & wins
        gb.host.line.background[k] = pixels


@typed
def put_line(gb: Machine) -> None:
    """Put the line's pixels, which are indices into the palettes by now, into the picture as colours."""
    at = (1 - gb.host.shown) * COLOUR_WORDS + gb.ppu.line * (2 * WORDS)
    if gb.ppu.line < HEIGHT and at <= 2 * (COLOUR_WORDS - WORDS):
        pixels = pointer_at(address_of(pointer(gb.host.line.background)), u8)
        colours = pointer_at(address_of(pointer(gb.host.colours.words, at)), u16)
        for x in range(WIDTH):
            colours[x] = gb.color.palettes[pixels[x] & 63] & 0x7FFF


@typed
def put_colour(gb: Machine, x: u8, index: u8) -> None:
    """Put one pixel, an index into the palettes, into the current line."""
    at = (1 - gb.host.shown) * COLOUR_WORDS + gb.ppu.line * (2 * WORDS) + (x >> 2)
    if gb.ppu.line < HEIGHT and x < WIDTH and at < 2 * COLOUR_WORDS:
        bit = (x & 3) * 16
        colour = gb.color.palettes[index & 63] & 0x7FFF
        gb.host.colours.words[at] = gb.host.colours.words[at] & u64(~(0xFFFF << bit)) | colour << bit


@typed
def plain_index(mixed: u8, shade: u8) -> u8:
    """Where a plain cartridge's shade stands in the palettes; `mixed` as in pipeline.py tells whose pixel it is."""
    if mixed & 0x10:
        return u8(OF_OBJECTS + (mixed & 0x20) // 8 + (shade & 3))
    return shade & 3


@typed
def winner(gb: Machine, colour: u8, obj: u8) -> u8:
    """Index into the palettes of the pixel that wins: background colour `colour`, or object colour `obj`."""
    attributes, marks = gb.ppu.pipe.out_attributes, gb.ppu.pipe.out_marks
    hidden = colour & 3 != 0 and gb.ppu.lcdc & BG_ENABLE != 0 and (attributes | marks) & 0x80 != 0
    if obj & 3 != 0 and gb.ppu.lcdc & OBJ_ENABLE != 0 and not hidden:
        return OF_OBJECTS | marks & 0x1C | obj & 3
    return (attributes & 7) << 2 | colour & 3


@typed
def lay_in_order(gb: Machine, low: u8, high: u8, flags: u8, place: u8) -> None:
    """Lay an object's row into the object registers: in front of those that come later in OAM."""
    pipe = gb.ppu.pipe
    marks = (flags & 7) << 2 | flags & 0x80
    for x in range(8):
        bit = 0x80 >> x
        empty = (pipe.obj_low | pipe.obj_high) & bit == 0
        if (low | high) & bit != 0 and (empty or place < pipe.obj_order >> 8 * x & 0xFF):
            pipe.obj_low = pipe.obj_low & ~bit | low & bit
            pipe.obj_high = pipe.obj_high & ~bit | high & bit
            pipe.obj_marks = pipe.obj_marks & u64(~(0xFF << 8 * x)) | marks << 8 * x
            pipe.obj_order = pipe.obj_order & u64(~(0xFF << 8 * x)) | place << 8 * x
