"""The disk cache: whatever lies there, a program gets what it kept, or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracklayer.compiler import cache

ROOT = Path(__file__).resolve().parents[2]
DATA = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKLAYER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, ...]:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.py").write_text("x = 1\n")
    (tmp_path / "two.py").write_text("y = 2\n")
    cache.source_digest.cache_clear()
    return tmp_path / "one", tmp_path / "two.py"


def kept(folder: Path) -> Path:
    (only,) = folder.iterdir()
    return only


def test_what_was_kept_is_found(folder: Path, sources: tuple[Path, ...]) -> None:
    assert cache.find_cached("thing", sources) is None
    cache.keep("thing", sources, DATA)
    assert cache.find_cached("thing", sources) == DATA
    cache.keep("thing", sources, b"")
    assert cache.find_cached("thing", sources) == b""
    assert kept(folder).name.startswith("thing-")


def test_what_was_not_asked_for_goes_first_when_there_is_too_much(folder: Path, sources: tuple[Path, ...]) -> None:
    for number in range(10):
        cache.keep(f"thing{number}", sources, DATA)
    size = sum(path.stat().st_size for path in folder.iterdir()) // 10
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9 + int(path.name[5])))
    assert cache.find_cached("thing0", sources) == DATA  # and so it is young again
    others = [folder / name for name in ("mine.o", f"notes-{'0' * 32}.o", "thing.o.new")]
    for other in others:
        other.write_bytes(bytes(1000))
        os.utime(other, (1e8, 1e8))
    torn = folder / f"thing-{'1' * 32}.oabc12.new"
    torn.write_bytes(cache.MAGIC[:5])
    os.utime(torn, (1e8, 1e8))
    cache.tidy(folder, 20 * size)
    assert len(list(folder.iterdir())) == 14
    cache.tidy(folder, 8 * size + 4000)
    left = {number for number in range(10) if cache.find_cached(f"thing{number}", sources)}
    assert left == {0, 5, 6, 7, 8, 9}
    assert all(other.exists() for other in others) and not torn.exists()
    cache.tidy(folder / "nowhere", 0)


def test_keeping_tidies_now_and_then(folder: Path, sources: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache.tidy, "__defaults__", (10 * len(DATA),))
    for number in range(300):
        cache.keep(f"thing{number}", sources, DATA)
    assert len(list(folder.iterdir())) < 150


def test_it_is_found_only_for_the_same_name_sources_and_detail(folder: Path, sources: tuple[Path, ...]) -> None:
    cache.keep("thing", sources, DATA, "detail")
    assert cache.find_cached("thing", sources, "other") is None
    assert cache.find_cached("other", sources, "detail") is None
    assert cache.find_cached("thing", sources[:1], "detail") is None
    for path, text in ((sources[1], "y = 3\n"), (sources[0] / "a.py", "x = 2\n"), (sources[0] / "new.py", "")):
        before = path.read_text() if path.exists() else None
        path.write_text(text)
        cache.source_digest.cache_clear()
        assert cache.find_cached("thing", sources, "detail") is None
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
    cache.source_digest.cache_clear()
    assert cache.find_cached("thing", sources, "detail") == DATA


def test_another_machine_finds_nothing(
    folder: Path, sources: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep("thing", sources, DATA)
    monkeypatch.setattr(cache, "machine_identity", lambda: b"another")
    assert cache.find_cached("thing", sources) is None


@pytest.mark.parametrize("at", [0, 5, 19, 20, 40, 51, 52, 60, 4000, len(DATA) + 51])
def test_a_corrupt_file_is_ignored_and_replaced(folder: Path, sources: tuple[Path, ...], at: int) -> None:
    cache.keep("thing", sources, DATA)
    path = kept(folder)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert cache.find_cached("thing", sources) is None
    cache.keep("thing", sources, DATA)
    assert cache.find_cached("thing", sources) == DATA


@pytest.mark.parametrize("size", [0, 1, 19, 20, 51, 52, 53, 5000])
def test_a_truncated_or_empty_file_is_ignored(folder: Path, sources: tuple[Path, ...], size: int) -> None:
    cache.keep("thing", sources, DATA)
    path = kept(folder)
    path.write_bytes(path.read_bytes()[:size])
    assert cache.find_cached("thing", sources) is None


@pytest.mark.parametrize(
    "content", [b"#!/bin/sh\n", b"\x7fELF" + bytes(100), os.urandom(3000), cache.MAGIC + bytes(32)]
)
def test_a_foreign_file_is_ignored(folder: Path, sources: tuple[Path, ...], content: bytes) -> None:
    cache.keep("thing", sources, DATA)
    kept(folder).write_bytes(content)
    assert cache.find_cached("thing", sources) is None


def test_a_file_of_another_key_is_ignored(folder: Path, sources: tuple[Path, ...]) -> None:
    cache.keep("one", sources, b"one")
    one = kept(folder)
    cache.keep("two", sources, b"two")
    (two,) = set(folder.iterdir()) - {one}
    two.write_bytes(one.read_bytes())
    assert cache.find_cached("two", sources) is None
    assert cache.find_cached("one", sources) == b"one"


def test_a_folder_in_the_files_place_is_harmless(folder: Path, sources: tuple[Path, ...]) -> None:
    cache.keep("thing", sources, DATA)
    path = kept(folder)
    path.unlink()
    (path / "inside").mkdir(parents=True)
    assert cache.find_cached("thing", sources) is None
    cache.keep("thing", sources, DATA)
    assert cache.find_cached("thing", sources) is None
    assert [entry.name for entry in folder.iterdir()] == [path.name]


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null", "/dev/null/cache", "{}/file"])
def test_a_place_that_cannot_be_written_is_harmless(
    place: str, tmp_path: Path, sources: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a file where a folder is wanted")
    monkeypatch.setenv("TRACKLAYER_CACHE", place.format(tmp_path))
    cache.keep("thing", sources, DATA)
    assert cache.find_cached("thing", sources) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_harmless(folder: Path, sources: tuple[Path, ...]) -> None:
    cache.keep("thing", sources, DATA)
    folder.chmod(0o500)
    try:
        assert cache.find_cached("thing", sources) == DATA
        cache.keep("other", sources, DATA)
        assert cache.find_cached("other", sources) is None
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("step", ["replace", "fdopen"])
def test_a_disk_that_is_full_leaves_nothing_behind(
    step: str, folder: Path, sources: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep("thing", sources, DATA)

    def full(handle: object, *more: object) -> None:
        if isinstance(handle, int):
            os.close(handle)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        cache.keep("thing", sources, DATA + DATA)
    assert cache.find_cached("thing", sources) == DATA
    assert len(list(folder.iterdir())) == 1


def test_it_can_be_switched_off(sources: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKLAYER_CACHE", "off")
    assert cache.directory() is None
    cache.keep("thing", sources, DATA)
    assert cache.find_cached("thing", sources) is None


def test_its_place_is_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKLAYER_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.directory() == tmp_path / "tracklayer"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.directory() == tmp_path / ".cache" / "tracklayer"

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache.directory() is None


WRITER = """
import random, sys
from pathlib import Path
from tracklayer.compiler import cache
dice = random.Random(int(sys.argv[1]))
wrong = 0
for _ in range(150):
    size = dice.randrange(1 << 16)
    cache.keep("shared", [Path(sys.argv[2])], bytes([size & 0xFF]) * size)
    found = cache.find_cached("shared", [Path(sys.argv[2])])
    wrong += found is None or found != bytes([len(found) & 0xFF]) * len(found)
print(wrong)
"""


def test_eight_processes_at_once_always_find_whole_files(folder: Path, sources: tuple[Path, ...]) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(number), str(sources[1])], cwd=ROOT, stdout=subprocess.PIPE)
        for number in range(8)
    ]
    assert [process.communicate()[0].split() for process in processes] == [[b"0"]] * 8
    assert len(list(folder.iterdir())) == 1
