"""The address space as maps of 256-byte pages: which memory stands where, and what may be touched directly.

For:       keeping `host.memory_map` right when banks change, and deriving the read, write and fetch maps from it.
Not for:   what happens on a page without a direct map (memory.py).
Invariant: a page in read_map, write_map or fetch_map may be accessed with no effect but on its byte, at any time until
           the next boundary. While OAM DMA runs no page may.
"""

from __future__ import annotations

from typing import Any, Protocol

from tracklayer.isa.engine import BANK_BITS, OTHER_MAPS, WINDOW_BITS
from tracklayer.lang import Array, null, pointer, struct, typed, u1, u8, u16, u64

from .color import Color
from .host import GbHost

ROM_LOW, ROM_HIGH, VRAM, CART_RAM, WRAM, WRAM_HIGH, ECHO, OAM = 0x00, 0x40, 0x80, 0xA0, 0xC0, 0xD0, 0xE0, 0xFE
"""The pages where each kind of memory begins."""

HOOKED = 1
"""Page flag: some address has a hook, so code there is fetched the slow way."""
COVERED = 2
"""Page flag: a Python region covers some of it."""
SLOW_WRITE = 4
"""Page flag: writes are the mapper's business (MBC2's half bytes)."""
READ_HOOK = 16
WRITE_HOOK = 32
"""Page flags: some address has a hook on reads, or on writes."""
UNSTEADY = 8
"""Page flag: what stands here may change without its neighbours (MBC6's half banks), so code is not translated."""


ROM_BITS = 9
"""Bits of a ROM bank's number that count."""

BOOT_PAGES = 9
"""Pages of the longest boot ROM, a Color's. The second is never mapped: the cartridge's header shines through."""


@struct
class Banks:
    """What the cartridge's mapper has selected."""

    low: u16
    """16 KiB ROM bank at 0000."""
    high: u16
    """16 KiB ROM bank at 4000."""
    ram: u8
    """8 KiB RAM bank at A000."""
    ram_open: u1
    """1: cartridge RAM answers at A000."""


@struct
class BootRom:
    """The program that runs before the cartridge's, where there is one."""

    mapped: u1
    """1 until it says that it is done."""


class DmaState(Protocol):
    """OAM DMA, as far as the maps care."""

    blocking: u1


class Machine(Protocol):
    """What the maps reach of their machine."""

    host: GbHost
    banks: Banks
    boot_rom: BootRom
    color: Color
    vram: Array[u8]
    wram: Array[u8]

    @property
    def dma(self) -> DmaState: ...


@typed(outline=True)
def rebuild(gb: Machine) -> None:
    """Make every map anew from the state. Needed after a state was loaded, and after hooks or regions changed."""
    place_vram(gb)
    gb.host.vram_open = 0
    gb.host.drawn.unsure = 1
    gb.host.drawn.odd = 1
    page: u8 = 0
    while page < 0x10:
        gb.host.memory_map[WRAM + page] = pointer(gb.wram, page * 256)
        gb.host.memory_map[ECHO + page] = pointer(gb.wram, page * 256)
        page = u8(page + 1)
    place_wram(gb)
    gb.host.memory_map[OAM] = null(u8)
    gb.host.memory_map[OAM + 1] = null(u8)
    place_rom(gb, ROM_LOW, gb.banks.low)
    place_rom(gb, ROM_HIGH, gb.banks.high)
    place_ram(gb)
    remap(gb, 0, 256)
    if gb.dma.blocking:
        close_all(gb)


@typed
def place_vram(gb: Machine) -> None:
    """The selected bank of VRAM stands at 8000."""
    for page in range(0x20):
        gb.host.memory_map[VRAM + page] = pointer(gb.vram, gb.color.vram_bank * 0x2000 + page * 256)


@typed
def place_wram(gb: Machine) -> None:
    """The selected bank of work RAM stands at D000, and at F000."""
    start = max(gb.color.wram_bank, 1) * 0x1000
    page: u8 = 0
    while page < 0x10:
        gb.host.memory_map[WRAM_HIGH + page] = pointer(gb.wram, start + page * 256)
        if page < 0xE:
            gb.host.memory_map[ECHO + 0x10 + page] = pointer(gb.wram, start + page * 256)
        page = u8(page + 1)


