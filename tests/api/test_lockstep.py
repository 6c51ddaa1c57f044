"""Two engines side by side: equal ones stay equal, and the place where one goes wrong is found."""

from __future__ import annotations

from typing import Any

import pytest

from tracklayer import GameBoy
from tracklayer.api.engines import Reference
from tracklayer.api.lockstep import lockstep
from tracklayer.cpu.sm83 import step

from .images import cartridge

# 0150: INC A; LD [$C000],A; INC B; JR 0150
PROGRAM = bytes.fromhex("3c ea00c0 04 18f9")


class Faulty(Reference):
    """The reference engine with a fault: from some time on, INC B adds two where A is 77."""

    def run(self, console: Any) -> None:
        clock, cpu = console.clock, console.cpu
        while True:
            if clock.left <= 0:
                console.boundary()
                if clock.stop:
                    return
            if cpu.pc == 0x154 and cpu.a == 0x77 and clock.now() > 400_000:
                cpu.bc = (cpu.bc + 0x100) & 0xFFFF
            step(cpu, console)
            clock.instructions += 1


def pair(program: bytes = PROGRAM) -> tuple[GameBoy, GameBoy]:
    image = cartridge(program)
    return GameBoy(image, engine="reference"), GameBoy(image, engine="reference")


def test_equal_engines_do_not_differ(engine: str) -> None:
    image = cartridge(PROGRAM)
    left, right = GameBoy(image, engine="reference"), GameBoy(image, engine=engine)
    told: list[int] = []
    report = lockstep(left, right, 20_000, buttons=True, progress=told.append)
    assert report.divergence is None
    assert not report.stuck
    assert report.instructions >= 20_000
    assert told[-1] == report.instructions == left.instructions == right.instructions
    assert left.cycles == right.cycles


def test_the_demo_runs_the_same_on_every_engine(engine: str) -> None:
    left, right = GameBoy("demo", engine="reference"), GameBoy("demo", engine=engine)
    assert lockstep(left, right, 60_000, seed=5, buttons=True).divergence is None


def test_a_fault_is_found_to_the_instruction() -> None:
    left, right = pair()
    right._engine = Faulty()
    right._run = right._engine.runner(right._gb)
    report = lockstep(left, right, 100_000)
    found = report.divergence
    assert found is not None
    assert found.agreed < found.shown <= found.agreed + 300_000
    assert {field.name for field in found.fields} == {"cpu.bc"}
    (field,) = found.fields
    assert field.right == (field.left + 0x100) & 0xFFFF
    assert "INC B" in found.trace[-2]
    assert "A=77" in found.trace[-2]


def test_the_same_seed_finds_the_same() -> None:
    reports = []
    for _ in range(2):
        left, right = pair()
        right._engine = Faulty()
        right._run = right._engine.runner(right._gb)
        reports.append(lockstep(left, right, 100_000, seed=3, buttons=True))
    assert reports[0] == reports[1]


def test_a_guest_that_stops_for_good_ends_the_comparison() -> None:
    left, right = pair(bytes.fromhex("d3"))
    report = lockstep(left, right, 1000)
    assert report.stuck
    assert report.divergence is None


def test_differences_in_cartridge_ram_are_named() -> None:
    image = cartridge(type_code=3, ram_code=2)
    left, right = GameBoy(image, engine="reference"), GameBoy(image, engine="reference")
    right.cartridge_ram = bytes(0x1234) + b"\x05" + bytes(0x2000 - 0x1235)
    assert [field.name for field in left.differences(right)] == ["cartridge RAM[0x1234]"]


@pytest.mark.parametrize("seed", range(3))
def test_a_difference_that_was_there_before_is_shown(seed: int) -> None:
    left, right = pair()
    right.memory[0xC100] = 1
    found = lockstep(left, right, 1000, seed=seed).divergence
    assert found is not None
    assert [field.name for field in found.fields] == ["wram[0x100]"]
