"""The PPU's registers, FF40-FF45 and FF47-FF4B.

For:     reading and writing them; the LCD going on and off.
Not for: FF46, which belongs to OAM DMA (dma.py).
Source:  Pan Docs, "LCD Control Register", "LCD Status Registers", "Palettes", "Viewport position (Scrolling)".
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u16, u64
from tracklayer.machine.common.clock import NEVER
from tracklayer.machine.common.registers import Reg

from .. import events, speed
from ..interrupts import STAT as STAT_INTERRUPT
from ..interrupts import heed
from . import line, objects, pipeline, stat, window
from .frame import free_vram, schedule_frame
from .plan import reschedule
from .state import (
    BG_ENABLE,
    BG_MAP,
    COMPARE_DOT,
    DOTS_PER_FRAME,
    DOTS_PER_LINE,
    DRAW_BEGIN,
    HBLANK,
    HEIGHT,
    LCD_ENABLE,
    OBJ_ENABLE,
    OBJ_TALL,
    SCAN_END,
    SOURCE_HBLANK,
    SOURCE_LYC,
    SOURCE_OAM,
    SOURCE_VBLANK,
    TILE_DATA,
    WINDOW_ENABLE,
    WINDOW_MAP,
    Machine,
)  # fmt: skip
from .timing import catch_up, repaint, step_at, touch, unseen

LCDC_STEPS = ((1, BG_ENABLE | OBJ_ENABLE | TILE_DATA | WINDOW_ENABLE), (2, BG_MAP | WINDOW_MAP), (3, OBJ_TALL))
"""On a Color: how many dots late which bits of LCDC reach the pipeline."""
FALLS_LATE = (1, 6, 2)
"""T-cycles until LYC's signal falls, once LYC is written: on a DMG, a Color, and at double speed.

Proof: gambatte m0enable/lycdisable_ff45_*."""
WY_LATE = (1, 5, 1)
"""How many dots late a write to WY reaches the pipeline: on a DMG, a Color, and at double speed.

