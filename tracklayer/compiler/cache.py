"""The disk cache of objects: what was compiled once is loaded from then on, without LLVM.

For:       `find_cached` and `keep`.
Not for:   deciding what to compile, placing objects (native/).
Invariant: a file is either whole or ignored: it is written under another name and renamed, and it begins with a
           checksum of its key and its content. A file that belongs to another key is ignored too.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

KIND = b"tracklayer object "
MAGIC = KIND + b"2\n"
DIGEST = 32

LIMIT = 256 << 20
"""Bytes of objects that are kept: beyond that those go that were not asked for the longest."""
DAY = 86_400

_OURS = re.compile(r"[^/]+-[0-9a-f]{32}\.o(\w+\.new)?")
"""What `keep` calls its files, and what it leaves when it is killed."""

Place = tuple[Path, bytes]
"""A file, and the key that is part of its checksum."""


def directory() -> Path | None:
    """Where objects are kept: TRACKLAYER_CACHE, else the user's cache folder.

    None where TRACKLAYER_CACHE is `off`, or there is no such folder to be found.
    """
    asked = os.environ.get("TRACKLAYER_CACHE")
    if asked == "off":
        return None
    if asked:
        return Path(asked)
    try:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # nobody's home
        return None
    return Path(base) / "tracklayer"


def _llvmlite_versions() -> list[str]:
    """What is installed under the name of llvmlite, by its folder: asking importlib.metadata takes ten times as
    long."""
    found: list[str] = []
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            found += sorted(e.name for e in entries if e.name.startswith("llvmlite-") and e.name.endswith(".dist-info"))
    return found


@functools.cache
def machine_identity() -> bytes:
    """What compiled code depends on besides its source: the CPU and its features, CPython's ABI, LLVM."""
    parts = [
        platform.machine(),
        sys.platform,
        platform.python_implementation(),
        f"{sys.version_info.major}.{sys.version_info.minor}",
    ]
    with contextlib.suppress(OSError):
        wanted = ("model name", "flags", "Features", "CPU part")
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
            for line in info:
                if line.startswith(wanted):
                    parts.append(line.strip())
                elif not line.strip():
                    break
    parts.extend(_llvmlite_versions())
    return "\n".join(parts).encode()


@functools.cache
def source_digest(sources: tuple[Path, ...]) -> bytes:
    """A digest of some Python files, and of every one in some folders."""
    digest = hashlib.sha256()
    for source in sources:
        for path in [source] if source.is_file() else sorted(source.rglob("*.py")):
            digest.update(str(path.relative_to(source)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _place(name: str, sources: Iterable[Path], detail: str) -> Place | None:
    folder = directory()
    if folder is None:
        return None
    key = hashlib.sha256()
    for part in (MAGIC, name.encode(), machine_identity(), source_digest(tuple(sources)), detail.encode()):
        key.update(len(part).to_bytes(8, "little") + part)
    return folder / f"{name}-{key.hexdigest()[:32]}.o", key.digest()


def find_cached(name: str, sources: Iterable[Path], detail: str = "") -> bytes | None:
    """What was kept as `name`; None where nothing fits, or it cannot be read.

    sources: the Python files, and folders of them, that it was made from. detail: whatever else it depends on.
    """
    place = _place(name, sources, detail)
    return _read(*place) if place else None


def keep(name: str, sources: Iterable[Path], data: bytes, detail: str = "") -> None:
    """Keep `data` for `find_cached`. Where the cache cannot be written nothing happens."""
    place = _place(name, sources, detail)
    if place:
        _write(*place, data)
        if place[1][0] % 16 == 0:  # to look through the folder takes as long as to compile a small function
            tidy(place[0].parent)


def tidy(folder: Path, limit: int = LIMIT) -> None:
    """Delete the files in a cache that were not asked for the longest, where it holds more bytes than `limit`.

    Files of others are left alone, whatever they are called. Other processes may use the folder meanwhile.
    """
    found: list[tuple[float, int, str]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _OURS.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    found.append((facts.st_mtime, facts.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    if total <= limit:
        return
    for _, size, path in sorted(found):
        if total <= limit * 3 // 4:
            return
        with contextlib.suppress(OSError):
            with open(path, "rb") as file:
                ours = KIND.startswith(file.read(len(KIND)))
            if ours:
                os.unlink(path)
                total -= size


def _head(key: bytes, data: bytes) -> bytes:
    return MAGIC + hashlib.sha256(key + data).digest()


def _read(path: Path, key: bytes) -> bytes | None:
    try:
        with open(path, "rb") as file:
            content = file.read()
            if os.fstat(file.fileno()).st_mtime < time.time() - DAY:
                with contextlib.suppress(OSError):
                    os.utime(path)  # `tidy` is to see that it was asked for
    except OSError:
        return None
    head, body = content[: len(MAGIC) + DIGEST], content[len(MAGIC) + DIGEST :]
    return body if head == _head(key, body) else None


def _write(path: Path, key: bytes, data: bytes) -> None:
    import tempfile

    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".new", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_head(key, data) + data)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
