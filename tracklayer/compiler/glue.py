"""The ways between generated code and everything else, as IR text: in and out of handlers, and calls of Python objects.

For:       `enter`, `leave` of a calling convention; `run` and `advance`, which give up the GIL around `enter`; the
           entries behind `ask` and `tell`.
Not for:   the loop of a batch (many_glue.py); the C API's addresses (native/calls.py gives them; they are read from the
           table that the Host points to).
Invariant: `host.thread` is whoever gave up the GIL to run the context, null as long as Python code may run: calls of
           Python take it from there, and put it back. An exception never stays pending: it is moved to `host.error`.
"""

from __future__ import annotations

import struct

from ..lang import Host, layout
from .convention import Convention
from .text import FIELD

SLOTS = "tracklayer.slots"
"""The image's words that are filled when it is placed (native/image.py)."""

PYTHON_API = (
    "PyEval_SaveThread", "PyEval_RestoreThread", "PyLong_FromLongLong", "PyLong_AsLongLong", "PyObject_Vectorcall",
    "PyErr_Occurred", "PyErr_Fetch", "PyErr_NormalizeException", "PyException_SetTraceback", "PyErr_GetRaisedException",
    "Py_IncRef", "Py_DecRef",
)  # fmt: skip
"""The C API that glue calls, in the order of the table that `host.python` points to; 0 for what this CPython lacks."""

MOST_ARGUMENTS = 8


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


def host_offset(name: str) -> int:
    """Where a field of `Host` lies."""
    return layout(Host)[name].offset


def _function(name: str, index: int) -> str:
    return f"  %at.{name} = getelementptr inbounds ptr, ptr %api, i64 {index}\n  %{name} = load ptr, ptr %at.{name}"