Proof: gambatte window/arg/late_wy_FFto2_ly2_*."""
DOTS_BEFORE_ON = 4
"""When the LCD goes on, the first line is already so many dots old."""


@typed
def read_lcdc(gb: Machine) -> u8:
    """LCDC as written."""
    return gb.ppu.lcdc


@typed
def write_lcdc(gb: Machine, value: u8) -> None:
    """LCDC: bit 7 turns the LCD on and off, the others change what is drawn from here on."""
    catch_up(gb)
    before = gb.ppu.lcdc
    if gb.color.hardware:
        shrinks = before & ~value & OBJ_TALL != 0 and gb.speed.double == 0
        if shrinks and gb.ppu.phase == SCAN_END and gb.ppu.first_line == 0:
            # The scan sees tall objects for longer. Proof: gambatte sprites/late_sizechange_*_cgb04c_out3.
            objects.scan_until(gb, u16(dot_of_write(gb)))
        change_in_steps(gb, value)
    before_bits(gb, (gb.ppu.lcdc ^ value) & 0xFF, 0)
    window.lcdc_changes(gb, value)
    gb.ppu.lcdc = value
    if (before ^ value) & OBJ_TALL != 0 and gb.ppu.phase == DRAW_BEGIN and dot_of_write(gb) == objects.LAST_DOT:
        objects.look_again(gb)
    if before & LCD_ENABLE and not value & LCD_ENABLE:
        lcd_off(gb)
    elif value & LCD_ENABLE and not before & LCD_ENABLE:
        lcd_on(gb)
    if value & LCD_ENABLE:
        match_wy(gb)
    heed(gb)


@typed
def late(gb: Machine, dots: Any) -> u8:
    """How many dots later than on a DMG a write reaches the pipeline, if that is `dots` on a Color at normal speed.

    Source: mealybug-tearoom, "The Comprehensive Game Boy PPU Documentation".
    Proof:  mealybug-tearoom m3_*_cgb_c; gambatte scy/*, scx_during_m3/*, bgtilemap/*, bgtiledata/*.
    """
    return dots - gb.speed.double if gb.color.hardware else 0


@typed
def catch_up_late(gb: Machine) -> None:
    """Do what is due until a write takes effect: on a Color that is so late that something may come in between.

    Proof: gambatte m0enable/*, m1/*, m2enable/*, lycEnable/*, window/arg/late_wy_*.
    """
    catch_up_ahead(gb, late(gb, 2) << gb.speed.double)


@typed
def catch_up_ahead(gb: Machine, cycles: u8) -> None:
    """Do what is due in some T-cycles."""
    gb.clock.left -= cycles
    catch_up(gb)
    gb.clock.left += cycles


@typed
def before_bits(gb: Machine, bits: u8, late: Any) -> None:
    """Some bits of LCDC are about to change. Which tiles are shown changes no time, nor do objects where none are."""
    pictured: u8 = TILE_DATA | BG_MAP | WINDOW_MAP
    if gb.ppu.object_count == 0:
        pictured = pictured | OBJ_ENABLE
    if bits & ~pictured & 0xFF:
        touch(gb, late)
    elif bits:
        repaint(gb, late)


@typed(outline=True)
def change_in_steps(gb: Machine, value: u8) -> None:
    """On a Color each bit of LCDC reaches the pipeline at its own time. Bit 4 disturbs the reads of that dot."""
    for dots, bits in LCDC_STEPS:
        mixed = gb.ppu.lcdc & ~bits & 0xFF | value & bits
        if mixed != gb.ppu.lcdc:
            before_bits(gb, (mixed ^ gb.ppu.lcdc) & 0xFF, late(gb, dots))
            window.lcdc_changes(gb, mixed)
            if (mixed ^ gb.ppu.lcdc) & TILE_DATA:
                gb.ppu.pipe.tile_data = pipeline.RISES if mixed & TILE_DATA else pipeline.FALLS
                repaint(gb, late(gb, dots) + 1)
                gb.ppu.pipe.tile_data = 0
            gb.ppu.lcdc = mixed
            match_wy(gb)


@typed
def lcd_off(gb: Machine) -> None:
    """The PPU stands still: LY is 0, mode 0, memory open. STAT's match bit, and the line, stay. The screen turns white.

    Proof: mooneye ppu/stat_lyc_onoff.
    """
    gb.ppu.next = NEVER
    if gb.ppu.pipe.active:
        pipeline.forget(gb)
    objects.begin_scan(gb)
    gb.ppu.line = 0
    gb.ppu.ly = 0
    gb.ppu.mode = HBLANK
    gb.ppu.signals = 0
    gb.ppu.locks = 0
    gb.clock.cancel(events.STAT)
    schedule_frame(gb, u64(gb.ppu.frame_done + DOTS_PER_FRAME))
    free_vram(gb, 1)
    line.blank(gb)
    if gb.color.functions:
        gb.clock.schedule(events.HDMA, gb.clock.now())


@typed
def lcd_on(gb: Machine) -> None:
    """The first line begins 4 dots ago, without an OAM scan: mode 0 is shown, and memory open, until mode 3.

    Proof: mooneye ppu/lcdon_timing-GS, lcdon_write_timing-GS.
    """
    gb.ppu.line_start = u64(speed.dots(gb) - DOTS_BEFORE_ON)
    gb.ppu.first_line = 1
    gb.ppu.fresh = 1
    gb.host.drawing = 0
    gb.ppu.window_line = 0
    gb.ppu.window_mode = 0
    gb.ppu.window_held = 0
    gb.ppu.window_reached = 0
    gb.ppu.compare = 0
    gb.ppu.between = 0
    stat.update(gb)
    step_at(gb, SCAN_END, 84 if gb.color.hardware else 80)
    schedule_frame(gb, u64(gb.ppu.line_start + HEIGHT * DOTS_PER_LINE + COMPARE_DOT))
    free_vram(gb, 0)
    reschedule(gb)
    if gb.color.functions:
        gb.clock.schedule(events.HDMA, gb.clock.now())


@typed
def power_on(gb: Machine) -> None:
    """The state of a PPU whose LCD is off since power-on."""
    gb.ppu.next = NEVER
    gb.ppu.vram_free = 1
    schedule_frame(gb, u64(speed.dots(gb) + DOTS_PER_FRAME))


@typed
def read_stat(gb: Machine) -> u8:
    """STAT: selected sources, match, mode."""
    catch_up(gb)
    return gb.ppu.stat | gb.ppu.matched << 2 | gb.ppu.mode


@typed
def write_stat(gb: Machine, value: u8) -> None:
    """Select interrupt sources. On a Color what asks for an interrupt in the same dot must be selected afterwards too.

    But LYC asks sooner. Proof: gambatte m1/m1irq_disable_1, m2enable/disable_ly0_1.
    """
    if gb.color.hardware:
        catch_up_ahead(gb, 1)
    requested = gb.interrupts.flags
    high = gb.ppu.stat_line
    catch_up_late(gb)
    if vblank_just_changed(gb) and gb.ppu.stat & value & 0x30 == 0 and not (high or gb.ppu.lyc_signal):
        gb.interrupts.flags &= requested | ~(1 << STAT_INTERRUPT)
    ended = SOURCE_VBLANK if gb.ppu.line == 0 and vblank_just_changed(gb) else 0
    stat.select(gb, value, lingering(gb), ended)
    reschedule(gb)
    heed(gb)


@typed(outline=True)
def dot_of_write(gb: Machine) -> u64:
    """The dot of the line at which a write takes effect whose `catch_up_late` was done."""
    return u64(speed.dots(gb) + late(gb, 2) - gb.ppu.line_start)


@typed
def vblank_just_changed(gb: Machine) -> bool:
    """Whether a Color's VBlank began or ended in the dot in which a write takes effect. At double speed none does."""
    return late(gb, 2) == 2 and dot_of_write(gb) == COMPARE_DOT and gb.ppu.line % HEIGHT == 0


@typed
def lingering(gb: Machine) -> u8:
    """Sources that are not active any more, but still are for a write to STAT: mode 0's, and mode 2's pulse.

    Proof: gambatte m0enable/late_enable_*, m2enable/late_enable_*, lycEnable/ff41_disable_2.
    """
    dot = dot_of_write(gb)
    if dot >= 4 or gb.ppu.lcdc & LCD_ENABLE == 0:
        return 0
    if dot < max(late(gb, 2), 1):
        return SOURCE_HBLANK if 0 < gb.ppu.line <= HEIGHT else 0
    if gb.ppu.line == 0 or (gb.ppu.line < HEIGHT and gb.color.hardware != 0):
        return SOURCE_OAM if dot >= COMPARE_DOT else 0
    return 0


@typed
def read_scy(gb: Machine) -> u8:
    """SCY as written."""
    return gb.ppu.scy


@typed
def write_scy(gb: Machine, value: u8) -> None:
    """The background's top row."""
    catch_up(gb)
    repaint(gb, late(gb, 2))
    gb.ppu.scy = value


@typed
def read_scx(gb: Machine) -> u8:
    """SCX as written."""
    return gb.ppu.scx


@typed
def write_scx(gb: Machine, value: u8) -> None:
    """The background's left column. On a Color its low bits change first."""
    catch_up(gb)
    if gb.color.hardware:
        touch(gb, late(gb, 1))
        gb.ppu.scx = gb.ppu.scx & 0xF8 | value & 7
    touch(gb, late(gb, 2))
    gb.ppu.scx = value


@typed
def read_ly(gb: Machine) -> u8:
    """The current line."""
    catch_up(gb)
    return gb.ppu.ly


@typed
def read_lyc(gb: Machine) -> u8:
    """LYC as written."""
    return gb.ppu.lyc


@typed
def write_lyc(gb: Machine, value: u8) -> None:
    """The line that LY is compared with. With the LCD off nothing is compared, nor for interrupts while LY steps.

    Proof: mooneye ppu/stat_lyc_onoff; gambatte lycEnable/ff45_enable_weirdpoint_*, late_ff45_enable_*.
    """
    catch_up_late(gb)
    if gb.ppu.lyc_signal != 0 and gb.ppu.stat & SOURCE_LYC != 0 and gb.ppu.signals == 0:
        # The signal falls a little later: mode 0 does not ask for an interrupt until then.
        catch_up_ahead(gb, FALLS_LATE[gb.color.hardware + gb.speed.double])
    gb.ppu.lyc = value
    if gb.ppu.lcdc & LCD_ENABLE != 0 and dot_of_write(gb) >= DOTS_PER_LINE - COMPARE_DOT:
        gb.ppu.matched = gb.ppu.compare == value
    elif gb.ppu.lcdc & LCD_ENABLE:
        stat.update(gb)
    reschedule(gb)
    heed(gb)


@typed
def pixel_waits(gb: Machine) -> bool:
    """Before a palette changes: whether a pixel is just on its way to the screen. It will see old and new value ORed.

    On a Color it sees the new one alone.
    The line's first pixel comes a little late and sees only the new one.
    Proof: mealybug-tearoom m3_bgp_change, age m3-bg-bgp.
    """
    catch_up(gb)
    if unseen(gb):
        return False
    touch(gb, 0)
    return gb.ppu.pipe.active != 0 and gb.ppu.pipe.out_x > 0 and gb.color.hardware == 0


@typed
def pass_dot(gb: Machine) -> None:
    """Let the pipeline do one dot more."""
    pipeline.run_until(gb, u16(gb.ppu.pipe.dot + 1))


@typed
def read_palette(gb: Machine, which: Any) -> u8:
    """A palette as written."""
    match which:
        case 0:
            return gb.ppu.bgp
        case 1:
            return gb.ppu.obp0
        case _:
            return gb.ppu.obp1


@typed
def put_palette(gb: Machine, which: Any, value: u8) -> None:
    """Have a palette hold a value from here on."""
    match which:
        case 0:
            gb.ppu.bgp = value
        case 1:
            gb.ppu.obp0 = value
        case _:
            gb.ppu.obp1 = value


@typed
def write_palette(gb: Machine, which: Any, value: u8) -> None:
    """Another palette of the background, or the first or second of objects."""
    if pixel_waits(gb):
        put_palette(gb, which, read_palette(gb, which) | value)
        pass_dot(gb)
    put_palette(gb, which, value)


@typed
def read_wy(gb: Machine) -> u8:
    """WY as written."""
    return gb.ppu.wy


@typed
def write_wy(gb: Machine, value: u8) -> None:
    """The window's top line. On a Color line 0 is compared with it a little later than others."""
    catch_up_late(gb)
    touch(gb, WY_LATE[gb.color.hardware + gb.speed.double])
    if gb.color.hardware != 0 and gb.ppu.line == 0 and dot_of_write(gb) < window.COLOR_DOT:
        gb.ppu.window_reached = 0
    gb.ppu.wy = value
    if gb.ppu.lcdc & LCD_ENABLE:
        match_wy(gb)


@typed(outline=True)
def match_wy(gb: Machine) -> None:
    """WY or LCDC was written: compare LY, unless it is about to step.

    Proof: gambatte window/arg/late_wy_FFto1_ly2_*, window/late_enable_afterVblank_*.
    """
    if dot_of_write(gb) < DOTS_PER_LINE - 2:
        window.match_wy(gb)


@typed
def read_wx(gb: Machine) -> u8:
    """WX as written."""
    return gb.ppu.wx


@typed
def write_wx(gb: Machine, value: u8) -> None:
    """The window's left column, plus 7."""
    catch_up(gb)
    touch(gb, late(gb, 1))
    gb.ppu.wx = value


REGISTERS = (
    #   address name    reads as 1  on read    on write
    Reg(0xFF40, "LCDC", 0x00,       read_lcdc, write_lcdc),
    Reg(0xFF41, "STAT", 0x80,       read_stat, write_stat),
    Reg(0xFF42, "SCY",  0x00,       read_scy,  write_scy),
    Reg(0xFF43, "SCX",  0x00,       read_scx,  write_scx),
    Reg(0xFF44, "LY",   0x00,       read_ly,   None),
    Reg(0xFF45, "LYC",  0x00,       read_lyc,  write_lyc),
    Reg(0xFF47, "BGP",  0x00,       read_palette, write_palette, (0,)),
    Reg(0xFF48, "OBP0", 0x00,       read_palette, write_palette, (1,)),
    Reg(0xFF49, "OBP1", 0x00,       read_palette, write_palette, (2,)),
    Reg(0xFF4A, "WY",   0x00,       read_wy,   write_wy),
    Reg(0xFF4B, "WX",   0x00,       read_wx,   write_wx),
)  # fmt: skip
