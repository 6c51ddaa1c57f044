"""Host time: what the addresses at which a thread was interrupted belong to.

For:     from samples to parts with names: tiers, devices, laying code, Python.
Not for: taking the samples (native/sampling.py); which code belongs to which block (translate/places.py).

A typed function that is inlined into another counts as that one. So what one register write takes of a device's time
may stand under the bus, and HALT's waiting under the events that it waits for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from tracklayer.native.disassembly import disassemble
from tracklayer.translate.places import BLOCK, ELSEWHERE, ENGINE, HANDLER, REGION, Origin, Places

from .results import HostFunction, HostLine

T2, T1, T0 = "T2: regions", "T1: blocks", "T0: interpreter"
BETWEEN = "between tiers"
LAYING = "laying code"
EVENTS = "events, interrupts, waiting"
DRAWING = "PPU: drawing"
PICTURES = "pictures, handed out"
PPU = "PPU: timing, registers"
SOUND = "sound, made to be heard"
APU = "APU: channels, registers"
DMA = "DMA"
TIMER = "timer, divider"
SERIAL = "serial port, joypad"
MAPPER = "mapper"
BUS = "bus, memory maps"
GLUE = "in and out of generated code"
HOOKS = "hooks"
OURS = "other generated code"
PYTHON = "Python"
LIBRARIES = "libraries"

PARTS = (T2, T1, T0, BETWEEN, LAYING, EVENTS, DRAWING, PICTURES, PPU, SOUND, APU, DMA, TIMER, SERIAL, MAPPER, BUS,
         HOOKS, GLUE, OURS, PYTHON, LIBRARIES)  # fmt: skip
"""All parts of the host's time."""

#   how symbols begin; the first that fits counts
SYMBOLS = (
    ("f.translate.layer.", LAYING),
    ("f.translate.waits.waits", LAYING),
    ("f.translate.waits.", EVENTS),
    ("f.machine.gb.waiting.", EVENTS),
    ("wait", EVENTS),
    ("make", LAYING),
    ("f.machine.gb.console.GB.boundary", EVENTS),
    ("f.machine.common.clock.", EVENTS),
    ("boundary", EVENTS),
    ("layer.boundary", EVENTS),
    ("f.machine.gb.ppu.line.", DRAWING),
    ("f.machine.gb.ppu.color.", DRAWING),
    ("f.machine.gb.ppu.pipeline.", DRAWING),
    ("f.machine.gb.ppu.", PPU),
    ("f.machine.gb.apu.listener.", SOUND),
    ("f.machine.gb.apu.average.", SOUND),
    ("f.machine.gb.apu.mixing.", SOUND),
    ("f.machine.gb.apu.ultrasonic.", SOUND),
    ("f.machine.gb.apu.", APU),
    ("f.machine.gb.dma.", DMA),
    ("f.machine.gb.hdma.", DMA),
    ("f.machine.gb.timer.", TIMER),
    ("f.machine.gb.divider.", TIMER),
    ("f.machine.gb.serial.", SERIAL),
    ("f.machine.gb.sgb.", SERIAL),
    ("f.machine.gb.mappers.", MAPPER),
    ("f.machine.gb.hooks.", HOOKS),
    ("f.machine.", BUS),
    ("f.api.", HOOKS),
    ("f.translate.", BETWEEN),
    ("dispatch", BETWEEN),
    ("single", BETWEEN),
    ("redispatch", BETWEEN),
    ("lookup", BETWEEN),
    ("hop", BETWEEN),
    ("near", BETWEEN),
    ("rough", BETWEEN),
    ("straight_end", BETWEEN),
    ("short", BETWEEN),
    ("cold", BETWEEN),
    ("resume", BETWEEN),
    ("quick.", BUS),
    ("slow.", T0),
    ("behind.", T0),
    ("paint", PICTURES),
    ("ask", HOOKS),
    ("tell", HOOKS),
    ("call_python", HOOKS),
)


class Libraries:
    """What files are mapped where in this process. Linux; elsewhere nothing is known."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int, str]] = []
        try:
            with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError:
            return
        for line in lines:
            place, _, _, _, _, *path = line.split(maxsplit=5)
            start, end = (int(part, 16) for part in place.split("-"))
            self._ranges.append((start, end, os.path.basename(path[0]) if path else ""))

    def at(self, address: int) -> str:
        """The name of the file at an address; empty where there is none."""
        return next((name for start, end, name in self._ranges if start <= address < end), "")


class HostShares(NamedTuple):
    """What samples came to. functions: by part and symbol, or library. origins: only those of translated code."""

    total: int
    parts: Counter[str]
    functions: Counter[tuple[str, str]]
    origins: Counter[Origin]


def part_of(origin: Origin, library: str) -> tuple[str, str]:
    """The part that some code belongs to, and its name there."""
    if origin.kind == REGION:
        return T2, f"region {origin.region}"
    if origin.kind == BLOCK:
        return T1, "in RAM" if origin.own else "in ROM"
    if origin.kind == HANDLER:
        return T0, origin.name
    if origin.kind == ENGINE:
        name = origin.name
        return next((part for start, part in SYMBOLS if name.startswith(start)), GLUE), name.removeprefix("f.")
    if library.startswith(("python", "libpython")):
        return PYTHON, library
    if "tracklayer-code" in library:
        return OURS, ""
    return LIBRARIES, library or "unknown"


def shares(samples: Iterable[int], places: Places | None) -> HostShares:
    """Sort addresses by what they belong to. places: of generated code, where there is any."""
    libraries = Libraries()
    total = 0
    parts: Counter[str] = Counter()
    functions: Counter[tuple[str, str]] = Counter()
    origins: Counter[Origin] = Counter()
    for address, count in Counter(samples).items():
        origin = places.at(address) if places else Origin(ELSEWHERE)
        part, name = part_of(origin, libraries.at(address) if origin.kind not in _OURS else "")
        total += count
        parts[part] += count
        functions[part, name] += count
        if origin.kind in (BLOCK, REGION):
            origins[origin] += count
    return HostShares(total, parts, functions, origins)


_OURS = (REGION, BLOCK, HANDLER, ENGINE)


def functions(samples: Iterable[int], places: Places | None, top: int, shown: bool) -> tuple[HostFunction, ...]:
    """The functions with most samples, regions among them. shown: with their instructions."""
    if places is None:
        return ()
    hits = Counter(samples)
    total = sum(hits.values()) or 1
    inside: dict[range, Counter[int]] = {}
    for address, count in hits.items():
        code = places.function_at(address)
        if code is not None:
            inside.setdefault(code, Counter())[address] += count
    found = []
    for code, counts in sorted(inside.items(), key=lambda item: -item[1].total())[:top]:
        part, name = part_of(places.at(code.start), "")
        lines = tuple(
            HostLine(one.address - code.start, one.text, counts[one.address] / total)
            for one in (disassemble(code.start, len(code)) if shown else ())
            if counts[one.address]
        )
        found.append(HostFunction(name, part, counts.total() / total, lines))
    return tuple(found)
