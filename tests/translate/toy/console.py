"""Toys to run, and the engine that is plain Python.

For:     `new_rom`, `new_toy`, `set_hooks`, `state`, `Reference`.
Not for: the generated engines, which are the translator's own.
"""

from __future__ import annotations

import ctypes
from typing import Any

from tracklayer.lang import (
    pointer,
)

from .guest import ToyGuest
from .machine import BANK, PREFIX, Toy

STATE = Toy.__layout__["clock"].offset  # type: ignore[attr-defined]
"""Where guest state begins."""


def new_rom(data: bytes) -> Any:
    """A ROM of whole banks, to be shared by consoles."""
    size = max(2 * BANK, -(-len(data) // BANK) * BANK)
    return (ctypes.c_uint8 * size).from_buffer_copy(data.ljust(size, b"\0"))


def new_toy(rom: Any, period: int = 1000) -> Any:
    """A console that is about to run from address 0."""
    toy: Any = Toy()
    toy.rom = rom
    toy.host.rom = pointer(rom)
    banks = len(rom) // BANK - 1
    toy.host.banks = 1 << (banks.bit_length() - 1)
    for page in range(32):
        toy.host.pages[page] = pointer(rom, page << 8)
    for page in range(0x40, 0xC0):
        toy.host.pages[page] = toy.host.write_pages[page] = pointer(toy.ram, (page - 0x40) << 8)
    toy.map_bank()
    toy.sp = 0xC000
    toy.period = toy.clock.timer_at = period
    return toy


def set_hooks(toy: Any, bits: bytes) -> None:
    """Hook addresses: a bit for each, from address 0 on."""
    toy.host.hooks[:] = bits
    for page in range(256):
        toy.host.hooked_pages[page] = any(bits[page * 32 : page * 32 + 32])


def state(toy: Any) -> bytes:
    """The guest's state."""
    return ctypes.string_at(ctypes.addressof(toy) + STATE, ctypes.sizeof(toy) - STATE)


class Reference:
    """Plain Python, with the same face as an engine."""

    name = "reference"

    def attach(self, toy: Any, on_hook: Any = None) -> None:
        toy.host.engine.on_hook = on_hook

    def changed(self, toy: Any) -> None:
        pass

    def advance(self, toy: Any, limit: int) -> int:
        guest = ToyGuest
        guest.begin(toy, limit)
        while True:
            if toy.clock.left <= 0:
                guest.boundary(toy)
                if toy.clock.stop:
                    break
            if guest.hook(toy):
                break
            opcode = guest.fetch(toy)
            if opcode == PREFIX:
                opcode = 256 + (toy.next_byte() & 7)
            guest.execute(toy, opcode)
            toy.clock.instructions += 1
        return int(guest.outcome(toy))
