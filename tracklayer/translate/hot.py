"""Hot code: what the samples say, and what becomes of it: regions compiled in another process and swapped in.

For:       `Hot`: one for each cache of a ROM; `tend` is called now and then, between two runs of a console.
Not for:   finding a region (regions.py), or compiling it (region_code.py).
Invariant: a region does what the blocks do that it stands in for, so it does not matter to any console when, or
           whether, it comes. What is known about heat is no guest state.

A process of its own compiles, at the lowest priority: LLVM and the walk take a millisecond or so for each instruction.
It is started when there is something to compile and ends when that is done. Results go to the disk cache, keyed by the
region's code.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from ..compiler import cache
from ..native.image import PlacedImage, place
from ..native.memory import code_memory
from .engine import sources_of
from .guest import Guest
from .regions import Region, find_region, region_key
from .structs import JUMP_BITS, SAMPLES, Translator, jump

if TYPE_CHECKING:
    import subprocess

REGION = "region"
"""The name of a region's handler."""
LONGEST = 1 << 21
"""Instructions between samples at most."""
OFTEN = 64
"""A region that is left for an instruction in so many is worse than the blocks it stands in for."""
SHARE = 16
"""A place with more than this part of all instructions is hot."""
AT_ONCE = 4
"""Regions compiled in one go."""
MOST_REGIONS = 64
"""Regions of a cache."""


class Settings(NamedTuple):
    """When regions are made. warm: instructions of one ROM before anything is hot. step: instructions between samples,
    at least. wait: compile here and now, which is for tests."""

    warm: int = 50_000_000
    step: int = 20_000
    wait: bool = False


OFF = Settings(warm=1 << 62, step=1 << 62)
SOON = Settings(warm=100_000, step=500, wait=True)
NAMES = {OFF: "blocks", SOON: "regions"}
"""What an engine with these settings is called."""


class PlacedRegion(NamedTuple):
    """A region in use. heads, steps: their places in the ROM."""

    heads: tuple[int, ...]
    steps: frozenset[int]
    image: PlacedImage


class Hot:
    """The heat of one ROM, and its regions. Calls come from any thread."""

    def __init__(self, guest: type[Guest], code_cache: Any, settings: Settings) -> None:
        self.guest = guest
        self.sources = sources_of(guest)
        self.cache: Any = weakref.proxy(code_cache)
        self.settings = settings
        self.lock = threading.Lock()
        self.heat: dict[tuple[int, int], int] = {}
        self.total = 0
        self.covered: set[int] = set()
        """Places whose region was made, asked for, or found to be none."""
        self.regions: list[PlacedRegion] = []
        self.waiting: list[tuple[int, int]] = []
        """Heads that have no code yet which a region could stand in for: their places, and the region's address."""
        self.redirected: dict[int, tuple[int, int]] = {}
        """By the place of a head: its block's code, and the word that a jump to the region was put over."""
        self.withdrawn: list[PlacedRegion] = []
        self.work: Compilation | None = None
        self.pause = settings.step * SAMPLES
        """Instructions between samples while nothing is done about what they say."""

    def tend(self, state: Translator) -> None:
        """Take a console's samples in; ask for regions, or swap them in, if it is time."""
        with self.lock:
            instructions = self._take(state)
            if state.colds * OFTEN > instructions:
                self._withdraw(state)
            state.colds = 0
            state.step = self.settings.step
            if self.work:
                self._collect(self.work)
            elif self.total >= self.settings.warm:
                found = self._choose()
                self.pause = self.settings.step * SAMPLES if found else min(2 * self.pause, LONGEST)
                if not self.work:
                    state.step = self.pause
            self._swap_in()

    def _take(self, state: Any) -> int:
        before = self.total
        base, size = self.cache.cache.base, self.cache.cache.size
        for sample in state.samples:
            offset = sample.memory + (sample.pc & 0xFF) - base
            if sample.memory and 0 <= offset < size:
                self.heat[offset, sample.pc] = self.heat.get((offset, sample.pc), 0) + sample.instructions
            self.total += sample.instructions
        return self.total - before

    def _choose(self) -> bool:
        """Ask for regions of what is hot and not covered. Returns: whether there are any."""
        rom = (ctypes.c_uint8 * self.cache.cache.size).from_address(self.cache.cache.base)
        found: list[tuple[int, Region]] = []
        for (offset, pc), instructions in sorted(self.heat.items(), key=lambda item: -item[1]):
            if instructions * SHARE < self.total or len(found) >= AT_ONCE or len(self.regions) >= MOST_REGIONS:
                break
            if offset not in self.covered:
                self.covered.add(offset)
                region = self._region(rom, offset, pc)
                if region:
                    found.append((offset - pc, region))
        self.heat.clear()
        self.total = 0
        wanted = []
        for base, region in found:
            image = cache.find_cached(f"{self.guest.name}-region", self.sources, region_key(region))
            if image is not None:
                self._place(base, region, image)
            else:
                wanted.append((base, region))
        if wanted and self.settings.wait:
            for base, region in wanted:
                self._place(base, region, compile_region(self.guest, region))
        elif wanted:
            with contextlib.suppress(OSError):
                self.work = Compilation(self.guest, wanted)
        return bool(found)

    def _region(self, rom: Any, offset: int, pc: int) -> Region:
        guest = self.guest
        window = guest.window(pc)

        def fetch(address: int) -> bytes:
            at, last = offset + address - pc, address + guest.longest - 1
            if guest.window(address) != window or last > 0xFFFF or guest.window(last) != window:
                return b""
            return bytes(rom[at : at + guest.longest]) if 0 <= at <= len(rom) - guest.longest else b""

        region = find_region(guest, fetch, pc)
        for steps in region.values():
            self.covered.update(offset + step.address - pc for step in steps)
        return region

    def _collect(self, work: Compilation) -> None:
        """Take over what the other process has finished."""
        for base, region, image in work.results():
            cache.keep(f"{self.guest.name}-region", self.sources, image, region_key(region))
            self._place(base, region, image)
        if work.ended:
            self.work = None

    def _place(self, base: int, region: Region, image: bytes) -> None:
        placed = place(image, code_memory())
        heads = tuple(base + head for head in region)
        steps = frozenset(base + step.address for steps in region.values() for step in steps)
        self.regions.append(PlacedRegion(heads, steps, placed))
        self.waiting += [(head, placed[REGION]) for head in heads]

    def _swap_in(self) -> None:
        """Have the blocks of regions' heads jump to the regions, as far as these blocks were laid."""
        kept, later = self.cache.cache, []
        for offset, target in self.waiting:
            code = kept.slots[kept.places[offset]]
            if self.cache.holds(code):
                self.redirected[offset] = (code, redirect(code, target, kept.delta))
            else:
                later.append((offset, target))
        self.waiting = later

    def _withdraw(self, state: Any) -> None:
        """Have the region that is left so often stand in for nothing any more. It stays: somebody may be inside."""
        offset = state.cold_memory + (state.cold_pc & 0xFF) - self.cache.cache.base
        for region in self.regions:
            if offset in region.steps and region not in self.withdrawn:
                self.withdrawn.append(region)
                target = region.image[REGION]
                self.waiting = [entry for entry in self.waiting if entry[1] != target]
                for head in region.heads:
                    code, word = self.redirected.get(head, (0, 0))
                    if code:
                        restore(code, target, word, self.cache.cache.delta)


