"""VRAM DMA: FF51-FF55. Blocks of 16 bytes copied to VRAM, all at once or one in each HBlank, while the CPU waits.

For:       starting and stopping transfers, copying blocks, the time that takes.
Not for:   OAM DMA (dma.py).
Invariant: while `active`, an event is scheduled for when the next HBlank may have begun, if the LCD is on.
Source:    Pan Docs, "LCD VRAM DMA Transfers".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.cpu.sm83 import Cpu
from tracklayer.lang import struct, typed, u1, u7, u8, u16, u64
from tracklayer.machine.common.clock import NEVER
from tracklayer.machine.common.registers import Reg

from . import events, mappers, maps, ppu, speed

BLOCK = 16
BLOCK_DOTS = 32
"""Two dots for each byte, at either speed."""
START_CYCLES = 4
"""T-cycles of the CPU before the first byte of a transfer."""
WRITTEN = 4
"""T-cycles until a write to HDMA5 has begun a transfer."""
BEGINS = 2
"""How many dots after mode 3 an HBlank begins."""


@struct
class Hdma:
    """Where the next block comes from and goes to, and how many are left."""

    source: u16
    target: u16
    left: u7
    """Blocks that are left, minus one."""
    active: u1
    """1: a block is copied in each HBlank."""
    done: u64
    """The HBlank that the last block was copied in, by `hblank`."""
    requested: u1
    """1: a block is to be copied as soon as the CPU lets go of the bus."""
    halted_in_hblank: u1
    """1 if the CPU fell into HALT within an HBlank."""


class Machine(ppu.Machine, speed.Machine, mappers.Machine, Protocol):
    """What VRAM DMA reaches of its machine."""

    cpu: Cpu
    hdma: Hdma


@typed
def source_byte(gb: Machine, address: u16) -> u8:
    """What the copy reads. VRAM cannot be read while it is written: that gives FF."""
    page = address >> 8
    if maps.VRAM <= page < maps.CART_RAM or page >= maps.ECHO:
        return 0xFF
    memory = gb.host.memory_map[page]
    if memory:
        return memory[address & 0xFF]
    return mappers.read(gb, address)


@typed(outline=True)
def copy_block(gb: Machine) -> None:
    """Copy 16 bytes. Their time passes afterwards."""
    ppu.catch_up(gb)
    free = gb.ppu.locks & ppu.VRAM_WRITE == 0
    bank = gb.color.vram_bank * 0x2000
    index: u8 = 0
    while index < BLOCK:
        value = source_byte(gb, u16(gb.hdma.source + index))
        if free:
            gb.vram[bank + ((gb.hdma.target + index) & 0x1FFF)] = value
            gb.host.drawn.unsure = 1
        index = u8(index + 1)
    gb.hdma.source = u16(gb.hdma.source + BLOCK)
    gb.hdma.target = u16(gb.hdma.target + BLOCK)
    gb.hdma.left = (gb.hdma.left - 1) & 0x7F


@typed
def let_pass(gb: Machine) -> None:
    """The time of a block."""
    gb.clock.left -= BLOCK_DOTS << gb.speed.double


@typed
def copy_one(gb: Machine, start: u8) -> None:
    """An HBlank's block. The CPU waits for `start` T-cycles before."""
    gb.hdma.requested = 0
    gb.clock.left -= start
    copy_block(gb)
    let_pass(gb)
    if gb.hdma.left == 0x7F:
        gb.hdma.active = 0
    ppu.catch_up(gb)


@typed(outline=True)
def hblank(gb: Machine, ahead: u8) -> u64:
    """Which HBlank is in some T-cycles, by the begin of its line; NEVER if none. With the LCD off it never ends.

    It begins a dot later than for interrupts, and the next line's first dot still belongs to it. The PPU is right as of
    now.
    Proof: gambatte dma/hdma_late_disable_*, hdma_start_*, hdma_late_enable_*, hdma_late_m0halt_*, hdma_late_m0unhalt_*.
    """
    if gb.ppu.lcdc & ppu.LCD_ENABLE == 0:
        return gb.ppu.line_start
    dot = u64(speed.dots(gb) - gb.ppu.line_start + (ahead >> gb.speed.double))
    if dot == 0 and 0 < gb.ppu.line <= ppu.HEIGHT:
        return u64(gb.ppu.line_start - ppu.DOTS_PER_LINE)
    if ppu.drawn(gb) and gb.ppu.mode3_end + BEGINS <= dot <= ppu.DOTS_PER_LINE:
        return gb.ppu.line_start
    return NEVER


@typed
def look(gb: Machine, ahead: u8) -> None:
    """Request a block if an HBlank has begun."""
    if gb.hdma.active:
        line = hblank(gb, ahead)
        if line != NEVER and line != gb.hdma.done:
            gb.hdma.done = line
            gb.hdma.requested = 1


@typed(outline=True)
def reschedule(gb: Machine) -> None:
    """Plan when to look for the next HBlank. The PPU must be right as of now."""
    if gb.hdma.requested and gb.cpu.stopped == 0:
        gb.clock.schedule(events.HDMA, gb.clock.now())
    elif gb.hdma.active and gb.ppu.lcdc & ppu.LCD_ENABLE:
        begin = u64(gb.ppu.line_start + gb.ppu.mode3_end + BEGINS)
        if not ppu.drawn(gb) or speed.dots(gb) >= begin:
            begin = u64(ppu.next_hblank_look(gb) + 1)
        gb.clock.schedule(events.HDMA, speed.time_of(gb, begin))
    else:
        gb.clock.cancel(events.HDMA)


