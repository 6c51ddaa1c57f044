"""Names for generated code in debuggers and profilers.

For:       gdb (its JIT interface: names, unwinding, source lines), perf (its dump and its map), py-spy (elf.py).
Not for:   the C unwinder (unwind.py), which needs nobody's asking.
Invariant: nothing is announced unless it was asked for; what is announced is taken back when the code goes.

Ask by `enable(gdb=True, jitdump=True)` before the code is made, or by TRACKLAYER_DEBUG=gdb,jitdump,perf,elf in the
environment. It costs about 0.1 ms for each piece of code, so it is off by default.

**gdb** looks for a function `__jit_debug_register_code` and a variable `__jit_debug_descriptor` in the libraries of
the process, and reads an object file from memory whenever the function is called. Python has no such library, so we
write one, an ELF file of two pages, into a memory file and load it. Source: "Debugging with GDB", JIT Compilation
Interface.
**perf** reads a dump of the code, with names and lines, after the fact:

    TRACKLAYER_DEBUG=jitdump perf record -k mono python program.py
    perf inject -j -i perf.data -o named.data; perf report -i named.data

and, simpler but only for code in anonymous memory (so not where ours is a memory file mapped twice), the names in
/tmp/perf-PID.map, which other tools read as well. Sources: linux/tools/perf/Documentation, jitdump-specification.txt
and jit-interface.txt.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tracklayer.native.elf import ElfFront
from tracklayer.native.forks import lock_over_forks
from tracklayer.native.memory import memory_file, memory_of, wants_name
from tracklayer.native.unwind import uleb

_REGISTER, _UNREGISTER = 1, 2


# --------------------------------------------------------------------------------------------------- ELF files, by hand


def _elf(
    kind: int, sections: Sequence[tuple[str, int, int, int, int, bytes, int, int, int, int]], programs: bytes = b""
) -> bytes:
    """An ELF64 file for x86-64: header, program headers, sections, section headers.

    Each section: name, type, flags, address, offset in the file (-1: the next free), bytes, size (-1: of the bytes),
    link, info, entry size."""
    names = b"\0"
    table = bytearray(64)  # the null section
    body = bytearray(programs)
    base = 64
    starts = []
    all_names = [name for name, *_ in sections] + [".shstrtab"]
    for name in all_names:
        starts.append(len(names))
        names += name.encode() + b"\0"
    everything = [*sections, (".shstrtab", 3, 0, 0, -1, names, -1, 0, 0, 0)]
    for start, (_, section_type, flags, address, offset, data, size, link, info, entry) in zip(
        starts, everything, strict=True
    ):
        if offset < 0:
            body += bytes(-len(body) % 16)
            offset = base + len(body)
            body += data
        else:
            body += bytes(offset - base - len(body)) + data
        length = len(data) if size < 0 else size
        table += struct.pack(
            "<IIQQQQIIQQ", start, section_type, flags, address, offset, length, link, info, 16 if address else 1, entry
        )
    body += bytes(-len(body) % 16)
    count = len(everything) + 1
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQI", kind, 62, 1, 0, 64 if programs else 0, base + len(body), 0)
    header += struct.pack("<HHHHHH", 64, 56, len(programs) // 56, 64, count, count - 1)
    return header + bytes(body) + bytes(table)


def _symbol(name: int, info: int, section: int, value: int, size: int) -> bytes:
    return struct.pack("<IBBHQQ", name, info, 0, section, value, size)


def jit_library() -> bytes:
    """A shared library with gdb's function and variable, and nothing else."""
    strings = b"\0__jit_debug_register_code\0__jit_debug_descriptor\0"
    code_at, data_at = 0x300, 0x1000
    dynamic_at = data_at + 32
    hash_at, symbols_at, strings_at = 0x200, 0x220, 0x280
    hash_table = struct.pack("<IIIIII", 1, 3, 1, 0, 2, 0)
    symbols = (
        bytes(24) + _symbol(1, 0x12, 4, code_at, 1) + _symbol(strings.index(b"__jit_debug_d"), 0x11, 5, data_at, 24)
    )
    dynamic = b"".join(
        struct.pack("<QQ", tag, value)
        for tag, value in ((4, hash_at), (5, strings_at), (6, symbols_at), (10, len(strings)), (11, 24), (0, 0))
    )
    descriptor = struct.pack("<IIQQ", 1, 0, 0, 0)
    load, dynamic_kind, stack = 1, 2, 0x6474E551
    programs = struct.pack("<IIQQQQQQ", load, 5, 0, 0, 0, code_at + 16, code_at + 16, 0x1000)
    size = dynamic_at + len(dynamic) - data_at
    programs += struct.pack("<IIQQQQQQ", load, 6, data_at, data_at, data_at, size, size, 0x1000)
    programs += struct.pack(
        "<IIQQQQQQ", dynamic_kind, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8
    )
    programs += struct.pack("<IIQQQQQQ", stack, 6, 0, 0, 0, 0, 0, 16)  # without it the stack would become executable
    return _elf(
        3,
        (
            (".hash", 5, 2, hash_at, hash_at, hash_table, -1, 2, 0, 4),
            (".dynsym", 11, 2, symbols_at, symbols_at, symbols, -1, 3, 1, 24),
            (".dynstr", 3, 2, strings_at, strings_at, strings, -1, 0, 0, 0),
            (".text", 1, 6, code_at, code_at, b"\xc3" + b"\xcc" * 15, -1, 0, 0, 0),
            (".data", 1, 3, data_at, data_at, descriptor + bytes(8), -1, 0, 0, 0),
            (".dynamic", 6, 3, dynamic_at, dynamic_at, dynamic, -1, 3, 0, 16),
        ),
        programs,
    )


