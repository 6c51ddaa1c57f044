"""Engines that count: the interpreter with each instruction's time, and the translator with its exits.

For:     `CountingInterpreter`, `CountingTranslator`; `Counts`, what either has counted for one console.
Not for: the counting itself (tally.py, exits.py).

Their code is one more image beside the engine's, compiled when somebody counts for the first time and kept on disk: no
other engine is a byte larger or slower for it.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..compiler import cache
from ..lang import ZeroedMemory, pointer_at, storage, u8
from ..native.image import PlacedImage, make_image, place
from ..native.memory import code_memory
from .engine import Interpreter, Progress, address, code_pointer, sources_of
from .exits import EXITS, add_exits
from .guest import Guest
from .interpreter import convention_of
from .tally import (
    BETWEEN,
    CALL,
    CODE,
    INTERRUPT,
    PROBES,
    SITE,
    STALL,
    WAITING,
    Cell,
    CountedTranslator,
    Tally,
    add,
    add_tally,
    cell_for,
)  # fmt: skip
from .translator import TranslatedEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = 1 << 19
"""Cells of a tally. What they hold is put aside between two runs where more than a quarter is taken."""


class CountedGuest(Guest):
    """What a guest must say besides, to be counted: some tables, and typed functions."""

    prefixes: tuple[int, ...]
    """Opcodes that go on to the handler of a longer opcode."""
    further: tuple[int, ...]
    """Of the longer opcodes' handlers those that touch memory, which translated code may leave to."""
    stack_kinds: bytes
    """For each opcode NOTHING, CALLS, RETURNS or JUMPS (tally.py)."""
    lengths: bytes
    """For each opcode the bytes of its instruction."""

    @staticmethod
    def moment(context: Any) -> Any:
        """The time now."""
        raise NotImplementedError

    @staticmethod
    def before_fetch(context: Any) -> Any:
        """The time before the opcode was fetched that was fetched last."""
        raise NotImplementedError

    @staticmethod
    def dispatch_time(context: Any) -> Any:
        """What an interrupt's dispatch takes."""
        raise NotImplementedError

    @staticmethod
    def sp_of(context: Any) -> Any:
        """The stack pointer."""
        raise NotImplementedError

    @staticmethod
    def place(context: Any, address: Any) -> Any:
        """A number below 2**32 - 1 for what stands at an address now: its bank << 16 | the address."""
        raise NotImplementedError

    @staticmethod
    def idle(context: Any) -> Any:
        """Whether the processor waits."""
        raise NotImplementedError

    @staticmethod
    def reason(context: Any) -> Any:
        """Why there is a boundary: a number below 256."""
        raise NotImplementedError


class Counted(NamedTuple):
    """One cell, as tally.py describes them."""

    node: int
    kind: int
    place: int
    time: int
    times: int
    child: int
    opcode: int
    arrived: bool


class Counts:
    """What is counted for one console, which must not run while this is read."""

    def __init__(self, guest: type[CountedGuest]) -> None:
        self.translator = CountedTranslator()
        self.tally = Tally()
        self.translator.tally = pointer_at(address(self.tally), Tally)
        for opcode in range(256):
            self.tally.kinds[opcode] = guest.stack_kinds[opcode]
            self.tally.lengths[opcode] = guest.lengths[opcode]
        self.tally.capacity = CELLS
        self._kind = np.dtype(storage(Cell))
        self._memory = ZeroedMemory(self._kind.itemsize * (CELLS + PROBES + 1))
        self.tally.cells = pointer_at(self._memory.address, Cell)
        self._drained: list[NDArray[Any]] = []

    def make_room(self) -> None:
        """Between two runs: put what was counted aside where the table fills."""
        if self.tally.used * 4 >= self.tally.capacity:
            cells = self._taken()
            self._drained.append(cells[~_of_tree(cells)])
            self._begin_anew(True)

    def forget(self) -> None:
        """Between two runs: nothing was counted yet, but where in the tree of calls the guest is."""
        self._drained.clear()
        self._begin_anew(False)

    def _begin_anew(self, counted: bool) -> None:
        """Empty the table, but for the tree of calls, whose nodes are in use. counted: whether its counts stay."""
        tally, cells = self.tally, self._taken()
        tree = self._unpacked(cells[_of_tree(cells)])
        self._memory.clear()
        tally.used = 0
        for one in tree:
            cell = tally.cells[cell_for(tally, one.node, one.kind, one.place)]
            cell.count, cell.node = one.times if counted else 0, one.child

    def close(self, now: int) -> None:
        """The run is over at this time: what has passed since the last boundary was waiting, or a stall."""
        tally = self.tally
        if tally.state == BETWEEN and now > tally.since:
            here = (one.place for one in self.cells() if one.kind == CODE and one.place & 0xFFFF == tally.running)
            place = next(here, tally.running)
            add(tally, tally.node, WAITING if tally.idle else STALL, place, now - tally.since)
            tally.since = now

    def cells(self) -> list[Counted]:
        """All that was counted. The same key may come more than once: the sums count."""
        return [one for cells in (*self._drained, self._taken()) for one in self._unpacked(cells)]

    @property
    def lost(self) -> int:
        """What found no room."""
        return int(self.tally.lost)

    def _taken(self) -> NDArray[Any]:
        cells = np.frombuffer(self._memory.buffer, self._kind, CELLS + PROBES)
        taken: NDArray[Any] = cells[cells["key"] != 0]
        return taken

    def _unpacked(self, cells: NDArray[Any]) -> list[Counted]:
        keys = cells["key"] - np.uint64(1)
        columns = (
            keys >> np.uint64(40), keys >> np.uint64(32) & np.uint64(0xFF), keys & np.uint64(0xFFFFFFFF),
            cells["time"], cells["count"], cells["node"], cells["opcode"], cells["arrived"] != 0,
        )  # fmt: skip
        return list(map(Counted, *(column.tolist() for column in columns)))


