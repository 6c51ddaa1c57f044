"""Consoles whose PPU stands at a given dot of a line, or anywhere."""

from __future__ import annotations

import random
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


def at_random(gb: Any, seed: int) -> None:
    """Let the PPU stand at the begin of a line, with random pictures, attributes, objects, palettes and registers."""
    generator = random.Random(seed)
    ppu = gb.ppu
    for index, byte in enumerate(generator.randbytes(0x4000)):
        gb.vram[index] = byte
    for index in range(64):
        gb.color.palettes[index] = generator.randrange(0x10000)
    ppu.line = generator.randrange(144)
    for index in range(40):
        gb.oam[4 * index] = ppu.line + generator.choice((0, 3, 9, 16, 40))
        gb.oam[4 * index + 1] = generator.choice((generator.randrange(256), generator.randrange(20), 160 + index % 12))
        gb.oam[4 * index + 2] = generator.randrange(256)
        gb.oam[4 * index + 3] = generator.randrange(256)
    ppu.lcdc = generator.randrange(128) | 0x80 | generator.choice((0, 1, 3))
    ppu.scx, ppu.scy = generator.randrange(256), generator.randrange(256)
    ppu.bgp, ppu.obp0, ppu.obp1 = generator.randbytes(3)
    ppu.window_reached = generator.randrange(2)
    ppu.window_line = generator.randrange(144)
    ppu.window_mode = ppu.window_held = 0
    ppu.wx = generator.choice((generator.randrange(7, 166), 7, 165, 200))