def redirect(code: int, target: int, delta: int) -> int:
    """Have the code at an address that is a multiple of 16 jump elsewhere. Others may run it meanwhile.

    One store of eight bytes puts a JMP rel32 over the first five and leaves the others: whoever has run the first
    instruction, which has seven, finds the second one whole.

    Returns: the word that was there.
    """
    word = ctypes.c_uint64.from_address((code + delta) & (1 << 64) - 1)
    before = word.value
    word.value = before >> JUMP_BITS << JUMP_BITS | jump(code, target)
    return before


def restore(code: int, target: int, before: int, delta: int) -> None:
    """Undo what `redirect` did, if the code still jumps there."""
    word = ctypes.c_uint64.from_address((code + delta) & (1 << 64) - 1)
    if word.value == before >> JUMP_BITS << JUMP_BITS | jump(code, target):
        word.value = before


def compile_region(guest: type[Guest], region: Region) -> bytes:
    """A region's code, to be placed."""
    from ..compiler.backend import emit
    from ..native.image import make_image
    from .region_code import region_program

    return make_image([emit(region_program(guest, region, REGION), level=3)])


class Compilation:
    """Regions on their way through another process, which lives as long as this."""

    def __init__(self, guest: type[Guest], wanted: list[tuple[int, Region]]) -> None:
        import pickle
        import subprocess

        self.wanted = wanted
        self.owner = os.getpid()
        self.received = b""
        self.ended = False
        start = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from {} import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", start.format(__name__)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.stop = weakref.finalize(self, _stop, self.process, self.owner)
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            pickle.dump(sys.path, self.process.stdin)
            where = (guest.__module__, inspect.getfile(guest), guest.__qualname__)
            pickle.dump((where, [region for _, region in wanted]), self.process.stdin)
            self.process.stdin.close()

    def results(self) -> list[tuple[int, Region, bytes]]:
        """What is finished by now and was not before: each region with the place of address 0, and its code."""
        import select

        found: list[tuple[int, Region, bytes]] = []
        if os.getpid() != self.owner:  # a fork's child must not take its parent's results
            self.ended = True
            return found
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        while not self.ended and select.select([pipe], [], [], 0)[0]:
            more = os.read(pipe, 1 << 20)
            self.received += more
            if not more:
                self.ended = True
                self.stop()
        while len(self.received) >= 8 and len(self.received) - 8 >= int.from_bytes(self.received[:8], "little"):
            end = 8 + int.from_bytes(self.received[:8], "little")
            image, self.received = self.received[8:end], self.received[end:]
            base, region = self.wanted.pop(0)
            if image:
                found.append((base, region, image))
        return found


def _stop(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the process; it has nothing to save. A fork's child leaves it to its parent."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    if os.getpid() == owner:
        process.kill()
        process.wait()


def serve() -> None:
    """The other process: regions in, code out, each with its length before it; empty where it cannot be compiled."""
    import pickle

    with contextlib.suppress(OSError, AttributeError):
        os.nice(19)
    where, regions = pickle.load(sys.stdin.buffer)
    guest = _guest(*where)
    for region in regions:
        try:
            image = compile_region(guest, region)
        except Exception:  # whatever it is, the blocks that are there go on
            image = b""
        sys.stdout.buffer.write(len(image).to_bytes(8, "little") + image)
        sys.stdout.buffer.flush()


def _guest(name: str, file: str, qualified: str) -> Any:
    """A guest by the names of its module and class; where Python would not find that, from where its file lies."""
    import importlib
    from pathlib import Path

    try:
        found: Any = importlib.import_module(name)
    except ImportError:
        path = Path(file)
        sys.path.append(str(path.parents[name.count(".") + (path.stem == "__init__")]))
        found = importlib.import_module(name)
    for part in qualified.split("."):
        found = getattr(found, part)
    return found
