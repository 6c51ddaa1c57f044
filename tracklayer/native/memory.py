"""Code memory: the one range of addresses in which all machine code of the process lives.

For:       reserving the range; handing out blocks of it; writing code; taking blocks back; surviving `fork`.
Not for:   what the bytes mean (loader.py, assembler.py); when nobody can be inside a block any more (calls.py).
Invariant: no page is ever writable and executable through the same mapping.

How it stands on each system:

- **Linux, dual mapping** (`mode == "dual"`): one memory file, mapped twice. The read-execute alias is where code
  runs, the read-write alias is where it is written; `writable_delta` is the distance from the first to the second, so
  typed code writes instruction bytes with an ordinary store at `address + writable_delta`, without a system call.
  The file is a `memfd`, or where that is not to be had an unlinked file in `/dev/shm` or the temporary directory.
- **Elsewhere on Unix, flips** (`mode == "flip"`): one private mapping whose pages `mprotect` turns from read-execute to
  read-write and back around each write. Each block has pages of its own, because a page that is being
  written cannot run. Measured on Linux: about 13 us for the pair of calls.
- **macOS on arm64** (`mode == "jit"`): one MAP_JIT mapping; `pthread_jit_write_protect_np` decides for the writing
  thread alone.
- **Windows** (`mode == "flip"`): VirtualAlloc, committed as blocks need it, VirtualProtect for the flips.

The last two are written from the vendors' manuals ("Porting just-in-time compilers to Apple silicon"; "VirtualProtect
function") and have not been run by the project's own tests, which run on Linux.

The range is reserved at once and takes memory only where it was written, so being generous costs address space alone.
All blocks of one `CodeMemory` reach each other by a signed 32-bit displacement.
"""

from __future__ import annotations

import atexit
import bisect
import contextlib
import ctypes
import functools
import mmap
import os
import platform
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tracklayer.native.elf import FRONT, ElfFront

PAGE = mmap.PAGESIZE
DEFAULT_SIZE = 256 << 20
SMALLEST_SIZE = 4 << 20
REACH = 1 << 31
"""No code memory may be larger: a signed 32-bit displacement must reach from its one end to the other."""
INT3 = 0xCC
"""Freed code is filled with this x86 instruction (on arm64 four of them are undefined): who runs it stops at once."""
GIVE_BACK = 1 << 16
"""A freed block of at least so many bytes gives its pages back to the system."""


class CodeMemoryFull(MemoryError):
    """The reserved range has no hole that is large enough. The message says how much is used."""


class ExecutableMemoryDenied(OSError):
    """The system does not let this process have memory that it filled itself and then runs.

    The message names each way that was tried, what the system answered, and which of its settings forbids it."""


class Block:
    """A piece of code memory.

    `address` is where its bytes run (and can be read); `writable` is where they can be written, which in the modes that
    flip is the same address and needs `memory.writing(...)` around it. A block keeps its memory alive; it is freed
    by `free()` or when the last reference goes, and then nobody may run it."""

    __slots__ = ("__weakref__", "_freed", "address", "memory", "size")

    def __init__(self, memory: CodeMemory, address: int, size: int) -> None:
        self.memory = memory
        self.address = address
        self.size = size
        self._freed = False

    @property
    def writable(self) -> int:
        """The address at which the bytes can be written."""
        return self.address + self.memory.writable_delta

    @property
    def freed(self) -> bool:
        """Whether the block was given back."""
        return self._freed

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Copy `data` into the block.
        Errors: ValueError, where it does not fit or the block was freed."""
        size = len(data)
        if self._freed:
            raise ValueError(f"the block at {self.address:#x} was freed")
        if offset < 0 or offset + size > self.size:
            raise ValueError(f"{size} bytes at offset {offset} do not fit a block of {self.size} bytes")
        if size:
            self.memory.store(self.address + offset, data)

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """A copy of the block's bytes."""
        size = self.size - offset if size is None else size
        if self._freed:
            raise ValueError(f"the block at {self.address:#x} was freed")
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ValueError(f"{size} bytes at offset {offset} are not inside a block of {self.size} bytes")
        return ctypes.string_at(self.address + offset, size)

    def free(self) -> None:
        """Give the block back. The caller answers for nobody being inside it. Freeing twice does nothing."""
        if not self._freed:
            self._freed = True
            self.memory.release(self.address, self.size)

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not getattr(self, "_freed", True) and not _ending():  # at the end of the process all goes anyway
            self.free()

    def __repr__(self) -> str:
        return f"<Block {self.address:#x}+{self.size:#x}{' freed' if self._freed else ''}>"


