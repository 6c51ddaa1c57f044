"""The address space as maps: banks that come and go, and what computed jumps may remember of them."""

from __future__ import annotations

import random
from typing import Any

from tests.machine.gb.bench import console, write
from tracklayer.isa.engine import BANK_BITS, JUMPS, WINDOWS
from tracklayer.lang import address_of, pointer
from tracklayer.machine.gb import build, cartridge, maps
from tracklayer.machine.gb.model import CGB

MBC5 = 0x1B


def color_console() -> Any:
    """A Color with 64 banks of ROM."""
    rom = bytearray(0x100000)
    rom[0x143], rom[0x147], rom[0x148], rom[0x149] = 0xC0, MBC5, 5, 3
    return build.new_console(cartridge.load(bytes(rom)), CGB)


def derived(gb: Any) -> list[tuple[int, ...]]:
    """Where every map leads, page by page."""
    host = gb.host
    tables = (host.memory_map, host.read_map, host.write_map, host.fetch_map, host.open_maps)
    return [tuple(address_of(table[page]) if table[page] else 0 for page in range(len(table))) for table in tables]


def test_banks_shown_quickly_are_those_that_a_rebuilt_map_shows() -> None:
    dice = random.Random(1)
    gb = color_console()
    write(gb, 0xFF40, 0)
    for turn in range(60):
        write(gb, 0x2000, dice.randrange(256))
        write(gb, 0xFF70, dice.randrange(256))
        write(gb, 0xFF4F, dice.randrange(256))
        write(gb, 0x0000, dice.choice((0, 10)))
        write(gb, 0x8000, 1)
        if turn % 20 == 10:
            at = 0xD000 + dice.randrange(0x1000)
            gb.watch(at, at)
        if turn % 20 == 15:
            gb.host.page_flags[0x40 + dice.randrange(64)] = maps.HOOKED
            maps.rebuild(gb)
        before = derived(gb)
        is_open = gb.host.vram_open
        maps.rebuild(gb)
        maps.open_vram(gb, is_open)
        assert derived(gb) == before


def test_a_bank_that_comes_back_brings_its_generation_back() -> None:
    gb = color_console()
    engine = gb.host.engine
    places = (0x0100, 0x4000, 0x7FFF, 0xD000, 0xFF80)
    seen: dict[tuple[int, int], int] = {}
    dice = random.Random(2)
    for _ in range(200):
        rom, ram = dice.randrange(64), dice.randrange(1, 8)
        write(gb, 0x2000, rom)
        write(gb, 0xFF70, ram)
        for at, bank in zip(places, (0, rom, rom, ram, 0), strict=True):
            assert seen.setdefault((at, bank), engine.tag(at)) == engine.tag(at)
    assert len(set(seen.values())) == len(seen)
    maps.remap(gb, 0, 64)
    assert not {engine.tag(at) for at in places} & set(seen.values())


def test_code_in_hram_is_the_same_while_oam_dma_runs() -> None:
    gb = console()
    engine = gb.host.engine
    places = (0x0100, 0x4000, 0xC000, 0xFF80)
    before = [engine.tag(address) for address in places]
    maps.close_all(gb)
    meanwhile = [engine.tag(address) for address in places]
    assert [one == other for one, other in zip(before, meanwhile, strict=True)] == [False, False, False, True]
    maps.open_all(gb)
    assert [engine.tag(address) for address in places] == before


def test_jumps_are_forgotten_when_the_count_of_generations_begins_anew() -> None:
    gb = console()
    engine = gb.host.engine
    for window in range(WINDOWS):
        engine.generations[window] = (1 << BANK_BITS) - 0x10000
    code = pointer(gb.wram)
    for index in range(JUMPS):
        engine.jumps[index].tag, engine.jumps[index].code = 1 << 16 | index, code
    engine.changed()
    assert all(engine.jumps[index].tag == 0 and not engine.jumps[index].code for index in range(JUMPS))
