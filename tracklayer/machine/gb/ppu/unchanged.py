"""Lines that would come out as they did when this half of the picture was last drawn: they stay as they are.

For:       finding out whether a line would, from what it is drawn with: registers, and what VRAM and OAM hold.
Not for:   lines drawn dot by dot, or whose objects depend on when LCDC was written.
Invariant: where `host.drawn.registers` is not 0 for a line, the picture has there what these registers make of VRAM,
           OAM and palettes as they were after `host.drawn.when` changes, and `host.drawn.seen` is what VRAM and
           palettes are, unless `host.drawn.unsure`.

VRAM and palettes are compared with a copy when lines are drawn and somebody may have written to them since: 8 or 16
KiB, as fast as a few lines are drawn. So that is done a few times in a frame only: where something is written between
all lines, they are drawn. Each of the maps' 64 rows has the number of the last change of what it shows.
"""

from __future__ import annotations

from tracklayer.lang import address_of, pointer, pointer_at, typed, u1, u8, u16, u32, u64

from ..host import BANK_WORDS, OAM_WORDS, PALETTE_WORDS, TILE_WORDS
from .state import BG_ENABLE, BG_MAP, HEIGHT, OBJ_ENABLE, OBJ_TALL, TILE_DATA, WINDOW_MAP, Machine
from .window import begins_on_line

KNOWN = 1 << 63
WITH_WINDOW = 1 << 62
OBJECTS_BIT = 61
SEEN = BG_ENABLE | BG_MAP | TILE_DATA | OBJ_ENABLE | OBJ_TALL
"""Of LCDC; the window's bits only count where it is."""
LOOKS = 4
"""In a frame, at most."""


@typed(outline=True)
def prepare(gb: Machine) -> None:
    """Before lines are drawn between which the guest does nothing: see what is another than before."""
    if gb.host.drawn.unsure != 0 and gb.host.drawn.looks < LOOKS:
        look(gb)
    look_at_objects(gb)


@typed
def stands_unscanned(gb: Machine) -> bool:
    """Whether the current line is in the picture already, as far as that is clear without its OAM scan. `prepare`d.

    Where OAM is as it was when the line was drawn, and LCDC, so are its objects.
    """
    drawn = gb.host.drawn
    at = (1 - gb.host.shown) * HEIGHT + gb.ppu.line
    if at >= 2 * HEIGHT or drawn.odd != 0:
        return False
    before = drawn.registers[at]
    if before == 0 or drawn.objects > drawn.when[at]:
        return False
    return same(gb, at, u1(before >> OBJECTS_BIT))


@typed(outline=True)
def stands(gb: Machine) -> bool:
    """Whether the current line is in the picture already. If not, it is taken to be drawn now. `prepare`d."""
    drawn = gb.host.drawn
    at = (1 - gb.host.shown) * HEIGHT + gb.ppu.line
    if at >= 2 * HEIGHT:
        return False
    with_objects = gb.ppu.lcdc & OBJ_ENABLE != 0 and gb.ppu.object_count > 0
    if drawn.unsure | drawn.odd:
        drawn.odd = 0
        drawn.registers[at] = 0
        return False
    found = same(gb, at, with_objects) and (not with_objects or drawn.objects <= drawn.when[at])
    drawn.registers[at] = registers(gb, with_objects)
    drawn.object_palettes[at] = object_palettes(gb, with_objects)
    drawn.when[at] = drawn.changes
    return found


@typed(shared=True)
def same(gb: Machine, at: u16, with_objects: u1) -> bool:
    """Whether registers, VRAM and palettes are those that a line was last drawn with; objects are the caller's."""
    drawn = gb.host.drawn
    if at >= 2 * HEIGHT or drawn.unsure != 0:
        return False
    changed: u64 = 0
    if gb.ppu.lcdc & BG_ENABLE != 0 or gb.color.functions != 0:
        changed = drawn.rows[(gb.ppu.lcdc & BG_MAP) * 4 + (((gb.ppu.line + gb.ppu.scy) & 0xFF) >> 3)]
        if begins_on_line(gb):
            row = (gb.ppu.window_line >> 3) + ((gb.ppu.lcdc & WINDOW_MAP) >> 1)
            changed = max(changed, drawn.rows[row & 63])
    if changed > drawn.when[at] or object_palettes(gb, with_objects) != drawn.object_palettes[at]:
        return False
    return registers(gb, with_objects) == drawn.registers[at]


