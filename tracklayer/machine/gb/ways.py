"""The bus for code that knows, or guesses, where an access goes; and the slow accesses that translated code may call.

For:       `Mapped` and `Unmapped`, two ways to see a GB's bus, each right for any access and short for some; `High`,
           which is right for HRAM alone; `quick_read`, `quick_write`.
Not for:   what an access does: that stands in console.py and memory.py.
Invariant: a quick access calls no Python, and looks at no register of the CPU; of the clock it changes what everyone
           may. It does the whole access, or nothing and says so.
"""

from __future__ import annotations

from tracklayer.lang import address_of, i16, pointer_at, struct, typed, u8, u16, u64

from . import mappers, memory, registers
from .console import GB
from .maps import CART_RAM, READ_HOOK, VRAM, WRITE_HOOK
from .memory import HRAM, IO

SB, SC, BOOT, HDMA_LENGTH = 0xFF01, 0xFF02, 0xFF50, 0xFF55


@struct
class Mapped:
    """The bus for accesses to mapped pages."""

    gb: GB

    @typed
    def read(self, address: u16) -> u8:
        """One M-cycle: read a byte of data."""
        page = self.gb.host.read_map[address >> 8]
        if page:
            value = page[address & 0xFF]
        else:
            value = memory.read_slow(self.gb, address)
        self.gb.clock.left -= 4
        return value

    @typed
    def read_step(self, address: u16) -> u8:
        """One M-cycle: read a byte of data, while the address unit counts its address up or down."""
        page = self.gb.host.read_map[address >> 8]
        if page:
            value = page[address & 0xFF]
        else:
            value = memory.read_slow_step(self.gb, address)
        self.gb.clock.left -= 4
        return value

    @typed
    def write(self, address: u16, value: u8) -> None:
        """One M-cycle: write a byte."""
        page = self.gb.host.write_map[address >> 8]
        if page:
            page[address & 0xFF] = value
        else:
            memory.write_slow(self.gb, address, value)
        self.gb.clock.left -= 4

    @typed
    def read_pair(self, address: u16) -> u16:
        """Two M-cycles: read two bytes."""
        page = self.gb.host.read_map[address >> 8]
        if page:
            at = address & 0xFF
            if at != 0xFF:
                self.gb.clock.left -= 8
                return u16(pointer_at(u64(address_of(page) + at), u16)[0])
        return self.gb.read_apart(address)

    @typed
    def write_pair(self, address: u16, value: u16) -> None:
        """Two M-cycles: write two bytes."""
        page = self.gb.host.write_map[address >> 8]
        at = address & 0xFF
        if page:
            if at != 0xFF:
                pointer_at(u64(address_of(page) + at), u16)[0] = value
                self.gb.clock.left -= 8
            else:
                self.gb.write_apart(address, value)
        else:
            self.gb.write_apart(address, value)

    @typed
    def idle(self, address: u16) -> None:
        """One M-cycle without an access."""
        self.gb.idle(address)

    @typed
    def step(self, address: u16) -> None:
        """One M-cycle in which the CPU's address unit counts an address up or down."""
        self.gb.step(address)

    @typed
    def requested(self) -> u8:
        """The requests that IE lets through, as far as is known."""
        return self.gb.requested()

    @typed
    def attention(self) -> None:
        """Have `boundary` run before the next instruction."""
        self.gb.attention()


@struct
class High:
    """The bus for accesses to HRAM, which lies in page FF."""

    gb: GB

    @typed
    def read(self, address: u16) -> u8:
        """One M-cycle: read a byte of data."""
        if self.gb.host.hram_hooked == 0:
            value = self.gb.hram[address & 0x7F]
        else:
            value = memory.read_slow(self.gb, address)
        self.gb.clock.left -= 4
        return value

    @typed
    def write(self, address: u16, value: u8) -> None:
        """One M-cycle: write a byte, not to IE."""
        if self.gb.quick_hram(address, 1):
            self.gb.hram[address & 0x7F] = value
        else:
            memory.write_slow(self.gb, address, value)
        self.gb.clock.left -= 4


