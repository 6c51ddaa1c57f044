"""The games among the test programs, and how a script plays them: what their tests and commands share.

For:     finding the games (TRACKLAYER_ROMS), pressing the same buttons at the same frames every time, and telling what
         was wrong.
Not for: what is tested with them (tests/api/test_games.py, make_hashes.py, moments.py, long_play.py).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from tracklayer import GameBoy

FRAMES = 3600
"""How long a script is that hashes are kept of."""
EVERY = 300
"""Frames between two hashes."""
HELD = 6
"""Frames that a button is held, and then none is."""
STEP = 60
"""Frames from one button of an opening to the next."""
OPENING = ("", *("start", "a") * 7)
"""What gets a game through its title and menus; then the script plays."""
OPENINGS = {
    "tobutobugirl.gb": (*("",) * 15, *("start", "a") * 4),
    "ucity.gbc": ("", "", "a", "down", "down", "a", "", "a", "", "a", "start", "", "select", "right", "a"),
}
"""The openings of games that want another: one waits for its credits, the other is led to a scenario."""


class Game(NamedTuple):
    """A game on a model."""

    path: str
    model: str

    @property
    def name(self) -> str:
        return f"{Path(self.path).name} on {self.model}"

    def console(self, engine: str = "translated") -> GameBoy:
        """A console with the game in it."""
        model = "cgb" if self.model == "cgb-compat" else self.model
        return GameBoy(folder() / self.path, engine=engine, model=model)


def folder() -> Path:
    """Where the test programs are: at TRACKLAYER_ROMS, or beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "roms"
    return Path(os.environ.get("TRACKLAYER_ROMS", beside))


def games() -> list[Game]:
    """The Game Boy and Game Boy Color games of the manifest; none where there is no manifest."""
    manifest = folder() / "manifest.json"
    if not manifest.exists():
        return []
    entries = json.loads(manifest.read_text(encoding="utf-8"))
    wanted = [entry for entry in entries if entry["kind"] == "game" and entry["system"] == "gb"]
    return [Game(entry["path"], model) for entry in wanted for model in entry["model"]]


def missing() -> str:
    """Why there are no games, for a test that is skipped."""
    return f"no games: {folder()} holds no manifest.json; set TRACKLAYER_ROMS to the folder of test programs"


def script(game: Game, seed: int = 1) -> Iterator[tuple[str, ...]]:
    """The buttons held, frame by frame, without end: the game's opening, then anything that plays, at random."""
    for button in OPENINGS.get(Path(game.path).name, OPENING):
        for frame in range(STEP):
            yield (button,) if button and frame < HELD else ()
    random = Random(seed)
    while True:
        direction = random.choice(("right", "left", "up", "down"))
        chosen = random.choice(((direction,), (direction,), (direction, "a"), ("a",), ("b",), (direction, "b")))
        for _ in range(HELD):
            yield chosen
        for _ in range(random.choice((2, 6, 10))):
            yield ()


def play(gb: GameBoy, frames: int, buttons: Iterator[tuple[str, ...]]) -> None:
    """Let the script play so many frames. Only the last two are drawn."""
    for left in range(frames, 0, -1):
        gb.release()
        gb.press(*next(buttons))
        gb.tick(1, render=left <= 2)


def try_all(rounds: Iterable[tuple[str, Iterable[str]]]) -> int:
    """Run checks and print every complaint, for a command: its exit status. A round is what it says, and complaints."""
    if not games():
        print(missing())
        return 1
    wrong = 0
    for what, complaints in rounds:
        start = time.monotonic()
        for complaint in complaints:
            print(complaint, flush=True)
            wrong += 1
        print(f"{what} in {time.monotonic() - start:.0f} s", flush=True)
    print(f"{wrong} differences")
    return 1 if wrong else 0
