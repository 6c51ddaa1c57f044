"""Conditions of typed functions: comparisons, `and`, `or`, `not`, conditional expressions, and branching on them.

For:     `Conditions.branch(node, state)`, which splits a state on a condition and narrows intervals by what it says.
Not for: other expressions (expressions.py), statements that branch (statements.py).
"""

from __future__ import annotations

import ast
import contextlib
import functools
import operator
from collections.abc import Callable
from typing import Any

from . import floats
from .arith import bounds
from .errors import CompileError, Refusal
from .expressions import Expressions, Handler
from .state import State
from .text import RARELY
from .values import Float, Int, Known, Pointer, Unset, Value, known_int

COMPARISON: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
MIRROR = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
NEGATION = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
KNOWN_COMPARISON: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
SIMPLE = (
    ast.Name, ast.Constant, ast.Compare, ast.BinOp, ast.UnaryOp, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
    ast.Add, ast.Sub, ast.BitAnd, ast.BitOr, ast.BitXor, ast.Not, ast.Load, ast.BoolOp, ast.And, ast.Or,
)  # fmt: skip
"""Conditions of nothing else cost less computed whole than branched on."""


class Conditions(Expressions):
    """The walk through conditions."""

    def truth(self, value: Value, state: State) -> Value:
        """`bool(value)`: a known bool or an i1."""
        if isinstance(value, Known):
            return Known(bool(value.value))
        if isinstance(value, Pointer):
            if value.element is None and self.program.fallible is not None:
                raise Refusal("the truth of a Python object is Python's to tell", "ask `is None`, or call bool(...)")
            return Int(self.arith.op(state.block, f"icmp ne ptr {value.name}, null"), 1, 0, 1)
        if isinstance(value, Float):
            return Int(self.arith.op(state.block, f"fcmp une double {value.name}, 0.0"), 1, 0, 1)
        return self.arith.truth(state.block, value)

    def _compare(self, node: ast.Compare, state: State) -> Value:
        if len(node.ops) > 1:
            return self._by_branches(node, state)
        return self.comparison(node.ops[0], self.value(node.left, state), self.value(node.comparators[0], state), state)

    def comparison(self, op: ast.cmpop, left: Value, right: Value, state: State) -> Value:
        """One comparison."""
        if isinstance(left, Known) and isinstance(right, Known):
            try:
                return Known(KNOWN_COMPARISON[type(op)](left.value, right.value))
            except TypeError as error:
                raise Refusal(str(error)) from None
        if isinstance(op, (ast.In, ast.NotIn)):
            found: Value = Known(False)
            for item in self.items(right):
                equal = self.arith.compare(state.block, "==", left, item)
                if isinstance(equal, Known):
                    if equal.value:
                        return Known(isinstance(op, ast.In))
                    continue
                found = equal if isinstance(found, Known) else self.arith.binary(state.block, "|", found, equal, 0)
            if isinstance(op, ast.In) or isinstance(found, Known):
                return found if isinstance(op, ast.In) else Known(True)
            assert isinstance(found, Int)
            return Int(self.arith.op(state.block, f"xor i1 {found.name}, true"), 1, 0, 1)
        symbol = COMPARISON.get(type(op))
        if symbol is None and self.program.fallible is not None and (_is_object(left) or _is_object(right)):
            return self.is_object(left, right, state, op)
        if symbol is None:
            raise Refusal("`is` compares known values only", "use == or `if pointer:`")
        if isinstance(left, Pointer) or isinstance(right, Pointer):
            raise Refusal("pointers are not compared: to CPython each is another object", "compare their address_of()")
        if floats.is_float(left) or floats.is_float(right):
            return floats.compare(self.arith, state.block, symbol, left, right)
        return self.arith.compare(state.block, symbol, left, right)

    def is_object(self, left: Value, right: Value, state: State, op: ast.cmpop) -> Value:
        """`is` and `is not` of Python objects (crossings.py)."""
        raise AssertionError

    # ------------------------------------------------------------------ conditions

    def _bool_op(self, node: ast.BoolOp, state: State) -> Value:
        """`and`, `or` as Python has them: the value of the operand that decides."""
        if _is_simple(node):
            with contextlib.suppress(CompileError):  # an operand may rest on what those before it say
                value = self._bool_op_at_once(node, state)
                if value is not None:
                    return value
        is_and = isinstance(node.op, ast.And)
        ends: list[tuple[State, Value]] = []
        going = [state.fork(state.block)]
        for operand in node.values[:-1]:
            if going:
                value, decided, rest = self._decide(operand, going[0], is_and)
                ends += [(end, value) for end in decided]
                going = [self.meet(rest)[0]] if rest else []
        ends += [(end, self.value(node.values[-1], end)) for end in going]
        joined, result = self.meet([end for end, _ in ends], [value for _, value in ends])
        if isinstance(result, Unset):
            raise Refusal("the operands have values of different kinds", "compare them: `x != 0`")
        state.become(joined)
        return result

    def _bool_op_at_once(self, node: ast.BoolOp, state: State) -> Value | None:
        """All operands computed, without branches; None where one of them is not 0 or 1 by its interval."""
        is_and = isinstance(node.op, ast.And)
        result: Value | None = None
        for operand in node.values:
            value = self.value(operand, state)
            if isinstance(value, Known):
                if result is not None and known_int(value) not in (0, 1):
                    return None
                if bool(value.value) is not is_and or (result is None and operand is node.values[-1]):
                    return value
            elif not isinstance(value, Int) or value.lo < 0 or value.hi > 1:
                return None
            else:
                truth = self.arith.truth(state.block, value)
                result = (
                    truth
                    if result is None
                    else self.arith.binary(state.block, "&" if is_and else "|", result, truth, 0)
                )
        return result

    def _decide(self, node: ast.expr, state: State, is_and: bool) -> tuple[Value, list[State], list[State]]:
        """Split on an operand of `and` or `or`: its value where it decides, the states there, and the other states."""
        if isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)):
            value: Value = Known(not is_and)
            yes, no = self.branch(node, state)
        else:
            value = self.value(node, state)
            yes, no = self._split(self.truth(value, state), state, "")
            if is_and and isinstance(value, Int):
                value = Known(0)
        return (value, no, yes) if is_and else (value, yes, no)

    def truth_of(self, node: ast.expr, state: State) -> Value:
        """`bool(node)`: a known bool or an i1. Parts of conditions are evaluated only when needed."""
        if not isinstance(node, ast.BoolOp) or _is_simple(node):
            return self.truth(self.value(node, state), state)
        return self._by_branches(node, state)

    def _by_branches(self, node: ast.expr, state: State) -> Value:
        """The truth of a condition whose parts are evaluated only when needed."""
        yes, no = self.branch(node, state.fork(state.block))
        if not yes or not no:
            state.become(self.meet(yes or no)[0])
            return Known(bool(yes))
        joined, result = self.meet([*yes, *no], [*(Known(True) for _ in yes), *(Known(False) for _ in no)])
        state.become(joined)
        return result

    def branch(self, node: ast.expr, state: State) -> tuple[list[State], list[State]]:
        """Split a state on a condition: the states where it holds and those where it does not."""
        if isinstance(node, ast.BoolOp):
            is_and = isinstance(node.op, ast.And)
            going, left = [state], []
            for operand in node.values:
                next_going: list[State] = []
                for one in going:
                    yes, no = self.branch(operand, one)
                    next_going += yes if is_and else no
                    left += no if is_and else yes
                going = next_going
            return (going, left) if is_and else (left, going)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yes, no = self.branch(node.operand, state)
            return no, yes
        rare = ""
        inner = node
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "unlikely"
            and len(node.args) == 1
        ):
            inner, rare = node.args[0], ", " + RARELY
            if isinstance(inner, (ast.BoolOp, ast.UnaryOp)):
                return self._split(self.truth_of(inner, state), state, rare)
        if isinstance(inner, ast.Compare) and (len(inner.ops) > 1 or type(inner.ops[0]) in COMPARISON):
            try:
                return self._branch_on_comparisons(inner, state, rare)
            except Refusal as refusal:
                raise self.error(node, refusal.problem, refusal.mend) from None
        value = self.value(inner, state)
        try:
            return self._split(self.truth(value, state), state, rare)
        except Refusal as refusal:
            raise self.error(node, refusal.problem, refusal.mend) from None

    def _split(self, condition: Value, state: State, rare: str) -> tuple[list[State], list[State]]:
        if isinstance(condition, Known):
            return ([state], []) if condition.value else ([], [state])
        assert isinstance(condition, Int)
        yes, no = self.text.block(), self.text.block()
        state.block.lines.append(f"  br i1 {condition.name}, label %{yes.label}, label %{no.label}{rare}")
        return [state.fork(yes)], [state.fork(no)]

    def _branch_on_comparisons(self, node: ast.Compare, state: State, rare: str) -> tuple[list[State], list[State]]:
        """`a < b < c`: each operand is evaluated once, and only when those before it hold."""
        left_node, left = node.left, self.value(node.left, state)
        failed: list[State] = []
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node, state)
            yes, no = self._split(self.comparison(op, left, right, state), state, rare)
            if yes and no and type(op) in COMPARISON and (isinstance(left, Int) or isinstance(right, Int)):
                symbol = COMPARISON[type(op)]
                for states, holds in ((yes, symbol), (no, NEGATION[symbol])):
                    refine(states[0], left_node, left, holds, right)
                    refine(states[0], right_node, right, MIRROR[holds], left)
            failed += no
            if not yes:
                return [], failed
            state = yes[0]
            left_node, left = right_node, right
        return [state], failed

    def _if_expression(self, node: ast.IfExp, state: State, low_bits: int) -> Value:
        yes, no = self.branch(node.test, state.fork(state.block))
        if not yes or not no:
            state.become(self.meet(yes or no)[0])
            return self.value(node.body if yes else node.orelse, state, low_bits)
        then, otherwise = self.meet(yes)[0], self.meet(no)[0]
        a, b = self.value(node.body, then, low_bits), self.value(node.orelse, otherwise, low_bits)
        joined, result = self.meet([then, otherwise], [a, b])
        if isinstance(result, Unset):
            raise Refusal("the two arms have values of different kinds")
        state.become(joined)
        return result


