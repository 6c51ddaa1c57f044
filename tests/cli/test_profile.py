"""`tracklayer profile` proves that: it prints what a profile says, writes pictures, and refuses nonsense in words."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.api.images import cartridge

from .conftest import Command, parsed

QUICK = ("--frames", 3, "--host-seconds", 0)


def failed(result: object, text: str) -> None:
    assert result.exit_code != 0  # type: ignore[attr-defined]
    assert text in " ".join(result.output.split())  # type: ignore[attr-defined]
    assert "Traceback" not in result.output  # type: ignore[attr-defined]


def test_it_shows_functions_exits_and_blocks_with_their_code(command: Command) -> None:
    result = command("profile", "demo", "--frames", 30, "--host-seconds", 0)
    assert result.exit_code == 0, result.output
    for text in ("30 frames", "symbols", "emit_store", "a block to be", "Hottest blocks", "[HL+],A", "not sampled"):
        assert text in result.stdout


def test_json_holds_the_whole_profile(command: Command) -> None:
    out = parsed(command("profile", "demo", *QUICK, "--json", "--top", 4))
    assert (out["rom"], out["frames"], out["model"], out["engine"]) == ("demo", 3, "dmg", "translated")
    assert len(out["blocks"]) == 4
    assert out["agrees"] is True
    assert out["running"] + out["waiting"] + out["dispatching"] + out["stalled"] == out["cycles"]
    assert out["host"] is None


def test_time_buttons_and_symbols_are_taken(command: Command, tmp_path: Path) -> None:
    # Waits until A is held, then turns at 0161 for good.
    program = bytes.fromhex("3e10 e000 f000 cb47 20fa 00 1800 00 18fd")
    rom, names = tmp_path / "wait.gb", tmp_path / "names.sym"
    rom.write_bytes(cartridge(program))
    names.write_text("00:0150 waits\n00:015d held\n")
    arguments = ("profile", rom, "--seconds", 0.1, "--warm-up", 2, "--host-seconds", 0, "--json", "--symbols", names)
    idle = parsed(command(*arguments))
    assert [one["name"] for one in idle["functions"]] == ["waits"]
    assert idle["frames"] == 6
    pressed = parsed(command(*arguments, "--buttons", "1:a*30"))
    assert [one["name"] for one in pressed["functions"]] == ["held"]
    later = parsed(command(*arguments, "--buttons", "5:a"))
    assert {one["name"] for one in later["functions"]} == {"waits", "held"}


def test_flame_graphs_are_written(command: Command, tmp_path: Path) -> None:
    picture, text = tmp_path / "out.svg", tmp_path / "out.folded"
    result = command("profile", "demo", *QUICK, "--flame", picture, "--flame", text)
    assert result.exit_code == 0, result.output
    assert ElementTree.fromstring(picture.read_bytes()).tag.endswith("svg")
    cycles = parsed(command("profile", "demo", *QUICK, "--json"))["cycles"]
    assert sum(int(line.rpartition(" ")[2]) for line in text.read_text().splitlines()) == cycles
    assert {file.name for file in tmp_path.iterdir()} == {"out.svg", "out.folded"}


def test_hot_functions_of_the_engine_are_shown_with_their_code(command: Command) -> None:
    result = command("profile", "demo", "--frames", 60, "--host-seconds", 0.2, "--host", "--top", 2)
    assert result.exit_code == 0, result.output
    if "not sampled" in result.stdout:
        pytest.skip("the host cannot be sampled here")
    assert "of the host's time" in result.stdout


def test_machine_code_is_shown_where_it_is_asked_for(command: Command) -> None:
    out = parsed(command("profile", "demo", "--frames", 30, "--host-seconds", 0, "--json", "--top", 1, "--host"))
    shown = out["blocks"][0]["instructions"]
    assert any("mov" in line for one in shown for line in one["host_code"])
    plain = parsed(command("profile", "demo", "--frames", 30, "--host-seconds", 0, "--json", "--top", 1))
    assert not any(one["host_code"] for one in plain["blocks"][0]["instructions"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("none.gb",), "cannot read none.gb"),
        (("demo", "--flame", "out.png"), "ends neither in .svg"),
        (("demo", "--flame", "no/such/folder/out.svg"), "cannot be written"),
        (("demo", "--frames", 1, "--seconds", 1), "not both"),
        (("demo", "--frames", 0), "--frames"),
        (("demo", "--buttons", "x"), "is not FRAME:BUTTON"),
        (("demo", "--engine", "none"), "--engine"),
        (("demo", "--symbols", "none.sym"), "none.sym"),
    ],
)
def test_nonsense_is_refused_in_words(command: Command, arguments: tuple[object, ...], text: str) -> None:
    failed(command("profile", *arguments), text)


def test_bad_images_and_symbol_files_are_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.gb").write_bytes(b"")
    failed(command("profile", tmp_path / "bad.gb", *QUICK), "empty")
    (tmp_path / "bad.sym").write_text("what is this\n")
    failed(command("profile", "demo", *QUICK, "--symbols", tmp_path / "bad.sym"), "is no `bank:address name`")


def test_a_file_that_cannot_be_written_is_told_of(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    result = command("profile", "demo", *QUICK, "--flame", folder / ("x" * 300 + ".svg"))
    failed(result, "x.svg")
