"""A program: the functions of one object file, from typed Python to LLVM IR.

For:       `Program.function` (a C function), `Program.handler` (one of a guest's handlers), and what they call.
Not for:   optimising and emitting (backend.py), placing and calling (native/).
Invariant: an outlined function is compiled once for each set of known arguments, before the call that needs it is
           written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MethodType
from typing import Any

from .. import lang
from ..lang import Host, IntType, PtrType, is_struct, layout
from .calls import Path
from .convention import Convention, Effects, Virtual
from .errors import CompileError, Refusal
from .intrinsics import Intrinsic
from .sources import FunctionInfo, describe_function
from .state import State
from .statements import Walker
from .text import Definition, Module
from .values import Int, Known, Pointer, Ref, Tuple, Value, describe

TRIPLE = "x86_64-unknown-linux-gnu"
HANDLER = "preserve_nonecc"
OUTLINED = "outlined"
"""The part that all outlined functions are in. Others may call them; they call none outside."""
OWN = "entries"


class Outlined:
    """A function that was compiled by itself, and how it is called."""

    __slots__ = ("cold", "effects", "name")

    def __init__(self, name: str, cold: bool) -> None:
        self.name = name
        self.cold = cold
        self.effects = Effects()

    @property
    def convention(self) -> str:
        """The calling convention; the slow side of a fast path leaves its caller's registers alone."""
        return "preserve_mostcc" if self.cold else "fastcc"


