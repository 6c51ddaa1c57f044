"""The way from generated code to Python objects, as IR text: what stands behind `ask` and `tell`.

For:       `run`, which gives up the GIL around generated code; `ask` and `tell`, which take it to call a callable.
Not for:   the ways into generated code (glue.py); the C API's addresses (native/capi.py gives them; they are read from
           the table that the Host points to).
Invariant: `host.thread` is whoever gave up the GIL to run the context, null as long as Python code may run: calls of
           Python take it from there, and put it back. An exception never stays pending: it is moved to `host.error`.
"""

from __future__ import annotations

from ..lang import Host, layout

PYTHON_API = (
    "PyEval_SaveThread", "PyEval_RestoreThread", "PyLong_FromLongLong", "PyLong_AsLongLong", "PyObject_Vectorcall",
    "PyErr_Occurred", "PyErr_Fetch", "PyErr_NormalizeException", "PyException_SetTraceback", "PyErr_GetRaisedException",
    "Py_IncRef", "Py_DecRef",
)  # fmt: skip
"""The C API that glue calls, in the order of the table that `host.python` points to; 0 for what this CPython lacks."""

MOST_ARGUMENTS = 8


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
