"""Writing files so that whoever reads them finds the old contents or the new, whole, whatever happens meanwhile; and
what users may give in place of a file."""

from __future__ import annotations

import contextlib
import os
import time
from typing import IO

STALE = 60.0
"""Seconds after which a temporary file that is still there belongs to nobody any more."""


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file: under another name beside it, to the disk, and then in its place.

    A link stays a link: what it leads to is written. A file's permissions stay as they are. Temporary files of writers
    that were killed are removed.
    Errors: OSError; the old file is still there then, and no other is left behind.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{time.monotonic_ns()}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, os.stat(target).st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)
    _remove_stale(folder, name)


def put(file: str | os.PathLike[str] | IO[bytes] | None, data: bytes) -> None:
    """Write to a path, atomically, or to an open file. Errors: OSError."""
    if isinstance(file, str | os.PathLike):
        write_atomically(file, data)
    elif file is not None:
        file.write(data)


def get(source: bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]) -> bytes:
    """The bytes themselves, or those of a path or an open file. Errors: OSError."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as opened:
            return opened.read()
    return source.read()


def _sync_folder(folder: str) -> None:
    """Have the new name on the disk too. Not everywhere can a folder be opened; the file is whole in any case."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _remove_stale(folder: str, name: str) -> None:
    """Remove what killed writers of this file left behind."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith(f".{name}.") and entry.name.endswith(".part"):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat().st_mtime > STALE:
                        os.unlink(entry.path)
