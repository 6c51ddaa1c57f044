"""Whole lines in the past: at once where nobody draws them, one by one where somebody does. The guest feels neither."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.machine.gb.bench import console, read, wait, write
from tracklayer.machine.gb import build, ppu
from tracklayer.machine.gb.model import CGB, DMG

LCDC, STAT, SCX, LYC, WY, WX = 0xFF40, 0xFF41, 0xFF43, 0xFF45, 0xFF4A, 0xFF4B


def with_window(seed: int, model: Any, drawing: bool) -> Any:
    """A console in the middle of a frame with a window somewhere, that is about to see many lines pass."""
    dice = random.Random(seed)
    gb = console(model=model)
    gb.host.render = drawing
    write(gb, LCDC, 0)
    for at in range(160):
        gb.oam[at] = dice.randrange(256)
    write(gb, WY, dice.choice((0, 1, 7, dice.randrange(144), 143, 150)))
    write(gb, WX, dice.choice((0, 7, dice.randrange(167), 165, 166, 167, 200)))
    write(gb, SCX, dice.randrange(256))
    write(gb, LYC, dice.choice((dice.randrange(154), 200)))
    write(gb, STAT, dice.choice((0, 0, 0x40)))
    write(gb, LCDC, 0x80 | dice.randrange(128) | dice.choice((0, 0x20)))
    wait(gb, dice.randrange(2 * 70_224))
    ppu.catch_up(gb)
    if dice.random() < 0.3:
        write(gb, LCDC, read(gb, LCDC) ^ 0x20)
    for _ in range(3):
        wait(gb, dice.randrange(456 * 80))
        ppu.catch_up(gb)
    return gb


@pytest.mark.parametrize("model", [DMG, CGB], ids=["dmg", "cgb"])
@pytest.mark.parametrize("seed", range(40))
def test_lines_that_nobody_draws_leave_the_same_behind(seed: int, model: Any) -> None:
    assert build.save(with_window(seed, model, False)) == build.save(with_window(seed, model, True))


def test_vram_is_open_to_the_cpu_from_its_first_free_access_on() -> None:
    gb = console()
    write(gb, LCDC, 0)
    wait(gb, 1000)
    assert not gb.host.write_map[0x80]
    write(gb, 0x8123, 0x5A)
    assert gb.host.write_map[0x80] and gb.host.read_map[0x9F]
    assert read(gb, 0x8123) == 0x5A
    write(gb, LCDC, 0x80)
    assert not gb.host.write_map[0x80] and not gb.host.read_map[0x9F]
    wait(gb, 100)  # in mode 3
    assert read(gb, 0x8123) == 0xFF
    write(gb, 0x8123, 0x11)
    assert not gb.host.write_map[0x80]
    wait(gb, 456 * 145)  # in VBlank
    assert read(gb, 0x8123) == 0x5A
    assert gb.host.read_map[0x80]
