"""What the host's time goes to: `python -m benchmarks.shares [ROM ...] [--model MODEL] [--seconds S]`.

Without ROMs: the games of the test programs (TRACKLAYER_ROMS), else the demo. Each plays by script for 1,200 frames,
then the next 1,200 are profiled: not drawn, drawn, drawn with sound. Figures are microseconds of the processor's time a
frame by part, as `tracklayer profile` finds them by sampling; parts below 0.05 everywhere are left out.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable

from tests.games import games, script
from tracklayer import GameBoy, Profile, profile

WARM_UP = FRAMES = 1200
WAYS = {"not drawn": (False, False), "drawn": (True, False), "drawn, sound": (True, True)}
LEAST = 0.05


def presses(held: Iterable[tuple[str, ...]]) -> list[tuple[int, str, bool]]:
    """Buttons going down and up, from which are held in each frame. The warm-up's frames are below 0."""
    found, before = [], set[str]()
    for frame, names in enumerate(itertools.islice(held, WARM_UP + FRAMES), -WARM_UP):
        found += [(frame, name, False) for name in sorted(before.difference(names))]
        found += [(frame, name, True) for name in sorted(set(names) - before)]
        before = set(names)
    return found


def show(name: str, profiles: dict[str, Profile]) -> None:
    """A table: parts down, ways across."""
    costs: dict[str, dict[str, float]] = {}
    totals = {}
    for way, found in profiles.items():
        assert found.host is not None
        totals[way] = found.host.seconds / found.host.passes / found.frames * 1e6
        for part in found.host.parts:
            costs.setdefault(part.name, {})[way] = part.share * totals[way]
    print(f"\n{name:34}" + "".join(f"{way:>14}" for way in profiles))
    for part, row in sorted(costs.items(), key=lambda item: -max(item[1].values())):
        if max(row.values()) >= LEAST:
            print(f"{part:34}" + "".join(f"{row.get(way, 0.0):14.2f}" for way in profiles))
    print(f"{'all':34}" + "".join(f"{total:14.2f}" for total in totals.values()))


def main() -> None:
    """Profile, and print a table for each game."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roms", nargs="*")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--seconds", type=float, default=1.0, help="of the processor's time, for each column")
    options = parser.parse_args()
    roms: list[tuple[str, GameBoy, list[tuple[int, str, bool]]]] = [
        (rom, GameBoy(rom, model=options.model), []) for rom in options.roms or ([] if games() else ["demo"])
    ]
    chosen = [] if options.roms else games()
    roms += [(game.name, game.console(), presses(script(game))) for game in chosen]
    for name, console, buttons in roms:
        start = console.snapshot()
        profiles = {}
        for way, (render, sound) in WAYS.items():
            console.restore(start)
            profiles[way] = profile(
                console, FRAMES, warm_up=WARM_UP, presses=buttons, render=render, sound=sound, seconds=options.seconds
            )
            if profiles[way].host is None:
                raise SystemExit(profiles[way].host_missing)
        show(name, profiles)


if __name__ == "__main__":
    main()
