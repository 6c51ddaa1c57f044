"""The ways into generated code and out of it, as IR text: for other generated code, and for Python.

For:       `enter`, `leave` of a calling convention; `advance`, `step` and quick calls, the code of builtins.
Not for:   calls of Python objects on the way (asking.py); the loop of a batch (many_glue.py).
Invariant: these builtins need no context to reach the C API: it is in the image's slots, filled when that is placed.
"""

from __future__ import annotations

import struct

from .convention import Convention
from .text import FIELD

SLOTS = "tracklayer.slots"
"""The image's words that are filled when it is placed (native/image.py)."""


def crossing(convention: Convention) -> str:
    """`enter(context, handler)`, a C function that loads the pinned fields and calls a handler; the handler `leave`."""
    loads, names, stores = [], ["ptr %context"], []
    parameters = ["ptr %context"]
    for index, field in enumerate(convention.pinned):
        bits = field.kind.size * 8
        kind = f"i{field.width}"
        loads.append(f"  %a{index} = getelementptr inbounds i8, ptr %context, i64 {field.offset}")
        loads.append(f"  %m{index} = load i{bits}, ptr %a{index}, {FIELD}")
        stores.append(f"  %a{index} = getelementptr inbounds i8, ptr %context, i64 {field.offset}")
        if bits == field.width:
            loaded, stored = f"%m{index}", f"%p{index}"
        else:
            how = "trunc" if field.width < bits else "sext" if field.kind.signed else "zext"
            loads.append(f"  %v{index} = {how} i{bits} %m{index} to {kind}")
            back = "zext" if field.width < bits else "trunc"
            stores.append(f"  %s{index} = {back} {kind} %p{index} to i{bits}")
            loaded, stored = f"%v{index}", f"%s{index}"
        stores.append(f"  store i{bits} {stored}, ptr %a{index}, {FIELD}")
        names.append(f"{kind} {loaded}")
        parameters.append(f"{kind} %p{index}")
    return "\n".join([
        "define void @enter(ptr %context, ptr %handler) nounwind {", *loads,
        f"  call preserve_nonecc void %handler({', '.join(names)})", "  ret void", "}",
        f"define preserve_nonecc void @leave({', '.join(parameters)}) nounwind {{", *stores, "  ret void", "}",
    ])  # fmt: skip


SLOT_API = (
    "PyLong_AsLongLong", "PyLong_FromLongLong", "PyEval_SaveThread", "PyEval_RestoreThread", "PyErr_Occurred",
    "PyBytes_AsString", "PyObject_IsTrue", "PyThread_get_thread_ident", "PyThreadState_Get",
    "PyThreadState_GetInterpreter", "PyInterpreterState_ThreadHead", "PyThreadState_Next",
    "PyThread_acquire_lock_timed", "PyThread_release_lock",
)  # fmt: skip
"""What the builtins call, in the order of the image's slots: they have no context yet from which to reach a table."""

PLACE = struct.Struct("<QQ")
"""What builtins are bound to, as bytes: the context's address, and where to enter generated code."""


def load_slots() -> str:
    """Load the addresses of `SLOT_API`."""
    return "\n".join(
        f"  %at.{name} = getelementptr inbounds ptr, ptr @{SLOTS}, i64 {index}\n  %{name} = load ptr, ptr %at.{name}"
        for index, name in enumerate(SLOT_API)
    )


def slots_table() -> str:
    """The words that hold the addresses of `SLOT_API`. One is in each program with glue that needs them."""
    return (
        f"@{SLOTS} = hidden externally_initialized constant [{len(SLOT_API)} x ptr] zeroinitializer, "
        'section ".rodata.slots"'
    )


_BOUND = """
  %place = call ptr %PyBytes_AsString(ptr %self)
  %context = load ptr, ptr %place
  %handler.at = getelementptr inbounds ptr, ptr %place, i64 1
  %handler = load ptr, ptr %handler.at
"""


def _inside(thread: int) -> str:
    """Enter generated code, without the GIL where there is another thread that might want it; goes on at `back`.

    To give the GIL up and take it again costs more than a short run. A thread that is made meanwhile, by a hook or by
    C code, waits until a hook lets it in, or until the run, which is a slice, ends.
    """
    return f"""
  %own.state = call ptr %PyThreadState_Get()
  %interpreter = call ptr %PyThreadState_GetInterpreter(ptr %own.state)
  %head.state = call ptr %PyInterpreterState_ThreadHead(ptr %interpreter)
  %next.state = call ptr %PyThreadState_Next(ptr %own.state)
  %newest = icmp eq ptr %head.state, %own.state
  %oldest = icmp eq ptr %next.state, null
  %alone = and i1 %newest, %oldest
  br i1 %alone, label %keep, label %share
keep:
  call void @enter(ptr %context, ptr %handler)
  br label %back
share:
  %thread.at = getelementptr inbounds i8, ptr %context, i64 {thread}
  %state = call ptr %PyEval_SaveThread()
  store ptr %state, ptr %thread.at
  call void @enter(ptr %context, ptr %handler)
  %again = load ptr, ptr %thread.at
  store ptr null, ptr %thread.at
  call void %PyEval_RestoreThread(ptr %again)
  br label %back
back:
"""


