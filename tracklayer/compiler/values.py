"""What an expression of a typed function is while it is compiled: a known Python value, or a place in generated code.

For:       the kinds of values, and the choice of 32 or 64 bits for an interval.
Invariant: an `Int` of width 32 or 64 holds its exact value: zero-extended where its interval is not negative, else
           sign-extended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import Refusal


class Known:
    """A value that the compiler knows: any Python object."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Known({self.value!r})"


class Int:
    """An integer at run time: an LLVM value `name` of `width` bits (1, 32 or 64), within `lo` to `hi`."""

    __slots__ = ("hi", "lo", "name", "width")

    def __init__(self, name: str, width: int, lo: int, hi: int) -> None:
        self.name = name
        self.width = width
        self.lo = lo
        self.hi = hi

    def __repr__(self) -> str:
        return f"Int({self.name}: i{self.width} in {self.lo}..{self.hi})"


class Float:
    """A float at run time: an LLVM value of type double. single: it surely fits 32 bits unchanged."""

    __slots__ = ("name", "single")

    def __init__(self, name: str, single: bool = False) -> None:
        self.name = name
        self.single = single


class View:
    """Elements of a Python object's buffer: an LLVM pointer, and their number as an i64."""

    __slots__ = ("element", "length", "name", "writable")

    def __init__(self, name: str, length: str, element: Any, writable: bool) -> None:
        self.name = name
        self.length = length
        self.element = element
        self.writable = writable


@dataclass(frozen=True, slots=True)
class CallType:
    """The type of a Python callable: what is declared of its parameters and its result. None: taken from each call."""

    parameters: tuple[Any, ...] | None = None
    result: Any = None


class Callee:
    """A Python callable at run time."""

    __slots__ = ("kind", "name")

    def __init__(self, name: str, kind: CallType) -> None:
        self.name = name
        self.kind = kind


class Ref:
    """A struct or array in memory: `offset` bytes behind the LLVM pointer `base`. `root`: base is the context."""

    __slots__ = ("base", "kind", "offset", "root")

    def __init__(self, base: str, offset: int, kind: Any, root: bool) -> None:
        self.base = base
        self.offset = offset
        self.kind = kind
        self.root = root


class Pointer:
    """A pointer at run time to elements of type `element`. An `Object` is one to elements of no type (None)."""

    __slots__ = ("element", "name")

    def __init__(self, name: str, element: Any) -> None:
        self.name = name
        self.element = element


class Tuple:
    """Several values, not all of them known."""

    __slots__ = ("items",)

    def __init__(self, items: list[Value]) -> None:
        self.items = items


class Method:
    """A typed function bound to a struct."""

    __slots__ = ("function", "owner")

    def __init__(self, owner: Ref, function: Callable[..., Any]) -> None:
        self.owner = owner
        self.function = function


class Unset:
    """A local that does not have one value here: not set on some path, or several values that cannot be merged."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


Value = Known | Int | Float | View | Callee | Ref | Pointer | Tuple | Method | Unset

I32_MIN, I32_MAX, U32_MAX = -(1 << 31), (1 << 31) - 1, (1 << 32) - 1
I64_MIN, I64_MAX, U64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1


def width_for(lo: int, hi: int) -> int:
    """32 or 64 bits, whichever holds the interval; 0 where neither does."""
    if lo >= 0:
        return 32 if hi <= U32_MAX else 64 if hi <= U64_MAX else 0
    if lo >= I32_MIN and hi <= I32_MAX:
        return 32
    return 64 if lo >= I64_MIN and hi <= I64_MAX else 0


STANDARD = (
    (0, 1), (0, 0xFF), (0, 0xFFFF), (I32_MIN, I32_MAX), (0, U32_MAX), (I64_MIN, I64_MAX), (0, U64_MAX),
)  # fmt: skip


def widen(lo: int, hi: int) -> tuple[int, int]:
    """The smallest standard interval that holds lo..hi."""
    for low, high in STANDARD:
        if low <= lo and hi <= high:
            return low, high
    raise Refusal(
        "a value that a loop changes can pass 64 bits", "annotate the variable, and narrow what is assigned to it"
    )


def known_int(value: Value) -> int | None:
    """The integer that a known value is, or None."""
    return int(value.value) if type(value) is Known and isinstance(value.value, int) else None


def same(a: Value, b: Value) -> bool:
    """Whether two values are surely one and the same."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, Known) and isinstance(b, Known):
        if a.value is b.value:
            return True
        return type(a.value) is type(b.value) and isinstance(a.value, (int, tuple, str)) and bool(a.value == b.value)
    if isinstance(a, Int) and isinstance(b, Int):
        return a.name == b.name and a.width == b.width and a.lo == b.lo and a.hi == b.hi
    if (isinstance(a, Float) and isinstance(b, Float)) or (isinstance(a, Callee) and isinstance(b, Callee)):
        return a.name == b.name
    if isinstance(a, View) and isinstance(b, View):
        return a.name == b.name and a.length == b.length
    if isinstance(a, Ref) and isinstance(b, Ref):
        return a.base == b.base and a.offset == b.offset and a.kind is b.kind
    if isinstance(a, Pointer) and isinstance(b, Pointer):
        return a.name == b.name
    if isinstance(a, Tuple) and isinstance(b, Tuple):
        return len(a.items) == len(b.items) and all(map(same, a.items, b.items))
    if isinstance(a, Method) and isinstance(b, Method):
        return a.function is b.function and same(a.owner, b.owner)
    return False


def describe(value: Value) -> str:
    """A value as an error message names it."""
    match value:
        case Known():
            return repr(value.value)
        case Int():
            return f"an integer in {value.lo}..{value.hi}"
        case Float():
            return "a float"
        case View():
            return "a buffer"
        case Callee():
            return "a Python callable"
        case Ref():
            return f"a {getattr(value.kind, '__name__', value.kind)}"
        case Pointer():
            return "a pointer"
        case Tuple():
            return f"a tuple of {len(value.items)}"
        case Method():
            return f"the method {value.function.__name__}"
        case Unset():
            return value.reason
