"""Consoles whose PPU stands at a given dot of a line."""

from __future__ import annotations

from typing import Any

from tracklayer.machine.gb import build, cartridge
from tracklayer.machine.gb.ppu import registers, timing


def at(line: int, dot: int, *, model: Any, stat: int = 0, lyc: int = 0xFF, double: int = 0, lcdc: int = 0x91) -> Any:
    """A console whose PPU stands at a dot of a line, with no interrupt requested."""
    gb: Any = build.new_console(cartridge.load(bytes(0x143) + b"\x80" + bytes(0x7EBC)), model)
    gb.clock.deadline += 100_000
    timing.catch_up(gb)
    registers.write_lcdc(gb, 0x11)
    registers.write_lcdc(gb, lcdc)
    gb.ppu.lyc = lyc
    gb.ppu.stat = stat
    gb.speed.double = double
    gb.speed.time, gb.speed.dots = gb.clock.now(), gb.ppu.line_start + 4
    target = gb.ppu.line_start + (line * 456 + dot)
    gb.clock.deadline += (target - gb.speed.dots) << double
    timing.catch_up(gb)
    assert (gb.ppu.line, gb.dots() - gb.ppu.line_start) == (line, dot)
    gb.interrupts.flags = 0
    return gb


def at_frame(dot: int, model: Any, lcdc: int = 0x91) -> Any:
    """The same, in line 0 of a frame that is not the first after the LCD went on."""
    gb = at(153, 400, model=model, lcdc=lcdc)
    gb.clock.deadline += 56 + dot
    timing.catch_up(gb)
    gb.interrupts.flags = 0
    return gb