@typed
def place_rom(gb: Machine, first: u8, bank: u16) -> None:
    """A ROM bank stands at page `first`. Banks beyond the file repeat it."""
    start = (bank & (gb.host.rom_banks - 1) & 0x1FF) * 64
    rom = gb.host.rom
    for page in range(64):
        gb.host.memory_map[first + page] = pointer(rom[start + page].data)
    if gb.boot_rom.mapped != 0 and first == ROM_LOW:
        for page in range(BOOT_PAGES):
            if page != 1 and page < gb.host.boot_pages:
                gb.host.memory_map[page] = pointer(gb.host.boot_rom[page].data)


@typed
def place_ram(gb: Machine) -> None:
    """The selected bank of cartridge RAM stands at A000, repeated if it is smaller than that; or nothing does."""
    if gb.banks.ram_open and gb.host.ram_pages > 0:
        for page in range(32):
            index = (gb.banks.ram * 32 + page) & (gb.host.ram_pages - 1) & 0x1FF
            gb.host.memory_map[CART_RAM + page] = pointer(gb.host.ram[index].data)
    else:
        for page in range(32):
            gb.host.memory_map[CART_RAM + page] = null(u8)


@typed(outline=True)
def select(gb: Machine, low: u16, high: u16, ram: u8, ram_open: u1) -> None:
    """The mapper selects banks."""
    if low != gb.banks.low:
        gb.banks.low = low
        place_rom(gb, ROM_LOW, low)
        remap(gb, ROM_LOW, 64)
    if high != gb.banks.high:
        other_code(gb, ROM_HIGH, VRAM, u64((high ^ gb.banks.high) & ((1 << ROM_BITS) - 1)) << BANK_BITS)
        gb.banks.high = high
        place_rom(gb, ROM_HIGH, high)
        show(gb, ROM_HIGH, 64, False)
    if ram != gb.banks.ram or ram_open != gb.banks.ram_open:
        gb.banks.ram = ram
        gb.banks.ram_open = ram_open
        place_ram(gb)
        remap(gb, CART_RAM, 32)


@typed
def show(gb: Machine, first: Any, count: Any, written: Any) -> None:
    """Derive what may be accessed directly on pages where another bank was placed: `remap_page`, which is for any page
    at any time, in loops that compile to a few vector instructions where nothing stands in the way."""
    odd: u16 = 0
    page: u8 = first
    while page < first + count:
        odd |= gb.host.page_flags[page]
        if written:
            odd |= gb.host.watch[watched_page(page)]
        page = u8(page + 1)
    if odd != 0:
        remap_pages(gb, first, count)
        return
    page = first
    while page < first + count:
        gb.host.open_maps[page] = gb.host.memory_map[page]
        gb.host.open_maps[0x200 + page] = gb.host.memory_map[page]
        if written:
            gb.host.open_maps[0x100 + page] = gb.host.memory_map[page]
        page = u8(page + 1)
    page = first
    while page < first + count and gb.dma.blocking == 0:
        gb.host.read_map[page] = gb.host.memory_map[page]
        gb.host.fetch_map[page] = gb.host.memory_map[page]
        if written:
            gb.host.write_map[page] = gb.host.memory_map[page]
        page = u8(page + 1)


@typed(outline=True)
def select_vram(gb: Machine, bank: u1) -> None:
    """Another bank of VRAM stands at 8000."""
    if bank != gb.color.vram_bank:
        gb.color.vram_bank = bank
        place_vram(gb)
        if gb.host.vram_open:
            show(gb, VRAM, 32, True)


@typed(outline=True)
def select_wram(gb: Machine, bank: u8) -> None:
    """Another bank of work RAM stands at D000, and at F000."""
    if bank != gb.color.wram_bank:
        other_code(gb, WRAM, ECHO, u64(bank ^ gb.color.wram_bank) << BANK_BITS)
        gb.color.wram_bank = bank
        place_wram(gb)
        show(gb, WRAM_HIGH, 16, True)
        show(gb, ECHO + 16, 14, True)


