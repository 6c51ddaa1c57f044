"""ppu/color.py against ppu/pipeline.py on a Game Boy Color: a line at once and dot by dot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracklayer.machine.gb import build, cartridge
from tracklayer.machine.gb.model import CGB
from tracklayer.machine.gb.ppu import color, objects, pipeline

from .placed import at_random


def console(flag: int) -> Any:
    """A Game Boy Color with an empty cartridge: 80 in the header says that it knows the Color."""
    rom = bytearray(0x8000)
    rom[0x143] = flag
    return build.new_console(cartridge.load(bytes(rom)), CGB)


CONSOLES = {flag: console(flag) for flag in (0x00, 0x80)}


def row(gb: Any) -> list[int]:
    """The colours of the current line in the picture that is being drawn."""
    first = (1 - gb.host.shown) * 144 * 40 + gb.ppu.line * 40
    return [word >> 16 * x & 0xFFFF for word in gb.host.colours.words[first : first + 40] for x in range(4)]


@pytest.mark.parametrize("flag", CONSOLES)
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_line_in_colour_is_the_same_drawn_at_once_and_dot_by_dot(flag: int, seed: int) -> None:
    gb = CONSOLES[flag]
    at_random(gb, seed)
    objects.begin_scan(gb)
    objects.scan(gb)
    end = objects.plain_mode3_end(gb)
    color.draw(gb)
    at_once = row(gb)
    pipeline.begin(gb)
    pipeline.run_until(gb, 456)
    gb.ppu.pipe.active = 0
    assert row(gb) == at_once
    assert gb.ppu.mode3_end == end
