"""The PPU's state: its registers, where in the frame it is, and what it is drawing.

For:     the structs that timing, drawing and registers share, and the numbers of a frame.
Not for: any behaviour.
Source:  Pan Docs, "Rendering overview", "LCD Control Register", "LCD Status Registers".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, array, struct, u1, u8, u16, u64
from tracklayer.machine.common.clock import Clock

from ..color import Color
from ..dma import Dma
from ..host import GbHost
from ..interrupts import Interrupts
from ..maps import Banks, BootRom
from ..speed import Speed

WIDTH = 160
HEIGHT = 144
WORDS = WIDTH // 8
"""A row of the picture is kept as u64 words of 8 pixels, the leftmost pixel in the low byte."""

DOTS_PER_LINE = 456
LINES = 154
DOTS_PER_FRAME = DOTS_PER_LINE * LINES

# Bits of LCDC. Source: Pan Docs, "LCD Control Register".
BG_ENABLE, OBJ_ENABLE, OBJ_TALL, BG_MAP = 0x01, 0x02, 0x04, 0x08
TILE_DATA, WINDOW_ENABLE, WINDOW_MAP, LCD_ENABLE = 0x10, 0x20, 0x40, 0x80

# Bits of STAT that select interrupt sources, and signals of the PPU. Source: Pan Docs, "LCD Status Registers".
SOURCE_HBLANK, SOURCE_VBLANK, SOURCE_OAM, SOURCE_LYC = 0x08, 0x10, 0x20, 0x40

# What the CPU is kept from.
OAM_READ, OAM_WRITE, VRAM_READ, VRAM_WRITE, PALETTES = 1, 2, 4, 8, 16

COMPARE_DOT = 2
"""When LY and LYC are compared in a line."""
ZERO_DOT = 10
"""When line 153 is compared as line 0."""

LINE_BEGIN, LINE_COMPARE, SCAN_END, DRAW_BEGIN, DRAW_END, HBLANK_SIGNAL, LINE_153_NONE, LINE_153_ZERO = range(8)
EARLY_SIGNAL, LINE_153_LY = 8, 9
"""The steps of a line (timing.py); `phase` is the one that comes next."""

HBLANK, VBLANK, OAM_SCAN, DRAWING = 0, 1, 2, 3
"""The modes as STAT shows them."""

OBJECTS_PER_LINE = 10


@struct
class Pipe:
    """The pixel pipeline in the middle of a line (pipeline.py)."""

    active: u1
    """1 if this line is drawn dot by dot."""
    done: u1
    """1 once all pixels are out."""
    waited: u8
    """Dots that the last pixel waited for objects. The signal of mode 0 does not wait."""
    scrolled: u1
    """1 once SCX's low bits were matched."""
    insert: u1
    """1 if a pixel of colour 0 comes before the next one of the background registers."""
    dot: u16
    """The next dot."""
    px: u8
    """The next pixel, as an OAM X coordinate."""
    fetch: u8
    """Dots of the tile's fetch that are done."""
    count: u8
    """Pixels in the background registers."""
    object_dot: u8
    """The next dot of the object's fetch that goes on; 0 if there is none."""
    object: u8
    """The next object of the line's list."""
    fetch_px: u8
    """`px` when the tile's fetch began."""
    tile: u8
    window_tile: u8
    row: u8
    """The row within the tile when its number was read."""
    next_low: u8
    next_high: u8
    low: u8
    high: u8
    fetched_low: u8
    """The object's low bits, while its high bits are fetched."""
    obj_low: u8
    obj_high: u8
    obj_palette: u8
    obj_behind: u8
    attributes: u8
    """On a Color: those of the tile in the background registers."""
    next_attributes: u8
    """Those of the tile that is fetched."""
    obj_marks: u64
    """On a Color, a byte for each pixel, the next in the low one: the object's palette in bits 4-2, bit 7: behind."""
    obj_order: u64
    """Its place in OAM."""
    out_attributes: u8
    """Attributes and marks of the pixel that was shifted out last."""
    out_marks: u8
    out: u8
    """The pixel that was shifted out last, on its way to a palette; 0 if there is none."""
    held: u8
    """On a Color, while the window's first tile is fetched: `fetch` of the background's tile, plus one; else 0."""
    held_count: u8
    held_tile: u8
    held_low: u8
    held_high: u8
    held_attributes: u8
    """The other fields that it needs to go on, should the window be switched off again."""
    tile_data: u8
    """On a Color, while LCDC bit 4 changes: RISES or FALLS (pipeline.py); else 0."""
    latch: u8
    """On a Color, the byte of a tile that was last read from 8000-8FFF."""
    out_x: u8
    """Where the next pixel comes in the picture."""


@struct
class Ppu:
    """The pixel processing unit."""

    line_start: u64
    """Dot 0 of the current line. All times of the PPU are dots (speed.py)."""
    next: u64
    """Time of the next step of `timing.advance`; NEVER while the LCD is off."""
    frame_done: u64
    """When the last frame was counted."""
    frame_next: u64
    """The dot at which the next frame event is due."""
    frames: u64
    """Frames so far: VBlanks, or their time passed with the LCD off."""
    phase: u8
    line: u8
    ly: u8
    """LY as the CPU sees it."""
    compare: u8
    """What LYC is compared with."""
    between: u1
    """1 while LY steps: STAT shows no match, but the interrupt line still sees that of before."""
    lyc_signal: u1
    """LYC's interrupt source."""
    mode: u8
    signals: u8
    """Interrupt sources that are active, by their bit in STAT; LYC's is not kept here."""
    stat_line: u1
    """The OR of the selected sources: its rising edge requests the interrupt."""
    matched: u1
    """STAT bit 2."""
    locks: u8
    vram_free: u1
    """1 while VRAM may be accessed without asking: from VBlank to the end of the frame, and with the LCD off."""
    fresh: u1
    """1 in the first frame after the LCD went on, which is not shown."""
    first_line: u1
    """1 in the first line after the LCD went on, which has no OAM scan."""
    window_line: u8
    """The window's row that is drawn next."""
    window_mode: u1
    """1 while the window is on."""
    window_held: u1
    """1 while WX's match is held over the end of a line (window.py)."""
    window_reached: u1
    """1 once LY was WY in this frame."""
    lcdc: u8
    stat: u8
    scy: u8
    scx: u8
    lyc: u8
    bgp: u8
    obp0: u8
    obp1: u8
    wy: u8
    wx: u8
    mode3_end: u16
    """The dot at which the line's mode 3 ends."""
    scanned: u8
    """Objects of OAM that this line's scan has looked at."""
    object_count: u8
    objects: Array[u16] = array(16)
    """The line's objects, X * 256 + index in OAM, in that order: the leftmost first."""
    oam_even: u8
    """What the PPU last read from OAM dot by dot: a Y or a tile's number,"""
    oam_odd: u8
    """and the X or the attributes behind it."""
    disturbed: u1
    """1 on a line that OAM DMA disturbs: the objects' rows are not what OAM says."""
    rows: u64
    """On such a line, those of `objects`, 4 bits each."""
    pipe: Pipe


class Machine(Protocol):
    """What the PPU reaches of its machine."""

    host: GbHost
    clock: Clock
    interrupts: Interrupts
    ppu: Ppu
    speed: Speed
    color: Color
    dma: Dma
    banks: Banks
    boot_rom: BootRom
    hram: Array[u8]
    vram: Array[u8]
    wram: Array[u8]
    oam: Array[u8]
