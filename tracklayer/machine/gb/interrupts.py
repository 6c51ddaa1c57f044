"""Interrupt requests: IF and IE.

For:     the two registers and the five request bits.
Not for: dispatching, which is the CPU's (cpu/sm83/control.py); when a device asks, which is the device's.
Source:  Pan Docs, "Interrupts".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, struct, typed, u8
from tracklayer.machine.common.clock import Clock

VBLANK = 0
STAT = 1
TIMER = 2
SERIAL = 3
JOYPAD = 4

IE = 0x7F
"""Where IE lies in `hram`: it is the byte right behind HRAM, and kept there so that reading it needs no test."""


@struct
class Interrupts:
    """IF, FF0F. Devices are lazy: who looks at it lets them catch up first."""

    flags: u8


class Machine(Protocol):
    """What interrupts reach of their machine."""

    clock: Clock
    interrupts: Interrupts
    hram: Array[u8]


@typed
def request(gb: Machine, bit: u8) -> None:
    """A device asks for interrupt number `bit`."""
    gb.interrupts.flags |= 1 << (bit & 7)


@typed
def felt(gb: Machine) -> u8:
    """The requests that IE lets through, as of when devices were last looked at."""
    return gb.hram[IE] & gb.interrupts.flags & 0x1F


@typed
def heed(gb: Machine) -> None:
    """Something may have been requested, or let through: if so, the CPU sees it before its next instruction.

    What is requested by itself later is an event, and has the CPU look then.
    """
    if felt(gb):
        gb.clock.attention()


@typed
def enabled(gb: Machine, bit: u8) -> bool:
    """Whether IE lets interrupt number `bit` through: only then can the CPU feel the request by itself."""
    return (gb.hram[IE] >> (bit & 7)) & 1 != 0
