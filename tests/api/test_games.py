"""Games: what they show, played by script, is what they showed when somebody looked at it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import long_play, moments
from tests.games import FRAMES, Game, games, missing
from tests.make_hashes import HASHES, frame_hashes
from tracklayer.api.lockstep import lockstep

KEPT = json.loads(HASHES.read_text(encoding="utf-8"))


def each_game(metafunc: pytest.Metafunc) -> None:
    """A test that takes `game` runs for each; one that is skipped stands for them where there are none."""
    if "game" in metafunc.fixturenames:
        found = games() or [pytest.param(None, marks=pytest.mark.skip(reason=missing()))]
        metafunc.parametrize("game", found, ids=lambda game: game.name.replace(" ", "-") if game else "none")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    each_game(metafunc)


def test_a_game_shows_what_it_showed(game: Game) -> None:
    assert frame_hashes(game, "translated") == KEPT[game.name], "python -m tests.make_hashes, if that is meant"


def test_the_interpreter_shows_the_same(game: Game) -> None:
    some = frame_hashes(game, "interpreter", FRAMES // 4)
    assert some == KEPT[game.name][: len(some)]


def test_hashes_are_kept_of_every_game() -> None:
    found = games()
    if not found:
        pytest.skip(missing())
    assert sorted(KEPT) == sorted(game.name for game in found)


def test_saved_restored_and_cloned_at_any_moment_it_goes_on_alike_on_every_engine(game: Game) -> None:
    assert list(moments.check(game, 4, 1)) == []


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell how much memory is used")
def test_memory_is_flat_while_it_is_played(game: Game) -> None:
    assert long_play.growth(game, long_play.FRAMES_PER_MINUTE // 2, 1)[1] < 1 << 20


def test_engines_agree_on_it_with_buttons_pressed_at_random(game: Game) -> None:
    report = lockstep(game.console("interpreter"), game.console(), 300_000, seed=2, buttons=True)
    assert report.divergence is None
    assert report.instructions >= 300_000
