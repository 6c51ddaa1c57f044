"""The OAM corruption bug, held against Pan Docs' patterns, and the same on every engine."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tracklayer import GameBoy
from tracklayer.api.engines import ENGINES
from tracklayer.machine.gb.model import CGB, DMG

from .bench import console, read, wait, write

ROWS, LINE, LY = 20, 456, 0xFF44
Words = list[list[int]]


def words(gb: Any) -> Words:
    """OAM as rows of four words."""
    flat = bytes(gb.oam)
    return [[flat[at] | flat[at + 1] << 8 for at in range(row * 8, row * 8 + 8, 2)] for row in range(ROWS)]


def scanning(dot: int, model: Any = DMG, seed: int = 1) -> Any:
    """A console at a dot of a line that is drawn, with random bytes in OAM."""
    gb = console(model=model)
    while gb.ppu.line != 20:
        wait(gb, LINE)
        read(gb, LY)
    wait(gb, gb.ppu.line_start + 5 * LINE + dot - gb.clock.now())
    random = Random(seed)
    for index in range(160):
        gb.oam[index] = random.randrange(256)
    return gb


def written(before: Words, row: int) -> Words:
    """Pan Docs, "Write Corruption"."""
    after = [list(one) for one in before]
    a, b, c = before[row][0], before[row - 1][0], before[row - 1][2]
    after[row] = [((a ^ c) & (b ^ c)) ^ c, *before[row - 1][1:]]
    return after


def read_from(before: Words, row: int) -> Words:
    """Pan Docs, "Read Corruption"."""
    after = [list(one) for one in before]
    a, b, c = before[row][0], before[row - 1][0], before[row - 1][2]
    after[row] = [b | (a & c), *before[row - 1][1:]]
    return after


def read_stepping(before: Words, row: int) -> Words:
    """Pan Docs, "Read During Increase/Decrease"."""
    after = [list(one) for one in before]
    if 4 <= row < ROWS - 1:
        a, b, c, d = before[row - 2][0], before[row - 1][0], before[row][0], before[row - 1][2]
        after[row - 1][0] = (b & (a | c | d)) | (a & c & d)
        after[row] = list(after[row - 1])
        after[row - 2] = list(after[row - 1])
    return read_from(after, row)


@pytest.mark.parametrize("row", [1, 2, 3, 4, 5, 11, 18, 19])
@pytest.mark.parametrize(
    ("touch", "pattern"),
    [
        (lambda gb: gb.step(0xFE00), written),
        (lambda gb: gb.step(0xFEFF), written),
        (lambda gb: gb.write(0xFE47, 0x12), written),
        (lambda gb: gb.write(0xFEC0, 0x12), written),
        (lambda gb: gb.read(0xFE47), read_from),
        (lambda gb: gb.read_step(0xFEF0), read_stepping),
    ],
    ids=["step", "step FEFF", "write", "write behind OAM", "read", "read and step"],
)
def test_a_touch_in_mode_2_mixes_the_open_row_with_the_one_before(
    row: int, touch: Callable[[Any], Any], pattern: Callable[[Words, int], Words]
) -> None:
    gb = scanning(4 * row)
    before = words(gb)
    touch(gb)
    assert words(gb) == pattern(before, row) != before


@pytest.mark.parametrize("dot", [0, 80, 200, 300, 452])
def test_the_first_row_and_the_rest_of_a_line_are_safe(dot: int) -> None:
    gb = scanning(dot)
    before = words(gb)
    gb.step(0xFE10)
    assert words(gb) == before


@pytest.mark.parametrize("address", [0xFDFF, 0xFF00, 0xC000])
def test_steps_of_other_addresses_do_nothing(address: int) -> None:
    gb = scanning(40)
    before = words(gb)
    gb.step(address)
    gb.read_step(address)
    assert words(gb) == before


def test_a_color_has_no_such_bug_and_neither_has_a_dark_lcd() -> None:
    gb = scanning(40, model=CGB)
    before = words(gb)
    gb.step(0xFE10)
    assert words(gb) == before
    gb = scanning(200)
    write(gb, 0xFF40, 0)
    before = words(gb)
    for _ in range(100):
        gb.step(0xFE10)
    assert words(gb) == before
    assert read(gb, 0xFE00) == before[0][0] & 0xFF


CODE = bytes.fromhex(
    "0600 1100fe"  # LD B,0; LD DE,$FE00
    "13 1b 3100ff c5 e1 3190fe c5 d1 2110fe 2a 3a 22 32 1110fe"  # INC, DEC, PUSH, POP, PUSH, POP, LD A,[HL+] and so on
    "05 20 e8"  # DEC B; JR NZ
)


def test_every_engine_damages_oam_alike() -> None:
    found = {}
    for name in ENGINES:
        rom = bytearray(0x8000)
        rom[0x100:0x104] = bytes((0x00, 0xC3, 0x50, 0x01))
        rom[0x150 : 0x150 + len(CODE) + 2] = CODE + b"\x18\xfe"
        gb = GameBoy(bytes(rom), engine=name)
        gb.memory[0xFE00:0xFEA0] = bytes(range(160))
        gb.tick(2)
        found[name] = gb.state_bytes()
        assert bytes(gb.memory[0xFE00:0xFEA0]) != bytes(range(160))
    assert len(set(found.values())) == 1
