"""Threads that help the one that asks: the same task in all of them at once.

For:       `Crew.run(task)`: `task(k)` in the calling thread (k = 0) and in each helper, until all are done; `Crowd`,
           whom they serve.
Not for:   dividing the work: the task takes pieces until there are none.
Invariant: when `run` is over, however it ended, no helper is at work.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Task = Callable[[int], None]


def nobody(number: int) -> bool:
    """No helper is still in its last task."""
    return False


def never() -> bool:
    """All is done when all have said so."""
    return False


class Stay:
    """Where helpers may stay in a task that is done, until they are called to the next one. This is nowhere."""

    def begin(self) -> None:
        """There are other helpers now, none of whom has stayed anywhere."""

    def dismiss(self) -> None:
        """Whoever stays leaves the task."""


class Crew:
    """Helpers that wait for work. They are started when first needed, also in a forked child, and end with `close`.

    stay: where they stay between tasks of which `run` is told how they are called.
    """

    def __init__(self, helpers: int, stay: Stay | None = None) -> None:
        self.helpers = helpers
        self._stay = stay or Stay()
        self._threads: list[threading.Thread] = []
        self._tasks: SimpleQueue[tuple[Task, int] | None] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        self._process = 0
        self._sent_out = 0
        """Tasks that were put, and that no helper has said to have left."""
        self._end: weakref.finalize[..., Crew] | None = None

    def run(
        self,
        task: Task,
        stop: Callable[[], None],
        call: Callable[[int], object] | None = None,
        over: Callable[[], object] = never,
    ) -> None:
        """Have the task done.

        call: makes a helper that has stayed in its last task do this one; whether it could. None: whoever has stayed
              is dismissed.
        over: whether all is done already, though helpers may still wait in their tasks.
        Errors: the first that it raised; `stop` is called then, so that the others end soon.
        """
        if self.helpers and (not self._threads or self._process != os.getpid()):
            self._start()
            call = nobody
        if call is None:
            self._stay.dismiss()
            call = nobody
        try:
            while not self._done.empty():
                self._hear()
            for number in range(1, self.helpers + 1):
                if not call(number):
                    self._sent_out += 1
                    self._tasks.put((task, number))
            task(0)
            while self._sent_out and not over():
                self._hear()
        except BaseException:
            stop()
            self.close()
            raise

    def _hear(self) -> None:
        """Wait until a helper has left a task."""
        error = self._done.get()
        self._sent_out -= 1
        if error is not None:
            raise error

    def _start(self) -> None:
        self._process = os.getpid()
        self._tasks, self._done = SimpleQueue(), SimpleQueue()
        self._sent_out = 0
        self._threads = [
            threading.Thread(target=_help, args=(self._tasks, self._done), name="tracklayer batch", daemon=True)
            for _ in range(self.helpers)
        ]
        self._stay.begin()
        for thread in self._threads:
            thread.start()
        self._end = weakref.finalize(self, _send_home, self._tasks, self.helpers, self._stay)
        self._end.atexit = False

    def close(self) -> None:
        """Wait for the helpers to end. A later `run` starts others."""
        if self._end is not None and self._process == os.getpid():
            self._end()
            for thread in self._threads:
                while thread.is_alive():
                    with contextlib.suppress(KeyboardInterrupt):  # it has been heard: this is the way out
                        thread.join(0.1)
        self._threads, self._end = [], None
        self._tasks, self._done, self._sent_out = SimpleQueue(), SimpleQueue(), 0


def _send_home(tasks: SimpleQueue[tuple[Task, int] | None], count: int, stay: Stay) -> None:
    for _ in range(count):
        tasks.put(None)
    stay.dismiss()


def _help(tasks: SimpleQueue[tuple[Task, int] | None], done: SimpleQueue[BaseException | None]) -> None:
    """A helper's life. It keeps nothing of a task alive while it waits."""
    while (found := tasks.get()) is not None:
        task, number = found
        error = None
        try:
            task(number)
        except BaseException as raised:
            error = raised
        del found, task
        done.put(error)
        del error


class Crowd:
    """Consoles that one step runs all together, without a look at each: who runs them, and which are run alone."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Held while all of them are run."""
        self.runner = 0
        """The thread that runs all of them just now."""
        self.alone: set[Any] = set()
        """Those that somebody runs by themselves just now."""
