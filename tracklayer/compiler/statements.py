"""Statements of typed functions: assignments, branches, returns. `Walker` is the whole walk through one function.

For:       from a function's syntax tree to the blocks of one LLVM function.
Not for:   loops (loops.py), or which functions a program consists of (program.py).
Invariant: a statement is walked once for each state that reaches it. States are joined after every statement, except
           that states whose `split` field (a guest's program counter, say) has different values stay apart, and those
           that hold the context's fields from those that have left them in memory.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..lang import ArrayType, FloatType, IntType, Object, PtrType, is_struct, layout
from . import floats
from .arith import bounds
from .calls import Frame, Path
from .convention import Convention
from .errors import NeverReturns, Refusal
from .expressions import BINARY
from .loops import Loops
from .sources import FunctionInfo, meaning
from .state import State
from .text import Module, literal
from .values import Int, Known, Pointer, Ref, Tuple, Value, View, describe, known_int

if TYPE_CHECKING:
    from .program import Program


class Walker(Loops):
    """The walk through one generated function. split: the offset of the field whose values keep paths apart."""

    def __init__(
        self,
        program: Program,
        module: Module,
        info: FunctionInfo,
        convention: Convention | None,
        holds: bool,
        split: int | None = None,
        spills: bool = False,
    ) -> None:
        super().__init__(module, convention, holds)
        self.spills = spills
        self.program = program
        self.unaliased = program.fallible is not None
        self.prepare_failing()
        self.info = info
        self.frame = Frame(info)
        self.context = "%context"
        self.split = split

    # ------------------------------------------------------------------ joining

    def group(self, paths: list[Path]) -> list[Path]:
        if len(paths) < 2:
            return paths
        groups: dict[object, list[Path]] = {}
        for path in paths:
            groups.setdefault(self._key(path[0]), []).append(path)
        return [self.meet([p[0] for p in group], [p[1] for p in group]) for group in groups.values()]

    def _key(self, state: State) -> object:
        if self.split is None or self.split not in state.fields:
            return state.spilled
        value = state.fields[self.split]
        return value.name if isinstance(value, Int) else known_int(value)

    def merge(self, states: list[State]) -> list[State]:
        """Join the states that may be joined."""
        if len(states) < 2:
            return states
        return [path[0] for path in self.group([(state, Known(None)) for state in states])]

    # ------------------------------------------------------------------ blocks of statements

    def body(self, frame: Frame, state: State) -> list[State]:
        for name, kind in frame.info.parameters:
            if isinstance(kind, (IntType, FloatType)):
                frame.declared[name] = kind
        return self.block(frame.info.node.body, [state])

    def begin(self, info: FunctionInfo, values: dict[str, Value], state: State) -> list[Path]:
        """Walk the whole function. Errors: CompileError."""
        try:
            return self.inline(info, values, state)
        except Refusal as refusal:
            raise self.error(info.node, refusal.problem, refusal.mend) from None

    def block(self, statements: list[ast.stmt], states: list[State]) -> list[State]:
        """Walk statements from each of `states`; the states behind the last one."""
        for statement in statements:
            if not states:
                return states
            self.at = statement.lineno
            handler = _HANDLERS.get(type(statement))
            if handler is None:
                raise self.error(
                    statement, f"{type(statement).__name__} is not in the typed subset", "see docs/lang.md"
                )
            states = self.merge([end for state in states for end in self._statement(statement, handler, state)])
        return states

    def _statement(self, statement: ast.stmt, handler: Handler, state: State) -> list[State]:
        """Walk one statement; the states behind it."""
        around, self.whole = self.whole, state if isinstance(statement, PLAIN) else None
        try:
            return handler(self, statement, state)
        except NeverReturns:
            return []
        except Refusal as refusal:
            raise self.error(statement, refusal.problem, refusal.mend) from None
        finally:
            self.whole = around

    def paths(self, node: ast.expr, state: State) -> list[Path]:
        """The value of an expression on each path, kept apart where it is a call."""
        if isinstance(node, ast.Call):
            try:
                return self.call_paths(node, state)
            except Refusal as refusal:
                raise self.error(node, refusal.problem, refusal.mend) from None
        return [(state, self.value(node, state))]

    def _expression(self, node: ast.Expr, state: State) -> list[State]:
        if isinstance(node.value, ast.Constant):
            return [state]
        return [path[0] for path in self.paths(node.value, state)]

    def _assign(self, node: ast.Assign, state: State) -> list[State]:
        if len(node.targets) != 1:
            raise Refusal("chained assignment is not in the typed subset", "write one assignment a line")
        target = node.targets[0]
        low_bits = self._low_bits(target, state)
        if low_bits and not isinstance(node.value, ast.Call):
            paths = [(state, self.value(node.value, state, low_bits))]
        else:
            paths = self.paths(node.value, state)
        for end, value in paths:
            self.assign(target, value, end)
        return [path[0] for path in paths]

    def _low_bits(self, target: ast.expr, state: State) -> int:
        """How many low bits a store to `target` keeps, where that is plain to see; 0 where all must be right."""
        if isinstance(target, ast.Attribute) and isinstance(target.value, (ast.Name, ast.Attribute)):
            owner = self._quiet_owner(target.value, state)
            if owner is not None and is_struct(owner.kind) and target.attr in layout(owner.kind):
                kind = layout(owner.kind)[target.attr].type
                return kind.bits if isinstance(kind, IntType) and kind.bits > 1 else 0
        if isinstance(target, ast.Subscript) and isinstance(target.value, (ast.Name, ast.Attribute)):
            array = self._quiet_owner(target.value, state)
            if array is not None and isinstance(array.kind, ArrayType) and isinstance(array.kind.element, IntType):
                return array.kind.element.bits
        return 0

    def _quiet_view(self, node: ast.expr, state: State) -> View | None:
        """The buffer that a name stands for."""
        value = state.locals.get(node.id) if isinstance(node, ast.Name) else None
        return value if isinstance(value, View) else None

    def _quiet_owner(self, node: ast.expr, state: State) -> Ref | None:
        """The struct or array that names lead to, without emitting anything."""
        if isinstance(node, ast.Name):
            value = state.locals.get(node.id)
            return value if isinstance(value, Ref) else None
        if isinstance(node, ast.Attribute):
            owner = self._quiet_owner(node.value, state)
            if owner is not None and is_struct(owner.kind):
                field = layout(owner.kind).get(node.attr)
                if field is not None and (is_struct(field.type) or isinstance(field.type, ArrayType)):
                    return Ref(owner.base, owner.offset + field.offset, field.type, owner.root)
        return None

    def assign(self, target: ast.expr, value: Value, state: State) -> None:
        """Store a value in a name, field, element, or tuple of these."""
        try:
            if isinstance(target, ast.Name):
                kind = self.frame.declared.get(target.id)
                if kind is not None:
                    value = self.check(value, kind, target.id)
                if self.program.fallible is not None:
                    self._keep_objects(target.id, value, state)
                state.locals[target.id] = value
            elif isinstance(target, ast.Tuple):
                items = self.items(value)
                if len(items) != len(target.elts):
                    raise Refusal(f"{len(items)} values for {len(target.elts)} targets")
                for part, item in zip(target.elts, items, strict=True):
                    self.assign(part, item, state)
            else:
                place, role = self.place(target, state)
                if isinstance(target, ast.Subscript) and isinstance(place.kind, (IntType, FloatType)):
                    owner = self._quiet_view(target.value, state)
                    if owner is not None:  # memory of Python's does not wrap
                        kind = place.kind
                        if isinstance(kind, IntType) or not floats.is_number(value):
                            self.check(value, kind, "an element")
                self.store(state, place, value, role)
        except Refusal as refusal:
            raise self.error(target, refusal.problem, refusal.mend) from None

    def _keep_objects(self, name: str, value: Value, state: State) -> None:
        """A name owns the Python object that it stands for."""
        if isinstance(value, Pointer) and value.element is None and not self.fallible.nogil:
            self.share(self.place_key(name), state, value)
        if isinstance(value, Tuple) and any(isinstance(i, Pointer) and i.element is None for i in value.items):
            raise Refusal("a tuple with Python objects has no name", "unpack it: `a, b = ...`")

    def place(self, target: ast.expr, state: State) -> tuple[Ref, str]:
        """Where an attribute or subscript that is stored to lies, and its role for alias analysis."""
        if isinstance(target, ast.Attribute):
            owner = self.value(target.value, state)
            if not isinstance(owner, Ref) or not is_struct(owner.kind) or target.attr not in layout(owner.kind):
                raise Refusal(f"{describe(owner)} has no field {target.attr}")
            field = layout(owner.kind)[target.attr]
            return Ref(owner.base, owner.offset + field.offset, field.type, owner.root), "field"
        if isinstance(target, ast.Subscript):
            owner = self.value(target.value, state)
            if isinstance(owner, View) and not owner.writable:
                raise Refusal("this buffer is only read", "declare it a MutBuffer")
            return self.place_of_element(owner, self.value(target.slice, state), state), "element"
        raise Refusal(f"{type(target).__name__} cannot be assigned to")

    def _annotated(self, node: ast.AnnAssign, state: State) -> list[State]:
        if not isinstance(node.target, ast.Name) or node.value is None:
            raise Refusal("an annotation declares a local variable with its value: `x: u8 = 0`")
        kind = self.value(node.annotation, state)
        if isinstance(kind, Known) and isinstance(kind.value, str):
            raise Refusal("the annotation is a string", "write the type itself")
        declared = meaning(kind.value) if isinstance(kind, Known) else None
        if not (isinstance(declared, (IntType, FloatType, PtrType)) or is_struct(declared) or declared is Object):
            raise Refusal("a local variable is annotated with a type of numbers, a struct, a Ptr or an Object")
        paths = self.paths(node.value, state)
        if isinstance(declared, (IntType, FloatType)):
            self.frame.declared[node.target.id] = declared
        for end, value in paths:
            self.assign(node.target, self.check(value, declared, node.target.id), end)
        return [path[0] for path in paths]

    def _augmented(self, node: ast.AugAssign, state: State) -> list[State]:
        symbol = BINARY.get(type(node.op))
        if symbol is None:
            raise Refusal(f"the operator {type(node.op).__name__} is not in the typed subset")
        if isinstance(node.target, ast.Name):
            old = self.value(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target), state)
            value = self.binary(symbol, old, self.value(node.value, state), state, 0, node)
            self.assign(node.target, value, state)
            return [state]
        low_bits = self._low_bits(node.target, state)
        place, role = self.place(node.target, state)
        if low_bits == 0 and isinstance(place.kind, IntType) and place.kind.bits > 1:
            low_bits = place.kind.bits
        wanted = low_bits if symbol in ("+", "-", "*", "&", "|", "^") else 0
        old = self.load(state, place, role)
        value = self.binary(
            symbol, old, self.value(node.value, state, wanted), state, low_bits if wanted or symbol == "<<" else 0, node
        )
        view = self._quiet_view(node.target.value, state) if isinstance(node.target, ast.Subscript) else None
        if view is not None and isinstance(place.kind, IntType):
            self.check(value, place.kind, "an element")
        self.store(state, place, value, role)
        return [state]

    def _return(self, node: ast.Return, state: State) -> list[State]:
        paths = self.paths(node.value, state) if node.value is not None else [(state, Known(None))]
        for end, value in paths:
            self.frame.returns.append((end, self._result(value)))
        return []

    def _result(self, value: Value) -> Value:
        kind = self.info.result
        arguments = getattr(kind, "__args__", None)
        if getattr(kind, "__origin__", None) is tuple and arguments:
            items = self.items(value)
            if len(items) != len(arguments):
                raise Refusal(f"{self.info.name} is declared to return {len(arguments)} values, this is {len(items)}")
            return Tuple([self.check(item, k, "the result") for item, k in zip(items, arguments, strict=True)])
        return self.check(value, kind, f"the result of {self.info.name}")

    # ------------------------------------------------------------------ control

    def _if(self, node: ast.If, state: State) -> list[State]:
        yes, no = self.branch(node.test, state)
        return self.block(node.body, self.merge(yes)) + self.block(node.orelse, self.merge(no))

    def _match(self, node: ast.Match, state: State) -> list[State]:
        subject = self.value(node.subject, state)
        if isinstance(subject, Known):
            for case in node.cases:
                if self._accepts(case, subject, state):
                    return self.block(case.body, [state])
            return [state]
        bounds(subject)
        assert isinstance(subject, Int)
        width = 32 if subject.width == 1 else subject.width
        name = self.arith.operand(state.block, subject, width)
        after: list[State] = []
        rest = self.text.block()
        arms: list[str] = []
        seen: set[int] = set()
        default: ast.match_case | None = None
        for case in node.cases:
            patterns = self._integers(case, state)
            if patterns is None:
                default = case
                break
            new = {pattern for pattern in patterns if subject.lo <= pattern <= subject.hi} - seen
            if not new:
                continue  # never taken, so not looked at
            seen |= new
            arm = self.text.block()
            arms += [f"i{width} {literal(pattern, width)}, label %{arm.label}" for pattern in sorted(new)]
            inside = state.fork(arm)
            if isinstance(node.subject, ast.Name) and subject.width != 1:
                inside.locals[node.subject.id] = Int(subject.name, subject.width, min(new), max(new))
            after += self.block(case.body, [inside])
        state.block.lines.append(f"  switch i{width} {name}, label %{rest.label} [ {' '.join(arms)} ]")
        outside = state.fork(rest)
        after += self.block(default.body, [outside]) if default is not None else [outside]
        return after

    def _accepts(self, case: ast.match_case, subject: Known, state: State) -> bool:
        """Whether a known value matches: singletons by identity, others by equality."""
        patterns = self._patterns(case, state)
        return patterns is None or any(
            subject.value is value if single else bool(subject.value == value) for value, single in patterns
        )

    def _integers(self, case: ast.match_case, state: State) -> list[int] | None:
        """The integers that a case of a run-time subject matches; None for the wildcard."""
        patterns = self._patterns(case, state)
        if patterns is None:
            return None
        for value, single in patterns:
            if single or not isinstance(value, int):
                raise self.error(case.pattern, f"an integer is matched with {value!r}", "a case is a known integer")
        return [int(value) for value, _ in patterns]

    def _patterns(self, case: ast.match_case, state: State) -> list[tuple[Any, bool]] | None:
        """The known values that a case matches, and which are singletons (None, True, False); None for the wildcard."""
        if case.guard is not None:
            raise self.error(case.guard, "a case has no guard in the typed subset", "use `if` inside the case")
        found: list[tuple[Any, bool]] = []
        choices = case.pattern.patterns if isinstance(case.pattern, ast.MatchOr) else [case.pattern]
        for pattern in choices:
            if isinstance(pattern, ast.MatchAs) and pattern.pattern is None and pattern.name is None:
                return None
            if isinstance(pattern, ast.MatchSingleton):
                found.append((pattern.value, True))
                continue
            if not isinstance(pattern, ast.MatchValue):
                raise self.error(
                    pattern, "this pattern is not in the typed subset", "match on integers, `a | b`, and `_`"
                )
            value = self.value(pattern.value, state)
            if not isinstance(value, Known):
                raise self.error(pattern, "a case is a known value")
            found.append((value.value, False))
        return found

    def _raise(self, node: ast.Raise, state: State) -> list[State]:
        problem = "a typed function raises `Kind` or `Kind('text')`, both known"
        if node.exc is None or node.cause is not None:
            raise Refusal(problem)
        called = node.exc if isinstance(node.exc, ast.Call) else None
        kind = self.value(called.func if called else node.exc, state)
        texts = [self.value(one, state) for one in called.args] if called else []
        text = texts[0].value if len(texts) == 1 and isinstance(texts[0], Known) else "" if not texts else None
        is_kind = isinstance(kind, Known) and isinstance(kind.value, type) and issubclass(kind.value, BaseException)
        if not isinstance(kind, Known) or not is_kind or not isinstance(text, str):
            raise Refusal(problem)
        self.at = node.lineno
        self.raise_here(state, kind.value, text)
        return []

    def _pass(self, node: ast.Pass, state: State) -> list[State]:
        return [state]

    def _assert(self, node: ast.Assert, state: State) -> list[State]:
        value = self.value(node.test, state)
        if not isinstance(value, Known):
            raise Refusal("an assertion must be decided while compiling", "test what is known, or leave it out")
        if not value.value:
            raise Refusal("the assertion does not hold")
        return [state]


Handler = Callable[[Walker, Any, State], list[State]]
PLAIN = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)
"""Statements without other statements, whose parts are all evaluated."""

_HANDLERS: dict[type[ast.stmt], Handler] = {
    ast.Expr: Walker._expression,
    ast.Assign: Walker._assign,
    ast.AnnAssign: Walker._annotated,
    ast.AugAssign: Walker._augmented,
    ast.Return: Walker._return,
    ast.If: Walker._if,
    ast.Match: Walker._match,
    ast.For: Walker._for,
    ast.While: Walker._while,
    ast.Break: Walker._break,
    ast.Continue: Walker._continue,
    ast.Pass: Walker._pass,
    ast.Assert: Walker._assert,
    ast.Raise: Walker._raise,
}
