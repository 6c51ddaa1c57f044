"""How values are passed to outlined functions, and how results come back.

For:     the LLVM types of parameters and results; a value on either side of a call; what tells calls apart that need a
         function of their own.
Not for: compiling the function, and the call itself (outlining.py).
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from ..lang import FloatType, IntType, Object
from . import floats
from .sources import FunctionInfo
from .values import Callee, Float, Int, Pointer, Ref, Value, View

if TYPE_CHECKING:
    from .state import State
    from .statements import Walker


def result_width(info: FunctionInfo) -> int:
    if isinstance(info.result, IntType):
        return 1 if info.result.bits == 1 else 32 if info.result.bits <= 32 else 64
    return 0


def result_types(info: FunctionInfo) -> list[str]:
    """The LLVM types that a function's result consists of; none for None, and for what cannot be returned."""
    kinds = tuple_of(info)
    if kinds:
        return ["double" if isinstance(kind, FloatType) else "i64" for kind in kinds]
    if isinstance(info.result, FloatType):
        return ["double"]
    if info.result is Object:
        return ["ptr"]
    width = result_width(info)
    return [f"i{width}"] if width else []


def result_type(info: FunctionInfo) -> str:
    """The LLVM type of a function's result."""
    kinds = result_types(info)
    if not kinds:
        return "void"
    return "{ " + ", ".join(kinds) + " }" if tuple_of(info) else kinds[0]


def tuple_of(info: FunctionInfo) -> tuple[Any, ...]:
    """The types of the numbers that a function returns as a tuple; empty where it returns something else."""
    kinds: tuple[Any, ...] = getattr(info.result, "__args__", None) or ()
    is_tuple = getattr(info.result, "__origin__", None) is tuple
    return kinds if is_tuple and all(isinstance(kind, (IntType, FloatType)) for kind in kinds) else ()


def operand(walker: Walker, state: State, value: Value, kind: str) -> str:
    """A value as an operand of an LLVM type."""
    if kind == "double":
        return floats.operand(walker.arith, state.block, value)
    if kind == "ptr":
        return walker.object_name(state, value)
    return walker.arith.operand(state.block, value, int(kind[1:]))


def returned(name: str, kind: Any, width: int) -> Value:
    if isinstance(kind, FloatType):
        return Float(name, kind.bits == 32)
    if kind is Object:
        return Pointer(name, None)
    assert isinstance(kind, IntType)
    return Int(name, width, kind.lo, kind.hi)


def passed_as(value: Ref | Pointer | View | Callee) -> Any:
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


def as_parameter(name: str, kind: Any, value: Value) -> tuple[list[str], Value]:
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


def as_arguments(walker: Walker, state: State, kind: Any, value: Value) -> list[str]:
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


class Same:
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
        if not isinstance(other, Same):
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
