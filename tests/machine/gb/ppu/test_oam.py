"""ppu/oam.py: what the PPU reads of OAM while OAM DMA has it to itself.

Source: aappleby/metroboy, GateBoyLib/GateBoyOamBus.cpp: the scan opens the latch only while no copy runs, an object's
fetch does always. Hacktix/strikethrough.gb shows both; gambatte oamdma/late_sp* when which object is looked at.
"""

from __future__ import annotations

from typing import Any

import pytest

from tracklayer.machine.common.clock import NEVER
from tracklayer.machine.gb import build, cartridge
from tracklayer.machine.gb.ppu import oam, objects, pipeline

LINE = 68


def console(copy_begins: int, *, tall: int = 0, source: bytes = bytes(160)) -> Any:
    """A console at the begin of a line, with an object every 8 pixels on it. A copy begins at a dot of the line."""
    gb: Any = build.new_console(cartridge.load(bytes(0x8000)))
    ppu = gb.ppu
    ppu.line = LINE
    ppu.lcdc = 0x93 | tall
    ppu.line_start = gb.clock.now() + 1000
    for index in range(40):
        gb.oam[4 * index : 4 * index + 4] = [LINE + 16 - index % 8, 20 + 3 * index, 0x40 + index, index]
    for index, byte in enumerate(source):
        gb.wram[index] = byte
    gb.dma.register = gb.dma.source = 0xC0
    gb.dma.blocking = 1
    gb.dma.next_start = ppu.line_start + copy_begins
    objects.begin_scan(gb)
    return gb


def found(gb: Any) -> list[tuple[int, int, int]]:
    """The line's objects: X, place in OAM, row."""
    keys = list(gb.ppu.objects)[: gb.ppu.object_count]
    return [(key >> 8, key & 63, oam.row_of(gb, key & 63, at)) for at, key in enumerate(keys)]


def test_beside_a_copy_the_scan_finds_what_was_last_read_for_every_object() -> None:
    gb = console(-8)
    gb.ppu.oam_even, gb.ppu.oam_odd = LINE + 16 - 5, 79
    objects.scan(gb)
    assert found(gb) == [(79, index, 5) for index in range(10)]


@pytest.mark.parametrize("y", [0, LINE + 17, LINE + 8])
def test_beside_a_copy_the_scan_finds_nothing_if_what_was_last_read_is_not_on_the_line(y: int) -> None:
    gb = console(-8)
    gb.ppu.oam_even, gb.ppu.oam_odd = y, 79
    objects.scan(gb)
    assert found(gb) == []


@pytest.mark.parametrize(("begins", "seen"), [(3, 0), (4, 1), (5, 1), (6, 2), (12, 5)])
def test_objects_that_are_looked_at_before_the_copy_begins_are_seen_and_the_last_of_them_again(
    begins: int, seen: int
) -> None:
    gb = console(begins)
    objects.scan(gb)
    before = [(20 + 3 * index, index, index) for index in range(seen)]
    again = [(20 + 3 * (seen - 1), index, seen - 1) for index in range(seen, 10)] if seen else []
    assert found(gb) == before + again


def test_objects_that_are_looked_at_when_the_copy_is_over_are_seen_as_it_left_them() -> None:
    copied = bytes(byte for index in range(40) for byte in (LINE + 14, 200 - index, 1, 2))
    gb = console(63 - 640, source=copied)
    objects.scan(gb)
    assert found(gb) == [(200 - index, index, 2) for index in range(39, 29, -1)]


@pytest.mark.parametrize("dot", [120, 121, 180, 184, 187, 188, 300])
def test_an_objects_fetch_gets_the_word_that_the_copy_is_at(dot: int) -> None:
    gb = console(-4, source=bytes(0x80 + index for index in range(120)) + bytes(40))
    before = bytes(gb.oam)
    oam.fetch(gb, 7, dot)
    at = (dot + 4) // 4
    even, odd = at & 0xFE, at | 1
    assert gb.ppu.oam_even == 0x80 + even
    assert gb.ppu.oam_odd == (0x80 + odd if odd <= at else before[odd])


def test_without_a_copy_an_objects_fetch_gets_its_tile_and_attributes() -> None:
    gb = console(0)
    gb.dma.blocking = 0
    oam.fetch(gb, 7, 120)
    assert (gb.ppu.oam_even, gb.ppu.oam_odd) == (0x47, 7)


@pytest.mark.parametrize("tall", [0, 4])
def test_a_copy_that_begins_in_mode_3_leaves_the_objects_their_rows(tall: int) -> None:
    gb = console(0, tall=tall)
    gb.dma.blocking, gb.dma.next_start = 0, NEVER
    objects.scan(gb)
    rows = found(gb)
    oam.disturb(gb)
    for index in range(40):
        gb.oam[4 * index] = 0
    assert found(gb) == rows


def test_before_a_copy_the_latch_holds_what_was_last_read_of_a_line_drawn_at_once() -> None:
    gb = console(0)
    gb.dma.blocking, gb.dma.next_start = 0, NEVER
    objects.scan(gb)
    oam.disturb(gb)
    assert (gb.ppu.oam_even, gb.ppu.oam_odd) == (0x49, 9)  # the tile and attributes of the last object of the line
    gb = console(0)
    gb.dma.blocking, gb.dma.next_start = 0, NEVER
    for index in range(40):
        gb.oam[4 * index] = 0xA0 + index
    objects.scan(gb)
    oam.disturb(gb)
    assert (gb.ppu.oam_even, gb.ppu.oam_odd) == (0xC7, 137)  # the Y and X that the scan saw last


def test_the_line_of_strikethrough() -> None:
    # OAM's last object has the X of the eighth; the copy brings a visible tile at its bytes 46 and 47.
    gb = console(-4, source=bytes(46) + b"\x01" + bytes(113))
    gb.ppu.lcdc = 0x92
    for row in range(8):
        gb.vram[0x10 + 2 * row] = 0xFF
    gb.ppu.oam_even, gb.ppu.oam_odd = LINE + 16, 79
    gb.ppu.obp0 = gb.ppu.bgp = 0xFC
    objects.scan(gb)
    pipeline.begin(gb)
    pipeline.run_until(gb, 456)
    first = (1 - gb.host.shown) * 144 * 20 + LINE * 20
    line = [word >> 8 * x & 3 for word in gb.host.picture.words[first : first + 20] for x in range(8)]
    assert [x for x in range(160) if line[x]] == list(range(71, 79))
