"""MBC6: two half banks of ROM or flash at 4000 and 6000, two of RAM at A000 and B000, and a flash chip of 1 MiB.

The flash chip takes commands: writes to certain of its addresses. Here it finishes each at once. Its contents lie
behind the cartridge's RAM: 1 MiB, then the hidden region of 256 bytes.

Source: Pan Docs, "MBC6". UNVERIFIED: how long erasing and programming take, and what it reads as meanwhile.
"""

from __future__ import annotations

from tracklayer.lang import null, pointer, typed, u1, u8, u16, u32

from ..maps import CART_RAM, ROM_HIGH, place_rom, remap
from .machine import Machine
from .state import Mbc6

HALF_BANK_PAGES = 32
QUARTER_PAGES = 16
FLASH_SIZE = 0x100000
HIDDEN_SIZE = 0x100
SECTOR_BITS = 17
"""log2 of a sector's size: 128 KiB."""
WRITE_PAGE = 128
"""Bytes that are programmed at once."""

FIRST_UNLOCK, SECOND_UNLOCK = 0x5555, 0x2AAA
MAKER, DEVICE = 0xC2, 0x81
"""What the chip says it is."""

READING, IDENTITY, HIDDEN, STATUS, PROGRAM, PROGRAM_HIDDEN = range(6)
"""`mode`."""

DONE, LOCKED = 0x80, 0x02
"""Bits of `status`."""


@typed(rare=True)
def write(gb: Machine, address: u16, value: u8) -> None:
    """0000-3FFF are registers in steps of 0400 or 0800; 4000-7FFF reach the flash chip where that stands."""
    chip = gb.mapper.mbc6
    if address >= 0x4000:
        upper = address >= 0x6000
        there = chip.flash_b if upper else chip.flash_a
        bank = chip.bank_b if upper else chip.bank_a
        if there and chip.flash_enabled:
            flash_write(gb, u32(bank << 13 | address & 0x1FFF), value)
    else:
        match address >> 10:
            case 0:
                gb.mapper.ram_enable = value & 15 == 10
            case 1:
                chip.ram_a = value & 7
            case 2:
                chip.ram_b = value & 7
            case 3:
                chip.flash_enabled = value & 1
            case 4:
                chip.write_enabled = value & 1
            case 8 | 9:
                chip.bank_a = value & 0x7F
            case 10 | 11:
                chip.flash_a = value & 8 != 0
            case 12 | 13:
                chip.bank_b = value & 0x7F
            case 14 | 15:
                chip.flash_b = value & 8 != 0
            case _:
                pass
    place(gb)


@typed(rare=True)
def place(gb: Machine) -> None:
    """Put every half and quarter bank in its place. Flash stands there only while it answers with its contents."""
    chip = gb.mapper.mbc6
    place_rom(gb, 0, 0)
    place_half(gb, ROM_HIGH, chip.flash_a, chip.bank_a)
    place_half(gb, ROM_HIGH + HALF_BANK_PAGES, chip.flash_b, chip.bank_b)
    place_quarter(gb, CART_RAM, chip.ram_a)
    place_quarter(gb, CART_RAM + QUARTER_PAGES, chip.ram_b)
    remap(gb, ROM_HIGH, 2 * HALF_BANK_PAGES)
    remap(gb, CART_RAM, 2 * QUARTER_PAGES)


@typed
def place_half(gb: Machine, first: u8, flash: u1, bank: u8) -> None:
    """8 KiB of ROM or flash at page `first`."""
    if not flash:
        start = (bank & (2 * gb.host.rom_banks - 1) & 0x7F) * HALF_BANK_PAGES
        for page in range(HALF_BANK_PAGES):
            gb.host.memory_map[first + page] = pointer(gb.host.rom[start + page].data)
    elif gb.mapper.mbc6.mode == READING and gb.mapper.mbc6.flash_enabled:
        start = gb.host.ram_pages + (bank & 0x7F) * HALF_BANK_PAGES
        for page in range(HALF_BANK_PAGES):
            gb.host.memory_map[first + page] = pointer(gb.host.ram[start + page].data)
    else:
        for page in range(HALF_BANK_PAGES):
            gb.host.memory_map[first + page] = null(u8)


@typed
def place_quarter(gb: Machine, first: u8, bank: u8) -> None:
    """4 KiB of RAM at page `first`."""
    page: u8 = 0
    while page < QUARTER_PAGES:
        if gb.mapper.ram_enable and gb.host.ram_pages > 0:
            index = (bank * QUARTER_PAGES + page) & (gb.host.ram_pages - 1)
            gb.host.memory_map[first + page] = pointer(gb.host.ram[index].data)
        else:
            gb.host.memory_map[first + page] = null(u8)
        page = u8(page + 1)


