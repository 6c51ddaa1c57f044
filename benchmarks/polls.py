"""What a poll at the back edge of a generated loop costs: `python -m benchmarks.polls`.

Loops with and without `poll` alternate; printed are nanoseconds per turn, the best of many rounds, and how late Ctrl-C
is. An empty loop is the worst case: there the poll has nothing to hide behind. The second loop adds up an array.
"""

from __future__ import annotations

import array
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from tracklayer.native import Assembler
from tracklayer.native.operands import qword, rax, rdi, rsi

WAYS = ("without", "polled", "polled, no GIL")
ROUNDS = 40
NUMBERS = array.array("q", range(1 << 15))
TURNS = len(NUMBERS)


def loop(way: str, body: Callable[[Assembler], None]) -> Any:
    """A builtin that runs the body for each number of an array, from the last to the first."""
    nogil = "GIL" in way
    a = Assembler("loop")
    a.prologue(polls=way != "without")
    a.label("next")
    body(a)
    if way != "without":
        a.poll(nogil=nogil)
    a.dec(rsi)
    a.jnz("next")
    a.epilogue()
    return a.function("void(data: i64[])", nogil=nogil)


def best(functions: list[Any]) -> list[float]:
    """Nanoseconds per turn of each; the rounds of all alternate."""
    result = [float("inf")] * len(functions)
    for _ in range(ROUNDS):
        for i, function in enumerate(functions):
            start = time.perf_counter_ns()
            for _ in range(10):
                function(NUMBERS)
            result[i] = min(result[i], (time.perf_counter_ns() - start) / TURNS / 10)
    return result


def lateness(nogil: bool) -> float:
    """Milliseconds from Ctrl-C to the exception, the median of eleven."""
    a = Assembler("spin")
    a.prologue(polls=True)
    a.label("loop")
    a.poll(nogil=nogil)
    a.jmp("loop")
    spin = a.function("void()", nogil=nogil)
    late = []
    for _ in range(11):
        sent = [0.0]

        def press(sent: list[float] = sent) -> None:
            sent[0] = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.03, press)
        try:
            timer.start()
            spin()
        except KeyboardInterrupt:
            late.append(time.perf_counter() - sent[0])
        timer.join()
    return sorted(late)[len(late) // 2] * 1e3


def main() -> None:
    bodies: dict[str, Callable[[Assembler], None]] = {
        "an empty loop": lambda a: None,
        "a sum": lambda a: a.add(rax, qword[rdi + rsi * 8 - 8]),
    }
    print(f"{'ns per turn':<16}" + "".join(f"{way:>16}" for way in WAYS))
    for name, body in bodies.items():
        shown = "".join(f"{one:16.2f}" for one in best([loop(way, body) for way in WAYS]))
        print(f"{name:<16}{shown}")
    print(f"Ctrl-C comes {lateness(False):.2f} ms late; without the GIL {lateness(True):.2f} ms")


if __name__ == "__main__":
    main()
