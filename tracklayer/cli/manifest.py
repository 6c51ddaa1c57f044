"""Manifests: lists of test programs, and which runs they ask for.

For:     reading and checking the JSON file, choosing entries, the bytes of a program or a picture (zip members too).
Not for: running or judging anything (ways.py, judge.py).
"""

from __future__ import annotations

import fnmatch
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tracklayer.api.pictures import load_picture

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Picture = NDArray[numpy.uint8]


class Task(NamedTuple):
    """One program on one model: what one verdict is about."""

    path: str
    suite: str
    system: str
    model: str
    how: dict[str, Any]
    """The entry's `pass`: the way of judging and its details."""
    truth: bool
    """False where the reference picture comes from another emulator, not from hardware."""
    folder: str
    """The folder that the manifest's paths start from."""
    note: str = ""
    """Anything odd about the program, in words."""


class Selection(NamedTuple):
    """Which of a manifest's runs are wanted; None, and no suites, leave a question open."""

    system: str | None = None
    suites: tuple[str, ...] = ()
    model: str | None = None
    path: str | None = None


def read_manifest(file: Path, chosen: Selection) -> list[Task]:
    """The runs of a manifest that were asked for, one for each program and model.

    Errors: click.ClickException, which says what is wrong with the manifest.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise click.ClickException(f"cannot read {file}: {error.strerror or error}") from None
    except ValueError as error:
        raise click.ClickException(f"{file} is not JSON: {error}") from None
    if not isinstance(entries, list):
        raise click.ClickException(f"{file} is not a list of programs")
    tasks = []
    for number, entry in enumerate(entries):
        try:
            tasks += [task for task in _tasks(entry, str(file.parent)) if _wanted(task, chosen)]
        except (KeyError, TypeError, AttributeError) as error:
            raise click.ClickException(f"{file}: entry {number} lacks what an entry needs: {error!r}") from None
    return tasks


def _tasks(entry: dict[str, Any], folder: str) -> list[Task]:
    how = entry["pass"]
    truth = bool(entry.get("hardware_truth", how.get("hardware_truth", True)))
    note = str(entry.get("note", ""))
    return [
        Task(str(entry["path"]), str(entry["suite"]), str(entry["system"]), str(model), {**how}, truth, folder, note)
        for model in entry["model"]
    ]


def _wanted(task: Task, chosen: Selection) -> bool:
    return (
        (chosen.system is None or task.system == chosen.system)
        and (not chosen.suites or task.suite in chosen.suites)
        and (chosen.model is None or task.model in (chosen.model, "sm83"))
        and (chosen.path is None or fnmatch.fnmatch(task.path, chosen.path))
    )


class Library:
    """The files that a manifest names, read relative to its folder. Zip files stay open: thousands share one."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._archives: dict[str, zipfile.ZipFile] = {}

    def read(self, path: str) -> bytes:
        """The bytes of a file, or of a member of a zip file. Errors: OSError."""
        file, _, member = path.partition("::")
        if not member:
            return (self.folder / file).read_bytes()
        try:
            if file not in self._archives:
                self._archives[file] = zipfile.ZipFile(self.folder / file)
            return self._archives[file].read(member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise OSError(f"{path}: {error}") from None

    def picture(self, path: str) -> Picture:
        """A picture as RGB, shape (height, width, 3). Errors: OSError."""
        return load_picture(BytesIO(self.read(path)))


def pictures_for(model: str, paths: list[str]) -> list[str]:
    """Those reference pictures that are meant for a model. Where there is only one, it is for every model.

    The name tells: `-dmgC`, `_dmg08`, `.dmg` a Game Boy; `cgb`, `.gbc` a Color; `ncm` a plain cartridge on a Color.
    """
    if len(paths) == 1:
        return paths
    marks = {"dmg": ("dmg",), "cgb": ("cgb", "gbc"), "cgb-compat": ("ncm",)}.get(model, (model,))
    found = [path for path in paths if any(mark in path.rsplit("/", 1)[-1].lower() for mark in marks)]
    if model == "cgb-compat" and not found:
        return pictures_for("cgb", paths)
    return found
