"""The engines on a guest that they were not written for: plain Python, T0 and T1 must agree to the cycle."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tracklayer.compiler.errors import CompileError
from tracklayer.isa import assemble
from tracklayer.lang import i64, typed
from tracklayer.translate.engine import Interpreter
from tracklayer.translate.hot import OFF, Settings
from tracklayer.translate.translator import TranslatedEngine

from .soup import consoles, describe, lockstep
from .toy import BANK, STOP_ASKED, STOP_ERROR, STOP_LIMIT, TOY, Reference, ToyGuest, new_rom, new_toy, set_hooks, state


@pytest.fixture(scope="module")
def engines() -> list[Any]:
    return [Reference(), Interpreter(ToyGuest), TranslatedEngine(ToyGuest, regions=OFF)]


@pytest.fixture(scope="module")
def with_regions() -> list[Any]:
    soon = Settings(warm=2000, step=10, wait=True)
    return [Interpreter(ToyGuest), TranslatedEngine(ToyGuest, regions=soon)]


def run(engine: Any, toy: Any, limit: int) -> int:
    """Run to a time, or to whatever stops the console before; the outcome."""
    if isinstance(engine, Reference):
        return engine.advance(toy, limit)
    while True:
        outcome: int = engine.runner(toy)(limit)
        if outcome & 63 != ToyGuest.stop_for_room:
            return outcome
        engine.make_room(toy)


def program(*lines: str) -> bytes:
    """Machine code, for address 0 on."""
    return bytes(assemble("\n".join(lines), TOY, name="toy").data)


@pytest.mark.parametrize("seed", range(10))
def test_random_programs_run_alike_on_all_engines(seed: int, engines: list[Any]) -> None:
    toys = lockstep(random.Random(seed), engines, 25_000, run)
    assert toys[2].clock.instructions > 1000


@pytest.mark.parametrize("seed", range(100, 120))
def test_long_random_programs_run_alike_on_both_compiled_engines(seed: int, engines: list[Any]) -> None:
    lockstep(random.Random(seed), engines[1:], 600_000, run)


def test_regions_change_nothing(with_regions: list[Any]) -> None:
    made = 0
    for seed in range(400, 415):
        toys = lockstep(random.Random(seed), with_regions, 60_000, run)
        made += len(toys[1].translation[1].hot.regions)
    assert made > 0


def test_a_loop_becomes_a_region(with_regions: list[Any]) -> None:
    """Two nested loops, a routine, and a computed jump; the count of instructions too is the interpreter's."""
    rom = new_rom(
        program(
            "again:", "SET R1,200",
            "outer:", "SET R2,20",
            "inner:", "CALL add", "XOR R2,$40", "XOR R2,$40", "ADDI R2,255", "STOR R0,[$5000]", "BNZ inner",
            "ADDI R1,255", "BNZ outer", "SETW R3,again", "JMPR R3",
            "add:", "ADDI R0,7", "ADC R0,R1", "RET",
        )
    )  # fmt: skip
    toys = []
    for engine in with_regions:
        toy = new_toy(rom)
        engine.attach(toy)
        now = 0
        for _ in range(200):
            now += 997
            run(engine, toy, now)
        toys.append(toy)
    assert state(toys[0]) == state(toys[1]), describe(toys)
    hot = toys[1].translation[1].hot
    assert len(hot.regions) >= 1
    assert len(hot.covered) >= 8


@pytest.mark.parametrize("seed", range(200, 210))
def test_caches_that_are_forgotten_again_and_again_change_nothing(seed: int, engines: list[Any]) -> None:
    dice = random.Random(seed)

    def forget(toys: Any) -> None:
        if dice.random() < 0.2:
            engines[2].restored(toys[-1])
        elif dice.random() < 0.1:
            engines[2].changed(toys[-1])

    lockstep(dice, engines[1:], 100_000, run, forget)


@pytest.mark.parametrize("seed", range(300, 306))
def test_hooks_are_called_alike(seed: int, engines: list[Any]) -> None:
    """They change a register; a quarter of all addresses is hooked."""
    calls: list[list[tuple[int, int]]] = [[], [], []]
    made: list[Any] = []
    for number, engine in enumerate(engines):

        def on_hook(address: int, number: int = number) -> int:
            toy = made[number]
            calls[number].append((address, toy.clock.now()))
            toy.r1 = toy.r1 + address & 0xFFFF
            return 0

        made.extend(consoles(random.Random(seed), [engine], on_hook))
    dice = random.Random(seed)
    bits = bytes(dice.randrange(256) & dice.randrange(256) for _ in range(0x2000))
    for toy in made:
        set_hooks(toy, bits)
    for engine, toy in zip(engines, made, strict=True):
        engine.changed(toy)
        run(engine, toy, 20_000)
    assert calls[0]
    assert calls[0] == calls[1] == calls[2]
    assert state(made[0]) == state(made[1]) == state(made[2]), describe(made)


