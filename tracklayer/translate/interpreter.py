"""T0, the interpreter: one handler for each opcode, which ends by passing control to the next one's.

For:     the typed text of the handlers, and the program that is made of them.
Not for: any particular guest (guest.py), or translated code (layer.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..compiler.asking import host_offset, python_glue
from ..compiler.convention import HANDLER, Convention, find
from ..compiler.glue import advance_glue, builtin_glue, crossing, slots_table, step_glue
from ..compiler.intrinsics import CONTROL, from_memory, in_memory, resume, to_memory
from ..compiler.program import OWN, Program
from ..lang import go, typed, unlikely
from .guest import Guest
from .shared import Shared, slow
from .shared import behind as behind_name

QUICK_CALLING = "preserve_mostcc"
"""How translated code calls the guest's quick functions: all registers but that of the result stay as they are."""
HANDLERS = "handlers"
"""The kind of part that opcodes' handlers belong to."""


@typed
def handler(context: Any, guest: Any, index: Any) -> None:
    """One instruction, and on to the next."""
    guest.execute(context, index)
    if in_memory(context):
        resume(context)
    else:
        guest.clock(context).instructions += 1
        onwards(context, guest)


@typed
def resumed(context: Any, guest: Any) -> None:
    """From the slow side of an instruction, the registers read again: on to the next."""
    guest.clock(context).instructions += 1
    onwards(context, guest)


@typed
def behind(context: Any, guest: Any, time: Any) -> None:
    """What stands behind a stencil that is used as a handler (shared.py)."""
    guest.clock(context).left -= time
    guest.clock(context).instructions += 1
    onwards(context, guest)


@typed
def onwards(context: Any, guest: Any) -> None:
    """As `dispatch`, which does itself what is rare: this stands in every handler."""
    if not unlikely(guest.clock(context).left <= 0):
        page = guest.code_page(context)
        if page:
            opcode = guest.fetch_from(context, page)
            go(guest.engine(context).dispatch[opcode])
    go(guest.engine(context).back)


@typed
def dispatch(context: Any, guest: Any) -> None:
    """On to whatever stands at PC, unless something is due first."""
    if unlikely(guest.clock(context).left <= 0):
        go(guest.engine(context).boundary)
    else:
        page = guest.code_page(context)
        if page:
            opcode = guest.fetch_from(context, page)
            go(guest.engine(context).dispatch[opcode])
        else:
            go(guest.engine(context).unmapped)


@typed
def boundary(context: Any, guest: Any) -> None:
    """Do what is due; then one instruction runs, even where the next boundary is due already."""
    guest.boundary(context)
    if guest.clock(context).stop:
        go(guest.engine(context).leave)
    else:
        single(context, guest)


@typed
def single(context: Any, guest: Any) -> None:
    """Run one instruction, from wherever it must be fetched, and its hook before it."""
    if guest.hook(context):
        go(guest.engine(context).leave)
    else:
        opcode = guest.fetch(context)
        go(guest.engine(context).interpret[opcode])


def convention_of(guest: type[Guest]) -> Convention:
    """What the guest's handlers pass in registers."""
    return Convention(guest.context, guest.pinned, guest.cached)


def interpreter_program(guest: type[Guest]) -> Program:
    """An empty program for `add_interpreter`."""
    return Program(convention_of(guest), CONTROL)


def add_interpreter(program: Program, guest: type[Guest], shared: Mapping[int, Shared]) -> None:
    """All of T0 for one guest: a handler for each opcode, `dispatch`, `boundary`, `single`, and the ways in and out.

    shared: the opcodes whose handlers are put together from stencils (shared.py): here is only what stands behind
            them, and their slow handlers.
    """
    convention = convention_of(guest)
    program.raw(crossing(convention), "enter", f"declare hidden {HANDLER} void @leave({convention.signature})")
    program.entries.append("leave")
    program.raw(python_glue(), "run")
    program.entries += ["ask", "tell"]
    program.function("begin", guest.begin)
    program.function("outcome", guest.outcome)
    host = find(guest.context, guest.host_path)[0]
    thread = host + host_offset("thread")
    program.raw(slots_table() + advance_glue(thread), "advance")
    if guest.has_steps():
        program.function("begin_steps", guest.begin_steps)
        program.function("end_steps", guest.end_steps)
        program.raw(step_glue(thread, host + host_offset("runner"), guest.refused), "step")
    for number, function in enumerate(dict.fromkeys(guest.quick.values())):
        program.function(f"quick.{number}", function, calling=QUICK_CALLING)
    for name, call in guest.calls.items():
        program.function(f"{name}.body", call.function)
        program.raw(builtin_glue(name, f"{name}.body", call.arguments, call.returns), name)
    for function in (dispatch, boundary, single):
        program.handler(function.__name__, function, {"guest": guest})
    program.handler("resume", resumed, {"guest": guest}, prepare=from_memory, declared=True)
    for time in sorted({one.time for one in shared.values()}):
        program.handler(behind_name(time), behind, {"guest": guest, "time": time})
    program.part = HANDLERS
    for index in range(guest.handlers):
        known = {"guest": guest, "index": index}
        if index not in shared:
            program.handler(f"op.{index}", handler, known, spills=True)
        elif shared[index].leaves:
            program.handler(slow(index), handler, known, spills=True, prepare=to_memory)
    program.part = OWN

