"""What a start takes: `python -m benchmarks.start [--runs N] [--than FOLDER] [--json]`.

Whole processes, by the wall clock and in processor time with that of all processes that they start: the demo's first
frame with an empty disk cache (everything is compiled) and with a warm one, and the import alone. Python's own bytecode
is there from a first run, as an installer leaves it, in a folder of its own. `--than`: in turns with the package that
lies in another folder, with the ratios of the pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent.parent
RUN = ("-m", "tracklayer", "run", "demo", "--frames", "1")
IMPORT = ("-c", "import tracklayer")
WARM_RUNS = 5
"""Warm starts, and imports, for each cold one."""


class Spent(NamedTuple):
    """Seconds."""

    wall: float
    processor: float


def processor_time() -> float:
    """Of all processes that this one has waited for, and those that they have."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def run(arguments: tuple[str, ...], package: Path, scratch: Path) -> Spent:
    """A process of Python that finds the package in this folder, and keeps what it keeps in another one.

    Errors: CalledProcessError where it fails.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(package),
        "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"),
        "TRACKLAYER_CACHE": str(scratch / "cache"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, start = processor_time(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=scratch, env=environment, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    return Spent(time.perf_counter() - start, processor_time() - before)


def starts(package: Path, scratch: Path) -> dict[str, list[Spent]]:
    """A cold start, then warm ones and imports."""
    shutil.rmtree(scratch / "cache", ignore_errors=True)
    return {
        "cold": [run(RUN, package, scratch)],
        "warm": [run(RUN, package, scratch) for _ in range(WARM_RUNS)],
        "import": [run(IMPORT, package, scratch) for _ in range(WARM_RUNS)],
    }


def medians(found: list[dict[str, list[Spent]]]) -> dict[str, dict[str, float]]:
    """Of all rounds: seconds for each kind of start."""
    table = {}
    for kind in found[0]:
        every = [one for rounds in found for one in rounds[kind]]
        wall, processor = [one.wall for one in every], [one.processor for one in every]
        table[kind] = {
            "wall": statistics.median(wall), "least": min(wall), "most": max(wall),
            "processor": statistics.median(processor),
        }  # fmt: skip
    return table


def ratios(mine: list[dict[str, list[Spent]]], others: list[dict[str, list[Spent]]]) -> dict[str, dict[str, float]]:
    """Of each kind's time to the other package's in the same round: the medians."""
    table = {}
    for kind in mine[0]:
        pairs = [
            (statistics.median(one.wall for one in a[kind]) / statistics.median(one.wall for one in b[kind]),
             statistics.median(one.processor for one in a[kind]) / statistics.median(one.processor for one in b[kind]))
            for a, b in zip(mine, others, strict=True)
        ]  # fmt: skip
        wall, processor = zip(*pairs, strict=True)
        table[kind] = {"wall": statistics.median(wall), "processor": statistics.median(processor)}
    return table


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--than", type=Path, help="a folder with another version of the package")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    packages = [HERE] + ([options.than.resolve()] if options.than else [])
    if not (packages[-1] / "tracklayer" / "__init__.py").is_file():
        parser.error(f"there is no package in {packages[-1]}")
    found: list[list[dict[str, list[Spent]]]] = [[] for _ in packages]
    with tempfile.TemporaryDirectory() as folder:
        scratches = [Path(folder, str(number)) for number in range(len(packages))]
        for package, scratch in zip(packages, scratches, strict=True):
            scratch.mkdir()
            run(RUN, package, scratch)  # bytecode
        for turn in range(options.runs):
            for number, (package, scratch) in enumerate(zip(packages, scratches, strict=True)):
                found[number].append(starts(package, scratch))
                if not options.json:
                    cold, which = found[number][-1]["cold"][0], ", the other" if number else ""
                    times = f"cold {cold.wall:.2f} s, {cold.processor:.2f} s of processors"
                    print(f"{turn + 1}/{options.runs}{which}: {times}", file=sys.stderr)
    result = {
        "starts": [medians(one) for one in found],
        "ratios": ratios(*found) if len(found) > 1 else None,
        "cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version(),
    }  # fmt: skip
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for number, table in enumerate(result["starts"]):  # type: ignore[arg-type]
        if number:
            print(f"the other, {packages[number]}:")
        for kind, row in table.items():
            print(f"{kind:8} {row['wall']:.3f} s ({row['least']:.3f} to {row['most']:.3f}), "
                  f"{row['processor']:.3f} s of processors")  # fmt: skip
    for kind, row in (result["ratios"] or {}).items():  # type: ignore[attr-defined]
        print(f"{kind:8} {row['wall']:.3f} of the other's time, {row['processor']:.3f} of its processor time")


if __name__ == "__main__":
    main()
