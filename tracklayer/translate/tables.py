"""The stencils of a guest as the layer reads them.

For:     packing what LLVM compiled into three runs of bytes, which are kept on disk; and laying these out again.
Not for: compiling stencils (stencils.py), using them (layer.py).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..lang import pointer_at, storage, u8
from .guest import Guest
from .structs import (
    ABSOLUTE,
    BUDGET,
    CELL,
    CONTINUE,
    COUNT,
    EDGES,
    EXIT,
    EXTRA,
    HANDLER,
    HEAD,
    HERE,
    INTERPRET,
    JUMP_BYTES,
    LATE,
    LATER,
    LEAVES,
    MOST,
    MOST_QUICK,
    NEXT,
    ON,
    OPERAND,
    QUICK,
    RELATIVE,
    REST,
    ROOM,
    SHORT,
    SPENT,
    STUB,
    TARGET,
    WHOLE,
    Hole,
    Stencil,
    StencilTable,
)  # fmt: skip

if TYPE_CHECKING:
    from ..native.loader import Function
    from .stencils import Use

INTERPRETS = tuple(f"hole.interpret.{number}" for number in range(4))
"""All one hole: LLVM makes a conditional jump of each, as long as it cannot make one place of several."""
HOLES = {
    #  symbol          kind      values below
    "hole.operand8":  (OPERAND, 1 << 8),
    "hole.operand16": (OPERAND, 1 << 16),
    "hole.target":    (TARGET, 1 << 16),
    "hole.next":      (NEXT, 1 << 16),
    "hole.count":     (COUNT, 1 << 16),
    "hole.spent":     (SPENT, -(1 << 15)),
    "hole.budget":    (BUDGET, 1 << 16),
    "hole.here":      (HERE, 1 << 16),
    "hole.continue":  (CONTINUE, 0),
    "hole.exit":      (EXIT, 0),
    **dict.fromkeys(INTERPRETS, (INTERPRET, 0)),
    "hole.handler":   (HANDLER, 0),
    "hole.rest":      (REST, 1 << 16),
    "hole.late":      (LATE, 0),
    **{f"hole.quick.{number}": (QUICK + number, 0) for number in range(MOST_QUICK)},
}  # fmt: skip
"""Holes by symbol. Values below 0 for a place in code; a negative number: from that to 0."""


class Tables:
    """The stencils of a guest in memory. Kept alive by whoever points to `table`."""

    def __init__(self, packed: bytes) -> None:
        counts = struct.unpack_from("<3Q", packed)
        at = struct.calcsize("<3Q")
        parts = []
        for kind, count in zip((storage(Stencil), storage(Hole), ctypes.c_uint8), counts, strict=True):
            array = kind * count
            parts.append(array.from_buffer_copy(packed, at))
            at += ctypes.sizeof(array)
        self.parts = parts
        self.table = StencilTable()
        self.table.stencils = pointer_at(ctypes.addressof(parts[0]), Stencil)
        self.table.holes = pointer_at(ctypes.addressof(parts[1]), Hole)
        self.table.pool = pointer_at(ctypes.addressof(parts[2]), u8)


def pack_tables(guest: type[Guest], functions: Mapping[str, Function], uses: Mapping[int, Use]) -> bytes:
    """The compiled stencils, for `Tables`. uses: what each instruction does with volatile fields."""
    names = [f"op.{index}" for index in range(guest.handlers)] + list(EXTRA)
    bare = [index for index in range(guest.handlers) if f"bare.{index}" in functions]
    names += [f"bare.{index}" for index in bare]
    full = [index for index in range(guest.handlers) if f"full.{index}" in functions]
    names += [f"full.{index}" for index in full]
    pool = bytearray()
    holes: list[tuple[int, int, int, int, int]] = []
    stencils: Any = (storage(Stencil) * len(names))()
    for number, name in enumerate(names):
        entry = stencils[number]
        found = functions.get(name)
        if found is None:
            entry.flow = LEAVES
            continue
        code, relocations = _strip_continue(*_leave_directly(bytes(found.code), found.relocations))
        entry.code, entry.size = len(pool), len(code)
        entry.first_hole, entry.holes = len(holes), len(relocations)
        holes += [_hole_of(relocation, name) for relocation in relocations]
        pool += code + bytes(-len(code) % 8 + 8)
        opcode = number if number < guest.handlers else -1 if name in EXTRA else int(name[5:])
        described = guest.describe(opcode) if opcode >= 0 else None
        if described is not None:
            if not 0 < described.length <= guest.longest or not 0 <= described.cycles < 256:
                raise RuntimeError(
                    f"{guest.name}: handler {opcode} takes {described.length} bytes, {described.cycles} cycles"
                )
            entry.length, entry.cycles, entry.tail, entry.flow = described[:4]
            entry.extra = described.extra
            entry.opcode_length = guest.opcode_length(opcode)
            entry.opcode_cycles = entry.opcode_length * guest.byte_cycles
            entry.target = described.target or 0
            entry.has_target = described.target is not None or described.tail in (RELATIVE, ABSOLUTE)
            entry.has_stub = any(relocation.symbol in INTERPRETS for relocation in relocations)
            use = uses[opcode]
            entry.pure, entry.reads, entry.writes = use.pure, use.reads, use.always or 0
            entry.uses, entry.settles, entry.changes = use.uses, use.settles or 0, use.changes
            entry.leads, entry.mutes = use.uses & use.wide if entry.has_stub else 0, use.mutes
            entry.handler, entry.is_full = opcode, name.startswith("full.")
            if number == opcode:
                entry.bare = names.index(f"bare.{opcode}") if opcode in bare else 0
                entry.full = names.index(f"full.{opcode}") if opcode in full else 0
    table: Any = (storage(Hole) * max(1, len(holes)))()
    for one, (at, kind, size, relative, addend) in zip(table, holes, strict=False):
        one.at, one.kind, one.size, one.relative, one.addend = at, kind, size, relative, addend
    pool += bytes(16)
    _check_room(guest, stencils)
    return struct.pack("<3Q", len(stencils), len(table), len(pool)) + bytes(stencils) + bytes(table) + bytes(pool)


def _check_room(guest: type[Guest], stencils: Any) -> None:
    """The layer relies on any block of one instruction fitting in ROOM bytes."""
    sizes = [stencils[guest.handlers + index].size for index in range(len(EXTRA))]
    beside = sizes[STUB] + sizes[LATER] + JUMP_BYTES
    largest = max(one.size + (stencils[one.full].size if one.full else 0) for one in stencils) + beside
    edges = sizes[HEAD] + sizes[SHORT] + sizes[ON] + sizes[WHOLE]
    if edges + 64 + CELL * (MOST + 2) > EDGES or largest > ROOM - EDGES:
        raise RuntimeError(f"{guest.name}: a stencil of {largest} bytes, head and end of {edges} are too large")


def _strip_continue(code: bytes, relocations: Iterable[Any]) -> tuple[bytes, list[Any]]:
    """Without a jump to what follows at the very end."""
    kept = list(relocations)
    for relocation in kept:
        if relocation.symbol == "hole.continue" and relocation.offset == len(code) - 4 and code[-5] == 0xE9:
            kept.remove(relocation)
            return code[:-5], kept
    return code, kept


def _leave_directly(code: bytes, relocations: Iterable[Any]) -> tuple[bytes, list[Any]]:
    """With one conditional jump for each that skips a jump to the slow side, where nothing else may lead there."""
    made, kept = bytearray(code), list(relocations)
    for number, relocation in enumerate(kept):
        at = relocation.offset - 3  # 7x 05: Jcc over the next five bytes; E9: JMP
        skips = at >= 0 and made[at] & 0xF0 == 0x70 and made[at + 1 : at + 3] == b"\x05\xe9"
        if relocation.symbol not in INTERPRETS or not skips:
            continue
        ways = [q + 1 + int.from_bytes(made[q : q + 1], "little", signed=True) for q in range(len(made))]
        ways += [q + 4 + int.from_bytes(made[q : q + 4], "little", signed=True) for q in range(len(made) - 3)]
        if at + 2 not in ways:  # read as a distance, no byte or word of the code leads there
            made[at : at + 3] = 0x2E, 0x0F, 0x80 | made[at] & 15 ^ 1  # the prefix says nothing, and keeps the length
            assert relocation.kind == "R_X86_64_PLT32"
            kept[number] = relocation._replace(offset=at + 3)
    return bytes(made), kept


SIZES = {
    "R_X86_64_8": (1, 0), "R_X86_64_16": (2, 0), "R_X86_64_32": (4, 0), "R_X86_64_32S": (4, 0), "R_X86_64_64": (8, 0),
    "R_X86_64_PLT32": (4, 1), "R_X86_64_PC32": (4, 1),
}  # fmt: skip


def _hole_of(relocation: Any, name: str) -> tuple[int, int, int, int, int]:
    if relocation.symbol not in HOLES:
        raise RuntimeError(
            f"the stencil {name} refers to {relocation.symbol}: it must reach everything through its context"
        )
    size, relative = SIZES[relocation.kind]
    return relocation.offset, HOLES[relocation.symbol][0], size, relative, relocation.addend