@struct
class Unmapped:
    """The bus for accesses to HRAM and to what is more than memory."""

    gb: GB

    @typed
    def read(self, address: u16) -> u8:
        """One M-cycle: read a byte of data."""
        if address >= HRAM and self.gb.host.hram_hooked == 0:
            value = self.gb.hram[address & 0x7F]
        else:
            value = memory.read_slow(self.gb, address)
        self.gb.clock.left -= 4
        return value

    @typed
    def read_step(self, address: u16) -> u8:
        """One M-cycle: read a byte of data, while the address unit counts its address up or down."""
        if address >= HRAM and self.gb.host.hram_hooked == 0:
            value = self.gb.hram[address & 0x7F]
        else:
            value = memory.read_slow_step(self.gb, address)
        self.gb.clock.left -= 4
        return value

    @typed
    def write(self, address: u16, value: u8) -> None:
        """One M-cycle: write a byte."""
        if HRAM <= address < 0xFFFF and self.gb.quick_hram(address, 1):
            self.gb.hram[address & 0x7F] = value
        else:
            memory.write_slow(self.gb, address, value)
        self.gb.clock.left -= 4

    @typed
    def read_pair(self, address: u16) -> u16:
        """Two M-cycles: read two bytes."""
        if HRAM <= address < 0xFFFE and self.gb.host.hram_hooked == 0:
            self.gb.clock.left -= 8
            return self.gb.hram[address + 1 & 0x7F] << 8 | self.gb.hram[address & 0x7F]
        return self.gb.read_apart(address)

    @typed
    def write_pair(self, address: u16, value: u16) -> None:
        """Two M-cycles: write two bytes."""
        if HRAM <= address < 0xFFFE and self.gb.quick_hram(address, 3):
            self.gb.hram[address & 0x7F] = value & 0xFF
            self.gb.hram[address + 1 & 0x7F] = value >> 8
            self.gb.clock.left -= 8
        else:
            self.gb.write_apart(address, value)

    @typed
    def idle(self, address: u16) -> None:
        """One M-cycle without an access."""
        self.gb.idle(address)

    @typed
    def step(self, address: u16) -> None:
        """One M-cycle in which the CPU's address unit counts an address up or down."""
        self.gb.step(address)

    @typed
    def requested(self) -> u8:
        """The requests that IE lets through, as far as is known."""
        return self.gb.requested()

    @typed
    def attention(self) -> None:
        """Have `boundary` run before the next instruction."""
        self.gb.attention()


@typed
def attended(gb: GB, page: u8) -> bool:
    """Whether Python, or OAM DMA, may have a part in an access to a page."""
    host = gb.host
    return (
        host.page_flags[page] & (READ_HOOK | WRITE_HOOK) | host.region_count | gb.dma.blocking | host.linked
    ) != 0


@typed
def quick_read(gb: GB, address: u16) -> i16:
    """`memory.read_slow`, or -1: VRAM and registers."""
    page = address >> 8
    if attended(gb, page) or not (VRAM <= page < CART_RAM or IO <= address < HRAM):
        return -1
    if address >= IO:
        return registers.read_io(gb, address)
    return memory.read_slow(gb, address)


@typed
def quick_write(gb: GB, address: u16, value: u8) -> i16:
    """`memory.write_slow`, or -1: VRAM, registers, and what selects banks."""
    page = address >> 8
    own = address == SC or address == BOOT or address == HDMA_LENGTH
    if attended(gb, page) or own or gb.host.wall != 0 or not (page < CART_RAM or address >= IO):
        return -1
    if IO <= address < HRAM or address == 0xFFFF:
        registers.write_io(gb, address, value)
    elif page < VRAM:
        mappers.write(gb, address, value)
    else:
        memory.write_slow(gb, address, value)
    return 0
