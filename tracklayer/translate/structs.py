"""What the translator keeps, as plain data: stencils, code caches, and a console's share of them.

For:     the structs that the layer (layer.py) works on, and the numbers that stand in them.
Not for: making or using them.
"""

from __future__ import annotations

from typing import NamedTuple

from ..lang import Array, Ptr, array, i32, struct, typed, u8, u16, u32, u64

# What a hole is filled with.
OPERAND, TARGET, NEXT, EXIT, COUNT, SPENT, BUDGET, HERE, CONTINUE, INTERPRET, HANDLER, REST, LATE, QUICK = range(14)
MOST_QUICK = 2
"""Kinds from QUICK on: the functions that full stencils call."""

EXTRA = ("head", "stub", "on", "wait", "late", "near", "whole")
"""Stencils that belong to no opcode; they come after the opcodes' in this order."""
HEAD, STUB, ON, WAIT, LATER, SHORT, WHOLE = range(len(EXTRA))

# How an instruction ends.
FALLS, BRANCHES, LEAVES = range(3)
"""FALLS: always goes on behind itself. BRANCHES: may. LEAVES: never does."""


@struct
class Hole:
    """A place in a stencil to fill."""

    at: u16
    kind: u8
    size: u8
    relative: u8
    addend: i32


@struct
class Stencil:
    """A piece of code: where it lies in the pool, and what the layer must know of its instruction."""

    code: u32
    size: u16
    holes: u16
    first_hole: u32
    length: u8
    """In bytes of the guest; 0 where there is no stencil. Its code may be empty."""
    cycles: u8
    extra: u8
    """T-cycles more where it jumps."""
    opcode_length: u8
    opcode_cycles: u8
    """Bytes of the opcode, and T-cycles of fetching it: what the interpreter's handler finds done."""
    tail: u8
    flow: u8
    target: u16
    has_target: u8
    has_stub: u8
    pure: u8
    """It only changes registers, and falls through."""
    reads: u8
    writes: u8
    """Of the guest's volatile fields, by bit: which the instruction reads, and which it writes whatever happens."""
    uses: u16
    settles: u16
    changes: u16
    """Of all fields in registers, by bit: which the instruction reads, writes whatever happens, may write."""
    leads: u16
    """Which of those that it reads may be an address."""
    mutes: u8
    """It may change memory."""
    bare: u16
    """The stencil of the same instruction that leaves out the volatile fields it writes; 0 where there is none."""
    full: u16
    """The full stencil of the same instruction; 0 where there is none."""
    handler: u16
    """The instruction's handler."""
    is_full: u8


@struct
class StencilTable:
    """All stencils of a guest. After the opcodes' come those of EXTRA, then the bare and the full ones."""

    stencils: Ptr[Stencil]
    holes: Ptr[Hole]
    pool: Ptr[u8]


NO_OPERAND, BYTE, WORD, RELATIVE, ABSOLUTE = range(5)
"""What stands behind the opcode. RELATIVE and ABSOLUTE are the static target of a jump."""


class Described(NamedTuple):
    """What the layer must know of an instruction: bytes, T-cycles when it falls through, what stands behind its
    opcode, how it ends.

    ends: the interpreter's dispatcher follows it (it may have asked for a boundary). target: of a jump that has it in
          its opcode. calls: it always jumps, and the other side is expected to come back behind it. extra: T-cycles
          more where it jumps.
    """

    length: int
    cycles: int
    tail: int
    flow: int
    ends: bool
    target: int | None
    extra: int
    calls: bool = False


# ------------------------------------------------------------------------------------------ caches

MOST = 48
"""Instructions in a block; fewer than 64."""
ROOM = 16384
"""Bytes of code that no block passes."""
EDGES = 1024
"""Of these, bytes for what a block has besides its instructions and their stubs: its head, its end, and the cells that
its exits may need."""
CELL = 8
"""Bytes of a cell: one aligned store changes where it leads."""
JUMP_BITS = 40
JUMP_BYTES = JUMP_BITS // 8


@typed
def jump(at: u64, target: u64) -> u64:
    """A jump (JMP rel32) at one executable address to another, in the lowest JUMP_BITS of a word."""
    return u64(0xE9 | u32(target - at - 5) << 8)


THRASH = 24
"""A line of 16 bytes that was written over so often while code from it was translated stays with the interpreter."""
LINES = 2048
MOST_LINES = 16
"""More written lines than that at once, and every block is dropped."""


@struct
class Cache:
    """Translated code made from one piece of memory: a ROM (then all consoles with that ROM share it), or a console's
    own."""

    base: u64
    """Address of the memory."""
    size: u64
    places: Ptr[u32]
    """For each byte of the memory: the number of the block that begins there, 0 where none does."""
    slots: Ptr[u64]
    """For each number: the block's code, `short`, or `make`. Number 0 is `hop`."""
    cells: Ptr[u64]
    """For each number: the executable address of a jump to what its slot holds. Exits of blocks jump there."""
    first: Ptr[u16]
    last: Ptr[u16]
    """For each number: the guest addresses that the block was made from."""
    count: u32
    """Numbers given, 0 included."""
    capacity: u32
    next: u64
    """Where the next block goes: an executable address."""
    limit: u64
    spare: u64
    """More memory for blocks, taken when there is no room up to `limit`; 0 for none."""
    spare_size: u64
    delta: u64
    """What to add to an executable address to write there."""
    lock: Array[u32] = array(1)
    own: u8
    """Made from a console's own memory, which the guest can write."""
    hooks: u8
    """Made for a console with hooks; blocks end before hooked addresses."""
    wants_room: u8
    blocks: u64
    instructions: u64
    """Blocks and instructions laid so far."""


SAMPLES = 64


@struct
class Sample:
    """A place where an instruction boundary was: the instruction's address in the guest and in memory (0 where it does
    not lie in plain memory), and how many instructions ran since the sample before."""

    pc: u16
    memory: u64
    instructions: u64


@struct
class Translator:
    """What the translator keeps for one console."""

    table: Ptr[StencilTable]
    shared: Ptr[Cache]
    own: Ptr[Cache]
    redirects: u64
    """The address of the table of `dispatch` that leads from each opcode back to translated code."""
    straight: u64
    """The same for code that the interpreter runs: only from jumps."""
    make: u64
    short: u64
    rough: u64
    hop: u64
    fill: Array[u64] = array(16)
    """What each kind of hole is filled with, while a stencil is laid."""
    opcodes: Array[u16] = array(64)
    samples: Array[Sample] = array(SAMPLES)
    """Where time was spent lately."""
    sampled: u32
    sampled_at: u64
    """The count of instructions at the last sample."""
    step: u64
    """Instructions from one sample to the next, at least."""
    drops: Array[u8] = array(LINES)
    colds: u32
    """How often regions were left before an instruction that met more than plain memory, and where that was last."""
    cold_pc: u16
    cold_memory: u64
    waiting: u32
    """The address of the loop whose end was reached last, plus 1; 0 where a boundary was since."""
    waited_instructions: u64
    waited_time: u64
    """When that was."""
