"""States that earlier versions saved are loaded by this one (tests/make_states.py keeps them)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.make_states import FOLDER, console, facts
from tracklayer.api import container

KEPT = sorted(FOLDER.glob("*.state"))


def of(path: Path, engine: str = "interpreter"):  # type: ignore[no-untyped-def]
    kind, model = path.stem.split("-", 1)[1].rsplit("-", 1)
    return console(kind, model, engine)


def test_there_is_a_state_of_every_version() -> None:
    versions = {int.from_bytes(path.read_bytes()[8:12], "little") for path in KEPT}
    assert versions == set(range(1, container.VERSION + 1))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_an_old_state_is_loaded_and_goes_on(path: Path, engine: str) -> None:
    gb = of(path, engine)
    gb.load_state(path)
    assert facts(gb) == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    counted = gb.memory[0xC000], gb.memory[0xFF90]
    gb.run(cycles=1_000)
    assert (gb.memory[0xC000], gb.memory[0xFF90]) != counted
    assert gb.registers.pc in range(0x150, 0x1A0) or gb.registers.pc in (0xFF80, 0xFF81)
