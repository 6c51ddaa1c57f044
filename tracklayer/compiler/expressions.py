"""Expressions of typed functions: known ones fold, the others become instructions.

For:     `Expressions.value(node, state)`; here names, attributes, elements, tuples and arithmetic.
Not for: conditions (conditions.py), calls (calls.py), statements (statements.py).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, ClassVar

from ..lang import ArrayType, is_struct, layout
from . import floats
from .arith import bounds, fold
from .errors import CompileError, Refusal
from .failing import Failing
from .memory import llvm_storage
from .sources import FunctionInfo
from .state import State
from .text import ELEMENT
from .values import (
    I64_MAX,
    Float,
    Int,
    Known,
    Method,
    Pointer,
    Ref,
    Tuple,
    Unset,
    Value,
    View,
    describe,
    known_int,
    width_for,
)

BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.LShift: "<<", ast.RShift: ">>",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.Div: "/", ast.Pow: "**",
}  # fmt: skip
Handler = Callable[..., Value]


class Expressions(Failing):
    """The walk through expressions. `info` is the function whose text is being walked."""

    info: FunctionInfo
    handlers: ClassVar[dict[type[ast.expr], Handler]]
    """What computes each kind of expression; conditions.py adds its own."""

    def call(self, node: ast.Call, state: State) -> Value:
        """The value of a call expression (calls.py)."""
        raise AssertionError

    def value(self, node: ast.expr, state: State, low_bits: int = 0) -> Value:
        """The value of an expression. low_bits: if not 0, only so many low bits of an integer result are wanted."""
        try:
            if isinstance(node, ast.Name):
                return self._name(node, state)
            if isinstance(node, ast.Constant):
                return Known(node.value)
            kind = type(node)
            handler = self.handlers.get(kind)
            if handler is None:
                raise Refusal(f"{kind.__name__} is not in the typed subset", "see docs/lang.md")
            if kind is ast.BinOp or kind is ast.IfExp or kind is ast.UnaryOp:
                value: Value = handler(self, node, state, low_bits)
            else:
                value = handler(self, node, state)
            return value
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
            if member is not None and hasattr(member, "__typed__"):
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
        if isinstance(owner, View):
            return self._viewed(state, owner, index)
        if isinstance(owner, Pointer):
            return self.pointed(state, owner, index)
        raise Refusal(f"{describe(owner)} has no elements")

    def _viewed(self, state: State, view: View, index: Value) -> Ref:
        """The place of `buffer[index]`; IndexError where there is none. Negative ones count from the end."""
        lo, hi = bounds(index)
        if hi > I64_MAX:
            raise Refusal(f"the index is {describe(index)}", "narrow it: i64(...)")
        at = self.arith.operand(state.block, index, 64)
        if lo < 0:
            back = self.arith.op(state.block, f"icmp slt i64 {at}, 0")
            more = self.arith.op(state.block, f"add i64 {at}, {view.length}")
            at = self.arith.op(state.block, f"select i1 {back}, i64 {more}, i64 {at}")
        out = self.arith.op(state.block, f"icmp uge i64 {at}, {view.length}")
        self.fail_if(state, out, IndexError, "index out of range")
        kind = llvm_storage(view.element)
        where = self.arith.op(state.block, f"getelementptr inbounds {kind}, ptr {view.name}, i64 {at}")
        return Ref(where, 0, view.element, False)

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
        stored = 8 if low >= 0 and high < 256 else width
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
        return self.binary(symbol, left, right, state, low_bits, node)

    def binary(
        self, symbol: str, left: Value, right: Value, state: State, low_bits: int, node: ast.AST | None = None
    ) -> Value:
        """`left symbol right` for values of any kind."""
        if isinstance(left, Known) and isinstance(right, Known):
            plain = isinstance(left.value, int) and isinstance(right.value, int) and symbol not in ("/", "**")
            if not plain:
                return fold(symbol, left.value, right.value)
        if symbol in ("/", "//", "%", "**"):
            whole = not floats.is_float(left) and not floats.is_float(right) and symbol in ("//", "%")
            divisor = known_int(right)
            if not whole or ((divisor is None or divisor <= 0) and self.program.fallible is not None):
                return self.division(self.place_key(node or symbol), symbol, left, right, state, low_bits)
        if floats.is_float(left) or floats.is_float(right):
            return floats.binary(self.arith, state.block, symbol, left, right)
        return self.arith.binary(state.block, symbol, left, right, low_bits)

    def _unary(self, node: ast.UnaryOp, state: State, low_bits: int) -> Value:
        if isinstance(node.op, ast.Not):
            operand = self.truth_of(node.operand, state)
            if isinstance(operand, Known):
                return Known(not operand.value)
            assert isinstance(operand, Int)
            return Int(self.arith.op(state.block, f"xor i1 {operand.name}, true"), 1, 0, 1)
        operand = self.value(node.operand, state, low_bits)
        if isinstance(operand, Known) and isinstance(operand.value, float):
            return Known(-operand.value if isinstance(node.op, ast.USub) else operand.value)
        if isinstance(operand, Float):
            if isinstance(node.op, ast.Invert):
                raise Refusal("a float has no ~")
            return floats.negate(self.arith, state.block, operand) if isinstance(node.op, ast.USub) else operand
        if isinstance(node.op, ast.USub):
            return self.arith.binary(state.block, "-", Known(0), operand, low_bits)
        if isinstance(node.op, ast.Invert):
            return self.arith.binary(state.block, "-", Known(-1), operand, low_bits)
        return operand

    def truth_of(self, node: ast.expr, state: State) -> Value:
        """`bool(node)`: a known bool or an i1 (conditions.py)."""
        raise AssertionError

    def division(self, key: Any, symbol: str, left: Value, right: Value, state: State, low_bits: int) -> Value:
        """A division that may raise, or of floats (crossings.py)."""
        raise AssertionError

    def _call(self, node: ast.Call, state: State) -> Value:
        return self.call(node, state)


Expressions.handlers = {
    ast.Attribute: Expressions._attribute,
    ast.Subscript: Expressions._subscript,
    ast.Tuple: Expressions._tuple,
    ast.BinOp: Expressions._binary,
    ast.UnaryOp: Expressions._unary,
    ast.Call: Expressions._call,
}
