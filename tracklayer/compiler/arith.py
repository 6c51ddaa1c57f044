"""Integer arithmetic on intervals: what a result can be, and the LLVM instructions that compute it.

For:       exact `+ - * // % << >> & | ^ ~`, comparisons, narrowing. Known operands fold to known results.
Not for:   syntax (expressions.py).
Invariant: low bits are exact: `+ - * & | ^ <<` are computed in the width of the result, from the low bits of the
           operands.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..lang import IntType
from .errors import Refusal
from .text import Block, Text, literal
from .values import U32_MAX, U64_MAX, Int, Known, Value, describe, known_int, width_for

MOST_SHIFT = 4096
MEND_WIDE = "narrow an operand or the result: u32(...), u64(...), or `& mask`"


def bounds(value: Value) -> tuple[int, int]:
    """The interval of an integer value."""
    if isinstance(value, Int):
        return value.lo, value.hi
    known = known_int(value)
    if known is None:
        raise Refusal(f"an integer is needed here, this is {describe(value)}")
    return known, known


class Arith:
    """Emits integer instructions into the text of one function."""

    def __init__(self, text: Text) -> None:
        self.text = text

    def op(self, block: Block, code: str) -> str:
        """Append `code` as a new value; its name."""
        name = self.text.fresh()
        block.lines.append(f"  {name} = {code}")
        return name

    def operand(self, block: Block, value: Value, width: int) -> str:
        """`value` as an operand of `width` bits: extended, or its low bits."""
        if isinstance(value, Int):
            if value.width == width:
                return value.name
            if value.width > width:
                return self.op(block, f"trunc i{value.width} {value.name} to i{width}")
            how = "zext" if value.lo >= 0 else "sext"
            return self.op(block, f"{how} i{value.width} {value.name} to i{width}")
        known = known_int(value)
        if known is None:
            raise Refusal(f"an integer is needed here, this is {describe(value)}")
        return literal(known, width)

    def narrow(self, block: Block, value: Value, kind: IntType) -> Value:
        """`kind(value)`: the value wrapped to the type."""
        if isinstance(value, Known):
            bounds(value)
            return Known(kind(value.value))
        lo, hi = bounds(value)
        if kind.lo <= lo and hi <= kind.hi:
            return value
        if kind.bits == 1:
            return Int(self.operand(block, value, 1), 1, 0, 1)
        if not kind.signed:
            if kind.bits == 64:
                return Int(self.operand(block, value, 64), 64, 0, U64_MAX)
            low = self.operand(block, value, 32)
            if kind.bits < 32:
                low = self.op(block, f"and i32 {low}, {kind.mask}")
            return Int(low, 32, 0, kind.mask)
        if kind.bits >= 32:
            return Int(self.operand(block, value, kind.bits), kind.bits, kind.lo, kind.hi)
        low = self.operand(block, value, kind.bits)
        return Int(self.op(block, f"sext i{kind.bits} {low} to i32"), 32, kind.lo, kind.hi)

    def binary(self, block: Block, symbol: str, a: Value, b: Value, low_bits: int) -> Value:
        """`a symbol b`. low_bits: how many low bits of the result are wanted, 0 for all (the result is exact then)."""
        ka, kb = known_int(a), known_int(b)
        if ka is not None and kb is not None:
            return fold(symbol, ka, kb)
        if symbol in ("+", "-", "*", "<<", "&", "|", "^"):
            return self._ring(block, symbol, a, b, low_bits)
        if symbol == ">>":
            return self._shift_right(block, a, b)
        return self._divide(block, symbol, a, b)

    def _ring(self, block: Block, symbol: str, a: Value, b: Value, low_bits: int) -> Value:
        (alo, ahi), (blo, bhi) = bounds(a), bounds(b)
        kb = known_int(b)
        if kb == 0 and symbol in ("+", "-", "|", "^", "<<"):
            return a
        if symbol == "<<":
            if blo < 0 or bhi > 63:
                raise Refusal(
                    f"the shift count lies in {blo}..{bhi}", "a count within 0..63: mask it with `& 31` or `& 63`"
                )
            lo, hi = min(alo << blo, alo << bhi), max(ahi << blo, ahi << bhi)
        else:
            lo, hi = INTERVAL[symbol](alo, ahi, blo, bhi)
        width = width_for(lo, hi)
        if low_bits and (width == 0 or (width == 64 and low_bits <= 32)):
            width = 32 if low_bits <= 32 else 64
            lo, hi = 0, U32_MAX if width == 32 else U64_MAX
        if width == 0:
            raise Refusal(f"the result can be {lo}..{hi}, more than 64 bits", MEND_WIDE)
        if symbol in ("&", "|", "^") and _is_bool(a) and _is_bool(b):
            width = 1
        # A count may pass the result's width, where zero is shifted or only low bits are wanted: not so in 64 bits.
        computed = 64 if symbol == "<<" and bhi >= width else width
        x, y = self.operand(block, a, computed), self.operand(block, b, computed)
        name = self.op(block, f"{OPCODE[symbol]} i{computed} {x}, {y}")
        if computed != width:
            name = self.op(block, f"trunc i{computed} {name} to i{width}")
        return Int(name, width, lo, hi)

    def _shift_right(self, block: Block, a: Value, b: Value) -> Value:
        (alo, ahi), (blo, bhi) = bounds(a), bounds(b)
        if blo < 0 or bhi > 63:
            raise Refusal(
                f"the shift count lies in {blo}..{bhi}", "a count within 0..63: mask it with `& 31` or `& 63`"
            )
        if known_int(b) == 0:
            return a
        lo, hi = min(alo >> blo, alo >> bhi), max(ahi >> blo, ahi >> bhi)
        if lo == hi:
            return Known(lo)
        width = 64 if bhi > 31 else width_for(alo, ahi)
        if width_for(alo, ahi) == 0:
            raise Refusal(f"{describe(a)} does not fit 64 bits", MEND_WIDE)
        x, y = self.operand(block, a, width), self.operand(block, b, width)
        name = self.op(block, f"{'lshr' if alo >= 0 else 'ashr'} i{width} {x}, {y}")
        return self.fit(block, Int(name, width, lo, hi))

    def _divide(self, block: Block, symbol: str, a: Value, b: Value) -> Value:
        divisor = known_int(b)
        if divisor is None or divisor <= 0:
            raise Refusal(f"`{symbol}` needs a known positive divisor, this is {describe(b)}")
        alo, ahi = bounds(a)
        if symbol == "//":
            lo, hi = alo // divisor, ahi // divisor
            if lo == hi:
                return Known(lo)
        else:
            if alo >= 0 and ahi < divisor:
                return a
            lo, hi = 0, divisor - 1
        if divisor & (divisor - 1) == 0:
            name, width = self._divide_by_power(block, symbol, a, divisor.bit_length() - 1)
        elif alo >= 0:  # and the largest is no less than the divisor
            width = width_for(alo, ahi)
            x = self.operand(block, a, width)
            name = self.op(block, f"{'udiv' if symbol == '//' else 'urem'} i{width} {x}, {literal(divisor, width)}")
        else:
            width = width_for(alo, max(ahi, divisor))
            if width == 0:
                raise Refusal(f"a value that may be negative and the divisor {divisor} pass 64 bits", MEND_WIDE)
            name = self._divide_signed(block, symbol, a, divisor, width)
        return self.fit(block, Int(name, width, lo, hi))

    def _divide_by_power(self, block: Block, symbol: str, a: Value, exponent: int) -> tuple[str, int]:
        alo, ahi = bounds(a)
        width = width_for(alo, ahi)
        if symbol == "%":
            if exponent > 64:
                raise Refusal(f"the remainder by 2 ** {exponent} can pass 64 bits", MEND_WIDE)
            width = max(width, 32 if exponent <= 32 else 64)
            x = self.operand(block, a, width)
            return self.op(block, f"and i{width} {x}, {literal((1 << exponent) - 1, width)}"), width
        x = self.operand(block, a, width)
        how = "lshr" if alo >= 0 else "ashr"
        return self.op(block, f"{how} i{width} {x}, {min(exponent, width - 1)}"), width

    def _divide_signed(self, block: Block, symbol: str, a: Value, divisor: int, width: int) -> str:
        """Floor, not truncation: where the remainder is negative, it moves by one divisor and the quotient by one."""
        x = self.operand(block, a, width)
        rest = self.op(block, f"srem i{width} {x}, {divisor}")
        below = self.op(block, f"icmp slt i{width} {rest}, 0")
        if symbol == "%":
            more = self.op(block, f"add i{width} {rest}, {divisor}")
            return self.op(block, f"select i1 {below}, i{width} {more}, i{width} {rest}")
        quotient = self.op(block, f"sdiv i{width} {x}, {divisor}")
        one = self.op(block, f"sext i1 {below} to i{width}")
        return self.op(block, f"add i{width} {quotient}, {one}")

    def fit(self, block: Block, value: Int) -> Int:
        """The same value in 32 bits where its interval allows."""
        width = width_for(value.lo, value.hi)
        return value if width == value.width else Int(self.operand(block, value, width), width, value.lo, value.hi)

    def compare(self, block: Block, symbol: str, a: Value, b: Value) -> Value:
        """`a symbol b` as a known bool or an i1."""
        ka, kb = known_int(a), known_int(b)
        if ka is not None and kb is not None:
            return Known(COMPARE[symbol](ka, kb))
        (alo, ahi), (blo, bhi) = bounds(a), bounds(b)
        decided = _decide(symbol, alo, ahi, blo, bhi)
        if decided is not None:
            return Known(decided)
        lo, hi = min(alo, blo), max(ahi, bhi)
        signed = lo < 0
        width = width_for(lo, hi)
        if width == 0:
            raise Refusal(
                "one side may be negative and the other may pass 63 bits", "narrow both sides to i64 or to u64"
            )
        x, y = self.operand(block, a, width), self.operand(block, b, width)
        predicate = {"==": "eq", "!=": "ne"}.get(symbol) or ("s" if signed else "u") + PREDICATE[symbol]
        return Int(self.op(block, f"icmp {predicate} i{width} {x}, {y}"), 1, 0, 1)

    def truth(self, block: Block, value: Value) -> Value:
        """`bool(value)` of an integer."""
        if isinstance(value, Int) and value.width == 1:
            return value
        return self.compare(block, "!=", value, Known(0))

    def extreme(self, block: Block, symbol: str, a: Value, b: Value) -> Value:
        """`min(a, b)` where symbol is `<`, `max(a, b)` where it is `>`."""
        chosen = self.compare(block, symbol, a, b)
        if isinstance(chosen, Known):
            return a if chosen.value else b
        (alo, ahi), (blo, bhi) = bounds(a), bounds(b)
        pick = min if symbol == "<" else max
        return self.select(block, chosen, a, b, pick(alo, blo), pick(ahi, bhi))

    def select(self, block: Block, condition: Value, a: Value, b: Value, lo: int, hi: int) -> Int:
        """`a if condition else b`, both already computed."""
        assert isinstance(condition, Int)
        width = 1 if _is_bool(a) and _is_bool(b) else width_for(lo, hi)
        x, y = self.operand(block, a, width), self.operand(block, b, width)
        return Int(self.op(block, f"select i1 {condition.name}, i{width} {x}, i{width} {y}"), width, lo, hi)


def _is_bool(value: Value) -> bool:
    return isinstance(value, Int) and value.width == 1


def fold(symbol: str, a: Any, b: Any) -> Known:
    """`a symbol b` of known values. Errors: Refusal where Python itself refuses, or the number has no end."""
    if symbol == "<<" and isinstance(b, int) and b > MOST_SHIFT:
        raise Refusal(f"a known value is shifted by {b} bits")
    try:
        return Known(FOLD[symbol](a, b))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Refusal(f"{type(error).__name__}: {error}") from None


def _decide(symbol: str, alo: int, ahi: int, blo: int, bhi: int) -> bool | None:
    """The outcome of a comparison where the intervals alone tell it."""
    match symbol:
        case "<":
            return True if ahi < blo else False if alo >= bhi else None
        case "<=":
            return True if ahi <= blo else False if alo > bhi else None
        case ">":
            return _decide("<", blo, bhi, alo, ahi)
        case ">=":
            return _decide("<=", blo, bhi, alo, ahi)
        case "==":
            return False if ahi < blo or bhi < alo else None
        case _:
            return True if ahi < blo or bhi < alo else None


def _and(alo: int, ahi: int, blo: int, bhi: int) -> tuple[int, int]:
    if alo >= 0 and blo >= 0:
        return 0, min(ahi, bhi)
    if alo >= 0:
        return 0, ahi
    if blo >= 0:
        return 0, bhi
    return _signed_span(alo, ahi, blo, bhi)


def _or(alo: int, ahi: int, blo: int, bhi: int) -> tuple[int, int]:
    if alo >= 0 and blo >= 0:
        return max(alo, blo), (1 << max(ahi.bit_length(), bhi.bit_length())) - 1
    return _signed_span(alo, ahi, blo, bhi)


def _xor(alo: int, ahi: int, blo: int, bhi: int) -> tuple[int, int]:
    lo, hi = _or(alo, ahi, blo, bhi)
    return min(lo, 0), hi


def _signed_span(alo: int, ahi: int, blo: int, bhi: int) -> tuple[int, int]:
    """All that fits in as many bits as the larger operand needs with its sign."""
    bits = max((v if v >= 0 else ~v).bit_length() for v in (alo, ahi, blo, bhi))
    return -(1 << bits), (1 << bits) - 1


def _times(alo: int, ahi: int, blo: int, bhi: int) -> tuple[int, int]:
    products = (alo * blo, alo * bhi, ahi * blo, ahi * bhi)
    return min(products), max(products)


INTERVAL: dict[str, Callable[[int, int, int, int], tuple[int, int]]] = {
    "+": lambda alo, ahi, blo, bhi: (alo + blo, ahi + bhi),
    "-": lambda alo, ahi, blo, bhi: (alo - bhi, ahi - blo),
    "*": _times,
    "&": _and,
    "|": _or,
    "^": _xor,
}
OPCODE = {"+": "add", "-": "sub", "*": "mul", "<<": "shl", "&": "and", "|": "or", "^": "xor"}
FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod,
    "/": operator.truediv, "**": operator.pow,
    "<<": operator.lshift, ">>": operator.rshift, "&": operator.and_, "|": operator.or_, "^": operator.xor,
}  # fmt: skip
COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
PREDICATE = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
