"""What Python looks at and touches most often between two instructions, in typed Python, for one quick call each.

For:     every address that belongs to the machine, the time, the buttons.
Not for: regions, which Python has the say in: memory.py calls their functions.
"""

from __future__ import annotations

from tracklayer.lang import Ptr, i64, pointer_at, typed, u8, u16, u64
from tracklayer.machine.gb import dma, mappers, memory, ppu, registers
from tracklayer.machine.gb.boot import START
from tracklayer.machine.gb.console import GB
from tracklayer.machine.gb.host import REGIONS
from tracklayer.machine.gb.maps import COVERED, OAM, SLOW_WRITE, VRAM
from tracklayer.machine.gb.memory import HRAM, IO
from tracklayer.machine.gb.speed import dots

ELSEWHERE = -1
"""What is asked for is in a region, or the maps are to be made anew first."""
SPACE = 0x10000
OAM_SIZE = 0xA0
SLICE_FRAMES = 8
"""How long an engine runs at once: then Ctrl-C is heard, and the serial log, which is short, is emptied."""
LOOKED_AT = 2
"""Frames at the end of a long tick that are drawn: the last picture was begun, and finished, in these."""


@typed
def claim(gb: GB, thread: u64) -> i64:
    """The thread runs the console from now on; 0 where somebody does."""
    if gb.host.ports.runner != 0:
        return 0
    gb.host.ports.runner = thread
    return 1


@typed
def hold(gb: GB, button: u64, down: u64) -> None:
    """The player holds a button, by its bit, or lets it go."""
    held = gb.joypad.pressed
    gb.press(held | button & 0xFF if down else held & ~button & 0xFF)


@typed
def cycles(gb: GB) -> i64:
    """Dots since the cartridge's first instruction."""
    return i64(dots(gb) - START)


@typed
def own(gb: GB, address: u16) -> bool:
    """Whether an address is in no region, and the maps are right."""
    if gb.host.page_flags[address >> 8] & COVERED:
        return in_no_region(gb, address)
    return gb.host.stale == 0


@typed(cold=True)
def in_no_region(gb: GB, address: u16) -> bool:
    """`own`, on a page that has a region somewhere."""
    return gb.host.stale == 0 and memory.region_of(gb, address) == REGIONS


@typed
def look(gb: GB, address: u16) -> u8:
    """What stands at an address that is in no region: of memory its contents, whatever keeps the CPU from it; else what
    answers there."""
    page = gb.host.memory_map[address >> 8]
    if page:
        return page[address & 0xFF]
    if address >= HRAM:
        return gb.hram[address & 0x7F]
    return answer(gb, address)


@typed(cold=True)
def answer(gb: GB, address: u16) -> u8:
    """What is read where no plain memory stands: a register, OAM, what a mapper says."""
    if address >= IO:
        return registers.read_io(gb, address)
    index = address & 0xFF
    if address >> 8 == OAM and index < OAM_SIZE:
        if gb.dma.blocking:
            ppu.before_dma(gb)
            dma.catch_up(gb)
        return gb.oam[index]
    return 0x00 if address >> 8 == OAM else mappers.read(gb, address)


@typed
def touch(gb: GB, address: u16, value: u8) -> None:
    """Write a byte to an address that is in no region, whatever keeps the CPU from that."""
    page = gb.host.memory_map[address >> 8]
    if address >= VRAM << 8 and page and gb.host.page_flags[address >> 8] & SLOW_WRITE == 0:
        ppu.catch_up(gb)  # lines that are due show what stood there until now
        page[address & 0xFF] = value
        gb.host.drawn.unsure = 1
        memory.check_watch(gb, address)
    else:
        take(gb, address, value)


@typed(cold=True)
def take(gb: GB, address: u16, value: u8) -> None:
    """Write a byte where something other than plain memory has a say."""
    if address < VRAM << 8:
        mappers.write(gb, address, value)
    elif address >> 8 == OAM:
        ppu.before_dma(gb)
        dma.catch_up(gb)
        index = address & 0xFF
        if index < OAM_SIZE:
            gb.oam[index] = value
    elif HRAM <= address < 0xFFFF:
        gb.hram[address & 0x7F] = value
        memory.check_watch(gb, address)
    elif address >= IO:
        registers.write_io(gb, address, value)
    else:
        mappers.write_ram(gb, address, value)
        memory.check_watch(gb, address)


@typed
def peek(gb: GB, where: u64) -> i64:
    """`look` where no region lies; else, and where that is no address, ELSEWHERE."""
    if where < SPACE and own(gb, u16(where)):
        return look(gb, u16(where))
    return ELSEWHERE


@typed
def poke(gb: GB, where: u64, value: u64) -> i64:
    """`touch` where no region lies; else, and where these are no address and no byte, ELSEWHERE."""
    if where < SPACE and value < 0x100 and own(gb, u16(where)):
        touch(gb, u16(where), u8(value))
        return 0
    return ELSEWHERE


@typed
def copy(gb: GB, first: u64, count: u64, to: u64) -> i64:
    """Bytes from an address on to host memory, up to the first that is in a region. Returns: how many."""
    target: Ptr[u8] = pointer_at(to, u8)
    done: u64 = 0
    value: i64 = 0
    while done < count and value >= 0:
        value = peek(gb, u64(first + done))
        if value >= 0:
            target[done & 0xFFFF] = u8(value)
            done = u64(done + 1)
    return i64(done)
