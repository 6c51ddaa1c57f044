"""Loops of a region: the innermost ones, with the routines that they call.

For:       `find_loops`.
Not for:   what one pass through a loop does (body.py), writing it (fast_loops.py).
"""

from __future__ import annotations

from typing import NamedTuple

from .regions import Region, successors
from .structs import BRANCHES, FALLS

DEEPEST = 3
"""Routines within routines that are followed."""
MOST_IN_LOOP = 96
"""Instructions in a loop that is treated as one."""


Node = tuple[int, tuple[int, ...]]
"""A head, and where the routines that it is in return to: code that is called from two places is there twice."""


class Loop(NamedTuple):
    """A head, and all that lies on a way from it back to it; no way among these passes by it."""

    header: int
    body: tuple[Node, ...]
    """In an order in which each comes behind all that lead to it; the header first."""
    ways: dict[Node, list[Node]]
    """Where each leads within the loop."""

    @property
    def own(self) -> set[int]:
        """The heads outside routines."""
        return {head for head, callers in self.body if not callers}


def find_loops(region: Region) -> list[Loop]:
    """The innermost loops: a jump back makes a loop of what lies between its target and itself, with the routines that
    are called there."""
    found: list[Loop] = []
    for header in region:
        last = max((head for head in region if (header, ()) in _ways(region, (head, ()))), default=-1)
        ways = _cycle(region, header, last)
        order = _order(ways, (header, ()))
        taken = any(other.own & {head for head, callers in order if not callers} for other in found)
        size = sum(len(region[head]) for head, _ in order)
        if order and not taken and not _recursive(order) and size <= MOST_IN_LOOP:
            found.append(Loop(header, tuple(order), ways))
    return found


def _recursive(order: list[Node]) -> bool:
    """Whether a routine calls itself, directly or not: such a one goes deeper than is followed."""
    within: dict[int, list[tuple[int, ...]]] = {}
    for head, callers in order:
        within.setdefault(head, []).append(callers)
    return any(
        len(one) < len(other) and other[: len(one)] == one
        for callers in within.values() for one in callers for other in callers
    )  # fmt: skip


def _ways(region: Region, node: Node) -> list[Node]:
    """What may come next. A computed jump counts as a return to where the routine was called."""
    head, callers = node
    last = region[head][-1]
    if last.calls and last.target is not None:
        found = [(last.target, (*callers, last.behind))] if len(callers) < DEEPEST else []
    elif last.flow != FALLS and last.target is None:
        found = [(last.behind, callers)] if last.flow == BRANCHES else []
        found += [(callers[-1], callers[:-1])] if callers else []
    else:
        found = [(other, callers) for other in sorted(successors(region[head], region))]
    return [other for other in found if other[0] in region]


def _cycle(region: Region, header: int, last: int) -> dict[Node, list[Node]]:
    """All that lies on a way from the header to itself, up to the head `last`, and where it leads."""
    begin: Node = (header, ())
    ways: dict[Node, list[Node]] = {}
    waiting = [begin] if header <= last else []
    while waiting and len(ways) <= MOST_IN_LOOP:
        node = waiting.pop()
        if node not in ways:
            ways[node] = [other for other in _ways(region, node) if other[1] or header <= other[0] <= last]
            waiting += ways[node]
    back = {begin}
    grown = True
    while grown:
        more = {node for node, others in ways.items() if node not in back and back & set(others)}
        back |= more
        grown = bool(more)
    return {node: [other for other in others if other in back] for node, others in ways.items() if node in back}


def _order(ways: dict[Node, list[Node]], begin: Node) -> list[Node]:
    """All of it, each behind all that lead to it; empty where a cycle passes by the header, or there is none."""
    order = [begin]
    rest = set(ways) - {begin}
    if not any(begin in others for others in ways.values()):
        return []
    while rest:
        ready = [node for node in sorted(rest) if all(node not in ways[other] for other in rest)]
        if not ready:
            return []
        order += ready
        rest -= set(ready)
    return order
