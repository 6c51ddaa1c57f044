"""Where Python hears of what the guest does: hooks on code, reads, writes, interrupts and frames.

For:       finding out, in compiled code, whether anybody is to be called, and calling.
Not for:   who is called then (api/hooks.py).
Invariant: nothing here runs unless a hook is set: hooked pages leave the page maps, the rest is a flag each.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import ask, consult, typed, u8, u16
from tracklayer.machine.common.clock import STOP_ERROR

from . import memory, registers
from .host import ANY_BANK, QUICK_HOOKS
from .maps import CART_RAM, OAM, ROM_HIGH, VRAM, WRAM, WRAM_HIGH
from .registers import Machine

UNKNOWN, NOBODY = 0, QUICK_HOOKS + 1
"""What `place` says besides one more than a slot: somebody must ask Python; nobody is to be called."""
WRITES = 0x2000
"""Where the bits for writes begin in `host.access_bits`."""


class Console(Machine, Protocol):
    """The whole machine, to be read and written."""


@typed
def bank_at(gb: Machine, address: u16) -> u16:
    """The bank that stands at an address, as symbol files count: work RAM at D000 begins with 1."""
    page = address >> 8
    if page < VRAM:
        return (gb.banks.low if page < ROM_HIGH else gb.banks.high) & (gb.host.rom_banks - 1) & 0xFFFF
    if page < CART_RAM:
        return gb.color.vram_bank
    if page < WRAM:
        return gb.banks.ram
    if WRAM_HIGH <= page < WRAM_HIGH + 0x10:
        return max(gb.color.wram_bank, 1)
    return 0


@typed(outline=True)
def place(gb: Machine, address: u16) -> u8:
    """The slot of `host.quick` for an address that has hooks, and the bank that stands there; or UNKNOWN, or NOBODY."""
    host = gb.host
    slot: u8 = host.quick_first[address & 0xFF]
    found: u8 = UNKNOWN
    while slot != 0 and (found == UNKNOWN or found == NOBODY):
        entry = host.quick[(slot - 1) & (QUICK_HOOKS - 1)]
        if entry.address == address:
            if entry.bank == ANY_BANK or entry.bank == bank_at(gb, address):
                found = slot
            else:
                found = NOBODY
        slot = entry.next
    return found


@typed
def wanted(gb: Machine, address: u16, first: u16) -> bool:
    """Whether an address has such a hook."""
    return gb.host.access_bits[first + (address >> 3)] >> (address & 7) & 1 != 0


@typed(cold=True)
def read_told(gb: Console, address: u16) -> u8:
    """Read a byte from a page with hooks on reads, and tell of it."""
    gb.host.telling = 1
    value = memory.read_slow(gb, address)
    gb.host.telling = 0
    if wanted(gb, address, 0):
        tell_access(gb, address, value, value, 0)
    return value


@typed(cold=True)
def write_told(gb: Console, address: u16, value: u8) -> None:
    """Write a byte to a page with hooks on writes, and tell of it."""
    old: u8 = 0
    known = wanted(gb, address, WRITES)
    if known:
        old = peek(gb, address)
    gb.host.telling = 1
    memory.write_slow(gb, address, value)
    gb.host.telling = 0
    if known:
        tell_access(gb, address, old, value, 1)


@typed
def tell_access(gb: Console, address: u16, old: u8, new: u8, is_write: u8) -> None:
    """Call Python. If that raises, the instruction ends, and the engine stops at the next boundary."""
    ask(gb.host.ports, gb.host.on_access, 0, address, old, new, is_write)
    if gb.host.ports.failed:
        gb.clock.attention()


@typed
def peek(gb: Console, address: u16) -> u8:
    """What stands at an address, whoever is busy with it."""
    page = gb.host.memory_map[address >> 8]
    if page:
        return page[address & 0xFF]
    if address >= 0xFF80:
        return gb.hram[address & 0x7F]
    if address >= 0xFF00:
        return registers.read_io(gb, address)
    index = address & 0xFF
    if address >> 8 == OAM and index < 0xA0:
        return gb.oam[index]
    return 0xFF


@typed(cold=True)
def tell_interrupt(gb: Machine) -> None:
    """An interrupt was dispatched, and its handler's first instruction comes next."""
    bit = gb.host.dispatched - 1
    gb.host.dispatched = 0
    consult(gb.host.ports, gb.host.on_interrupt, 0, bit)
    if gb.host.ports.failed:
        gb.clock.stop = STOP_ERROR


@typed(cold=True)
def tell_frame(gb: Machine) -> None:
    """A frame is done."""
    gb.host.frames_told = gb.ppu.frames
    consult(gb.host.ports, gb.host.on_frame, 0)
