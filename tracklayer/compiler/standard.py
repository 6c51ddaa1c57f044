"""What every typed function may call without importing more than the language: `min`, `len`, `pointer`, `ask`, ...

For:     `INTRINSICS`, what the walker does for each; which of Python's own functions may be called while compiling.
Not for: finding out what a call calls (calls.py); what only handlers have (intrinsics.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from .. import lang
from ..lang import ArrayType
from . import floats
from .arith import bounds
from .asking import MOST_ARGUMENTS
from .crossings import Crossings
from .errors import Refusal
from .state import State
from .text import literal
from .values import I64_MAX, I64_MIN, U64_MAX, Float, Int, Known, Pointer, Ref, Value, View, describe, known_int

if TYPE_CHECKING:
    from .program import Program
    from .statements import Walker


class Standard(Crossings):
    """The walk through calls of what the language has."""

    program: Program

    @property
    def walker(self) -> Walker:
        """This, as the whole walk that it is."""
        return cast("Walker", self)

    def _pointer(self, state: State, owner: Value, index: Value | None = None) -> Value:
        if not isinstance(owner, Ref) or not isinstance(owner.kind, ArrayType):
            raise Refusal(f"pointer() takes an array field, this is {describe(owner)}")
        place = self.element(state, owner, index if index is not None else Known(0))
        return Pointer(self.address(state, place), owner.kind.element)

    def _null(self, state: State, element: Value) -> Value:
        if not isinstance(element, Known):
            raise Refusal("null() takes a type")
        return Pointer("null", element.value)

    def _ask(self, state: State, host: Value, function: Value, default: Value, *arguments: Value) -> Value:
        return self._ask_python(state, False, host, function, default, arguments)

    def _consult(self, state: State, host: Value, function: Value, default: Value, *arguments: Value) -> Value:
        return self._ask_python(state, True, host, function, default, arguments)

    def _ask_python(
        self, state: State, changes: bool, host: Value, function: Value, default: Value, arguments: tuple[Value, ...]
    ) -> Value:
        """A call of a Python callable through the program's host glue."""
        if not isinstance(function, Pointer) or not isinstance(host, Ref):
            raise Refusal("ask() takes a Host, an Object field, a default and integers")
        if len(arguments) > MOST_ARGUMENTS:
            raise Refusal(f"{len(arguments)} arguments for Python; at most {MOST_ARGUMENTS} are possible")
        for value in (default, *arguments):
            if bounds(value)[0] < I64_MIN or bounds(value)[1] > I64_MAX:
                raise Refusal(f"Python is given {describe(value)}", "narrow it: i64(...)")
        slots = self.text.stack_slots(max(1, len(arguments)))
        for index, argument in enumerate(arguments):
            where = self.arith.op(state.block, f"getelementptr inbounds i64, ptr {slots}, i64 {index}")
            state.block.lines.append(f"  store i64 {self.arith.operand(state.block, argument, 64)}, ptr {where}")
        fallback = self.arith.operand(state.block, default, 64)
        return self.program.host_call(self.walker, state, host, function.name, fallback, len(arguments), slots, changes)

    def _tell(self, state: State, host: Value, function: Value, *objects: Value) -> Value:
        if not isinstance(function, Pointer) or not isinstance(host, Ref):
            raise Refusal("tell() takes a Host, an Object field, and more Object fields")
        if len(objects) > MOST_ARGUMENTS:
            raise Refusal(f"{len(objects)} arguments for Python; at most {MOST_ARGUMENTS} are possible")
        slots = self.text.stack_slots(max(1, len(objects)))
        for index, value in enumerate(objects):
            if not isinstance(value, Pointer) or value.element is not None:
                raise Refusal(f"tell() hands on Object fields, this is {describe(value)}")
            where = self.arith.op(state.block, f"getelementptr inbounds i64, ptr {slots}, i64 {index}")
            state.block.lines.append(f"  store ptr {value.name}, ptr {where}")
        self.program.host_tell(self.walker, state, host, function.name, len(objects), slots)
        return Known(None)

    def _address_of(self, state: State, pointer: Value) -> Value:
        if isinstance(pointer, Ref):
            pointer = Pointer(self.address(state, pointer), None)
        if not isinstance(pointer, Pointer):
            raise Refusal(f"address_of() takes a pointer, this is {describe(pointer)}")
        return Int(self.arith.op(state.block, f"ptrtoint ptr {pointer.name} to i64"), 64, 0, U64_MAX)

    def _pointer_at(self, state: State, address: Value, element: Value) -> Value:
        if not isinstance(element, Known):
            raise Refusal("pointer_at() takes an address and a type")
        name = self.arith.operand(state.block, address, 64)
        return Pointer(self.arith.op(state.block, f"inttoptr i64 {name} to ptr"), element.value)

    def _acquire(self, state: State, lock: Value) -> Value:
        if not isinstance(lock, Pointer):
            raise Refusal("acquire() takes a pointer to a u32")
        spin, free = self.text.block(), self.text.block()
        state.block.lines.append(f"  br label %{spin.label}")
        old = self.text.fresh()
        taken = self.text.fresh()
        spin.lines += [
            f"  {old} = atomicrmw xchg ptr {lock.name}, i32 1 acquire",
            f"  {taken} = icmp ne i32 {old}, 0",
            f"  br i1 {taken}, label %{spin.label}, label %{free.label}",
        ]
        state.block = free
        return Known(None)

    def _release(self, state: State, lock: Value) -> Value:
        if not isinstance(lock, Pointer):
            raise Refusal("release() takes a pointer to a u32")
        state.block.lines.append(f"  store atomic i32 0, ptr {lock.name} release, align 4")
        return Known(None)

    def _publish(self, state: State, place: Value, value: Value) -> Value:
        if not isinstance(place, Pointer):
            raise Refusal("publish() takes a pointer to a u64, and its value")
        state.block.lines.append(
            f"  store atomic i64 {self.arith.operand(state.block, value, 64)}, ptr {place.name} release, align 8"
        )
        return Known(None)

    def _min(self, state: State, *values: Value) -> Value:
        return self._extreme(state, "<", values)

    def _max(self, state: State, *values: Value) -> Value:
        return self._extreme(state, ">", values)

    def _extreme(self, state: State, symbol: str, values: tuple[Value, ...]) -> Value:
        if any(map(floats.is_float, values)):
            return self._float_extreme(state, symbol, values)
        if len(values) == 1:
            values = tuple(self.items(values[0]))
        if not values:
            raise Refusal("of nothing there is no least or greatest")
        result = values[0]
        for value in values[1:]:
            result = self.arith.extreme(state.block, symbol, result, value)
        return result

    def _float_extreme(self, state: State, symbol: str, values: tuple[Value, ...]) -> Value:
        """As Python: a later value counts only where it compares so with the one before."""
        if not all(map(floats.is_float, values)):
            raise Refusal("integers and floats are mixed: the result would be now one, now the other", "write f64(...)")
        result = values[0]
        for value in values[1:]:
            better = floats.compare(self.arith, state.block, symbol, value, result)
            assert isinstance(better, Int)
            names = [floats.operand(self.arith, state.block, one) for one in (value, result)]
            chosen = f"select i1 {better.name}, double {names[0]}, double {names[1]}"
            result = Float(self.arith.op(state.block, chosen))
        return result

    def _abs(self, state: State, value: Value) -> Value:
        if isinstance(value, Float):
            return floats.magnitude(self.arith, state.block, value)
        lo, hi = bounds(value)
        if lo >= 0:
            return value
        result = self._extreme(state, ">", (value, self.arith.binary(state.block, "-", Known(0), value, 0)))
        return Int(result.name, result.width, 0, max(-lo, hi)) if isinstance(result, Int) else result

    def _bool(self, state: State, value: Value) -> Value:
        return self.truth(value, state)

    def _int(self, state: State, value: Value) -> Value:
        known = known_int(value)
        if known is not None:
            return Known(known)
        bounds(value)
        return value

    def _len(self, state: State, value: Value) -> Value:
        if isinstance(value, Ref) and isinstance(value.kind, ArrayType):
            return Known(value.kind.length)
        if isinstance(value, View):
            return Int(value.length, 64, 0, I64_MAX)
        return Known(len(self.items(value)))

    def _unlikely(self, state: State, value: Value) -> Value:
        truth = self.truth(value, state)
        if isinstance(truth, Int):
            expected = self.arith.op(state.block, f"call i1 @llvm.expect.i1(i1 {truth.name}, i1 {literal(0, 1)})")
            return Int(expected, 1, 0, 1)
        return truth


INTRINSICS: dict[Any, Callable[..., Value | None]] = {
    lang.pointer: Standard._pointer,
    lang.null: Standard._null,
    lang.ask: Standard._ask,
    lang.consult: Standard._consult,
    lang.tell: Standard._tell,
    lang.unlikely: Standard._unlikely,
    lang.address_of: Standard._address_of,
    lang.pointer_at: Standard._pointer_at,
    lang.acquire: Standard._acquire,
    lang.release: Standard._release,
    lang.publish: Standard._publish,
    min: Standard._min,
    max: Standard._max,
    abs: Standard._abs,
    bool: Standard._bool,
    int: Standard._int,
    len: Standard._len,
}
HOSTED = {lang.ask, lang.consult, lang.tell}
"""What needs a Host that an engine wired."""
FOLDED = {min, max, abs, bool, int, len}
"""Called as they are where all arguments are known."""
PURE = {
    range, isinstance, enumerate, zip, tuple, reversed, sum, sorted, getattr, hasattr, any, all, divmod, ord,
    lang.size_of, lang.is_struct,
}  # fmt: skip
"""Python's own functions that may be called while compiling."""
