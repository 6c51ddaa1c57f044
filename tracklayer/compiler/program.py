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
from typing import TYPE_CHECKING, Any

from .. import lang
from ..lang import FloatType, Host, IntType, Object, PtrType, is_struct, layout
from . import floats
from .calls import Path
from .convention import HANDLER, MANY, Convention, Effects, Virtual
from .errors import CompileError, Refusal
from .intrinsics import Intrinsic
from .sources import FunctionInfo, describe_function
from .state import State
from .statements import Walker
from .text import Module
from .values import Callee, Float, Int, Known, Pointer, Ref, Tuple, Value, View, describe

if TYPE_CHECKING:
    from .fallible import Fallible

TRIPLE = "x86_64-unknown-linux-gnu"
OWN = "entries"
"""The kind of part that functions belong to which are not outlined."""
LOOPS, STRAIGHT = "loops", "straight"
"""Of those that are: with loops, and without."""


class Outlined:
    """A function that was compiled by itself, and how it is called."""

    __slots__ = ("can_fail", "cold", "effects", "name")

    def __init__(self, name: str, cold: bool) -> None:
        self.name = name
        self.cold = cold
        self.effects = Effects()
        self.can_fail = True
        """Whether it may raise, in a program where that is possible; as long as it is being compiled, the worst."""

    @property
    def convention(self) -> str:
        """The calling convention; the slow side of a fast path leaves its caller's registers alone."""
        return "preserve_mostcc" if self.cold else "fastcc"


