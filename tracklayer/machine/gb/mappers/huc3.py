"""HuC-3: ROM and RAM banks, infrared light, and a microcontroller that keeps the time.

The program talks to the microcontroller through a mailbox: a command and an argument, half a byte each, and a result.
Here it answers at once. UNVERIFIED: how long the real one is busy.

Source: Pan Docs, "HuC-3".
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16, u32, u64

from ..maps import select
from .machine import Machine, pass_seconds
from .state import Huc3

READ_RAM, RAM, COMMAND, RESPONSE, SEMAPHORE, INFRARED = 0x0, 0xA, 0xB, 0xC, 0xD, 0xE
"""What stands at A000-BFFF, by the low half of a write to 0000-1FFF. Anything else: nothing."""

READY = 0x81
"""The semaphore: bit 0 says that a command may be given; bit 7 is not connected."""

MINUTE, DAY = 0x10, 0x13
"""Where the microcontroller counts: minute of the day, three half bytes; day, four."""
EVENT_MINUTE, EVENT_DAY = 0x58, 0x5B
MINUTES_PER_DAY = 1440


@typed(rare=True)
def write(gb: Machine, address: u16, value: u8) -> None:
    """A write to 0000-7FFF. Nothing is known to listen at 6000-7FFF."""
    match (address >> 13) & 3:
        case 0:
            gb.mapper.huc3.select = value & 15
        case 1:
            gb.mapper.bank = value & 0x7F
        case 2:
            gb.mapper.upper = value & 3
        case _:
            pass
    chosen = gb.mapper.huc3.select
    select(gb, 0, gb.mapper.bank, gb.mapper.upper, chosen == RAM or chosen == READ_RAM)


@typed
def read(gb: Machine, address: u16) -> u8:
    """A000-BFFF where no RAM stands."""
    chip = gb.mapper.huc3
    match chip.select:
        case 0xC:
            return 0x80 | (chip.command & 7) << 4 | chip.result & 15
        case 0xD:
            return READY
        case 0xE:
            return 0xC0 | gb.mapper.infrared.seen
        case _:
            return 0xFF


@typed(rare=True)
def write_ram(gb: Machine, address: u16, value: u8) -> None:
    """A000-BFFF: RAM if it is open for writing, a register, or nothing."""
    chip = gb.mapper.huc3
    match chip.select:
        case 0xA:
            memory = gb.host.memory_map[address >> 8]
            if memory:
                memory[address & 0xFF] = value
        case 0xB:
            chip.command = (value >> 4) & 7
            chip.argument = value & 15
        case 0xD:
            if not value & 1:
                catch_up(gb)
                execute(chip)
        case 0xE:
            gb.mapper.infrared.lit = value & 1
        case _:
            pass


@typed
def execute(chip: Huc3) -> None:
    """The microcontroller runs the command in the mailbox. What is not known does nothing."""
    match chip.command:
        case 1:
            chip.result = chip.memory[chip.address] & 15
            chip.address += 1
        case 3:
            chip.memory[chip.address] = chip.argument
            chip.address += 1
        case 4:
            chip.address = chip.address & 0xF0 | chip.argument & 15
        case 5:
            chip.address = chip.address & 0x0F | (chip.argument & 15) << 4
        case 6:
            extended(chip)
        case _:
            pass


@typed
def extended(chip: Huc3) -> None:
    """0 reads the time to 00-06, 1 sets it from there, 2 asks whether all is well. E, the speaker, is not heard."""
    match chip.argument:
        case 0:
            for index in range(7):
                chip.memory[index] = chip.memory[MINUTE + index]
        case 1:
            old = total(chip, MINUTE, DAY)
            for index in range(7):
                chip.memory[MINUTE + index] = chip.memory[index]
            event = u64(total(chip, EVENT_MINUTE, EVENT_DAY) + total(chip, MINUTE, DAY) - old)
            put(chip, EVENT_MINUTE, event % MINUTES_PER_DAY, 3)
            put(chip, EVENT_DAY, event // MINUTES_PER_DAY, 3)
        case 2:
            chip.result = 1
        case _:
            pass


@typed
def number(chip: Huc3, first: u8, count: u8) -> u32:
    """A number in so many half bytes of the memory, the lowest first."""
    value = 0
    for index in range(count):
        value = value | (chip.memory[first + index] & 15) << 4 * index
    return value


@typed
def put(chip: Huc3, first: u8, value: u64, count: u8) -> None:
    """Store a number in so many half bytes; what does not fit is dropped."""
    for index in range(count):
        chip.memory[first + index] = (value >> 4 * index) & 15


@typed
def total(chip: Huc3, minute: u8, day: u8) -> u32:
    """Minutes since day 0."""
    return number(chip, day, 3) * MINUTES_PER_DAY + number(chip, minute, 3)


@typed(rare=True)
def catch_up(gb: Machine) -> None:
    """Count the minutes that went by."""
    chip = gb.mapper.huc3
    passed = u64(pass_seconds(gb, 1) + chip.seconds)
    chip.seconds = passed % 60
    minutes = u64(number(chip, MINUTE, 3) + passed // 60)
    put(chip, MINUTE, minutes % MINUTES_PER_DAY, 3)
    put(chip, DAY, u64(number(chip, DAY, 4) + minutes // MINUTES_PER_DAY), 4)