def python_glue() -> str:
    """`run`, `ask` and `tell`: the functions that hold or take the GIL."""
    table = {name: index for index, name in enumerate(PYTHON_API)}

    def need(*names: str) -> str:
        place = f"  %api.at = getelementptr inbounds i8, ptr %host, i64 {host_offset('python')}"
        head = f"{place}\n  %api = load ptr, ptr %api.at"
        return "\n".join([head, *(_function(name, table[name]) for name in names)])

    thread = f"  %thread.at = getelementptr inbounds i8, ptr %host, i64 {host_offset('thread')}"
    failed = f"  %failed.at = getelementptr inbounds i8, ptr %host, i64 {host_offset('failed')}"
    error = f"  %error.at = getelementptr inbounds i8, ptr %host, i64 {host_offset('error')}"
    called = need(*PYTHON_API)
    return f"""
define void @run(ptr %context, ptr %host, ptr %handler) nounwind {{
{need("PyEval_SaveThread", "PyEval_RestoreThread")}
{thread}
  %state = call ptr %PyEval_SaveThread()
  store ptr %state, ptr %thread.at
  call void @enter(ptr %context, ptr %handler)
  %again = load ptr, ptr %thread.at
  store ptr null, ptr %thread.at
  call void %PyEval_RestoreThread(ptr %again)
  ret void
}}
define internal i64 @call_python(ptr %host, ptr %function, i64 %default, i64 %count, ptr %arguments, i1 %wants)
    nounwind noinline {{
entry:
  %objects = alloca [{MOST_ARGUMENTS + 1} x ptr]
  %kind = alloca ptr
  %value = alloca ptr
  %trace = alloca ptr
{failed}
{thread}
{error}
{called}
  %already = load i8, ptr %failed.at
  %skip = icmp ne i8 %already, 0
  br i1 %skip, label %give_default, label %take
take:
  %state = load ptr, ptr %thread.at
  %held = icmp eq ptr %state, null
  br i1 %held, label %taken, label %restore
restore:
  store ptr null, ptr %thread.at
  call void %PyEval_RestoreThread(ptr %state)
  br label %taken
taken:
  call void %Py_IncRef(ptr %function)
  %first = getelementptr inbounds ptr, ptr %objects, i64 1
  br label %next
next:
  %index = phi i64 [ 0, %taken ], [ %index.more, %made ]
  %done = icmp eq i64 %index, %count
  br i1 %done, label %call, label %make
make:
  %argument.at = getelementptr inbounds i64, ptr %arguments, i64 %index
  %argument = load i64, ptr %argument.at
  br i1 %wants, label %make_number, label %take_object
make_number:
  %number.object = call ptr %PyLong_FromLongLong(i64 %argument)
  br label %have
take_object:
  %given = inttoptr i64 %argument to ptr
  call void %Py_IncRef(ptr %given)
  br label %have
have:
  %object = phi ptr [ %number.object, %make_number ], [ %given, %take_object ]
  %object.at = getelementptr inbounds ptr, ptr %first, i64 %index
  store ptr %object, ptr %object.at
  %none = icmp eq ptr %object, null
  %index.more = add i64 %index, 1
  br i1 %none, label %no_memory, label %made
made:
  br label %next
no_memory:
  br label %drop
call:
  %flagged = or i64 %count, {-(1 << 63)}
  %result = call ptr %PyObject_Vectorcall(ptr %function, ptr %first, i64 %flagged, ptr null)
  br label %drop
drop:
  %made.count = phi i64 [ %index, %no_memory ], [ %count, %call ]
  %result.any = phi ptr [ null, %no_memory ], [ %result, %call ]
  br label %drop_next
drop_next:
  %left = phi i64 [ %made.count, %drop ], [ %left.less, %drop_one ]
  %dropped = icmp eq i64 %left, 0
  br i1 %dropped, label %judge, label %drop_one
drop_one:
  %left.less = sub i64 %left, 1
  %drop.at = getelementptr inbounds ptr, ptr %first, i64 %left.less
  %drop.object = load ptr, ptr %drop.at
  call void %Py_DecRef(ptr %drop.object)
  br label %drop_next
judge:
  call void %Py_DecRef(ptr %function)
  %raised = icmp eq ptr %result.any, null
  br i1 %raised, label %keep, label %came
came:
  br i1 %wants, label %convert, label %ignore
ignore:
  call void %Py_DecRef(ptr %result.any)
  br label %finish
convert:
  %number = call i64 %PyLong_AsLongLong(ptr %result.any)
  call void %Py_DecRef(ptr %result.any)
  %suspect = icmp eq i64 %number, -1
  br i1 %suspect, label %check, label %finish
check:
  %occurred = call ptr %PyErr_Occurred()
  %wrong = icmp ne ptr %occurred, null
  br i1 %wrong, label %keep, label %finish
keep:
  %modern = icmp ne ptr %PyErr_GetRaisedException, null
  br i1 %modern, label %keep_modern, label %keep_older
keep_modern:
  %exception.modern = call ptr %PyErr_GetRaisedException()
  br label %kept
keep_older:
  call void %PyErr_Fetch(ptr %kind, ptr %value, ptr %trace)
  call void %PyErr_NormalizeException(ptr %kind, ptr %value, ptr %trace)
  %exception.older = load ptr, ptr %value
  %trace.object = load ptr, ptr %trace
  %traced = icmp ne ptr %trace.object, null
  br i1 %traced, label %set_trace, label %drop_kind
set_trace:
  %ignored = call i32 %PyException_SetTraceback(ptr %exception.older, ptr %trace.object)
  call void %Py_DecRef(ptr %trace.object)
  br label %drop_kind
drop_kind:
  %kind.object = load ptr, ptr %kind
  call void %Py_DecRef(ptr %kind.object)
  br label %kept
kept:
  %exception = phi ptr [ %exception.modern, %keep_modern ], [ %exception.older, %drop_kind ]
  store ptr %exception, ptr %error.at
  store i8 1, ptr %failed.at
  br label %finish
finish:
  %answer = phi i64 [ %default, %kept ], [ %number, %convert ], [ %number, %check ], [ %default, %ignore ]
  br i1 %held, label %out, label %give_up
give_up:
  %state.after = call ptr %PyEval_SaveThread()
  store ptr %state.after, ptr %thread.at
  br label %out
out:
  ret i64 %answer
give_default:
  ret i64 %default
}}
define i64 @ask(ptr %host, ptr %function, i64 %default, i64 %count, ptr %arguments) nounwind {{
  %answer = call i64 @call_python(ptr %host, ptr %function, i64 %default, i64 %count, ptr %arguments, i1 true)
  ret i64 %answer
}}
define void @tell(ptr %host, ptr %function, i64 %count, ptr %objects) nounwind {{
  %ignored = call i64 @call_python(ptr %host, ptr %function, i64 0, i64 %count, ptr %objects, i1 false)
  ret void
}}
"""
