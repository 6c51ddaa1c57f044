"""Loops of typed functions: `for` over what is known is unrolled, `while` becomes a loop of the generated code.

For:       the values that a loop hands from one round to the next: which they are, and in which intervals they stay.
Not for:   what a loop's body does (statements.py).
Invariant: a loop is walked again, with wider intervals, until what was assumed at its head holds at its end.
"""

from __future__ import annotations

import ast
import functools

from ..lang import IntType
from . import floats
from .arith import bounds
from .calls import Calls
from .errors import CompileError, Refusal
from .sources import assigned_names
from .state import State
from .values import I64_MAX, Float, Int, Known, Pointer, Unset, Value, View, known_int, same, widen, width_for

Key = str | int
"""What a loop may change: a local by its name, a held field by its offset."""
Intervals = dict[Key, tuple[int, int]]


UNROLLED = 16
"""A `for` over a longer range becomes a loop of the generated code if its body allows."""


def _plain_count(node: ast.For) -> bool:
    """Whether a `for` counts through a range, and nothing in its body changes the count or skips the rest."""
    is_range = isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name) and node.iter.func.id == "range"
    if not is_range or not isinstance(node.target, ast.Name):
        return False
    inside = [child for statement in node.body for child in ast.walk(statement)]
    if any(isinstance(child, ast.Continue) for child in inside):
        return False
    return not any(node.target.id in assigned_names(statement) for statement in node.body)


