"""Worker processes: the same function over many tasks, where one task may take its process down.

For:       spreading independent tasks over cores; going on when a worker dies.
Not for:   deciding what a task is, or what its death means.
Invariant: every task yields exactly one result.
A pool of the standard library gives up as a whole when one worker dies; here the task that killed it gets a verdict.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


def _serve(function: Callable[[Any], Any], pipe: Connection) -> None:
    """What a worker does: one task after the other, until its pipe closes."""
    while True:
        try:
            task = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send(function(task))
        except (BrokenPipeError, KeyboardInterrupt):
            return


class _Worker:
    """A process, the pipe to it, and the index of the task that it has now."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(function, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.task = -1

    def close(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join()


def spread(
    function: Callable[[T], R], tasks: Sequence[T], jobs: int, died: Callable[[T, int], R]
) -> Iterator[tuple[int, R]]:
    """Index and result of every task, as they come. `function` must be importable; it must not raise.

    `died(task, exit_code)` gives the result of a task whose process ended under it.
    """
    if jobs <= 1 or len(tasks) <= 1:
        for index, task in enumerate(tasks):
            yield index, function(task)
        return
    waiting = iter(range(len(tasks)))
    workers: list[_Worker] = []
    try:
        for index in waiting:
            worker = _Worker(function)
            workers.append(worker)
            worker.task = index
            worker.pipe.send(tasks[index])
            if len(workers) == min(jobs, len(tasks)):
                break
        while workers:
            ready = wait([worker.pipe for worker in workers])
            for worker in [worker for worker in workers if worker.pipe in ready]:
                index = worker.task
                try:
                    result = cast("R", worker.pipe.recv())
                    alive = True
                except (EOFError, OSError):
                    worker.process.join()
                    result = died(tasks[index], worker.process.exitcode or 0)
                    alive = False
                following = next(waiting, None)
                if following is None or not alive:
                    workers.remove(worker)
                    worker.close()
                if following is not None:
                    if not alive:
                        worker = _Worker(function)
                        workers.append(worker)
                    worker.task = following
                    worker.pipe.send(tasks[following])
                yield index, result
    finally:
        for worker in workers:
            worker.close()
