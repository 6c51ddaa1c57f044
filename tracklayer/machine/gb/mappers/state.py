"""What cartridges remember: the registers of every mapper, as plain data in the console's state.

For:     one struct for what most mappers have, and one for each chip that has more.
Not for: what the registers mean to a program (the mapper's own file); RAM, which lies behind the console.
"""

from __future__ import annotations

from tracklayer.lang import Array, array, struct, u1, u2, u3, u4, u7, u8, u16, u32, u64

CLOCK_RATE_BITS = 22
"""log2 of the time units per second: T-cycles at normal speed, 4,194,304 Hz."""


@struct
class Seconds:
    """What every clock chip counts seconds from: how far the current one is, as of `synced`."""

    synced: u64
    fraction: u32
    """In 4,194,304ths of a second."""


@struct
class Mbc3Clock:
    """MBC3's counters, and the copies of them that the program reads."""

    seconds: u8
    minutes: u8
    hours: u8
    days: u16
    halted: u1
    carry: u1
    latch: u1
    """Bit 0 of the last write to 6000-7FFF."""
    latched: Array[u8] = array(5)
    """Registers 08 to 0C as they were latched."""


@struct
class Mmm01:
    """What a menu program fixes before it maps a game. See mmm01.py for the names."""

    mapped: u1
    multiplex: u1
    mode_locked: u1
    rom_low: u8
    rom_mask: u8
    rom_mid: u2
    rom_high: u2
    ram_low: u2
    ram_mask: u2
    ram_high: u2


@struct
class Mbc6:
    """Two half banks of ROM or flash, two of RAM, and the flash chip's place in its command language."""

    bank_a: u7
    bank_b: u7
    flash_a: u1
    flash_b: u1
    ram_a: u3
    ram_b: u3
    flash_enabled: u1
    write_enabled: u1
    protected: u1
    """Sector 0 may not be changed. The chip keeps this without power."""
    unlocking: u8
    """How much of AA, 55 has been written, and of a second round after `first`."""
    first: u8
    """80, 60 or 77: a command that wants a second round."""
    mode: u8
    status: u8
    page: u32
    """Where the 128 bytes in `buffer` will go."""
    filled: u8
    """1 once the last byte of the page is there: the next write programs it."""
    buffer: Array[u8] = array(128)


@struct
class Mbc7:
    """The acceleration as latched, and the serial EEPROM."""

    enabled: u1
    """The second of the two switches that open the registers."""
    tilt_x: u16
    tilt_y: u16
    """What the sensor would say now. Python sets it."""
    erased: u1
    """55 was written: the next AA latches."""
    latched_x: u16
    latched_y: u16
    pins: u8
    """CS, CLK and DI as written: bits 7, 6 and 1."""
    out: u1
    """DO."""
    programmable: u1
    phase: u8
    count: u8
    """Bits shifted in this phase, or still to shift out."""
    shift: u16
    address: u7
    all: u1
    """The data to come is for every address."""


@struct
class Huc3:
    """The clock's microcontroller: its mailbox, and the window into its memory."""

    select: u4
    command: u3
    argument: u4
    result: u4
    address: u8
    memory: Array[u8] = array(256)
    """256 half bytes; 10-12 is the minute of the day, 13-16 the day."""
    seconds: u8
    """Of the current minute; no program can see them."""


@struct
class Tama5:
    """TAMA5's sixteen half-byte registers, and the clock chip's four pages behind them."""

    unlocked: u1
    select: u4
    registers: Array[u8] = array(16)
    pages: Array[u8] = array(64)
    """13 registers a page, at 16 * page: time, alarm, two of plain memory."""
    mode: u4
    """The clock chip's register D: bit 3 lets the clock run, bit 2 the alarm."""


@struct
class Camera:
    """The Pocket Camera's registers, and a capture that is going on."""

    selected: u1
    """1: the registers stand at A000, not RAM."""
    busy: u1
    left: u32
    """M-cycles that the capture still needs, as of `since`."""
    since: u64
    registers: Array[u8] = array(0x36)
    shooting: Array[u8] = array(0x36)
    """The registers that the capture was begun with: a capture that was stopped goes on with them."""


@struct
class Infrared:
    """A light-emitting diode and a light sensor: of a cartridge, or of the console."""

    lit: u1
    """The own diode shines."""
    seen: u1
    """The sensor sees light. Python, or a partner, sets it."""


@struct
class MapperRegisters:
    """The registers of whichever mapper the cartridge has; what they mean is in its file."""

    ram_enable: u1
    mode: u1
    bank: u16
    upper: u8
    motor: u1
    """The rumble motor runs."""
    motor_since: u64
    motor_time: u64
    """Dots that the motor has run in all, without those since `motor_since`."""
    seconds: Seconds
    mbc3: Mbc3Clock
    mmm01: Mmm01
    mbc6: Mbc6
    mbc7: Mbc7
    huc3: Huc3
    tama5: Tama5
    camera: Camera
    infrared: Infrared