_FROZEN = "when this process was forked there was no memory to copy the code: it can be run, not written"


class _Backing(Protocol):
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


# ----------------------------------------------------------------------------------------------- the C library, on Unix

_MAP_FAILED = ctypes.c_void_p(-1).value
_MAP_FIXED = 0x10
_MAP_32BIT = 0x40
_MAP_NORESERVE = 0x4000 if sys.platform.startswith("linux") else 0
_MAP_JIT = 0x800  # macOS, <sys/mman.h>
_MADV_REMOVE = 9  # Linux, <asm-generic/mman-common.h>
_MFD_CLOEXEC = 0x1
_MFD_EXEC = 0x10  # Linux 6.3 and later; older ones answer EINVAL


class _Unix:
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
        if result is None or result == _MAP_FAILED:
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
        self._madvise(address, size, _MADV_REMOVE)


@functools.cache
def _unix() -> _Unix:
    return _Unix()


def _pages(address: int, size: int) -> tuple[int, int]:
    """The whole pages that hold a range: their first address and their length."""
    first = address & ~(PAGE - 1)
    return first, ((address + size + PAGE - 1) & ~(PAGE - 1)) - first


@functools.cache
def _flush_instructions() -> Callable[[int, int], None] | None:
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


# --------------------------------------------------------------------------------------------------------- dual mapping


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
        for flags in (_MFD_CLOEXEC | _MFD_EXEC, _MFD_CLOEXEC):
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
            probe = _unix().map(None, PAGE, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_SHARED, fd)
        except OSError as error:
            os.close(fd)
            _forget(path, os.getpid())
            refusal = OSError(error.errno, f"{error.strerror} (a file in {folder}, mapped for execution)")
            continue
        _unix().unmap(probe, PAGE)
        return fd
    raise refusal if refusal is not None else OSError("no memory file to be had")


class _DualMapping:
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
        unix = _unix()
        self.size = size
        self._fd = memory_file(wants_name())
        self._copy = -1
        self._journal: list[tuple[int, bytes]] | None = None
        self.rx = self.rw = 0
        try:
            os.ftruncate(self._fd, size)
            place = _MAP_32BIT if low else 0
            self.rx = unix.map(
                None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_SHARED | _MAP_NORESERVE | place, self._fd
            )
            self.rw = unix.map(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _MAP_NORESERVE, self._fd)
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
        _unix().remove(address + self.rw - self.rx, size)

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
        unix = _unix()
        if copy < 0:
            # No memory for a copy. What the parent wrote can still be run; writing must not reach the parent.
            unix.protect(self.rw, self.size, mmap.PROT_READ)
            self.mode = "frozen"
            return
        for offset, data in journal or ():
            os.pwrite(copy, data, offset)
        os.close(self._fd)
        self._fd = copy
        shared = mmap.MAP_SHARED | _MAP_FIXED | _MAP_NORESERVE
        unix.map(self.rx, self.size, mmap.PROT_READ | mmap.PROT_EXEC, shared, copy)
        unix.map(self.rw, self.size, mmap.PROT_READ | mmap.PROT_WRITE, shared, copy)

    def close(self) -> None:
        for address in (self.rx, self.rw):
            if address:
                _unix().unmap(address, self.size)
        self.rx = self.rw = 0
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Noted:
    """What `writing` is with dual mapping: nothing before, and a note of the write behind it."""

    __slots__ = ("_address", "_mapping", "_size")

    def __init__(self, mapping: _DualMapping, address: int, size: int) -> None:
        self._mapping, self._address, self._size = mapping, address, size

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._mapping.note(self._address, self._size)


