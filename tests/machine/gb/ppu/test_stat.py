"""STAT and LYC written while a line steps, to the dot.

Source: gambatte-core, test/hwtests: m0enable, m1, m2enable, lycEnable, run on DMG 08 and CPU CGB C. There the time of a
write is known from what surrounds it; here the PPU is put at a dot by hand. Writes on a Color come two dots later.
"""

from __future__ import annotations

from typing import Any

import pytest

from tracklayer.machine.gb.interrupts import STAT
from tracklayer.machine.gb.model import CGB_C, DMG
from tracklayer.machine.gb.ppu import registers, timing

from .placed import at, at_frame

HBLANK, VBLANK, OAM, LYC = 0x08, 0x10, 0x20, 0x40


def requested(gb: Any, dots: int = 40) -> int:
    """Whether STAT's interrupt is requested within some dots."""
    gb.clock.deadline += dots << gb.speed.double
    timing.catch_up(gb)
    return int(gb.interrupts.flags) >> STAT & 1


@pytest.mark.parametrize(
    ("line", "dot", "model", "double", "asks"),
    [
        (2, 0, DMG, 0, 1), (2, 4, DMG, 0, 0), (0, 4, DMG, 0, 0),
        (2, 0, CGB_C, 0, 1), (2, 1, CGB_C, 0, 1), (2, 2, CGB_C, 0, 0), (2, 4, CGB_C, 0, 0), (0, 4, CGB_C, 0, 0),
        (2, 2, CGB_C, 1, 1), (2, 3, CGB_C, 1, 0), (2, 4, CGB_C, 1, 0),
    ],
)  # fmt: skip
def test_mode_2_can_be_selected_late(line: int, dot: int, model: Any, double: int, asks: int) -> None:
    gb = at(line, dot, model=model, stat=0, double=double) if line else at_frame(dot, model)
    registers.write_stat(gb, OAM)
    assert requested(gb) == asks


@pytest.mark.parametrize(
    ("dot", "double", "asks"), [(448, 0, 1), (455, 0, 1), (456, 0, 0), (455, 1, 1), (456, 1, 0)]
)
def test_mode_0_can_be_selected_until_its_line_is_over(dot: int, double: int, asks: int) -> None:
    gb = at(1 + dot // 456, dot % 456, model=CGB_C, stat=0, double=double)
    registers.write_stat(gb, HBLANK)
    assert requested(gb) == asks


@pytest.mark.parametrize("model", [DMG, CGB_C])
def test_from_mode_0_to_mode_2_the_line_does_not_fall(model: Any) -> None:
    gb = at(2, 0, model=model, stat=HBLANK)
    registers.write_stat(gb, OAM)
    assert requested(gb) == (0 if model is DMG else 1)


@pytest.mark.parametrize(
    ("dot", "model", "double", "asks"),
    [
        (448, CGB_C, 0, 1), (451, CGB_C, 0, 1), (452, CGB_C, 0, 0), (455, CGB_C, 0, 0), (456, CGB_C, 0, 1),
        (452, CGB_C, 1, 1), (453, CGB_C, 1, 0), (456, CGB_C, 1, 0), (457, CGB_C, 1, 1),
        (452, DMG, 0, 1), (456, DMG, 0, 0), (460, DMG, 0, 1),
    ],
)  # fmt: skip
def test_lyc_moved_from_this_line_to_the_next_asks_only_if_ly_is_not_stepping(
    dot: int, model: Any, double: int, asks: int
) -> None:
    gb = at(5 + dot // 456, dot % 456, model=model, stat=LYC, lyc=5, double=double)
    registers.write_lyc(gb, 6)
    assert requested(gb) == asks


@pytest.mark.parametrize(
    ("dot", "model", "double", "asks"),
    [
        (246, CGB_C, 0, 1), (248, CGB_C, 0, 0), (252, CGB_C, 0, 0), (251, CGB_C, 1, 1), (253, CGB_C, 1, 0),
        (252, DMG, 0, 1), (256, DMG, 0, 0),
    ],
)  # fmt: skip
def test_lycs_signal_falls_a_little_after_lyc_is_written(dot: int, model: Any, double: int, asks: int) -> None:
    gb = at(5, dot, model=model, stat=LYC | HBLANK, lyc=5, double=double)
    registers.write_lyc(gb, 0xFF)
    assert requested(gb) == asks


@pytest.mark.parametrize(
    ("old", "new", "dot", "model", "asks"),
    [
        (VBLANK, 0, 0, CGB_C, 0), (VBLANK, 0, 4, CGB_C, 1), (VBLANK, 0, 0, DMG, 1),
        (HBLANK | VBLANK, VBLANK, 0, CGB_C, 0), (HBLANK | VBLANK, VBLANK, 0, DMG, 1),
    ],
)  # fmt: skip
def test_vblanks_source_must_be_selected_when_it_begins(old: int, new: int, dot: int, model: Any, asks: int) -> None:
    gb = at(143, 452, model=model, stat=old)
    gb.clock.deadline += 4 + dot
    registers.write_stat(gb, new)
    assert requested(gb) == asks


@pytest.mark.parametrize(
    ("old", "new", "asks"), [(OAM, 0, 0), (VBLANK, OAM, 0), (0, OAM, 1), (0, VBLANK, 0), (VBLANK | OAM, OAM, 0)]
)
def test_a_write_just_as_vblank_ends_sees_it_still_there(old: int, new: int, asks: int) -> None:
    gb = at(153, 452, model=CGB_C, stat=old)
    gb.clock.deadline += 4
    registers.write_stat(gb, new)
    assert requested(gb) == asks
