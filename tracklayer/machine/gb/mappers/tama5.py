"""TAMA5: a bus interface, a microcontroller (TAMA6) with 32 bytes of RAM, and a clock chip (TC8521).

The program sees two addresses: A001 chooses one of sixteen half-byte registers, A000 is that register. Writing register
7 carries out what registers 4 to 7 say; registers C and D then hold the answer.

Source: gbdev forums, "TAMA5" (thread 469, endrift's notes); Toshiba TC8521: four pages of 13 half bytes (time, alarm,
memory, memory), register D the mode, F the reset.
UNVERIFIED: how long an answer takes (none here), and the microcontroller's own commands beyond setting and reading
minutes and hours.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16, u64

from ..maps import select
from .machine import Machine, pass_seconds
from .state import Tama5

UNLOCK = 0x0A
BANK_LOW, BANK_HIGH, IN_LOW, IN_HIGH, ADDRESS_HIGH, ADDRESS_LOW, OUT_LOW, OUT_HIGH = 0, 1, 4, 5, 6, 7, 12, 13

MODE, TEST, RESET = 0xD, 0xE, 0xF
"""Registers of the clock chip that are the same on every page."""

ALARM = 16
"""Where its second page lies."""
HOURS_24 = ALARM + 0xA
LEAP = ALARM + 0xB
"""Years since the last leap year."""
RUNS = 8
"""Bit of the mode: the clock runs."""

#        0   1   2   3   4   5   6   7   8   9   A   B   C
BITS = (15,  7, 15,  7, 15,  3,  7, 15,  3, 15,  1, 15, 15, 0, 0, 0,
         0,  0, 15,  7, 15,  3,  7, 15,  3,  0,  1,  3,  0, 0, 0, 0)  # fmt: skip
"""The bits that exist on the clock chip's first two pages. The other two are plain memory."""

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """0000-7FFF: nothing listens."""


@typed
def read(gb: Machine, address: u16) -> u8:
    """A000: the chosen register, if it can be read. Only four data lines are connected."""
    chip = gb.mapper.tama5
    if address & 1:
        return 0xFF
    if not chip.unlocked:
        return 0xF0
    if chip.select == UNLOCK:
        return 0xF1
    if chip.select == OUT_LOW or chip.select == OUT_HIGH:
        return 0xF0 | chip.registers[chip.select & 15] & 15
    return 0xF0


@typed(rare=True)
def write_register(gb: Machine, address: u16, value: u8) -> None:
    """A001 chooses a register, A000 writes it."""
    chip = gb.mapper.tama5
    if address & 1:
        chip.select = value & 15
        if chip.select == UNLOCK:
            chip.unlocked = 1
    elif chip.unlocked:
        chip.registers[chip.select & 15] = value & 15
        if chip.select <= BANK_HIGH:
            bank = chip.registers[BANK_LOW] & 15 | (chip.registers[BANK_HIGH] & 1) << 4
            select(gb, 0, bank, 0, 0)
        elif chip.select == ADDRESS_LOW:
            execute(gb)


@typed
def execute(gb: Machine) -> None:
    """Bits 3-1 of register 6: 0 writes RAM, 1 reads it, 2 is for the microcontroller, 4 for the clock chip."""
    chip = gb.mapper.tama5
    low = chip.registers[ADDRESS_LOW] & 15
    high = chip.registers[ADDRESS_HIGH] & 15
    value = chip.registers[IN_LOW] & 15 | (chip.registers[IN_HIGH] & 15) << 4
    at = (high & 1) << 4 | low
    match high >> 1:
        case 0:
            gb.host.ram[0].data[at] = value
        case 1:
            answer(chip, gb.host.ram[0].data[at])
        case 2:
            catch_up(gb)
            microcontroller(chip, at, value)
        case 4:
            catch_up(gb)
            clock_chip(gb, low)
        case _:
            pass


@typed
def answer(chip: Tama5, value: u8) -> None:
    """What registers C and D show."""
    chip.registers[OUT_LOW] = value & 15
    chip.registers[OUT_HIGH] = value >> 4


