"""Exits: how often translated code is left, and why. Typed Python.

For:       handlers that stand before those that translated code leaves to, and before the interpreter's, and count.
Not for:   the table of what is counted, which is the tally's (tally.py); the engine that has this (counted.py).
Invariant: as for the tally: the console does, and its state says, the same with these as without.

The interpreter's handlers are entered from a block that came to an instruction it cannot do, or because somebody said
so before: the mode says who.
"""

from __future__ import annotations

from typing import Any

from ..compiler.program import Program
from ..lang import go, typed, u1, u8, u16
from .tally import FURTHER, add, tally_of

NEAR, BARRED, SLOW, LOOKUP, MAKE, WAIT, BOUNDARY, INTERPRETED = range(FURTHER, FURTHER + 8)
"""Exits of translated code, by the guest's place. NEAR: from a block's head, which may not fit; BARRED: to code that is
never translated, or not any more; SLOW: an instruction that needs more than plain memory; WAIT: the end of a loop that
may be skipped. BOUNDARY: by its reason. INTERPRETED: all instructions that the interpreter runs."""

TRANSLATED, ONE, UNTIL = range(3)
"""What runs, where exits are counted: translated code, one instruction in the interpreter, or more of them."""


@typed(outline=True)
def note_exit(context: Any, guest: Any, kind: u8, mode: u8) -> None:
    """Translated code was left, or is entered the long way; mode: what runs now."""
    it = tally_of(context, guest)
    it.mode = mode
    add(it, 0, kind, guest.place(context, guest.pc_of(context)), 0)


@typed(outline=True)
def note_boundary(context: Any, guest: Any) -> None:
    """A boundary, by its reason."""
    it = tally_of(context, guest)
    it.mode = TRANSLATED
    add(it, 0, BOUNDARY, guest.reason(context), 0)


@typed(outline=True)
def note_interpreted(context: Any, guest: Any, length: u8, prefix: u1) -> None:
    """The interpreter's handler for an opcode of so many bytes runs: sent from a block that could not, or not.

    prefix: it goes on to the handler of a longer opcode, which may also be reached by itself.
    """
    it = tally_of(context, guest)
    pc = u16(guest.pc_of(context) - length)
    if length > 1 and it.prefix == pc + 1:
        it.prefix = 0
        return
    it.prefix = 0
    if prefix:
        it.prefix = pc + 1
    place = guest.place(context, pc)
    if it.mode == TRANSLATED:
        add(it, 0, SLOW, place, 0)
    if it.mode == ONE:
        it.mode = TRANSLATED
    add(it, 0, INTERPRETED, 0, 0)


@typed
def exit_handler(context: Any, guest: Any, index: Any, length: Any, prefix: Any) -> None:
    """In place of an interpreter's handler: count, then go there."""
    note_interpreted(context, guest, length, prefix)
    go(tally_of(context, guest).handlers[index])


@typed
def exit_boundary(context: Any, guest: Any) -> None:
    note_boundary(context, guest)
    go(tally_of(context, guest).boundary)


@typed
def exit_near(context: Any, guest: Any) -> None:
    if guest.clock(context).left > 0:
        note_exit(context, guest, NEAR, UNTIL)
    go(tally_of(context, guest).near)


@typed
def exit_rough(context: Any, guest: Any) -> None:
    if guest.clock(context).left > 0:
        note_exit(context, guest, BARRED, UNTIL)
    go(tally_of(context, guest).rough)


@typed
def exit_short(context: Any, guest: Any) -> None:
    if guest.clock(context).left > 0:
        note_exit(context, guest, BARRED, ONE)
    go(tally_of(context, guest).short)


@typed
def exit_lookup(context: Any, guest: Any) -> None:
    note_exit(context, guest, LOOKUP, TRANSLATED)
    go(tally_of(context, guest).lookup)


@typed
def exit_make(context: Any, guest: Any) -> None:
    note_exit(context, guest, MAKE, TRANSLATED)
    go(tally_of(context, guest).make)


@typed
def exit_wait(context: Any, guest: Any) -> None:
    note_exit(context, guest, WAIT, TRANSLATED)
    go(tally_of(context, guest).wait)


@typed
def exit_single(context: Any, guest: Any) -> None:
    """The boundary wants an instruction interpreted, or whoever sent us has said how many."""
    it = tally_of(context, guest)
    if it.mode == TRANSLATED:
        it.mode = ONE
    go(it.single)


@typed
def exit_straight_end(context: Any, guest: Any) -> None:
    """One more instruction, and back to translated code."""
    it = tally_of(context, guest)
    it.mode = ONE
    go(it.straight_end)


EXITS = {
    "layer.boundary": exit_boundary,
    "near": exit_near,
    "rough": exit_rough,
    "short": exit_short,
    "lookup": exit_lookup,
    "make": exit_make,
    "wait": exit_wait,
    "single": exit_single,
    "straight_end": exit_straight_end,
}
"""By the name of the handler that each stands before."""


def add_exits(program: Program, guest: Any) -> None:
    """Add the handlers of this module to a program."""
    for index in (*range(guest.opcodes), *guest.further):
        length, prefix = guest.opcode_length(index), int(index in guest.prefixes)
        known = {"guest": guest, "index": index, "length": length, "prefix": prefix}
        program.handler(f"exit.op.{index}", exit_handler, known)
    for name, function in EXITS.items():
        program.handler(f"exit.{name}", function, {"guest": guest})
