"""`tracklayer judge`: the test programs of a manifest, run and judged on every core.

What can be wrong with one program (a missing file, an error of ours, even a crashed process) is that program's verdict;
the others are judged all the same.
"""

from __future__ import annotations

import datetime
import os
import signal
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .commands import ENGINES, RESULT_MODELS, OutputFile, print_json
from .manifest import Library, Selection, Task, read_manifest
from .workers import spread

if TYPE_CHECKING:
    from .ways import Verdict

BUILT = {"gb": ("dmg", "mgb", "cgb", "cgb0", "cgb-compat", "agb", "sgb", "sgb2", "sm83")}
"""Models by system that there is a console for; sm83 is the bare processor."""


class Judge:
    """Runs one program after the other on one engine. Goes to worker processes, where it keeps its zip files open."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.libraries: dict[str, Library] = {}

    def __call__(self, task: Task) -> dict[str, Any]:
        """Run one program and say what came of it, as an entry of the JSON output."""
        start = time.perf_counter()
        verdict = self.verdict(task)
        return result(task, self.engine, verdict, time.perf_counter() - start)

    def verdict(self, task: Task) -> Verdict:
        from .ways import WAYS, Program, Verdict

        if task.system not in BUILT:
            return Verdict("unjudged", f"system {task.system} not built yet")
        if task.model not in BUILT[task.system]:
            return Verdict("unjudged", f"model {task.model} not built yet")
        if "do not count it" in task.note:
            return Verdict("unjudged", task.note)
        if task.how["how"] not in WAYS:
            return Verdict("unjudged", f"no way of judging by {task.how['how']}")
        library = self.libraries.setdefault(task.folder, Library(task.folder))
        try:
            return WAYS[task.how["how"]](Program(task, self.engine, library))
        except Exception as error:  # whatever happens to one program is its verdict, and the next one is judged
            return Verdict("fail", f"{type(error).__name__}: {error}")


def result(task: Task, engine: str, verdict: Verdict, seconds: float) -> dict[str, Any]:
    return {
        "path": task.path,
        "suite": task.suite,
        "model": task.model,
        "engine": engine,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "seconds": round(seconds, 4),
    }


def died(engine: str, task: Task, code: int) -> dict[str, Any]:
    """The verdict on a program whose worker process ended under it."""
    from .ways import Verdict

    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return result(task, engine, Verdict("fail", f"the process that ran it died: {how}"), 0.0)


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--system", help="Only programs for this system: gb, gba, nds.")
@click.option("--suite", "suites", multiple=True, help="Only programs of this suite; may be given several times.")
@click.option("--model", type=click.Choice(RESULT_MODELS), help="Only results meant for this model.")
@click.option("--path", "glob", metavar="GLOB", help="Only programs whose path matches, as in '*/acceptance/*'.")
@click.option(
    "--engine",
    "engines",
    type=click.Choice(ENGINES),
    multiple=True,
    default=("translated",),
    show_default=True,
    help="What executes the guest; may be given several times.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Processes to spread over.  [default: all cores]"
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of tables.")
@click.option("--markdown", type=OutputFile(), metavar="FILE.md", help="Also write the results there, as a page.")
@click.option(
    "--notes", type=click.Path(path_type=Path), metavar="FILE.json", help="For that page: what failures mean."
)
def judge(
    manifest: Path,
    system: str | None,
    suites: tuple[str, ...],
    model: str | None,
    glob: str | None,
    engines: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
    markdown: str | None,
    notes: Path | None,
) -> None:
    """Run the test programs that MANIFEST lists and judge each by the way that its entry names.

    A program is run once for each model that its result is meant for. The exit status is 0 if nothing failed.
    """
    from tracklayer.api.engines import make_engine
    from tracklayer.api.files import write_atomically

    from .accuracy import page, read_notes

    known = read_notes(notes) if notes is not None else []
    tasks = read_manifest(manifest, Selection(system, suites, model, glob))
    if not tasks:
        known_suites = sorted({task.suite for task in read_manifest(manifest, Selection())})
        raise click.ClickException(
            f"no program is of that system, suite, model and path; there are the suites {', '.join(known_suites)}"
        )
    jobs = jobs or os.cpu_count() or 1
    results = []
    for engine in dict.fromkeys(engines):
        make_engine(engine)  # builds it once, before the workers want it
        results += _run_all(tasks, engine, jobs, quiet=as_json)
    if markdown is not None:
        write_atomically(markdown, page(results, known, datetime.date.today()).encode())
    if as_json:
        print_json({"results": results})
    else:
        _show(results)
    sys.exit(1 if any(entry["verdict"] == "fail" for entry in results) else 0)


def _run_all(tasks: list[Task], engine: str, jobs: int, quiet: bool) -> list[dict[str, Any]]:
    """The results in the manifest's order, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    found: dict[int, dict[str, Any]] = {}
    terminal = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[failed]} failed"))
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal) as progress:
        bar = progress.add_task("", total=len(tasks), failed=0)
        failed = 0
        for index, entry in spread(Judge(engine), tasks, jobs, partial(died, engine)):
            found[index] = entry
            failed += entry["verdict"] == "fail"
            progress.update(bar, advance=1, failed=failed)
    return [found[index] for index in range(len(tasks))]


def _show(results: list[dict[str, Any]]) -> None:
    """A table with a line for each suite and model, then every failure with its reason."""
    from rich.console import Console
    from rich.table import Table

    terminal = Console()
    several = len({entry["engine"] for entry in results}) > 1
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for entry in results:
        key = (entry["suite"], entry["model"]) + ((entry["engine"],) if several else ())
        counts.setdefault(key, Counter())[entry["verdict"]] += 1
    table = Table("suite", "model", *(("engine",) if several else ()), show_footer=True)
    for name in ("pass", "fail", "unjudged"):
        table.add_column(name, justify="right", footer=str(sum(count[name] for count in counts.values())))
    for key, count in sorted(counts.items()):
        table.add_row(*key, *(str(count[name] or "") for name in ("pass", "fail", "unjudged")))
    terminal.print(table)
    for entry in results:
        if entry["verdict"] == "fail":
            where = f"{entry['model']}, {entry['engine']}" if several else entry["model"]
            click.echo(f"FAIL {entry['path']} ({where}): {entry['reason']}")
    reasons = Counter(entry["reason"] for entry in results if entry["verdict"] == "unjudged")
    for reason, number in reasons.most_common():
        click.echo(f"unjudged {number}: {reason}")