@typed
def microcontroller(chip: Tama5, command: u8, value: u8) -> None:
    """Stop and start the clock; set and read minutes and hours; the alarm off and on."""
    match command:
        case 0x00:
            chip.mode = chip.mode & ~RUNS & 15
        case 0x01:
            chip.mode = chip.mode | RUNS
        case 0x04:
            chip.pages[2] = value & 15
            chip.pages[3] = value >> 4 & 7
        case 0x05:
            chip.pages[4] = value & 15
            chip.pages[5] = value >> 4 & 3
        case 0x06:
            answer(chip, u8(chip.pages[3] << 4 | chip.pages[2]))
        case 0x07:
            answer(chip, u8(chip.pages[5] << 4 | chip.pages[4]))
        case 0x10:
            chip.mode = chip.mode & 11
        case 0x11:
            chip.mode = chip.mode | 4
        case _:
            pass


@typed
def clock_chip(gb: Machine, operation: u8) -> None:
    """Register 4 is a register's number, 5 what to write there; bit 0 of the operation reads, bits 2-1 are the page."""
    chip = gb.mapper.tama5
    register = chip.registers[IN_LOW] & 15
    value = chip.registers[IN_HIGH] & 15
    page = (operation >> 1) & 3
    at = page << 4 | register
    bits = BITS[at & 31] if page < 2 else 15
    if operation & 1:
        answer(chip, chip.mode if register == MODE else chip.pages[at] & bits)
    elif register == MODE:
        chip.mode = value
    elif register == RESET:
        if value & 2:
            gb.mapper.seconds.fraction = 0
    elif register < MODE:
        chip.pages[at] = value & bits


@typed(rare=True)
def catch_up(gb: Machine) -> None:
    """Let the clock chip count the seconds that went by. Its digits are decimal."""
    chip = gb.mapper.tama5
    passed = pass_seconds(gb, chip.mode & RUNS != 0)
    if passed > 0:
        total = u64(digits(chip, 0) + passed)
        put(chip, 0, total % 60)
        total = u64(digits(chip, 2) + total // 60)
        put(chip, 2, total % 60)
        total = u64(hour(chip) + total // 60)
        put_hour(chip, total % 24)
        days: u64 = total // 24
        while days > 0:
            next_day(chip)
            days = u64(days - 1)


@typed
def digits(chip: Tama5, at: u8) -> u8:
    """Two decimal digits, the lower one first."""
    return (chip.pages[at] & 15) + 10 * (chip.pages[at + 1] & 15)


@typed
def put(chip: Tama5, at: u8, value: u8) -> None:
    """Store two decimal digits."""
    chip.pages[at] = value % 10
    chip.pages[at + 1] = value // 10


@typed
def hour(chip: Tama5) -> u8:
    """The hour, 0 to 23, however the chip shows it: in the 12-hour way bit 1 of the tens means the afternoon."""
    if chip.pages[HOURS_24] & 1:
        return digits(chip, 4)
    afternoon = (chip.pages[5] >> 1) & 1
    return (chip.pages[4] & 15) + 10 * (chip.pages[5] & 1) + 12 * afternoon


@typed
def put_hour(chip: Tama5, value: u8) -> None:
    """Store the hour the way the chip shows it."""
    if chip.pages[HOURS_24] & 1:
        put(chip, 4, value)
    else:
        put(chip, 4, value % 12)
        if value >= 12:
            chip.pages[5] |= 2


@typed
def next_day(chip: Tama5) -> None:
    """Weekday, day, month and year go on."""
    chip.pages[6] = (chip.pages[6] + 1) % 7
    month = digits(chip, 9)
    length = DAYS[(month - 1) % 12] if month > 0 else 31
    if month == 2 and chip.pages[LEAP] & 3 == 0:
        length = 29
    day = digits(chip, 7)
    if day < length:
        put(chip, 7, day + 1)
    else:
        put(chip, 7, 1)
        if month < 12:
            put(chip, 9, month + 1)
        else:
            put(chip, 9, 1)
            put(chip, 11, (digits(chip, 11) + 1) % 100)
            chip.pages[LEAP] = (chip.pages[LEAP] + 1) & 3
