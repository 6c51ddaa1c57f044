"""The survival list at full length: `python -m tests.soak` (or `make soak`), about ten minutes on two cores.

Each part runs in a process of its own, so a crash is one part's failure. Progress goes to standard error, a summary to
standard output; the exit status is 1 if anything failed. `--scale 0.1` shortens everything, `--only NAME` picks parts.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from tests.native import survival


def typed_functions(times: int, say: survival.Say) -> str:
    """The tests of typed functions, `times` over, in their long forms."""
    tests = "tests/compiler/test_function_survival.py"
    environment = {**os.environ, "TRACKLAYER_SOAK": "1"}
    for turn in range(times):
        run = [sys.executable, "-m", "pytest", "-q", "-o", "timeout=500", tests]
        done = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout[-1500:]
        say((turn + 1) / times)
    return f"typed functions, {tests}: {done.stdout.strip().splitlines()[-1]}"


@dataclass(frozen=True)
class Part:
    """One workload, its full length (a number of times, or seconds), and the least that means anything."""

    run: Callable[..., str]
    full: float
    least: float

    def length(self, scale: float) -> float:
        """How much of it, at a scale."""
        scaled = max(self.full * scale, self.least)
        return scaled if isinstance(self.full, float) else int(scaled)


PARTS = {
    "calls": Part(survival.many_calls, 10_000_000, 20),
    "compile": Part(survival.compile_and_drop, 1_000_000, 20),
    "collect": Part(survival.collection_at_every_call, 5_000, 50),
    "exceptions": Part(survival.exceptions_eight_deep, 200_000, 12),
    "threads": Part(survival.eight_threads, 60.0, 0.5),
    "threads-nogil": Part(functools.partial(survival.eight_threads, nogil=True), 60.0, 0.5),
    "parallel": Part(survival.parallel_speed, 20, 3),
    "dropped": Part(survival.dropped_while_they_run, 3_000, 2),
    "recursion": Part(survival.recursion, 20, 1),
    "ctrl-c": Part(survival.ctrl_c, 200, 3),
    "ctrl-c-nogil": Part(functools.partial(survival.ctrl_c, nogil=True), 200, 3),
    "signals": Part(survival.under_signals, 60.0, 0.2),
    "forks": Part(survival.forks, 1_000, 2),
    "greenlets": Part(survival.greenlets, 2_000_000, 100),
    "tracing": Part(survival.tracing, 3_000_000, 10),
    "typed": Part(typed_functions, 1, 1),
    "everything": Part(survival.everything_at_once, 60.0, 0.5),
}


def run_part(name: str, scale: float) -> None:
    """Run one part in this process; progress goes to standard error, one percentage a line."""
    warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads are what is tried here
    last = [0]

    def say(done: float) -> None:
        percent = min(int(done * 100), 100)
        if percent >= last[0] + 5:
            last[0] = percent
            print(f"{percent}%", file=sys.stderr, flush=True)

    before = survival.writable_and_executable()
    part = PARTS[name]
    print(part.run(part.length(scale), say))
    assert survival.writable_and_executable() <= before, "a mapping is writable and executable"


def watch(name: str, scale: float) -> tuple[bool, str, float]:
    """Run one part in a process of its own, showing how far it is. Returns whether it passed, its words, seconds."""
    start = time.monotonic()
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.soak", "--part", name, "--scale", str(scale)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None and child.stdout is not None
    words: list[str] = []
    shows = sys.stderr.isatty()
    for line in child.stderr:
        if line.rstrip().endswith("%"):
            before, after = ("\r", "") if shows else ("", "\n")
            print(f"{before}{name:<14} {line.strip():>4}", end=after, file=sys.stderr, flush=True)
        else:
            words.append(line.rstrip())
    said = child.stdout.read().strip()
    status = child.wait()
    if shows:
        print("\r" + " " * 30, end="\r", file=sys.stderr)
    if status == 0:
        return True, said, time.monotonic() - start
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return False, f"ended with {how}: " + " | ".join(words[-12:]), time.monotonic() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="a factor for all lengths (default 1: ten minutes)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        run_part(given.part, given.scale)
        return 0
    start = time.monotonic()
    failed = 0
    print(
        f"survival on CPython {sys.version.split()[0]}, {len(given.only)} parts at {given.scale:g} of their full length"
    )
    for name in given.only:
        passed, said, seconds = watch(name, given.scale)
        failed += not passed
        print(f"{'passed' if passed else 'FAILED'}  {name:<14} {seconds:6.1f} s  {said}", flush=True)
    minutes = (time.monotonic() - start) / 60
    print(f"{len(given.only) - failed} passed, {failed} failed, in {minutes:.1f} minutes")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
