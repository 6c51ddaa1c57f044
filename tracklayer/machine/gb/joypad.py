"""The buttons: P1, FF00.

For:     the 2x4 matrix, its interrupt, and pressing from outside.
Not for: which key of a keyboard means which button.
Source:  Pan Docs, "Joypad Input".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, struct, typed, u8
from tracklayer.machine.common.clock import Clock
from tracklayer.machine.common.registers import Reg

from . import sgb
from .interrupts import JOYPAD, Interrupts, heed, request
from .sgb import Sgb

RIGHT, LEFT, UP, DOWN, A, B, SELECT, START = (1 << bit for bit in range(8))
"""The bits of `pressed`."""


@struct
class Joypad:
    """The buttons held (1 is held), and the two select lines as written: P1 bits 5-4, 0 selects."""

    pressed: u8
    select: u8


class Machine(Protocol):
    """What the joypad reaches of its machine."""

    clock: Clock
    hram: Array[u8]
    interrupts: Interrupts
    joypad: Joypad
    sgb: Sgb


@typed
def lines(gb: Machine) -> u8:
    """P10 to P13 as the CPU reads them: 0 where a selected button is held.

    With several players at a Super Game Boy and nothing selected they tell whose buttons come.
    """
    held = 0
    pressed = gb.sgb.pads[gb.sgb.player & 3] if gb.sgb.player else gb.joypad.pressed
    if not gb.joypad.select & 0x10:
        held = held | (pressed & 15)
    if not gb.joypad.select & 0x20:
        held = held | (pressed >> 4)
    if gb.joypad.select == 0x30:
        held = gb.sgb.player & 3
    return ~held & 15


@typed
def fell(gb: Machine, before: u8) -> None:
    """Request the interrupt if one of P10 to P13 went from high to low."""
    if before & ~lines(gb) & 15:
        request(gb, JOYPAD)
        heed(gb)


@typed
def press(gb: Machine, buttons: u8) -> None:
    """The player now holds exactly `buttons`."""
    before = lines(gb)
    gb.joypad.pressed = buttons
    fell(gb, before)


@typed
def read_p1(gb: Machine) -> u8:
    """P1: the select lines, and the buttons they select."""
    return gb.joypad.select | lines(gb)


@typed
def write_p1(gb: Machine, value: u8) -> None:
    """Choose which half of the buttons bits 3-0 show."""
    before = lines(gb)
    if gb.sgb.on:
        sgb.lines_changed(gb, gb.joypad.select, value & 0x30)
    gb.joypad.select = value & 0x30
    fell(gb, before)


REGISTERS = (
    #   address name  reads as 1  on read  on write
    Reg(0xFF00, "P1", 0xC0,       read_p1, write_p1),
)  # fmt: skip
