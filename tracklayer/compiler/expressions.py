"""Expressions of typed functions: known ones fold, the others become instructions.

For:     `Expressions.value(node, state)`, and `branch(node, state)`, which splits a state on a condition.
Not for: statements (statements.py), calls (calls.py).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from ..lang import ArrayType, is_struct, layout
from .arith import bounds, fold
from .errors import CompileError, Refusal
from .memory import Memory
from .sources import FunctionInfo
from .state import State, join
from .text import ELEMENT, RARELY
from .values import Int, Known, Method, Pointer, Ref, Tuple, Unset, Value, describe, known_int, width_for

BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.LShift: "<<", ast.RShift: ">>",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
COMPARISON: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
MIRROR = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
NEGATION = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
KNOWN_COMPARISON: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
SIMPLE = (ast.Name, ast.Constant, ast.Compare, ast.BinOp, ast.UnaryOp, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
          ast.Add, ast.Sub, ast.BitAnd, ast.BitOr, ast.BitXor, ast.Not, ast.Load, ast.BoolOp, ast.And, ast.Or)  # fmt: skip


class Expressions(Memory):
    """The walk through expressions. `info` is the function whose text is being walked."""

    info: FunctionInfo

    def call(self, node: ast.Call, state: State) -> Value:
        """The value of a call expression (calls.py)."""
        raise AssertionError

    def value(self, node: ast.expr, state: State, low_bits: int = 0) -> Value:
        """The value of an expression. low_bits: if not 0, only so many low bits of an integer result are wanted."""
        try:
            kind = type(node)
            if kind is ast.Name:
                return self._name(node, state)  # type: ignore[arg-type]
            if kind is ast.Constant:
                return Known(node.value)  # type: ignore[attr-defined]
            handler = _HANDLERS.get(kind)
            if handler is None:
                raise Refusal(f"{kind.__name__} is not in the typed subset", "see docs/lang.md")
            if kind is ast.BinOp or kind is ast.IfExp or kind is ast.UnaryOp:
                return handler(self, node, state, low_bits)
            return handler(self, node, state)
        except Refusal as refusal:
            raise self.error(node, refusal.problem, refusal.mend) from None

    def error(self, node: ast.AST, problem: str, mend: str = "") -> CompileError:
        """An error at `node` of the function being walked."""
        return CompileError(self.info.file, node, self.info.name, problem, mend)

    # ------------------------------------------------------------------ names, attributes, elements

    def _name(self, node: ast.Name, state: State) -> Value:
        value = state.locals.get(node.id)
        if value is not None:
            if isinstance(value, Unset):
                raise Refusal(f"{node.id} is {value.reason}", "set it on every path before it is used")
            return value
        if node.id in self.info.names:  # a local of Python's, whatever globals there are
            raise Refusal(f"{node.id} is not set on every path that leads here", "set it before the branch or the loop")
        try:
            return Known(self.info.resolve(node.id))
        except KeyError:
            raise Refusal(f"{node.id} is not defined here") from None

    def _attribute(self, node: ast.Attribute, state: State) -> Value:
        owner = self.value(node.value, state)
        if isinstance(owner, Known):
            try:
                return Known(getattr(owner.value, node.attr))
            except AttributeError as error:
                raise Refusal(str(error)) from None
        if isinstance(owner, Ref) and is_struct(owner.kind):
            if node.attr in layout(owner.kind):
                return self.field(state, owner, node.attr)
            member = getattr(owner.kind, node.attr, None)
            if hasattr(member, "__typed__"):
                return Method(owner, member)
            if isinstance(member, (int, tuple)):
                return Known(member)
            raise Refusal(f"{owner.kind.__name__} has no field or typed method {node.attr}")
        raise Refusal(f"{describe(owner)} has no fields")

    def _subscript(self, node: ast.Subscript, state: State) -> Value:
        owner = self.value(node.value, state)
        index = self.value(node.slice, state)
        if isinstance(owner, Known):
            return self._known_element(owner.value, index, state)
        if isinstance(owner, Tuple):
            known = known_int(index)
            if known is None:
                raise Refusal("a tuple of run-time values needs a known index")
            if not -len(owner.items) <= known < len(owner.items):
                raise Refusal(f"the index is {known}, the tuple has {len(owner.items)} items")
            return owner.items[known]
        place = self.place_of_element(owner, index, state)
        if is_struct(place.kind) or isinstance(place.kind, ArrayType):
            return place
        return self.load(state, place, "element")

    def place_of_element(self, owner: Value, index: Value, state: State) -> Ref:
        """Where `owner[index]` is."""
        if isinstance(owner, Ref) and isinstance(owner.kind, ArrayType):
            return self.element(state, owner, index)
        if isinstance(owner, Pointer):
            return self.pointed(state, owner, index)
        raise Refusal(f"{describe(owner)} has no elements")

    def _known_element(self, owner: Any, index: Value, state: State) -> Value:
        if isinstance(index, Known):
            try:
                return Known(owner[index.value])
            except (IndexError, KeyError, TypeError) as error:
                raise Refusal(f"{type(error).__name__}: {error}") from None
        if not isinstance(owner, (tuple, bytes)) or not all(isinstance(item, int) for item in owner):
            raise Refusal("only a known tuple of integers can be indexed by a run-time value")
        lo, hi = bounds(index)
        if lo < 0 or hi >= len(owner):
            raise Refusal(
                f"the index is {describe(index)}, the table has {len(owner)} entries",
                "mask it, or compare it just before",
            )
        low, high = min(owner), max(owner)
        width = width_for(low, high)
        if width == 0:
            raise Refusal(f"the table's values lie in {low}..{high}, more than 64 bits")
        stored = 8 if 0 <= low and high < 256 else width
        table = self.module.table(tuple(owner), stored)
        at = self.arith.operand(state.block, index, 64)
        where = self.arith.op(state.block, f"getelementptr inbounds i{stored}, ptr {table}, i64 {at}")
        name = self.arith.op(state.block, f"load i{stored}, ptr {where}, {ELEMENT}")
        if stored == 8:
            name = self.arith.op(state.block, f"zext i8 {name} to i32")
        return Int(name, max(32, stored), low, high)

    def _tuple(self, node: ast.Tuple, state: State) -> Value:
        items: list[Value] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                items.extend(self.items(self.value(element.value, state)))
            else:
                items.append(self.value(element, state))
        if all(isinstance(item, Known) for item in items):
            return Known(tuple(item.value for item in items if isinstance(item, Known)))
        return Tuple(items)

    def items(self, value: Value) -> list[Value]:
        """The items of a tuple of known length."""
        if isinstance(value, Tuple):
            return value.items
        if isinstance(value, Known):
            try:
                return [Known(item) for item in value.value]
            except TypeError:
                pass
        raise Refusal(f"{describe(value)} is no tuple of known length")

    # ------------------------------------------------------------------ arithmetic

    def _binary(self, node: ast.BinOp, state: State, low_bits: int) -> Value:
        symbol = BINARY.get(type(node.op))
        if symbol is None:
            raise Refusal(
                f"the operator {type(node.op).__name__} is not in the typed subset", "use // for division of integers"
            )
        if symbol == "&" and not low_bits:
            mask = (
                self.value(node.right, state)
                if isinstance(node.right, (ast.Constant, ast.Name, ast.Attribute))
                else None
            )
            known = known_int(mask) if mask is not None else None
            if known is not None and known >= 0:
                left = self.value(node.left, state, max(1, known.bit_length()))
                if (
                    not isinstance(left, Known)
                    and bounds(left)[0] >= 0
                    and (known & (known + 1)) == 0
                    and bounds(left)[1] <= known
                ):
                    return left
                return self.arith.binary(state.block, "&", left, Known(known), 0)
        wanted = low_bits if symbol in ("+", "-", "*", "&", "|", "^") else 0
        left = self.value(node.left, state, low_bits if symbol == "<<" else wanted)
        right = self.value(node.right, state, wanted)
        return self.binary(symbol, left, right, state, low_bits)

    def binary(self, symbol: str, left: Value, right: Value, state: State, low_bits: int) -> Value:
        """`left symbol right` for values of any kind."""
        if isinstance(left, Known) and isinstance(right, Known) and not isinstance(left.value, int):
            return fold(symbol, left.value, right.value)
        return self.arith.binary(state.block, symbol, left, right, low_bits)

    def _unary(self, node: ast.UnaryOp, state: State, low_bits: int) -> Value:
        if isinstance(node.op, ast.Not):
            operand = self.truth_of(node.operand, state)
            if isinstance(operand, Known):
                return Known(not operand.value)
            assert isinstance(operand, Int)
            return Int(self.arith.op(state.block, f"xor i1 {operand.name}, true"), 1, 0, 1)
        operand = self.value(node.operand, state, low_bits)
        if isinstance(node.op, ast.USub):
            return self.arith.binary(state.block, "-", Known(0), operand, low_bits)
        if isinstance(node.op, ast.Invert):
            return self.arith.binary(state.block, "-", Known(-1), operand, low_bits)
        return operand

    def truth(self, value: Value, state: State) -> Value:
        """`bool(value)`: a known bool or an i1."""
        if isinstance(value, Known):
            return Known(bool(value.value))
        if isinstance(value, Pointer):
            return Int(self.arith.op(state.block, f"icmp ne ptr {value.name}, null"), 1, 0, 1)
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
        if symbol is None:
            raise Refusal("`is` compares known values only", "use == or `if pointer:`")
        if isinstance(left, Pointer) or isinstance(right, Pointer):
            raise Refusal("pointers are not compared: to CPython each is another object", "compare address_of(...) of both")
        return self.arith.compare(state.block, symbol, left, right)

    # ------------------------------------------------------------------ conditions

    def _bool_op(self, node: ast.BoolOp, state: State) -> Value:
        """`and`, `or` as Python has them: the value of the operand that decides."""
        if all(isinstance(child, SIMPLE) for child in ast.walk(node)):
            value = self._bool_op_at_once(node, state)
            if value is not None:
                return value
        is_and = isinstance(node.op, ast.And)
        ends: list[tuple[State, Value]] = []
        going: State | None = state.fork(state.block)
        for operand in node.values[:-1]:
            value, decided, rest = self._decide(operand, going, is_and)
            ends += [(end, value) for end in decided]
            going = join(self.arith, rest)[0] if rest else None
            if going is None:
                break
        if going is not None:
            ends.append((going, self.value(node.values[-1], going)))
        joined, result = join(self.arith, [end for end, _ in ends], [value for _, value in ends])
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
        """Split on an operand of `and` or `or`: its value where it decides, the states there, and those where it does not."""
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
        if not isinstance(node, ast.BoolOp) or all(isinstance(child, SIMPLE) for child in ast.walk(node)):
            return self.truth(self.value(node, state), state)
        return self._by_branches(node, state)

    def _by_branches(self, node: ast.expr, state: State) -> Value:
        """The truth of a condition whose parts are evaluated only when needed."""
        yes, no = self.branch(node, state.fork(state.block))
        if not yes or not no:
            state.become(join(self.arith, yes or no)[0])
            return Known(bool(yes))
        joined, result = join(self.arith, [*yes, *no], [*(Known(True) for _ in yes), *(Known(False) for _ in no)])
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
            state.become(join(self.arith, yes or no)[0])
            return self.value(node.body if yes else node.orelse, state, low_bits)
        then, otherwise = join(self.arith, yes)[0], join(self.arith, no)[0]
        a, b = self.value(node.body, then, low_bits), self.value(node.orelse, otherwise, low_bits)
        joined, result = join(self.arith, [then, otherwise], [a, b])
        if isinstance(result, Unset):
            raise Refusal("the two arms have values of different kinds")
        state.become(joined)
        return result

    def _call(self, node: ast.Call, state: State) -> Value:
        return self.call(node, state)


def refine(state: State, node: ast.expr, value: Value, symbol: str, other: Value) -> None:
    """Where `node symbol other` holds and node is a local name: narrow the local's interval."""
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


_HANDLERS: dict[type[ast.expr], Callable[..., Value]] = {
    ast.Attribute: Expressions._attribute,
    ast.Subscript: Expressions._subscript,
    ast.Tuple: Expressions._tuple,
    ast.BinOp: Expressions._binary,
    ast.UnaryOp: Expressions._unary,
    ast.Compare: Expressions._compare,
    ast.BoolOp: Expressions._bool_op,
    ast.IfExp: Expressions._if_expression,
    ast.Call: Expressions._call,
}
