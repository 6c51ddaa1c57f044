"""Exits of translated code, by reason.

For:     `exits_of`, from counted cells.
Not for: counting them (translate/exits.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tracklayer.translate.counted import Counted
from tracklayer.translate.exits import BARRED, BOUNDARY, INTERPRETED, LOOKUP, MAKE, NEAR, SLOW, WAIT

from ..disassembly import disassemble
from .guest import REASONS
from .guest_time import Names
from .memory import GuestMemory
from .results import Exit, ExitPlace, Exits

TOP = 5
"""Places that are told of for each reason."""

WORDS = {
    SLOW: "an access to more than plain memory: OAM, memory closed by OAM DMA, watched code, some registers",
    BARRED: "code that stays with the interpreter: closed, hooked, or written over again and again",
    NEAR: "an event may be due within the block",
    LOOKUP: "a computed jump, or one to another bank, not found among the last ones",
    MAKE: "a block to be laid",
    WAIT: "the end of a loop that may be waiting, whose passes can be skipped",
}


def exits_of(
    cells: Iterable[Counted], instructions: int, frames: int, names: Names, memory: GuestMemory
) -> Exits:  # fmt: skip
    """All exits that were counted, the most frequent first."""
    interpreted = 0
    by_place: dict[int, Counter[int]] = {kind: Counter() for kind in WORDS}
    boundaries: Counter[int] = Counter()
    for cell in cells:
        if cell.kind == INTERPRETED:
            interpreted += cell.times
        elif cell.kind == BOUNDARY:
            boundaries[cell.place] += cell.times
        elif cell.kind in by_place:
            by_place[cell.kind][cell.place] += cell.times
    found = [
        Exit(f"a boundary: {REASONS[reason]}", count, count / frames) for reason, count in boundaries.items()
    ]  # fmt: skip
    for kind, places in by_place.items():
        count = places.total()
        if count:
            top = tuple(_place(place, times, names, memory) for place, times in places.most_common(TOP))
            found.append(Exit(WORDS[kind], count, count / frames, top))
    found.sort(key=lambda one: -one.count)
    return Exits(instructions, interpreted, tuple(found))


def _place(place: int, count: int, names: Names, memory: GuestMemory) -> ExitPlace:
    lines = disassemble(memory.fetch(place), place & 0xFFFF, 1)
    return ExitPlace(names.place(place), lines[0].text if lines else "", count)
