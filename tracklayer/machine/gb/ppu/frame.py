"""A frame: when it begins and ends, whether it is drawn, and whether VRAM can be accessed without asking meanwhile.

For:     what timing.py's steps do at lines 0 and 144; counting frames; the event at which they are due.
Not for: the lines between (timing.py).
"""

from __future__ import annotations

from tracklayer.lang import typed, u1, u64
from tracklayer.machine.common.clock import STOP_FRAME

from .. import events, speed
from ..maps import open_vram
from .state import COMPARE_DOT, DOTS_PER_LINE, HEIGHT, LINES, Machine


@typed
def frame_begin(gb: Machine) -> None:
    """Line 0 begins."""
    gb.ppu.window_line = 0
    gb.ppu.window_reached = 0
    gb.host.drawing = gb.host.render != 0 and gb.ppu.line_start >= gb.host.drawn_from
    schedule_frame(gb, u64(gb.ppu.line_start + HEIGHT * DOTS_PER_LINE + COMPARE_DOT))
    free_vram(gb, 0)


@typed
def frame_end(gb: Machine) -> None:
    """VBlank begins: the picture is complete. The first one after the LCD went on is not shown."""
    if gb.ppu.fresh:
        gb.ppu.fresh = 0
    elif gb.host.drawing:
        gb.host.shown = 1 - gb.host.shown
    count_frame(gb, u64(gb.ppu.line_start + COMPARE_DOT))
    schedule_frame(gb, u64(gb.ppu.line_start + (LINES - HEIGHT) * DOTS_PER_LINE))
    free_vram(gb, 1)


@typed
def free_vram(gb: Machine, free: u1) -> None:
    """From here on VRAM can, or cannot, be accessed without asking. The first access that may opens its pages."""
    gb.ppu.vram_free = free
    gb.host.drawn.looks = 0
    if free == 0 and gb.host.vram_open != 0:
        gb.host.drawn.unsure = 1
        open_vram(gb, 0)


@typed
def schedule_frame(gb: Machine, dot: u64) -> None:
    """The next frame event is due at a dot."""
    gb.ppu.frame_next = dot
    gb.clock.schedule(events.FRAME, speed.time_of(gb, dot))


@typed
def count_frame(gb: Machine, time: u64) -> None:
    """One frame more is done, at `time`."""
    gb.ppu.frames += 1
    gb.ppu.frame_done = time
    if gb.host.frames_wanted > 0:
        gb.host.frames_wanted -= 1
        if gb.host.frames_wanted == 0:
            gb.clock.stop = STOP_FRAME