# ---------------------------------------------------------------------------------------------------------------- flips


class _ProtectFlips:
    """One private mapping; mprotect turns pages around for each write. A fork copies private pages on write."""

    mode = "flip"
    granularity = PAGE

    def __init__(self, size: int, low: bool) -> None:
        unix = _unix()
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE | (_MAP_32BIT if low else 0)
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
        first, length = _pages(address, size)
        with self._lock:
            _unix().protect(first, length, mmap.PROT_READ | mmap.PROT_WRITE)
            try:
                yield
            finally:
                _unix().protect(first, length, mmap.PROT_READ | mmap.PROT_EXEC)

    def discard(self, address: int, size: int) -> None:
        unix = _unix()
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE | _MAP_FIXED
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
            _unix().unmap(self.rx, self.size)
        self.rx = self.rw = 0


class _AppleJit:
    """macOS on arm64: a MAP_JIT mapping, whose writability each thread switches for itself.

    Source: Apple, "Porting just-in-time compilers to Apple silicon". A signed program with the hardened runtime needs
    the entitlement com.apple.security.cs.allow-jit."""

    mode = "jit"
    granularity = 16

    def __init__(self, size: int, low: bool) -> None:
        if low:
            raise OSError("macOS on arm64 has no low addresses for code")
        self.size = size
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANON | _MAP_JIT
        everything = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC  # never both for any one thread: see `writing`
        self.rx = self.rw = _unix().map(None, size, everything, flags, -1)
        self._switch = _unix().libc.pthread_jit_write_protect_np
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
            _unix().unmap(self.rx, self.size)
        self.rx = self.rw = 0


def _windows_kernel() -> Any:
    if sys.platform != "win32":
        raise OSError("VirtualAlloc exists on Windows only")
    return ctypes.WinDLL("kernel32", use_last_error=True)


def _windows_error() -> OSError:
    if sys.platform != "win32":
        return OSError()
    return ctypes.WinError(ctypes.get_last_error())


class _WindowsFlips:
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
        first, length = _pages(address, size)
        if not self._alloc(first, length, self._COMMIT, self._EXECUTE_READ):
            raise _windows_error()

    def _set(self, address: int, size: int, protection: int) -> None:
        before = ctypes.c_uint32()
        if not self._protect(address, size, protection, ctypes.byref(before)):
            raise _windows_error()

    @contextlib.contextmanager
    def writing(self, address: int, size: int) -> Iterator[None]:
        first, length = _pages(address, size)
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


# ---------------------------------------------------------------------------------------------- when the system says no


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip().strip("\0")
    except OSError:
        return ""


