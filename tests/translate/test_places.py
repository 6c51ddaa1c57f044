"""Places prove that: each byte of translated code leads back to the guest instruction that it was made from."""

from __future__ import annotations

import ctypes

from tracklayer import GameBoy
from tracklayer.translate.places import BLOCK, ELSEWHERE, ENGINE, HANDLER, Places


def laid() -> tuple[GameBoy, Places]:
    gb = GameBoy("demo", engine="blocks")
    gb.tick(60)
    engine: object = gb._engine
    return gb, Places(engine, gb._gb)  # type: ignore[arg-type]


def test_code_of_instructions_stands_where_the_list_says() -> None:
    """But for its holes, what stands there is the stencil's code."""
    gb, places = laid()
    state = gb._gb.translation[0]
    table = state.table[0]
    assert len(places.blocks) > 100
    for block in places.blocks:
        steps = places.steps(block)
        assert steps.addresses[0] == block.origin.pc
        assert block.start < steps.starts[0] and steps.end <= block.end
        for number, start in enumerate(steps.starts):
            stencil = table.stencils[state.opcodes[number]]
            code = bytearray(ctypes.string_at(start, stencil.size))
            plain = bytearray(ctypes.string_at(ctypes.addressof(table.pool.contents) + stencil.code, stencil.size))
            for index in range(stencil.holes):
                hole = table.holes[stencil.first_hole + index]
                for bytes_ in (code, plain):
                    bytes_[hole.at : hole.at + hole.size] = bytes(hole.size)
            assert code == plain, hex(block.origin.pc)


def test_addresses_are_told_apart() -> None:
    gb, places = laid()
    engine = gb._engine
    code = engine.code  # type: ignore[attr-defined]
    assert places.at(code["op.0"]).kind == HANDLER
    assert places.at(code["op.0"]).name == "op.0"
    assert places.at(code["enter"] + 1)[:2] == (ENGINE, "enter")
    assert places.at(1).kind == ELSEWHERE
    assert places.instruction_at(1) is None
    for block in places.blocks:
        for address in (block.start, block.end - 1):
            assert places.at(address) == block.origin
        found = places.instruction_at(block.start)
        assert found == (block.origin, block.origin.pc)
    assert {block.origin.own for block in places.blocks} == {False, True}
    assert all(block.origin.kind == BLOCK for block in places.blocks)


def test_an_engine_without_translated_code_has_no_blocks() -> None:
    gb = GameBoy("demo", engine="interpreter")
    gb.tick(1)
    engine: object = gb._engine
    places = Places(engine, gb._gb)  # type: ignore[arg-type]
    assert not places.tiers
    assert not places.blocks