class Program:
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
        self._finish(walker, head, values, info, width)
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
        if not outlined:
            self.module.add(self.part, text)
            return
        self.module.add(LOOPS if walker.looped else STRAIGHT, text, self._begun.pop(head))

    def _return(self, walker: Walker, end: State, value: Value, info: FunctionInfo, width: int) -> None:
        try:
            self.end(walker, end, value, info, width)
        except Refusal as refusal:
            raise CompileError(info.file, info.node, info.name, refusal.problem, refusal.mend) from None

    def end(self, walker: Walker, end: State, value: Value, info: FunctionInfo, width: int = 0) -> None:
        """Return a value. width: of an integer's, where it is not the declared type's."""
        kinds = result_types(info)
        if not kinds:
            if not isinstance(value, Known) or value.value is not None:
                raise Refusal(f"{info.name} returns {describe(value)}, and is not declared to", "annotate the result")
            end.block.lines.append("  ret void")
            return
        if _tuple_of(info):
            packed, kind = "poison", result_type(info)
            for index, (item, one) in enumerate(zip(walker.items(value), kinds, strict=True)):
                name = _operand(walker, end, item, one)
                packed = walker.arith.op(end.block, f"insertvalue {kind} {packed}, {one} {name}, {index}")
            end.block.lines.append(f"  ret {kind} {packed}")
            return
        kind = f"i{width}" if width else kinds[0]
        end.block.lines.append(f"  ret {kind} {_operand(walker, end, value, kind)}")

    # ------------------------------------------------------------------ outlined calls

    def outlined_call(self, walker: Walker, info: FunctionInfo, values: dict[str, Value], state: State) -> list[Path]:
        """Call an outlined function; compile it first where this set of known arguments is new."""
        if info.result is not None and not result_types(info):
            raise Refusal(f"the outlined function {info.name} can return integers, tuples of integers, or None only",
                          "let it be inlined, or let it store what it finds")  # fmt: skip
        if walker.holds and self.instead is not None:
            paths = self.instead(walker, info, values, state)
            if paths is not None:
                return paths
        if walker.holds and self.leaves is not None:
            self.leaves(walker, state)
            return []
        target, result = self._call_outlined(walker, info, values, state)
        if self.fallible:
            self.fallible.check(walker, state, target)
            if info.result is Object and isinstance(result, Pointer):
                result = walker.own(walker.place_key(f"{info.name} {walker.site}"), state, result.name)
        return [(state, result)]

    def outlined(self, walker: Walker, info: FunctionInfo, values: dict[str, Value], state: State) -> Outlined:
        """Call an outlined function, whatever becomes of its result; the function."""
        return self._call_outlined(walker, info, values, state)[0]

    def _call_outlined(
        self, walker: Walker, info: FunctionInfo, values: dict[str, Value], state: State
    ) -> tuple[Outlined, Value]:
        key: list[Any] = [info.function]
        passed: list[tuple[str, Any, Value]] = []
        roots = False
        for name, kind in info.parameters:
            value = values[name]
            shared = info.typed is not None and info.typed.shared
            if shared and isinstance(value, Ref) and value.root and not self._virtual_in(value):
                value = values[name] = Ref(walker.address(state, value), 0, value.kind, False)
            if isinstance(kind, (IntType, FloatType)):
                passed.append((name, kind, value))
                key.append(kind)
            elif isinstance(value, Ref) and value.root:
                roots = True
                key.append((value.offset, value.kind))
            elif isinstance(value, (Ref, Pointer, View, Callee)):
                passed.append((name, kind, value))
                key.append(_passed_as(value))
            elif isinstance(value, Known):
                key.append(_Same(value.value))
            else:
                raise Refusal(
                    f"{describe(value)} cannot be passed as {name} to the outlined function {info.name}",
                    "annotate the parameter with an integer type",
                )
        target = self._outlined.get(tuple(key))
        if target is None:
            cold = info.typed is not None and info.typed.cold
            target = self._outlined[tuple(key)] = Outlined(self._unique(info.full_name), cold)
            self.begun(target)
            self._compile_outlined(target, info, values, {name for name, _, _ in passed}, roots)
        return target, self._emit_call(walker, state, target, info, passed, roots)

    def _virtual_in(self, place: Ref) -> bool:
        """Whether a struct or array in the context has a virtual field in it."""
        offsets = self.convention.by_offset if self.convention else {}
        return any(place.offset <= offset < place.offset + lang.size_of(place.kind) for offset in offsets)

    def begun(self, target: Outlined) -> None:
        """A function is about to be compiled."""

    def _compile_outlined(
        self, target: Outlined, info: FunctionInfo, values: dict[str, Value], passed: set[str], roots: bool
    ) -> None:
        walker = Walker(self, self.module, info, self.convention, holds=False)
        parameters = ["ptr %call"] if self.fallible else []
        parameters += ["ptr %context"] if roots else []
        inside: dict[str, Value] = {}
        for name, kind in info.parameters:
            value = values[name]
            if name not in passed:
                inside[name] = Ref("%context", value.offset, value.kind, True) if isinstance(value, Ref) else value
            else:
                declared, inside[name] = _inside(f"%a.{name}", kind, value)
                parameters += declared
        # While the body is walked, calls of itself must assume the most.
        everything = set(self.convention.by_offset) if self.convention else set()
        target.effects = Effects(set(everything), set(everything))
        head = f"hidden {target.convention} {result_type(info)} @{target.name}({', '.join(parameters)})"
        if self.fallible:
            self.fallible.finish(walker, head, inside, info, target)
        else:
            head += " cold noinline" if target.cold else " noinline"
            self._begun[head] = f"declare {head} nounwind"
            self._finish(walker, head, inside, info, _result_width(info), outlined=True)
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
        arguments = ["ptr %call"] if self.fallible else []
        arguments += ["ptr %context"] if roots else []
        for _, kind, value in passed:
            arguments += _outside(walker, state, kind, value)
        self.before_call(walker, state, target.effects)
        kind_text = result_type(info)
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
        """What an outlined function returned."""
        kinds = _tuple_of(info)
        if not kinds:
            return _returned(name, info.result, _result_width(info))
        items: list[Value] = []
        for index, kind in enumerate(kinds):
            part = walker.arith.op(state.block, f"extractvalue {result_type(info)} {name}, {index}")
            if isinstance(kind, IntType) and kind.bits <= 32:
                part = walker.arith.op(state.block, f"trunc i64 {part} to i32")
            items.append(_returned(part, kind, 32 if kind.bits <= 32 else 64))
        return Tuple(items)

    def before_call(self, walker: Walker, state: State, effects: Effects) -> None:
        """Memory gets what the callee may read, or may write over only in part."""
        if walker.spills and (state.spilled or len(effects.writes) >= MANY):
            walker.spill(state, "%context")
        elif walker.holds:
            walker.flush(state, "%context", effects.reads | effects.writes)
        else:
            walker.effects.include(effects)

    def after_call(self, walker: Walker, state: State, effects: Effects) -> None:
        """What the callee may have written is read again."""
        if walker.holds and not state.spilled:
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
        return self.module.render(TRIPLE, part, self._begun.values())


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


