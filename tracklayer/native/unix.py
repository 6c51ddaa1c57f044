"""The C library's memory calls, for addresses of our choice, and files in memory. For Unix systems.

For:       mmap, munmap, mprotect and madvise by number; nameless and named memory files; instruction caches.
Not for:   what is mapped how, and why (mappings.py).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import mmap
import os
import platform
import sys
from collections.abc import Callable

PAGE = mmap.PAGESIZE

MAP_FAILED = ctypes.c_void_p(-1).value
MAP_FIXED = 0x10
MAP_32BIT = 0x40
MAP_NORESERVE = 0x4000 if sys.platform.startswith("linux") else 0
MAP_JIT = 0x800  # macOS, <sys/mman.h>
MADV_REMOVE = 9  # Linux, <asm-generic/mman-common.h>
MFD_CLOEXEC = 0x1
MFD_EXEC = 0x10  # Linux 6.3 and later; older ones answer EINVAL


class CLibrary:
    """mmap, munmap and mprotect by number, for addresses of our choice (the standard library's mmap hides them)."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._mmap = libc.mmap
        self._mmap.restype = ctypes.c_void_p
        self._mmap.argtypes = (
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_longlong,
        )
        self._munmap = libc.munmap
        self._munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        self._mprotect = libc.mprotect
        self._mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self._madvise = libc.madvise
        self._madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self.libc = libc

    def map(self, address: int | None, size: int, protection: int, flags: int, fd: int) -> int:
        result = self._mmap(address, size, protection, flags, fd, 0)
        if result is None or result == MAP_FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return int(result)

    def unmap(self, address: int, size: int) -> None:
        self._munmap(address, size)

    def protect(self, address: int, size: int, protection: int) -> None:
        if self._mprotect(address, size, protection):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def remove(self, address: int, size: int) -> None:
        self._madvise(address, size, MADV_REMOVE)


@functools.cache
def c_library() -> CLibrary:
    return CLibrary()


def whole_pages(address: int, size: int) -> tuple[int, int]:
    """The whole pages that hold a range: their first address and their length."""
    first = address & ~(PAGE - 1)
    return first, ((address + size + PAGE - 1) & ~(PAGE - 1)) - first


@functools.cache
def flush_instructions() -> Callable[[int, int], None] | None:
    """What makes written bytes visible to instruction fetch, or None where the processor does it by itself (x86).

    Source: Arm Architecture Reference Manual, "Concurrent modification and execution of instructions"."""
    if platform.machine().lower() in ("x86_64", "amd64", "i386", "i686"):
        return None
    if sys.platform == "darwin":
        invalidate = ctypes.CDLL(None).sys_icache_invalidate
        invalidate.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        return lambda address, size: invalidate(address, size)
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.FlushInstructionCache.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        return lambda address, size: kernel.FlushInstructionCache(ctypes.c_void_p(-1), address, size)
    clear = ctypes.CDLL("libgcc_s.so.1").__clear_cache
    clear.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    return lambda address, size: clear(address, address + size)


def wants_name() -> bool:
    """Whether code memory shall be a file that others can open by its name: see elf.py."""
    return "elf" in os.environ.get("TRACKLAYER_DEBUG", "").split(",")


def _forget(path: str, owner: int) -> None:
    """Remove a named file when the process that made it ends."""
    if os.getpid() == owner:
        with contextlib.suppress(OSError):
            os.unlink(path)


def memory_file(named: bool = False) -> int:
    """An open, empty, nameless file in memory; or one with a name, which it has until the process ends.
    Errors: OSError with the answer of the last way that was tried. Imports nothing: it may run where nothing can
            load."""
    if hasattr(os, "memfd_create") and not named:
        for flags in (MFD_CLOEXEC | MFD_EXEC, MFD_CLOEXEC):
            with contextlib.suppress(OSError):
                return os.memfd_create("tracklayer-code", flags)
    refusal: OSError | None = None
    for folder in ("/dev/shm", os.environ.get("TMPDIR", "/tmp"), "/tmp"):
        path = f"{folder}/tracklayer-code-{os.getpid()}-{os.urandom(8).hex()}"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
        except OSError as error:
            refusal = error
            continue
        if named:
            atexit.register(_forget, path, os.getpid())
        else:
            os.unlink(path)
        # A file system mounted noexec lets the file be made but not mapped for execution: look before taking it.
        try:
            os.ftruncate(fd, PAGE)
            probe = c_library().map(None, PAGE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_SHARED, fd)
        except OSError as error:
            os.close(fd)
            _forget(path, os.getpid())
            refusal = OSError(error.errno, f"{error.strerror} (a file in {folder}, mapped for execution)")
            continue
        c_library().unmap(probe, PAGE)
        return fd
    raise refusal if refusal is not None else OSError("no memory file to be had")
