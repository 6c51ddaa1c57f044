"""Addresses as numbers: for typed functions that lay code, or compare where pointers lead.

For:     pointer <-> address, memory by the piece, and a lock that threads without the GIL can share.
Not for: anything that structs, arrays and pointers can say; whoever uses an address answers for it.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

from .integers import u32, u64
from .structs import Ptr, storage


def address_of(pointer: Ptr[Any]) -> u64:
    """The address that a pointer holds; 0 for null."""
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


def pointer_at(address: u64, element: Any) -> Any:
    """The pointer to elements of type `element` at an address."""
    return ctypes.cast(address, ctypes.POINTER(storage(element)))


def acquire(lock: Ptr[u32]) -> None:
    """Wait until the lock is 0, then make it 1, as one step."""
    while lock[0]:
        pass
    lock[0] = 1


def release(lock: Ptr[u32]) -> None:
    """Make the lock 0, after everything that was stored before."""
    lock[0] = 0


def publish(place: Ptr[u64], value: u64) -> None:
    """Store a value after everything that was stored before, for threads that read it without a lock."""
    place[0] = value


class ZeroedMemory:
    """Zeroed memory that costs nothing where it is not touched: a place for each byte of a large ROM, say."""

    def __init__(self, size: int) -> None:
        # Private: what a forked child translates is its own.
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
        self.buffer = mmap.mmap(-1, size, **private)
        """Whoever has objects in it keeps it; it begins at a page of the host."""
        self._bytes = (ctypes.c_uint8 * size).from_buffer(self.buffer)
        self.address = ctypes.addressof(self._bytes)

    def clear(self) -> None:
        """Zero it all."""
        if sys.platform == "linux":  # there this makes private memory zeros
            self.buffer.madvise(mmap.MADV_DONTNEED)
        else:
            ctypes.memset(self.address, 0, len(self.buffer))