def advance_glue(thread: int) -> str:
    """`advance(limit)`, the code of a METH_FASTCALL builtin bound to a `PLACE`: run to a time, and return the outcome.

    It calls the program's functions `begin(context, limit)` and `outcome(context)`.
    thread: offset in the context of the Host's thread state.
    Errors: TypeError, OverflowError where the limit is no integer of 64 bits.
    """
    return f"""
define ptr @advance(ptr %self, ptr %arguments, i64 %count) nounwind {{
{load_slots()}
{_BOUND}
{_integers(1)}
  call void @begin(ptr %context, i64 %value.0)
{_inside(thread)}
  %value = call i64 @outcome(ptr %context)
  %result = call ptr %PyLong_FromLongLong(i64 %value)
  ret ptr %result
raise:
  ret ptr null
}}
"""


def step_glue(thread: int, runner: int, refused: int) -> str:
    """`step(count, first, second)`, the code of such a builtin: run so many of the guest's own steps.

    It calls the program's `begin_steps(context, count, way)`, where bit 0 of `way` is the truth of `first`, and bit 1
    that of `second`; and `end_steps(context)`, whose answer it returns. Where somebody runs the context, or
    `begin_steps` says 0, it does nothing and returns `refused`.
    runner: offset of the Host's field of that name, which it sets meanwhile.
    Errors: TypeError, OverflowError where the count is no integer of 64 bits; what the truth of an object raises.
    """
    truths = "\n".join(
        f"""
  %at.{name} = getelementptr inbounds ptr, ptr %arguments, i64 {index}
  %object.{name} = load ptr, ptr %at.{name}
  %truth.{name} = call i32 %PyObject_IsTrue(ptr %object.{name})
  %odd.{name} = icmp slt i32 %truth.{name}, 0
  br i1 %odd.{name}, label %raise, label %read.{name}
read.{name}:"""
        for index, name in ((1, "first"), (2, "second"))
    )
    return f"""
define ptr @step(ptr %self, ptr %arguments, i64 %count) nounwind {{
{load_slots()}
{_BOUND}
{_integers(1)}
{truths}
  %second.bit = shl i32 %truth.second, 1
  %bits = or i32 %truth.first, %second.bit
  %way = zext i32 %bits to i64
  %runner.at = getelementptr inbounds i8, ptr %context, i64 {runner}
  %runner = load i64, ptr %runner.at
  %taken = icmp ne i64 %runner, 0
  br i1 %taken, label %refuse, label %free
free:
  %ready = call i64 @begin_steps(ptr %context, i64 %value.0, i64 %way)
  %unfit = icmp eq i64 %ready, 0
  br i1 %unfit, label %refuse, label %run
run:
  %own = call i64 %PyThread_get_thread_ident()
  store i64 %own, ptr %runner.at
{_inside(thread)}
  %value = call i64 @end_steps(ptr %context)
  store i64 0, ptr %runner.at
  br label %answer
refuse:
  br label %answer
answer:
  %outcome = phi i64 [ %value, %back ], [ {refused}, %refuse ]
  %result = call ptr %PyLong_FromLongLong(i64 %outcome)
  ret ptr %result
raise:
  ret ptr null
}}
"""


def builtin_glue(name: str, function: str, arguments: int, returns: bool) -> str:
    """`name(...)`, the code of such a builtin: call a function of the program with the context and some integers, and
    return its result, or 0. The GIL is kept; the function may call Python as any may.

    Errors: TypeError, OverflowError where an argument is no integer of 64 bits.
    """
    values = ", ".join(["ptr %context", *(f"i64 %value.{index}" for index in range(arguments))])
    call = f"%found = call i64 @{function}({values})" if returns else f"call void @{function}({values})"
    return f"""
define ptr @{name}(ptr %self, ptr %arguments, i64 %count) nounwind {{
{load_slots()}
{_BOUND}
{_integers(arguments)}
  {call}
  %result = call ptr %PyLong_FromLongLong(i64 {"%found" if returns else "0"})
  ret ptr %result
raise:
  ret ptr null
}}
"""


def _integers(count: int) -> str:
    """Read the first arguments as integers; to the label `raise` where one is none."""
    return "\n".join(
        f"""
  %at.{index} = getelementptr inbounds ptr, ptr %arguments, i64 {index}
  %object.{index} = load ptr, ptr %at.{index}
  %value.{index} = call i64 %PyLong_AsLongLong(ptr %object.{index})
  %odd.{index} = icmp eq i64 %value.{index}, -1
  br i1 %odd.{index}, label %look.{index}, label %read.{index}
look.{index}:
  %error.{index} = call ptr %PyErr_Occurred()
  %failed.{index} = icmp ne ptr %error.{index}, null
  br i1 %failed.{index}, label %raise, label %read.{index}
read.{index}:"""
        for index in range(count)
    )
