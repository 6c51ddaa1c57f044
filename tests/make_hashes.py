"""Frame hashes of the games, made anew: `python -m tests.make_hashes [--pictures FOLDER]`.

Every game of the test programs' manifest is played by script for 3,600 frames on the translated engine, and the SHA-256
of its picture every 300 frames goes to tests/frame_hashes.json, which tests/api/test_games.py holds all engines
against. What changed is printed. Make the file anew after a change to the machine that is meant to change pictures, and
look at them first: with `--pictures` they are saved as PNG files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .games import EVERY, FRAMES, Game, games, missing, play, script

HASHES = Path(__file__).with_name("frame_hashes.json")
KEPT = 16
"""Hexadecimal digits of a hash that are kept: enough to tell pictures apart, and short to read."""


def frame_hashes(game: Game, engine: str, frames: int = FRAMES, pictures: Path | None = None) -> list[str]:
    """The hashes of a game's pictures every `EVERY` frames."""
    gb, buttons, found = game.console(engine), script(game), []
    for frame in range(EVERY, frames + 1, EVERY):
        play(gb, EVERY, buttons)
        found.append(gb.picture_hash()[:KEPT])
        if pictures is not None:
            gb.save_screenshot(pictures / f"{game.name.replace(' ', '-')}-{frame:04}.png")
    return found


def main() -> int:
    """Play every game, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, help="a folder for the pictures")
    options = parser.parse_args()
    found = games()
    if not found:
        print(missing())
        return 1
    if options.pictures is not None:
        options.pictures.mkdir(parents=True, exist_ok=True)
    before = json.loads(HASHES.read_text(encoding="utf-8")) if HASHES.exists() else {}
    after = {game.name: frame_hashes(game, "translated", pictures=options.pictures) for game in found}
    HASHES.write_text(json.dumps(after, indent=1) + "\n", encoding="utf-8")
    for name, hashes in after.items():
        old = before.get(name, [])
        changed = [EVERY * (at + 1) for at, one in enumerate(hashes) if old[at : at + 1] != [one]]
        print(f"{name}: {'unchanged' if not changed else 'changed at frames ' + ', '.join(map(str, changed))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
