"""Regions of hot code: found, compiled in another process, kept on disk, swapped in."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tracklayer.compiler import cache
from tracklayer.isa import assemble
from tracklayer.translate import hot as hot_module
from tracklayer.translate.hot import Compilation, Settings, compile_region
from tracklayer.translate.regions import find_region, region_key
from tracklayer.translate.translator import TranslatedEngine

from .toy import TOY, ToyGuest, new_rom, new_toy, state

LOOP = """
again:
    SET R1,200
inner:
    CALL add
    ADDI R1,255
    BNZ inner
    JMP again
    NOP
add:
    ADDI R0,7
    RET
"""


def code(text: str) -> bytes:
    return bytes(assemble(text, TOY, name="toy").data)


def region_of(text: str, start: int = 0) -> Any:
    data = code(text).ljust(0x200, b"\0")
    return find_region(ToyGuest, lambda at: data[at : at + 4] if at < 0x1FC else b"", start)


def test_a_region_has_the_loop_and_what_it_calls() -> None:
    region = region_of(LOOP)
    assert sorted(region) == [0, 2, 6, 10, 16]
    assert [step.address for step in region[6]] == [6, 8]
    assert region_of(LOOP, 8) == region  # from the middle of it


def test_straight_code_is_no_region() -> None:
    assert region_of("NOP\nNOP\nWAIT\nJMP 4") == {}
    assert region_of("JMP $300") == {}
    assert region_of("INT 1\nJMP 0") == {}  # may change when the next boundary is


def test_the_key_is_of_all_that_the_code_depends_on() -> None:
    keys = {region_key(region_of(LOOP.replace("ADDI R0,7", line))) for line in ("ADDI R0,7", "ADDI R0,8", "ADDI R2,7")}
    assert len(keys) == 3
    assert region_key(region_of(LOOP)) in keys


def test_a_guest_in_several_files_depends_on_all_of_them() -> None:
    kept = cache.source_digest(hot_module.sources_of(ToyGuest)[-1:])
    assert kept == cache.source_digest((Path(__file__).with_name("toy"),))


def run(engine: Any, toy: Any, limit: int) -> None:
    while engine.runner(toy)(limit) & 63 == ToyGuest.stop_for_room:
        engine.make_room(toy)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A disk cache of its own, that has the engine."""
    TranslatedEngine(ToyGuest)
    found = [cache.find_cached(name, hot_module.sources_of(ToyGuest)) for name in ("toy-engine", "toy-stencils")]
    monkeypatch.setenv("TRACKLAYER_CACHE", str(tmp_path))
    for name, data in zip(("toy-engine", "toy-stencils"), found, strict=True):
        if data is not None:
            cache.keep(name, hot_module.sources_of(ToyGuest), data)
    return tmp_path


def test_another_process_compiles_and_the_disk_keeps(folder: Path) -> None:
    rom = new_rom(code(LOOP))
    engine = TranslatedEngine(ToyGuest, regions=Settings(warm=5000, step=50))
    plain = TranslatedEngine(ToyGuest, regions=hot_module.OFF)
    toy, other = new_toy(rom), new_toy(rom)
    engine.attach(toy)
    plain.attach(other)
    now, patience = 0, time.monotonic() + 60
    hot = toy.translation[1].hot
    while not hot.regions and time.monotonic() < patience:
        now += 5000
        run(engine, toy, now)
        run(plain, other, now)
        time.sleep(0.001)
    assert hot.regions
    assert not other.translation[1].hot.regions
    for _ in range(20):
        now += 5000
        run(engine, toy, now)
        run(plain, other, now)
    assert state(toy) == state(other)
    assert len(list(folder.glob("toy-region-*"))) == 1

    again = TranslatedEngine(ToyGuest, regions=Settings(warm=5000, step=50))
    third = new_toy(new_rom(bytes(rom)))
    again.attach(third)
    run(again, third, 100_000)
    hot = third.translation[1].hot
    assert hot.regions
    assert hot.work is None  # it came from the disk


def collected(work: Compilation) -> list[Any]:
    """All that comes from the other process."""
    found, patience = [], time.monotonic() + 60
    while not work.ended and time.monotonic() < patience:
        found += work.results()
        time.sleep(0.01)
    return found


def test_what_the_process_sends_is_the_regions_code() -> None:
    region, other = region_of(LOOP), region_of(LOOP.replace("7", "9"))
    found = collected(Compilation(ToyGuest, [(5, region), (6, other)]))
    assert [(base, made) for base, made, _ in found] == [(5, region), (6, other)]
    assert [image for _, _, image in found] == [compile_region(ToyGuest, region), compile_region(ToyGuest, other)]


def test_a_process_that_dies_is_done_without() -> None:
    work = Compilation(ToyGuest, [(0, region_of(LOOP))])
    work.process.kill()
    assert collected(work) == []
    assert work.ended
    assert work.process.returncode is not None


def test_a_compilation_that_nobody_waits_for_ends() -> None:
    work = Compilation(ToyGuest, [(0, region_of(LOOP))])
    process = work.process
    del work
    assert process.returncode is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forks_child_leaves_its_parents_results_alone() -> None:
    work = Compilation(ToyGuest, [(0, region_of(LOOP))])
    child = os.fork()
    if child == 0:
        mine = work.results() == [] and work.ended
        work.stop()
        os._exit(0 if mine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(collected(work)) == 1


def test_regions_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKLAYER_REGIONS", "off")
    assert TranslatedEngine(ToyGuest).regions == hot_module.OFF
    monkeypatch.delenv("TRACKLAYER_REGIONS")
    assert TranslatedEngine(ToyGuest).regions == Settings()