# ---------------------------------------------------------------------------------------------- DWARF, for source lines


def _sleb(value: int) -> bytes:
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        done = (value == 0 and not low & 0x40) or (value == -1 and low & 0x40)
        out.append(low | (0 if done else 0x80))
        if done:
            return bytes(out)


def _line_program(lines: Sequence[tuple[int, str, int]], end: int) -> bytes:
    """A DWARF 4 line table: (address, file, line) for each instruction, and where the code ends."""
    files = list(dict.fromkeys(file for _, file, _ in lines))
    header = struct.pack("<BBBbBB", 1, 1, 1, -5, 14, 13) + bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"\0"
    header += b"".join(file.encode() + b"\0\0\0\0" for file in files) + b"\0"
    program = bytearray()
    at_file, at_line, at = 1, 1, None
    for address, file, line in lines:
        if at is None:
            program += b"\0\x09\x02" + struct.pack("<Q", address)  # DW_LNE_set_address
        elif address > at:
            program += b"\x02" + uleb(address - at)  # DW_LNS_advance_pc
        at = address
        if files.index(file) + 1 != at_file:
            at_file = files.index(file) + 1
            program += b"\x04" + uleb(at_file)  # DW_LNS_set_file
        program += b"\x03" + _sleb(line - at_line) + b"\x01"  # DW_LNS_advance_line, DW_LNS_copy
        at_line = line
    program += b"\x02" + uleb(end - (at or end)) + b"\0\x01\x01"  # DW_LNE_end_sequence
    body = struct.pack("<HI", 4, len(header)) + header + bytes(program)
    return struct.pack("<I", len(body)) + body


def _debug_info(name: str, start: int, end: int) -> tuple[bytes, bytes]:
    """A compilation unit with one subprogram, and its abbreviations (DWARF 4)."""
    text = name.encode() + b"\0"
    # 1: compile unit with children: name, producer, line table, low and high address. 2: subprogram: name, addresses.
    abbreviations = bytes([1, 0x11, 1, 0x03, 0x08, 0x25, 0x08, 0x10, 0x17, 0x11, 0x01, 0x12, 0x01, 0, 0])
    abbreviations += bytes([2, 0x2E, 0, 0x03, 0x08, 0x11, 0x01, 0x12, 0x01, 0x3F, 0x19, 0, 0, 0])
    body = bytes([1]) + text + b"tracklayer\0" + struct.pack("<IQQ", 0, start, end)
    body += bytes([2]) + text + struct.pack("<QQ", start, end) + b"\0"
    unit = struct.pack("<HIB", 4, 0, 8) + body
    return struct.pack("<I", len(unit)) + unit, abbreviations