class Loops(Calls):
    """The walk through loops."""

    looped = False
    """Whether there was one."""

    def block(self, statements: list[ast.stmt], states: list[State]) -> list[State]:
        """Walk statements (statements.py); the states behind the last one."""
        raise AssertionError

    def assign(self, target: ast.expr, value: Value, state: State) -> None:
        """Store a value in a name, field, element, or tuple of these (statements.py)."""
        raise AssertionError

    def merge(self, states: list[State]) -> list[State]:
        """Join the states that may be joined (statements.py)."""
        raise AssertionError

    def _for(self, node: ast.For, state: State) -> list[State]:
        if node.orelse:
            raise Refusal("`for ... else` is not in the typed subset")
        if self.program.fallible is not None:
            counted = self._counted(node, state)
            if counted is not None:
                return counted
        items = self.items(self.value(node.iter, state))
        if len(items) > UNROLLED and isinstance(node.target, ast.Name) and _plain_count(node):
            rolled = self._rolled(node, [known_int(item) for item in items], state)
            if rolled is not None:
                return rolled
        states, broken = [state], []
        for item in items:
            breaks: list[State] = []
            continues: list[State] = []
            self.frame.loops.append((breaks, continues))
            for one in states:
                self.assign(node.target, item, one)
            states = self.merge(self.block(node.body, states) + continues)
            self.frame.loops.pop()
            broken += breaks
        return states + broken

    def _counted(self, node: ast.For, state: State) -> list[State] | None:
        """A `for` over a range that is not known, or over a buffer, as a loop of generated code; None for others."""
        is_call = isinstance(node.iter, ast.Call) and not node.iter.keywords and isinstance(node.iter.func, ast.Name)
        view: Value | None = None
        if is_call:
            assert isinstance(node.iter, ast.Call)
            callee = self.value(node.iter.func, state)
            if not isinstance(callee, Known) or callee.value is not range or not 1 <= len(node.iter.args) <= 3:
                return None
            values = [self.value(one, state) for one in node.iter.args]
            if all(isinstance(value, Known) for value in values):
                return None
        else:
            view = self.value(node.iter, state) if isinstance(node.iter, ast.Name) else None
            if not isinstance(view, View):
                return None
            values = [Int(view.length, 64, 0, I64_MAX)]
        if len(values) == 1:
            values.insert(0, Known(0))
        step = known_int(values[2]) if len(values) == 3 else 1
        if not step:
            raise Refusal("the step of a range is a known integer, and not 0")
        (slo, shi), (elo, ehi) = bounds(values[0]), bounds(values[1])
        lo, hi = (slo, max(shi, ehi - 1 + step)) if step > 0 else (min(slo, elo + 1 + step), shi)
        if width_for(lo, hi) == 0:
            raise Refusal(f"the count of this range lies in {lo}..{hi}, more than 64 bits", "narrow its end: i64(...)")
        place = f"of the for in line {node.lineno}:{node.col_offset}"
        count, end, over = f"count {place}", f"end {place}", f"what {place}"
        loop = _counting_loop(node, count, end, over if view is not None else "", step)
        self.frame.declared[count] = Span(lo, hi)
        state.locals[count], state.locals[end] = values[0], values[1]
        if view is not None:
            state.locals[over] = view
        states = self._while(loop, state)
        for one in states:
            for name in (count, end, over):
                one.locals.pop(name, None)
        return states

    def _rolled(self, node: ast.For, counts: list[int | None], state: State) -> list[State] | None:
        """A long `for` over a range as a loop of the generated code; None where its body needs to know the count."""
        first, step = counts[0], (counts[1] or 0) - (counts[0] or 0)
        if first is None or step <= 0 or counts[-1] != first + step * (len(counts) - 1):
            return None
        assert isinstance(node.target, ast.Name)
        name = node.target.id

        def here(made: ast.AST) -> ast.AST:
            return ast.fix_missing_locations(ast.copy_location(made, node))

        test = ast.Compare(ast.Name(name, ast.Load()), [ast.Lt()], [ast.Constant(first + step * len(counts))])
        count = ast.AugAssign(ast.Name(name, ast.Store()), ast.Add(), ast.Constant(step))
        loop = here(ast.While(test, [*node.body, count], []))
        kept_blocks, kept_counter, kept_lines = len(self.text.blocks), self.text.counter, len(state.block.lines)
        frame, info, depth = self.frame, self.info, self.depth
        kept_returns, kept_loops, declared = len(frame.returns), len(frame.loops), dict(frame.declared)
        begin = state.fork(state.block)
        begin.locals[name] = Known(first)
        try:
            assert isinstance(loop, ast.While)
            behind = self._while(loop, begin)
        except CompileError:
            self.text.discard_after(kept_blocks)
            self.text.counter = kept_counter
            del state.block.lines[kept_lines:]
            self.frame, self.info, self.depth = frame, info, depth
            del frame.returns[kept_returns:], frame.loops[kept_loops:]
            frame.declared = declared
            return None
        for one in behind:
            one.locals[name] = Unset("the count of a long loop, which is not kept behind it")
        return behind

    def _break(self, node: ast.Break, state: State) -> list[State]:
        self.frame.loops[-1][0].append(state)
        return []

    def _continue(self, node: ast.Continue, state: State) -> list[State]:
        self.frame.loops[-1][1].append(state)
        return []

    def _while(self, node: ast.While, state: State) -> list[State]:
        if node.orelse:
            raise Refusal("`while ... else` is not in the typed subset")
        if state.spilled:
            self.reload(state, "%context")
        spills, self.spills = self.spills, False  # what is held goes from round to round
        try:
            return self._while_held(node, state)
        finally:
            self.spills = spills

    def _while_held(self, node: ast.While, state: State) -> list[State]:
        assigned = assigned_names(node)
        changed = [name for name in state.locals if name in assigned]
        intervals: Intervals = {}
        lost: set[str] = set()
        kept_blocks, kept_counter = len(self.text.blocks), self.text.counter
        kept_returns = len(self.frame.returns)
        kept_lines = len(state.block.lines)
        while True:
            attempt = self._loop(node, state, changed, intervals, lost)
            if attempt is not None:
                return attempt
            self.text.discard_after(kept_blocks)
            self.text.counter = kept_counter
            del self.frame.returns[kept_returns:]
            del state.block.lines[kept_lines:]

    def _loop(
        self, node: ast.While, before: State, changed: list[str], intervals: Intervals, lost: set[str]
    ) -> list[State] | None:
        """Walk a loop with the given intervals for what it changes.

        Returns: the states behind it; None, with wider intervals or more names in `lost`, where what was assumed does
        not hold. lost: names whose value cannot be handed from one round to the next.
        """
        entering = before.fork(before.block)
        header = self.text.block()
        inside = entering.fork(header)
        phis: dict[Key, str] = {}
        keys: list[Key] = [*changed, *entering.fields]
        for key in keys:
            initial = _at(entering, key)
            if isinstance(key, str) and key in lost:
                inside.locals[key] = Unset("changed by this loop, and neither an integer nor a pointer throughout")
                continue
            held = self._loop_value(key, initial, intervals)
            if held is None:
                continue
            phis[key] = held.name
            if isinstance(key, str):
                inside.locals[key] = held
            else:
                inside.fields[key] = held
                inside.dirty.add(key)
        breaks: list[State] = []
        continues: list[State] = []
        self.frame.loops.append((breaks, continues))
        yes, no = self.branch(node.test, inside)
        backs = self.block(node.body, self._one(yes)) + continues
        self.frame.loops.pop()
        kinds_hold = self._kinds_hold(entering, backs, changed, phis, lost)
        if not kinds_hold or not self._intervals_hold(backs, phis, intervals):
            return None
        for end in backs:
            self.at = node.lineno
            self.poll(end)
        for key, name in phis.items():
            incoming = [
                f"[ {self._as_held(_at(end, key), key, intervals, end)}, %{end.block.label} ]"
                for end in [entering, *backs]
            ]
            kind = "double" if floats.is_float(_at(entering, key)) else self._held_type(key, intervals)
            header.phis.append(f"  {name} = phi {kind} {', '.join(incoming)}")
        for end in [entering, *backs]:
            end.block.lines.append(f"  br label %{header.label}")
        self.looped = True
        return self._one(no + breaks)

    def _one(self, states: list[State]) -> list[State]:
        """States joined into one, whatever their split field."""
        return [self.meet(states)[0]] if states else []

    def _loop_value(self, key: Key, initial: Value, intervals: Intervals) -> Int | Float | Pointer | None:
        """The phi that stands for a variable in a loop; None for what a loop cannot change."""
        if floats.is_float(initial):
            return Float(self.text.fresh())
        if isinstance(initial, Pointer):
            return Pointer(self.text.fresh(), initial.element)
        if not isinstance(initial, Int) and known_int(initial) is None:
            return None
        if key not in intervals:
            kind = self.frame.declared.get(key) if isinstance(key, str) else None
            if isinstance(key, int):
                kind = self.virtual[key].kind
            intervals[key] = (kind.lo, kind.hi) if isinstance(kind, IntType) else bounds(initial)
        lo, hi = intervals[key]
        width = width_for(lo, hi)
        if isinstance(key, int):
            width = self.virtual[key].width
        return Int(self.text.fresh(), width, lo, hi)

    def _kinds_hold(
        self, entering: State, backs: list[State], changed: list[str], phis: dict[Key, str], lost: set[str]
    ) -> bool:
        """Whether each name that the loop changes is of the same kind at its end as before; adds others to `lost`."""
        before = len(lost)
        for name in changed:
            initial = entering.locals[name]
            if name in lost or isinstance(initial, Unset):
                continue
            for end in backs:
                value = end.locals[name]
                if name not in phis:
                    kept = same(initial, value)
                elif floats.is_float(initial):
                    kept = floats.is_float(value)
                elif isinstance(initial, Pointer):
                    kept = isinstance(value, Pointer) and value.element == initial.element
                else:
                    kept = isinstance(value, Int) or known_int(value) is not None
                if not kept:
                    lost.add(name)
        return len(lost) == before

    def _intervals_hold(self, backs: list[State], phis: dict[Key, str], intervals: Intervals) -> bool:
        """Whether the values at the loop's end lie within what was assumed at its head; widens that where not."""
        held = True
        for key in phis:
            if key not in intervals:
                continue
            lo, hi = intervals[key]
            for end in backs:
                low, high = bounds(_at(end, key))
                if low < lo or high > hi:
                    lo, hi = widen(min(lo, low), max(hi, high))
                    held = False
            intervals[key] = (lo, hi)
        return held

    def _held_type(self, key: Key, intervals: Intervals) -> str:
        if key not in intervals:
            return "ptr"
        if isinstance(key, int):
            return f"i{self.virtual[key].width}"
        return f"i{width_for(*intervals[key])}"

    def _as_held(self, value: Value, key: Key, intervals: Intervals, end: State) -> str:
        if isinstance(value, Pointer):
            return value.name
        if floats.is_float(value):
            return floats.operand(self.arith, end.block, value)
        return self.arith.operand(end.block, value, int(self._held_type(key, intervals)[1:]))


class Span(IntType):
    """The interval of a loop's count."""

    __slots__ = ()

    def __init__(self, lo: int, hi: int) -> None:
        super().__init__(64, lo < 0)
        self.lo = lo
        self.hi = hi


@functools.cache
def _counting_loop(node: ast.For, count: str, end: str, over: str, step: int) -> ast.While:
    """`for target in range(count, end, step)` as a `while`; with `over`, the target is an element of it."""

    def read(name: str) -> ast.Name:
        return ast.Name(name, ast.Load())

    value: ast.expr = ast.Subscript(read(over), read(count), ast.Load()) if over else read(count)
    now = ast.Assign([node.target], value)
    more = ast.AugAssign(ast.Name(count, ast.Store()), ast.Add(), ast.Constant(step))
    test = ast.Compare(read(count), [ast.Lt() if step > 0 else ast.Gt()], [read(end)])
    loop = ast.While(test, [now, more, *node.body], [])
    for made in (now, more, test, loop):
        ast.fix_missing_locations(ast.copy_location(made, node))
    return loop


def _at(state: State, key: Key) -> Value:
    return state.locals[key] if isinstance(key, str) else state.fields[key]
