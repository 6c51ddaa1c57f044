"""The guest's address space, looked at from outside.

For:     reading and writing any address between two instructions, with no time passing.
Not for: the CPU's own accesses, which take time and may be refused (machine/gb/memory.py).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, overload

from . import outside
from .outside import SPACE
from .registers import fitting

BUFFER = 1024
"""Bytes that are copied at once."""


class Memory:
    """Addresses 0000-FFFF of one console: `memory[0xC000]` is an int, `memory[0xC000:0xC010]` bytes.

    A read gives what stands there now: of memory its contents, even while the PPU or a DMA keeps the CPU from it; of a
    register what the CPU would read. It takes no time and changes nothing that the guest can feel. A write does what
    the CPU's does (below 8000 it reaches the mapper, a register takes its value), takes no time, and is never refused.
    In a region that belongs to Python both call its functions.
    Errors: IndexError outside 0000-FFFF, ValueError where a value is no byte or the length of a slice does not fit.
    """

    __slots__ = ("_buffer", "_copy", "_gb", "_quick_peek", "_quick_poke")

    def __init__(self, gb: Any) -> None:
        self._gb = gb
        self._buffer: tuple[memoryview, int] | None = None
        self._quick_peek: Callable[[Any], int] = _slowly
        self._quick_poke: Callable[[Any, Any], int] = _slowly
        self._copy: Callable[[int, int, int], int] | None = None

    def wire(self, call: Callable[[str], Callable[..., Any] | None]) -> None:
        """Where generated code for `outside.py`'s functions comes from, by name."""
        self._quick_peek, self._quick_poke = call("peek") or _slowly, call("poke") or _slowly
        self._copy = call("copy")

    def __len__(self) -> int:
        return SPACE

    @overload
    def __getitem__(self, where: int) -> int: ...
    @overload
    def __getitem__(self, where: slice) -> bytes: ...
    def __getitem__(self, where: int | slice) -> int | bytes:
        if not isinstance(where, slice):
            try:
                found = self._quick_peek(where)
            except OverflowError:
                found = outside.ELSEWHERE
            return found if found >= 0 else self._peek(_address(where))
        addresses = _addresses(where)
        return self._block(addresses) if addresses.step == 1 else bytes(self._peek(at) for at in addresses)

    def __setitem__(self, where: int | slice, value: int | bytes | bytearray | memoryview) -> None:
        if isinstance(where, slice):
            addresses = _addresses(where)
            if isinstance(value, int) or len(value) != len(addresses):
                raise ValueError(f"these are {len(addresses)} addresses: give as many bytes")
            for address, byte in zip(addresses, bytes(value), strict=True):
                self._poke(address, byte)
        elif not isinstance(value, int):
            raise TypeError(f"one address takes an int, not {type(value).__name__}")
        else:
            try:
                done = self._quick_poke(where, value)
            except OverflowError:
                done = outside.ELSEWHERE
            if done < 0:
                self._poke(_address(where), fitting("a byte of memory", value, 0xFF))

    def _block(self, addresses: range) -> bytes:
        """Neighbouring addresses, as many at once as are in no region."""
        if self._copy is None:
            return bytes(self._peek(at) for at in addresses)
        if self._buffer is None:
            room = (ctypes.c_uint8 * BUFFER)()
            self._buffer = memoryview(room).cast("B"), ctypes.addressof(room)
        buffer, place = self._buffer
        pieces = []
        address = addresses.start
        while address < addresses.stop:
            done = self._copy(address, min(addresses.stop - address, BUFFER), place)
            pieces.append(bytes(buffer[:done]) if done else bytes((self._peek(address),)))
            address += done or 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _refresh(self) -> None:
        """After a state was loaded, the maps are made anew when somebody needs them."""
        if self._gb.host.stale:
            self._gb.rebuild()

    def _region(self, address: int) -> Any:
        for index in range(self._gb.host.region_count):
            region = self._gb.host.regions[index]
            if region.first <= address <= region.last:
                return region
        return None

    def _peek(self, address: int) -> int:
        gb = self._gb
        self._refresh()
        if gb.host.region_count and (region := self._region(address)) is not None:
            return int(region.read(address)) & 0xFF
        return int(outside.look(gb, address))

    def _poke(self, address: int, value: int) -> None:
        gb = self._gb
        self._refresh()
        if gb.host.region_count and (region := self._region(address)) is not None:
            region.write(address, value)
            return
        outside.touch(gb, address, value)


def _slowly(*_: object) -> int:
    """In place of generated code."""
    return outside.ELSEWHERE


def _address(where: int) -> int:
    if not 0 <= where < SPACE:
        raise IndexError(f"{where:#x} is not an address: 0000-FFFF")
    return where


def _addresses(where: slice) -> range:
    start = 0 if where.start is None else where.start
    stop = SPACE if where.stop is None else where.stop
    step = 1 if where.step is None else where.step
    if not (0 <= start <= SPACE and 0 <= stop <= SPACE) or step <= 0:
        raise IndexError("a slice of memory lies within 0000-FFFF and runs upwards")
    return range(start, stop, step)


def span(where: object) -> range:
    """An address, or a slice of neighbouring ones, as a range. Errors: as of `Memory`; TypeError for anything else."""
    if isinstance(where, int):
        address = _address(where)
        return range(address, address + 1)
    if not isinstance(where, slice):
        raise TypeError(f"an address is an int or a slice, not {type(where).__name__}")
    addresses = _addresses(where)
    if addresses.step != 1 or not addresses:
        raise ValueError(f"{where} is no run of neighbouring addresses")
    return addresses
