"""What can fail: exceptions raised by typed code or by the Python that it calls, polls of loops, references owned.

For:       functions that Python calls (function.py). Their programs are `Fallible`; in others all of this is refused.
Not for:   the routines behind it (fallible.py).
Invariant: whatever way a generated function is left, each reference that it owns is given back once.
"""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any

from ..lang import Object
from .errors import Refusal
from .memory import Memory
from .sources import FunctionInfo
from .state import State
from .text import RARELY, Block
from .values import Pointer, Ref, Value

if TYPE_CHECKING:
    from .fallible import Fallible
    from .program import Program

FAIL = "fail"
"""The block through which a function that failed is left."""


class Failing(Memory):
    """The part of the walk that knows of failure."""

    program: Program
    info: FunctionInfo
    at = 0
    """The line that is being walked."""
    site = 0
    """Which call is being walked: the identity of its node."""
    can_fail = False
    goes_deeper = False
    """Whether this function calls anything that may call it again."""

    def prepare_failing(self) -> None:
        """Begin a function."""
        self.callers: list[tuple[FunctionInfo, int, int]] = []
        self.owned: dict[Any, str] = {}

    @property
    def fallible(self) -> Fallible:
        """The program, if its functions may fail. Errors: Refusal."""
        if self.program.fallible is None:
            raise Refusal("this may raise an exception, which only functions that Python calls can",
                          "use it in a @tracklayer.function")  # fmt: skip
        return self.program.fallible

    # ------------------------------------------------------------------ failing

    def fail_if(self, state: State, condition: str, kind: type[BaseException], text: str) -> None:
        """Raise an exception where an i1 holds; the state goes on where it does not."""
        program = self.fallible
        bad, good = self.text.block(), self.text.block()
        state.block.lines.append(f"  br i1 {condition}, label %{bad.label}, label %{good.label}, {RARELY}")
        where = program.object(self.arith, bad, kind)
        bad.lines.append(f"  call void @raise(ptr %call, ptr {where}, ptr {program.text(text)})")
        self.leave(bad)
        state.block = good

    def raise_here(self, state: State, kind: type[BaseException], text: str) -> None:
        """Raise an exception and end the state."""
        program = self.fallible
        block = state.block
        where = program.object(self.arith, block, kind)
        block.lines.append(f"  call void @raise(ptr %call, ptr {where}, ptr {program.text(text)})")
        self.leave(block)

    def leave_if(self, state: State, condition: str) -> None:
        """Where an i1 holds an exception is set: leave, with a line in its traceback."""
        bad, good = self.text.block(), self.text.block()
        state.block.lines.append(f"  br i1 {condition}, label %{bad.label}, label %{good.label}, {RARELY}")
        self.leave(bad)
        state.block = good

    def leave(self, block: Block) -> None:
        """End a block in which an exception is set: note the line, of inlined functions' callers too, and leave."""
        program = self.fallible
        self.can_fail = True
        frames = [(self.info, self.at, 0), *reversed(self.callers)]
        for info, line, _ in frames:
            name, file = program.text(info.function.__name__), program.text(info.file)
            block.lines.append(f"  call void @trace(ptr %call, ptr {name}, ptr {file}, i32 {line})")
        block.lines.append(f"  br label %{FAIL}")

    # ------------------------------------------------------------------ polls

    def poll(self, state: State) -> None:
        """At a loop's back edge: let Python do what is due, Ctrl-C for instance."""
        program = self.program.fallible
        if program is None or not program.polls:
            return
        due = program.poll_test(self.arith, self.text, state.block)
        attend, go = self.text.block(), self.text.block()
        state.block.lines.append(f"  br i1 {due}, label %{attend.label}, label %{go.label}, {RARELY}")
        bad, leaving = self.arith.op(attend, "call preserve_mostcc i1 @attend(ptr %call)"), self.text.block()
        attend.lines.append(f"  br i1 {bad}, label %{leaving.label}, label %{go.label}, {RARELY}")
        self.leave(leaving)
        state.block = go

    # ------------------------------------------------------------------ references

    def own(self, key: Any, state: State, name: str) -> Value:
        """Own a new reference until the same place is passed again, or the function is left; the object."""
        program = self.fallible
        if program.nogil:
            raise Refusal("a function that runs without the GIL cannot own a Python object",
                          "leave nogil=True out, or let a callback keep the object")  # fmt: skip
        slot = self.owned.get(key)
        if slot is None:
            slot = self.owned[key] = f"%o{len(self.owned)}"
            self.text.locals.append(f"  {slot} = alloca ptr\n  store ptr null, ptr {slot}")
        old = self.arith.op(state.block, f"load ptr, ptr {slot}")
        state.block.lines.append(f"  store ptr {name}, ptr {slot}")
        self.drop(state, old)
        return Pointer(name, None)

    def share(self, key: Any, state: State, value: Pointer) -> None:
        """Take a reference to an object that somebody else owns, as `own` keeps one."""
        self.take(state, value.name)
        self.own(key, state, value.name)

    def take(self, state: State, name: str) -> None:
        """Count one more reference to an object, as Py_INCREF does: Include/object.h."""
        block, op = state.block, self.arith.op
        if sys.version_info < (3, 12):
            more = op(block, f"add i64 {op(block, f'load i64, ptr {name}')}, 1")
            block.lines.append(f"  store i64 {more}, ptr {name}")
            return
        more = op(block, f"add i32 {op(block, f'load i32, ptr {name}')}, 1")
        immortal = op(block, f"icmp eq i32 {more}, 0")
        counted, on = self.text.block(), self.text.block()
        block.lines.append(f"  br i1 {immortal}, label %{on.label}, label %{counted.label}")
        counted.lines += [f"  store i32 {more}, ptr {name}", f"  br label %{on.label}"]
        state.block = on

    def drop(self, state: State, name: str) -> None:
        """Give back a reference to an object, or none where there is none, as Py_XDECREF does."""
        block, op = state.block, self.arith.op
        some, last, on = self.text.block(), self.text.block(), self.text.block()
        none = op(block, f"icmp eq ptr {name}, null")
        block.lines.append(f"  br i1 {none}, label %{on.label}, label %{some.label}")
        if sys.version_info >= (3, 12):
            counted = self.text.block()
            immortal = op(some, f"icmp slt i32 {op(some, f'load i32, ptr {name}')}, 0")
            some.lines.append(f"  br i1 {immortal}, label %{on.label}, label %{counted.label}")
            some = counted
        less = op(some, f"sub i64 {op(some, f'load i64, ptr {name}')}, 1")
        some.lines.append(f"  store i64 {less}, ptr {name}")
        some.lines.append(f"  br i1 {op(some, f'icmp eq i64 {less}, 0')}, label %{last.label}, label %{on.label}")
        self.fallible.call_api(self.arith, last, "void", "_Py_Dealloc", f"ptr {name}")
        last.lines.append(f"  br label %{on.label}")
        state.block = on

    def load_memory(self, state: State, place: Ref, role: str) -> Value:
        """As memory.py; an object that a struct names is owned while it is used, and none is None, as in Python."""
        value = super().load_memory(state, place, role)
        if self.program.fallible is None or place.kind is not Object or not isinstance(value, Pointer):
            return value
        none = self.fallible.object(self.arith, state.block, None)
        empty = self.arith.op(state.block, f"icmp eq ptr {value.name}, null")
        some = Pointer(self.arith.op(state.block, f"select i1 {empty}, ptr {none}, ptr {value.name}"), None)
        self.share(("field", self.at, place.base, place.offset, self.info.name), state, some)
        return some

    def give_back(self, block: Block) -> None:
        """Give back all that the function owns."""
        for slot in self.owned.values():
            held = self.arith.op(block, f"load ptr, ptr {slot}")
            self.fallible.call_api(self.arith, block, "void", "Py_DecRef", f"ptr {held}")

    def place_key(self, node: ast.AST | str) -> Any:
        """What tells this place of the program from others, in all walks through it."""
        return (node if isinstance(node, str) else id(node), tuple(site for _, _, site in self.callers), self.info.name)
