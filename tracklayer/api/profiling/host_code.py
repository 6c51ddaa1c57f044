"""The machine code of guest instructions: its share of the host's time, and how it looks.

For:     `HostCode`: by the guest's place, what runs it.
Not for: the parts of the host's time (host.py).
"""

from __future__ import annotations

import bisect
from collections import Counter

from tracklayer.native.disassembly import disassemble
from tracklayer.translate.places import BlockCode, Origin, Places

from .memory import rom_place

Key = tuple[bool, int]
"""Whether the code lies in the console's own memory; its address there, or its place in the ROM."""


def _key(origin: Origin, address: int) -> Key:
    return (True, address) if origin.own else (False, rom_place(origin.offset + address - origin.pc))


def _key_of(place: int) -> Key:
    address = place & 0xFFFF
    return (False, place) if address < 0x8000 else (True, address)


class HostCode:
    """What the samples say of translated blocks. shown: whether machine code is wanted as text."""

    def __init__(self, places: Places | None, samples: list[int], shown: bool) -> None:
        self._places = places
        self._shown = shown
        self._total = len(samples)
        self._samples: Counter[Key] = Counter()
        self._covered: dict[Key, BlockCode] = {}
        self._in_regions: set[Key] = set()
        if places is None:
            return
        for address, count in Counter(samples).items():
            found = places.instruction_at(address)
            if found is not None:
                self._samples[_key(*found)] += count
        for block in places.blocks:
            for address in range(block.origin.pc, block.last + 1):
                self._covered.setdefault(_key(block.origin, address), block)
        self._in_regions = {(False, rom_place(step)) for step in places.in_regions}

    def share(self, place: int) -> float | None:
        """The share that an instruction's code in blocks has of the host's time; None where it was not sampled."""
        if not self._total or self._places is None or _key_of(place) not in self._covered:
            return None
        return self._samples[_key_of(place)] / self._total

    def tier(self, place: int) -> str:
        """What runs the code that begins at a place."""
        if self._places is None or not self._places.tiers:
            return ""
        key = _key_of(place)
        return "T2" if key in self._in_regions else "T1" if key in self._covered else "T0"

    def text(self, place: int) -> tuple[str, ...]:
        """The machine code of the instruction at a place, in the first block that has it."""
        block = self._covered.get(_key_of(place))
        if not self._shown or self._places is None or block is None:
            return ()
        steps = self._places.steps(block)
        index = bisect.bisect_left(steps.addresses, place & 0xFFFF)
        if index == len(steps.addresses) or steps.addresses[index] != place & 0xFFFF:
            return ()
        start, end = steps.starts[index], [*steps.starts[1:], steps.end][index]
        return tuple(f"{one.address:x}  {one.text}" for one in disassemble(start, end - start))