@typed
def registers(gb: Machine, with_objects: u1) -> u64:
    """All that a line is drawn with besides memory and the objects' palettes. Never 0."""
    used: u64 = KNOWN | gb.ppu.bgp | (gb.ppu.lcdc & SEEN) << 8 | gb.color.functions << 15 | with_objects << OBJECTS_BIT
    if gb.ppu.lcdc & BG_ENABLE != 0 or gb.color.functions != 0:
        used = used | gb.ppu.scx << 16 | ((gb.ppu.line + gb.ppu.scy) & 0xFF) << 24
        if begins_on_line(gb):
            used = used | WITH_WINDOW | gb.ppu.wx << 32 | gb.ppu.window_line << 40 | (gb.ppu.lcdc & WINDOW_MAP) << 48
    return used


@typed
def object_palettes(gb: Machine, with_objects: u1) -> u16:
    """OBP0 and OBP1, where there are objects."""
    return gb.ppu.obp0 | gb.ppu.obp1 << 8 if with_objects else 0


@typed
def look_at_objects(gb: Machine) -> None:
    """Compare OAM with what it was: few words, and objects move in most frames."""
    drawn = gb.host.drawn
    words = pointer_at(address_of(pointer(gb.oam)), u64)
    differs: u64 = 0
    for index in range(OAM_WORDS):
        differs = differs | (words[index] ^ drawn.seen_oam[index])
    if differs:
        drawn.changes += 1
        drawn.objects = drawn.changes
        for index in range(OAM_WORDS):
            drawn.seen_oam[index] = words[index]


@typed(outline=True)
def look(gb: Machine) -> None:
    """Compare VRAM and the palettes with what they were."""
    drawn = gb.host.drawn
    drawn.unsure = 0
    drawn.looks = u8(drawn.looks + 1)
    words = pointer_at(address_of(pointer(gb.vram)), u64)
    end: u32 = 2 * BANK_WORDS if gb.color.hardware else BANK_WORDS
    index: u32 = 0
    differs: u64 = 0
    while index < end and index < 2 * BANK_WORDS:
        differs = differs | (words[index] ^ drawn.seen[index])
        index += 1
    colours = pointer_at(address_of(pointer(gb.color.palettes)), u64)
    palettes: u64 = 0
    for index in range(PALETTE_WORDS):
        palettes = palettes | (colours[index] ^ drawn.seen_palettes[index])
        drawn.seen_palettes[index] = colours[index]
    if differs | palettes:
        drawn.changes += 1
        note(gb, palettes)


@typed(cold=True)
def note(gb: Machine, palettes: u64) -> None:
    """Note whose rows changed, and what VRAM is now. Tile data is everybody's, and so are the palettes."""
    drawn = gb.host.drawn
    words = pointer_at(address_of(pointer(gb.vram)), u64)
    everywhere: u64 = palettes
    index: u32 = 0
    while index < TILE_WORDS:
        for bank in range(2):
            place = bank * BANK_WORDS + index
            everywhere = everywhere | (words[place] ^ drawn.seen[place])
            drawn.seen[place] = words[place]
        index += 1
    row: u32 = 0
    while row < 64:
        differs: u64 = everywhere
        for bank in range(2):
            for column in range(4):
                place = bank * BANK_WORDS + TILE_WORDS + row * 4 + column
                differs = differs | (words[place] ^ drawn.seen[place])
                drawn.seen[place] = words[place]
        if differs:
            drawn.rows[row] = drawn.changes
        row += 1


@typed
def forget_line(gb: Machine) -> None:
    """The current line is drawn in another way."""
    at: u16 = (1 - gb.host.shown) * HEIGHT + gb.ppu.line
    if at < 2 * HEIGHT:
        gb.host.drawn.registers[at] = 0


@typed
def forget_shown(gb: Machine) -> None:
    """The shown half of the picture is another one now."""
    start = gb.host.shown * HEIGHT
    line: u16 = 0
    while line < HEIGHT:
        gb.host.drawn.registers[start + line] = 0
        line = u16(line + 1)
