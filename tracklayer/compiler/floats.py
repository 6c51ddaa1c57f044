"""Floating-point arithmetic: Python's own, in 64 bits, and the LLVM instructions that compute it.

For:       `+ - *`, comparisons, conversions between integers and floats, rounding to 32 bits.
Not for:   syntax (expressions.py); what can raise, such as a division (failing.py).
Invariant: no operation is contracted or reordered: the result is Python's to the last bit.
"""

from __future__ import annotations

import struct

from .arith import Arith, bounds
from .errors import Refusal
from .text import Block
from .values import Float, Int, Known, Value, describe, known_int

EXACT = 1 << 53
"""Up to here every integer is a float."""


def literal(value: float) -> str:
    """A constant as LLVM writes it: its bits."""
    return "0x" + struct.pack(">d", value).hex().upper()


def is_float(value: Value) -> bool:
    """Whether a value is a float, known or not."""
    return isinstance(value, Float) or (isinstance(value, Known) and isinstance(value.value, float))


def is_number(value: Value) -> bool:
    """Whether a value is a float or an integer."""
    return is_float(value) or isinstance(value, Int) or known_int(value) is not None


def is_single(value: Value) -> bool:
    """Whether a value surely fits 32 bits unchanged."""
    if isinstance(value, Float):
        return value.single
    if isinstance(value, Known) and isinstance(value.value, float):
        packed: float = struct.unpack("f", struct.pack("f", value.value))[0] if abs(value.value) < 3e38 else 0.0
        return packed == value.value
    return False


def operand(arith: Arith, block: Block, value: Value) -> str:
    """`float(value)` as a double: integers are rounded as Python rounds them."""
    if isinstance(value, Float):
        return value.name
    if isinstance(value, Known) and isinstance(value.value, (int, float)):
        try:
            return literal(float(value.value))
        except OverflowError as error:
            raise Refusal(str(error)) from None
    if not isinstance(value, Int):
        raise Refusal(f"a number is needed here, this is {describe(value)}")
    lo, _ = bounds(value)
    how = "uitofp" if lo >= 0 else "sitofp"
    return arith.op(block, f"{how} i{value.width} {value.name} to double")


def binary(arith: Arith, block: Block, symbol: str, a: Value, b: Value) -> Value:
    """`a symbol b` for `+ - *`, at least one of them a float."""
    opcode = {"+": "fadd", "-": "fsub", "*": "fmul"}.get(symbol)
    if opcode is None:
        raise Refusal(f"floats have no {symbol}")
    x, y = operand(arith, block, a), operand(arith, block, b)
    return Float(arith.op(block, f"{opcode} double {x}, {y}"))


PREDICATE = {"==": "oeq", "!=": "une", "<": "olt", "<=": "ole", ">": "ogt", ">=": "oge"}


def compare(arith: Arith, block: Block, symbol: str, a: Value, b: Value) -> Value:
    """`a symbol b` as an i1. Python compares an integer and a float exactly."""
    for value in (a, b):
        if not is_float(value) and (bounds(value)[0] < -EXACT or bounds(value)[1] > EXACT):
            raise Refusal(f"a float is compared with {describe(value)}, which a float cannot hold",
                          "compare floats: f64(...)")  # fmt: skip
    x, y = operand(arith, block, a), operand(arith, block, b)
    return Int(arith.op(block, f"fcmp {PREDICATE[symbol]} double {x}, {y}"), 1, 0, 1)


def negate(arith: Arith, block: Block, value: Float) -> Value:
    """`-value`."""
    return Float(arith.op(block, f"fneg double {value.name}"), value.single)


def magnitude(arith: Arith, block: Block, value: Float) -> Value:
    """`abs(value)`."""
    return Float(arith.op(block, f"call double @llvm.fabs.f64(double {value.name})"), value.single)


def rounded(arith: Arith, block: Block, value: Value, bits: int) -> Value:
    """`f32(value)` or `f64(value)`."""
    if isinstance(value, Known) and isinstance(value.value, (int, float)):
        kept = float(value.value)
        return Known(kept) if bits == 64 or is_single(Known(kept)) else _to_single(arith, block, literal(kept))
    if bits == 64 or is_single(value):
        return value if isinstance(value, Float) else Float(operand(arith, block, value))
    return _to_single(arith, block, operand(arith, block, value))


def _to_single(arith: Arith, block: Block, name: str) -> Value:
    narrow = arith.op(block, f"fptrunc double {name} to float")
    return Float(arith.op(block, f"fpext float {narrow} to double"), True)


def store_name(arith: Arith, block: Block, value: Value, bits: int) -> str:
    """A number as an operand to be stored in so many bits."""
    name = operand(arith, block, value)
    return arith.op(block, f"fptrunc double {name} to float") if bits == 32 else name


def loaded(arith: Arith, block: Block, name: str, bits: int) -> Value:
    """What was loaded with so many bits."""
    if bits == 32:
        return Float(arith.op(block, f"fpext float {name} to double"), True)
    return Float(name)


def narrow_type(bits: int) -> str:
    """The LLVM type that holds so many bits in memory."""
    return "float" if bits == 32 else "double"
