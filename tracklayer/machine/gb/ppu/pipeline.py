"""The pixel pipeline, dot by dot: fetcher, shift registers, objects, window.

For:       lines on which something is written during mode 3, and lines too odd to be drawn at once.
Not for:   lines on which nothing happens (line.py draws them, with the same result); when mode 3 begins (timing.py).
Invariant: everything up to `pipe.dot` is done; the registers still hold what that dot saw.
Source:    Pan Docs, "Pixel FIFO", "Mode 3 length", "OBJ penalty algorithm".
Proof:     mealybug-tearoom m3_*; gambatte scx_during_m3, window, sprites; tests/machine/gb/ppu/test_pipeline.py
           holds it against line.py and objects.py.

The first tile of a line is fetched twice. The pixels of the first copy are shifted out unseen while the counter `px`
runs from 0 to 7: it is an OAM X coordinate, the screen begins at 8. In shift registers the next pixel is bit 7.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16, u64

from ..host import PICTURE_WORDS
from . import color, oam, unchanged, window
from .state import (
    BG_ENABLE,
    BG_MAP,
    DOTS_PER_LINE,
    OBJ_ENABLE,
    OBJ_TALL,
    TILE_DATA,
    WIDTH,
    WINDOW_ENABLE,
    WINDOW_MAP,
    WORDS,
    Machine,
)  # fmt: skip

FIRST_DOT = 80
"""The first dot of the first fetch."""
LAST_PX = WIDTH + 7
"""Mode 3 ends when the last pixel is about to be shifted out."""
LAST_DOT = DOTS_PER_LINE - 4
"""Mode 3 ends here at the latest, whatever was done to it."""
TAIL_DOTS = 2
"""How long after that a palette still sees pixels."""
OBJECT_DOTS = 6
OBJECT_READ = 2
"""The dot of an object's fetch in which OAM is read."""
OBJECT_LOW = 4
"""The dot of an object's fetch at whose begin its low bits are there. The high bits are there when it is over."""
OBJECT_WAITS = 5
"""An object's fetch begins when the tile's has done so many dots."""
SHOWN = 0x80
"""Set in `out` and `mixed` where there is a pixel."""
FIRST = 0x40
"""Set in `out` for the line's first pixel."""
CGB_D = 3
"""Revision of a chip; `Color.revision`."""
RISES, FALLS = 1, 2
"""`tile_data`, in the dot in which LCDC bit 4 changes. A tile's byte that is read just then is, as the bit falls, the
tile's number instead, or on revision D its low bits; as it rises, the byte that was last read from 8000-8FFF, be it a
tile's or an object's.

Source: mealybug-tearoom, "The Comprehensive Game Boy PPU Documentation"; m3_lcdc_tile_sel_win_change2 tells which byte.
"""
MIRRORED = tuple(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in the opposite order."""


@typed
def begin(gb: Machine) -> None:
    """Stand at the begin of mode 3, with nothing fetched."""
    unchanged.forget_line(gb)
    pipe = gb.ppu.pipe
    pipe.active = 1
    pipe.done = 0
    pipe.waited = 0
    pipe.dot = FIRST_DOT + 2 * gb.ppu.first_line
    pipe.px = 0
    pipe.fetch = 0
    pipe.count = 0
    pipe.scrolled = 0
    pipe.window_tile = 0
    pipe.insert = 0
    pipe.held = 0
    pipe.object = 0
    pipe.object_dot = 0
    pipe.obj_low = 0
    pipe.obj_high = 0
    pipe.obj_marks = 0
    pipe.obj_order = 0
    pipe.out = 0
    pipe.out_x = 0


@typed(outline=True)
def forget(gb: Machine) -> None:
    """The line is over, or the LCD off: only the latch is left of how the line was drawn. So a state does not tell
    whether it was drawn at all (timing.py, `repaint`)."""
    pipe = gb.ppu.pipe
    pipe.active = 0
    pipe.done = 0
    pipe.scrolled = 0
    pipe.insert = 0
    pipe.dot = 0
    pipe.px = 0
    pipe.fetch = 0
    pipe.count = 0
    pipe.object_dot = 0
    pipe.object = 0
    pipe.fetch_px = 0
    pipe.tile = 0
    pipe.window_tile = 0
    pipe.row = 0
    pipe.next_low = 0
    pipe.next_high = 0
    pipe.low = 0
    pipe.high = 0
    pipe.fetched_low = 0
    pipe.obj_low = 0
    pipe.obj_high = 0
    pipe.obj_palette = 0
    pipe.obj_behind = 0
    pipe.attributes = 0
    pipe.next_attributes = 0
    pipe.obj_marks = 0
    pipe.obj_order = 0
    pipe.out_attributes = 0
    pipe.out_marks = 0
    pipe.out = 0
    pipe.held = 0
    pipe.held_count = 0
    pipe.held_tile = 0
    pipe.held_low = 0
    pipe.held_high = 0
    pipe.held_attributes = 0
    pipe.out_x = 0


@typed(outline=True)
def run_until(gb: Machine, dot: u16) -> None:
    """Do every dot before `dot`. When the last pixel is shifted out mode 3 is over; the palettes see it later."""
    while gb.ppu.pipe.dot < dot and (gb.ppu.pipe.px <= LAST_PX or gb.ppu.pipe.out != 0):
        put_pixel(gb)
        if gb.ppu.pipe.done == 0:
            tick(gb)
        elif gb.ppu.pipe.px <= LAST_PX:
            if gb.ppu.pipe.object_dot > 0:
                fetch_object(gb)
            shift_pixel(gb)
        gb.ppu.pipe.dot += 1


@typed
def soonest_end(gb: Machine) -> u16:
    """The dot before which mode 3 cannot end: every pixel takes at least one."""
    return u16(gb.ppu.pipe.dot + LAST_PX - min(gb.ppu.pipe.px, LAST_PX - 1))


@typed
def tick(gb: Machine) -> None:
    """One dot of fetching and shifting."""
    pipe = gb.ppu.pipe
    if pipe.object_dot > 0:
        fetch_object(gb)
    if pipe.object_dot == 0 and pipe.count > 0:
        if object_here(gb):
            if pipe.fetch >= OBJECT_WAITS:
                pipe.object_dot = 1
        else:
            shift_pixel(gb)
    fetch_dot(gb)
    if pipe.count == 0 and window.FETCH_DOTS <= pipe.fetch < 0x80:
        window.next_tile(gb)
        pipe.held = 0
        if gb.ppu.window_mode:
            pipe.window_tile = (pipe.window_tile + 1) & 31
    if pipe.dot >= LAST_DOT:
        pipe.px = LAST_PX
        pipe.done = 1
    elif pipe.px == LAST_PX and pipe.count > 0:
        if pipe.object_dot == 0:
            pipe.done = not object_here(gb)
        elif pipe.object_dot == OBJECT_DOTS:
            pipe.done = not object_begins(gb, u8(pipe.object + 1))
    if pipe.done:
        gb.ppu.mode3_end = u16(pipe.dot + 1)
    elif pipe.px == LAST_PX:
        pipe.waited += 1


@typed
def object_here(gb: Machine) -> bool:
    """Whether an object begins at this pixel. Those that were passed while objects were off are lost."""
    pipe = gb.ppu.pipe
    while pipe.object < gb.ppu.object_count and gb.ppu.objects[pipe.object & 15] >> 8 < pipe.px:
        pipe.object += 1
    return object_begins(gb, pipe.object)


@typed
def object_begins(gb: Machine, index: u8) -> bool:
    """Whether the line has such an object, and it begins at this pixel."""
    if index >= gb.ppu.object_count or (gb.ppu.lcdc & OBJ_ENABLE == 0 and gb.color.hardware == 0):
        return False
    return gb.ppu.objects[index & 15] >> 8 == gb.ppu.pipe.px


@typed(outline=True)
def shift_pixel(gb: Machine) -> None:
    """Shift one pixel out; at a line's begin only until SCX's low bits are matched. The window may begin behind it."""
    pipe = gb.ppu.pipe
    if pipe.scrolled == 0 and 8 - pipe.count == gb.ppu.scx & 7:
        pipe.scrolled = 1
    if pipe.scrolled:
        if pipe.px >= 8:
            colour = 0 if pipe.insert else pipe.low >> 7 | pipe.high >> 7 << 1
            obj = pipe.obj_low >> 7 | pipe.obj_high >> 7 << 1
            pixel = pipe.obj_behind >> 7 << 5 | pipe.obj_palette >> 7 << 4 | obj << 2 | colour
            pipe.out_attributes = 0 if pipe.insert else pipe.attributes
            pipe.out_marks = u8(pipe.obj_marks)
            pipe.out = FIRST | pixel if pipe.px == 8 and gb.color.hardware == 0 else mix(gb, pixel)
        pipe.obj_low = pipe.obj_low << 1
        pipe.obj_high = pipe.obj_high << 1
        pipe.obj_palette = pipe.obj_palette << 1
        pipe.obj_behind = pipe.obj_behind << 1
        pipe.obj_marks = pipe.obj_marks >> 8
        pipe.obj_order = pipe.obj_order >> 8
    if pipe.insert:
        pipe.insert = 0
    else:
        pipe.low = pipe.low << 1
        pipe.high = pipe.high << 1
        pipe.count -= 1
    if pipe.scrolled:
        if pipe.px < window.LATE_WX + gb.color.hardware and window_here(gb):
            begin_window(gb)
        if pipe.px < LAST_PX:
            window.hold(gb, pipe.px)
        pipe.px += 1


@typed
def begin_window(gb: Machine) -> None:
    """WX was matched: the window's first tile is fetched, and nothing shifted until it is there.

    If the window is there already, and a tile just at its end, a pixel of colour 0 slips in instead.
    Source: Pan Docs, "The Window" (pixel FIFO).  Proof: mealybug-tearoom m3_wx_4_change.
    """
    pipe = gb.ppu.pipe
    if gb.ppu.window_mode:
        pipe.insert = pipe.count == 0
    else:
        gb.ppu.window_mode = 1
        if gb.color.hardware:
            window.hold_background(gb)
        pipe.window_tile = 0
        pipe.count = 0
        pipe.fetch = 0xFF
        if pipe.px == 0 and gb.ppu.scx & 7 != 0:
            pipe.fetch = 0xFE  # one dot more. Proof: mealybug-tearoom m3_window_timing_wx_0


@typed
def window_here(gb: Machine) -> bool:
    """Whether WX is matched at this pixel."""
    if gb.ppu.window_reached == 0 or gb.ppu.lcdc & WINDOW_ENABLE == 0:
        return False
    return gb.ppu.pipe.px == gb.ppu.wx


@typed
def put_pixel(gb: Machine) -> None:
    """One dot after a pixel is shifted out a palette looks at it.

    Between background and object LCDC decides at once; for the line's first pixel, which comes a little late, only now.
    """
    out = gb.ppu.pipe.out
    if out:
        gb.ppu.pipe.out = 0
        put_shade(gb, mix(gb, out & 0x3F) if out & FIRST and out & SHOWN == 0 else out)


@typed
def put_shade(gb: Machine, mixed: u8) -> None:
    """Put a pixel through its palette into the picture."""
    x = gb.ppu.pipe.out_x
    if gb.color.functions:
        color.put_colour(gb, x, mixed & 0x3F)
        gb.ppu.pipe.out_x = u8(x + 1)
        return
    palette = gb.ppu.bgp
    if mixed & 0x10:
        palette = gb.ppu.obp1 if mixed & 0x20 else gb.ppu.obp0
    shade = palette >> 2 * (mixed & 3) & 3
    if gb.color.hardware:
        color.put_colour(gb, x, color.plain_index(mixed, shade))
    word = (1 - gb.host.shown) * PICTURE_WORDS + gb.ppu.line * WORDS + (x >> 3)
    if word < 2 * PICTURE_WORDS:
        bit = (x & 7) * 8
        gb.host.picture.words[word] = gb.host.picture.words[word] & u64(~(0xFF << bit)) | shade << bit
    gb.ppu.pipe.out_x = u8(x + 1)


@typed
def mix(gb: Machine, out: u8) -> u8:
    """The pixel that wins: its colour, with 10 where it is an object's, 20 where that uses OBP1.

    For a cartridge that knows the Color: its index into the palettes.
    """
    if gb.color.functions:
        return SHOWN | color.winner(gb, out & 3, out >> 2 & 3)
    colour = out & 3 if gb.ppu.lcdc & BG_ENABLE else 0
    obj = out >> 2 & 3
    if obj > 0 and gb.ppu.lcdc & OBJ_ENABLE != 0 and (out & 0x20 == 0 or colour == 0):
        return SHOWN | 0x10 | obj | (out & 0x10) << 1
    return SHOWN | colour


@typed
def fetch_dot(gb: Machine) -> None:
    """One dot of the tile's fetch."""
    pipe = gb.ppu.pipe
    step = u8(pipe.fetch + 1)
    if step == 1:
        if gb.color.hardware == 0 or pipe.count == 0:
            pipe.fetch_px = pipe.px
    elif step == 2:
        fetch_number(gb)
    elif step == 4:
        pipe.next_low = tile_byte(gb, 0)
    elif step == 6:
        pipe.next_high = tile_byte(gb, 1)
    if step <= window.FETCH_DOTS or step >= 0x80:
        pipe.fetch = step


@typed
def fetch_number(gb: Machine) -> None:
    """Read the tile's number from the map."""
    pipe = gb.ppu.pipe
    row = gb.ppu.window_line if gb.ppu.window_mode else gb.ppu.line + gb.ppu.scy & 0xFF
    pipe.row = row & 7
    column = pipe.window_tile if gb.ppu.window_mode else (pipe.fetch_px + gb.ppu.scx & 0xFF) >> 3
    chosen = WINDOW_MAP if gb.ppu.window_mode else BG_MAP
    first = 0x1C00 if gb.ppu.lcdc & chosen else 0x1800
    place = first + (row >> 3) * 32 + (column & 31)
    pipe.tile = gb.vram[place]
    pipe.next_attributes = gb.vram[place + color.ATTRIBUTES] if gb.color.functions else 0


@typed(outline=True)
def tile_byte(gb: Machine, plane: u8) -> u8:
    """A byte of the tile's row, mirrored if its attributes say so."""
    pipe = gb.ppu.pipe
    bits = pipe.latch
    if pipe.tile_data != RISES:
        bits = gb.vram[(tile_address(gb) + plane) & 0x3FFF]
        if gb.ppu.lcdc & TILE_DATA:
            pipe.latch = bits
        if pipe.tile_data == FALLS and gb.color.revision != CGB_D:
            bits = pipe.tile
        elif pipe.tile_data == FALLS:
            bits = gb.vram[tile_address(gb) & 0x3FFF]
    return MIRRORED[bits] if gb.ppu.pipe.next_attributes & 0x20 else bits


@typed
def tile_address(gb: Machine) -> u16:
    """Where in VRAM the low byte of the tile's current row lies. From revision D on that is the row of its number.

    Source: mealybug-tearoom, "The Comprehensive Game Boy PPU Documentation".
    """
    pipe = gb.ppu.pipe
    row = gb.ppu.window_line if gb.ppu.window_mode else gb.ppu.line + gb.ppu.scy
    if gb.color.revision >= CGB_D:
        row = pipe.row
    row = (7 - (row & 7) if pipe.next_attributes & 0x40 else row) & 7
    address = (pipe.next_attributes & 8) << 10 | pipe.tile * 16 + row * 2
    if gb.ppu.lcdc & TILE_DATA == 0 and pipe.tile < 128:
        address = address + 0x1000
    return address


@typed(outline=True)
def fetch_object(gb: Machine) -> None:
    """One dot of an object's fetch. If objects go off meanwhile, the line goes on without it.

    Source: Pan Docs, "Object Fetch Canceling".  Proof: gambatte sprites/sprite_late_disable_*.
    """
    pipe = gb.ppu.pipe
    if pipe.object_dot == OBJECT_DOTS:
        lay_object(gb, pipe.fetched_low, object_row(gb, 1))
        pipe.object += 1
        pipe.object_dot = 0
    elif gb.ppu.lcdc & OBJ_ENABLE == 0 and gb.color.hardware == 0:
        pipe.object_dot = 0
    else:
        if pipe.object_dot == OBJECT_READ:
            oam.fetch(gb, u8(gb.ppu.objects[pipe.object & 15]), pipe.dot)
        elif pipe.object_dot == OBJECT_LOW:
            pipe.fetched_low = object_row(gb, 0)
        pipe.object_dot += 1


@typed
def object_row(gb: Machine, plane: u8) -> u8:
    """The low (plane 0) or high (1) bits of the object's row, the leftmost pixel in bit 7."""
    flags = gb.ppu.oam_odd
    tile = gb.ppu.oam_even
    height = 16 if gb.ppu.lcdc & OBJ_TALL else 8
    position = gb.ppu.pipe.object
    row = oam.row_of(gb, u8(gb.ppu.objects[position & 15]), position) & (height - 1)
    if flags & 0x40:
        row = height - 1 - row
    if height == 16:
        tile = tile & 0xFE
    bank = (flags & 8) << 10 if gb.color.functions else 0
    bits = gb.vram[((tile * 16 + row * 2) & 0x1FFE) + bank + (plane & 1)]
    if plane == 1:
        gb.ppu.pipe.latch = bits
    return MIRRORED[bits] if flags & 0x20 else bits


@typed
def lay_object(gb: Machine, low: u8, high: u8) -> None:
    """The object's row is there: lay it under what the object registers still hold."""
    pipe = gb.ppu.pipe
    flags = gb.ppu.oam_odd
    if gb.color.functions:
        color.lay_in_order(gb, low, high, flags, gb.ppu.objects[pipe.object & 15] & 63)
        return
    free = ~(pipe.obj_low | pipe.obj_high) & (low | high) & 0xFF
    pipe.obj_low = pipe.obj_low | low & free
    pipe.obj_high = pipe.obj_high | high & free
    pipe.obj_palette = merged(pipe.obj_palette, flags >> 4 & 1, free)
    pipe.obj_behind = merged(pipe.obj_behind, flags >> 7, free)


@typed
def merged(register: u8, bit: u8, where: u8) -> u8:
    """A register of marks, with `bit` in the places of `where`."""
    return register & ~where | where * bit