@typed
def due(gb: Machine) -> None:
    """The event: if an HBlank has begun, its block is copied, unless the CPU is halted."""
    ppu.catch_up(gb)
    if gb.cpu.halted:
        gb.clock.cancel(events.HDMA)
        return
    look(gb, 0)
    if gb.hdma.requested and gb.cpu.stopped == 0:
        copy_one(gb, START_CYCLES)
    reschedule(gb)


@typed(cold=True)
def halts(gb: Machine) -> None:
    """The CPU falls into HALT, or stops to change its speed: remember whether in an HBlank.

    Nothing is copied until it wakes; a request that came with the last opcode's fetch waits.
    """
    ppu.catch_up(gb)
    look(gb, 0)
    gb.hdma.halted_in_hblank = hblank(gb, 0) != NEVER
    gb.clock.cancel(events.HDMA)


@typed(cold=True)
def wakes(gb: Machine) -> None:
    """The CPU is about to go on. A block that was requested comes first; so does one of an HBlank that began
    meanwhile and still goes on, but only if the CPU did not fall into HALT in an HBlank too.

    While the copy has the bus the fetched opcode is lost, and PC has not moved past it.
    Proof: gambatte dma/hdma_late_m0halt_*, hdma_late_m0unhalt_*, hdma_late_m3halt_*, hdma_transition_halt_*.
    """
    ppu.catch_up(gb)
    line = hblank(gb, 0)
    if gb.hdma.halted_in_hblank == 0:
        look(gb, 0)
    elif gb.hdma.requested == 0 and line != NEVER:
        gb.hdma.done = line
    if gb.hdma.requested:
        if gb.cpu.ime:
            copy_one(gb, START_CYCLES)
        else:
            copy_one(gb, 0)
            if gb.cpu.halted:
                gb.cpu.halt_bug = 1
            else:
                gb.cpu.pc = u16(gb.cpu.pc - 1)
    gb.hdma.halted_in_hblank = 0
    reschedule(gb)


@typed(cold=True)
def speed_changed(gb: Machine) -> None:
    """The CPU goes on at another speed. A block that was requested at normal speed was copied while it stood still.

    That block is the last, and is not counted.
    Proof: gambatte dma/hdma_late_m3speedchange_*, hdma_transition_speedchange_*.
    """
    if gb.hdma.requested & gb.speed.double:
        left = gb.hdma.left
        copy_block(gb)
        gb.hdma.left = left
        gb.hdma.active = 0
        gb.hdma.requested = 0
        if gb.cpu.ime == 0:
            gb.cpu.pc = u16(gb.cpu.pc - 1)
    wakes(gb)


@typed
def write_hdma1(gb: Machine, value: u8) -> None:
    """The source's high byte."""
    gb.hdma.source = value << 8 | gb.hdma.source & 0xF0


@typed
def write_hdma2(gb: Machine, value: u8) -> None:
    """The source's low byte; its low four bits do not exist."""
    gb.hdma.source = gb.hdma.source & 0xFF00 | value & 0xF0


@typed
def write_hdma3(gb: Machine, value: u8) -> None:
    """The target's high byte."""
    gb.hdma.target = value << 8 | gb.hdma.target & 0xF0


@typed
def write_hdma4(gb: Machine, value: u8) -> None:
    """The target's low byte."""
    gb.hdma.target = gb.hdma.target & 0xFF00 | value & 0xF0


@typed
def read_hdma5(gb: Machine) -> u8:
    """Bit 7 is 0 while a transfer is active; the others count the blocks that are left, minus one."""
    if gb.color.functions == 0:
        return 0xFF
    return gb.hdma.left | (0 if gb.hdma.active else 0x80)


@typed
def write_hdma5(gb: Machine, value: u8) -> None:
    """Start a transfer, or stop the one that is active."""
    if gb.color.functions:
        ppu.catch_up(gb)
        look(gb, 0)
        if value & 0x80:
            gb.hdma.left = value & 0x7F
            gb.hdma.active = 1
            gb.hdma.done = NEVER
            look(gb, WRITTEN)
            if gb.hdma.requested:
                copy_one(gb, START_CYCLES)
        elif gb.hdma.active:
            gb.hdma.left = value & 0x7F
            gb.hdma.active = 0
        else:
            gb.hdma.left = value & 0x7F
            gb.clock.left -= START_CYCLES
            blocks: u8 = (value & 0x7F) + 1
            while blocks > 0:
                copy_block(gb)
                let_pass(gb)
                blocks = u8(blocks - 1)
        reschedule(gb)


REGISTERS = (
    #   address name     reads as 1  on read     on write
    Reg(0xFF51, "HDMA1", 0xFF,       None,       write_hdma1),
    Reg(0xFF52, "HDMA2", 0xFF,       None,       write_hdma2),
    Reg(0xFF53, "HDMA3", 0xFF,       None,       write_hdma3),
    Reg(0xFF54, "HDMA4", 0xFF,       None,       write_hdma4),
    Reg(0xFF55, "HDMA5", 0x00,       read_hdma5, write_hdma5),
)  # fmt: skip