class Program:
    """Functions that are compiled together.

    convention: which fields of the context handlers hold in registers. intrinsics: further functions that the walker
                calls while compiling.
    leaves:     called in place of every call of an outlined function in a handler: a translator leaves translated code
                there.
    """

    def __init__(self, convention: Convention | None = None, intrinsics: dict[Any, Intrinsic] | None = None) -> None:
        self.module = Module()
        self.convention = convention
        self.intrinsics = intrinsics or {}
        self.leaves: Callable[[Walker, State], None] | None = None
        self.entries: list[str] = []
        self.part = OWN
        """The part that entries are added to."""
        self._outlined: dict[tuple[Any, ...], Outlined] = {}
        self._names: set[str] = set()
        self._declared: set[str] = set()

    # ------------------------------------------------------------------ entries

    def function(
        self, name: str, function: Callable[..., Any], known: dict[str, Any] | None = None, context: bool = True
    ) -> None:
        """Compile `function` as the C function `name`. Integers are passed as i32 or i64, all else by address.

        context: the first struct parameter is the program's context, through which virtual fields are seen in memory.
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
        self._finish(walker, f"{'i64' if width else 'void'} @{name}({', '.join(parameters)})", values, info, width)
        self.entries.append(name)

    def handler(
        self, name: str, function: Callable[..., Any], known: dict[str, Any] | None = None, split: str | None = None,
        prepare: Callable[[Walker, State], None] | None = None, section: str = "", attributes: str = "",
    ) -> None:  # fmt: skip
        """Compile `function(context, **known)` as the handler `name`. Every path must end in a tail transfer.

        split:   a virtual field whose different values keep paths apart.
        prepare: changes the state that the walk begins in.
        """
        assert self.convention is not None
        info = describe_function(function)
        offset = next(f.offset for f in self.convention.by_offset.values() if f.path == split) if split else None
        walker = Walker(self, self.module, info, self.convention, True, offset)
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
        self.module.functions.append(Definition(self.part, text, ""))
        self.entries.append(name)

    def raw(self, text: str, declares: str = "") -> None:
        """Add IR text as it is; `declares` names an entry in it."""
        self.module.functions.append(Definition(self.part, text, ""))
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

    def _finish(
        self,
        walker: Walker,
        head: str,
        values: dict[str, Value],
        info: FunctionInfo,
        width: int,
        outlined: bool = False,
    ) -> None:
        """Walk the body, end every path with its return, and add the function.

        width: bits of the result, 0 for none.
        """
        state = State(walker.text.block(), {}, {}, set())
        for end, value in walker.begin(info, values, state):
            self._return(walker, end, value, info, width)
        text = f'define {head} nounwind "no-builtins" {{\n{walker.text.render()}\n}}'
        part, declaration = (OUTLINED, f"declare {head} nounwind") if outlined else (self.part, "")
        self.module.functions.append(Definition(part, text, declaration))

    def _return(self, walker: Walker, end: State, value: Value, info: FunctionInfo, width: int) -> None:
        try:
            kinds = _tuple_of(info)
            if kinds:
                names = [walker.arith.operand(end.block, item, 64) for item in walker.items(value)]
                packed, kind = "poison", _tuple_type(len(kinds))
                for index, name in enumerate(names):
                    packed = walker.arith.op(end.block, f"insertvalue {kind} {packed}, i64 {name}, {index}")
                end.block.lines.append(f"  ret {kind} {packed}")
            elif width:
                end.block.lines.append(f"  ret i{width} {walker.arith.operand(end.block, value, width)}")
            elif isinstance(value, Known) and value.value is None:
                end.block.lines.append("  ret void")
            else:
                raise Refusal(f"{info.name} returns {describe(value)}, and is not declared to", "annotate the result")
        except Refusal as refusal:
            raise CompileError(info.file, info.node, info.name, refusal.problem, refusal.mend) from None

    # ------------------------------------------------------------------ outlined calls

    def outlined_call(self, walker: Walker, info: FunctionInfo, values: dict[str, Value], state: State) -> list[Path]:
        """Call an outlined function; compile it first where this set of known arguments is new."""
        assert info.typed is not None
        if info.result is not None and not isinstance(info.result, IntType) and not _tuple_of(info):
            raise Refusal(f"the outlined function {info.name} can return integers, tuples of integers, or None only",
                          "let it be inlined, or let it store what it finds")  # fmt: skip
        if walker.holds and self.leaves is not None:
            self.leaves(walker, state)
            return []
        key: list[Any] = [info.function]
        passed: list[tuple[str, Any, Value]] = []
        roots = False
        for name, kind in info.parameters:
            value = values[name]
            if info.typed.shared and isinstance(value, Ref) and value.root and not self._virtual_in(value):
                value = values[name] = Ref(walker.address(state, value), 0, value.kind, False)
            if isinstance(kind, IntType):
                passed.append((name, kind, value))
                key.append(kind)
            elif isinstance(value, Ref) and value.root:
                roots = True
                key.append((value.offset, value.kind))
            elif isinstance(value, (Ref, Pointer)):
                passed.append((name, kind, value))
                key.append(value.kind if isinstance(value, Ref) else ("*", value.element))
            elif isinstance(value, Known):
                key.append(_Same(value.value))
            else:
                raise Refusal(
                    f"{describe(value)} cannot be passed as {name} to the outlined function {info.name}",
                    "annotate the parameter with an integer type",
                )
        target = self._outlined.get(tuple(key))
        if target is None:
            target = self._outlined[tuple(key)] = Outlined(self._unique(info.name), info.typed.cold)
            self._compile_outlined(target, info, values, {name for name, _, _ in passed}, roots)
        return [(state, self._emit_call(walker, state, target, info, passed, roots))]

    def _virtual_in(self, place: Ref) -> bool:
        """Whether a struct or array in the context has a virtual field in it."""
        offsets = self.convention.by_offset if self.convention else {}
        return any(place.offset <= offset < place.offset + lang.size_of(place.kind) for offset in offsets)

    def _compile_outlined(
        self, target: Outlined, info: FunctionInfo, values: dict[str, Value], passed: set[str], roots: bool
    ) -> None:
        walker = Walker(self, self.module, info, self.convention, holds=False)
        parameters = ["ptr %context"] if roots else []
        inside: dict[str, Value] = {}
        for name, kind in info.parameters:
            value = values[name]
            if name not in passed:
                inside[name] = Ref("%context", value.offset, value.kind, True) if isinstance(value, Ref) else value
            elif isinstance(value, (Ref, Pointer)):
                parameters.append(f"ptr %a.{name}")
                inside[name] = (
                    Ref(f"%a.{name}", 0, value.kind, False)
                    if isinstance(value, Ref)
                    else Pointer(f"%a.{name}", value.element)
                )
            else:
                width = 32 if kind.bits <= 32 else 64
                parameters.append(f"i{width} %a.{name}")
                inside[name] = Int(f"%a.{name}", width, kind.lo, kind.hi)
        width = _result_width(info)
        kind_text = _result_type(info)
        attributes = "cold noinline" if target.cold else "noinline"
        head = f"hidden {target.convention} {kind_text} @{target.name}({', '.join(parameters)}) {attributes}"
        # While the body is walked, calls of itself must assume the most.
        everything = set(self.convention.by_offset) if self.convention else set()
        target.effects = Effects(set(everything), set(everything))
        self._finish(walker, head, inside, info, width, outlined=True)
        target.effects = walker.effects

    def _emit_call(
        self,
        walker: Walker,
        state: State,
        target: Outlined,
        info: FunctionInfo,
        passed: list[tuple[str, Any, Value]],
        roots: bool,
    ) -> Value:
        arguments = ["ptr %context"] if roots else []
        for _, kind, value in passed:
            if isinstance(value, Ref):
                arguments.append(f"ptr {walker.address(state, value)}")
            elif isinstance(value, Pointer):
                arguments.append(f"ptr {value.name}")
            else:
                width = 32 if kind.bits <= 32 else 64
                arguments.append(f"i{width} {walker.arith.operand(state.block, value, width)}")
        self.before_call(walker, state, target.effects)
        kind_text = _result_type(info)
        call = f"call {target.convention} {kind_text} @{target.name}({', '.join(arguments)})"
        if kind_text == "void":
            state.block.lines.append(f"  {call}")
            result: Value = Known(None)
        else:
            name = walker.arith.op(state.block, call)
            result = self._unpack(walker, state, info, name)
        self.after_call(walker, state, target.effects)
        return result

    def _unpack(self, walker: Walker, state: State, info: FunctionInfo, name: str) -> Value:
        kinds = _tuple_of(info)
        if kinds:
            items: list[Value] = []
            for index, kind in enumerate(kinds):
                part = walker.arith.op(state.block, f"extractvalue {_tuple_type(len(kinds))} {name}, {index}")
                if kind.bits <= 32:
                    part = walker.arith.op(state.block, f"trunc i64 {part} to i32")
                items.append(Int(part, 32 if kind.bits <= 32 else 64, kind.lo, kind.hi))
            return Tuple(items)
        assert isinstance(info.result, IntType)
        return Int(name, _result_width(info), info.result.lo, info.result.hi)

    def before_call(self, walker: Walker, state: State, effects: Effects) -> None:
        """Memory gets what the callee may read, or may write over only in part."""
        if walker.holds:
            walker.flush(state, "%context", effects.reads | effects.writes)
        else:
            walker.effects.include(effects)

    def after_call(self, walker: Walker, state: State, effects: Effects) -> None:
        """What the callee may have written is read again."""
        if walker.holds:
            walker.forget(state, "%context", effects.writes)

    def _unique(self, name: str) -> str:
        base = "f." + re.sub(r"[^A-Za-z0-9_.]", "", name.replace("<locals>", ""))
        name, count = base, 1
        while name in self._names:
            count += 1
            name = f"{base}.{count}"
        self._names.add(name)
        return name

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
        """Emit `ask`, or with `changes` `consult`: the glue whose address the Host holds does the work (glue.py)."""
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
        return self.module.render(TRIPLE, part)


class _Same:
    """A known argument in the key of an outlined function: equal if of one type too; without a hash, by identity."""

    __slots__ = ("hash", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        try:
            self.hash = hash(value)
        except TypeError:
            self.hash = id(value)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same):
            return False
        return _alike(self.value, other.value)


def _alike(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return isinstance(one, (int, str, bytes, MethodType)) and bool(one == other)


def _range(field: Virtual) -> str:
    """What values a parameter can have, for LLVM."""
    return f"range(i{field.width} {field.kind.lo}, {field.kind.hi + 1})"


def _result_width(info: FunctionInfo) -> int:
    if isinstance(info.result, IntType):
        return 1 if info.result.bits == 1 else 32 if info.result.bits <= 32 else 64
    return 0


def _result_type(info: FunctionInfo) -> str:
    kinds = _tuple_of(info)
    if kinds:
        return _tuple_type(len(kinds))
    width = _result_width(info)
    return f"i{width}" if width else "void"


def _tuple_type(count: int) -> str:
    return "{ " + ", ".join(["i64"] * count) + " }"


def _tuple_of(info: FunctionInfo) -> tuple[IntType, ...]:
    """The types of the integers that a function returns as a tuple; empty where it returns something else."""
    kinds: tuple[Any, ...] = getattr(info.result, "__args__", None) or ()
    if getattr(info.result, "__origin__", None) is not tuple or not all(isinstance(kind, IntType) for kind in kinds):
        return ()
    return kinds
