"""What Python looks at and touches most often between two instructions, in typed Python, for one quick call each.

For:     plain memory, the time, the buttons.
Not for: whatever may call Python on its way (registers, mappers, regions): memory.py does those.
"""

from __future__ import annotations

from tracklayer.lang import Ptr, i64, pointer_at, typed, u8, u16, u64
from tracklayer.machine.gb import memory, ppu
from tracklayer.machine.gb.boot import START
from tracklayer.machine.gb.console import GB
from tracklayer.machine.gb.maps import COVERED, SLOW_WRITE, VRAM
from tracklayer.machine.gb.memory import HRAM
from tracklayer.machine.gb.speed import dots

ELSEWHERE = -1
"""What is asked for is not plain memory."""
SPACE = 0x10000


@typed
def press(gb: GB, buttons: u64) -> None:
    """The player now holds exactly these buttons."""
    gb.press(buttons & 0xFF)


@typed
def cycles(gb: GB) -> i64:
    """Dots since the cartridge's first instruction."""
    return i64(dots(gb) - START)


@typed
def own(gb: GB, address: u16) -> bool:
    """Whether no region lies on an address's page, and the maps are right."""
    return gb.host.stale == 0 and gb.host.page_flags[address >> 8] & COVERED == 0


@typed
def stored(gb: GB, address: u16) -> i64:
    """The byte that memory holds at an address; ELSEWHERE where none stands there."""
    page = gb.host.memory_map[address >> 8]
    if page:
        return page[address & 0xFF]
    return gb.hram[address & 0x7F] if address >= HRAM else ELSEWHERE


@typed
def store(gb: GB, address: u16, value: u8) -> i64:
    """Have memory from 8000 on hold a byte, whatever keeps the CPU from that; ELSEWHERE where none stands there, or a
    mapper has a say in it."""
    page = gb.host.memory_map[address >> 8]
    if page and gb.host.page_flags[address >> 8] & SLOW_WRITE == 0:
        ppu.catch_up(gb)  # lines that are due show what stood there until now
        page[address & 0xFF] = value
        gb.host.drawn.unsure = 1
    elif address >= HRAM:
        gb.hram[address & 0x7F] = value
    else:
        return ELSEWHERE
    memory.check_watch(gb, address)
    return 0


@typed
def peek(gb: GB, where: u64) -> i64:
    """`stored` where nobody else has a say; else, and where that is no address, ELSEWHERE."""
    if where < SPACE and own(gb, u16(where)):
        return stored(gb, u16(where))
    return ELSEWHERE


@typed
def poke(gb: GB, where: u64, value: u64) -> i64:
    """`store` where nobody else has a say; else, and where these are no address and no byte, ELSEWHERE."""
    if VRAM << 8 <= where < SPACE - 1 and value < 0x100 and own(gb, u16(where)):
        return store(gb, u16(where), u8(value))
    return ELSEWHERE


@typed
def copy(gb: GB, first: u64, count: u64, to: u64) -> i64:
    """Bytes from an address on to host memory, as far as they are plain. Returns: how many."""
    target: Ptr[u8] = pointer_at(to, u8)
    done: u64 = 0
    value: i64 = 0
    while done < count and value >= 0:
        value = peek(gb, u64(first + done))
        if value >= 0:
            target[done & 0xFFFF] = u8(value)
            done = u64(done + 1)
    return i64(done)
