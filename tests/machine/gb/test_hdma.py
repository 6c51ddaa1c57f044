"""VRAM DMA when the CPU waits (HALT, STOP), when HDMA5 is written late, and when the LCD goes off.

Source: gambatte-core, test/hwtests/dma: hdma_late_disable_*, hdma_late_enable_*, hdma_late_m0halt_*,
hdma_late_m0unhalt_*, hdma_late_m3halt_*, hdma_late_m3speedchange_*, hdma_disable_display_*: run on a CPU CGB C.
"""

from __future__ import annotations

from typing import Any

import pytest

from tracklayer import GameBoy
from tracklayer.api.engines import ENGINES
from tracklayer.machine.gb import build, cartridge, hdma
from tracklayer.machine.gb.model import CGB

LOOP = b"\x18\xfe"
DONE = 0xC000
"""The programs store what they saw from here on."""


def put(register: int, value: int) -> bytes:
    """LD A,value; LDH [register],A."""
    return bytes((0x3E, value, 0xE0, register))


def keep(register: int, address: int) -> bytes:
    """LDH A,[register]; LD [address],A."""
    return bytes((0xF0, register, 0xEA, address & 0xFF, address >> 8))


def wait_for_line(line: int) -> bytes:
    """LDH A,[LY]; CP line; JR NZ, back to the first."""
    return bytes((0xF0, 0x44, 0xFE, line, 0x20, 0xFA))


def wake_after(cycles: int) -> bytes:
    """A timer interrupt, not dispatched, comes after some T-cycles. IF is clear."""
    return put(0x07, 0) + put(0x05, 256 - cycles // 16) + put(0xFF, 0x04) + put(0x0F, 0) + put(0x04, 0) + put(0x07, 5)


def ran(code: bytes, engine: str) -> GameBoy:
    """A Color that ran a program for three frames. VRAM DMA is set to go from 0000 to 8000."""
    rom = bytearray(0x8000)
    rom[0x100:0x104] = bytes((0x00, 0xC3, 0x50, 0x01))
    rom[0x143] = 0x80
    prepared = b"\xf3" + b"".join(put(register, 0) for register in (0x51, 0x52, 0x53, 0x54))
    program = prepared + code + LOOP
    rom[0x150 : 0x150 + len(program)] = program
    console = GameBoy(bytes(rom), engine=engine, model="cgb")
    console.tick(3)
    return console


@pytest.mark.parametrize("engine", ENGINES)
def test_a_block_of_an_hblank_in_which_the_cpu_wakes_is_copied_and_the_next_opcode_done_twice(engine: str) -> None:
    code = wait_for_line(8) + put(0x55, 0x81) + wait_for_line(9) + wake_after(208)
    code += b"\xaf\x76\x3c" + bytes((0xEA, DONE & 0xFF, DONE >> 8)) + keep(0x55, DONE + 1)  # XOR A; HALT; INC A
    assert ran(code, engine).memory[DONE : DONE + 2] == bytes((2, 0xFF))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cpu_that_wakes_in_vblank_has_missed_the_blocks_of_all_hblanks(engine: str) -> None:
    code = wait_for_line(8) + put(0x55, 0x81) + wait_for_line(9) + put(0xFF, 0x01) + put(0x0F, 0)
    code += b"\xaf\x76\x3c" + bytes((0xEA, DONE & 0xFF, DONE >> 8)) + keep(0x55, DONE + 1)
    assert ran(code, engine).memory[DONE : DONE + 2] == bytes((1, 0x00))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cpu_that_halted_in_an_hblank_does_not_copy_in_the_hblank_in_which_it_wakes(engine: str) -> None:
    # 456 dots after an HBlank is the next one.
    code = wait_for_line(8) + wait_for_line(9) + wake_after(448) + b"\x00" * 40 + put(0x55, 0x81)
    code += b"\xaf\x76\x3c" + bytes((0xEA, DONE & 0xFF, DONE >> 8)) + keep(0x55, DONE + 1)
    assert ran(code, engine).memory[DONE : DONE + 2] == bytes((1, 0x00))


@pytest.mark.parametrize("engine", ENGINES)
def test_when_the_lcd_goes_off_one_block_is_copied(engine: str) -> None:
    code = wait_for_line(144) + put(0x55, 0x82) + put(0x40, 0x00) + keep(0x55, DONE)
    code += b"\x00" * 200 + keep(0x55, DONE + 1)
    assert ran(code, engine).memory[DONE : DONE + 2] == bytes((0x01, 0x01))


def console(*, double: int = 0) -> Any:
    """A Color in HBlank, with a transfer of three blocks active."""
    gb: Any = build.new_console(cartridge.load(bytes(0x143) + b"\x80" + bytes(0x7EBC)), CGB)
    gb.ppu.line = 20
    gb.ppu.line_start = gb.dots() - 300
    gb.ppu.phase = 0
    gb.ppu.next = gb.ppu.line_start + 456
    gb.ppu.mode3_end = 253
    gb.ppu.lcdc |= 0x80
    gb.speed.double = double
    gb.hdma.active = 1
    gb.hdma.left = 2
    gb.hdma.target = 0x100
    gb.cpu.pc = 0x4000
    return gb


def test_a_block_that_was_requested_is_copied_even_if_the_transfer_is_stopped_then() -> None:
    gb = console()
    hdma.write_hdma5(gb, 0x05)
    assert (gb.hdma.active, gb.hdma.requested) == (0, 1)
    hdma.due(gb)
    assert (gb.hdma.target, gb.hdma.left) == (0x110, 0x04)
    hdma.due(gb)
    assert gb.hdma.target == 0x110


@pytest.mark.parametrize(("dots", "seen"), [(254, 0), (255, 1), (456, 1), (457, 0)])
def test_an_hblank_begins_two_dots_after_mode_3_and_lasts_into_the_next_line(dots: int, seen: int) -> None:
    gb = console()
    gb.ppu.line_start = gb.dots() - dots
    gb.ppu.next = gb.ppu.line_start + 456
    if dots >= 456:
        gb.ppu.line, gb.ppu.phase = 21, 1
        gb.ppu.line_start += 456
    assert (hdma.hblank(gb, 0) < 1 << 62) == bool(seen)


@pytest.mark.parametrize(("double", "left", "active"), [(1, 2, 0), (0, 1, 1)])
def test_a_block_requested_at_a_change_to_double_speed_is_the_last_and_is_not_counted(
    double: int, left: int, active: int
) -> None:
    gb = console(double=double)
    gb.hdma.requested = 1
    gb.hdma.done = gb.ppu.line_start
    before = gb.clock.now()
    hdma.speed_changed(gb)
    assert (gb.hdma.target, gb.hdma.left, gb.hdma.active, gb.hdma.requested) == (0x110, left, active, 0)
    assert gb.cpu.pc == 0x3FFF  # the byte behind STOP is executed
    assert gb.clock.now() - before == (0 if double else 32)
