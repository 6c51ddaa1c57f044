"""A console's state in a container, and out of one again.

For:     what of a console goes into a saved state, whose it is, and whether it fits.
Not for: the container's bytes (container.py); putting a state into a console (gameboy.py).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from tracklayer.lang import size_of
from tracklayer.machine.gb import build
from tracklayer.machine.gb.boot import START
from tracklayer.machine.gb.console import GB
from tracklayer.machine.gb.model import MODELS

from . import bess
from .container import Contents, Entry, is_container, layout_section, pack, state_entries, take_over, unpack
from .errors import StateError

FIELDS = size_of(GB) - build.HOST_SIZE
"""Bytes of a state that are the struct; the cartridge's memory follows."""


class Loaded(NamedTuple):
    """A state that fits a console."""

    state: bytes
    """As `build.restore` takes it."""
    pictures: bytes | None


def save_state(gb: Any, model: str) -> bytes:
    """The container with a console's state."""
    raw = build.save(gb)
    cartridge = gb.__dict__["cartridge"]
    description = {
        "kind": "console",
        "system": "gb",
        "model": model,
        "title": cartridge.title,
        "rom": cartridge.digest,
        "cycles": int(gb.dots()) - START,
    }
    sections = {
        "layout": layout_section(GB),
        "state": at_rest(raw[:FIELDS]),
        "storage": raw[FIELDS:],
        "pictures": build.pictures(gb),
    }
    return pack(description, sections)


@functools.cache
def _numbers() -> dict[str, Entry]:
    """The fields of a state by name."""
    return {entry.path: entry for entry in state_entries(GB)}


def at_rest(state: bytes) -> bytes:
    """The same state with nothing left in it of how far the console was asked to run, and which lines it drew."""
    numbers = _numbers()

    def number(path: str) -> int:
        entry = numbers[path]
        signed = entry.type[0] == "i"
        return int.from_bytes(state[entry.offset : entry.offset + entry.width], "little", signed=signed)

    now = number("clock.deadline") - number("clock.left")
    made = bytearray(state)
    for path, value in (("clock.deadline", now), ("clock.limit", now), ("clock.left", 0), ("clock.stop", 0)):
        entry = numbers[path]
        made[entry.offset : entry.offset + entry.width] = value.to_bytes(entry.width, "little")
    objects = numbers["ppu.objects"]
    live = min(number("ppu.object_count"), objects.length) * objects.width
    made[objects.offset + live : objects.offset + objects.length * objects.width] = bytes(
        objects.length * objects.width - live
    )
    return bytes(made)


def _offset(path: str) -> int:
    """Where a field lies in the section `state`."""
    return next(entry.offset for entry in state_entries(GB) if entry.path == path)


def load_state(gb: Any, model: str, data: bytes) -> Loaded:
    """The state that a container, or another emulator's BESS, holds for this console.

    Errors: StateError; nothing is changed.
    """
    if not is_container(data) and bess.is_bess(data):
        return Loaded(bess.read(gb, model, data), None)
    contents = unpack(data)
    check_owner(gb, model, contents)
    cartridge = gb.__dict__["cartridge"]
    storage = contents.sections.get("storage", b"")
    if len(storage) != cartridge.storage_size:
        raise StateError(
            f"the state has {len(storage):,} bytes of cartridge memory, this cartridge {cartridge.storage_size:,}"
        )
    if contents.sections.get("layout") == layout_section(GB):
        fresh = bytes(FIELDS)
    else:
        fresh = build.save(build.new_console(cartridge, MODELS[model]))[:FIELDS]
    taken = take_over(GB, contents.sections, fresh)
    if taken[_offset("boot_rom.mapped")] and not gb.host.boot_pages:
        raise StateError("the state was saved while a boot ROM ran, and this console has none")
    pictures = contents.sections.get("pictures")
    if pictures is not None and len(pictures) != len(build.pictures(gb)):
        pictures = None
    return Loaded(taken + storage, pictures)


def check_owner(gb: Any, model: str, contents: Contents) -> None:
    """Whether a container's state is of such a console. Errors: StateError."""
    told = contents.description
    cartridge = gb.__dict__["cartridge"]
    if told.get("kind") != "console":
        raise StateError(f"this is the state of a {told.get('kind')}, not of one console")
    if told.get("system") != "gb":
        raise StateError(f"this is the state of another kind of console: {told.get('system')}")
    if told.get("rom") != cartridge.digest:
        raise StateError(f"the state is of another cartridge: {told.get('title')!r}, this is {cartridge.title!r}")
    if told.get("model") != model:
        raise StateError(f"the state is of model {told.get('model')}, this console is {model}")