def symbol_file(
    name: str, start: int, size: int, lines: Sequence[tuple[int, str, int]] = (), frames: tuple[int, bytes] = (0, b"")
) -> bytes:
    """An object file that describes a piece of code to gdb: its name, its source lines, how to unwind it.

    frames: where its .eh_frame is, and its bytes"""
    strings = b"\0" + name.encode() + b"\0"
    symbols = bytes(24) + _symbol(1, 0x12, 1, 0, size)
    sections = [
        (".text", 8, 6, start, -1, b"", size, 0, 0, 0),  # its bytes are in memory, not here
        (".symtab", 2, 0, 0, -1, symbols, -1, 3, 1, 24),
        (".strtab", 3, 0, 0, -1, strings, -1, 0, 0, 0),
    ]
    if frames[1]:
        sections.append((".eh_frame", 1, 2, frames[0], -1, frames[1], -1, 0, 0, 0))
    if lines:
        info, abbreviations = _debug_info(name, start, start + size)
        sections.append((".debug_info", 1, 0, 0, -1, info, -1, 0, 0, 0))
        sections.append((".debug_abbrev", 1, 0, 0, -1, abbreviations, -1, 0, 0, 0))
        sections.append((".debug_line", 1, 0, 0, -1, _line_program(lines, start + size), -1, 0, 0, 0))
    return _elf(1, sections)


# ----------------------------------------------------------------------------------------------------------- announcing


class Entered:
    """Code that stands in its memory's own table (elf.py), until this object goes."""

    __slots__ = ("_front", "_start")

    def __init__(self, front: ElfFront, start: int) -> None:
        self._front = front
        self._start = start

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _ending():
            with _DEBUG.lock:
                self._front.remove(self._start)


class Announcement:
    """Code that gdb knows, until this object goes."""

    __slots__ = ("_debug", "_entry", "_file")

    def __init__(self, debug: _Debug, file: bytes) -> None:
        self._debug = debug
        self._file = ctypes.create_string_buffer(file, len(file))
        # struct jit_code_entry: next, previous, symbol file, its size
        self._entry = (ctypes.c_uint64 * 4)(0, 0, ctypes.addressof(self._file), len(file))
        debug.insert(self._entry)

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _ending():
            self._debug.remove(self._entry)


class _Debug:
    """What was asked for, and gdb's list."""

    def __init__(self) -> None:
        asked = os.environ.get("TRACKLAYER_DEBUG", "").split(",")
        self.gdb = "gdb" in asked
        self.perf = "perf" in asked
        self.jitdump = "jitdump" in asked
        self.elf = wants_name()
        self.lock = lock_over_forks()
        self._descriptor: Any = None
        self._register: Any = None
        self._map: Any = None
        self._dump: _Dump | None = None
        self._pid = 0

    def load_library(self) -> None:
        """Have gdb's function and variable in the process."""
        if self._descriptor is not None:
            return
        descriptor = memory_file()
        os.write(descriptor, jit_library())
        # By this name gdb, another process, can open it as well. The file stays open: the name is through it.
        library: Any = ctypes.CDLL(f"/proc/{os.getpid()}/fd/{descriptor}")
        self._register = library["__jit_debug_register_code"]
        self._descriptor = (ctypes.c_uint64 * 3).in_dll(library, "__jit_debug_descriptor")

    def insert(self, entry: Any) -> None:
        """Put an entry first in gdb's list, and tell gdb."""
        with self.lock:
            self.load_library()
            where = ctypes.addressof(entry)
            first = self._descriptor[2]
            entry[0] = first
            if first:
                ctypes.c_uint64.from_address(first + 8).value = where
            self._descriptor[2] = where
            self._tell(_REGISTER, where)

    def remove(self, entry: Any) -> None:
        """Take an entry out of the list, and tell gdb."""
        with self.lock:
            following, before = entry[0], entry[1]
            if before:
                ctypes.c_uint64.from_address(before).value = following
            else:
                self._descriptor[2] = following
            if following:
                ctypes.c_uint64.from_address(following + 8).value = before
            self._tell(_UNREGISTER, ctypes.addressof(entry))

    def _tell(self, action: int, entry: int) -> None:
        self._descriptor[0] = 1 | action << 32
        self._descriptor[1] = entry
        self._register()
        self._descriptor[0] = 1

    def write_map(self, name: str, start: int, size: int) -> None:
        """A line for perf. A forked child begins a file of its own."""
        with self.lock:
            if self._map is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._map = open(f"/tmp/perf-{self._pid}.map", "a", encoding="utf-8")  # noqa: SIM115
            self._map.write(f"{start:x} {size:x} {name}\n")
            self._map.flush()

    def write_dump(self, name: str, start: int, code: bytes, lines: Sequence[tuple[int, str, int]]) -> None:
        """Records for perf inject: the lines, then the code. A forked child begins a file of its own."""
        with self.lock:
            if self._dump is None or self._dump.pid != os.getpid():
                self._dump = _Dump()
            self._dump.write(name, start, code, lines)


