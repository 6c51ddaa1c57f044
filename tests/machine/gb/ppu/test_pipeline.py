"""ppu/pipeline.py, dot by dot, against ppu/line.py and ppu/objects.py, which do a whole line at once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tracklayer.machine.gb import build, cartridge
from tracklayer.machine.gb.ppu import line, objects, pipeline

from .placed import at_random

CONSOLE: Any = build.new_console(cartridge.load(bytes(0x8000)))


def set_up(seed: int) -> Any:
    """The console in the middle of a frame."""
    at_random(CONSOLE, seed)
    return CONSOLE


def row(gb: Any) -> list[int]:
    """The pixels of the current line in the picture that is being drawn."""
    first = (1 - gb.host.shown) * 144 * 20 + gb.ppu.line * 20
    return [word >> 8 * x & 3 for word in gb.host.picture.words[first : first + 20] for x in range(8)]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_an_untouched_line_is_the_same_drawn_at_once_and_dot_by_dot(seed: int) -> None:
    gb = set_up(seed)
    objects.begin_scan(gb)
    objects.scan(gb)
    end = objects.plain_mode3_end(gb)
    line.draw(gb)
    at_once = row(gb)
    pipeline.begin(gb)
    pipeline.run_until(gb, 456)
    gb.ppu.pipe.active = 0
    assert row(gb) == at_once
    assert gb.ppu.mode3_end == end


def test_the_pipeline_may_be_left_and_resumed_at_any_dot() -> None:
    gb = set_up(1)
    objects.begin_scan(gb)
    objects.scan(gb)
    line.draw(gb)
    at_once = row(gb)
    pipeline.begin(gb)
    for dot in range(80, 456):
        pipeline.run_until(gb, dot)
    gb.ppu.pipe.active = 0
    assert row(gb) == at_once
