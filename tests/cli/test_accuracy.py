"""The accuracy page: counts, failures with their notes, what was not judged."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from click import ClickException

from tests.api.images import cartridge, sender
from tracklayer.cli.accuracy import Note, page, read_notes

from .conftest import Command

DAY = datetime.date(2001, 2, 3)
ROOT = Path(__file__).resolve().parents[2]


def entry(path: str, verdict: str, reason: str = "", **more: str) -> dict[str, Any]:
    return {"path": path, "suite": "one", "model": "dmg", "engine": "translated", "verdict": verdict,
            "reason": reason, "seconds": 0.1} | more  # fmt: skip


RESULTS = [
    entry("gb/one/good.gb", "pass"),
    entry("gb/one/bad.gb", "fail", "got 1 | expected 2"),
    entry("gb/one/pack.zip::deep/odd.gb", "fail", "x" * 300, model="cgb"),
    entry("gb/one/new.gb", "fail", "who knows"),
    entry("gb/two/game.gb", "unjudged", "nothing automatic", suite="two"),
]
NOTES = [Note("*pack.zip::deep/*", "cgb", "Deep waters."), Note("*bad*", None, "Known since long.")]


def test_the_page_counts_by_suite_and_model_and_shows_every_failure() -> None:
    text = page(RESULTS, NOTES, DAY)
    assert "on 2001-02-03, with the engine translated" in text
    for line in (
        "| one | cgb | 0 of 1 |  |",
        "| one | dmg | 1 of 3 |  |",
        "| two | dmg | none judged | 1 |",
        "| **all** |  | **1 of 4** | **1** |",
        "### one: 3",
        "Known since long.",
        "| `bad.gb` | dmg | got 1 \\| expected 2 |",
        "Deep waters.",
        "| `deep/odd.gb` | cgb | " + "x" * 107 + "... |",
        "Nothing is known yet.",
        "- nothing automatic: `game.gb` (dmg)",
    ):
        assert line in text.splitlines()


def test_several_engines_have_a_column_each_and_disagreements_are_told() -> None:
    others = [one | {"engine": "interpreter"} for one in RESULTS]
    text = page(RESULTS + others, NOTES, DAY)
    assert "| one | dmg | 1 of 3 | 1 of 3 |  |" in text
    assert "The engines give the same verdict on every program." in text
    others[0]["verdict"] = "fail"
    text = page(RESULTS + others, NOTES, DAY)
    assert "| one | dmg | 1 of 3 | 0 of 3 |  |" in text
    assert "- `gb/one/good.gb` (dmg)" in text


def test_nothing_failed() -> None:
    text = page(RESULTS[:1], [], DAY)
    assert "| one | dmg | all 1 |  |" in text
    assert text.endswith("## Failures\n\nNone.\n")


def test_the_command_writes_the_page(command: Command, tmp_path: Path) -> None:
    how = {"how": "serial-text", "contains": "Passed", "fail_contains": "Failed", "seconds": 0.2}
    (tmp_path / "bad.gb").write_bytes(cartridge(sender(b"Failed")))
    rows = [{"system": "gb", "model": ["dmg"], "suite": "one", "pass": how, "path": "bad.gb"}]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    (tmp_path / "n.json").write_text(json.dumps([{"path": "bad*", "note": "It is made to fail."}]))
    asked = ("judge", tmp_path / "m.json", "--engine", "reference", "--engine", "interpreter", "--jobs", 1)
    result = command(*asked, "--markdown", tmp_path / "page.md", "--notes", tmp_path / "n.json")
    assert result.exit_code == 1
    assert "FAIL bad.gb (dmg, interpreter)" in result.stdout
    text = (tmp_path / "page.md").read_text()
    assert "| one | dmg | 0 of 1 | 0 of 1 |  |" in text
    assert "It is made to fail." in text
    assert datetime.date.today().isoformat() in text
    result = command(*asked, "--markdown", tmp_path / "no" / "page.md")
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize("text", ["[", "{}", '[{"path": "x"}]', "[5]", "5"])
def test_notes_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "n.json").write_text(text)
    if text == "{}":
        assert read_notes(tmp_path / "n.json") == []
        return
    with pytest.raises(ClickException, match="no list of notes"):
        read_notes(tmp_path / "n.json")
    with pytest.raises(ClickException, match="cannot read"):
        read_notes(tmp_path / "nowhere.json")


def test_the_notes_of_the_repository_can_be_read() -> None:
    notes = read_notes(ROOT / "docs" / "accuracy-notes.json")
    assert all(note.text.endswith(".") for note in notes)