def refine(state: State, node: ast.expr, value: Value, symbol: str, other: Value) -> None:
    """Where `node symbol other` holds and node is a local name: narrow the local's interval."""
    if floats.is_float(other):
        return
    if not isinstance(node, ast.Name) or not isinstance(value, Int) or value.width == 1:
        return
    local = state.locals.get(node.id)
    if not isinstance(local, Int) or local.name != value.name:
        return
    olo, ohi = bounds(other)
    lo, hi = local.lo, local.hi
    match symbol:
        case "<":
            hi = min(hi, ohi - 1)
        case "<=":
            hi = min(hi, ohi)
        case ">":
            lo = max(lo, olo + 1)
        case ">=":
            lo = max(lo, olo)
        case "==":
            lo, hi = max(lo, olo), min(hi, ohi)
        case _:
            if olo == ohi == lo:
                lo += 1
            elif olo == ohi == hi:
                hi -= 1
    if lo <= hi:  # a value that is sign-extended and now known not to be negative is zero-extended as well
        state.locals[node.id] = Int(local.name, local.width, lo, hi)


@functools.cache
def _is_simple(node: ast.BoolOp) -> bool:
    return all(isinstance(child, SIMPLE) for child in ast.walk(node))


def _is_object(value: Value) -> bool:
    return isinstance(value, Pointer) and value.element is None


CONDITIONS: dict[type[ast.expr], Handler] = {
    ast.Compare: Conditions._compare,
    ast.BoolOp: Conditions._bool_op,
    ast.IfExp: Conditions._if_expression,
}
Conditions.handlers = {**Expressions.handlers, **CONDITIONS}
