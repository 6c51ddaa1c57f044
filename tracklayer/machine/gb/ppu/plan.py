"""When the STAT interrupt line may rise next: the event at which the PPU must be looked at.

For:     the sources that STAT selects, if the CPU can feel them.
Not for: the line itself (stat.py), what happens meanwhile (timing.py).
"""

from __future__ import annotations

from tracklayer.lang import typed, u32, u64
from tracklayer.machine.common.clock import NEVER

from .. import events, speed
from ..interrupts import STAT, enabled
from .state import (
    COMPARE_DOT,
    DOTS_PER_FRAME,
    DOTS_PER_LINE,
    DRAW_END,
    EARLY_SIGNAL,
    HBLANK_SIGNAL,
    HEIGHT,
    LCD_ENABLE,
    LINE_COMPARE,
    LINES,
    SOURCE_HBLANK,
    SOURCE_LYC,
    SOURCE_OAM,
    SOURCE_VBLANK,
    ZERO_DOT,
    Machine,
)


@typed(outline=True)
def reschedule(gb: Machine) -> None:
    """Plan when to look next whether the STAT line rose, if the CPU can feel it. The PPU must be right as of now."""
    selected = gb.ppu.stat & 0x78
    if gb.ppu.lcdc & LCD_ENABLE == 0 or selected == 0 or not enabled(gb, STAT):
        gb.clock.cancel(events.STAT)
    else:
        soonest: u64 = NEVER
        if selected & SOURCE_LYC:
            soonest = next_match(gb)
        if selected & SOURCE_OAM:
            soonest = min(soonest, next_oam_pulse(gb))
        if selected & SOURCE_HBLANK:
            soonest = min(soonest, next_hblank_look(gb))
        if selected & SOURCE_VBLANK:
            soonest = min(soonest, in_frame(gb, HEIGHT * DOTS_PER_LINE + COMPARE_DOT))
        gb.clock.schedule(events.STAT, speed.time_of(gb, soonest))


@typed
def in_frame(gb: Machine, dot: u32) -> u64:
    """The next time that comes `dot` dots after the begin of a frame."""
    time = u64(gb.ppu.line_start - gb.ppu.line * DOTS_PER_LINE + dot)
    return time if time > speed.dots(gb) else u64(time + DOTS_PER_FRAME)


@typed
def next_match(gb: Machine) -> u64:
    """When LY is next compared with LYC's value for the first time. Line 0 is compared from within line 153 on."""
    if gb.ppu.lyc >= LINES:
        return NEVER
    if gb.ppu.lyc == 0:
        return in_frame(gb, (LINES - 1) * DOTS_PER_LINE + ZERO_DOT)
    return in_frame(gb, gb.ppu.lyc * DOTS_PER_LINE + COMPARE_DOT)


@typed
def next_oam_pulse(gb: Machine) -> u64:
    """When the mode 2 signal is next raised: at the begin of lines 1 to 144, and 2 dots into line 0."""
    if gb.ppu.line < HEIGHT and (gb.ppu.line > 0 or gb.ppu.phase != LINE_COMPARE):
        return u64(gb.ppu.line_start + DOTS_PER_LINE)
    return in_frame(gb, COMPARE_DOT)


@typed
def next_hblank_look(gb: Machine) -> u64:
    """When mode 0's signal next comes, or if that is not known yet, when it will be."""
    if gb.ppu.line < HEIGHT:
        if gb.ppu.phase == HBLANK_SIGNAL or gb.ppu.phase == EARLY_SIGNAL:
            return gb.ppu.next
        if gb.ppu.signals & SOURCE_HBLANK == 0:
            return u64(gb.ppu.next + 1 if gb.ppu.phase == DRAW_END else gb.ppu.line_start + 84)
        if gb.ppu.line < HEIGHT - 1:
            return u64(gb.ppu.line_start + DOTS_PER_LINE + 84)
    return in_frame(gb, 84)
