"""The parts of the host's time prove that: all of the engine's functions are in one, and none is named for nothing."""

from __future__ import annotations

from tracklayer import GameBoy
from tracklayer.api.profiling.host import BETWEEN, DRAWING, GLUE, PARTS, SOUND, SYMBOLS, T0, part_of, shares
from tracklayer.api.profiling.host import functions as functions_of
from tracklayer.translate.places import ELSEWHERE, Origin, Places


def functions() -> list[str]:
    """The engine's symbols, but for constants."""
    engine: object = GameBoy("demo")._engine
    return [name for name in engine.code.symbols if not name.startswith((".", "op."))]  # type: ignore[attr-defined]


def test_every_module_that_is_named_has_functions() -> None:
    names = functions()
    assert len(names) > 50
    modules = [start for start, _ in SYMBOLS if start.startswith("f.") and start != "f.translate."]
    assert [start for start in modules if not any(name.startswith(start) for name in names)] == []


def test_every_typed_function_of_the_machine_has_a_part_of_its_own() -> None:
    engine = Origin("engine")
    parts = {name: part_of(engine._replace(name=name), "")[0] for name in functions()}
    assert {name for name, part in parts.items() if part == GLUE and name.startswith("f.")} == set()
    assert set(parts.values()) <= set(PARTS)
    assert parts["f.machine.gb.ppu.line.draw"] == DRAWING
    assert parts["f.machine.gb.apu.mixing.mix"] == SOUND
    assert parts["lookup"] == BETWEEN


def test_samples_are_sorted_by_what_they_hit() -> None:
    gb = GameBoy("demo", engine="blocks")
    gb.tick(30)
    engine: object = gb._engine
    places = Places(engine, gb._gb)  # type: ignore[arg-type]
    block = places.blocks[0]
    handler = engine.code["op.0"]  # type: ignore[attr-defined]
    found = shares([handler, handler, block.start, 1], places)
    assert found.total == 4
    assert found.parts[T0] == 2
    assert found.functions[T0, "op.0"] == 2
    assert found.origins == {block.origin: 1}
    assert found.parts["libraries"] == 1
    assert shares([], None).total == 0
    (only,) = functions_of([handler, handler, handler + 1, block.start, 1], places, 9, True)
    assert (only.name, only.part, only.share) == ("op.0", T0, 3 / 5)
    assert (only.lines[0].offset, only.lines[0].share) == (0, 2 / 5)
    assert functions_of([handler], places, 9, False)[0].lines == ()
    assert functions_of([handler], places, 0, True) == functions_of([handler], None, 9, True) == ()
    assert part_of(Origin(ELSEWHERE), "libpython3.11.so.1.0")[0] == "Python"
    assert part_of(Origin(ELSEWHERE), "libc.so.6") == ("libraries", "libc.so.6")