def test_an_exception_in_a_device_stops_at_the_next_boundary(engines: list[Any]) -> None:
    rom = new_rom(program("LOAD R0,[$C200]", "ADDI R1,1", "JMP 0"))

    def fail(address: int, now: int) -> int:
        raise KeyError(address)

    outcomes = []
    for engine in engines:
        toy = new_toy(rom)
        toy.host.peripheral = 1
        engine.attach(toy, fail)
        outcomes.append((run(engine, toy, 1000), toy.r0, toy.r1, toy.clock.now()))
        assert isinstance(toy.host.ports.error, KeyError)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert outcomes[0][0] & 63 in (STOP_LIMIT, STOP_ERROR)


def test_consoles_with_one_rom_share_its_code(engines: list[Any]) -> None:
    translated = engines[2]
    rom = new_rom(program("again:", "ADDI R0,1", "BNZ again", "JMP again"))
    first, second = new_toy(rom), new_toy(rom)
    for toy in (first, second):
        translated.attach(toy)
    run(translated, first, 5000)
    laid = first.translation[1].cache.blocks
    assert laid > 0
    run(translated, second, 5000)
    assert second.translation[1].cache.blocks == laid
    assert state(first) == state(second)


def test_code_that_was_written_over_is_made_anew(engines: list[Any]) -> None:
    """A loop in RAM changes its own operand each time round."""
    loop = program("ADDI R0,0", "LDX R1", "ADDI R1,1", "STX R1", "SETW R3,$4001", "JMP $4000")
    toys = []
    for engine in engines:
        toy = new_toy(new_rom(program("SETW R3,$4001", "JMP $4000")))
        toy.ram[: len(loop)] = loop
        engine.attach(toy)
        run(engine, toy, 3000)
        toys.append(toy)
    assert len({state(toy) for toy in toys}) == 1, describe(toys)
    rounds = toys[0].ram[1]
    assert rounds > 100
    assert toys[0].r0 in (sum(range(rounds)), sum(range(rounds + 1)))  # the run ended somewhere in the loop


def test_each_bank_has_its_own_code(engines: list[Any]) -> None:
    """Four banks hold different code at one address, called in turn."""
    rom = bytearray(5 * BANK)
    start = program("again:", "SETW R3,$C100", "STX R2", "CALL $2000", "ADDI R2,1", "JMP again")
    rom[: len(start)] = start
    for bank in range(4):
        part = program(f"ADDI R0,{1 << 2 * bank}", "RET")
        rom[(bank + 1) * BANK : (bank + 1) * BANK + len(part)] = part
    toys = []
    for engine in engines:
        toy = new_toy(new_rom(bytes(rom)))
        engine.attach(toy)
        run(engine, toy, 10_000)
        toys.append(toy)
    assert len({state(toy) for toy in toys}) == 1, describe(toys)
    assert toys[0].r2 > 100
    assert abs(toys[0].r0 - toys[0].r2 // 4 * 85) <= 85


def test_a_guest_may_ask_to_be_stopped(engines: list[Any]) -> None:
    rom = new_rom(program("ADDI R0,7", "STOR R0,[$C300]", "ADDI R0,1", "JMP 0"))
    ends = []
    for engine in engines:
        toy = new_toy(rom)
        engine.attach(toy)
        ends.append((run(engine, toy, 10_000), toy.r0, toy.clock.now()))
    assert ends[0] == ends[1] == ends[2]
    assert ends[0][0] & 63 == STOP_ASKED


class Mistaken(ToyGuest):
    name = "mistaken"

    @staticmethod
    @typed
    def outcome(context: Any) -> i64:
        return [context.pc][0]


def test_a_mistake_in_a_guest_is_shown_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKLAYER_CACHE", str(tmp_path))
    with pytest.raises(CompileError, match=r"test_toy\.py:\d+:\d+: in Mistaken\.outcome: List is not in the") as caught:
        Interpreter(Mistaken)
    assert len(caught.traceback) < 10  # and not the compiler's way there
