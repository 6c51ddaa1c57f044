"""Progress of long work, on standard error, and only where somebody watches.

Nothing is drawn, and rich is not imported, before there is something to show.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tracklayer.api.engines import Progress


class Advance(Protocol):
    """Reports how far the work is: `done` of the total, and any further words."""

    def __call__(self, done: float, **words: Any) -> None: ...


@contextmanager
def bar(total: float, words: str) -> Iterator[Advance]:
    """A progress bar with the time left. `words` is a template over the fields of each report: "{failed} failed"."""
    if not sys.stderr.isatty():
        yield lambda done, **fields: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)

        def advance(done: float, **fields: Any) -> None:
            progress.update(task, completed=done, description=words.format(**fields))

        yield advance


def building() -> Progress:
    """What an engine reports its first build to: a line that counts, wiped out at the end. Silent off terminals."""
    terminal = sys.stderr.isatty()

    def report(what: str, done: int, total: int) -> None:
        if terminal:
            end = "\r" if done < total else "\r\033[K"
            sys.stderr.write(f"\r\033[K{what}: {done} of {total}{end}" if done < total else end)
            sys.stderr.flush()

    return report
