"""HuC1: ROM and RAM banks, and infrared light.

The RAM is never closed: what looks like its switch chooses between RAM and the infrared register.

Source: Pan Docs, "HuC1".
"""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16

from ..maps import select
from .machine import Machine

INFRARED = 0x0E


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """A write to 0000-7FFF. Nothing is known to listen at 6000-7FFF."""
    match (address >> 13) & 3:
        case 0:
            gb.mapper.mode = value == INFRARED
        case 1:
            gb.mapper.bank = value & 0x3F
        case 2:
            gb.mapper.upper = value & 3
        case _:
            pass
    select(gb, 0, gb.mapper.bank, gb.mapper.upper, not gb.mapper.mode)


@typed
def read(gb: Machine, address: u16) -> u8:
    """A000-BFFF in infrared mode: C1 if light is seen, else C0."""
    if gb.mapper.mode:
        return 0xC0 | gb.mapper.infrared.seen
    return 0xFF


@typed
def write_light(gb: Machine, address: u16, value: u8) -> None:
    """A000-BFFF in infrared mode: bit 0 is the light-emitting diode."""
    if gb.mapper.mode:
        gb.mapper.infrared.lit = value & 1
