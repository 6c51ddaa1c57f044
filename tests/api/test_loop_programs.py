"""Programs full of loops run alike on all engines: a few of those of `python -m tests.loop_programs`."""

from __future__ import annotations

import ctypes

import pytest

from tests.loop_programs import check
from tracklayer import GameBoy

from .images import cartridge


@pytest.mark.parametrize("first", range(0, 24, 8))
def test_loops_run_alike(first: int) -> None:
    reports = {seed: check(seed, 250_000) for seed in range(first, first + 8)}
    assert {seed: found for seed, found in reports.items() if found} == {}


def test_a_region_that_is_left_all_the_time_is_withdrawn() -> None:
    rom = cartridge(bytes.fromhex("2100fe 06a0 78 22 05 20fb 18f4"))  # fills OAM, where no page is plain memory
    left, right = GameBoy(rom, engine="interpreter"), GameBoy(rom, engine="regions")
    for _ in range(12):
        left.tick(40, render=False)
        right.tick(40, render=False)
    assert left.state_bytes() == right.state_bytes()
    hot = right._gb.translation[1].hot
    (region,) = hot.regions
    assert hot.withdrawn == [region]
    code, word = hot.redirected[0x155]
    assert ctypes.c_uint64.from_address(code).value == word  # the block is itself again


def test_a_region_that_is_not_stays() -> None:
    rom = cartridge(bytes.fromhex("2100c0 06a0 78 22 05 20fb 18f4"))
    gb = GameBoy(rom, engine="regions")
    gb.tick(480, render=False)
    hot = gb._gb.translation[1].hot
    assert len(hot.regions) == 1
    assert hot.withdrawn == []