@typed
def watched_page(page: u8) -> u8:
    """Index into `host.watch` of a page from 8000 on. Echo RAM shares that of the memory it echoes."""
    return (page - 0x20 if ECHO <= page < OAM else page) & 0x7F


@typed(outline=True)
def remap(gb: Machine, first: u16, count: u16) -> None:
    """Derive what may be accessed directly, for `count` pages from page `first` on."""
    if not VRAM <= first < WRAM:  # no code is translated there
        gb.host.engine.changed()
    remap_pages(gb, first, count)


@typed(outline=True)
def remap_pages(gb: Machine, first: u16, count: u16) -> None:
    """Derive what may be accessed directly, where code stands at the same addresses as before, or as it says itself."""
    index: u16 = first
    left: u16 = count
    while left > 0:
        remap_page(gb, u8(index))
        index = u16(index + 1)
        left = u16(left - 1)


@typed(outline=True)
def remap_page(gb: Machine, page: u8) -> None:
    """Derive what may be accessed directly on one page."""
    flags = gb.host.page_flags[page]
    memory = gb.host.memory_map[page]
    if flags & COVERED != 0 or (VRAM <= page < CART_RAM and gb.host.vram_open == 0):
        memory = null(u8)
    written = memory
    if page < VRAM or flags & (SLOW_WRITE | WRITE_HOOK) != 0 or gb.host.watch[watched_page(page)] != 0:
        written = null(u8)
    fetched = memory
    if flags & HOOKED != 0:
        fetched = null(u8)
    if flags & READ_HOOK != 0:
        memory = null(u8)
    gb.host.open_maps[page] = memory
    gb.host.open_maps[0x100 + page] = written
    gb.host.open_maps[0x200 + page] = fetched
    if not gb.dma.blocking:
        gb.host.read_map[page] = memory
        gb.host.write_map[page] = written
        gb.host.fetch_map[page] = fetched


@typed(outline=True)
def open_vram(gb: Machine, is_open: u1) -> None:
    """VRAM may be accessed directly from here on, or no more."""
    gb.host.vram_open = is_open
    if is_open:
        show(gb, VRAM, 32, True)
        return
    page: u8 = VRAM
    while page < CART_RAM:
        gb.host.open_maps[page] = null(u8)
        gb.host.open_maps[0x100 + page] = null(u8)
        gb.host.open_maps[0x200 + page] = null(u8)
        gb.host.read_map[page] = null(u8)
        gb.host.write_map[page] = null(u8)
        gb.host.fetch_map[page] = null(u8)
        page = u8(page + 1)


@typed
def other_code(gb: Machine, first: Any, end: Any, bits: u64) -> None:
    """Other code stands on these pages than before; which, the bits of a generation tell that are flipped."""
    for window in range(first >> WINDOW_BITS - 8, end >> WINDOW_BITS - 8):
        gb.host.engine.generations[window] ^= bits


@typed(outline=True)
def close_all(gb: Machine) -> None:
    """OAM DMA begins: no page may be accessed directly. Code in HRAM runs on."""
    other_code(gb, 0, ECHO, OTHER_MAPS)
    page: u16 = 0
    while page < OAM:  # from there on no page is ever open
        gb.host.read_map[page] = null(u8)
        gb.host.fetch_map[page] = null(u8)
        page += 1
    page = VRAM  # and ROM is never written
    while page < OAM:
        gb.host.write_map[page] = null(u8)
        page += 1


@typed(outline=True)
def open_all(gb: Machine) -> None:
    """OAM DMA is over: every page as `remap` left it."""
    other_code(gb, 0, ECHO, OTHER_MAPS)
    page: u16 = 0
    while page < OAM:
        gb.host.read_map[page] = gb.host.open_maps[page]
        gb.host.fetch_map[page] = gb.host.open_maps[0x200 + page]
        page += 1
    page = VRAM
    while page < OAM:
        gb.host.write_map[page] = gb.host.open_maps[0x100 + page]
        page += 1
