"""Tallies: what a guest's instructions take, counted one by one. Typed Python.

For:       the handlers that stand between the interpreter and its own handlers, and count; they exist only where
           somebody profiles. The table in which all is kept.
Not for:   why translated code is left (exits.py), the engines that have all this (counted.py), names and tables of what
           was counted (api/profiling).
Invariant: a console does, and its state says, the same with these as without: they read the guest and change only the
           tally.

Everything is kept in one hash table of cells. An instruction's time is what passes from its fetch to the next one's, or
to the boundary before that; what passes in a boundary is an interrupt's dispatch, waiting (HALT), or a stall (DMA).

**The call stack** is kept beside the guest's: a call that was taken pushes a frame with the address at which SP stands
then. A return finds the frame of the SP that it read from, wherever it lies, and drops all above it; so does a jump to
the return address with that frame's place popped. Frames at or below a new one, within REACH bytes, are dead and go. So
programs may throw return addresses away, return to computed addresses, use SP as a data pointer, and have more stacks.
"""

from __future__ import annotations

from typing import Any

from ..compiler.program import Program
from ..isa.engine import EngineHost
from ..lang import Array, Ptr, address_of, array, go, pointer_at, struct, typed, u1, u8, u16, u32, u64
from .structs import Translator

#   what a cell counts
CODE, WAITING, STALL, DISPATCH = range(1, 5)
"""By node and place: instructions, with their time; time in HALT, by the HALT; time in which the processor stood still
for something else; interrupts' dispatches."""
SITE, CALL, INTERRUPT = range(5, 8)
"""By node and place, the tree of calls, whose cells hold the number of the node below: an instruction that calls; below
a site, what is called; below the root, whatever they interrupt, interrupts' handlers."""
FURTHER = 8
"""From here on kinds are those of exits.py."""

# What an opcode may do to the call stack.
NOTHING, CALLS, RETURNS, JUMPS = range(4)
"""JUMPS: to a computed address."""

NOBODY, RUNNING, BETWEEN = range(3)
"""What the tally's console does: nothing yet, an instruction, a boundary."""

DEPTH = 256
"""Frames; calls that lie deeper count as their caller's time."""
REACH = 256
"""Bytes of stack within which a frame below a new one belongs to the same stack."""
INLINE = 16
"""A jump that takes its return address from the stack may come back so many bytes behind it: arguments stood there."""
MOST_NODES = 1 << 20
PROBES = 64


@struct
class Cell:
    """What was counted for one key: node << 40 | kind << 32 | place + 1. A key of 0 is nobody's.

    arrived: control came there by a jump. node: the node below, where this is of the tree of calls.
    """

    key: u64
    time: u64
    count: u64
    node: u32
    opcode: u8
    arrived: u8


@struct
class Frame:
    """A call that has not returned: where SP stood, the address behind the call, the node that it was made in."""

    sp: u16
    back: u16
    interrupt: u1
    before: u32


@struct
class Tally:
    """What is counted of one console, and where the handlers are that do the work."""

    handlers: Ptr[Ptr[u8]]
    boundary: Ptr[u8]
    near: Ptr[u8]
    rough: Ptr[u8]
    short: Ptr[u8]
    lookup: Ptr[u8]
    make: Ptr[u8]
    wait: Ptr[u8]
    single: Ptr[u8]
    straight_end: Ptr[u8]
    cells: Ptr[Cell]
    capacity: u64
    """A power of two; the last PROBES cells behind it are for what finds no room where it belongs."""
    used: u64
    lost: u64
    """Entries for which no cell was found."""
    nodes: u32
    node: u32
    """Where in the tree of calls the guest is. 0 is the root."""
    depth: u32
    state: u8
    mode: u8
    prefix: u32
    """The address of an instruction whose first opcode byte was handled last, plus 1."""
    idle: u8
    opcode: u8
    running: u16
    """The address of the instruction that runs, or ran last."""
    pc: u16
    """At a boundary, what runs next."""
    sp: u16
    following: u16
    """The address behind the running instruction; where control arrives otherwise, it jumped."""
    since: u64
    cell: u64
    kinds: Array[u8] = array(256)
    lengths: Array[u8] = array(256)
    """Of opcodes."""
    frames: Array[Frame] = array(DEPTH)


@struct
class CountedTranslator:
    """What `EngineHost.translator` points to where somebody counts."""

    translator: Translator
    tally: Ptr[Tally]


@typed
def tally_of(context: Any, guest: Any) -> Any:
    """The console's tally."""
    engine: EngineHost = guest.engine(context)
    return pointer_at(address_of(engine.translator), CountedTranslator)[0].tally[0]


@typed(outline=True)
def cell_for(it: Tally, node: u32, kind: u8, place: u32) -> u64:
    """The number of the cell for a key, a new one if need be; `capacity` + PROBES where there is no room."""
    key = ((node & (MOST_NODES - 1)) << 40 | kind << 32 | place) + 1
    mixed = u64(u64(key ^ key >> 29) * 0x9E3779B97F4A7C15)
    at: u64 = u64((mixed >> 20) & (it.capacity - 1))
    end = u64(at + PROBES)
    while at < end:
        found = it.cells[at].key
        if found == key:
            return at
        if found == 0:
            it.cells[at].key = key
            it.used += 1
            return at
        at = u64(at + 1)
    it.lost += 1
    return u64(it.capacity + PROBES)


@typed
def add(it: Tally, node: u32, kind: u8, place: u32, time: u64) -> None:
    """Count something once, with its time."""
    cell = it.cells[cell_for(it, node, kind, place)]
    cell.time += time
    cell.count += 1


