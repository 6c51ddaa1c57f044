"""Lines that would come out as they did when this half of the picture was last drawn: they stay as they are.

For:       finding out whether a line would, from what it is drawn with: registers, and what VRAM holds.
Not for:   lines with objects, or drawn dot by dot; a Game Boy Color's.
Invariant: where `host.drawn.registers` is not 0 for a line, the picture has there what these registers make of VRAM as
           it was after `host.drawn.when` changes, and `host.drawn.seen` is VRAM as it is, unless `host.drawn.unsure`.

VRAM is compared with a copy when lines are drawn and somebody may have written to it since: 8 KiB, as fast as two lines
are drawn. Each of the maps' 64 rows has the number of the last change of what it shows.
"""

from __future__ import annotations

from tracklayer.lang import address_of, pointer, pointer_at, typed, u16, u32, u64, unlikely

from ..host import MAP_WORDS, TILE_WORDS
from .state import BG_ENABLE, BG_MAP, HEIGHT, OBJ_ENABLE, TILE_DATA, WINDOW_MAP, Machine
from .window import begins_on_line

KNOWN = 1 << 63
WITH_WINDOW = 1 << 62


@typed
def stands(gb: Machine) -> bool:
    """Whether the current line is in the picture already. If not, it is taken to be drawn now."""
    drawn = gb.host.drawn
    if unlikely(drawn.unsure != 0):
        look(gb)
    at = (1 - gb.host.shown) * HEIGHT + gb.ppu.line
    if at >= 2 * HEIGHT:
        return False
    if gb.ppu.lcdc & OBJ_ENABLE != 0 and gb.ppu.object_count > 0:
        drawn.registers[at] = 0
        return False
    used: u64 = KNOWN | gb.ppu.bgp
    changed: u64 = 0
    if gb.ppu.lcdc & BG_ENABLE:
        y = (gb.ppu.line + gb.ppu.scy) & 0xFF
        changed = drawn.rows[(gb.ppu.lcdc & BG_MAP) * 4 + (y >> 3)]
        used = used | (gb.ppu.lcdc & (BG_ENABLE | BG_MAP | TILE_DATA)) << 8 | gb.ppu.scx << 16 | y << 24
        if begins_on_line(gb):
            row = (gb.ppu.window_line >> 3) + ((gb.ppu.lcdc & WINDOW_MAP) >> 1)
            changed = max(changed, drawn.rows[row & 63])
            used = used | WITH_WINDOW | gb.ppu.wx << 32 | gb.ppu.window_line << 40 | (gb.ppu.lcdc & WINDOW_MAP) << 48
    same = used == drawn.registers[at] and changed <= drawn.when[at]
    drawn.registers[at] = used
    drawn.when[at] = drawn.changes
    return same


@typed(outline=True)
def look(gb: Machine) -> None:
    """Compare VRAM with what it was."""
    drawn = gb.host.drawn
    drawn.unsure = 0
    words = pointer_at(address_of(pointer(gb.vram)), u64)
    index: u32 = 0
    differs: u64 = 0
    while index < TILE_WORDS + MAP_WORDS:
        differs = differs | (words[index] ^ drawn.seen[index])
        index += 1
    if differs:
        drawn.changes += 1
        note(gb)


@typed(cold=True)
def note(gb: Machine) -> None:
    """VRAM is not what it was: note whose rows changed, and what it is now. Tile data is everybody's."""
    drawn = gb.host.drawn
    words = pointer_at(address_of(pointer(gb.vram)), u64)
    index: u32 = 0
    tiles: u64 = 0
    while index < TILE_WORDS:
        tiles = tiles | (words[index] ^ drawn.seen[index])
        drawn.seen[index] = words[index]
        index += 1
    row: u32 = 0
    while row < 64:
        differs: u64 = tiles
        for column in range(4):
            place = TILE_WORDS + row * 4 + column
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
