"""Many consoles at once: `python -m benchmarks.batch [ROM ...] [--json]`.

Prints what `tracklayer.Batch` is held to, side by side with what was measured:

- 1,000 consoles of one game: memory of the whole process, and seconds from nothing to all of them made (warm cache), in
  a process of their own;
- frames for each second of processor time, against a lone console that is ticked over the same frames with the same
  buttons, alternately. "drawn": the batch also fills in the array of RGB pictures, the lone console only draws;
- frames a second of two threads against one, alternately: by the wall clock, which means something only if no other
  process wants the cores, and by processor time for each frame, which is what the threads cost each other.

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
from pathlib import Path
from typing import Any

import numpy

from tracklayer import Batch, GameBoy

from .consoles import games

MEBIBYTE = 1 << 20
BARS = {"MiB": 1024, "seconds": 5.0, "per core": 0.8, "threads": 1.9}
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


def together(batch: Batch, frames: int, render: bool) -> tuple[float, float]:
    """Seconds, and seconds of processor time, for the steps of all."""
    start, spent = time.perf_counter(), time.process_time()
    for turn in range(STEPS):
        batch.step(buttons_of(turn), frames, render)
    return time.perf_counter() - start, time.process_time() - spent


def speeds(rom: str, count: int, frames: int, render: bool, runs: int) -> dict[str, float]:
    """Ratios of runs next to each other, their medians, and what a lone console takes for a frame."""
    one, two = (Batch(rom, count, threads=threads) for threads in (1, 2))
    gb = GameBoy(rom)
    gb.tick(WARM_UP)
    start = gb.snapshot()
    found: dict[str, list[float]] = {"lone us": [], "per core": [], "threads": [], "threads by processor time": []}
    repeats = max(1, min(count, 20))
    for _ in range(runs):
        alone = 0.0
        for _ in range(repeats):
            gb.restore(start)
            alone += lone(gb, frames, render) / repeats
        for batch in (one, two):
            batch.reset(None, start)
        wall_one, spent_one = together(one, frames, render)
        wall_two, spent_two = together(two, frames, render)
        found["lone us"].append(alone / STEPS / frames * 1e6)
        found["per core"].append(alone * count / spent_one)
        found["threads"].append(wall_one / wall_two)
        found["threads by processor time"].append(2 * spent_one / spent_two)
    for batch in (one, two):
        batch.close()
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roms", nargs="*")
    parser.add_argument("--count", type=int, default=1000, help="consoles of the first bar")
    parser.add_argument("--stepped", type=int, default=200, help="consoles that are stepped against a lone one")
    parser.add_argument("--frames", type=int, default=4, help="frames in a step")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for rom in options.roms or games():
        seconds, size = made(rom, options.count)
        row: dict[str, Any] = {"rom": Path(rom).name, "seconds": seconds, "MiB": size}
        for render in (False, True):
            row["drawn" if render else "not drawn"] = speeds(rom, options.stepped, options.frames, render, options.runs)
        rows.append(row)
        if not options.json:
            print(f"{row['rom']}: {options.count} consoles in {seconds:.2f} s (bar {BARS['seconds']:.0f}), "
                  f"{size:.0f} MiB (bar {BARS['MiB']})")  # fmt: skip
            for kind in ("not drawn", "drawn"):
                print(f"  {kind:<9} lone {row[kind]['lone us']:6.1f} us a frame"
                      f"   a core of the batch {row[kind]['per core']:.2f} of that (bar {BARS['per core']})"
                      f"   two threads {row[kind]['threads']:.2f} of one, "
                      f"{row[kind]['threads by processor time']:.2f} by processor time (bar {BARS['threads']})",
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
    for kind in ("not drawn", "drawn"):
        for name in ("per core", "threads", "threads by processor time"):
            values = [row[kind][name] for row in rows]
            print(f"{kind:<9} {name:<26} median {statistics.median(values):.2f}, least {min(values):.2f}")
    print(machine)


if __name__ == "__main__":
    main()
