"""When the PPU does what: the steps of a line.

For:       catching up to now, step by step, or whole lines at once where nobody would notice; the PPU's two events.
Not for:   which pixels (line.py); frames (frame.py); the interrupt line (stat.py), and when it may rise (plan.py).
Invariant: everything due at or before the last catch-up has happened; `next` is later than that.
Source:    Pan Docs, "PPU modes"; TCAGBD, "LCD controller".
Proof:     mooneye acceptance/ppu/*: lcdon_timing-GS gives LY, STAT and access per M-cycle; gbmicrotest.

A line, in dots from its begin (the CPU's accesses come at multiples of 4):

    0     LY steps; LYC is compared with nothing; STAT still shows mode 0; OAM cannot be read; the mode 2 signal pulses
    2     mode 2, or VBlank; LYC is compared with LY; OAM cannot be written either
    80    VRAM cannot be read; for 4 dots OAM can be written
    84    mode 3; VRAM and OAM are closed
    253+  mode 0; one dot later its signal, and at double speed what the CPU sees
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u16, u64

from .. import speed
from ..interrupts import VBLANK as VBLANK_INTERRUPT
from ..interrupts import request
from . import access, color, line, objects, pipeline, stat, unchanged, window
from .frame import count_frame, frame_begin, frame_end, schedule_frame
from .plan import reschedule
from .state import (
    COMPARE_DOT,
    DOTS_PER_FRAME,
    DOTS_PER_LINE,
    DRAW_BEGIN,
    DRAW_END,
    DRAWING,
    EARLY_SIGNAL,
    HBLANK,
    HBLANK_SIGNAL,
    HEIGHT,
    LCD_ENABLE,
    LINE_153_LY,
    LINE_153_NONE,
    LINE_153_ZERO,
    LINE_BEGIN,
    LINE_COMPARE,
    LINES,
    OAM_SCAN,
    PALETTES,
    SCAN_END,
    SOURCE_HBLANK,
    SOURCE_LYC,
    SOURCE_OAM,
    SOURCE_VBLANK,
    VBLANK,
    ZERO_DOT,
    Machine,
)  # fmt: skip


@typed
def catch_up(gb: Machine) -> None:
    """Do every step that is due. Mostly there is none, and that is seen without a call."""
    now = speed.dots(gb)
    if gb.ppu.next <= now:
        run_to(gb, now)


@typed(outline=True)
def run_to(gb: Machine, now: u64) -> None:
    """Do every step up to a dot."""
    while gb.ppu.next <= now:
        if gb.ppu.phase == LINE_BEGIN and u64(gb.ppu.next + DOTS_PER_LINE) <= now and whole_lines(gb) > 0:
            run_lines(gb, now)
        elif gb.ppu.phase == SCAN_END and rest_passes(gb, now):
            window.line_drawn(gb)
            step_at(gb, LINE_BEGIN, DOTS_PER_LINE)
        else:
            advance(gb)


@typed
def whole_lines(gb: Machine) -> u8:
    """How many of the next lines are like each other, with no step that anybody but drawing would notice.

    Lines 144, 153 and 0 are special, and so are lines at which the STAT line may rise.
    """
    line = gb.ppu.line
    last: u8 = HEIGHT - 1 if line < HEIGHT else LINES - 2
    if line == LINES - 1 or gb.ppu.pipe.active | gb.ppu.window_held | gb.dma.blocking or gb.ppu.wx == window.LATE_WX:
        return 0
    if gb.ppu.stat & (SOURCE_HBLANK | SOURCE_OAM) != 0 or (gb.ppu.stat & SOURCE_VBLANK != 0 and line >= HEIGHT):
        return 0
    if gb.ppu.stat & SOURCE_LYC:
        if gb.ppu.stat_line:
            return 0
        if line < gb.ppu.lyc <= last:
            last = u8(gb.ppu.lyc - 1)
    return u8(max(last - line, 0))


@typed
def rest_passes(gb: Machine, now: u64) -> bool:
    """Whether this line and the next are over, and nobody sees the rest of this one's steps: `run_lines` is next."""
    if gb.host.drawing | gb.ppu.first_line or u64(gb.ppu.line_start + 2 * DOTS_PER_LINE) > now:
        return False
    return whole_lines(gb) > 0