@typed
def read(gb: Machine, address: u16) -> u8:
    """What the flash chip answers where it is not its contents."""
    chip = gb.mapper.mbc6
    if address < 0x4000 or address >= 0x8000 or not chip.flash_enabled:
        return 0xFF
    match chip.mode:
        case 1:
            return DEVICE if address & 1 else MAKER
        case 2:
            return gb.host.ram[gb.host.ram_pages + (FLASH_SIZE >> 8)].data[address & 0xFF]
        case 3 | 4 | 5:
            return chip.status | (LOCKED if chip.protected else 0)
        case _:
            return 0xFF


@typed
def flash_write(gb: Machine, address: u32, value: u8) -> None:
    """A byte written to the chip: to the page that is being programmed, or a step of a command."""
    chip = gb.mapper.mbc6
    if (chip.mode == PROGRAM or chip.mode == PROGRAM_HIDDEN) and chip.status == 0:
        load(gb, address, value)
    elif value == 0xF0:
        chip.mode = READING
        chip.unlocking = 0
    else:
        step(gb, address, value)


@typed
def step(gb: Machine, address: u32, value: u8) -> None:
    """AA, 55 and a command; some commands want AA, 55 and a second one behind it."""
    chip = gb.mapper.mbc6
    at = address & 0x7FFF
    if value == 0xAA and at == FIRST_UNLOCK and chip.unlocking & 3 == 0:
        chip.unlocking = chip.unlocking & 4 | 1
    elif value == 0x55 and at == SECOND_UNLOCK and chip.unlocking & 3 == 1:
        chip.unlocking = chip.unlocking & 4 | 2
    elif chip.unlocking == 2:
        chip.unlocking = 0
        match value:
            case 0x80 | 0x60 | 0x77:
                chip.first = value
                chip.unlocking = 4
            case 0x90:
                chip.mode = IDENTITY
            case 0xA0:
                begin(chip, PROGRAM)
            case _:
                pass
    elif chip.unlocking == 6:
        chip.unlocking = 0
        second(gb, address, value)
    else:
        chip.unlocking = 0


@typed
def second(gb: Machine, address: u32, value: u8) -> None:
    """The command behind a second unlocking."""
    chip = gb.mapper.mbc6
    if chip.first == 0x80 and value == 0x30:
        erase(gb, u8(address >> SECTOR_BITS & 7), 1)
    elif chip.first == 0x80 and value == 0x10:
        erase(gb, 0, 8)
    elif chip.first == 0x77 and value == 0x77:
        chip.mode = HIDDEN
    elif chip.first == 0x60 and chip.write_enabled:
        match value:
            case 0x04:
                for index in range(HIDDEN_SIZE):
                    gb.host.ram[gb.host.ram_pages + (FLASH_SIZE >> 8)].data[index] = 0xFF
                finish(chip)
            case 0xE0:
                begin(chip, PROGRAM_HIDDEN)
            case 0x40:
                chip.protected = 0
                finish(chip)
            case 0x20:
                chip.protected = 1
                finish(chip)
            case _:
                pass


@typed
def begin(chip: Mbc6, mode: u8) -> None:
    """Take the bytes of a page."""
    chip.mode = mode
    chip.status = 0
    chip.filled = 0
    for index in range(WRITE_PAGE):
        chip.buffer[index] = 0xFF


@typed
def finish(chip: Mbc6) -> None:
    """The command is done; the chip says so until F0 is written."""
    chip.mode = STATUS
    chip.status = DONE


@typed
def sector_open(chip: Mbc6, sector: u8) -> bool:
    """Whether a sector may be changed: the first has two locks."""
    return sector > 0 or (chip.write_enabled != 0 and not chip.protected)


@typed
def erase(gb: Machine, first: u8, count: u8) -> None:
    """Set whole sectors to FF, but for one that is locked."""
    chip = gb.mapper.mbc6
    page: u32 = first << (SECTOR_BITS - 8)
    end: u32 = (first + count) << (SECTOR_BITS - 8)
    while page < end:
        if sector_open(chip, u8(page >> (SECTOR_BITS - 8) & 7)):
            for index in range(256):
                gb.host.ram[gb.host.ram_pages + page].data[index] = 0xFF
        page = u32(page + 1)
    finish(chip)


@typed
def load(gb: Machine, address: u32, value: u8) -> None:
    """A byte for the page; once its last byte is there, one write more programs it. Bits can only become 0."""
    chip = gb.mapper.mbc6
    if chip.filled:
        hidden = chip.mode == PROGRAM_HIDDEN
        page = chip.page & (HIDDEN_SIZE - WRITE_PAGE if hidden else FLASH_SIZE - WRITE_PAGE)
        if hidden or sector_open(chip, u8(page >> SECTOR_BITS & 7)):
            base = gb.host.ram_pages + (FLASH_SIZE if hidden else page) // 256
            for index in range(WRITE_PAGE):
                gb.host.ram[base].data[page & 0x80 | index] &= chip.buffer[index]
        chip.status = DONE
    else:
        chip.page = address & ~(WRITE_PAGE - 1)
        chip.buffer[address & (WRITE_PAGE - 1)] = value
        chip.filled = address & (WRITE_PAGE - 1) == WRITE_PAGE - 1
