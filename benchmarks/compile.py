"""How long a typed function takes from source to callable, the first time and from the disk cache, and where it goes.

    python -m benchmarks.compile [--rounds N] [--json FILE]

Each round is a fresh process: it imports `tracklayer.function`, decorates a function of ten lines, and calls it. The
processor's time is read around the pieces (other work on the machine disturbs it less than a clock's); the best round
counts, for each piece by itself. "Another one" is a second function of
ten lines in the same process. The first time, the folder of the disk cache is empty.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SOURCE = '''
import sys, time
clock = time.process_time
begin = clock()
spent = {}

def timed(name, real):
    """Time spent in a function, less what is spent in others that are timed."""
    def run(*arguments, **named):
        start = clock()
        outer, spent["inner"] = spent.get("inner", 0.0), 0.0
        try:
            return real(*arguments, **named)
        finally:
            whole = clock() - start
            spent[name] = spent.get(name, 0.0) + whole - spent["inner"]
            spent["inner"] = outer + whole
    return run

from tracklayer import function
from tracklayer.lang import Buffer, f64, i64, u8, u32
spent["importing the toolkit"] = clock() - begin

import tracklayer.compiler.function as f
f.describe_function = timed("reading the source", f.describe_function)
f.Fallible.enter = timed("walking, writing IR", f.Fallible.enter)
f.Fallible.render = timed("walking, writing IR", f.Fallible.render)
f.attention = timed("finding the flag for signals", f.attention)
f.cache.find_cached = timed("looking into the disk cache", f.cache.find_cached)
f.cache.keep = timed("keeping it on disk", f.cache.keep)
f.make_image = timed("linking", f.make_image)
f.pack_entry = timed("assembling the adapter", f.pack_entry)
f.learn_entry = timed("placing code and adapter", f.learn_entry)
f._placed = timed("placing code and adapter", f._placed)
f.deferred = timed("making the builtin", f.deferred)

if len(sys.argv) > 1:
    import importlib
    start = clock()
    import llvmlite.binding
    importing = clock() - start
    from tracklayer.compiler import backend
    start = clock()
    backend._machine(2, *backend.host_cpu())
    spent["importing LLVM"] = importing + clock() - start
    backend.emit = timed("LLVM: optimising, emitting", backend.emit)

start = clock()

@function
def first(data: Buffer[f64], low: f64, high: f64) -> tuple[f64, i64]:
    """The mean of what lies between two limits, and how many that are."""
    total = 0.0
    count: u32 = 0
    for i in range(len(data)):
        value = data[i]
        if low <= value <= high:
            total += value
            count = u32(count + 1)
    return (total / count if count else 0.0), count

import array
data = array.array("d", [1.0, 2.0, 30.0])
spent["inner"] = 0.0
a = clock()
assert first(data, 0.0, 10.0) == (1.5, 2)
b = clock()

@function
def second(text: Buffer[u8], wanted: u8) -> i64:
    """The last place of a byte, or -1."""
    place: i64 = -1
    i: i64 = 0
    for byte in text:
        if byte == wanted:
            place = i
        i = i64(i + 1)
    if place >= 0:
        return place
    return -1

assert second(b"hello", 108) == 3
c = clock()
assert first(data, 0.0, 10.0) == (1.5, 2)
spent.pop("inner")
before = dict(spent)
print(repr({"whole": b - start, "another": c - b, "pieces": before}))
'''


def run(folder: Path, cold: bool) -> dict[str, object]:
    """One round."""
    program = folder / "program.py"
    program.write_text(SOURCE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRACKLAYER_CACHE": str(folder / "cache")}
    if cold and (folder / "cache").exists():
        for kept in (folder / "cache").iterdir():
            kept.unlink()
    command = [sys.executable, str(program), *(["cold"] if cold else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, object] = eval(done.stdout)
    return found


def best(folder: Path, cold: bool, rounds: int) -> tuple[float, float, dict[str, float]]:
    """The least of everything, in milliseconds: the whole, another function, the pieces."""
    whole, another = float("inf"), float("inf")
    pieces: dict[str, float] = {}
    for _ in range(rounds):
        found = run(folder, cold)
        assert isinstance(found["whole"], float) and isinstance(found["another"], float)
        whole, another = min(whole, found["whole"]), min(another, found["another"])
        assert isinstance(found["pieces"], dict)
        for name, seconds in found["pieces"].items():
            pieces[name] = min(pieces.get(name, seconds), seconds)
    return whole * 1000, another * 1000, {name: seconds * 1000 for name, seconds in pieces.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures to a file as well")
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}, best of {options.rounds} processes, ms")
    print("(the pieces are those of two functions of ten lines)\n")
    with tempfile.TemporaryDirectory() as folder:
        first = best(Path(folder), True, options.rounds)
        cached = best(Path(folder), False, options.rounds)
    print(f"{'':34}{'first time':>12}{'from disk':>12}")
    names = dict.fromkeys([*first[2], *cached[2]])
    for name in sorted(names, key=lambda name: -first[2].get(name, 0.0)):
        cells = "".join(f"{table[2][name]:12.2f}" if name in table[2] else f"{'':12}" for table in (first, cached))
        print(f"{name:34}{cells}")
    print(f"\n{'the first function, to its result':34}{first[0]:12.2f}{cached[0]:12.2f}   (imports not counted)")
    print(f"{'another one':34}{first[1]:12.2f}{cached[1]:12.2f}")
    if options.json:
        options.json.write_text(json.dumps({"python": platform.python_version(), "first": first, "disk": cached}))


if __name__ == "__main__":
    main()
