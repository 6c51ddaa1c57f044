"""The chips in cartridges that select banks, one file each, and the table of them.

For:     what a write to ROM addresses does; what answers at the cartridge's addresses where no plain memory stands.
Not for: parsing headers (cartridge.py); placing banks in the address space (maps.py).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tracklayer.lang import typed, u8, u16

from ..maps import CART_RAM, ROM_HIGH, SLOW_WRITE, UNSTEADY, VRAM, WRAM
from . import camera, huc1, huc3, mbc1, mbc2, mbc3, mbc5, mbc6, mbc7, mmm01, rom_only, tama5
from .machine import Machine
from .state import Infrared, MapperRegisters


@dataclass(frozen=True)
class Mapper:
    """One kind of mapper.

    types:     values of the header's cartridge type byte, 0147.
    write:     typed function `write(machine, address, value)` for 0000-7FFF.
    read:      typed function `read(machine, address)` where no memory stands in the cartridge's part of the address
               space; None where that reads as FF.
    write_ram: typed function `write_ram(machine, address, value)` for A000-BFFF where no memory stands; None where
               nothing listens.
    slow_ram:  A000-BFFF is written by `write_ram` even where memory stands.
    place:     typed function `place(machine)` that puts memory in its place where `machine.banks` cannot say how.
    catch_up:  typed function `catch_up(machine)` that brings the chip up to the time; None where it has no time.
    clock:     whether a crystal on the cartridge counts seconds.
    own_ram:   bytes of RAM or EEPROM in the chip itself, whatever the header says.
    eeprom:    that is an EEPROM: a new one is all ones, as flash memory is.
    flash:     bytes of flash memory.
    halves:    what stands at 4000-7FFF may change by halves.
    """

    name: str
    types: tuple[int, ...]
    write: Callable[[Any, int, int], None]
    read: Callable[[Any, int], int] | None = None
    write_ram: Callable[[Any, int, int], None] | None = None
    slow_ram: bool = False
    place: Callable[[Any], None] | None = None
    catch_up: Callable[[Any], None] | None = None
    clock: bool = False
    ram_always_open: bool = False
    own_ram: int = 0
    eeprom: bool = False
    flash: int = 0
    halves: bool = False


MAPPERS = (
    Mapper("ROM only", (0x00, 0x08, 0x09), rom_only.write, ram_always_open=True),
    Mapper("MBC1", (0x01, 0x02, 0x03), mbc1.write),
    Mapper("MBC1M", (), mbc1.write_multicart),
    Mapper("MBC2", (0x05, 0x06), mbc2.write, write_ram=mbc2.write_ram, slow_ram=True, own_ram=512),
    Mapper("MMM01", (0x0B, 0x0C, 0x0D), mmm01.write, place=mmm01.place),
    Mapper("MBC3", (0x11, 0x12, 0x13), mbc3.write),
    Mapper(
        "MBC3 with clock", (0x0F, 0x10), mbc3.write_with_clock, read=mbc3.read, write_ram=mbc3.write_clock,
        catch_up=mbc3.catch_up, clock=True,
    ),
    Mapper("MBC5", (0x19, 0x1A, 0x1B), mbc5.write),
    Mapper("MBC5 with rumble", (0x1C, 0x1D, 0x1E), mbc5.write_rumble),
    Mapper(
        "MBC6", (0x20,), mbc6.write, read=mbc6.read, place=mbc6.place, halves=True,
        flash=mbc6.FLASH_SIZE + mbc6.HIDDEN_SIZE,
    ),
    Mapper(
        "MBC7", (0x22,), mbc7.write, read=mbc7.read, write_ram=mbc7.write_register, own_ram=2 * mbc7.WORDS,
        eeprom=True,
    ),
    Mapper(
        "Pocket Camera", (0xFC,), camera.write, read=camera.read, write_ram=camera.write_ram, slow_ram=True,
        catch_up=camera.catch_up, ram_always_open=True,
    ),
    Mapper(
        "TAMA5", (0xFD,), tama5.write, read=tama5.read, write_ram=tama5.write_register, catch_up=tama5.catch_up,
        clock=True, own_ram=32,
    ),
    Mapper(
        "HuC-3", (0xFE,), huc3.write, read=huc3.read, write_ram=huc3.write_ram, slow_ram=True, catch_up=huc3.catch_up,
        clock=True, ram_always_open=True,
    ),
    Mapper("HuC1", (0xFF,), huc1.write, read=huc1.read, write_ram=huc1.write_light, ram_always_open=True),
)  # fmt: skip


@typed(outline=True)
def write(gb: Machine, address: u16, value: u8) -> None:
    """0000-7FFF: the mapper of this cartridge."""
    for number in range(len(MAPPERS)):
        if gb.host.mapper == number:
            MAPPERS[number].write(gb, address, value)


@typed(outline=True)
def read(gb: Machine, address: u16) -> u8:
    """The cartridge's addresses, where no memory stands."""
    for number in range(len(MAPPERS)):
        function = MAPPERS[number].read
        if function is not None and gb.host.mapper == number:
            return function(gb, address)
    return 0xFF


@typed(outline=True)
def write_ram(gb: Machine, address: u16, value: u8) -> None:
    """A000-BFFF, where that is no plain RAM."""
    for number in range(len(MAPPERS)):
        function = MAPPERS[number].write_ram
        if function is not None and gb.host.mapper == number:
            function(gb, address, value)


@typed(outline=True)
def place(gb: Machine) -> None:
    """Put memory in its place where the selected banks alone do not say how. `maps.rebuild` has done the rest."""
    for number in range(len(MAPPERS)):
        function = MAPPERS[number].place
        if function is not None and gb.host.mapper == number:
            function(gb)


@typed(outline=True)
def catch_up(gb: Machine) -> None:
    """Bring the cartridge up to the time, for somebody who looks at it from outside."""
    for number in range(len(MAPPERS)):
        function = MAPPERS[number].catch_up
        if function is not None and gb.host.mapper == number:
            function(gb)


def power_on(gb: Any, kind: Mapper) -> None:
    """What a cartridge does when it gets power: the state of its chip, on a console that has been booted."""
    chip = gb.mapper
    chip.bank = gb.banks.high = 1
    gb.banks.ram_open = kind.ram_always_open
    chip.seconds.synced = gb.dots()
    chip.mbc7.tilt_x = chip.mbc7.tilt_y = mbc7.CENTRE
    chip.mbc7.latched_x = chip.mbc7.latched_y = mbc7.ERASED
    chip.mbc7.out = 1
    if kind.eeprom or kind.flash:
        first = 0 if kind.eeprom else 256 * gb.host.ram_pages
        count = kind.own_ram if kind.eeprom else kind.flash
        ctypes.memset(ctypes.addressof(gb.host.ram.contents) + first, 0xFF, count)
    plug_in(gb, kind)


def plug_in(gb: Any, kind: Mapper) -> None:
    """What is special about the pages of a cartridge, whatever its state."""
    if kind.slow_ram:
        for page in range(CART_RAM, WRAM):
            gb.host.page_flags[page] = SLOW_WRITE
    if kind.halves:
        for page in range(ROM_HIGH, VRAM):
            gb.host.page_flags[page] = UNSTEADY


__all__ = [
    "MAPPERS", "Infrared", "Machine", "Mapper", "MapperRegisters", "catch_up", "place", "plug_in", "power_on",
    "read", "write",
    "write_ram",
]  # fmt: skip