def result_types(info: FunctionInfo) -> list[str]:
    """The LLVM types that a function's result consists of; none for None, and for what cannot be returned."""
    kinds = _tuple_of(info)
    if kinds:
        return ["double" if isinstance(kind, FloatType) else "i64" for kind in kinds]
    if isinstance(info.result, FloatType):
        return ["double"]
    if info.result is Object:
        return ["ptr"]
    width = _result_width(info)
    return [f"i{width}"] if width else []


def result_type(info: FunctionInfo) -> str:
    """The LLVM type of a function's result."""
    kinds = result_types(info)
    if not kinds:
        return "void"
    return "{ " + ", ".join(kinds) + " }" if _tuple_of(info) else kinds[0]


def _tuple_of(info: FunctionInfo) -> tuple[Any, ...]:
    """The types of the numbers that a function returns as a tuple; empty where it returns something else."""
    kinds: tuple[Any, ...] = getattr(info.result, "__args__", None) or ()
    is_tuple = getattr(info.result, "__origin__", None) is tuple
    return kinds if is_tuple and all(isinstance(kind, (IntType, FloatType)) for kind in kinds) else ()


def _operand(walker: Walker, state: State, value: Value, kind: str) -> str:
    """A value as an operand of an LLVM type."""
    if kind == "double":
        return floats.operand(walker.arith, state.block, value)
    if kind == "ptr":
        return walker.object_name(state, value)
    return walker.arith.operand(state.block, value, int(kind[1:]))


def _returned(name: str, kind: Any, width: int) -> Value:
    if isinstance(kind, FloatType):
        return Float(name, kind.bits == 32)
    if kind is Object:
        return Pointer(name, None)
    assert isinstance(kind, IntType)
    return Int(name, width, kind.lo, kind.hi)


def _passed_as(value: Ref | Pointer | View | Callee) -> Any:
    """What tells values of different kinds apart in the key of an outlined function."""
    match value:
        case Ref():
            return value.kind
        case View():
            return ("buffer", value.element, value.writable)
        case Callee():
            return ("callable", value.kind)
        case _:
            return ("*", value.element)


def _inside(name: str, kind: Any, value: Value) -> tuple[list[str], Value]:
    """A parameter of an outlined function: how it is declared, and what it is inside."""
    match value:
        case Ref():
            return [f"ptr {name}"], Ref(name, 0, value.kind, False)
        case Pointer():
            return [f"ptr {name}"], Pointer(name, value.element)
        case View():
            return [f"ptr {name}", f"i64 {name}.length"], View(name, f"{name}.length", value.element, value.writable)
        case Callee():
            return [f"ptr {name}"], Callee(name, value.kind)
    if isinstance(kind, FloatType):
        return [f"double {name}"], Float(name, kind.bits == 32)
    width = 32 if kind.bits <= 32 else 64
    return [f"i{width} {name}"], Int(name, width, kind.lo, kind.hi)


def _outside(walker: Walker, state: State, kind: Any, value: Value) -> list[str]:
    """The operands that pass a value to an outlined function."""
    match value:
        case Ref():
            return [f"ptr {walker.address(state, value)}"]
        case View():
            return [f"ptr {value.name}", f"i64 {value.length}"]
        case Pointer() | Callee():
            return [f"ptr {value.name}"]
    if isinstance(kind, FloatType):
        return [f"double {floats.operand(walker.arith, state.block, value)}"]
    width = 32 if kind.bits <= 32 else 64
    return [f"i{width} {walker.arith.operand(state.block, value, width)}"]
