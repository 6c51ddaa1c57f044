"""machine/gb/memory.py, maps.py, build.py: what an address leads to, and what Python and the translator do to it."""

from __future__ import annotations

from typing import Any

import pytest

from tracklayer.machine.common.clock import STOP_ERROR
from tracklayer.machine.gb import build

from .bench import console, read, wait, write


def test_echo_ram_is_work_ram() -> None:
    gb = console()
    write(gb, 0xC123, 0x42)
    assert read(gb, 0xE123) == 0x42
    write(gb, 0xFDFF, 0x24)
    assert read(gb, 0xDDFF) == 0x24


def test_rom_is_not_written_and_absent_cartridge_ram_reads_as_ones() -> None:
    gb = console()
    write(gb, 0x1234, 0x99)
    assert (read(gb, 0x1234), read(gb, 0xA000)) == (0, 0xFF)


def test_a_region_answers_for_its_addresses_and_for_no_others() -> None:
    gb = console()
    written: list[tuple[int, int]] = []
    remove = build.add_region(gb, 0xC010, 0xC01F, lambda address: address & 0xFF, lambda a, v: written.append((a, v)))
    write(gb, 0xC00F, 7)
    write(gb, 0xC010, 8)
    assert (read(gb, 0xC00F), read(gb, 0xC01F), written) == (7, 0x1F, [(0xC010, 8)])
    remove()
    assert read(gb, 0xC01F) == 0


def test_a_region_that_raises_reads_as_ones_and_stops_the_engine() -> None:
    gb = console()

    def fail(address: int) -> int:
        raise KeyError(address)

    build.add_region(gb, 0xC000, 0xC000, fail, lambda a, v: None)
    gb.prepare(2**50, 0)
    assert read(gb, 0xC000) == 0xFF
    gb.boundary()
    assert gb.clock.stop == STOP_ERROR
    assert isinstance(gb.host.ports.error, KeyError)


@pytest.mark.parametrize(("first", "last"), [(0xFF80, 0xFF80), (5, 4), (-1, 3), (0xFF00, 0x10000)])
def test_regions_that_cannot_be_are_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="region"):
        build.add_region(console(), first, last, lambda a: 0, lambda a, v: None)


@pytest.mark.parametrize("address", [0xC345, 0xE345, 0xFF95])
def test_a_write_to_watched_code_is_told_once(address: int) -> None:
    gb = console()
    gb.watch(address, address)
    write(gb, address ^ 0x10, 1)
    write(gb, address ^ 1, 1)
    assert not gb.host.code_dirty
    write(gb, address, 2)
    assert (gb.host.code_dirty, read(gb, address)) == (1, 2)
    count = gb.host.dirty_count
    write(gb, address, 3)
    assert gb.host.dirty_count == count


def test_a_hooked_page_is_fetched_slowly_and_read_as_before() -> None:
    gb = console()
    build.set_hook(gb, 0x0150, True)
    assert gb.hooked(0x0150) and not gb.hooked(0x0151)
    assert not gb.host.fetch_map[1] and gb.host.read_map[1]
    build.set_hook(gb, 0x0150, False)
    assert gb.host.fetch_map[1]


def test_a_restored_state_is_the_saved_one() -> None:
    gb = console(0x03, 3, 0x20000)
    for address, value in ((0x0000, 0x0A), (0x2000, 3), (0xA000, 0x77), (0xC000, 0x11)):
        write(gb, address, value)
    state = build.save(gb)
    for address, value in ((0xA000, 0), (0x2000, 1), (0xC000, 0)):
        write(gb, address, value)
    wait(gb, 100_000)
    build.restore(gb, state)
    assert build.save(gb) == state
    assert (read(gb, 0xA000), read(gb, 0xC000), gb.banks.high) == (0x77, 0x11, 3)


def test_a_state_of_another_length_is_refused() -> None:
    gb: Any = console()
    with pytest.raises(ValueError, match="bytes"):
        build.restore(gb, build.save(gb)[:-1])
