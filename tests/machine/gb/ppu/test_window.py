"""WY and the window's switch written late, to the dot.

Source: gambatte-core, test/hwtests/window: late_wy_*, late_enable_afterVblank_*, arg/late_wy_*, run on DMG 08 and CPU
CGB C.
"""

from __future__ import annotations

from typing import Any

import pytest

from tracklayer.machine.gb.model import CGB_C, DMG
from tracklayer.machine.gb.ppu import registers, timing

from .placed import at, at_frame


@pytest.mark.parametrize(
    ("dot", "model", "double", "seen"),
    [
        (448, CGB_C, 0, 1), (452, CGB_C, 0, 0), (452, CGB_C, 1, 1), (453, CGB_C, 1, 0), (456, CGB_C, 0, 0),
        (452, DMG, 0, 1), (456, DMG, 0, 0),
    ],
)  # fmt: skip
def test_wy_is_compared_until_ly_is_about_to_step(dot: int, model: Any, double: int, seen: int) -> None:
    gb = at(5 + dot // 456, dot % 456, model=model, double=double, lcdc=0xB1)
    gb.ppu.window_reached = 0
    registers.write_wy(gb, 5)
    assert gb.ppu.window_reached == seen


@pytest.mark.parametrize(("dot", "seen"), [(448, 1), (451, 1), (452, 0)])
def test_the_window_may_be_switched_on_until_ly_is_about_to_step(dot: int, seen: int) -> None:
    gb = at(5, dot, model=CGB_C)
    gb.ppu.wy = 5
    registers.write_lcdc(gb, 0xB1)
    assert gb.ppu.window_reached == seen


@pytest.mark.parametrize(
    ("dot", "model", "seen"), [(0, DMG, 0), (4, DMG, 1), (0, CGB_C, 0), (3, CGB_C, 0), (4, CGB_C, 1), (7, CGB_C, 1)]
)
def test_line_0_is_compared_with_wy_at_its_begin(dot: int, model: Any, seen: int) -> None:
    gb = at_frame(dot, model, lcdc=0xB1)
    registers.write_wy(gb, 0xFF)
    gb.clock.deadline += 40
    timing.catch_up(gb)
    assert gb.ppu.window_reached == seen


@pytest.mark.parametrize(
    ("dot", "scx", "model", "double", "longer"),
    [
        (88, 0, CGB_C, 0, 1), (89, 0, CGB_C, 0, 0), (92, 3, CGB_C, 0, 0), (92, 5, CGB_C, 0, 1),
        (92, 0, CGB_C, 1, 1), (94, 0, CGB_C, 1, 0), (92, 0, DMG, 0, 1), (96, 3, DMG, 0, 0), (96, 5, DMG, 0, 1),
    ],
)  # fmt: skip
def test_wy_may_be_written_until_wx_is_matched(dot: int, scx: int, model: Any, double: int, longer: int) -> None:
    gb = at(5, 60, model=model, double=double, lcdc=0xB1)
    gb.ppu.window_reached = 0
    gb.ppu.scx, gb.ppu.wx, gb.ppu.wy = scx, 7, 0xFF
    gb.clock.deadline += (dot - 60) << double
    registers.write_wy(gb, 5)
    gb.clock.deadline += 300 << double
    timing.catch_up(gb)
    assert gb.ppu.mode3_end == 253 + scx + 6 * longer