def _of_tree(cells: NDArray[Any]) -> NDArray[Any]:
    """Which cells are of the tree of calls."""
    kinds = cells["key"] - np.uint64(1) >> np.uint64(32) & np.uint64(0xFF)
    return np.isin(kinds, (SITE, CALL, INTERRUPT))


def tally_image(guest: type[CountedGuest], progress: Progress | None) -> PlacedImage:
    """The handlers that count, in code memory: from the disk cache, or compiled."""
    name, sources = f"{guest.name}-tally", sources_of(guest)
    image = cache.find_cached(name, sources)
    if image is None:
        if progress:
            progress(MESSAGE, 0, 1)
        from ..compiler import backend
        from ..compiler.intrinsics import CONTROL
        from ..compiler.program import Program

        program = Program(convention_of(guest), CONTROL)
        add_tally(program, guest)
        add_exits(program, guest)
        image = make_image([backend.emit(program.render(), 1, 1)])
        cache.keep(name, sources, image)
        if progress:
            progress(MESSAGE, 1, 1)
    return place(image, code_memory())


MESSAGE = "compiling what counts (once; kept on disk)"


class CountingInterpreter(Interpreter):
    """T0, with the time of each instruction that its consoles run. Their counts are `console.counts`.

    base: an engine of the guest, whose code this one uses. tally: the handlers that count.
    """

    def __init__(self, base: Interpreter, guest: type[CountedGuest], tally: PlacedImage) -> None:
        vars(self).update(vars(base))
        self.guest = self.counted = guest
        self.tally = tally
        handlers = [tally[f"count.{opcode}"] for opcode in range(guest.opcodes)]
        handlers += [self.code[f"op.{index}"] for index in range(guest.opcodes, guest.handlers)]
        self.entries = (ctypes.c_uint64 * len(handlers))(*handlers)

    def attach(self, console: Any, on_hook: Any = None) -> None:
        super().attach(console, on_hook)
        counts = console.counts = Counts(self.counted)
        table: Any = counts.tally.handlers
        counts.tally.handlers = ctypes.cast(self.table, type(table))
        counts.tally.boundary = code_pointer(self.code["boundary"])
        engine = self.guest.engine(console)
        engine.interpret = engine.dispatch = ctypes.cast(self.entries, type(engine.interpret))
        engine.boundary = code_pointer(self.tally["count.boundary"])
        engine.translator = pointer_at(address(counts.translator), u8)


class CountingTranslator(TranslatedEngine):
    """T0 to T2, with the exits of translated code. Its consoles share code with those of no other engine.

    base: the engine whose code and settings this one uses. tally: the handlers that count.
    """

    def __init__(self, base: TranslatedEngine, guest: type[CountedGuest], tally: PlacedImage) -> None:
        vars(self).update(vars(base))
        self.guest = self.counted = guest
        self.tally = tally
        self.real = base.code
        before = {name: tally[f"exit.{name}"] for name in EXITS}
        symbols = {name: at - self.real.block.address for name, at in before.items()}
        self.code = PlacedImage(self.real.block, {**self.real.symbols, **symbols})
        counting = {index: tally[f"exit.op.{index}"] for index in (*range(guest.opcodes), *guest.further)}
        handlers = [counting.get(index, code) for index, code in enumerate(self.table)]
        self.entries = (ctypes.c_uint64 * guest.handlers)(*handlers)
        end = self.real["straight_end"]
        straight = [
            before["straight_end"] if code == end else counting[index] for index, code in enumerate(base.straight)
        ]
        self.straight = (ctypes.c_uint64 * guest.opcodes)(*straight)
        self._shared = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def attach(self, console: Any, on_hook: Any = None) -> None:
        super().attach(console, on_hook)
        engine = self.guest.engine(console)
        engine.interpret = ctypes.cast(self.entries, type(engine.interpret))

    def _wire(self, console: Any) -> None:
        super()._wire(console)
        counts = console.counts = Counts(self.counted)
        state, shared, own = console.translation
        ctypes.memmove(address(counts.translator), address(state), ctypes.sizeof(state))
        console.translation = (counts.translator.translator, shared, own)
        table: Any = counts.tally.handlers
        counts.tally.handlers = ctypes.cast(self.table, type(table))
        for name in EXITS:
            setattr(counts.tally, name.rpartition(".")[2], code_pointer(self.real[name]))
        self.guest.engine(console).translator = pointer_at(address(counts.translator), u8)
