"""How code memory is mapped on each system: written here, run there, and never both through one mapping.

For:       `Backing`, what a system offers, and its kinds: dual mapping, flips, MAP_JIT, VirtualProtect.
Not for:   which of them is taken (denied.py); handing pieces of it out (memory.py, which says how the kinds compare).
Invariant: no page is ever writable and executable through the same mapping.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from tracklayer.native.unix import (
    MAP_32BIT,
    MAP_FIXED,
    MAP_JIT,
    MAP_NORESERVE,
    PAGE,
    c_library,
    memory_file,
    wants_name,
    whole_pages,
)

FROZEN = "when this process was forked there was no memory to copy the code: it can be run, not written"


class Backing(Protocol):
    """What a system offers for code memory. `rx` and `rw` are the two addresses of the range (equal where it flips)."""

    mode: str
    rx: int
    rw: int
    size: int
    granularity: int

    def commit(self, address: int, size: int) -> None:
        """Make sure that the range can be touched."""

    def writing(self, address: int, size: int) -> contextlib.AbstractContextManager[None]:
        """The range can be written by this thread inside the `with`."""

    def discard(self, address: int, size: int) -> None:
        """Nobody needs the content of these whole pages any more."""

    def before_fork(self) -> None: ...

    def after_fork(self, in_child: bool) -> None: ...

    def close(self) -> None: ...


class DualMapping:
    """One memory file, mapped read-execute and read-write.

    A shared mapping stays shared over `fork`: child and parent would write into each other's code. So just before a
    fork the written parts are copied into a second file (only these: the files have holes), which the child then
    maps over both aliases, at the same addresses. The parent drops its hold of the copy.

    Other threads go on meanwhile, and what they make of what they wrote (a function object, say) may be there at the
    moment of the fork. So from before the copying on, each write is noted after it is done; the child repeats them. A
    thread that has not noted its write yet has made nothing of it either."""

    mode = "dual"
    granularity = 16

    def __init__(self, size: int, low: bool) -> None:
        unix = c_library()
        self.size = size
        self._fd = memory_file(wants_name())
        self._copy = -1
        self._journal: list[tuple[int, bytes]] | None = None
        self.rx = self.rw = 0
        try:
            os.ftruncate(self._fd, size)
            place = MAP_32BIT if low else 0
            self.rx = unix.map(
                None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_SHARED | MAP_NORESERVE | place, self._fd
            )
            self.rw = unix.map(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | MAP_NORESERVE, self._fd)
        except BaseException:
            self.close()
            raise

    def commit(self, address: int, size: int) -> None:
        pass

    def writing(self, address: int, size: int) -> contextlib.AbstractContextManager[None]:
        return _Noted(self, address, size)

    def note(self, address: int, size: int) -> None:
        """So many bytes have been written: remember them, if the process is being forked."""
        journal = self._journal
        if journal is not None:
            journal.append((address - self.rx, ctypes.string_at(address + self.rw - self.rx, size)))

    def discard(self, address: int, size: int) -> None:
        c_library().remove(address + self.rw - self.rx, size)

    def before_fork(self) -> None:
        self._copy = -1
        self._journal = []
        copy = -1
        try:
            copy = memory_file(wants_name())
            os.ftruncate(copy, self.size)
            start = 0
            while start < self.size:
                try:
                    start = os.lseek(self._fd, start, os.SEEK_DATA)
                except OSError:  # ENXIO: only a hole is left
                    break
                end = os.lseek(self._fd, start, os.SEEK_HOLE)
                os.lseek(copy, start, os.SEEK_SET)
                while start < end:
                    start += os.sendfile(copy, self._fd, start, end - start)
            self._copy = copy
        except OSError:
            if copy >= 0:
                os.close(copy)

    def after_fork(self, in_child: bool) -> None:
        copy, self._copy = self._copy, -1
        journal, self._journal = self._journal, None
        if not in_child:
            if copy >= 0:
                os.close(copy)
            return
        unix = c_library()
        if copy < 0:
            # No memory for a copy. What the parent wrote can still be run; writing must not reach the parent.
            unix.protect(self.rw, self.size, mmap.PROT_READ)
            self.mode = "frozen"
            return
        for offset, data in journal or ():
            os.pwrite(copy, data, offset)
        os.close(self._fd)
        self._fd = copy
        shared = mmap.MAP_SHARED | MAP_FIXED | MAP_NORESERVE
        unix.map(self.rx, self.size, mmap.PROT_READ | mmap.PROT_EXEC, shared, copy)
        unix.map(self.rw, self.size, mmap.PROT_READ | mmap.PROT_WRITE, shared, copy)

    def close(self) -> None:
        for address in (self.rx, self.rw):
            if address:
                c_library().unmap(address, self.size)
        self.rx = self.rw = 0
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Noted:
    """What `writing` is with dual mapping: nothing before, and a note of the write behind it."""

    __slots__ = ("_address", "_mapping", "_size")

    def __init__(self, mapping: DualMapping, address: int, size: int) -> None:
        self._mapping, self._address, self._size = mapping, address, size

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._mapping.note(self._address, self._size)


# ---------------------------------------------------------------------------------------------------------------- flips


class ProtectFlips:
    """One private mapping; mprotect turns pages around for each write. A fork copies private pages on write."""

    mode = "flip"
    granularity = PAGE

    def __init__(self, size: int, low: bool) -> None:
        unix = c_library()
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE | (MAP_32BIT if low else 0)
        self.rx = self.rw = unix.map(None, size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1)
        self._lock = threading.RLock()
        try:
            unix.protect(self.rx, size, mmap.PROT_READ | mmap.PROT_EXEC)
        except BaseException:
            self.close()
            raise

    def commit(self, address: int, size: int) -> None:
        pass

    @contextlib.contextmanager
    def writing(self, address: int, size: int) -> Iterator[None]:
        first, length = whole_pages(address, size)
        with self._lock:
            c_library().protect(first, length, mmap.PROT_READ | mmap.PROT_WRITE)
            try:
                yield
            finally:
                c_library().protect(first, length, mmap.PROT_READ | mmap.PROT_EXEC)

    def discard(self, address: int, size: int) -> None:
        unix = c_library()
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED
        unix.map(address, size, mmap.PROT_READ | mmap.PROT_EXEC, flags, -1)

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, in_child: bool) -> None:
        if in_child:
            self._lock = threading.RLock()
        else:
            self._lock.release()

    def close(self) -> None:
        if self.rx:
            c_library().unmap(self.rx, self.size)
        self.rx = self.rw = 0


class AppleJit:
    """macOS on arm64: a MAP_JIT mapping, whose writability each thread switches for itself.

    Source: Apple, "Porting just-in-time compilers to Apple silicon". A signed program with the hardened runtime needs
    the entitlement com.apple.security.cs.allow-jit."""

    mode = "jit"
    granularity = 16

    def __init__(self, size: int, low: bool) -> None:
        if low:
            raise OSError("macOS on arm64 has no low addresses for code")
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANON | MAP_JIT
        everything = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC  # never both for any one thread: see `writing`
        self.rx = self.rw = c_library().map(None, size, everything, flags, -1)
        self._switch = c_library().libc.pthread_jit_write_protect_np
        self._switch.argtypes = (ctypes.c_int,)
        self._switch.restype = None
        self._switch(1)

    def commit(self, address: int, size: int) -> None:
        pass

    @contextlib.contextmanager
    def writing(self, address: int, size: int) -> Iterator[None]:
        self._switch(0)
        try:
            yield
        finally:
            self._switch(1)

    def discard(self, address: int, size: int) -> None:
        pass

    def before_fork(self) -> None:
        pass

    def after_fork(self, in_child: bool) -> None:
        pass  # a private mapping is copied on write

    def close(self) -> None:
        if self.rx:
            c_library().unmap(self.rx, self.size)
        self.rx = self.rw = 0


def _windows_kernel() -> Any:
    if sys.platform != "win32":
        raise OSError("VirtualAlloc exists on Windows only")
    return ctypes.WinDLL("kernel32", use_last_error=True)


def _windows_error() -> OSError:
    if sys.platform != "win32":
        return OSError()
    return ctypes.WinError(ctypes.get_last_error())


class WindowsFlips:
    """Windows: reserved at once, committed as blocks need it, VirtualProtect around each write.

    Source: Microsoft, "VirtualAlloc function", "VirtualProtect function", "Memory Protection Constants"."""

    mode = "flip"
    granularity = PAGE
    _RESERVE, _COMMIT, _RELEASE, _DECOMMIT = 0x2000, 0x1000, 0x8000, 0x4000
    _READWRITE, _EXECUTE_READ = 0x04, 0x20

    def __init__(self, size: int, low: bool) -> None:
        if low:
            raise OSError("low addresses for code are not offered on Windows")
        kernel = _windows_kernel()
        self._alloc = kernel.VirtualAlloc
        self._alloc.restype = ctypes.c_void_p
        self._alloc.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint32)
        self._free = kernel.VirtualFree
        self._free.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32)
        self._protect = kernel.VirtualProtect
        self._protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_void_p)
        self.size = size
        self._lock = threading.RLock()
        address = self._alloc(None, size, self._RESERVE, self._EXECUTE_READ)
        if not address:
            raise _windows_error()
        self.rx = self.rw = int(address)

    def commit(self, address: int, size: int) -> None:
        first, length = whole_pages(address, size)
        if not self._alloc(first, length, self._COMMIT, self._EXECUTE_READ):
            raise _windows_error()

    def _set(self, address: int, size: int, protection: int) -> None:
        before = ctypes.c_uint32()
        if not self._protect(address, size, protection, ctypes.byref(before)):
            raise _windows_error()

    @contextlib.contextmanager
    def writing(self, address: int, size: int) -> Iterator[None]:
        first, length = whole_pages(address, size)
        with self._lock:
            self._set(first, length, self._READWRITE)
            try:
                yield
            finally:
                self._set(first, length, self._EXECUTE_READ)

    def discard(self, address: int, size: int) -> None:
        self._free(address, size, self._DECOMMIT)

    def before_fork(self) -> None:
        pass

    def after_fork(self, in_child: bool) -> None:
        pass  # Windows has no fork

    def close(self) -> None:
        if self.rx:
            self._free(self.rx, 0, self._RELEASE)
        self.rx = self.rw = 0
