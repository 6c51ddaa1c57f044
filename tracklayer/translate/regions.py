"""Regions: the loops of a guest's code, found from a place where much time is spent.

For:     `find_region`, from bytes of guest code to heads and steps; plain data that can be sent to another process.
Not for: deciding what is hot (hot.py), or compiling (region_code.py).

A head is an address that jumps lead to; its steps are the instructions from there up to the next jump or head. A region
has the heads that lie on cycles: loops, with the routines that these call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from .guest import Guest
from .structs import ABSOLUTE, BRANCHES, BYTE, FALLS, LEAVES, RELATIVE, WORD

MOST_STEPS = 400
"""Instructions in a region."""
MOST_HEADS = 64

Fetch = Callable[[int], bytes]
"""The bytes at an address, as many as the longest instruction has; empty where no region may reach."""


class Step(NamedTuple):
    """An instruction: its handler, what stands behind its opcode (None for nothing), and how it ends."""

    address: int
    handler: int
    operand: int | None
    length: int
    cycles: int
    flow: int
    target: int | None
    calls: bool

    @property
    def behind(self) -> int:
        """The address behind it."""
        return self.address + self.length & 0xFFFF


Region = dict[int, tuple[Step, ...]]
"""The steps of each head, by address. Where the last step falls through, control goes on behind it."""


def find_region(guest: type[Guest], fetch: Fetch, start: int) -> Region:
    """The loops that `start` lies on or leads to; empty where there are none."""
    heads = _explore(guest, fetch, start)
    if start not in {target for steps in heads.values() for target in successors(steps, heads)}:
        del heads[start]  # only the sample's place, somewhere in a loop
    heads = {head: _steps(guest, fetch, head, heads.keys() - {head}) for head in heads}
    heads = {head: steps for head, steps in heads.items() if steps}
    region: Region = {}
    while len(region) != len(heads):
        region = heads
        ways = {head: successors(steps, region) for head, steps in region.items()}
        heads = {head: region[head] for head in sorted(region) if head in _reached(ways, head)}
    while sum(map(len, region.values())) > MOST_STEPS:
        region.popitem()
    return region


def region_key(region: Region) -> str:
    """A digest of all that its code depends on."""
    return hashlib.sha256(repr(sorted(region.items())).encode()).hexdigest()


def _explore(guest: type[Guest], fetch: Fetch, start: int) -> Region:
    """All heads that can be reached from `start` by known jumps, calls, and returns from these."""
    heads: Region = {}
    waiting = [start]
    while waiting and len(heads) < MOST_HEADS:
        head = waiting.pop(0)
        if head not in heads:
            heads[head] = _steps(guest, fetch, head, ())
            if heads[head]:
                last = heads[head][-1]
                waiting += [last.target] if last.target is not None else []
                waiting += [last.behind] if last.flow == BRANCHES or last.calls else []
    return heads


def _steps(guest: type[Guest], fetch: Fetch, head: int, others: object) -> tuple[Step, ...]:
    """The instructions from a head to the next jump, to one of the other heads, or to what a region leaves alone."""
    found: list[Step] = []
    address = head
    while len(found) < MOST_STEPS and address not in others:  # type: ignore[operator]
        step = _decode(guest, fetch, address)
        if step is None:
            break
        found.append(step)
        if step.flow != FALLS:
            break
        address = step.behind
    return tuple(found)


def _decode(guest: type[Guest], fetch: Fetch, address: int) -> Step | None:
    code = fetch(address)
    if not code:
        return None
    index = int(guest.decode(code))
    described = guest.describe(index)
    if described is None or described.ends or guest.is_slow(code):
        return None
    length, operand = described.length, None
    behind = address + length & 0xFFFF
    if described.tail == BYTE:
        operand = code[length - 1]
    elif described.tail in (WORD, ABSOLUTE):
        operand = code[length - 2] | code[length - 1] << 8
    elif described.tail == RELATIVE:
        operand = behind + (code[length - 1] ^ 0x80) - 0x80 & 0xFFFF
    target = operand if described.tail in (RELATIVE, ABSOLUTE) else described.target
    return Step(address, index, operand, length, described.cycles, described.flow, target, described.calls)


def successors(steps: tuple[Step, ...], heads: Region) -> set[int]:
    """The heads that may come next. A computed jump counts as a return from any call."""
    if not steps:
        return set()
    last = steps[-1]
    found = known_ways(steps)
    if last.target is None and last.flow != FALLS:
        found |= return_addresses(heads)
    return found & heads.keys()


def known_ways(steps: tuple[Step, ...]) -> set[int]:
    """Where steps may lead, computed jumps aside."""
    last = steps[-1]
    found = {last.behind} if last.flow != LEAVES else set()
    return found | ({last.target} if last.target is not None else set())


def return_addresses(heads: Region) -> set[int]:
    """Where calls from these heads come back to."""
    return {steps[-1].behind for steps in heads.values() if steps and steps[-1].calls} & heads.keys()


def _reached(ways: dict[int, set[int]], start: int) -> set[int]:
    """What can be reached from `start` by at least one way."""
    reached: set[int] = set()
    waiting = list(ways[start])
    while waiting:
        head = waiting.pop()
        if head not in reached:
            reached.add(head)
            waiting += ways[head]
    return reached
