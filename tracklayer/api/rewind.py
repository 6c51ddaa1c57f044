"""Snapshots in memory, and going back in time with them.

For:       `Snapshot`, what `GameBoy.snapshot()` gives; `Rewind`, many of them in little room.
Not for:   states that outlive the process (container.py).
Invariant: a rewind's newest snapshot is whole; each older one is kept as the blocks in which it differs from the next.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from .errors import StateError

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from tracklayer.machine.gb.cartridge import Cartridge

    from .gameboy import GameBoy

BLOCK = 64
"""Bytes that are kept or left out together."""


class Snapshot(NamedTuple):
    """Everything of a console at a moment. It fits consoles with the same cartridge and model, in this process."""

    state: bytes
    pictures: bytes
    cartridge: Cartridge
    model: str
    cycles: int
    """The console's time."""

    def __repr__(self) -> str:
        return f"<Snapshot at cycle {self.cycles:,}, {len(self.state) + len(self.pictures):,} bytes>"


class _Step(NamedTuple):
    """What leads from a snapshot to the one before it."""

    blocks: NDArray[numpy.uint32]
    old: NDArray[numpy.uint8]
    rest: Snapshot
    """The one before, without its bytes."""
    size: int


class Rewind:
    """A console's past: `push()` now and then while it runs, `back()` to go to where it was.

    limit:   how many snapshots are kept; the oldest make room.
    memory:  how many bytes they may take.

        rewind = Rewind(gb, limit=600)
        while playing:
            gb.tick()
            rewind.push()
        rewind.back(60)      # a second ago
    """

    def __init__(self, gb: GameBoy, limit: int = 3600, memory: int = 1 << 28) -> None:
        if limit < 1:
            raise ValueError(f"a rewind keeps at least one snapshot, not {limit}")
        self.gb = gb
        self.limit = limit
        self.memory = memory
        self._newest: Snapshot | None = None
        self._past: deque[_Step] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """How many snapshots there are."""
        return len(self._past) + (self._newest is not None)

    @property
    def size(self) -> int:
        """Bytes that the snapshots take."""
        newest = 0 if self._newest is None else len(self._newest.state) + len(self._newest.pictures)
        return self._bytes + newest

    def push(self) -> None:
        """Remember the console as it is now."""
        snapshot = self.gb.snapshot()
        if self._newest is not None:
            step = _difference(self._newest, snapshot)
            self._past.append(step)
            self._bytes += step.size
        self._newest = snapshot
        while self._past and (len(self) > self.limit or self.size > self.memory):
            self._bytes -= self._past.popleft().size

    def back(self, steps: int = 1) -> int:
        """Bring the console to where it was at the last push but `steps`; the later ones are forgotten.

        `back(0)` goes to the last push itself. Returns: how many steps it went: fewer if there are no more.
        Errors: StateError where nothing was pushed.
        """
        if steps < 0:
            raise ValueError(f"steps must not be negative: {steps}")
        if self._newest is None:
            raise StateError("nothing was pushed")
        done = 0
        while done < steps and self._past:
            step = self._past.pop()
            self._bytes -= step.size
            self._newest = _undo(self._newest, step)
            done += 1
        self.gb.restore(self._newest)
        return done

    def clear(self) -> None:
        """Forget everything."""
        self._newest = None
        self._past.clear()
        self._bytes = 0


def _blocks(snapshot: Snapshot) -> NDArray[numpy.uint8]:
    import numpy

    data = snapshot.state + snapshot.pictures
    return numpy.frombuffer(data + bytes(-len(data) % BLOCK), numpy.uint8).reshape(-1, BLOCK)


def _difference(older: Snapshot, newer: Snapshot) -> _Step:
    import numpy

    old, new = _blocks(older), _blocks(newer)
    changed = numpy.flatnonzero((old.view(numpy.uint64) != new.view(numpy.uint64)).any(axis=1)).astype(numpy.uint32)
    kept = old[changed]
    return _Step(changed, kept, older._replace(state=b"", pictures=b""), changed.nbytes + kept.nbytes)


def _undo(newer: Snapshot, step: _Step) -> Snapshot:
    blocks = _blocks(newer).copy()
    blocks[step.blocks] = step.old
    data = blocks.tobytes()
    split, end = len(newer.state), len(newer.state) + len(newer.pictures)
    return step.rest._replace(state=data[:split], pictures=data[split:end])
