"""Guest time: from counted cells to functions, blocks and call stacks.

For:     `GuestTime`, all that a tally says, with names.
Not for: counting (translate/tally.py); the host's time (host.py).

A function is what was called; where there are symbols it is what the symbol before an instruction names, whoever called
it, so that code reached by a jump has its own name too. A symbol with a dot in it is a local label: what stands before
the dot counts.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import Line
from tracklayer.translate.counted import Counted
from tracklayer.translate.tally import CALL, CODE, DISPATCH, INTERRUPT, SITE, STALL, WAITING

from ..disassembly import ENTRY
from ..symbols import Symbols
from .results import Function, Place, Stack

START = "(start)"
ROOT = START, ENTRY
"""Whatever runs without having been called, where no symbol names it."""
PSEUDO = {WAITING: "(waiting)", STALL: "(stalled)", DISPATCH: "(interrupt)"}
"""What time that is no instruction's stands under."""

Fetch = Callable[[int], bytes]
"""The bytes at a place, as many as the longest instruction has, as far as they are known."""


class Executed(NamedTuple):
    """An instruction that was executed, at a place (bank << 16 | address)."""

    place: int
    opcode: int
    times: int
    cycles: int
    arrived: bool


class Names:
    """Names of places. Local labels are left out of functions' names."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols
        self._functions: dict[int, tuple[str, int]] = {}

    def place(self, place: int) -> Place:
        """A place with its symbol."""
        bank, address = place >> 16, place & 0xFFFF
        near = self._near(place)
        if near is None:
            return Place(bank, address)
        return Place(bank, address, near[0] + (f"+{near[1]:x}" if near[1] else ""))

    def _near(self, place: int) -> tuple[str, int] | None:
        """The last symbol at or before a place in its memory, and how far behind it the place is."""
        near = self.symbols.near(place >> 16, place & 0xFFFF)
        if near is None or _memory(place & 0xFFFF) != _memory((place & 0xFFFF) - near[1]):
            return None
        return near

    def function(self, place: int) -> tuple[str, int] | None:
        """The function that a place belongs to by its symbols, and where that begins; None: there is no symbol."""
        if place not in self._functions:
            near = self._near(place)
            if near is None:
                return None
            name = near[0].partition(".")[0]
            begin = self.symbols[name].address if name in self.symbols else (place & 0xFFFF) - near[1]
            self._functions[place] = name, place & 0xFFFF0000 | begin
        return self._functions[place]

    def called(self, place: int) -> tuple[str, int]:
        """The name of what was called at a place, and where it begins."""
        return self.function(place) or (str(Place(place >> 16, place & 0xFFFF)), place)


def _memory(address: int) -> int:
    """A number for the memory that stands at an address: a symbol names only what follows in the same one."""
    return bisect.bisect_right((0x4000, 0x8000, 0xA000, 0xC000, 0xD000, 0xE000, 0xFE00, 0xFF00, 0xFF80), address)


class GuestTime:
    """All that was counted, with names."""

    def __init__(self, cells: Iterable[Counted], symbols: Symbols) -> None:
        self.names = Names(symbols)
        self.kinds: Counter[int] = Counter()
        self._times: Counter[tuple[int, int, int]] = Counter()
        self._counts: Counter[int] = Counter()
        self._opcodes: dict[int, int] = {}
        self._arrived: set[int] = set()
        self._calls: Counter[int] = Counter()
        self._nodes: dict[int, Counted] = {}
        for cell in cells:
            if cell.kind in (SITE, CALL, INTERRUPT):
                self._nodes[cell.child] = cell
                if cell.kind != SITE:
                    self._calls[cell.place] += cell.times
                continue
            self.kinds[cell.kind] += cell.time
            self._times[cell.node, cell.kind, cell.place] += cell.time
            if cell.kind == CODE:
                self._counts[cell.place] += cell.times
                self._opcodes[cell.place] = cell.opcode
                if cell.arrived:
                    self._arrived.add(cell.place)

    def _chain(self, node: int) -> tuple[tuple[str, int], ...]:
        """The functions from the outermost to a node of the tree of calls; none for the root.

        A function that was not called itself, but jumped to, stands between its caller and what it calls.
        """
        found: list[tuple[str, int]] = []
        while node in self._nodes:
            cell = self._nodes[node]
            if cell.kind == SITE:
                here = self.names.function(cell.place)
                parent = self._nodes.get(cell.node)
                if here is not None and (parent is None or self.names.called(parent.place) != here):
                    found.append(here)
                elif parent is None:
                    found.append(ROOT)
            else:
                found.append(self.names.called(cell.place))
            node = cell.node if cell.kind != INTERRUPT else 0
        return tuple(reversed(found))

    def stacks(self) -> tuple[tuple[Stack, ...], tuple[Function, ...]]:
        """Call stacks and functions, those with most cycles first."""
        total = sum(self.kinds.values()) or 1
        chains: dict[int, tuple[tuple[str, int], ...]] = {}
        stacks: Counter[tuple[str, ...]] = Counter()
        own: Counter[tuple[str, int]] = Counter()
        with_callees: Counter[tuple[str, int]] = Counter()
        for (node, kind, place), time in self._times.items():
            if node not in chains:
                chains[node] = self._chain(node)
            chain = chains[node]
            here = self.names.function(place) if kind != DISPATCH else None
            if here is not None and (not chain or chain[-1][0] != here[0]):
                chain = (*chain, here)
            elif not chain:
                chain = (ROOT,)
            if kind == CODE:
                own[chain[-1]] += time
            for function in set(chain):
                with_callees[function] += time
            frames = tuple(name for name, _ in chain)
            stacks[(*frames, PSEUDO[kind]) if kind in PSEUDO else frames] += time
        calls: Counter[tuple[str, int]] = Counter()
        for place, count in self._calls.items():
            calls[self.names.called(place)] += count
        functions = [
            Function(
                name, self.names.place(place), calls[name, place], own[name, place] / total, time / total,
                own[name, place], time,
            )
            for (name, place), time in with_callees.items()
        ]  # fmt: skip
        functions.sort(key=lambda one: (-one.own_cycles, -one.total_cycles, one.name))
        ordered = sorted(stacks.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Stack(frames, time) for frames, time in ordered if time), tuple(functions)

    def executed(self) -> list[Executed]:
        """All instructions that ran, by place."""
        cycles: Counter[int] = Counter()
        for (_, kind, place), time in self._times.items():
            if kind == CODE:
                cycles[place] += time
        return [
            Executed(place, self._opcodes[place], times, cycles[place], place in self._arrived)
            for place, times in sorted(self._counts.items())
        ]

    def blocks(self, fetch: Fetch) -> list[tuple[Executed, ...]]:
        """Basic blocks: what runs one behind the other, from where control arrives to a jump or the next such place.

        Those with most cycles first.
        """
        found: list[list[Executed]] = []
        following = -1
        for one in self.executed():
            if one.place != following or one.arrived or not found:
                found.append([])
            found[-1].append(one)
            row = instruction(one, fetch).row
            following = -1 if row is None or row.jump or row.ends_block else one.place + row.length
        found.sort(key=lambda block: (-sum(one.cycles for one in block), block[0].place))
        return [tuple(block) for block in found]


def instruction(one: Executed, fetch: Fetch) -> Line:
    """An executed instruction as text. Where other bytes stand there by now, only its opcode is known."""
    address = one.place & 0xFFFF
    data = fetch(one.place)
    if data[:1] == bytes([one.opcode]):
        return next(SM83.disassemble(data, address))
    row = SM83.decode(one.opcode).row
    return Line(address, bytes([one.opcode]), f"{row.mnemonic} ... (rewritten since)", row)
