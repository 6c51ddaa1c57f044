"""What lies at an address of machine code: the way back from the host's code to the guest's.

For:     profiles: `Places(engine, console).at(address)`.
Not for: finding the addresses (native/sampling.py), or putting names to the guest's places (api/).
"""

from __future__ import annotations

import bisect
import ctypes
import itertools
from typing import Any, NamedTuple

import numpy as np

from ..lang import address_of, pointer_at, u8
from .engine import Interpreter
from .layer import chosen, leave_out
from .structs import HEAD, MOST

#   what lies at an address
HANDLER = "handler"
"""The interpreter's code for one instruction; its name is op.N."""
ENGINE = "engine"
"""Any other function of the engine; its name is its symbol, which begins with f. for typed functions."""
BLOCK = "block"
"""A translated block."""
REGION = "region"
"""A region of hot code."""
ELSEWHERE = "elsewhere"


class Origin(NamedTuple):
    """What some machine code was made from. name: its symbol. own: from the console's own memory, not its ROM.

    offset, pc: where the block begins, in that memory and for the guest. region: its index. -1 where that is unknown or
    does not apply.
    """

    kind: str
    name: str = ""
    own: bool = False
    offset: int = -1
    pc: int = -1
    region: int = -1


class BlockCode(NamedTuple):
    """A translated block: what it was made from, and where its code stands."""

    origin: Origin
    last: int
    start: int
    end: int


class Steps(NamedTuple):
    """The instructions of a block: where each one's code begins, its address for the guest; where the last one's
    ends."""

    starts: list[int]
    addresses: list[int]
    end: int


class Places:
    """The machine code that one console has now, which must not run meanwhile."""

    def __init__(self, engine: Interpreter, console: Any) -> None:
        image = engine.code
        self._image = range(image.block.address, image.block.address + image.block.size)
        # Names with a dot in front are constants'; they lie behind the functions.
        named = sorted((at, name) for name, at in image.symbols.items())
        self._starts = [at for at, _ in named]
        self._names = [name for _, name in named]
        self.blocks: list[BlockCode] = []
        """By address."""
        self.regions: tuple[tuple[int, ...], ...] = ()
        """Of each region its heads' places in the ROM."""
        self.in_regions: frozenset[int] = frozenset()
        """The places of all instructions that regions run."""
        self._region_code: list[range] = []
        self._chunks: list[tuple[range, bool]] = []
        translation: Any = getattr(console, "translation", None)
        if translation is not None:
            for cache, own in ((translation[1], False), (translation[2], True)):
                self._chunks += [(range(b.address, b.address + b.size), own) for b in cache.blocks]
                self.blocks += _blocks(cache, own)
            self.blocks.sort(key=lambda block: block.start)
            hot = translation[1].hot
            if hot is not None:
                self.regions = tuple(one.heads for one in hot.regions)
                used = [one.steps for one in hot.regions if one not in hot.withdrawn]
                self.in_regions = frozenset().union(*used)
                images = [one.image.block for one in hot.regions]
                self._region_code = [range(block.address, block.address + block.size) for block in images]
        self._block_starts = [block.start for block in self.blocks]
        self._guest, self._translation = engine.guest, translation
        self.tiers = translation is not None
        """Whether there is translated code at all."""
        self._steps: dict[int, Steps] = {}

    def at(self, address: int) -> Origin:
        """What the code at an executable address was made from."""
        if address in self._image:
            name = self._names[bisect.bisect_right(self._starts, address - self._image.start) - 1]
            return Origin(HANDLER if name.startswith("op.") else ENGINE, name)
        for code, own in self._chunks:
            if address in code:
                index = bisect.bisect_right(self._block_starts, address) - 1
                if index >= 0 and self._block_starts[index] in code and address < self.blocks[index].end:
                    return self.blocks[index].origin
                return Origin(BLOCK, own=own)
        for number, code in enumerate(self._region_code):
            if address in code:
                return Origin(REGION, region=number)
        return Origin(ELSEWHERE)

    def function_at(self, address: int) -> range | None:
        """Where the engine's function or the region lies that has an address; None where it is in neither."""
        if address in self._image:
            base = self._image.start
            index = bisect.bisect_right(self._starts, address - base)
            end = self._starts[index] if index < len(self._starts) else len(self._image)
            return range(base + self._starts[index - 1], base + end)
        return next((code for code in self._region_code if address in code), None)

    def instruction_at(self, address: int) -> tuple[Origin, int] | None:
        """The block that some code is of, and the guest's address of its instruction; None where it is in no block."""
        index = bisect.bisect_right(self._block_starts, address) - 1
        if index < 0 or address >= self.blocks[index].end:
            return None
        block = self.blocks[index]
        steps = self.steps(block)
        return block.origin, steps.addresses[max(0, bisect.bisect_right(steps.starts, address) - 1)]

    def steps(self, block: BlockCode) -> Steps:
        """The instructions of a block. The layer keeps no such list: it is found as the layer found the block's size.

        What lies behind the last one (the way out, and stubs) is nobody's.
        """
        if block.start not in self._steps:
            guest, (state, shared, own) = self._guest, self._translation
            memory = (own if block.origin.own else shared).cache.base + block.origin.offset - block.origin.pc
            stencils = state.table[0].stencils
            addresses: list[int] = []
            at = block.origin.pc
            while at <= block.last and len(addresses) < MOST:
                index = guest.decode((ctypes.c_uint8 * guest.longest).from_address(memory + at))
                code = pointer_at(memory + at, u8)
                state.opcodes[len(addresses)] = chosen(guest, stencils[index], index, code)
                addresses.append(at)
                at += stencils[index].length
            leave_out(None, guest, state, len(addresses))
            start = block.start + stencils[guest.handlers + HEAD].size
            starts = []
            for number in range(len(addresses)):
                starts.append(start)
                start += stencils[state.opcodes[number]].size
            self._steps[block.start] = Steps(starts, addresses, start)
        return self._steps[block.start]


def _blocks(cache: Any, own: bool) -> list[BlockCode]:
    """The blocks of a cache that control can reach, by the address of their code."""
    state = cache.cache
    numbers = np.frombuffer(cache.tables.buffer, np.uint32, state.size, address_of(state.places) - cache.tables.address)
    starts: dict[int, int] = {}
    for offset in numbers.nonzero()[0].tolist():
        number = int(numbers[offset])
        if cache.holds(state.slots[number]):
            starts[state.slots[number]] = offset
    found: list[BlockCode] = []
    for chunk in cache.blocks:
        limit = chunk.address + chunk.size
        here = sorted(start for start in starts if chunk.address <= start < limit)
        for start, end in itertools.pairwise([*here, limit]):
            offset = starts[start]
            number = int(numbers[offset])
            origin = Origin(BLOCK, own=own, offset=offset, pc=state.first[number])
            found.append(BlockCode(origin, state.last[number], start, end))
    return found
