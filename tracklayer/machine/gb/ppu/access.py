"""What the CPU sees of a line: STAT's mode and closed memory, and when, by model and speed.

For:       everything in which a Color differs from a DMG here; timing.py does it when it is due.
Not for:   when the PPU does what (timing.py).
Invariant: none of it changes what is drawn, or when an interrupt comes.
Source:    Pan Docs, "PPU modes", "Accessing VRAM and OAM".
Proof:     mooneye acceptance/ppu/lcdon_timing-GS, lcdon_write_timing-GS for a DMG; for a Color age oam/*, vram/*, ly/*,
           stat-mode/*; gambatte oam_access/*, vram_m3/*, cgbpal_m3/*, enable_display/ly0_late_*.

The dots at which a Color differs, at normal speed:

    0     OAM can be neither read nor written; before line 0, revision E still shows VBlank
    82    mode 3 is shown; VRAM is closed as well. In the first line with the LCD on: at 84, and VRAM at 86
    84    palettes are closed
    4     of line 153: LY is 0; revision E: 6

At double speed accesses come earlier in a dot than the signals of interrupts do, and some of these move by a dot.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16, u64

from .. import speed
from .state import DRAWING, HBLANK, HEIGHT, LCD_ENABLE, OAM_READ, OAM_WRITE, PALETTES, VRAM_READ, VRAM_WRITE, Machine

CGB_E = 4
"""Revision of a chip; `Color.revision`."""

OAM = OAM_READ | OAM_WRITE
VRAM = VRAM_READ | VRAM_WRITE

PALETTE_DOTS = 4
"""Palettes stay closed so much longer than memory. Proof: gambatte cgbpal_m3/cgbpal_m3end_*."""


@typed
def line_begins(gb: Machine) -> None:
    """Dot 0 of a line up to 144."""
    if gb.ppu.line > 0 or gb.color.revision < CGB_E:
        gb.ppu.mode = HBLANK
    if gb.ppu.line < HEIGHT:
        gb.ppu.locks = OAM_READ
        if gb.color.hardware:
            gb.ppu.locks = OAM_WRITE if gb.speed.double != 0 and gb.color.revision < CGB_E else OAM


@typed
def scan_end_dot(gb: Machine) -> u8:
    """When the scan is over, for the CPU."""
    return 82 if gb.color.hardware else 80


@typed
def scan_ends(gb: Machine) -> None:
    """Mode 2 is over. For 4 dots a DMG can write OAM."""
    if gb.color.hardware:
        gb.ppu.mode = DRAWING
        gb.ppu.locks = OAM if gb.ppu.first_line != 0 and gb.speed.double == 0 else OAM | VRAM
    elif gb.ppu.first_line == 0:
        gb.ppu.locks = OAM_READ | VRAM_READ


@typed
def draw_begin_dot(gb: Machine) -> u16:
    """When everything is closed."""
    return 84 + 2 * (gb.ppu.first_line & gb.color.hardware) - gb.speed.double


@typed
def draw_ends(gb: Machine) -> None:
    """STAT shows mode 0, and the CPU may access everything."""
    gb.ppu.mode = HBLANK
    gb.ppu.locks = 0


@typed
def ly_zero_dot(gb: Machine) -> u16:
    """When LY becomes 0 in line 153."""
    if gb.color.hardware == 0:
        return 2
    return 6 if gb.color.revision >= CGB_E else 4 + gb.speed.double


@typed(outline=True)
def palettes_closed(gb: Machine) -> bool:
    """Whether the CPU is kept from the palettes, for longer than from memory. The PPU must be right as of now."""
    if gb.ppu.locks & PALETTES:
        return True
    if gb.ppu.lcdc & LCD_ENABLE == 0 or gb.ppu.line >= HEIGHT or gb.ppu.mode != HBLANK:
        return False
    since = u64(speed.dots(gb) - gb.ppu.line_start)
    return gb.ppu.mode3_end <= since < gb.ppu.mode3_end + PALETTE_DOTS - gb.speed.double
