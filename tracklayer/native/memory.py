"""Code memory: the one range of addresses in which all machine code of the process lives.

For:       the range; handing out blocks of it; writing code; taking blocks back; surviving `fork`.
Not for:   getting it from the system (mappings.py, denied.py, unix.py); what the bytes mean (loader.py, assembler.py);
           when nobody can be inside a block any more (calls.py).
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

import bisect
import contextlib
import ctypes
import functools
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable

from tracklayer.native.denied import ExecutableMemoryDenied as ExecutableMemoryDenied
from tracklayer.native.denied import reserve as _reserve
from tracklayer.native.denied import restrictions as restrictions
from tracklayer.native.elf import FRONT, ElfFront
from tracklayer.native.mappings import FROZEN
from tracklayer.native.unix import PAGE, flush_instructions
from tracklayer.native.unix import memory_file as memory_file
from tracklayer.native.unix import wants_name as wants_name

DEFAULT_SIZE = 256 << 20
REACH = 1 << 31
"""No code memory may be larger: a signed 32-bit displacement must reach from its one end to the other."""
INT3 = 0xCC
"""Freed code is filled with this x86 instruction (on arm64 four of them are undefined): who runs it stops at once."""
GIVE_BACK = 1 << 16
"""A freed block of at least so many bytes gives its pages back to the system."""


class CodeMemoryFull(MemoryError):
    """The reserved range has no hole that is large enough. The message says how much is used."""


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
        self._flush = flush_instructions()
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
            raise ExecutableMemoryDenied(FROZEN)
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
            raise ExecutableMemoryDenied(FROZEN)
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
