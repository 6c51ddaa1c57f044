"""Ten minutes of each game with random input, and memory that stays flat: `python -m tests.long_play [--minutes 10]`.

Minutes are the guest's. Each game is played twice with the same input, as what is translated the first time takes
memory; the exit status is 1 if the second time took more than `--slack` MiB.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from pathlib import Path

from .games import Game, games, missing, play, script

FRAMES_PER_MINUTE = 3584
"""70,224 of 4,194,304 T-cycles a second each."""


def resident() -> int:
    """Bytes of memory that the process has now. Errors: OSError where the system does not tell."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(game: Game, frames: int, seed: int) -> tuple[int, int]:
    """How many bytes the process grew by while a game was played, and then once more with the same input.

    What grows the first time is code that is translated as the game comes to it; the second time all of it is there.
    """
    gb = game.console()
    start, found, before = gb.snapshot(), [], resident()
    for _ in range(2):
        gb.restore(start)
        play(gb, frames, script(game, seed))
        after = resident()
        found.append(after - before)
        before = after
    return found[0], found[1]


def main() -> int:
    """Play every game."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--slack", type=float, default=1.0, help="MiB")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not games():
        print(missing())
        return 1
    worst = 0
    for game in games():
        start = time.monotonic()
        first, grown = growth(game, int(options.minutes * FRAMES_PER_MINUTE), options.seed)
        worst = max(worst, grown)
        took = time.monotonic() - start
        print(f"{game.name}: {first >> 10:+} KiB, again {grown >> 10:+} KiB, in {took:.1f} s", flush=True)
    return 1 if worst > options.slack * (1 << 20) else 0


if __name__ == "__main__":
    sys.exit(main())
