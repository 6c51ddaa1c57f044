"""LCDC's bit for tall objects written while the scan goes on: which objects it sees tall.

Source: gambatte-core, test/hwtests/sprites: late_sizechange_*, late_sizechange2_*, run on DMG 08 and CPU CGB C.
"""

from __future__ import annotations

from typing import Any

import pytest

from tracklayer.machine.gb.model import CGB_C, DMG
from tracklayer.machine.gb.ppu import registers, timing

from .placed import at

SMALL, TALL = 0x93, 0x97


@pytest.mark.parametrize(
    ("index", "dot", "before", "model", "double", "seen"),
    [
        (0, 0, TALL, DMG, 0, 0), (0, 4, TALL, DMG, 0, 1), (1, 4, TALL, DMG, 0, 0), (1, 8, TALL, DMG, 0, 1),
        (39, 76, TALL, DMG, 0, 0), (39, 80, TALL, DMG, 0, 0), (39, 84, TALL, DMG, 0, 1),
        (39, 80, SMALL, DMG, 0, 1), (39, 84, SMALL, DMG, 0, 0),
        (1, 0, TALL, CGB_C, 0, 0), (1, 4, TALL, CGB_C, 0, 1), (2, 4, TALL, CGB_C, 0, 0), (2, 8, TALL, CGB_C, 0, 1),
        (39, 76, TALL, CGB_C, 0, 0), (39, 80, TALL, CGB_C, 0, 1), (39, 80, SMALL, CGB_C, 0, 1),
        (1, 4, TALL, CGB_C, 1, 0), (1, 6, TALL, CGB_C, 1, 1), (39, 80, SMALL, CGB_C, 1, 1),
    ],
)  # fmt: skip
def test_an_object_is_tall_if_lcdc_says_so_when_the_scan_looks_at_it(
    index: int, dot: int, before: int, model: Any, double: int, seen: int
) -> None:
    gb = at(7, 400, model=model, lcdc=before, double=double)
    for place in range(160):
        gb.oam[place] = 0xA0
    gb.oam[4 * index], gb.oam[4 * index + 1] = 16, 8  # line 8 is its ninth
    gb.clock.deadline += (56 + dot) << double
    registers.write_lcdc(gb, before ^ (SMALL ^ TALL))
    gb.clock.deadline += 100 << double
    timing.catch_up(gb)
    assert (gb.ppu.line, gb.ppu.object_count) == (8, seen)