@typed(outline=True)
def node_below(it: Tally, node: u32, kind: u8, place: u32) -> u32:
    """A node of the tree of calls, a new one if need be."""
    cell = it.cells[cell_for(it, node, kind, place)]
    cell.count += 1
    if cell.node == 0 and it.nodes < MOST_NODES - 1:
        it.nodes += 1
        cell.node = it.nodes
    return cell.node


@typed(outline=True)
def enter_call(it: Tally, place: u32, sp: u16, back: u16, interrupt: u1, caller: u32) -> None:
    """The instruction at `caller`, or an interrupt, called what stands at `place`; SP is `sp` now."""
    while it.depth > 0 and u16(sp - it.frames[(it.depth - 1) & (DEPTH - 1)].sp) < REACH:
        drop_to(it, u32(it.depth - 1))
    node: u32 = 0
    if interrupt:
        node = node_below(it, 0, INTERRUPT, place)
    else:
        node = node_below(it, node_below(it, it.node, SITE, caller), CALL, place)
    if it.depth < DEPTH:
        frame = it.frames[it.depth & (DEPTH - 1)]
        frame.sp = sp
        frame.back = back
        frame.interrupt = interrupt
        frame.before = it.node
        it.depth += 1
        it.node = node


@typed
def drop_to(it: Tally, depth: u32) -> None:
    """Only so many frames are left."""
    it.depth = depth
    it.node = it.frames[depth & (DEPTH - 1)].before


@typed(outline=True)
def leave_call(it: Tally, sp: u16, pc: u16) -> None:
    """A return read its address at `sp`, and went to `pc`. Nothing happens where no call left one there."""
    depth: u32 = it.depth
    while depth > 0:
        depth = u32(depth - 1)
        frame = it.frames[depth & (DEPTH - 1)]
        if frame.sp == sp:
            if frame.interrupt != 0 and frame.back == pc:
                it.following = pc
            drop_to(it, depth)
            depth = 0


@typed
def finish(context: Any, guest: Any, it: Tally, now: u64, pc: u16, sp: u16) -> None:
    """The running instruction is over: note its time, and what it did to the call stack."""
    it.cells[it.cell].time += u64(now - it.since)
    kind = it.kinds[it.opcode]
    if kind == CALLS:
        if sp == u16(it.sp - 2):
            enter_call(it, guest.place(context, pc), sp, it.following, 0, guest.place(context, it.running))
    elif kind == RETURNS:
        if sp == u16(it.sp + 2):
            leave_call(it, it.sp, pc)
    elif kind == JUMPS and it.depth > 0:
        top = it.frames[(it.depth - 1) & (DEPTH - 1)]
        if sp == u16(top.sp + 2) and u16(pc - top.back) < INLINE:
            leave_call(it, top.sp, pc)


@typed
def settle(context: Any, guest: Any, it: Tally, now: u64, pc: u16, sp: u16) -> None:
    """A boundary is over: note what its time was."""
    time = u64(now - it.since)
    dispatch: u64 = 0
    if sp != it.sp:  # no instruction ran in between, so an interrupt did that
        dispatch = min(time, guest.dispatch_time(context))
    if time > dispatch:
        add(it, it.node, WAITING if it.idle != 0 else STALL, guest.place(context, it.running), u64(time - dispatch))
    if sp != it.sp:
        place = guest.place(context, pc)
        enter_call(it, place, sp, it.pc, 1, guest.place(context, it.running))
        add(it, it.node, DISPATCH, place, dispatch)


@typed(outline=True)
def begin_instruction(context: Any, guest: Any, opcode: u8) -> None:
    """An instruction's opcode was fetched."""
    it = tally_of(context, guest)
    now = guest.before_fetch(context)
    pc = u16(guest.pc_of(context) - 1)
    sp = guest.sp_of(context)
    if it.state == RUNNING:
        finish(context, guest, it, now, pc, sp)
    elif it.state == BETWEEN:
        settle(context, guest, it, now, pc, sp)
    it.running = pc
    number = cell_for(it, it.node, CODE, guest.place(context, pc))
    cell = it.cells[number]
    cell.count += 1
    cell.opcode = opcode
    if pc != it.following:
        cell.arrived = 1
    it.state = RUNNING
    it.cell = number
    it.since = now
    it.sp = sp
    it.opcode = opcode
    it.following = u16(pc + it.lengths[opcode])


@typed(outline=True)
def begin_boundary(context: Any, guest: Any) -> None:
    """The processor looks up between two instructions."""
    it = tally_of(context, guest)
    now = guest.moment(context)
    pc = guest.pc_of(context)
    sp = guest.sp_of(context)
    if it.state == RUNNING:
        finish(context, guest, it, now, pc, sp)
    elif it.state == BETWEEN:
        settle(context, guest, it, now, pc, sp)
    else:  # a run begins: nobody jumped here
        it.running = pc
        it.following = pc
    it.state = BETWEEN
    it.since = now
    it.pc = pc
    it.sp = sp
    it.idle = guest.idle(context)


# ------------------------------------------------------------------------------------------------ handlers


@typed
def count_instruction(context: Any, guest: Any, opcode: Any) -> None:
    """In place of the interpreter's handler for an opcode: count, then go there."""
    begin_instruction(context, guest, opcode)
    go(tally_of(context, guest).handlers[opcode])


@typed
def count_boundary(context: Any, guest: Any) -> None:
    """In place of the interpreter's boundary."""
    begin_boundary(context, guest)
    go(tally_of(context, guest).boundary)


def add_tally(program: Program, guest: Any) -> None:
    """Add the handlers of this module to a program."""
    for opcode in range(guest.opcodes):
        program.handler(f"count.{opcode}", count_instruction, {"guest": guest, "opcode": opcode})
    program.handler("count.boundary", count_boundary, {"guest": guest})
