"""A program: the functions of one object file, from typed Python to LLVM IR.

For:       `Program.function` (a C function), `Program.handler` (one of a guest's handlers), and what they call.
Not for:   functions that are compiled by themselves (outlining.py), optimising and emitting (backend.py), placing and
           calling (native/).
Invariant: a program is complete at any time: whatever is called by what it has, it has too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..lang import Host, IntType, PtrType, is_struct, layout
from .calls import Path
from .convention import HANDLER, Convention, Effects, Virtual
from .errors import CompileError
from .intrinsics import Intrinsic
from .outlining import Outlined, Outlining
from .sources import FunctionInfo, describe_function
from .state import State
from .statements import Walker
from .text import Module
from .values import Int, Known, Pointer, Ref, Tuple, Value

if TYPE_CHECKING:
    from .fallible import Fallible

TRIPLE = "x86_64-unknown-linux-gnu"
OWN = "entries"
"""The kind of part that functions belong to which are not outlined."""


class Program(Outlining):
    """Functions that are compiled together.

    convention: which fields of the context handlers hold in registers. intrinsics: further functions that the walker
                calls while compiling.
    leaves:     called in place of every call of an outlined function in a handler: a translator leaves translated code
                there. instead: called before that; it may do the call in another way, and then says what paths follow.
    """

    def __init__(self, convention: Convention | None = None, intrinsics: dict[Any, Intrinsic] | None = None) -> None:
        self.module = Module()
        self.module.undivided = (OWN,)
        self.convention = convention
        self.intrinsics = intrinsics or {}
        self.fallible: Fallible | None = None
        """This program, if its functions may raise exceptions."""
        self.leaves: Callable[[Walker, State], None] | None = None
        self.instead: Callable[[Walker, FunctionInfo, dict[str, Value], State], list[Path] | None] | None = None
        self.entries: list[str] = []
        self.part = OWN
        """The kind of part that entries are added to."""
        self._begun: dict[str, str] = {}
        """How outlined functions are declared that are being compiled."""
        self._outlined: dict[tuple[Any, ...], Outlined] = {}
        self._names: set[str] = set()
        self._declared: set[str] = set()

    # ------------------------------------------------------------------ entries

    def function(
        self, name: str, function: Callable[..., Any], known: dict[str, Any] | None = None, context: bool = True,
        calling: str = "",
    ) -> None:  # fmt: skip
        """Compile `function` as the C function `name`. Integers are passed as i32 or i64, all else by address.

        context: the first struct parameter is the program's context, through which virtual fields are seen in memory.
        calling: another calling convention than C's.
        """
        info = describe_function(function)
        walker = Walker(self, self.module, info, self.convention, holds=False)
        parameters: list[str] = []
        values: dict[str, Value] = {}
        for parameter, kind in info.parameters:
            if known and parameter in known:
                values[parameter] = Known(known[parameter])
                continue
            if parameter == info.parameters[0][0] and kind in (None, Any) and self.convention is not None:
                kind = self.convention.context
            is_context = context and self.convention is not None and kind is self.convention.context
            text, values[parameter] = self._parameter(info, walker, parameter, kind, "%context" if is_context else "")
            parameters.append(text)
        if info.result is not None and not isinstance(info.result, IntType):
            raise CompileError(info.file, info.node, info.name, "a C function returns one integer, or None")
        width = 64 if info.result is not None else 0
        head = f"{calling} {'i64' if width else 'void'} @{name}({', '.join(parameters)})"
        self.finish_body(walker, head, values, info, width)
        self.entries.append(name)

    def handler(
        self, name: str, function: Callable[..., Any], known: dict[str, Any] | None = None, split: str | None = None,
        prepare: Callable[[Walker, State], None] | None = None, section: str = "", attributes: str = "",
        spills: bool = False, declared: bool = False,
    ) -> None:  # fmt: skip
        """Compile `function(context, **known)` as the handler `name`. Every path must end in a tail transfer.

        split:   a virtual field whose different values keep paths apart.
        prepare: changes the state that the walk begins in.
        spills:  slow sides keep apart, with the fields in memory; the program has `leave` to write them, and `resume`.
        declared: it can be called from other parts.
        """
        assert self.convention is not None
        info = describe_function(function)
        offset = next(f.offset for f in self.convention.by_offset.values() if f.path == split) if split else None
        walker = Walker(self, self.module, info, self.convention, True, offset, spills)
        first = info.parameters[0][0]
        values: dict[str, Value] = {first: Ref("%context", 0, self.convention.context, True)}
        for parameter, _ in info.parameters[1:]:
            if known is None or parameter not in known:
                raise CompileError(info.file, info.node, info.name, f"a handler's argument {parameter} must be known")
            value = known[parameter]
            values[parameter] = value if isinstance(value, (Int, Ref, Pointer, Tuple)) else Known(value)
        names = ["ptr noundef nonnull align 8 %context"]
        state = State(walker.text.block(), {}, {}, set())
        for index, field in enumerate(self.convention.pinned):
            argument = f"%p{index}"
            kind, full = f"i{field.width}", field.kind.bits in (32, 64)
            names.append(f"{kind} {argument}" if full else f"{kind} {_range(field)} {argument}")
            state.fields[field.offset] = Int(argument, field.width, field.kind.lo, field.kind.hi)
            state.dirty.add(field.offset)
        for field in self.convention.cached:
            place = Ref("%context", field.offset, field.kind, True)
            state.fields[field.offset] = walker.load_memory(state, place, "field")
        if prepare:
            prepare(walker, state)
        paths = walker.begin(info, values, state)
        if paths:
            raise CompileError(info.file, info.node, info.name, "a handler's path ends without a tail transfer")
        where = f' section "{section}"' if section else ""
        head = f"define {HANDLER} void @{name}({', '.join(names)}) nounwind {attributes}{where}"
        text = f"{head} {{\n{walker.text.render()}\n}}"
        declaration = f"declare hidden {HANDLER} void @{name}({self.convention.signature})" if declared else ""
        self.module.add(self.part, text, declaration)
        self.entries.append(name)

    def raw(self, text: str, declares: str = "", declaration: str = "") -> None:
        """Add IR text as it is; `declares` names an entry in it, `declaration` is how other parts declare what they
        call."""
        self.module.add(self.part, text, declaration)
        if declares:
            self.entries.append(declares)

    def _parameter(
        self, info: FunctionInfo, walker: Walker, name: str, kind: Any, as_context: str
    ) -> tuple[str, Value]:
        if isinstance(kind, IntType):
            width = 32 if kind.bits <= 32 else 64
            return f"i{width} %{name}", Int(f"%{name}", width, kind.lo, kind.hi)
        if is_struct(kind):
            base = as_context or f"%{name}"
            return f"ptr {base}", Ref(base, 0, kind, bool(as_context))
        if isinstance(kind, PtrType):
            return f"ptr %{name}", Pointer(f"%{name}", kind.element)
        raise CompileError(
            info.file, info.node, info.name, f"the parameter {name} has no type that C code can pass", "annotate it"
        )

    # ------------------------------------------------------------------ Python

    def host_call(
        self,
        walker: Walker,
        state: State,
        host: Ref,
        function: str,
        default: str,
        count: int,
        slots: str,
        changes: bool,
    ) -> Value:
        """Emit `ask`, or with `changes` `consult`: the glue whose address the Host holds does the work (asking.py)."""
        everything = set(self.convention.by_offset) if self.convention else set()
        effects = Effects(everything, everything if changes else None)
        self.before_call(walker, state, effects)
        glue = self._glue(walker, state, host, "ask_entry")
        arguments = f"ptr {walker.address(state, host)}, ptr {function}, i64 {default}, i64 {count}, ptr {slots}"
        name = walker.arith.op(state.block, f"call i64 {glue}({arguments})")
        self.after_call(walker, state, effects)
        return Int(name, 64, -(1 << 63), (1 << 63) - 1)

    def host_tell(self, walker: Walker, state: State, host: Ref, function: str, count: int, slots: str) -> None:
        """Emit `tell`: the callable may read and change every virtual field through memory."""
        everything = set(self.convention.by_offset) if self.convention else set()
        effects = Effects(everything, everything)
        self.before_call(walker, state, effects)
        glue = self._glue(walker, state, host, "tell_entry")
        state.block.lines.append(
            f"  call void {glue}(ptr {walker.address(state, host)}, ptr {function}, i64 {count}, ptr {slots})"
        )
        self.after_call(walker, state, effects)

    def _glue(self, walker: Walker, state: State, host: Ref, name: str) -> str:
        place = Ref(host.base, host.offset + layout(Host)[name].offset, layout(Host)[name].type, False)
        entry = walker.load_memory(state, place, "field")
        assert isinstance(entry, Pointer)
        return entry.name

    def declare(self, text: str) -> None:
        """Add a declaration once."""
        if text not in self._declared:
            self._declared.add(text)
            self.module.globals.append(text)

    def render(self, part: str | None = None) -> str:
        """The whole program as IR text, or one part of it."""
        self.declare("declare i1 @llvm.expect.i1(i1, i1)")
        return self.module.render(TRIPLE, part, self._begun.values())


def _range(field: Virtual) -> str:
    """What values a parameter can have, for LLVM."""
    return f"range(i{field.width} {field.kind.lo}, {field.kind.hi + 1})"
