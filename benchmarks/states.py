"""What saving, restoring and cloning a console costs: `python -m benchmarks.states [ROM ...] [--model MODEL]`.

Without ROMs: the games of the test programs (TRACKLAYER_ROMS), else the demo. A row is the best of many, in
microseconds. "restore, tick" is what going back and on by a frame costs; "clone, run" a clone's first instruction
included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from tests.games import games, script
from tracklayer import GameBoy

COLUMNS = ("snapshot", "restore", "clone", "tick", "restore, tick", "clone, run", "save_state", "load_state")


def best(function: Callable[[], object], times: int = 200) -> float:
    """The shortest of many calls, in microseconds."""
    shortest = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        function()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest * 1e6


def measure(gb: GameBoy) -> tuple[float, ...]:
    """One row."""
    snapshot, state = gb.snapshot(), gb.save_state()

    def restore_and_tick() -> None:
        gb.restore(snapshot)
        gb.tick()

    return (
        best(gb.snapshot), best(lambda: gb.restore(snapshot)), best(gb.clone), best(gb.tick), best(restore_and_tick),
        best(lambda: gb.clone().run(cycles=4)), best(gb.save_state, 20), best(lambda: gb.load_state(state), 20),
    )  # fmt: skip


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roms", nargs="*")
    parser.add_argument("--model", default="dmg")
    options = parser.parse_args()
    consoles: list[tuple[str, GameBoy]] = []
    for rom in options.roms or ([] if games() else ["demo"]):
        gb = GameBoy(rom, model=options.model)
        gb.tick(600)
        consoles.append((rom, gb))
    for game in [] if options.roms else games():
        gb, buttons = game.console(), script(game)
        for _ in range(1200):
            gb.release()
            gb.press(*next(buttons))
            gb.tick()
        consoles.append((game.name, gb))
    print(f"{'microseconds':26}" + "".join(f"{name:>15}" for name in COLUMNS))
    for name, gb in consoles:
        print(f"{name:26}" + "".join(f"{cost:15.1f}" for cost in measure(gb)))


if __name__ == "__main__":
    main()
