"""Save, load, step, compare, at random moments of every game: `python -m tests.moments [--moments 1000] [--seed N]`.

At each moment of a script that plays, the state is brought into consoles of all engines, by a saved state, a snapshot,
or a clone; all of them and the console itself then go on for a random time and must be equal, to the last pixel. Every
difference is printed; the exit status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator

from tracklayer import GameBoy
from tracklayer.api import CYCLES_PER_FRAME
from tracklayer.api.engines import ENGINES
from tracklayer.api.saving import FIELDS, at_rest

from .games import Game, games, play, script, try_all

LENGTHS = (40, 400, 4_000, 40_000, 4 * CYCLES_PER_FRAME)
"""A step is up to one of these long, in T-cycles."""
REFERENCE_LENGTH = 2_000
REFERENCE_EVERY = 4
"""Plain Python takes part in one moment of so many, and makes it a short step."""


def whole(gb: GameBoy) -> tuple[bytes, bytes]:
    """A console's state, however it was asked to come there, and its picture."""
    state = gb.state_bytes()
    return at_rest(state[:FIELDS]) + state[FIELDS:], bytes(gb.picture_bytes())


def check(game: Game, moments: int, seed: int) -> Iterator[str]:
    """Try so many moments of a game. Yields: what was wrong, in words."""
    source = random.Random(f"{game.name} {seed}")
    gb, buttons = game.console(), script(game, seed)
    others = {engine: game.console(engine) for engine in ENGINES}
    for moment in range(moments):
        play(gb, source.choice((0, 1, 1, 7, 60)), buttons)
        gb.run(cycles=source.randrange(CYCLES_PER_FRAME))
        length = source.randrange(4, source.choice(LENGTHS))
        names = ["interpreter", "translated"]
        if moment % REFERENCE_EVERY == 0:
            names.append("reference")
            length = min(length, REFERENCE_LENGTH)
        there, way = whole(gb), source.choice(("state", "snapshot", "clone"))
        if way == "clone":
            others["translated"] = gb.clone()
            others["interpreter"].restore(gb.snapshot())
            others["reference"].restore(gb.snapshot())
        else:
            for name in names:
                if way == "state":
                    others[name].load_state(gb.save_state())
                else:
                    others[name].restore(gb.snapshot())
        place = f"{game.name}, seed {seed}, moment {moment}, cycle {gb.cycles}, {way}"
        for name in names:
            if whole(others[name]) != there:
                yield f"{place}: {name} has another state than was saved"
        gb.run(cycles=length)
        for name in names:
            others[name].run(cycles=length)
            if whole(others[name]) != whole(gb):
                fields = ", ".join(difference.name for difference in gb.differences(others[name])[:5])
                yield f"{place}, then {length} cycles: {name} differs in {fields or 'the picture'}"


def main() -> int:
    """Try every game."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=1000, help="of each game")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return try_all(
        (f"{game.name}: {options.moments} moments", check(game, options.moments, options.seed)) for game in games()
    )


if __name__ == "__main__":
    sys.exit(main())
