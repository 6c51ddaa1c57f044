"""Manifests: choosing runs, reading files, choosing pictures."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import click
import pytest

from tracklayer.cli.manifest import Library, Selection, pictures_for, read_manifest


def manifest(folder: Path, *entries: dict[str, Any]) -> Path:
    file = folder / "manifest.json"
    file.write_text(json.dumps(entries))
    return file


def entry(path: str = "gb/a/x.gb", **more: Any) -> dict[str, Any]:
    return {"path": path, "system": "gb", "model": ["dmg"], "suite": "a", "pass": {"how": "none"}, **more}


def test_a_program_is_run_once_for_each_model(tmp_path: Path) -> None:
    tasks = read_manifest(manifest(tmp_path, entry(model=["dmg", "cgb"])), Selection())
    assert [task.model for task in tasks] == ["dmg", "cgb"]
    assert tasks[0].folder == str(tmp_path)
    assert tasks[0].truth


@pytest.mark.parametrize(
    ("chosen", "paths"),
    [
        (Selection(), ["gb/a/x.gb", "gb/a/x.gb", "gb/b/y.gb", "gba/z.gba", "v.gz"]),
        (Selection(system="gba"), ["gba/z.gba"]),
        (Selection(suites=("b",)), ["gb/b/y.gb"]),
        (Selection(suites=("a", "b")), ["gb/a/x.gb", "gb/a/x.gb", "gb/b/y.gb"]),
        (Selection(model="cgb"), ["gb/a/x.gb", "v.gz"]),
        (Selection(path="*/y.gb"), ["gb/b/y.gb"]),
        (Selection(suites=("b",), model="cgb"), []),
    ],
)
def test_options_choose_runs(tmp_path: Path, chosen: Selection, paths: list[str]) -> None:
    file = manifest(
        tmp_path,
        entry(model=["dmg", "cgb"]),
        entry("gb/b/y.gb", suite="b"),
        entry("gba/z.gba", system="gba", model=["gba"], suite="z"),
        entry("v.gz", model=["sm83"], suite="v"),
    )
    assert [task.path for task in read_manifest(file, chosen)] == paths


def test_a_picture_of_another_emulator_is_marked(tmp_path: Path) -> None:
    tasks = read_manifest(manifest(tmp_path, entry(hardware_truth=False)), Selection())
    assert not tasks[0].truth


@pytest.mark.parametrize("text", ["", "{", "{}", '[{"path": "x"}]', "[1]", '[{"path":"a","suite":"b"}]'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "m.json"
    file.write_text(text)
    with pytest.raises(click.ClickException):
        read_manifest(file, Selection())


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="cannot read"):
        read_manifest(tmp_path / "m.json", Selection())


def test_files_and_members_of_zip_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"one")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("in/side", b"two")
    library = Library(str(tmp_path))
    assert library.read("plain") == b"one"
    assert library.read("z.zip::in/side") == b"two"
    for missing in ("none", "none.zip::x", "z.zip::none", "plain::x"):
        with pytest.raises(OSError, match=r".+"):
            library.read(missing)


@pytest.mark.parametrize(
    ("model", "paths", "chosen"),
    [
        ("dmg", ["x.png"], ["x.png"]),
        ("cgb", ["x.png"], ["x.png"]),
        ("dmg", ["a/x_cgb_c.png", "a/x_cgb_d.png", "a/x_dmg_blob.png"], ["a/x_dmg_blob.png"]),
        ("cgb", ["a/x_cgb_c.png", "a/x_cgb_d.png", "a/x_dmg_blob.png"], ["a/x_cgb_c.png", "a/x_cgb_d.png"]),
        ("dmg", ["s.gbc.png", "s_0.dmg.png", "s_1.dmg.png"], ["s_0.dmg.png", "s_1.dmg.png"]),
        ("cgb", ["s.gbc.png", "s_0.dmg.png"], ["s.gbc.png"]),
        ("dmg", ["m-dmgC.png", "m-ncmBC.png"], ["m-dmgC.png"]),
        ("cgb-compat", ["m-dmgC.png", "m-ncmBC.png"], ["m-ncmBC.png"]),
        ("dmg", ["dmg/x_cgb.png", "dmg/x_gbc.png"], []),
    ],
)
def test_the_name_of_a_picture_tells_its_machine(model: str, paths: list[str], chosen: list[str]) -> None:
    assert pictures_for(model, paths) == chosen
