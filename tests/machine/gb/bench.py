"""A console to try devices on: accesses at chosen times, with no CPU in the way."""

from __future__ import annotations

from typing import Any

from tracklayer.machine.gb import build, cartridge
from tracklayer.machine.gb.model import DMG, Model


def console(kind: int = 0, ram: int = 0, size: int = 0x8000, model: Model = DMG) -> Any:
    """A Game Boy with an empty cartridge of this type."""
    rom = bytearray(size)
    rom[0x147], rom[0x148], rom[0x149] = kind, (size // 0x8000).bit_length() - 1, ram
    return build.new_console(cartridge.load(bytes(rom)), model)


def wait(gb: Any, cycles: int) -> None:
    """Let T-cycles pass, with events but without the CPU."""
    gb.prepare(2**50, 0)
    gb.clock.left -= cycles
    gb.run_events()
    gb.clock.retarget()


def read(gb: Any, address: int) -> int:
    """Read a byte; its M-cycle passes."""
    return int(gb.read(address))


def write(gb: Any, address: int, value: int) -> None:
    """Write a byte; its M-cycle passes."""
    gb.write(address, value)