def restrictions() -> tuple[str, ...]:
    """The settings of this system that can forbid executable memory to this process, each with what to do about it.

    An empty tuple means that none of the known ones is active."""
    found = []
    if sys.platform.startswith("linux"):
        if _first_line("/sys/fs/selinux/enforce") == "1":
            found.append(
                f"SELinux is enforcing (this process: {_first_line('/proc/self/attr/current') or 'unknown domain'}): "
                "its policy needs `execmem` and `execute` on tmpfs files for that domain; "
                "`ausearch -m avc -ts recent` shows what was refused"
            )
        noexec = _first_line("/proc/sys/vm/memfd_noexec")
        if noexec in ("1", "2"):
            found.append(
                f"vm.memfd_noexec is {noexec}: memory files may not be executable; "
                "set it to 0 with `sysctl vm.memfd_noexec=0`"
            )
        with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                key, _, value = line.partition(":")
                value = value.strip()
                if key == "Seccomp" and value == "2":
                    found.append(
                        "a seccomp filter is active: it must allow memfd_create, or mprotect with PROT_EXEC (systemd: "
                        "MemoryDenyWriteExecute= and SystemCallFilter=; containers: the seccomp profile)"
                    )
                if key == "PaX" and "M" in value:
                    found.append(f"PaX MPROTECT is on (flags {value}): `paxctl -m` on the Python binary turns it off")
        with contextlib.suppress(OSError, AttributeError):
            if _unix().libc.prctl(66, 0, 0, 0, 0) > 0:  # PR_GET_MDWE, Linux 6.3
                found.append(
                    "PR_SET_MDWE is set: pages cannot become executable later "
                    "(a memory file still may be mapped so: allow memfd_create)"
                )
        with contextlib.suppress(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields = line.split()
                if len(fields) > 3 and fields[1] in ("/dev/shm", "/tmp") and "noexec" in fields[3].split(","):
                    found.append(f"{fields[1]} is mounted noexec: `mount -o remount,exec {fields[1]}`, or set TMPDIR")
    elif sys.platform == "darwin":
        found.append("a program with the hardened runtime needs the entitlement com.apple.security.cs.allow-jit")
    elif sys.platform == "win32":
        found.append("Arbitrary Code Guard (ProcessDynamicCodePolicy) must be off for this program")
    return tuple(found)


_Way = Callable[[int, bool], _Backing]
_WAYS: dict[str, dict[str, _Way]] = {
    "linux": {"dual": _DualMapping, "flip": _ProtectFlips},
    "darwin-arm64": {"jit": _AppleJit},
    "darwin": {"flip": _ProtectFlips},
    "win32": {"flip": _WindowsFlips},
}


def _reserve(size: int, low: bool, mode: str | None) -> _Backing:
    system = "linux" if sys.platform.startswith(("linux", "freebsd")) else sys.platform
    if system == "darwin" and platform.machine() == "arm64":
        system = "darwin-arm64"
    ways = _WAYS.get(system, {"flip": _ProtectFlips})
    if mode is not None:
        if mode not in ways:
            raise ValueError(f"no code memory of mode {mode!r} on this system: it has {', '.join(ways)}")
        ways = {mode: ways[mode]}
    refusals = []
    for name, way in ways.items():
        smaller = size
        while True:
            try:
                return way(smaller, low)
            except OSError as error:
                # A limit on address space (RLIMIT_AS, a container) leaves room for less: ask for less.
                if error.errno == 12 and smaller > SMALLEST_SIZE:
                    smaller = max(SMALLEST_SIZE, smaller // 2 & ~(PAGE - 1))
                    continue
                refusals.append(f"{name}: {error.strerror or error} (errno {error.errno})")
                break
    lines = [f"this process may not have executable memory; tried {'; '.join(refusals)}"]
    lines += restrictions() or ("none of the known restrictions is active: ask who runs this machine",)
    raise ExecutableMemoryDenied("\n- ".join(lines))


# -------------------------------------------------------------------------------------------------------- the allocator


class CodeMemory:
    """A reserved range of addresses for code and for the read-only data beside it.

    size: bytes to reserve, at most 2 GiB; taken from the system only where written, less where its limits say so.
    low:  whether the range must lie in the low 2 GiB, where absolute 32-bit addresses reach it.
    mode: "dual", "flip" or "jit" to insist on one way; by default the best that the system grants.

    Errors: ExecutableMemoryDenied.

    Any thread may allocate, write and free. Free blocks are kept as a sorted list of holes; neighbours merge."""

    def __init__(self, size: int = DEFAULT_SIZE, *, low: bool = False, mode: str | None = None) -> None:
        size = (size + PAGE - 1) & ~(PAGE - 1)
        if not 0 < size <= REACH:
            raise ValueError(f"code memory of {size} bytes: must be more than 0 and at most {REACH}")
        self._backing = _reserve(size, low, mode)
        self.address = self._backing.rx
        self.size = self._backing.size
        self._lock = threading.Lock()
        front = FRONT if wants_name() and self.mode == "dual" and self.size > 2 * FRONT else 0
        self._holes = [front]  # offsets of the holes, ascending ...
        self._lengths = [self.size - front]  # ... and their lengths
        self._returned: deque[tuple[int, int]] = deque()  # freed, not yet merged into the holes
        self._flush = _flush_instructions()
        self.used = 0
        self._end = weakref.finalize(self, self._backing.close)
        self._end.atexit = False  # threads may still be inside while the interpreter ends
        self.front = ElfFront(self) if front else None
        _PROCESS.add(self)

    @property
    def mode(self) -> str:
        """ "dual", "flip" or "jit"; "frozen" in a forked child for which there was no memory for a copy."""
        return self._backing.mode

    @property
    def writable_delta(self) -> int:
        """What to add to an executable address to have the writable one; 0 where the same pages flip.

        It never changes, not even in a forked child. Code that writes code directly does so inside `writing`."""
        return self._backing.rw - self._backing.rx

    def __contains__(self, address: int) -> bool:
        return self.address <= address < self.address + self.size

    def allocate(self, size: int, align: int = 16) -> Block:
        """A block of at least `size` bytes whose address is a multiple of `align` (a power of two).

        A block may be most of the range: a cache of guest code takes one and divides it by itself.
        Errors: CodeMemoryFull; ValueError for a size or alignment that makes no sense."""
        if size <= 0 or align <= 0 or align & (align - 1):
            raise ValueError(f"cannot allocate {size} bytes aligned to {align}")
        if self.mode == "frozen":
            raise ExecutableMemoryDenied(_FROZEN)
        grain = self._backing.granularity
        align = max(align, grain)
        size = (size + grain - 1) & -grain
        with self._lock:
            self._take_back()
            for i in range(len(self._holes)):
                start, length = self._holes[i], self._lengths[i]
                first = ((self.address + start + align - 1) & -align) - self.address
                if first + size <= start + length:
                    break
            else:
                raise CodeMemoryFull(
                    f"no {size} bytes left: {self.used} of {self.size} are used, in the way of a larger hole than "
                    f"{max(self._lengths, default=0)}; make a larger CodeMemory or drop compiled functions"
                )
            pieces = [(start, first - start), (first + size, start + length - first - size)]
            self._holes[i : i + 1] = [offset for offset, size_left in pieces if size_left]
            self._lengths[i : i + 1] = [size_left for _, size_left in pieces if size_left]
            self.used += size
            self._backing.commit(self.address + first, size)
        return Block(self, self.address + first, size)

    def release(self, address: int, size: int) -> None:
        """Take back what a block had. Can be called from a finaliser at any moment, also inside `allocate`."""
        if not self._end.alive:  # memory and blocks went as one cycle of garbage, the memory first
            return
        self._returned.append((address - self.address, size))
        if self._lock.acquire(blocking=False):
            try:
                self._take_back()
            finally:
                self._lock.release()

    def _take_back(self) -> None:
        """Merge returned blocks into the holes. The lock is held."""
        while self._returned:
            start, size = self._returned.popleft()
            self._wipe(self.address + start, size)
            self.used -= size
            i = bisect.bisect(self._holes, start)
            if i < len(self._holes) and start + size == self._holes[i]:
                size += self._lengths[i]
                del self._holes[i], self._lengths[i]
            if i and self._holes[i - 1] + self._lengths[i - 1] == start:
                self._lengths[i - 1] += size
            else:
                self._holes.insert(i, start)
                self._lengths.insert(i, size)

    def _wipe(self, address: int, size: int) -> None:
        if self.mode == "frozen":
            return
        if size >= GIVE_BACK:
            first = (address + PAGE - 1) & -PAGE
            end = (address + size) & -PAGE
            self._backing.discard(first, end - first)
        else:
            with self._backing.writing(address, size):
                ctypes.memset(address + self.writable_delta, INT3, size)

    def writing(self, address: int, size: int) -> contextlib.AbstractContextManager[None]:
        """Inside the `with`, bytes may be stored at `address + writable_delta` and on, by this thread.

        With dual mapping this is free of cost, and other threads may run the same pages meanwhile. In the other modes
        the pages cannot run until the `with` ends, so nobody may be inside them. Follow it by `flush` where the
        processor is not an x86."""
        if self.mode == "frozen":
            raise ExecutableMemoryDenied(_FROZEN)
        return self._backing.writing(address, size)

    def flush(self, address: int, size: int) -> None:
        """Make written instructions visible to instruction fetch. Nothing to do on x86."""
        if self._flush is not None:
            self._flush(address, size)

    def store(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Copy bytes to an executable address of this memory."""
        if not isinstance(data, bytes):
            data = bytes(data)
        size = len(data)
        with self.writing(address, size):
            ctypes.memmove(address + self.writable_delta, data, size)
        self.flush(address, size)

    def largest_hole(self) -> int:
        """The largest block that can be allocated now."""
        with self._lock:
            self._take_back()
            return max(self._lengths, default=0)

    def close(self) -> None:
        """Give the whole range back to the system. No block of it may be used afterwards."""
        self._end()

    def before_fork(self) -> None:
        """Stand still, and make the copy that the child will live on."""
        self._lock.acquire()
        if self._end.alive:
            self._backing.before_fork()

    def after_fork(self, in_child: bool) -> None:
        """Go on, in the parent and in the child."""
        if self._end.alive:
            self._backing.after_fork(in_child)
        self._lock.release()

    def __repr__(self) -> str:
        return f"<CodeMemory {self.address:#x}+{self.size:#x} {self.mode}, {self.used} bytes used>"


class _Process:
    """What a process has once: its code memories (a fork must reach them all) and the common one."""

    def __init__(self) -> None:
        self.memories: weakref.WeakSet[CodeMemory] = weakref.WeakSet()
        self._common: CodeMemory | None = None
        self._lock = threading.RLock()
        self._forking: list[CodeMemory] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before,
                after_in_parent=functools.partial(self._after, False),
                after_in_child=functools.partial(self._after, True),
            )

    def add(self, memory: CodeMemory) -> None:
        """A fork must reach this one too. Waits while a fork is going on."""
        with self._lock:
            self.memories.add(memory)

    def common(self, size: int) -> CodeMemory:
        with self._lock:
            if self._common is None:
                self._common = CodeMemory(size)
            return self._common

    def _before(self) -> None:
        self._lock.acquire()
        self._forking = list(self.memories)
        for memory in self._forking:
            memory.before_fork()

    def _after(self, in_child: bool) -> None:
        for memory in self._forking:
            memory.after_fork(in_child)
        self._forking = []
        if in_child:
            self._lock = threading.RLock()
        else:
            self._lock.release()


_PROCESS = _Process()


def memory_of(address: int) -> CodeMemory | None:
    """The code memory in which an address lies."""
    return next((memory for memory in list(_PROCESS.memories) if address in memory), None)


def code_memory() -> CodeMemory:
    """The process's own code memory, made when first asked for.

    Addresses are a resource of the process, like its heap: code in one range reaches all other code by a short call,
    and the range must outlive whatever runs in it. That is why this one object is shared and everything else
    is passed on. TRACKLAYER_CODE_MEMORY in the environment sets its size in MiB."""
    asked = os.environ.get("TRACKLAYER_CODE_MEMORY", "")
    return _PROCESS.common(int(asked) << 20 if asked.isdigit() and asked != "0" else DEFAULT_SIZE)
