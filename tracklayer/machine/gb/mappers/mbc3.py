"""MBC3 and MBC30: up to 4 MiB of ROM, 64 KiB of RAM, and a clock.

The clock's counters are as wide as their values need, no wider: a counter that a program sets to 60 or more goes on to
its last value and starts at 0 again, and nothing is carried then.

Source: Pan Docs, "MBC3", "MBC30".
Proof:  rtc3test (all three parts), casualpokeplayer ramg-mbc3-test and rtc-invalid-banks-test,
        magentests mbc_oob_sram_mbc3.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16, u64

from ..maps import select
from .machine import Machine, pass_seconds

FIRST, LAST = 0x08, 0x0C
"""The clock's registers: seconds, minutes, hours, days, and the rest."""

LARGEST_MBC3 = 128
"""Banks of ROM; a cartridge with more has an MBC30."""
LARGEST_MBC3_RAM = 128
"""Pages of RAM; likewise."""


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """0000-7FFF of a cartridge without a clock."""
    write_register(gb, address, value)


@typed
def write_with_clock(gb: Machine, address: u16, value: u8) -> None:
    """0000-7FFF of a cartridge with a clock."""
    if address >= 0x6000:
        if value & 1 and not gb.mapper.mbc3.latch:
            latch(gb)
        gb.mapper.mbc3.latch = value & 1
    else:
        write_register(gb, address, value)


@typed
def write_register(gb: Machine, address: u16, value: u8) -> None:
    """RAM and clock enable, ROM bank, RAM bank or clock register."""
    match (address >> 13) & 3:
        case 0:
            gb.mapper.ram_enable = value & 15 == 10
        case 1:
            wide = 0xFF if gb.host.rom_banks > LARGEST_MBC3 else 0x7F
            gb.mapper.bank = max(value & wide, 1)
        case 2:
            gb.mapper.upper = value & 15
        case _:
            pass
    banks = 8 if gb.host.ram_pages > LARGEST_MBC3_RAM else 4
    select(gb, 0, gb.mapper.bank, gb.mapper.upper & 7, gb.mapper.ram_enable and gb.mapper.upper < banks)


@typed
def read(gb: Machine, address: u16) -> u8:
    """A000-BFFF where no RAM stands: a latched register of the clock, if one is selected."""
    index = gb.mapper.upper - FIRST
    if gb.mapper.ram_enable and 0 <= index < 5:
        return gb.mapper.mbc3.latched[index]
    return 0xFF


@typed
def write_clock(gb: Machine, address: u16, value: u8) -> None:
    """A000-BFFF where no RAM stands: set a register of the clock, if one is selected."""
    if gb.mapper.ram_enable and FIRST <= gb.mapper.upper <= LAST:
        catch_up(gb)
        clock = gb.mapper.mbc3
        match gb.mapper.upper:
            case 0x08:
                clock.seconds = value & 0x3F
                gb.mapper.seconds.fraction = 0
                clock.latched[0] = clock.seconds
            case 0x09:
                clock.minutes = value & 0x3F
                clock.latched[1] = clock.minutes
            case 0x0A:
                clock.hours = value & 0x1F
                clock.latched[2] = clock.hours
            case 0x0B:
                clock.days = clock.days & 0x100 | value
                clock.latched[3] = value
            case _:
                clock.days = clock.days & 0xFF | (value & 1) << 8
                clock.halted = (value >> 6) & 1
                clock.carry = value >> 7
                clock.latched[4] = value & 0xC1


@typed
def latch(gb: Machine) -> None:
    """Copy the counters to where the program reads them."""
    catch_up(gb)
    clock = gb.mapper.mbc3
    clock.latched[0] = clock.seconds
    clock.latched[1] = clock.minutes
    clock.latched[2] = clock.hours
    clock.latched[3] = u8(clock.days)
    clock.latched[4] = clock.carry << 7 | clock.halted << 6 | (clock.days >> 8) & 1


@typed(outline=True)
def catch_up(gb: Machine) -> None:
    """Count the seconds that went by."""
    clock = gb.mapper.mbc3
    passed = pass_seconds(gb, not clock.halted)
    if passed > 0:
        seconds, passed = count(clock.seconds, passed, 60, 64)
        minutes, passed = count(clock.minutes, passed, 60, 64)
        hours, passed = count(clock.hours, passed, 24, 32)
        clock.seconds, clock.minutes, clock.hours = seconds, minutes, hours
        days = u64(clock.days + passed)
        if days > 511:
            clock.carry = 1
        clock.days = u16(days & 511)


@typed
def count(value: u8, steps: u64, length: u8, size: u8) -> tuple[u8, u64]:
    """A counter that starts again at `length`, and is `size` values wide: its value, and how often it carried."""
    first: u64 = steps
    start: u64 = value
    if value >= length:
        if value + steps < size:
            return u8(value + steps), 0
        first = u64(steps - (size - value))
        start = 0
    total = u64(start + first)
    return u8(total % length), total // length
