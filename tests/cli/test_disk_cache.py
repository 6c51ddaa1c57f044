"""`tracklayer run` with the disk cache deleted, damaged, shared, or read-only: the same results, only later."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.images import cartridge

ROOT = Path(__file__).resolve().parents[2]
LOOPS = bytes.fromhex(("0600" + "3C" * 8 + "A8814F05" + "20F2") * 6 + "C35001")
"""Six loops of arithmetic, one after the other and again from the start: hot code."""
FRAMES = 6000
"""So many that there have been enough instructions for hot code to be looked up in the cache, or compiled."""

FILL = """
import sys, time
from pathlib import Path
from tracklayer import GameBoy
gb = GameBoy(sys.argv[1])
patience = time.monotonic() + 90
while not list(Path(sys.argv[2]).glob("gb-region-*")) and time.monotonic() < patience:
    gb.tick(60, render=False)
"""


def environment(folder: Path | str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TRACKLAYER_CACHE": str(folder)}


def start(folder: Path | str, rom: Path, state: Path, engine: str = "translated") -> subprocess.Popen[str]:
    """`tracklayer run`, in a process of its own."""
    command = [sys.executable, "-m", "tracklayer", "run", rom, "--frames", FRAMES, "--save-state", state]
    return subprocess.Popen(
        [*map(str, command), "--engine", engine], env=environment(folder), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> None:
    """It came to its end, and had nothing to complain of."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"{FRAMES} frames" in out
    assert "rror" not in err


@pytest.fixture(scope="module")
def rom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rom") / "loops.gb"
    path.write_bytes(cartridge(LOOPS))
    return path


@pytest.fixture(scope="module")
def full(rom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that began as no folder at all, and has all that the program needs."""
    pytest.importorskip("llvmlite")
    folder = tmp_path_factory.mktemp("full") / "made" / "cache"
    subprocess.run([sys.executable, "-c", FILL, rom, folder], env=environment(folder), check=True, timeout=180)
    names = sorted(path.name.partition("-")[2].partition("-")[0] for path in folder.iterdir())
    assert set(names) == {"engine", "stencils", "region"}
    return folder


@pytest.fixture(scope="module")
def expected(full: Path, rom: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The state that the program comes to."""
    state = tmp_path_factory.mktemp("expected") / "state"
    ended(start(full, rom, state))
    return state.read_bytes()


@pytest.fixture
def folder(full: Path, tmp_path: Path) -> Path:
    """A copy of the full cache."""
    shutil.copytree(full, tmp_path / "cache")
    return tmp_path / "cache"


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def swapped(content: bytes) -> bytes:
    return bytes(len(content))


@pytest.mark.parametrize("damage", [cut, flipped, swapped])
def test_damaged_regions_are_compiled_anew(
    damage: Callable[[bytes], bytes], folder: Path, rom: Path, expected: bytes, tmp_path: Path
) -> None:
    for path in folder.glob("gb-region-*"):
        path.write_bytes(damage(path.read_bytes()))
    ended(start(folder, rom, tmp_path / "state"))
    assert (tmp_path / "state").read_bytes() == expected


def test_a_damaged_engine_is_compiled_anew_and_kept(folder: Path, rom: Path, expected: bytes, tmp_path: Path) -> None:
    (engine,) = folder.glob("gb-engine-*")
    (stencils,) = folder.glob("gb-stencils-*")
    whole = engine.stat().st_size
    engine.write_bytes(flipped(engine.read_bytes()))
    stencils.write_bytes(cut(stencils.read_bytes()))
    damaged = engine.read_bytes(), stencils.read_bytes()
    ended(start(folder, rom, tmp_path / "state"))
    assert (tmp_path / "state").read_bytes() == expected
    assert engine.read_bytes() != damaged[0]
    assert stencils.read_bytes() != damaged[1]
    assert abs(engine.stat().st_size - whole) < whole // 10


def test_deleted_again_and_again_while_it_runs(folder: Path, rom: Path, expected: bytes, tmp_path: Path) -> None:
    process = start(folder, rom, tmp_path / "state")
    deletions = 0
    while process.poll() is None:
        deletions += folder.exists()
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)
    ended(process)
    assert deletions > 1  # it was there, and was made again
    assert (tmp_path / "state").read_bytes() == expected


def test_eight_at_once_on_one_folder(folder: Path, rom: Path, expected: bytes, tmp_path: Path) -> None:
    """All of them need regions that are not there, and all keep theirs."""
    for path in folder.glob("gb-region-*"):
        path.unlink()
    processes = [start(folder, rom, tmp_path / f"state{number}") for number in range(8)]
    for process in processes:
        ended(process)
    for number in range(8):
        assert (tmp_path / f"state{number}").read_bytes() == expected
    assert not list(folder.glob("*.new"))


def read_only(folder: Path) -> list[str]:
    """What to put before a command so that it finds the folder read-only; root may write whatever modes say."""
    if os.geteuid():
        folder.chmod(0o500)
        return []
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("root may write anywhere, and may not mount anything here")
    return prefix


def test_read_only_it_is_read(folder: Path, rom: Path, expected: bytes, tmp_path: Path) -> None:
    for path in folder.glob("gb-region-*"):
        path.unlink()
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    state = tmp_path / "state"
    command = [sys.executable, "-m", "tracklayer", "run", str(rom), "--frames", str(FRAMES), "--save-state", str(state)]
    try:
        done = subprocess.run(
            [*read_only(folder), *command], env=environment(folder), text=True, capture_output=True, timeout=120
        )
    finally:
        folder.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert state.read_bytes() == expected
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before


def test_a_place_where_nothing_can_be_is_done_without(rom: Path, expected: bytes, tmp_path: Path) -> None:
    """The interpreter has less to compile. tests/compiler/test_cache.py has other such places."""
    ended(start("/dev/null/cache", rom, tmp_path / "state", "interpreter"))
    assert (tmp_path / "state").read_bytes() == expected
