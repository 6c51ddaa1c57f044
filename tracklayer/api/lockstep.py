"""Two engines side by side on the same program, up to the first difference.

For:       finding where an engine goes wrong: slices of varied length, whole states compared after each; at a
           difference, the shortest slice that shows it, the fields that differ, and the instructions that led there.
Not for:   deciding which of the two is right.
Invariant: everything is repeatable: slices and button presses come from a seed alone.

An engine that translates runs the last cycles of a slice on its interpreter, so a slice that ends too near to wrong
code does not run it at all. Therefore the search for the place never moves its start: it shortens the slice from the
last state that both agreed on, until one step less shows nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from .gameboy import BUTTONS, CYCLES_PER_FRAME, GameBoy
from .state import Difference

LENGTHS = (40, 400, 4_000, 40_000, 4 * CYCLES_PER_FRAME)
"""Slices are up to one of these long, in T-cycles."""
GIVE_UP_CYCLES = 120 * CYCLES_PER_FRAME
"""A guest that executed nothing for so long will not execute anything any more."""
TRACE_LENGTH = 32
PICTURES_DIFFER = "(the guests' states are equal; the pictures are not)"


class Divergence(NamedTuple):
    """The first difference between two engines."""

    agreed: int
    """T-cycles up to the last state that was compared and equal."""
    shown: int
    """T-cycles at which the shortest slice that shows the difference ends."""
    fields: list[Difference]
    """What differs there. Empty if it does not show again from the state that both agreed on."""
    trace: list[str]
    """The last instructions up to there, as the left engine executes them one at a time."""


class Report(NamedTuple):
    """What a comparison came to."""

    instructions: int
    cycles: int
    slices: int
    stuck: bool
    """The guest stopped executing for good before the wanted number of instructions."""
    divergence: Divergence | None


def lockstep(
    left: GameBoy,
    right: GameBoy,
    instructions: int,
    *,
    seed: int = 1,
    buttons: bool = False,
    lengths: tuple[int, ...] = LENGTHS,
    give_up: int = GIVE_UP_CYCLES,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Run two consoles with the same cartridge side by side for so many instructions, or to their first difference.

    `buttons` presses and lets go of buttons at random between slices. A slice is up to one of `lengths` long, in
    T-cycles; a guest that executed nothing for `give_up` of them is stuck. `progress` is told the instructions so far.
    """
    random = Random(seed)
    goal = left.instructions + instructions
    slices = 0
    moved_at, count = left.cycles, left.instructions
    while left.instructions < goal and left.cycles - moved_at < give_up:
        if buttons and random.random() < 0.05:
            button, down = random.choice(tuple(BUTTONS)), random.random() < 0.5
            left.button(button, down)
            right.button(button, down)
        agreed, before = left.cycles, left.state_bytes()
        length = random.randrange(4, random.choice(lengths))
        left.run(cycles=length)
        right.run(cycles=length)
        slices += 1
        if left.state_bytes() != right.state_bytes():
            divergence = _locate(left, right, before, agreed, length)
            return Report(left.instructions, left.cycles, slices, False, divergence)
        pixels = _pixels(left, right)
        if pixels:
            divergence = Divergence(agreed, left.cycles, pixels, [PICTURES_DIFFER])
            return Report(left.instructions, left.cycles, slices, False, divergence)
        if left.instructions != count:
            moved_at, count = left.cycles, left.instructions
        if progress is not None:
            progress(left.instructions)
    return Report(left.instructions, left.cycles, slices, left.instructions < goal, None)


def _pixels(left: GameBoy, right: GameBoy) -> list[Difference]:
    """The pixels in which the last whole pictures differ. A picture is no part of a state: it is made from it."""
    if left.picture_bytes() == right.picture_bytes():
        return []
    pairs = enumerate(zip(left.picture_bytes(), right.picture_bytes(), strict=True))
    return [Difference(f"picture[{at // 160}][{at % 160}]", at, one, two) for at, (one, two) in pairs if one != two]


def _locate(left: GameBoy, right: GameBoy, before: bytes, agreed: int, length: int) -> Divergence:
    """The shortest slice from the state `before` that shows a difference, by bisection."""

    def found(cycles: int) -> list[Difference]:
        for console in (left, right):
            console.load_state_bytes(before)
            console.run(cycles=cycles)
        return left.differences(right)

    at_once = left.differences(right)
    shortest, longest = 0, length
    if not found(length):
        return Divergence(agreed, left.cycles, at_once, ["(from the state both agreed on, it does not show again)"])
    while longest - shortest > 1:
        middle = (shortest + longest) // 2
        if found(middle):
            longest = middle
        else:
            shortest = middle
    differing = found(longest) or at_once
    shown = max(left.cycles, right.cycles)
    return Divergence(agreed, shown, differing, _trace(left, before, agreed + longest))


def _trace(console: GameBoy, before: bytes, end: int) -> list[str]:
    """The last instructions before a time, executed one at a time from a state."""
    console.load_state_bytes(before)
    lines: deque[str] = deque(maxlen=TRACE_LENGTH)
    while console.cycles < end:
        lines.append(console.describe())
        console.run(cycles=1)
    lines.append(console.describe())
    return list(lines)
