"""Code memory that looks like a shared library, for tools that read names and unwinding tables from files.

For:       py-spy (`--native`), and other profilers with unwinders of their own, which know code by the file that it is
           mapped from.
Not for:   gdb and perf, which have ways of their own (debug.py); the unwinder inside the process (unwind.py).
Invariant: at any moment the file is a valid ELF image. Its tables name code that exists, or that has just gone.

With TRACKLAYER_DEBUG=elf, code memory is a file with a name (in /dev/shm, or where TMPDIR says; it goes when the
process ends), and its first part is kept free for this: an ELF header, a table of symbols, and a search table over the
unwinding tables that lie beside each function.

Sources: "System V ABI", Object Files; "Linux Standard Base Core Specification", The .eh_frame_hdr section.
"""

from __future__ import annotations

import bisect
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracklayer.native.memory import CodeMemory

FRONT = 1 << 20
"""So much of the memory's start is the header's."""

_SECTIONS = 0x100
_NAMES = 0x400
_TABLE = 0x1000  # .eh_frame_hdr: 12 bytes, then 8 for each function
_SYMBOLS = 0x20000  # .symtab: 24 bytes for each
_STRINGS = 0x80000
_MOST = (_SYMBOLS - _TABLE - 12) // 8
_SECTION_NAMES = b"\0.text\0.eh_frame_hdr\0.symtab\0.strtab\0.shstrtab\0"


class ElfFront:
    """The front of a code memory, kept up to date as functions come and go."""

    def __init__(self, memory: CodeMemory) -> None:
        self._memory = memory
        self._base = memory.address
        self._known: list[tuple[int, int, int, str]] = []  # offset, size, offset of its unwinding entry, name
        self._write()

    def add(self, name: str, start: int, size: int, frames: tuple[int, bytes]) -> None:
        """Enter a function: where it is, and where its unwinding table is and what that says."""
        table, data = frames
        # The common entry comes first; behind it the function's own, which the search table points to.
        entry = table + 4 + int.from_bytes(data[:4], "little") if data else self._base
        if len(self._known) < _MOST:
            bisect.insort(self._known, (start - self._base, size, entry - self._base, name))
            self._write()

    def remove(self, start: int) -> None:
        """Take a function out."""
        i = bisect.bisect_left(self._known, (start - self._base,))
        if i < len(self._known) and self._known[i][0] == start - self._base:
            del self._known[i]
            self._write()

    def _write(self) -> None:
        names = bytearray(b"\0")
        symbols = bytearray(24)
        search = bytearray()
        for offset, size, entry, name in self._known:
            text = name.encode()[:200] + b"\0"
            if len(names) + len(text) > FRONT - _STRINGS:
                break
            symbols += struct.pack("<IBBHQQ", len(names), 0x12, 0, 1, offset, size)  # global, a function, in .text
            names += text
            search += struct.pack("<ii", offset - _TABLE, entry - _TABLE)
        # Version 1; a pointer to .eh_frame relative to itself (not used), the count, both relative to this table.
        head = struct.pack("<BBBBiI", 1, 0x1B, 0x03, 0x3B, 0, len(search) // 8)
        size = self._memory.size
        load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 0x1000)
        frames = struct.pack(
            "<IIQQQQQQ", 0x6474E550, 4, _TABLE, _TABLE, _TABLE, len(head) + len(search), len(head) + len(search), 4
        )
        sections = bytes(64)
        for section, kind, flags, offset, length, link, info, width in (
            (b".text", 1, 6, FRONT, size - FRONT, 0, 0, 0),
            (b".eh_frame_hdr", 1, 2, _TABLE, len(head) + len(search), 0, 0, 0),
            (b".symtab", 2, 0, _SYMBOLS, len(symbols), 4, 1, 24),
            (b".strtab", 3, 0, _STRINGS, len(names), 0, 0, 0),
            (b".shstrtab", 3, 0, _NAMES, len(_SECTION_NAMES), 0, 0, 0),
        ):
            at = _SECTION_NAMES.index(b"\0" + section + b"\0") + 1
            address = offset if flags else 0
            sections += struct.pack("<IIQQQQIIQQ", at, kind, flags, address, offset, length, link, info, 8, width)
        header = b"\x7fELF\x02\x01\x01" + bytes(9)  # a shared object for x86-64
        header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, _SECTIONS, 0, 64, 56, 2, 64, 6, 5)
        store = self._memory.store
        store(self._base + _TABLE, head + search)
        store(self._base + _SYMBOLS, symbols)
        store(self._base + _STRINGS, names)
        store(self._base + _NAMES, _SECTION_NAMES)
        store(self._base, (header + load + frames).ljust(_SECTIONS, b"\0") + sections)
