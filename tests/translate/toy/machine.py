"""The toy's memory map, its clock and its devices.

For:     the structs of a console, and what reading, writing and the boundary between two instructions do.
Not for: instructions (isa.py).

    0000-1FFF  ROM, always the same        shared by all consoles with that ROM
    2000-3FFF  ROM, one of several banks   chosen by a write to C1xx
    4000-BFFF  RAM                         code in it is watched; at 8000 begins another window, with the devices
    C000-FFFF  devices                     slow: a counter that counts its own reads, the bank, requests to be stopped
"""

from __future__ import annotations

from tracklayer.isa.engine import EngineHost
from tracklayer.lang import (
    Array,
    Host,
    Ptr,
    address_of,
    array,
    ask,
    i32,
    i64,
    pointer_at,
    struct,
    typed,
    u1,
    u8,
    u16,
    u32,
    u64,
)

STOP_LIMIT, STOP_ASKED, STOP_ERROR = 1, 2, 3
PREFIX = 0x7F
BANK = 0x2000
LINES = 16


@struct
class Clock:
    deadline: u64
    left: i32
    stop: u8
    limit: u64
    instructions: u64
    timer_at: u64

    @typed
    def now(self) -> u64:
        return u64(self.deadline - self.left)

    @typed
    def retarget(self) -> None:
        now = self.now()
        self.deadline = max(now, min(self.limit, self.timer_at, u64(now + 1000000)))
        self.left = i32(self.deadline - now)

    @typed
    def attention(self) -> None:
        if self.left > 0:
            self.deadline = self.now()
            self.left = 0


@struct
class ToyHost:
    """All that is no guest state."""

    ports: Host
    engine: EngineHost
    rom: Ptr[u8]
    banks: u16
    pages: Array[Ptr[u8]] = array(256)
    """Where each page is read and fetched from; null for devices."""
    write_pages: Array[Ptr[u8]] = array(256)
    watched: Array[u16] = array(256)
    written_count: u32
    written: Array[u16] = array(LINES)
    hooks: Array[u8] = array(8192)
    hooked_pages: Array[u8] = array(256)
    """1 where a page has hooks: the interpreter looks for one before each instruction there."""
    peripheral: u8
    """1: reads of C2xx ask Python."""


@struct
class Toy:
    host: ToyHost
    clock: Clock
    pc: u16
    r0: u16
    r1: u16
    r2: u16
    r3: u16
    sp: u16
    zero: u1
    carry: u1
    enabled: u1
    saved: u16
    period: u32
    bank: u16
    counted: u16
    systems: u32
    ram: Array[u8] = array(0x8000)

    # ---------------------------------------------------------------- the bus

    @typed
    def read(self, address: u16) -> u8:
        self.clock.left -= 1
        page = self.host.pages[address >> 8]
        if page:
            return page[address & 0xFF]
        return self.read_device(address)

    @typed
    def write(self, address: u16, value: u8) -> None:
        self.clock.left -= 1
        page = self.host.write_pages[address >> 8]
        if page:
            page[address & 0xFF] = value
        else:
            self.write_slow(address, value)

    @typed(cold=True)
    def read_device(self, address: u16) -> u8:
        if address >> 8 == 0xC2 and self.host.peripheral:
            value = u8(ask(self.host.ports, self.host.engine.on_hook, 0xEE, address, i64(self.clock.now())))
            if self.host.ports.failed:
                self.clock.attention()
            return value
        if address >> 8 == 0xC0:
            self.counted += 1
            return u8(self.counted)
        return u8(address ^ 0x5A)

    @typed(cold=True)
    def write_slow(self, address: u16, value: u8) -> None:
        if 0x4000 <= address < 0xC000:
            self.ram[address - 0x4000] = value
            line = 1 << (address >> 4 & 15)
            if self.host.watched[address >> 8] & line:
                self.host.watched[address >> 8] &= ~line
                if self.host.written_count < LINES:
                    self.host.written[self.host.written_count & (LINES - 1)] = address
                self.host.written_count += 1
                if self.host.watched[address >> 8] == 0:
                    self.host.write_pages[address >> 8] = self.host.pages[address >> 8]
                self.clock.attention()
        elif address >> 8 == 0xC1:
            self.bank = value
            self.map_bank()
        elif address >> 8 == 0xC3:
            self.clock.stop = STOP_ASKED
            self.clock.attention()

    @typed(outline=True)
    def map_bank(self) -> None:
        bank = (self.bank & (self.host.banks - 1)) + 1
        for page in range(32):
            self.host.pages[0x20 + page] = pointer_into(self.host.rom, u32(bank * BANK + page * 256))
        self.host.engine.changed()

    @typed
    def next_byte(self) -> u8:
        value = self.read(self.pc)
        self.pc += 1
        return value

    # ---------------------------------------------------------------- between instructions

    @typed(outline=True)
    def boundary(self) -> None:
        if self.clock.now() >= self.clock.timer_at:
            self.clock.timer_at += self.period
            if self.enabled:
                self.enabled = 0
                self.saved = self.pc
                self.pc = 0x10
                self.clock.left -= 5
        if self.clock.now() >= self.clock.limit:
            self.clock.stop = STOP_LIMIT
        if self.host.ports.failed:
            self.clock.stop = STOP_ERROR
        self.clock.retarget()


@typed
def pointer_into(base: Ptr[u8], offset: u32) -> Ptr[u8]:
    return pointer_at(u64(address_of(base) + offset), u8)  # type: ignore[no-any-return]