class _Dump:
    """The file jit-PID.dump in the current folder."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._file = open(f"jit-{self.pid}.dump", "w+b", buffering=0)  # noqa: SIM115
        self._file.write(struct.pack("<IIIIIIQQ", 0x4A695444, 1, 40, 62, 0, self.pid, time.monotonic_ns(), 0))
        # perf learns of the file by this mapping.
        self._mapping = mmap.mmap(self._file.fileno(), 40, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
        self._count = 0

    def _record(self, kind: int, body: bytes) -> None:
        self._file.write(struct.pack("<IIQ", kind, 16 + len(body), time.monotonic_ns()) + body)

    def write(self, name: str, start: int, code: bytes, lines: Sequence[tuple[int, str, int]]) -> None:
        if lines:
            body = struct.pack("<QQ", start, len(lines))
            body += b"".join(struct.pack("<QII", at, line, 0) + file.encode() + b"\0" for at, file, line in lines)
            self._record(2, body)  # JIT_CODE_DEBUG_INFO
        self._count += 1
        body = struct.pack("<IIQQQQ", self.pid, threading.get_native_id(), start, start, len(code), self._count)
        self._record(0, body + name.encode() + b"\0" + code)  # JIT_CODE_LOAD


_DEBUG = _Debug()


def enable(*, gdb: bool = False, perf: bool = False, jitdump: bool = False) -> None:
    """Announce code that is made from now on. Errors: OSError, where the system has no place for gdb's library."""
    if gdb:
        _DEBUG.load_library()
    _DEBUG.gdb |= gdb
    _DEBUG.perf |= perf
    _DEBUG.jitdump |= jitdump


def enabled() -> bool:
    """Whether anybody asked."""
    return _DEBUG.gdb or _DEBUG.perf or _DEBUG.jitdump or _DEBUG.elf


def announce(
    name: str,
    start: int,
    size: int,
    lines: Sequence[tuple[int, str, int]] = (),
    frames: tuple[int, bytes] = (0, b""),
) -> tuple[Announcement | Entered, ...]:
    """Tell those who were asked for of a piece of code. Keep the answer beside the code.

    lines:  (address, file, line) in ascending order, if known
    frames: where its .eh_frame is, and its bytes"""
    if _DEBUG.perf:
        _DEBUG.write_map(name, start, size)
    if _DEBUG.jitdump:
        _DEBUG.write_dump(name, start, ctypes.string_at(start, size), lines)
    made: tuple[Announcement | Entered, ...] = ()
    memory = memory_of(start) if _DEBUG.elf else None
    if memory is not None and memory.front is not None:
        with _DEBUG.lock:
            memory.front.add(name, start, size, frames)
        made += (Entered(memory.front, start),)
    if _DEBUG.gdb:
        made += (Announcement(_DEBUG, symbol_file(name, start, size, lines, frames)),)
    return made
