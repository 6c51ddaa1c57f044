"""Loops that wait: found while a block is laid, and skipped while nothing can come of another pass.

For:       `waits`, for the layer; `wait`, the handler at the end of such a loop.
Not for:   what is read, and how long it stays (`Guest.quiet`).
Invariant: after a skip all is as if each pass had been run, time and count of instructions included; the last pass
           before anything is due is run, so that devices were looked at when they would have been.

Such a loop is straight code with a jump back to its begin. It changes no memory, and no register that it reads before
it has written it. So a pass that reads what the pass before read does what that did: it comes back. That is known of
the next passes once a whole one was run with no boundary in it, for as long as all that it reads stays as it is.
"""

from __future__ import annotations

from typing import Any

from ..compiler.program import Program
from ..lang import address_of, pointer_at, typed, u1, u4, u8, u16, u64
from .guest import Guest
from .stencils import jump
from .structs import FALLS, LINES, THRASH, Translator

MOST_WAITING = 8
"""Instructions of such a loop."""
NEAR = 24
"""Bytes of it."""
BEHIND = 4
"""As many bytes behind it can be looked at."""


@typed
def state_of(context: Any, guest: Any) -> Translator:
    """The console's translator."""
    return pointer_at(address_of(guest.engine(context).translator), Translator)[0]  # type: ignore[no-any-return]


@typed(outline=True)
def waits(context: Any, guest: Any, own: u8, first: u16, last: u16) -> u1:
    """Whether the instructions from `first` to a jump back there at `last` are such a loop."""
    it = state_of(context, guest)
    stencils = it.table[0].stencils
    window = guest.window(first)
    at: u16 = first
    carried: u16 = 0
    settled: u16 = 0
    changed: u16 = 0
    count: u4 = 0
    good: u1 = guest.window(u16(last + BEHIND)) == window and u16(last - first) < NEAR
    begin = u64(address_of(guest.code_memory(context, first)))
    while good and count < MOST_WAITING:
        page = guest.code_memory(context, at)
        thrashed = own != 0 and it.drops[(at >> 4) & (LINES - 1)] >= THRASH
        # It lies in one piece, which the bytes behind an instruction tell by.
        whole = u64(address_of(page) + (at & 0xFF)) == u64(begin + (first & 0xFF) + u16(at - first))
        if not page or not whole or thrashed or guest.hooked(context, at) or guest.window(at) != window:
            good = 0
        else:
            code = pointer_at(u64(address_of(page) + (at & 0xFF)), u8)
            stencil = stencils[guest.decode(code)]
            carried |= stencil.uses & ~settled
            if at == last:
                same = (carried | ~settled) & changed == 0  # what it changes depends on what it reads alone
                return same and stencil.has_stub == 0 and stencil.mutes == 0
            changed |= stencil.changes
            settled |= stencil.settles
            if stencil.length == 0 or stencil.flow != FALLS or stencil.mutes != 0:
                good = 0
            elif stencil.has_stub:
                carried |= stencil.leads  # also where it is written before: it must lead there at the end too
                if not guest.waitable(context, code):
                    good = 0
            at = u16(at + stencil.length)
            count = u4(count + 1)
    return 0


@typed
def wait(context: Any, guest: Any) -> None:
    """At the end of such a loop, with its begin in PC: skip passes, if a whole one was just run.

    Where the block begins with the loop that is known by its code (`stencils.whole`), else from the second time on.
    """
    it = state_of(context, guest)
    clock = guest.clock(context)
    pc = guest.pc_of(context)
    if it.waiting == pc + 1:
        skip(context, guest, pc)
    it.waiting = pc + 1
    it.waited_instructions = clock.instructions
    it.waited_time = clock.now()
    jump(context, guest)


@typed(outline=True)
def skip(context: Any, guest: Any, first: u16) -> None:
    """Skip as many passes as are sure to come back, all but one of those that fit before anything is due."""
    it = state_of(context, guest)
    clock = guest.clock(context)
    stencils = it.table[0].stencils
    instructions = u64(clock.instructions - it.waited_instructions)
    length = u64(clock.now() - it.waited_time)
    left: u64 = 0
    if clock.left > 0:
        left = u64(clock.left)
    if instructions > MOST_WAITING or length == 0 or length > left:
        return
    room = u64(left - length)
    begin = guest.code_memory(context, first)
    if not begin:
        return
    at: u16 = 0
    count: u4 = 0
    going: u1 = 1
    while going:
        code = pointer_at(u64(address_of(begin) + (first & 0xFF) + at), u8)
        stencil = stencils[guest.decode(code)]
        count = u4(count + 1)
        if stencil.flow != FALLS or count > MOST_WAITING:
            going = 0
        elif stencil.has_stub:
            room = min(room, guest.quiet(context, code, length))
        at = u16(at + stencil.length)
    if count != instructions:  # somewhere else in between
        return
    # room // length, by doubling
    size: u64 = length
    times: u64 = 1
    while size <= room >> 1:
        size = u64(size << 1)
        times = u64(times << 1)
    passes: u64 = 0
    while times > 0:
        if size <= room:
            room = u64(room - size)
            passes = u64(passes + times)
        size = size >> 1
        times = times >> 1
    clock.left -= passes * length
    clock.instructions += passes * count
    it.sampled_at += passes * count  # nothing to make faster


def add_waits(program: Program, guest: type[Guest]) -> None:
    """Add the handler of this module to a guest's program."""
    program.handler("wait", wait, {"guest": guest})
