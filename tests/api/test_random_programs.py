"""Random guest programs run alike on all engines: a few of those of `python -m tests.random_programs`."""

from __future__ import annotations

import pytest

from tests.random_programs import check
from tracklayer import GameBoy

from .images import cartridge, signed


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_random_programs_run_alike(first: int) -> None:
    reports = {seed: check(seed) for seed in range(first, first + 10)}
    assert {seed: found for seed, found in reports.items() if found} == {}


def test_code_that_is_written_over_all_the_time_may_run_on_into_echo_ram() -> None:
    """There it is not translated; the program calls from E004."""
    assert check(300_152, ("blocks", "translated")) == []


def test_a_write_beside_code_in_hram_leaves_oam_dma_as_late_as_it_was() -> None:
    assert check(301_917, ("blocks",)) == []


def test_random_loops_run_alike_as_regions() -> None:
    reports = {seed: check(seed, ("regions",)) for seed in (*range(12), 200_562)}
    assert {seed: found for seed, found in reports.items() if found} == {}


def test_an_instruction_may_reach_from_hram_into_ie(engine: str) -> None:
    program = bytes.fromhex("3e15 e0ff 3e01 e0fd 3e42 e0fe c3fdff")  # IE = 15; at FFFD: LD BC,$1542; goes on at 0000
    image = bytearray(cartridge(program))
    image[0:2] = b"\x18\xfe"
    gb = GameBoy(bytes(image), engine=engine)
    gb.run(cycles=1000)
    assert (gb.registers.pc, gb.registers.bc) == (0, 0x1542)


def test_a_state_does_not_show_that_an_engine_asked_for_a_boundary(engine: str) -> None:
    program = bytes.fromhex("21 00c0 362c 2c36c9 cd00c0 18f5")  # writes code to C000 and calls it, for ever
    left, right = (GameBoy(cartridge(program), engine=name) for name in ("interpreter", engine))
    for length in range(40, 80):
        left.run(cycles=length)
        right.run(cycles=length)
        assert left.state_bytes() == right.state_bytes()


def test_code_is_made_anew_where_it_was_written_through_echo_ram(engine: str) -> None:
    # At C000: INC B; RET. Called, changed to INC C by a write to E000, called again.
    program = bytes.fromhex("21 00c0 3604 2c36c9 cd00c0 cd00c0 3e0c ea00e0 cd00c0 18fe")
    gb = GameBoy(cartridge(program), engine=engine)
    b, c = gb.registers.b, gb.registers.c
    gb.run(cycles=1000)
    assert (gb.registers.b - b & 0xFF, gb.registers.c - c & 0xFF) == (2, 1)


def test_a_timer_that_overflows_while_the_speed_changes_interrupts_right_after(engine: str) -> None:
    program = bytes.fromhex("3e05 e007 3e04 e0ff fb 3e01 e04d 1000 000000 18fe")
    image = bytearray(cartridge(program))
    image[0x143] = 0x80
    image[0x50:0x56] = bytes.fromhex("f004 47 c35600")  # B = DIV, and on to the end
    image[0x56:0x58] = b"\x18\xfe"
    gb = GameBoy(signed(image), engine=engine, model="cgb")
    gb.run(cycles=70_000)
    assert gb.registers.pc == 0x56
    assert gb.registers.b == 0
