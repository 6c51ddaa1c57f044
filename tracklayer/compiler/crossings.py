"""Calls of Python from typed code, and mathematics that may raise.

For:       Python callables, called with values of declared types or with objects; `math`'s functions; divisions.
Not for:   calls of typed functions (calls.py), the routines behind a failure (fallible.py).
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from ..lang import FloatType, IntType, Object, type_name
from . import floats
from .arith import bounds
from .conditions import Conditions
from .errors import Refusal
from .state import State, join
from .values import (
    I64_MAX,
    I64_MIN,
    Callee,
    CallType,
    Float,
    Int,
    Known,
    Pointer,
    Tuple,
    Value,
    describe,
    known_int,
    width_for,
)

BY_LIBM: dict[Any, str] = {
    getattr(math, name): name
    for name in (
        "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "exp", "expm1",
        "log1p", "log2", "log10", "atan2", "pow", "fmod", "log",
    )
}  # fmt: skip
"""Functions of `math` that are the C library's where the result is finite; else Python's own is asked; it may raise."""
TWO = {math.atan2, math.pow, math.fmod}
TO_INTEGER: dict[Any, str] = {int: "trunc", math.floor: "floor", math.ceil: "ceil", math.trunc: "trunc"}


class Crossings(Conditions):
    """The walk through calls that leave typed code."""

    # ------------------------------------------------------------------ objects

    def object_name(self, state: State, value: Value) -> str:
        """A value that is a Python object, as a pointer. Known ones are kept by the program."""
        if isinstance(value, Known):
            return self.fallible.object(self.arith, state.block, value.value)
        if isinstance(value, Callee) or (isinstance(value, Pointer) and value.element is None):
            return value.name
        raise Refusal(f"a Python object is needed here, this is {describe(value)}")

    def is_object(self, left: Value, right: Value, state: State, op: ast.cmpop) -> Value:
        """`left is right` and `left is not right` of Python objects."""
        a, b = self.object_name(state, left), self.object_name(state, right)
        how = "eq" if isinstance(op, ast.Is) else "ne"
        return Int(self.arith.op(state.block, f"icmp {how} ptr {a}, {b}"), 1, 0, 1)

    # ------------------------------------------------------------------ calling Python

    def call_python(
        self, key: Any, state: State, callee: str, kind: CallType, values: list[Value], shown: str
    ) -> Value:
        """Call a Python callable; its result. What it raises passes through this function at once."""
        program = self.fallible
        self.goes_deeper = True
        declared = kind.parameters if kind.parameters is not None else (None,) * len(values)
        if len(declared) != len(values):
            raise Refusal(f"{shown} is declared to take {len(declared)} arguments, {len(values)} are given")
        types, operands = [], [f"ptr {callee}"]
        for one, value in zip(declared, values, strict=True):
            name, operand = self._to_python(state, one, value, shown)
            types.append(name)
            operands.append(operand)
        results, parts = _result_names(kind.result, shown)
        spelled = {0: "void", 1: results[0] if results else ""}.get(len(results), f"({', '.join(results)})")
        function = program.word(self.arith, state.block, "calling", (f"{spelled}({', '.join(types)})", shown))
        native = ["double" if one == "f64" else "ptr" if one == "object" else "i64" for one in results]
        native += ["i64"] * (3 - sum(one != "double" for one in native))
        whole = "{ " + ", ".join(native) + " }"
        result = self.arith.op(state.block, f"call {whole} {function}({', '.join(operands)})")
        status = self.arith.op(state.block, f"extractvalue {whole} {result}, {len(native) - 1}")
        self.leave_if(state, self.arith.op(state.block, f"icmp ne i64 {status}, 0"))
        got: list[Value] = []
        for index, (one, part) in enumerate(zip(results, parts, strict=True)):
            name = self.arith.op(state.block, f"extractvalue {whole} {result}, {index}")
            got.append(self._from_python((key, index), state, one, part, name))
        return Known(None) if not got else got[0] if len(got) == 1 else Tuple(got)

    def _to_python(self, state: State, declared: Any, value: Value, shown: str) -> tuple[str, str]:
        """The native type that a value is passed as, and the operand."""
        if isinstance(declared, (IntType, FloatType)):
            self.check_number(value, declared, f"an argument of {shown}")
        elif declared is not None and declared is not Object:
            raise Refusal(f"a callable cannot take a {type_name(declared)}", "pass numbers or objects")
        if isinstance(value, Float) or isinstance(declared, FloatType):
            return "f64", f"double {floats.operand(self.arith, state.block, value)}"
        if isinstance(value, Int) or isinstance(declared, IntType):
            lo, hi = bounds(value)
            if (isinstance(declared, IntType) and declared.bits == 1) or (isinstance(value, Int) and value.width == 1):
                return "bool", f"i64 {self.arith.operand(state.block, value, 64)}"
            return "i64" if lo >= I64_MIN and hi <= I64_MAX else "u64", (
                f"i64 {self.arith.operand(state.block, value, 64)}"
            )
        return "object", f"ptr {self.object_name(state, value)}"

    def _from_python(self, key: Any, state: State, spelled: str, kind: Any, name: str) -> Value:
        if spelled == "object":
            return self.own(key, state, name)
        if spelled == "f64":
            return Float(name)
        if spelled == "bool":
            return Int(self.arith.op(state.block, f"trunc i64 {name} to i1"), 1, 0, 1)
        assert isinstance(kind, IntType)
        if kind.bits <= 32:
            return Int(self.arith.op(state.block, f"trunc i64 {name} to i32"), 32, kind.lo, kind.hi)
        return Int(name, 64, kind.lo, kind.hi)

    def check_number(self, value: Value, kind: IntType | FloatType, what: str) -> None:
        """Refusal where a value is not surely of a type of numbers."""
        if isinstance(kind, FloatType):
            if not floats.is_float(value):
                raise Refusal(f"{what} is declared {kind}, the value is {describe(value)}", f"write {kind}(...)")
            if kind.bits == 32 and not floats.is_single(value):
                raise Refusal(f"{what} is declared f32, the value may need 64 bits", "round it: f32(...)")
            return
        lo, hi = bounds(value)
        if lo < kind.lo or hi > kind.hi:
            raise Refusal(f"{what} is declared {kind}, the value is {describe(value)}", f"narrow it: {kind}(...)")

    # ------------------------------------------------------------------ mathematics

    def mathematics(self, key: Any, state: State, function: Any, values: list[Value]) -> Value | None:
        """A call of one of `math`'s functions, of int, of round, with numbers; None for other functions."""
        if not values or not all(map(floats.is_number, values)):
            return None
        if function in TO_INTEGER or function is round:
            if len(values) != 1 or not floats.is_float(values[0]):
                return values[0] if len(values) == 1 else None
            return self._to_integer(key, state, function, values[0])
        if function is math.log and len(values) != 1:
            return None
        if function in BY_LIBM or function in (math.sqrt, math.exp2 if hasattr(math, "exp2") else math.sqrt):
            if len(values) != 1 + (function in TWO):
                raise Refusal(f"math.{function.__name__} takes other arguments than these {len(values)}")
            return self._by_library(key, state, function, values)
        x = floats.operand(self.arith, state.block, values[0])
        block = state.block
        match getattr(function, "__name__", "") if function in SIMPLE_MATH else "":
            case "fabs":
                return Float(self.arith.op(block, f"call double @llvm.fabs.f64(double {x})"))
            case "copysign":
                y = floats.operand(self.arith, block, values[1])
                return Float(self.arith.op(block, f"call double @llvm.copysign.f64(double {x}, double {y})"))
            case "isnan":
                return Int(self.arith.op(block, f"fcmp uno double {x}, {x}"), 1, 0, 1)
            case "isinf" | "isfinite" as name:
                size = self.arith.op(block, f"call double @llvm.fabs.f64(double {x})")
                how = "oeq" if name == "isinf" else "one"
                return Int(self.arith.op(block, f"fcmp {how} double {size}, {floats.literal(math.inf)}"), 1, 0, 1)
            case _:
                return None

    def _by_library(self, key: Any, state: State, function: Any, values: list[Value]) -> Value:
        """The C library's result where that is finite, else what Python's own function says or raises."""
        operands: list[Value] = [Float(floats.operand(self.arith, state.block, value)) for value in values]
        texts = ", ".join(f"double {floats.operand(self.arith, state.block, one)}" for one in operands)
        if function is math.sqrt:
            result = self.arith.op(state.block, f"call double @llvm.sqrt.f64({texts})")
        else:
            place = self.fallible.word(self.arith, state.block, "libm", function.__name__)
            result = self.arith.op(state.block, f"call double {place}({texts})")
        return self._or_python(key, state, result, function, operands, function.__name__)

    def _to_integer(self, key: Any, state: State, function: Any, value: Value) -> Value:
        x = floats.operand(self.arith, state.block, value)
        way = "roundeven" if function is round else TO_INTEGER[function]
        whole = self.arith.op(state.block, f"call double @llvm.{way}.f64(double {x})")
        size = self.arith.op(state.block, f"call double @llvm.fabs.f64(double {whole})")
        fits = self.arith.op(state.block, f"fcmp olt double {size}, {floats.literal(2.0**63)}")

        def ask(slow: State) -> Value:
            python = self.object_name(slow, Known(function))
            return self.call_python(key, slow, python, CallType((F64,), I64), [Float(x)], function.__name__)

        def convert(fast: State) -> Value:
            return Int(self.arith.op(fast.block, f"fptosi double {whole} to i64"), 64, I64_MIN, I64_MAX)

        return self._or_else(state, fits, convert, ask)

    def _or_else(
        self,
        state: State,
        good: str,
        value: Value | Callable[[State], Value],
        ask: Callable[[State], Value],
    ) -> Value:
        """`value` where an i1 holds, else, rarely, what `ask` finds."""
        yes, no = self.text.block(), self.text.block()
        state.block.lines.append(f"  br i1 {good}, label %{yes.label}, label %{no.label}, !prof !8")
        fast, slow = state.fork(yes), state.fork(no)
        quick = value(fast) if callable(value) else value
        joined, result = join(self.arith, [fast, slow], [quick, ask(slow)])
        state.become(joined)
        return result

    # ------------------------------------------------------------------ division

    def division(self, key: Any, symbol: str, left: Value, right: Value, state: State, low_bits: int) -> Value:
        """`/`, `//`, `%` and `**` of floats, `/` of integers, `//` and `%` by integers that may not be positive."""
        if symbol == "**":
            return self._power(key, left, right, state)
        if symbol == "/" or floats.is_float(left) or floats.is_float(right):
            if not floats.is_float(left) and not floats.is_float(right):
                if self.program.fallible is None:
                    raise Refusal("the operator Div is not in the typed subset", "use // for division of integers")
                for value in (left, right):  # Python rounds once; so do we, where the integers themselves are exact
                    if max(map(abs, bounds(value))) > floats.EXACT:
                        raise Refusal(f"{describe(value)} may be more than a float holds exactly", "write f64(...)")
            return self._divide_floats(symbol, left, right, state)
        return self._divide_integers(symbol, left, right, state, low_bits)

    def _finite(self, state: State, name: str) -> str:
        """An i1: whether a double is neither infinite nor not a number."""
        size = self.arith.op(state.block, f"call double @llvm.fabs.f64(double {name})")
        return self.arith.op(state.block, f"fcmp olt double {size}, {floats.literal(math.inf)}")

    def _or_python(
        self, key: Any, state: State, result: str, function: Any, operands: list[Value], shown: str
    ) -> Value:
        """A double where it is finite, else what a Python function says of the same operands, or raises."""

        def ask(slow: State) -> Value:
            python = self.object_name(slow, Known(function))
            return self.call_python(key, slow, python, CallType((F64,) * len(operands), F64), operands, shown)

        return self._or_else(state, self._finite(state, result), Float(result), ask)

    def _power(self, key: Any, left: Value, right: Value, state: State) -> Value:
        if not floats.is_float(left) and not floats.is_float(right):
            raise Refusal("the operator Pow of integers is not in the typed subset", "write the product, or use floats")
        operands: list[Value] = [Float(floats.operand(self.arith, state.block, value)) for value in (left, right)]
        place = self.fallible.word(self.arith, state.block, "libm", "pow")
        texts = ", ".join(f"double {floats.operand(self.arith, state.block, one)}" for one in operands)
        result = self.arith.op(state.block, f"call double {place}({texts})")
        return self._or_python(key, state, result, operator.pow, operands, "**")

    def _divide_floats(self, symbol: str, left: Value, right: Value, state: State) -> Value:
        x, y = (floats.operand(self.arith, state.block, value) for value in (left, right))
        known = right.value if isinstance(right, Known) else None
        if known == 0:
            raise Refusal("this divides by zero")
        if known is None:
            zero = self.arith.op(state.block, f"fcmp oeq double {y}, 0.0")
            message = "float division by zero" if symbol == "/" else "float floor division by zero"
            self.fail_if(state, zero, ZeroDivisionError, "float modulo" if symbol == "%" else message)
        if symbol == "/":
            return Float(self.arith.op(state.block, f"fdiv double {x}, {y}"))
        block, op = state.block, self.arith.op
        # As CPython does it: Objects/floatobject.c, _float_div_mod.
        rest = op(block, f"call double {self.fallible.word(self.arith, block, 'libm', 'fmod')}(double {x}, double {y})")
        some = op(block, f"fcmp une double {rest}, 0.0")
        below = op(block, f"fcmp olt double {y}, 0.0")
        signs = op(block, f"xor i1 {below}, {op(block, f'fcmp olt double {rest}, 0.0')}")
        moved = op(block, f"and i1 {some}, {signs}")
        if symbol == "%":
            more = op(block, f"fadd double {rest}, {y}")
            none = op(block, f"call double @llvm.copysign.f64(double 0.0, double {y})")
            whole = op(block, f"select i1 {some}, double {rest}, double {none}")
            return Float(op(block, f"select i1 {moved}, double {more}, double {whole}"))
        quotient = op(block, f"fdiv double {op(block, f'fsub double {x}, {rest}')}, {y}")
        less = op(block, f"fsub double {quotient}, 1.0")
        quotient = op(block, f"select i1 {moved}, double {less}, double {quotient}")
        floor = op(block, f"call double @llvm.floor.f64(double {quotient})")
        above = op(block, f"fcmp ogt double {op(block, f'fsub double {quotient}, {floor}')}, 0.5")
        up = op(block, f"select i1 {above}, double {op(block, f'fadd double {floor}, 1.0')}, double {floor}")
        none = op(block, f"call double @llvm.copysign.f64(double 0.0, double {op(block, f'fdiv double {x}, {y}')})")
        nonzero = op(block, f"fcmp une double {quotient}, 0.0")
        return Float(op(block, f"select i1 {nonzero}, double {up}, double {none}"))

    def _divide_integers(self, symbol: str, left: Value, right: Value, state: State, low_bits: int) -> Value:
        """Floor division of integers that are not known."""
        (alo, ahi), (blo, bhi) = bounds(left), bounds(right)
        if known_int(right) == 0:
            raise Refusal("this divides by zero")
        most = max(abs(alo), abs(ahi))
        if symbol == "%":
            lo, hi = min(0, blo + 1), max(0, bhi - 1)
        elif blo >= 0:
            lo, hi = min(alo, 0), max(ahi, 0)
        else:
            lo, hi = -most, most
        whole = width_for(min(alo, blo), max(ahi, bhi))
        wraps = whole == 64 and width_for(lo, hi) == 0 and 0 < low_bits <= 64
        if whole == 0 or (width_for(lo, hi) == 0 and not wraps):
            raise Refusal(f"the result of {symbol} can be {lo}..{hi}, or its operands need more than 64 bits",
                          "narrow an operand or the result: i64(...)")  # fmt: skip
        width = max(whole, 64 if wraps else width_for(lo, hi))
        x, y = self.arith.operand(state.block, left, width), self.arith.operand(state.block, right, width)
        if blo <= 0 <= bhi:
            message = "integer division or modulo by zero" if symbol == "//" else "integer modulo by zero"
            zero = self.arith.op(state.block, f"icmp eq i{width} {y}, 0")
            self.fail_if(state, zero, ZeroDivisionError, message)
        block, op = state.block, self.arith.op
        if wraps:
            lo, hi = I64_MIN, I64_MAX
        if alo >= 0 and blo >= 0:
            name = op(block, f"{'udiv' if symbol == '//' else 'urem'} i{width} {x}, {y}")
            return self.arith.fit(block, Int(name, width, lo, hi))
        # The least integer by -1 is more than there is room for, and the processor would trap: divide by 1 instead.
        opposite = op(block, f"icmp eq i{width} {y}, -1")
        by = op(block, f"select i1 {opposite}, i{width} 1, i{width} {y}")
        rest = op(block, f"srem i{width} {x}, {by}")
        some = op(block, f"icmp ne i{width} {rest}, 0")
        signs = op(block, f"icmp slt i{width} {op(block, f'xor i{width} {rest}, {by}')}, 0")
        moved = op(block, f"and i1 {some}, {signs}")
        if symbol == "%":
            more = op(block, f"add i{width} {rest}, {by}")
            return self.arith.fit(block, Int(
                op(block, f"select i1 {moved}, i{width} {more}, i{width} {rest}"), width, lo, hi))  # fmt: skip
        quotient = op(block, f"add i{width} {op(block, f'sdiv i{width} {x}, {by}')}, "
                             f"{op(block, f'sext i1 {moved} to i{width}')}")  # fmt: skip
        negated = op(block, f"sub i{width} 0, {x}")
        name = op(block, f"select i1 {opposite}, i{width} {negated}, i{width} {quotient}")
        return self.arith.fit(block, Int(name, width, lo, hi))


