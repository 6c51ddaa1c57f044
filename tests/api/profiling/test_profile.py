"""A profile proves that: each cycle is told of once, where it was spent, and telling changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.images import cartridge
from tests.api.profiling.programs import (
    CALLED_ONCE,
    CALLING,
    COPYING,
    INTERRUPTED,
    NESTED,
    POLLING,
    PREFIXED,
    STACK_GAMES,
    STORING,
    TURNS,
    assembled,
    turns,
)  # fmt: skip
from tests.random_programs import image, loop_image
from tracklayer import GameBoy, Link, Symbols
from tracklayer.api.errors import LinkError
from tracklayer.api.profiling.results import Function, Profile
from tracklayer.api.profiling.run import profile
from tracklayer.native.sampling import available

needs_sampling = pytest.mark.skipif(bool(available()), reason=f"the host cannot be sampled: {available()}")


def function(found: Profile, name: str) -> Function:
    return next(one for one in found.functions if one.name == name)


def profiled(text: str, frames: int = 10, *, named: bool = True, engine: str = "translated") -> Profile:
    image, symbols = assembled(text)
    gb = GameBoy(image, engine=engine)
    return profile(gb, frames, symbols=symbols if named else Symbols(), host=False)


def test_functions_have_exactly_their_cycles() -> None:
    found = profiled(TURNS)
    assert found.running == found.cycles == sum(stack.cycles for stack in found.stacks)
    assert found.waiting == found.dispatching == found.stalled == found.uncounted == 0
    for name, count in (("long", 60), ("short", 20)):
        one = function(found, name)
        assert one.calls * turns(count) - turns(count) < one.own_cycles <= one.calls * turns(count)
        assert one.total_cycles == one.own_cycles
        assert one.place.symbol == name
    main = function(found, "main")
    assert abs(main.own_cycles - function(found, "long").calls * CALLING) <= CALLING
    assert main.total_cycles == found.cycles - 20  # all but the NOP and JP at 0100


def test_without_symbols_functions_go_by_what_was_called() -> None:
    found = profiled(TURNS, named=False)
    assert found.symbols == 0
    assert {one.name for one in found.functions} == {"(start)", "00:0158", "00:015e"}
    assert {stack.frames for stack in found.stacks} == {("(start)",), ("(start)", "00:0158"), ("(start)", "00:015e")}


def test_stacks_follow_nested_calls_and_jumps_to_other_functions() -> None:
    stacks = {stack.frames for stack in profiled(NESTED).stacks}
    assert stacks == {
        ("(start)",), ("main",), ("main", "outer"), ("main", "outer", "inner"), ("main", "outer", "tail"),
        ("main", "outer", "tail", "inner"),
    }  # fmt: skip


def test_stacks_stay_right_where_programs_play_with_the_stack() -> None:
    found = profiled(STACK_GAMES)
    stacks = {stack.frames for stack in found.stacks}
    assert stacks == {
        ("(start)",), ("main",), ("main", "dropped"), ("main", "dropped", "back"), ("back",), ("main", "dropped"),
        ("back", "inline"), ("back", "computed"), ("back", "computed", "goal"), ("back", "pointer"), ("back", "twice"),
        ("back", "twice", "leaf"),
    }  # fmt: skip


def test_waiting_and_interrupts_are_told_apart() -> None:
    found = profiled(INTERRUPTED, 20)
    handler = function(found, "00:0040")
    assert handler.calls in (19, 20)
    assert found.dispatching == 20 * handler.calls
    assert handler.own_cycles == (4 + 16) * handler.calls
    assert found.running + found.waiting + found.dispatching == found.cycles
    assert found.waiting > 0.9 * found.cycles
    assert {stack.frames for stack in found.stacks} >= {("wait", "(waiting)"), ("00:0040",), ("00:0040", "(interrupt)")}


def test_banks_are_told_apart() -> None:
    image = bytearray(cartridge(bytes.fromhex("3e02 ea0020 cd0040 3e03 ea0020 cd0040 18ee"), type_code=1, banks=4))
    for bank in (2, 3):
        image[bank * 0x4000 : bank * 0x4000 + bank] = bytes([*[0] * (bank - 1), 0xC9])  # a NOP more in bank 3
    symbols = Symbols.parse("02:4000 two\n03:4000 three")
    found = profile(bytes(image), 5, symbols=symbols, host=False)
    two, three = function(found, "two"), function(found, "three")
    assert abs(two.calls - three.calls) <= 1
    assert abs(two.own_cycles - two.calls * 20) <= 20
    assert abs(three.own_cycles - three.calls * 24) <= 24
    assert {block.place.bank for block in found.blocks if block.place.address == 0x4000} == {2, 3}


def test_blocks_have_their_instructions_and_counts() -> None:
    found = profiled(TURNS)
    hottest = found.blocks[0]
    assert [one.text for one in hottest.instructions] == ["DEC B", "JR NZ,$015A"]
    assert (hottest.place.address, hottest.place.symbol) == (0x15A, "long.turn")
    assert hottest.cycles == sum(one.cycles for one in hottest.instructions)
    assert hottest.executions == hottest.instructions[0].executions
    assert 59 * function(found, "long").calls <= hottest.executions <= 60 * function(found, "long").calls
    assert sum(block.cycles for block in found.blocks) == found.running
    assert hottest.tier == "T1"


def test_a_profile_that_begins_within_a_loop_has_the_same_blocks() -> None:
    image, symbols = assembled(TURNS)
    blocks = []
    for warm_up in (3, 4, 5, 6):
        found = profile(image, 5, warm_up=warm_up, symbols=symbols, host=False)
        blocks.append({tuple(one.text for one in block.instructions) for block in found.blocks})
        assert {stack.frames[:1] for stack in found.stacks} <= {("main",), ("long",), ("short",)}
    assert all(one == blocks[0] for one in blocks)


def test_who_called_whom_in_the_warm_up_is_known() -> None:
    image_, symbols = assembled(CALLED_ONCE)
    for warm_up in (0, 3):
        found = profile(image_, 4, warm_up=warm_up, symbols=symbols, host=False)
        stacks = {stack.frames for stack in found.stacks if stack.frames != ("(start)",)}
        assert stacks - {("main",)} == {("main", "forever"), ("main", "forever", "leaf")}
        assert function(found, "forever").calls == (0 if warm_up else 1)
        assert found.running == found.cycles
        assert function(found, "leaf").own_cycles == pytest.approx(20 * function(found, "leaf").calls, abs=20)


def test_code_that_was_written_over_says_so() -> None:
    # Copies INC A; RET to C000, calls it, and writes DEC A over it, which is never run.
    image, _ = assembled(
        " org $150\n ld a,$3c\n ld [$c000],a\n ld a,$c9\n ld [$c001],a\n call $c000\n ld a,$3d\n ld [$c000],a\nx: jr x"
    )
    found = profile(image, 1, host=False, top=99)
    texts = [one.text for block in found.blocks for one in block.instructions if one.place.address == 0xC000]
    assert texts == ["INC ... (rewritten since)"]


@pytest.mark.parametrize("way", ["interpreter", "blocks", "translated", "regions"])
def test_a_profile_leaves_the_console_as_any_run_does(way: str) -> None:
    presses = [(3, "start", True), (9, "start", False)]
    plain = GameBoy("demo", engine=way)
    plain.tick(5)
    for frame in range(30):
        for at, button, down in presses:
            if at == frame:
                plain.button(button, down)
        plain.tick(1)
    gb = GameBoy("demo", engine=way)
    found = profile(gb, 30, warm_up=5, presses=presses, seconds=0.05)
    assert found.agrees
    assert (found.engine, found.frames) == (gb.engine, 30)
    assert gb.state_bytes() == plain.state_bytes()
    assert gb.picture_bytes() == plain.picture_bytes()
    assert (found.exits is None) == (way == "interpreter")


def test_the_reference_can_be_profiled() -> None:
    found = profile("demo", 1, engine="reference", seconds=0)
    assert found.agrees
    assert found.exits is None
    assert {block.tier for block in found.blocks} == {""}
    assert found.running + found.waiting + found.dispatching + found.stalled == found.cycles


def test_runs_that_differ_are_told_of() -> None:
    gb = GameBoy("demo")
    gb.on_frame(lambda console: console.memory.__setitem__(0xDF00, 1))
    assert not profile(gb, 3, seconds=0).agrees


def test_exits_are_counted_by_reason() -> None:
    found = profiled(STORING, 20)
    assert found.exits is not None
    slow = next(one for one in found.exits.reasons if "plain memory" in one.reason)
    place = slow.places[0]
    assert (place.place.address, place.place.symbol, place.text) == (0x150, "main", "LD [$FE00],A")
    store = next(one for block in found.blocks for one in block.instructions if one.place.address == 0x150)
    assert 0.9 * store.executions < place.count <= store.executions
    assert found.exits.instructions == found.instructions
    assert place.count <= found.exits.interpreted < 0.5 * found.instructions
    assert slow.per_frame == slow.count / 20


def test_instructions_behind_a_prefix_are_counted_once() -> None:
    found = profiled(PREFIXED, 20)
    assert found.exits is not None
    slow = next(one for one in found.exits.reasons if "plain memory" in one.reason)
    assert [(one.place.symbol, one.text) for one in slow.places] == [("loop", "SET 0,[HL]")]
    set_, swap = (one for block in found.blocks for one in block.instructions if one.data.startswith("cb"))
    assert 0.9 * set_.executions < slow.count <= set_.executions
    assert slow.count <= found.exits.interpreted < slow.count + 0.1 * swap.executions


def test_loops_that_wait_are_told_of() -> None:
    found = profiled(POLLING, 20)
    assert found.exits is not None
    wait = next(one for one in found.exits.reasons if "waiting" in one.reason)
    assert wait.places[0].place.symbol == "main"


@pytest.mark.parametrize("make", [image, loop_image])
def test_whatever_a_program_does_all_cycles_are_counted_once(make: Callable[[int], bytes]) -> None:
    """Random code that plays with the stack, banks, interrupts and the speed."""
    for seed in range(8):
        found = profile(make(seed), 6, host=False, top=0)
        assert found.agrees, seed
        counted = found.running + found.waiting + found.dispatching + found.stalled
        assert (counted, found.uncounted) == (found.cycles, 0), seed
        assert sum(stack.cycles for stack in found.stacks) == found.cycles, seed
        assert found.exits is not None
        assert 0 <= found.exits.interpreted <= found.instructions, seed


def test_a_full_table_is_put_aside_and_nothing_is_lost() -> None:
    from tracklayer.api.profiling.guest import GameBoyCounted
    from tracklayer.translate.counted import CountingInterpreter, tally_image

    def counted(often: bool) -> dict[tuple[int, int, int], tuple[int, int]]:
        gb = GameBoy("demo", engine="interpreter").clone()
        base: Any = gb._engine
        gb._engine = CountingInterpreter(base, GameBoyCounted, tally_image(GameBoyCounted, None))
        for _ in range(10):
            gb.tick(1, False)
            if often:
                gb._gb.counts.tally.used = gb._gb.counts.tally.capacity
                gb._gb.counts.make_room()
                assert gb._gb.counts.tally.used < 1000
        sums: dict[tuple[int, int, int], tuple[int, int]] = {}
        for cell in gb._gb.counts.cells():
            time, times = sums.get((cell.node, cell.kind, cell.place), (0, 0))
            sums[cell.node, cell.kind, cell.place] = time + cell.time, times + cell.times
        return sums

    assert counted(True) == counted(False)


def test_json_holds_it_all() -> None:
    found = profile("demo", 5, top=2, seconds=0.01, host_code=True)
    document = json.loads(json.dumps(found.as_json()))
    assert document["title"] == "TRACKLAYER"
    assert len(document["blocks"]) == 2
    assert set(document["blocks"][0]) == {
        "place", "share", "cycles", "executions", "tier", "host_share", "instructions",
    }  # fmt: skip
    assert set(document["functions"][0]) == {
        "name", "place", "calls", "own", "total", "own_cycles", "total_cycles",
    }  # fmt: skip
    assert set(document["exits"]["reasons"][0]) == {"reason", "count", "per_frame", "places"}
    assert sum(stack["cycles"] for stack in document["stacks"]) == document["cycles"]
    if document["host"] is not None:
        assert sum(part["samples"] for part in document["host"]["parts"]) == document["host"]["samples"]
    else:
        assert document["host_missing"]


def test_wrong_arguments_are_refused() -> None:
    for wrong in ({"frames": 0}, {"warm_up": -1}, {"top": -1}, {"seconds": -1.0}, {"seconds": 1e9}):
        with pytest.raises(ValueError, match="a profile takes"):
            profile("demo", **wrong)  # type: ignore[arg-type]
    left, right = GameBoy("demo"), GameBoy("demo")
    with Link(left, right), pytest.raises(LinkError, match="linked"):
        profile(left, 1)


@needs_sampling
def test_host_shares_add_up_and_a_busy_loop_is_translated_code() -> None:
    image, symbols = assembled(TURNS)
    found = profile(image, 120, symbols=symbols, engine="blocks", render=False, seconds=0.3)
    host = found.host
    assert host is not None
    assert host.samples > 20
    assert host.passes > 1
    assert sum(part.samples for part in host.parts) == host.samples
    assert sum(part.share for part in host.parts) == pytest.approx(1)
    assert host.tiers["T1"] > 0.3
    assert all(one.share <= host.parts[0].share for one in host.functions)
    shares = [block.host_share for block in found.blocks if block.host_share is not None]
    assert sum(shares) == pytest.approx(host.tiers["T1"])
    assert found.blocks[0].host_share == max(shares)


@needs_sampling
def test_regions_have_their_share() -> None:
    image, symbols = assembled(COPYING)
    found = profile(image, 240, warm_up=240, symbols=symbols, engine="regions", render=False, seconds=0.5)
    assert found.host is not None
    assert found.host.tiers["T2"] > 0
    assert "main.copy" in {head.symbol for region in found.host.regions for head in region.heads}
    assert sum(region.share for region in found.host.regions) == pytest.approx(found.host.tiers["T2"])
    assert (found.blocks[0].place.symbol, found.blocks[0].tier) == ("main.copy", "T2")


def test_progress_is_told_of_each_run_to_its_end() -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    profile("demo", 130, seconds=0, progress=lambda what, done, of: told.setdefault(what, []).append((done, of)))
    assert told["counting instructions, frames"] == [(60, 130), (120, 130), (130, 130)]
    assert told["counting exits, frames"] == [(60, 130), (120, 130), (130, 130)]
    assert told["sampling the host"] == [(1, 1)]


def test_without_sampling_it_says_why() -> None:
    found = profile("demo", 1, host=False)
    assert found.host is None
    assert found.host_missing == "it was not asked for"