@typed(outline=True)
def run_lines(gb: Machine, now: u64) -> None:
    """Run whole lines that lie in the past, each at once: what `advance` does in eight steps."""
    count = u8(min(whole_lines(gb), u64(now - gb.ppu.next) // DOTS_PER_LINE))
    if gb.host.drawing:
        draw_lines(gb, count)
    else:
        line_end(gb)
        gb.ppu.line_start = u64(gb.ppu.next + (count - 1) * DOTS_PER_LINE)
        if gb.ppu.line < HEIGHT:
            window.pass_lines(gb, u8(gb.ppu.line + 1), u8(gb.ppu.line + count))
        gb.ppu.line = u8(gb.ppu.line + count)
        gb.ppu.next = u64(gb.ppu.line_start + DOTS_PER_LINE)
    gb.ppu.ly = gb.ppu.line
    gb.ppu.compare = gb.ppu.line
    if gb.ppu.line < HEIGHT:
        # As at the end of its last line: mode 3 is over, for whoever asks while the line's last dots pass.
        objects.begin_scan(gb)
        objects.scan(gb)
        gb.ppu.mode3_end = objects.plain_mode3_end(gb)
        gb.ppu.mode = HBLANK
        gb.ppu.signals = SOURCE_HBLANK
        gb.ppu.locks = 0
    stat.update(gb)


@typed
def draw_lines(gb: Machine, count: u8) -> None:
    """The next lines, one by one, with their pictures."""
    unchanged.prepare(gb)
    done: u8 = 0
    while done < count:
        line_end(gb)
        gb.ppu.line_start = gb.ppu.next
        gb.ppu.line += 1
        if gb.ppu.line < HEIGHT:
            window.match_wy(gb)
            if not unchanged.stands_unscanned(gb):
                objects.begin_scan(gb)
                objects.scan(gb)
                draw_line(gb)
            window.line_drawn(gb)
        gb.ppu.next = u64(gb.ppu.next + DOTS_PER_LINE)
        done = u8(done + 1)


@typed
def step_at(gb: Machine, phase: u8, dot: u16) -> None:
    """The next step is `phase`, at `dot` of this line."""
    gb.ppu.phase = phase
    gb.ppu.next = u64(gb.ppu.line_start + dot)


@typed(outline=True)
def advance(gb: Machine) -> None:
    """Do the next step."""
    phase = gb.ppu.phase
    if phase == LINE_BEGIN:
        line_begin(gb)
    elif phase == LINE_COMPARE:
        line_compare(gb)
    elif phase == SCAN_END:
        scan_end(gb)
    elif phase == DRAW_BEGIN:
        draw_begin(gb)
    elif phase == DRAW_END:
        draw_end(gb)
    elif phase == EARLY_SIGNAL:
        early_signal(gb)
    elif phase == HBLANK_SIGNAL:
        access.draw_ends(gb)
        gb.ppu.signals = SOURCE_HBLANK
        stat.update(gb)
        step_at(gb, LINE_BEGIN, DOTS_PER_LINE)
    elif phase == LINE_153_LY:
        gb.ppu.ly = 0
        step_at(gb, LINE_153_NONE, 6)
    elif phase == LINE_153_NONE:
        gb.ppu.between = 1
        stat.update(gb)
        step_at(gb, LINE_153_ZERO, ZERO_DOT)
    else:
        gb.ppu.compare = 0
        gb.ppu.between = 0
        stat.update(gb)
        step_at(gb, LINE_BEGIN, DOTS_PER_LINE)


@typed
def line_begin(gb: Machine) -> None:
    """Dot 0. Lines 1 to 144 pulse the mode 2 signal here; line 0 does so 2 dots later."""
    gb.ppu.line_start = gb.ppu.next
    line_end(gb)
    if gb.ppu.line >= LINES - 1:
        gb.ppu.line = 0
        gb.ppu.ly = 0
        frame_begin(gb)
    else:
        gb.ppu.line += 1
        gb.ppu.ly = gb.ppu.line
        gb.ppu.between = 1
    window.line_begins(gb)
    if gb.ppu.line <= HEIGHT:
        access.line_begins(gb)
        if gb.ppu.line == HEIGHT:
            gb.ppu.signals |= SOURCE_OAM
        elif gb.ppu.line > 0:
            gb.ppu.signals = SOURCE_OAM
    stat.update(gb)
    step_at(gb, LINE_COMPARE, COMPARE_DOT)


@typed
def line_end(gb: Machine) -> None:
    """The line before is over, whatever of it is not yet drawn."""
    if gb.ppu.pipe.active:
        pipeline.run_until(gb, DOTS_PER_LINE)
        pipeline.forget(gb)
    window.leave(gb)
    gb.ppu.first_line = 0


@typed
def line_compare(gb: Machine) -> None:
    """Dot 2: LYC sees the new line. Line 144 begins VBlank. LY becomes 0 already in line 153."""
    if gb.ppu.lyc != gb.ppu.line:
        gb.ppu.lyc_signal = 0
        stat.update(gb)
    gb.ppu.compare = gb.ppu.line
    gb.ppu.between = 0
    window.match_wy(gb)
    step_at(gb, LINE_BEGIN, DOTS_PER_LINE)
    if gb.ppu.line < HEIGHT:
        gb.ppu.mode = OAM_SCAN
        objects.begin_scan(gb)
        gb.ppu.signals = 0
        if gb.ppu.line == 0:
            pulse(gb)
        gb.ppu.locks = access.OAM
        step_at(gb, SCAN_END, access.scan_end_dot(gb))
    elif gb.ppu.line == HEIGHT:
        gb.ppu.mode = VBLANK
        gb.ppu.signals = SOURCE_VBLANK
        objects.begin_scan(gb)
        request(gb, VBLANK_INTERRUPT)
        frame_end(gb)
    elif gb.ppu.line == LINES - 1:
        if gb.ppu.stat & SOURCE_LYC == 0 and u64(gb.ppu.line_start + ZERO_DOT) <= speed.dots(gb):
            gb.ppu.ly = 0  # nobody has seen what it was in between, nor what it was compared with
            gb.ppu.compare = 0
        else:
            step_at(gb, LINE_153_LY, access.ly_zero_dot(gb))
    stat.update(gb)


@typed(cold=True)
def pulse(gb: Machine) -> None:
    """The mode 2 signal of line 0."""
    gb.ppu.signals = SOURCE_OAM
    stat.update(gb)
    gb.ppu.signals = 0


@typed
def scan_end(gb: Machine) -> None:
    """Dot 80: the line's objects are known."""
    if gb.ppu.first_line:
        gb.ppu.object_count = 0
    else:
        objects.scan(gb)
        gb.ppu.signals = 0
        stat.update(gb)
    access.scan_ends(gb)
    step_at(gb, DRAW_BEGIN, access.draw_begin_dot(gb))


@typed
def draw_begin(gb: Machine) -> None:
    """Dot 84: mode 3."""
    gb.ppu.mode = DRAWING
    gb.ppu.locks = access.OAM | access.VRAM | PALETTES
    by_dots = gb.ppu.window_mode != 0 or (gb.ppu.disturbed != 0 and gb.ppu.object_count > 0)
    if by_dots and gb.ppu.pipe.active == 0:
        pipeline.begin(gb)
    if gb.ppu.pipe.active:
        step_at(gb, DRAW_END, pipeline.soonest_end(gb))
    else:
        gb.ppu.mode3_end = objects.plain_mode3_end(gb)
        if gb.ppu.pipe.waited > 0:
            step_at(gb, EARLY_SIGNAL, u16(gb.ppu.mode3_end - gb.ppu.pipe.waited + 1))
        else:
            step_at(gb, DRAW_END, gb.ppu.mode3_end)


@typed
def draw_end(gb: Machine) -> None:
    """Mode 0: the line is drawn. Where it is drawn dot by dot, this may be too early: then look again."""
    if gb.ppu.pipe.active:
        dot = u16(gb.ppu.next - gb.ppu.line_start)
        pipeline.run_until(gb, dot)
        if gb.ppu.pipe.waited > 0 and gb.ppu.signals == 0:
            step_at(gb, EARLY_SIGNAL, u16(dot + 1))
        elif gb.ppu.pipe.done == 0 or gb.ppu.mode3_end > dot:
            look_again(gb)
        else:
            hblank_begin(gb)
    else:
        if gb.host.drawing:
            unchanged.prepare(gb)
            draw_line(gb)
        window.line_drawn(gb)
        hblank_begin(gb)


@typed
def hblank_begin(gb: Machine) -> None:
    """Mode 3 is over. At double speed an access comes too early in the dot to see it; the signal does not.

    Proof: gambatte sprites/space/*_m3stat_ds_*, oam_access/postread_scx5_ds_*, vram_m3/postread_scx5_ds_*.
    """
    if gb.speed.double == 0:
        access.draw_ends(gb)
    step_at(gb, HBLANK_SIGNAL, u16(gb.ppu.mode3_end + 1))


@typed
def early_signal(gb: Machine) -> None:
    """Mode 0's signal comes when the last pixel's turn has come, even if that still waits for an object.

    Proof: gambatte sprites/10spritesPrLine_10xposA7_m0irq_2, _m3stat_2.
    """
    gb.ppu.signals = SOURCE_HBLANK
    stat.update(gb)
    if gb.ppu.pipe.active:
        look_again(gb)
    else:
        step_at(gb, DRAW_END, gb.ppu.mode3_end)


@typed
def look_again(gb: Machine) -> None:
    """Set the time when mode 3 may be over."""
    step_at(gb, DRAW_END, gb.ppu.mode3_end if gb.ppu.pipe.done else pipeline.soonest_end(gb))


@typed(outline=True)
def touch(gb: Machine, late: u8) -> None:
    """A register that drawing reads is about to change: draw all that still sees the old value.

    `late`: so many dots more than on a DMG.
    """
    dot = u16(u64(speed.dots(gb) - gb.ppu.line_start) + late)
    phase = gb.ppu.phase
    if gb.ppu.lcdc & LCD_ENABLE == 0:
        pass  # nothing is being drawn
    elif phase == DRAW_END or phase == DRAW_BEGIN or phase == EARLY_SIGNAL:
        if gb.ppu.pipe.active == 0:
            pipeline.begin(gb)
        pipeline.run_until(gb, dot)
        if phase != DRAW_BEGIN:
            look_again(gb)
            reschedule(gb)
    elif phase == SCAN_END and gb.ppu.first_line == 0:
        gb.host.drawn.odd = 1
        objects.scan_until(gb, u16(dot - late))
    elif gb.ppu.line < HEIGHT and (phase == HBLANK_SIGNAL or phase == LINE_BEGIN):
        if gb.ppu.pipe.active == 0 and dot < gb.ppu.mode3_end + pipeline.TAIL_DOTS:
            pipeline.begin(gb)
        if gb.ppu.pipe.active:
            pipeline.run_until(gb, dot)


@typed
def repaint(gb: Machine, late: Any) -> None:
    """`touch`, for what only the picture tells, and not when mode 3 ends.

    So a state taken within mode 3 of such a line, and only there, shows whether the line is drawn.
    """
    if not unseen(gb):
        touch(gb, late)


@typed
def unseen(gb: Machine) -> bool:
    """Whether nobody looks at the picture. On a Color, lines on which something is written leave a trace for later ones
    in any case: the pipeline's latch."""
    return gb.host.drawing == 0 and gb.color.hardware == 0


@typed(outline=True)
def before_dma(gb: Machine) -> None:
    """OAM DMA is about to go on: let the PPU read what it reads until now."""
    catch_up(gb)
    if gb.ppu.phase == SCAN_END and gb.ppu.first_line == 0:
        dot = u64(speed.dots(gb) - gb.ppu.line_start)
        gb.host.drawn.odd = 1
        objects.scan_until(gb, u16(dot - min(dot, objects.LOOKED_AT - objects.SCAN_DOT)))
    elif gb.ppu.object_count > 0:
        repaint(gb, 0)


@typed(outline=True)
def speed_changed(gb: Machine) -> None:
    """The CPU's clock has another pace: plan everything anew."""
    schedule_frame(gb, gb.ppu.frame_next)
    reschedule(gb)


@typed
def drawn(gb: Machine) -> bool:
    """Whether this is a line's HBlank. The PPU must be right as of now."""
    if gb.ppu.lcdc & LCD_ENABLE == 0 or gb.ppu.line >= HEIGHT:
        return False
    return gb.ppu.phase == HBLANK_SIGNAL or gb.ppu.phase == LINE_BEGIN


@typed
def draw_line(gb: Machine) -> None:
    """Draw the current line at once."""
    if gb.color.hardware:
        color.draw(gb)
    else:
        line.draw(gb)


@typed
def frame_due(gb: Machine) -> None:
    """The event: VBlank begins or ends; with the LCD off, the time of a frame has passed, and the screen is white."""
    if gb.ppu.lcdc & LCD_ENABLE:
        catch_up(gb)
    else:
        line.blank(gb)
        count_frame(gb, gb.ppu.frame_next)
        schedule_frame(gb, u64(gb.ppu.frame_done + DOTS_PER_FRAME))


@typed
def stat_due(gb: Machine) -> None:
    """The event: the STAT line may have risen."""
    catch_up(gb)
    reschedule(gb)
