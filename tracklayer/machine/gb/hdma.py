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
    """`line_start` of the line in whose HBlank the last block was copied."""


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
    """Copy 16 bytes, and let their time pass."""
    ppu.catch_up(gb)
    free = gb.ppu.locks & ppu.VRAM_WRITE == 0
    bank = gb.color.vram_bank * 0x2000
    index: u8 = 0
    while index < BLOCK:
        value = source_byte(gb, u16(gb.hdma.source + index))
        if free:
            gb.vram[bank + ((gb.hdma.target + index) & 0x1FFF)] = value
        index = u8(index + 1)
    gb.hdma.source = u16(gb.hdma.source + BLOCK)
    gb.hdma.target = u16(gb.hdma.target + BLOCK)
    gb.hdma.left = (gb.hdma.left - 1) & 0x7F
    gb.clock.left -= BLOCK_DOTS << gb.speed.double


@typed
def copy_one(gb: Machine) -> None:
    """An HBlank's block."""
    gb.hdma.done = gb.ppu.line_start
    gb.clock.left -= START_CYCLES
    copy_block(gb)
    if gb.hdma.left == 0x7F:
        gb.hdma.active = 0


@typed
def in_hblank(gb: Machine) -> bool:
    """Whether the PPU, right as of now, is in an HBlank in which no block was copied yet."""
    return ppu.drawn(gb) and gb.hdma.done != gb.ppu.line_start


@typed(outline=True)
def reschedule(gb: Machine) -> None:
    """Plan when to look for the next HBlank. The PPU must be right as of now."""
    if gb.hdma.active and gb.ppu.lcdc & ppu.LCD_ENABLE:
        gb.clock.schedule(events.HDMA, speed.time_of(gb, ppu.next_hblank_look(gb)))
    else:
        gb.clock.cancel(events.HDMA)


@typed
def due(gb: Machine) -> None:
    """The event: if an HBlank has begun, its block is copied, unless the CPU is halted."""
    ppu.catch_up(gb)
    if gb.hdma.active and in_hblank(gb) and gb.cpu.halted == 0 and gb.cpu.stopped == 0:
        copy_one(gb)
        ppu.catch_up(gb)
    reschedule(gb)


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
        if value & 0x80:
            gb.hdma.left = value & 0x7F
            gb.hdma.active = 1
            gb.hdma.done = NEVER
            if gb.ppu.lcdc & ppu.LCD_ENABLE == 0 or in_hblank(gb):
                copy_one(gb)
                ppu.catch_up(gb)
        elif gb.hdma.active:
            gb.hdma.left = value & 0x7F
            gb.hdma.active = 0
        else:
            gb.hdma.left = value & 0x7F
            gb.clock.left -= START_CYCLES
            blocks: u8 = (value & 0x7F) + 1
            while blocks > 0:
                copy_block(gb)
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
