"""Many consoles at once: `python -m benchmarks.batch [ROM ...] [--json]`.

Prints what `tracklayer.Batch` is held to, side by side with what was measured:

- 1,000 consoles of one game: memory of the whole process, and seconds from nothing to all of them made (warm cache), in
  a process of their own;
- frames for each second of processor time, against a lone console that is ticked over the same frames with the same
  buttons, alternately. "drawn": the batch also fills in the array of RGB pictures, the lone console only draws;
- frames a second of two threads against one, step by step: a step of one batch, then the same step of another with the
  other number of threads, who begins changing. "Neighbours" is the median of the ratios of such pairs by the clock.
  "At best" takes for each step the least time of all runs, for they all do the same: what other processes and the host
  of a virtual machine take away falls out. By processor time it is what the threads cost each other.

Without ROMs: the Game Boy games of the test programs (TRACKLAYER_ROMS) and the demo.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from tracklayer import Batch, GameBoy

from .consoles import games

MEBIBYTE = 1 << 20
BARS = {"MiB": 1024, "seconds": 5.0, "per core": 0.8, "threads": 1.9}
KINDS = ("not drawn", "drawn")
RATIOS = ("per core", "per core at best", "threads", "threads at best", "threads by processor time")
WARM_UP = 120
STEPS = 60

MAKE = """
import sys, time
start = time.perf_counter()
from tracklayer import Batch
batch = Batch(sys.argv[1], int(sys.argv[2]), memory=[slice(0xC000, 0xC100)])
made = time.perf_counter() - start
batch.step(frames=120)
from pathlib import Path
status = Path("/proc/self/status")
if status.exists():  # what getrusage says was begun by whoever started this process
    size = 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
