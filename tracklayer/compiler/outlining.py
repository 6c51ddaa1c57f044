"""Functions that are compiled by themselves, and the calls of them.

For:       `Outlined`, and the part of a program that makes such functions: `Outlining`, a base of `Program`.
Not for:   how a single value is passed (passing.py); functions and handlers that others call (program.py).
Invariant: an outlined function is compiled once for each set of known arguments, before the call that needs it is
           written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from .. import lang
from ..lang import FloatType, IntType, Object
from .calls import Path
from .convention import MANY, Convention, Effects
from .errors import CompileError, Refusal
from .passing import (
    Same,
    as_arguments,
    as_parameter,
    operand,
    passed_as,
    result_type,
    result_types,
    result_width,
    returned,
    tuple_of,
)
from .sources import FunctionInfo
from .state import State
from .statements import Walker
from .text import Module
from .values import Callee, Known, Pointer, Ref, Tuple, Value, View, describe

if TYPE_CHECKING:
    from .fallible import Fallible
    from .program import Program

LOOPS, STRAIGHT, RARE = "loops", "straight", "rare"
"""The kinds of parts that outlined functions belong to: those with loops, those without, and those marked so."""


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


class Outlining:
    """The functions of a program that are compiled by themselves."""

    module: Module
    convention: Convention | None
    fallible: Fallible | None
    leaves: Callable[[Walker, State], None] | None
    instead: Callable[[Walker, FunctionInfo, dict[str, Value], State], list[Path] | None] | None
    part: str
    _begun: dict[str, str]
    _outlined: dict[tuple[Any, ...], Outlined]
    _names: set[str]

    @property
    def _program(self) -> Program:
        """This, as the whole program that it is."""
        return cast("Program", self)

    def finish_body(
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
        rare = info.typed is not None and info.typed.rare
        self.module.add(RARE if rare else LOOPS if walker.looped else STRAIGHT, text, self._begun.pop(head))

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
        if tuple_of(info):
            packed, kind = "poison", result_type(info)
            for index, (item, one) in enumerate(zip(walker.items(value), kinds, strict=True)):
                name = operand(walker, end, item, one)
                packed = walker.arith.op(end.block, f"insertvalue {kind} {packed}, {one} {name}, {index}")
            end.block.lines.append(f"  ret {kind} {packed}")
            return
        kind = f"i{width}" if width else kinds[0]
        end.block.lines.append(f"  ret {kind} {operand(walker, end, value, kind)}")

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
                key.append(passed_as(value))
            elif isinstance(value, Known):
                key.append(Same(value.value))
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
        walker = Walker(self._program, self.module, info, self.convention, holds=False)
        parameters = ["ptr %call"] if self.fallible else []
        parameters += ["ptr %context"] if roots else []
        inside: dict[str, Value] = {}
        for name, kind in info.parameters:
            value = values[name]
            if name not in passed:
                inside[name] = Ref("%context", value.offset, value.kind, True) if isinstance(value, Ref) else value
            else:
                declared, inside[name] = as_parameter(f"%a.{name}", kind, value)
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
            self.finish_body(walker, head, inside, info, result_width(info), outlined=True)
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
            arguments += as_arguments(walker, state, kind, value)
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
        kinds = tuple_of(info)
        if not kinds:
            return returned(name, info.result, result_width(info))
        items: list[Value] = []
        for index, kind in enumerate(kinds):
            part = walker.arith.op(state.block, f"extractvalue {result_type(info)} {name}, {index}")
            if isinstance(kind, IntType) and kind.bits <= 32:
                part = walker.arith.op(state.block, f"trunc i64 {part} to i32")
            items.append(returned(part, kind, 32 if kind.bits <= 32 else 64))
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
