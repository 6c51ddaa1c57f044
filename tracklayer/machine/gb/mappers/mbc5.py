"""MBC5: up to 8 MiB of ROM and 128 KiB of RAM; bank 0 can be selected like any other. With or without a rumble motor.

Source: Pan Docs, "MBC5"; gb-ctr, "MBC5 mapper chip".  Proof: mooneye emulator-only/mbc5/*.
"""

from __future__ import annotations

from tracklayer.lang import typed, u1, u8, u16, u64

from ..maps import select
from ..speed import dots
from .machine import Machine


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """RAMG, ROMB0, ROMB1, RAMB. Only the exact value 0A opens the RAM."""
    match (address >> 12) & 7:
        case 0 | 1:
            gb.mapper.ram_enable = value == 10
        case 2:
            gb.mapper.bank = gb.mapper.bank & 0x100 | value
        case 3:
            gb.mapper.bank = gb.mapper.bank & 0xFF | (value & 1) << 8
        case 4 | 5:
            gb.mapper.upper = value & 15
        case _:
            pass
    select(gb, 0, gb.mapper.bank, gb.mapper.upper, gb.mapper.ram_enable)


@typed
def write_rumble(gb: Machine, address: u16, value: u8) -> None:
    """With a rumble motor, bit 3 of RAMB drives the motor and selects no RAM."""
    masked = value
    if (address >> 13) & 3 == 2:
        drive(gb, (value >> 3) & 1)
        masked = value & 7
    write(gb, address, masked)


@typed
def drive(gb: Machine, on: u1) -> None:
    """Switch the motor. Programs set how strong it feels by how much of the time it runs, so that is counted."""
    now = dots(gb)
    if gb.mapper.motor:
        gb.mapper.motor_time = u64(gb.mapper.motor_time + now - gb.mapper.motor_since)
    gb.mapper.motor_since = now
    gb.mapper.motor = on