else:
    import resource
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(made, size)
"""


def made(rom: str, count: int) -> tuple[float, float]:
    """Seconds to make so many consoles, imports and all, and MiB of the process when they have run for two seconds."""
    command = [sys.executable, "-c", MAKE, rom, str(count)]
    subprocess.run([*command[:-1], "1"], check=True, capture_output=True)  # the cache is warm from here on
    seconds, size = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(size) / MEBIBYTE


def buttons_of(turn: int) -> int:
    """What is held in a step."""
    return (0x80, 0, 0x10, 0, 0x01, 0, 0x10, 0x02)[turn % 8]


def lone(gb: GameBoy, frames: int, render: bool) -> float:
    """Seconds of processor time for the steps of one console."""
    names = [[name for name, bit in Batch.BUTTONS.items() if bit & buttons_of(turn)] for turn in range(STEPS)]
    start = time.process_time()
    for turn in range(STEPS):
        gb.release()
        gb.press(*names[turn])
        gb.tick(frames, render=render)
    return time.process_time() - start


class Taken(NamedTuple):
    """What each step took, in seconds, by the number of threads less one: of the clock, and of processors."""

    wall: tuple[list[float], list[float]]
    spent: tuple[list[float], list[float]]


def together(batches: tuple[Batch, Batch], frames: int, render: bool) -> Taken:
    """The steps of both batches, one of each in turn."""
    taken = Taken(([], []), ([], []))
    for turn in range(STEPS):
        for which in (0, 1) if turn % 2 else (1, 0):
            start, spent = time.perf_counter(), time.process_time()
            batches[which].step(buttons_of(turn), frames, render)
            taken.wall[which].append(time.perf_counter() - start)
            taken.spent[which].append(time.process_time() - spent)
    return taken


def at_best(runs: Sequence[Sequence[float]]) -> float:
    """The sum of what each step took in the run in which it took least."""
    return sum(min(times) for times in zip(*runs, strict=True))


def speeds(rom: str, count: int, frames: int, render: bool, runs: int) -> dict[str, float]:
    """What a lone console takes for a frame, and the ratios that the module's text tells of."""
    batches = Batch(rom, count, threads=1), Batch(rom, count, threads=2)
    gb = GameBoy(rom)
    gb.tick(WARM_UP)
    start = gb.snapshot()
    alone: list[float] = []
    taken: list[Taken] = []
    repeats = max(1, min(count, 20))
    for batch in batches:  # code is laid, and memory touched, for the first time
        batch.reset(None, start)
        for turn in range(STEPS):
            batch.step(buttons_of(turn), frames, render)
    for _ in range(runs):
        spent = 0.0
        batches[1].close()  # a lone console's tick is quicker where there is no other thread
        for _ in range(repeats):
            gb.restore(start)
            spent += lone(gb, frames, render) / repeats
        alone.append(spent)
        for batch in batches:
            batch.step()  # there are threads again
            batch.reset(None, start)
        taken.append(together(batches, frames, render))
    for batch in batches:
        batch.close()
    neighbours = [one / two for run in taken for one, two in zip(*run.wall, strict=True)]
    walls = [at_best([run.wall[which] for run in taken]) for which in (0, 1)]
    costs = [at_best([run.spent[which] for run in taken]) for which in (0, 1)]
    return {
        "lone us": statistics.median(alone) / STEPS / frames * 1e6,
        "per core": statistics.median(
            spent * count / sum(run.spent[0]) for spent, run in zip(alone, taken, strict=True)
        ),
        "per core at best": min(alone) * count / costs[0],
        "threads": statistics.median(neighbours),
        "threads at best": walls[0] / walls[1],
        "threads by processor time": 2 * costs[0] / costs[1],
    }


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| game | made in | memory | | lone, us a frame | a core of the batch | two threads | at best |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    yield f"| bar | {BARS['seconds']:.0f} s | {BARS['MiB']} MiB | | | {BARS['per core']} | {BARS['threads']} | |"
    for row in rows:
        name, made_in, memory = Path(row["rom"]).stem, f"{row['seconds']:.2f} s", f"{row['MiB']:.0f} MiB"
        for kind in KINDS:
            found = row[kind]
            yield (
                f"| {name} | {made_in} | {memory} | {kind} | {found['lone us']:.1f} | {found['per core']:.2f}"
                f" | {found['threads']:.2f} | {found['threads at best']:.2f} |"
            )
            name = made_in = memory = ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roms", nargs="*")
    parser.add_argument("--count", type=int, default=1000, help="consoles of the first bar")
    parser.add_argument("--stepped", type=int, default=200, help="consoles that are stepped against a lone one")
    parser.add_argument("--frames", type=int, default=4, help="frames in a step")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", action="store_true", help="print the results as a Markdown table, too")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for rom in options.roms or games():
        seconds, size = made(rom, options.count)
        row: dict[str, Any] = {"rom": Path(rom).name, "seconds": seconds, "MiB": size}
        for render in (False, True):
            row[KINDS[render]] = speeds(rom, options.stepped, options.frames, render, options.runs)
        rows.append(row)
        if not options.json:
            print(f"{row['rom']}: {options.count} consoles in {seconds:.2f} s (bar {BARS['seconds']:.0f}), "
                  f"{size:.0f} MiB (bar {BARS['MiB']})")  # fmt: skip
            for kind in KINDS:
                found = row[kind]
                print(f"  {kind:<9} lone {found['lone us']:6.1f} us a frame"
                      f"   a core of the batch {found['per core']:.2f} of that (bar {BARS['per core']}),"
                      f" at best {found['per core at best']:.2f}"
                      f"   two threads: neighbours {found['threads']:.2f} (bar {BARS['threads']}),"
                      f" at best {found['threads at best']:.2f},"
                      f" by processor time {found['threads by processor time']:.2f}",
                      flush=True)  # fmt: skip
    machine = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    if options.json:
        print(json.dumps({"batch": rows, "bars": BARS, **machine}, indent=1))
        return
    for kind in KINDS:
        for name in RATIOS:
            values = [row[kind][name] for row in rows]
            print(f"{kind:<9} {name:<26} median {statistics.median(values):.2f}, least {min(values):.2f}")
    if options.table:
        print(*table(rows), sep="\n")
    print(machine)


if __name__ == "__main__":
    main()
