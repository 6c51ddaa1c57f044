"""What Python under translated code costs: `python -m benchmarks.hooks [--json]`.

A guest loop runs with and without a hook in it, and reads from and writes to plain memory or a Python-backed region;
the difference, less a plain Python call of the same function, is what the way there and back costs.

A hook that never fires is timed too, in that loop and in the games of the test programs: two consoles over the same
frames, one of them with a hook, alternately, who begins changing; the median of the ratios of neighbours, by processor
time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracklayer import GameBoy

from .consoles import games
from .engines import cartridge

LOOP = """
again:
    LD B,100
loop:
    INC HL
here:
    DEC B
    JR NZ,loop
    JR again
never:
    NOP
"""
MEMORY = """
    LD HL,$A000
again:
    {access}
    {access}
    {access}
    {access}
    JR again
"""
FRAMES = 40


def spent(gb: GameBoy, frames: int) -> int:
    """Nanoseconds of processor time for some frames."""
    start = time.thread_time_ns()
    gb.tick(frames, render=False)
    return time.thread_time_ns() - start


def silent_ratio(rom: str | bytes, address: int, pairs: int, warm_up: int, frames: int) -> float:
    """How many times as long some frames take with a hook at an address that is not reached."""
    plain, hooked = GameBoy(rom), GameBoy(rom)
    hooked.hook(address, lambda gb: None)
    starts = []
    for gb in (plain, hooked):
        gb.tick(warm_up, render=False)
        starts.append(gb.snapshot())
    ratios = []
    for turn in range(pairs):
        for gb, start in zip((plain, hooked), starts, strict=True):
            gb.restore(start)
            gb.tick(1, render=False)
        if turn % 2:
            alone, with_hook = spent(plain, frames), spent(hooked, frames)
        else:
            with_hook, alone = spent(hooked, frames), spent(plain, frames)
        ratios.append(with_hook / alone)
    return statistics.median(ratios)


def plain_call(function: Callable[[Any], object], argument: Any, count: int) -> float:
    """Seconds for so many plain calls, less those of the empty loop around them."""
    turns = range(count)
    start = time.perf_counter()
    for _ in turns:
        function(argument)
    middle = time.perf_counter()
    for _ in turns:
        pass
    return (middle - start) - (time.perf_counter() - middle)


def hook_cost(address: int) -> tuple[float, int]:
    """Nanoseconds that a firing hook costs beyond its function's own time; how often it fired."""
    rom = cartridge(LOOP, False)
    fired = 0

    def function(gb: GameBoy) -> None:
        nonlocal fired
        fired += 1

    gb = GameBoy(rom)
    gb.hook(address, function)
    gb.tick(2, render=False)
    fired, before = 0, gb.instructions
    start = time.perf_counter()
    gb.tick(FRAMES, render=False)
    with_hook = time.perf_counter() - start
    count, instructions = fired, gb.instructions - before
    other = GameBoy(rom)
    other.tick(2, render=False)
    done = other.instructions
    start = time.perf_counter()
    other.tick(FRAMES, render=False)
    without = (time.perf_counter() - start) * instructions / (other.instructions - done)
    return (with_hook - without - plain_call(function, gb, count)) / count * 1e9, count


def access_cost(access: str) -> float:
    """Nanoseconds that an access of a Python-backed region costs beyond its function's own time and a plain access."""
    rom = cartridge(MEMORY.format(access=access), False)
    calls = 0

    def read(address: int) -> int:
        nonlocal calls
        calls += 1
        return 7

    def write(address: int, value: int) -> None:
        nonlocal calls
        calls += 1

    gb = GameBoy(rom)
    gb.map_region(0xA000, 0xA0FF, read, write)
    gb.tick(1, render=False)
    calls = 0
    start = time.perf_counter()
    gb.tick(FRAMES, render=False)
    spent = time.perf_counter() - start
    count = calls
    own = plain_call(read, 1, count)
    return (spent - own) / count * 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--pairs", type=int, default=40, help="of runs with and without a hook that does not fire")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    here = 0x150 + 1 + 3 + 3 + 2 + 1
    firing = [hook_cost(here)[0] for _ in range(options.runs)]
    in_games = {Path(rom).name: silent_ratio(rom, 0x3FFF, options.pairs, 600, 240) for rom in games() if rom != "demo"}
    result = {
        "hook_ns": statistics.median(firing),
        "silent_hook_ratio": silent_ratio(cartridge(LOOP, False), 0x3000, options.pairs, 60, 400),
        "silent_hook_ratio_in_games": in_games,
        "region_read_ns": statistics.median(access_cost("LD A,[HL]") for _ in range(options.runs)),
        "region_write_ns": statistics.median(access_cost("LD [HL],A") for _ in range(options.runs)),
    }
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(f"a hook that fires costs {result['hook_ns']:.0f} ns beyond its function's own time")
    print(f"a hook that does not fire: {result['silent_hook_ratio']:.3f} of the time without")
    for name, ratio in in_games.items():
        print(f"  in {name}: {ratio:.3f}")
    read, write = result["region_read_ns"], result["region_write_ns"]
    print(f"a Python-backed region: a read costs {read:.0f} ns beyond its function's own time, a write {write:.0f} ns")


if __name__ == "__main__":
    main()
