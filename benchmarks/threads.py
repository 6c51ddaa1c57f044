"""What a typed function gains by running without the GIL: the same work on one thread and on two.

    python -m benchmarks.threads [--rounds N]

The work is a sum over numbers that fit the cache, long enough that starting a thread does not count. Rounds are short
and take turns, the best of each counts: on a machine that others use, most rounds are disturbed. The second row takes
the GIL for a callback every 200,000 numbers, the third holds it all along. Below: how long Ctrl-C takes to
end an endless loop.
"""

from __future__ import annotations

import argparse
import array
import os
import platform
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from tracklayer import function
from tracklayer.lang import Buffer, f64, i64, u32


@function(nogil=True, eager=True)
def quiet(data: Buffer[f64], times: u32) -> f64:
    total = 0.0
    for _ in range(times):
        for value in data:
            total += value * value
    return total


@function(nogil=True, eager=True)
def talking(tell: Callable[[i64], None], data: Buffer[f64], times: u32) -> f64:
    total = 0.0
    for i in range(times):
        for value in data:
            total += value * value
        if i % 200 == 0:
            tell(i)
    return total


@function(eager=True)
def held(data: Buffer[f64], times: u32) -> f64:
    total = 0.0
    for _ in range(times):
        for value in data:
            total += value * value
    return total


@function(eager=True)
def endless(start: u32) -> u32:
    n: u32 = start
    while n != 0 or start != 0:
        n = u32(n | 1)
    return n


@function(nogil=True, eager=True)
def endless_nogil(start: u32) -> u32:
    n: u32 = start
    while n != 0 or start != 0:
        n = u32(n | 1)
    return n


def on_threads(count: int, work: Callable[[], Any]) -> float:
    """Seconds until so many threads have done the work once each."""
    ready = threading.Barrier(count + 1)

    def run() -> None:
        ready.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def latency(loop: Callable[[int], int], rounds: int) -> tuple[float, float]:
    """Best and worst milliseconds from the signal to the KeyboardInterrupt."""
    delays = []
    for _ in range(rounds):
        sent = [0.0]

        def interrupt(sent: list[float] = sent) -> None:
            sent[0] = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.02, interrupt)
        timer.start()
        try:
            loop(1)
        except KeyboardInterrupt:
            delays.append(time.perf_counter() - sent[0])
        timer.join()
    return min(delays) * 1000, max(delays) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    data = array.array("d", range(1000))
    rows: dict[str, Callable[[], Any]] = {
        "nogil=True": lambda: quiet(data, 6_000),
        "nogil=True, calling back": lambda: talking(lambda i: None, data, 6_000),
        "with the GIL": lambda: held(data, 6_000),
    }
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores, best of {options.rounds} rounds\n")
    print(f"{'':28}{'one thread':>12}{'two threads':>13}{'speed-up':>10}")
    for name, work in rows.items():
        one = two = float("inf")
        for _ in range(options.rounds):
            one, two = min(one, on_threads(1, work)), min(two, on_threads(2, work))
        print(f"{name:28}{one * 1000:9.2f} ms{two * 1000:10.2f} ms{2 * one / two:10.2f}")
    for name, loop in (("Ctrl-C to the end of a loop", endless), ("the same with nogil=True", endless_nogil)):
        low, high = latency(loop, 20)
        print(f"{name}: {low:.2f} to {high:.2f} ms")


if __name__ == "__main__":
    main()
