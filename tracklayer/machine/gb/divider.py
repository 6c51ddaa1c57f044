"""DIV, FF04: the high byte of the 16-bit divider that everything slow hangs on.

For:     reading it; clearing it, which the timer, the serial clock and the sound chip feel.
Not for: the divider itself, which is the time since `Timer.origin`.
Source:  Pan Docs, "Timer and Divider Registers".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import typed, u8, u64
from tracklayer.machine.common.registers import Reg

from . import apu, serial, timer
from .color import Color

CGB_E = 4
"""Revision of a chip; `Color.revision`."""


class Machine(apu.Machine, timer.Machine, serial.Machine, Protocol):
    """What the divider reaches of its machine."""

    color: Color


@typed
def read_div(gb: Machine) -> u8:
    """DIV."""
    return u8(u64(gb.clock.now() - gb.timer.origin) >> 8)


@typed
def write_div(gb: Machine, value: u8) -> None:
    """Any write clears the divider. Source: Pan Docs, "Timer Obscure Behaviour"."""
    clear(gb)


@typed(outline=True)
def clear(gb: Machine) -> None:
    """The divider is zero now."""
    timer.catch_up(gb)
    serial.catch_up(gb)
    apu.divider_cleared(gb)
    old_origin = gb.timer.origin
    was_high = timer.line(gb)
    gb.timer.origin = gb.clock.now()
    timer.divider_cleared(gb, was_high)
    serial.divider_cleared(gb, old_origin)


@typed
def stops_early(gb: Machine) -> bool:
    """Whether the divider bit that TIMA watches is cleared with the STOP that changes the speed, not an M-cycle later.

    The high bits are; on chips before revision E only the highest of the four that TIMA may watch.
    Proof: age speed-switch/spsw-tima-cgbBC, -cgbE; gambatte speedchange/speedchange*_tima*.
    """
    rate = gb.timer.tac & 3
    return rate == 0 or (rate != 1 and gb.color.revision >= CGB_E)


REGISTERS = (
    #   address name   reads as 1  on read   on write
    Reg(0xFF04, "DIV", 0x00,       read_div, write_div),
)  # fmt: skip