F64 = FloatType(64)
I64 = IntType(64, True)
SIMPLE_MATH = {math.fabs, math.copysign, math.isnan, math.isinf, math.isfinite}
MATHEMATICS = {*BY_LIBM, *TO_INTEGER, math.sqrt, round, *SIMPLE_MATH} | (
    {math.exp2} if hasattr(math, "exp2") else set()
)


def _result_names(kind: Any, shown: str) -> tuple[list[str], list[Any]]:
    """The native types of a callable's result, and the types that they stand for."""
    if kind is None or kind is type(None):
        return [], []
    if getattr(kind, "__origin__", None) is tuple and len(kind.__args__) == 2:
        kinds = list(kind.__args__)
    else:
        kinds = [kind]
    names = []
    for one in kinds:
        if one is Object:
            names.append("object")
        elif isinstance(one, FloatType) and one.bits == 64:
            names.append("f64")
        elif isinstance(one, IntType) and one.bits == 1:
            names.append("bool")
        elif isinstance(one, IntType) and one.bits >= 8:
            names.append(one.name)
        else:
            raise Refusal(f"{shown} is declared to return {type_name(one)}, which is not converted from Python",
                          "declare u8 to u64, i8 to i64, f64, bool, object, None, or a pair of these")  # fmt: skip
    return names, kinds
