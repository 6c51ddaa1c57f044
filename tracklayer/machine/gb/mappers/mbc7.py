"""MBC7: ROM banks, a sensor of acceleration along two axes, and 256 bytes of serial EEPROM (93LC56).

Source: Pan Docs, "MBC7"; Microchip, "93AA56/93LC56/93C56", sections Read, Write, Erase, EWDS/EWEN.
UNVERIFIED: how long programming takes; here the chip is ready at once.
"""

from __future__ import annotations

from tracklayer.lang import typed, u1, u8, u16

from ..maps import select
from .machine import Machine

CENTRE = 0x81D0
"""What an axis reads at rest."""
GRAVITY = 0x70
"""How much one g adds."""
ERASED = 0x8000

DO, DI, CLK, CS = 0x01, 0x02, 0x40, 0x80
"""The EEPROM's pins in register 8."""

IDLE, COMMAND, DATA, READING, OVER = range(5)
"""`phase`: waits for the start bit, shifts in a command, shifts in its data, shifts out, has nothing left to do."""

COMMAND_BITS = 10
WORDS = 128


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """A write to 0000-7FFF. Two switches must be on for the registers to answer."""
    match (address >> 13) & 3:
        case 0:
            gb.mapper.ram_enable = value & 15 == 10
        case 1:
            gb.mapper.bank = value & 0x7F
        case 2:
            gb.mapper.mbc7.enabled = value == 0x40
        case _:
            pass
    select(gb, 0, gb.mapper.bank, 0, 0)


@typed
def is_open(gb: Machine, address: u16) -> bool:
    """Whether the registers answer at this address."""
    return gb.mapper.ram_enable != 0 and gb.mapper.mbc7.enabled != 0 and address < 0xB000


@typed
def read(gb: Machine, address: u16) -> u8:
    """A000-AFFF: the register that address bits 7-4 name."""
    chip = gb.mapper.mbc7
    if not is_open(gb, address):
        return 0xFF
    match (address >> 4) & 15:
        case 2:
            return u8(chip.latched_x)
        case 3:
            return chip.latched_x >> 8
        case 4:
            return u8(chip.latched_y)
        case 5:
            return chip.latched_y >> 8
        case 6:
            return 0
        case 8:
            return chip.pins | chip.out
        case _:
            return 0xFF


@typed(rare=True)
def write_register(gb: Machine, address: u16, value: u8) -> None:
    """A000-AFFF: 55 to register 0 and AA to register 1 latch the acceleration; register 8 drives the EEPROM."""
    chip = gb.mapper.mbc7
    if is_open(gb, address):
        match (address >> 4) & 15:
            case 0:
                if value == 0x55:
                    chip.erased = 1
                    chip.latched_x = ERASED
                    chip.latched_y = ERASED
            case 1:
                if value == 0xAA and chip.erased:
                    chip.erased = 0
                    chip.latched_x = chip.tilt_x
                    chip.latched_y = chip.tilt_y
            case 8:
                drive(gb, value & (CS | CLK | DI))
            case _:
                pass


@typed
def drive(gb: Machine, pins: u8) -> None:
    """The EEPROM's pins change. It looks at DI when CLK rises; without CS it forgets what it was doing."""
    chip = gb.mapper.mbc7
    rises = ~chip.pins & pins & CLK
    chip.pins = pins
    if not pins & CS:
        chip.phase = IDLE
        chip.out = 1
    elif rises:
        clock_bit(gb, pins & DI != 0)


@typed
def clock_bit(gb: Machine, bit: u1) -> None:
    """One bit in, or one bit out."""
    chip = gb.mapper.mbc7
    match chip.phase:
        case 0:
            if bit:
                chip.phase = COMMAND
                chip.count = 0
                chip.shift = 0
        case 1:
            chip.shift = u16(chip.shift << 1 | bit)
            chip.count += 1
            if chip.count == COMMAND_BITS:
                command(gb)
        case 2:
            chip.shift = u16(chip.shift << 1 | bit)
            chip.count += 1
            if chip.count == 16:
                program(gb, chip.shift)
        case 3:
            if chip.count == 0:
                chip.shift = word(gb, chip.address)
                chip.address += 1
                chip.count = 16
            chip.out = chip.shift >> 15
            chip.shift = u16(chip.shift << 1)
            chip.count -= 1
        case _:
            pass


@typed
def command(gb: Machine) -> None:
    """All ten bits are there: two of the command, one that is ignored, seven of the address."""
    chip = gb.mapper.mbc7
    chip.address = chip.shift & (WORDS - 1)
    chip.phase = OVER
    chip.count = 0
    chip.all = 0
    match (chip.shift >> 8) & 3:
        case 0:
            special(gb)
        case 1:
            chip.phase = DATA
            chip.shift = 0
        case 2:
            chip.phase = READING
            chip.out = 0
        case _:
            program(gb, 0xFFFF)


@typed
def special(gb: Machine) -> None:
    """EWDS, WRAL, ERAL and EWEN, by the next two bits."""
    chip = gb.mapper.mbc7
    match (chip.shift >> 6) & 3:
        case 0:
            chip.programmable = 0
        case 1:
            chip.all = 1
            chip.phase = DATA
            chip.shift = 0
        case 2:
            chip.all = 1
            program(gb, 0xFFFF)
        case _:
            chip.programmable = 1


@typed(rare=True)
def program(gb: Machine, value: u16) -> None:
    """Store a word at the address, or at all of them, if EWEN allowed it. DO says that the chip is ready."""
    chip = gb.mapper.mbc7
    if chip.programmable:
        if chip.all:
            for index in range(WORDS):
                set_word(gb, index, value)
        else:
            set_word(gb, chip.address, value)
    chip.phase = OVER
    chip.out = 1


@typed
def word(gb: Machine, address: u8) -> u16:
    """A word of the EEPROM."""
    at = (address & (WORDS - 1)) * 2
    return gb.host.ram[0].data[at] | gb.host.ram[0].data[at + 1] << 8


@typed
def set_word(gb: Machine, address: u8, value: u16) -> None:
    """Set a word of the EEPROM."""
    at = (address & (WORDS - 1)) * 2
    gb.host.ram[0].data[at] = u8(value)
    gb.host.ram[0].data[at + 1] = value >> 8
