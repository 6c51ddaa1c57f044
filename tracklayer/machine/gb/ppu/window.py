"""The window: when it is on, and which of its rows comes next.

For:     WY's and WX's matches over a frame; the count of rows.
Not for: the window's pixels and dots within a line (line.py, pipeline.py).
Source:  Pan Docs, "Window", "Window mode" (pixel FIFO).
Proof:   gambatte window/*, among them window/on_screen/wxA6_*.

WX 166 is matched with the last pixel but one. It is too late for this line; but the pixel clock makes the comparison,
and
it stands still then: the match is still there when the next line begins, and that line is window from its very begin.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8

from .state import HEIGHT, WINDOW_ENABLE, Machine

LATE_WX = 166
"""WX that is matched too late for this line, and held for the next; but not on a Color."""

COLOR_DOT = 6
"""When a Color compares line 0 with WY. Proof: gambatte window/late_wy_*."""
FETCH_DOTS = 6
"""A tile's fetch: two dots each for its number, its low and its high bits."""


@typed
def match_wy(gb: Machine) -> None:
    """Once LY has been WY, with the window on, the window may begin, in this line and all that follow in the frame.

    LY, WY and LCDC are compared all the time. Proof: gambatte window/arg/late_wy_*.
    """
    if gb.ppu.lcdc & WINDOW_ENABLE != 0 and gb.ppu.line < HEIGHT and gb.ppu.line == gb.ppu.wy:
        gb.ppu.window_reached = 1


@typed
def begins_on_line(gb: Machine) -> bool:
    """Whether the window begins somewhere in this line, if nothing changes."""
    return gb.ppu.window_reached != 0 and gb.ppu.lcdc & WINDOW_ENABLE != 0 and gb.ppu.wx < LATE_WX + gb.color.hardware


@typed
def leave(gb: Machine) -> None:
    """The window is off: where it was on, its next row comes next time."""
    gb.ppu.window_line += gb.ppu.window_mode
    gb.ppu.window_mode = 0


@typed
def line_begins(gb: Machine) -> None:
    """A new line begins without the window, unless WX's match is held."""
    leave(gb)
    if gb.ppu.line < HEIGHT and gb.ppu.window_held != 0 and gb.ppu.lcdc & WINDOW_ENABLE != 0:
        gb.ppu.window_mode = 1


@typed
def line_drawn(gb: Machine) -> None:
    """The last pixels of a line that was drawn at once."""
    if begins_on_line(gb):
        gb.ppu.window_mode = 1
    hold(gb, gb.ppu.wx)


@typed
def pass_lines(gb: Machine, first: u8, last: u8) -> None:
    """What `match_wy`, `line_drawn` and `leave` make of whole lines on which nothing changes, and WX is not late.

    The last one is not left yet.
    """
    if gb.ppu.lcdc & WINDOW_ENABLE:
        begin: u8 = first
        if gb.ppu.window_reached == 0 and first <= gb.ppu.wy <= last:
            gb.ppu.window_reached = 1
            begin = gb.ppu.wy
        if begins_on_line(gb):
            gb.ppu.window_line = u8(gb.ppu.window_line + last - begin)
            gb.ppu.window_mode = 1
    gb.ppu.window_held = 0


@typed
def hold(gb: Machine, px: u8) -> None:
    """Pixel `px` has been clocked out: is WX's match there to stay, if this was the last? Not on a Color.

    There WX 166 is in time for the last pixel. Proof: gambatte window/on_screen/wxA6_*_cgb04c, window/m2int_wxA6_*.
    """
    gb.ppu.window_held = (
        gb.color.hardware == 0 and px == LATE_WX and gb.ppu.wx == LATE_WX and gb.ppu.window_reached != 0
    )
    if gb.ppu.window_held != 0 and gb.ppu.lcdc & WINDOW_ENABLE != 0:
        gb.ppu.window_mode = 1


@typed(outline=True)
def lcdc_changes(gb: Machine, value: u8) -> None:
    """LCDC is about to become `value`."""
    if value & WINDOW_ENABLE == 0:
        if gb.ppu.pipe.held:
            release_background(gb)
        leave(gb)
    elif gb.ppu.lcdc & WINDOW_ENABLE == 0 and gb.ppu.window_held != 0 and gb.ppu.line < HEIGHT:
        gb.ppu.window_mode = 1


@typed
def hold_background(gb: Machine) -> None:
    """The window begins. On a Color the background's tiles wait until the window's first is there."""
    pipe = gb.ppu.pipe
    pipe.held = u8(pipe.fetch + 1)
    pipe.held_count = pipe.count
    pipe.held_tile = pipe.tile
    pipe.held_low = pipe.next_low
    pipe.held_high = pipe.next_high
    pipe.held_attributes = pipe.next_attributes


@typed(outline=True)
def release_background(gb: Machine) -> None:
    """The window was switched off before its first tile was there: the background goes on where it stood.

    Proof: gambatte window/late_disable_*_cgb04c_*.
    """
    pipe = gb.ppu.pipe
    pipe.fetch = u8(pipe.held - 1)
    pipe.held = 0
    pipe.count = pipe.held_count
    pipe.tile = pipe.held_tile
    pipe.next_low = pipe.held_low
    pipe.next_high = pipe.held_high
    pipe.next_attributes = pipe.held_attributes
    if pipe.count == 0 and pipe.fetch >= FETCH_DOTS:
        next_tile(gb)


@typed
def next_tile(gb: Machine) -> None:
    """A tile has been fetched, and the last pixel of the one before is out: its pixels come next."""
    pipe = gb.ppu.pipe
    pipe.low = pipe.next_low
    pipe.high = pipe.next_high
    pipe.attributes = pipe.next_attributes
    pipe.count = 8
    pipe.fetch = 0
    if gb.color.hardware:
        pipe.fetch_px = pipe.px
