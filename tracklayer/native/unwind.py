"""Unwinding: telling the C unwinder how frames of generated code look.

For:       frame tables (`.eh_frame`) for assembled code; registering them, and those of loaded objects, with the C
           library.
Not for:   debuggers and profilers (debug.py).
Invariant: a table is registered exactly as long as the block that it lies in and describes.

C++ exceptions, `backtrace(3)`, thread cancellation and every tool that uses libgcc's unwinder go through generated
frames this way. On systems without libgcc's `__register_frame` nothing is registered, and nothing else changes.

Sources: "System V Application Binary Interface, AMD64 Architecture Processor Supplement", DWARF Definition; "Linux
Standard Base Core Specification", Exception Frames; DWARF Debugging Information Format, Call Frame Information.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tracklayer.native.memory import Block


@dataclass(frozen=True, slots=True)
class Change:
    """What an instruction changed, seen from the caller's frame.

    begin:   a function begins; the return address is on top of the stack
    pushed:  RBP was pushed
    based:   RBP is the frame's base from here
    saved:   `register` was stored `offset` bytes under the frame's top (the value of RSP before the call)
    depth:   without a frame: `offset` bytes lie between RSP and the frame's top
    left:    the frame is gone again, the return address is on top
    resumed: what follows (after a return) stands in the frame again"""

    kind: str
    register: str = ""
    offset: int = 0


# DWARF numbers of registers. Source: AMD64 psABI, "DWARF Register Number Mapping".
_DWARF = {
    "rax": 0, "rdx": 1, "rcx": 2, "rbx": 3, "rsi": 4, "rdi": 5, "rbp": 6, "rsp": 7,
    **{f"r{i}": i for i in range(8, 16)},
}  # fmt: skip
_RETURN_ADDRESS = 16
# Call frame instructions.
_ADVANCE, _OFFSET, _RESTORE = 0x40, 0x80, 0xC0
_ADVANCE4, _REMEMBER, _RESTORE_STATE, _DEF_CFA, _DEF_CFA_REGISTER, _DEF_CFA_OFFSET = 0x04, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E


def room(changes: int) -> int:
    """At most so many bytes has a table for so many changes."""
    return 128 + 16 * changes


def uleb(value: int) -> bytes:
    """An unsigned number in DWARF's LEB128."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _entry(body: bytes) -> bytes:
    """A length before it, no-operations behind it up to a multiple of 8."""
    body += bytes(-(len(body) + 4) % 8)
    return struct.pack("<I", len(body)) + body


def frame_table(changes: Sequence[tuple[int, Change]], size: int) -> bytes:
    """An .eh_frame for one stretch of `size` bytes of code, to be put behind it at the next multiple of 16."""
    start_rules = bytes([_DEF_CFA, _DWARF["rsp"], 8, _OFFSET | _RETURN_ADDRESS, 1])
    # Version 1, augmentation "zR" with addresses relative to themselves in 4 bytes, code factor 1, data factor -8.
    common = _entry(struct.pack("<IB", 0, 1) + b"zR\0" + bytes([1, 0x78, _RETURN_ADDRESS, 1, 0x1B]) + start_rules)
    out = bytearray()
    at = 0
    saved: list[str] = []
    in_frame = False
    for place, change in changes:
        code = b""
        match change.kind:
            case "begin":
                code = bytes([_DEF_CFA, _DWARF["rsp"], 8]) + bytes(_RESTORE | _DWARF[name] for name in saved)
                saved, in_frame = [], False
            case "pushed":
                code = bytes([_DEF_CFA_OFFSET, 16, _OFFSET | _DWARF["rbp"], 2])
                saved.append("rbp")
            case "based":
                code = bytes([_DEF_CFA_REGISTER, _DWARF["rbp"]])
                in_frame = True
            case "saved":
                code = bytes([_OFFSET | _DWARF[change.register]]) + uleb(change.offset // 8)
                saved.append(change.register)
            case "depth":
                code = bytes([_DEF_CFA_OFFSET]) + uleb(change.offset)
            case "left":
                code = bytes([_REMEMBER, _DEF_CFA, _DWARF["rsp"], 8])
                code += bytes(_RESTORE | _DWARF[name] for name in saved)
            case _:  # resumed
                code = bytes([_RESTORE_STATE]) if in_frame else b""
        if not code:
            continue
        if place > at:
            out += bytes([_ADVANCE | (place - at)]) if place - at < 64 else struct.pack("<BI", _ADVANCE4, place - at)
            at = place
        out += code
    table_at = (size + 15) & -16
    # The entry begins after its length; then: distance back to the common entry, place, size, augmentation size.
    pointer = len(common) + 8
    body = struct.pack("<IiIB", len(common) + 4, -(table_at + pointer), size, 0) + bytes(out)
    return common + _entry(body) + bytes(4)


class Registration:
    """A table that the C unwinder knows, until this object goes."""

    __slots__ = ("_address", "_block", "_forget")

    def __init__(self, address: int, block: object, forget: Callable[[int], Any]) -> None:
        self._address = address
        self._block = block  # the table lies in it
        self._forget = forget

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _ending():
            self._forget(self._address)


@functools.cache
def _unwinder() -> tuple[Callable[[int], Any], Callable[[int], Any]] | None:
    """libgcc's two functions, or None. They are called with the GIL held: they take a lock, which a child that another
    thread forks meanwhile would inherit locked."""
    if sys.platform == "win32":
        return None
    for name in ("libgcc_s.so.1", None):
        try:
            library = ctypes.PyDLL(name)
            known, forget = library.__register_frame, library.__deregister_frame
        except (OSError, AttributeError):
            continue
        for function in (known, forget):
            function.argtypes = (ctypes.c_void_p,)
            function.restype = None
        return known, forget
    return None


def register(address: int, block: Block | object) -> Registration | None:
    """Make a table known to the C unwinder. `block` holds it; keep the answer beside the block, and drop both together.

    For a LoadedObject: `[register(address, loaded.block) for address, size in loaded.eh_frames]`."""
    unwinder = _unwinder()
    if unwinder is None:
        return None
    unwinder[0](address)
    return Registration(address, block, unwinder[1])
