"""What the threads of a batch run in a step.

For:       the loops of generated code, and the helpers that wait in them between steps.
Not for:   which consoles are to be run (batch.py), what a thread does with one (seats.py), making threads (crew.py).
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any

from . import seats
from .crew import Stay
from .engines import Progress

if TYPE_CHECKING:
    from ..translate.many import Lock, Many


class _Loops:
    """The loops that this process has made, by engine, and whether they read registers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: dict[tuple[Any, bool], Many] = {}


_LOOPS = _Loops()


def loop(engine: Any, with_registers: bool, progress: Progress | None) -> Many:
    """The loop for an engine's consoles, made at the first call.

    with_registers: whether a device's registers are among the memory that is wanted.
    """
    from ..translate.many import Many

    known = {"with_registers": with_registers}
    with _LOOPS.lock:
        found = _LOOPS.made.get((engine, with_registers))
        if found is None:
            found = _LOOPS.made[engine, with_registers] = Many(
                engine, seats.Worker, seats.Job, seats.Seat, seats.ready, seats.turn, known, seats.CALLS, progress
            )
        return found


class Threads(Stay):
    """What a batch's threads do in a step. Between steps the helpers stay in machine code, without the GIL: they look
    for the next one a little, then they sleep."""

    def __init__(self, loop: Many, job: Any, workers: list[Any]) -> None:
        self.loop = loop
        self.job = job
        self.workers = workers
        self.addresses = [ctypes.addressof(worker) for worker in workers]
        self.calls = loop.calls(ctypes.addressof(job))
        self.locks: list[Lock] = []

    def begin(self) -> None:
        """As of `Stay`: the locks that the new helpers sleep on."""
        from ..translate.many import Lock

        self.locks = [Lock() for _ in self.workers]
        for worker, lock in zip(self.workers, self.locks, strict=True):
            worker.signal, worker.lock = 0, lock.address

    def wake(self) -> None:
        """A step is about to come: to wake takes as long as to prepare it."""
        for address in self.addresses[1:]:
            self.loop.wake(address)

    def dismiss(self) -> None:
        """As of `Stay`: the helpers leave machine code."""
        for address in self.addresses[1:]:
            self.loop.dismiss(address)

    def call(self, number: int) -> bool:
        """As `Crew.run` wants it."""
        return bool(self.loop.call(self.addresses[number]))

    def over(self) -> bool:
        """As `Crew.run` wants it."""
        return not self.job.busy

    def work(self, number: int) -> None:
        """A thread's task."""
        while not self.loop.advance(self.addresses[number]) and not self.job.stop:
            self.workers[number].spent = 0
