"""Loads and stores: fields of structs, elements of arrays, what pointers lead to, and fields held in registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..lang import ArrayType, FloatType, IntType, Object, PtrType, is_struct, layout, size_of, type_name
from . import floats
from .arith import Arith, bounds
from .convention import HANDLER, Convention, Effects
from .errors import Refusal
from .state import State, join
from .text import ELEMENT, FIELD, IS_BOOL, POINTER, Module, Text
from .values import Int, Known, Pointer, Ref, Value, describe, known_int


class Memory:
    """What reads and writes memory, in one generated function.

    convention: the context's virtual fields. holds: whether this function holds them: a handler does, an outlined
    function does not.
    """

    def __init__(self, module: Module, convention: Convention | None, holds: bool) -> None:
        self.module = module
        self.text = Text()
        self.arith = Arith(self.text)
        self.convention = convention
        self.virtual = convention.by_offset if convention else {}
        self.holds = holds
        self.effects = Effects()
        self.entry_fields: dict[int, Value] = {}
        self.spills = False
        """Whether paths leave their fields in memory behind calls that may change many of them, and stay apart from
        those that hold them: there the fields are not read again for nothing."""
        self.unaliased = False
        """Whether memory that Python passes in may be the same as any other."""

    # ------------------------------------------------------------------ addresses

    def address(self, state: State, ref: Ref) -> str:
        """The address of a struct or array as a ptr."""
        if ref.offset == 0:
            return ref.base
        return self.arith.op(state.block, f"getelementptr inbounds i8, ptr {ref.base}, i64 {ref.offset}")

    def field(self, state: State, ref: Ref, name: str) -> Value:
        """`ref.name`."""
        field = layout(ref.kind)[name]
        kind = field.type
        place = Ref(ref.base, ref.offset + field.offset, kind, ref.root)
        if is_struct(kind) or isinstance(kind, ArrayType):
            return place
        return self.load(state, place, "field")

    def element(self, state: State, ref: Ref, index: Value) -> Ref:
        """The place of `array[index]`."""
        kind = ref.kind
        lo, hi = bounds(index)
        if lo < 0 or hi >= kind.length:
            raise Refusal(
                f"the index is {describe(index)}, the array has {kind.length} elements",
                f"show that it lies in 0..{kind.length - 1}: mask it, or compare it just before",
            )
        size = size_of(kind.element)
        known = known_int(index)
        if known is not None:
            return Ref(ref.base, ref.offset + known * size, kind.element, ref.root)
        return Ref(self._indexed(state, self.address(state, ref), kind.element, index), 0, kind.element, False)

    def pointed(self, state: State, pointer: Pointer, index: Value) -> Ref:
        """The place of `pointer[index]`."""
        if pointer.element is None:
            raise Refusal("an Object has no elements", "use `ask` or `tell`")
        bounds(index)
        if known_int(index) == 0:
            return Ref(pointer.name, 0, pointer.element, False)
        return Ref(self._indexed(state, pointer.name, pointer.element, index), 0, pointer.element, False)

    def _indexed(self, state: State, base: str, element: Any, index: Value) -> str:
        at = self.arith.operand(state.block, index, 64)
        kind = llvm_storage(element) if not is_struct(element) else f"[{size_of(element)} x i8]"
        return self.arith.op(state.block, f"getelementptr inbounds {kind}, ptr {base}, i64 {at}")

    def tag(self, role: str) -> str:
        """What an access is to alias analysis. A buffer from Python may lie anywhere: then nothing is said."""
        if self.unaliased:
            return ""
        return ", " + {"field": FIELD, "element": ELEMENT, "pointer": POINTER}[role]

    # ------------------------------------------------------------------ loads

    def load(self, state: State, place: Ref, role: str) -> Value:
        """The value of a scalar place. role: `field` or `element`, for alias analysis."""
        if place.root and place.offset in self.virtual:
            return self._load_virtual(state, place)
        return self.load_memory(state, place, role)

    def load_memory(self, state: State, place: Ref, role: str) -> Value:
        """The value that memory holds at a place."""
        kind = place.kind
        where = self.address(state, place)
        if isinstance(kind, PtrType) or kind is Object:
            name = self.arith.op(state.block, f"load ptr, ptr {where}{self.tag('pointer')}")
            return Pointer(name, kind.element if isinstance(kind, PtrType) else None)
        tag = self.tag(role)
        if isinstance(kind, FloatType):
            loose = "" if place.root or role == "field" else ", align 1"
            raw = self.arith.op(state.block, f"load {floats.narrow_type(kind.bits)}, ptr {where}{loose}{tag}")
            return floats.loaded(self.arith, state.block, raw, kind.bits)
        if not isinstance(kind, IntType):
            raise Refusal(f"a {type_name(kind)} is no value by itself", "use its fields or elements")
        bits = kind.size * 8
        if kind.bits == 1:
            byte = self.arith.op(state.block, f"load i8, ptr {where}{tag}, {IS_BOOL}")
            return Int(self.arith.op(state.block, f"trunc i8 {byte} to i1"), 1, 0, 1)
        loose = "" if place.root or role == "field" else ", align 1"
        raw = self.arith.op(state.block, f"load i{bits}, ptr {where}{loose}{tag}")
        if bits < 32:
            raw = self.arith.op(state.block, f"{'sext' if kind.signed else 'zext'} i{bits} {raw} to i32")
        return Int(raw, max(bits, 32), kind.lo, kind.hi)

    def _load_virtual(self, state: State, place: Ref) -> Value:
        if not self.holds:
            self.effects.reads.add(place.offset)
            return self.load_memory(state, place, "field")
        value = state.fields.get(place.offset)
        if value is None:
            value = state.fields[place.offset] = self.load_memory(state, place, "field")
        return value

    # ------------------------------------------------------------------ stores

    def store(self, state: State, place: Ref, value: Value, role: str) -> None:
        """Store to a scalar place; it wraps to the place's type."""
        if place.root and place.offset in self.virtual:
            if self.holds:
                state.fields[place.offset] = self.narrow_for(state, place.kind, value)
                state.dirty.add(place.offset)
                return
            self.effects.writes.add(place.offset)
        self.store_memory(state, place, value, role)

    def narrow_for(self, state: State, kind: IntType, value: Value) -> Value:
        """`value` as a field of type `kind` keeps it."""
        if kind.bits == 1:
            lo, hi = bounds(value)
            if lo < 0 or hi > 1:
                raise Refusal(
                    f"a u1 is stored from {describe(value)}", "show that it is 0 or 1: `& 1`, `!= 0`, or u1(...)"
                )
            known = known_int(value)
            if known is not None:
                return Known(bool(known))
            return Int(self.arith.operand(state.block, value, 1), 1, 0, 1)
        return self.arith.narrow(state.block, value, kind)

    def store_memory(self, state: State, place: Ref, value: Value, role: str) -> None:
        """Store to memory at a scalar place."""
        kind = place.kind
        where = self.address(state, place)
        if isinstance(kind, PtrType):
            if not isinstance(value, Pointer) or value.element != kind.element:
                raise Refusal(
                    f"a {kind} is stored from {describe(value)}", "use `pointer(array, index)` or `null(type)`"
                )
            state.block.lines.append(f"  store ptr {value.name}, ptr {where}{self.tag('pointer')}")
            return
        if isinstance(kind, FloatType):
            name = floats.store_name(self.arith, state.block, value, kind.bits)
            loose, tag = "" if role == "field" else ", align 1", self.tag(role)
            state.block.lines.append(f"  store {floats.narrow_type(kind.bits)} {name}, ptr {where}{loose}{tag}")
            return
        if not isinstance(kind, IntType):
            raise Refusal(f"a {type_name(kind)} cannot be stored to as a whole", "store to its fields or elements")
        bits = kind.size * 8
        if kind.bits < bits:
            value = self.narrow_for(state, kind, value)
        name = self.arith.operand(state.block, value, bits)
        tag = self.tag(role)
        loose = "" if place.root or role == "field" else ", align 1"
        state.block.lines.append(f"  store i{bits} {name}, ptr {where}{loose}{tag}")

    # ------------------------------------------------------------------ virtual fields and memory

    def flush(self, state: State, context: str, offsets: set[int]) -> None:
        """Write held fields that are newer than memory to memory."""
        for offset in sorted(offsets & state.dirty):
            place = Ref(context, offset, self.virtual[offset].kind, True)
            self.store_memory(state, place, state.fields[offset], "field")
            state.dirty.discard(offset)

    def spill(self, state: State, context: str) -> None:
        """Write all held fields to memory and hold none: the path is the slow side from here on."""
        assert self.convention is not None
        pinned = {field.offset for field in self.convention.pinned}
        if state.spilled:
            self.flush(state, context, set(state.dirty))
        else:
            self.flush(state, context, state.dirty - pinned)
            state.block.lines.append(f"  call {HANDLER} void @leave({self.handed(state, context)})")
        state.fields, state.dirty, state.spilled = {}, set(), True

    def reload(self, state: State, context: str) -> None:
        """Hold all fields again."""
        for offset, field in self.virtual.items():
            if offset not in state.fields:
                state.fields[offset] = self.load_memory(state, Ref(context, offset, field.kind, True), "field")
        state.spilled = False

    def handed(self, state: State, context: str) -> str:
        """The arguments with which a handler is called: the context and what the pinned fields are."""
        assert self.convention is not None
        operands = [f"ptr {context}"]
        for field in self.convention.pinned:
            value = self._load_virtual(state, Ref(context, field.offset, field.kind, True))
            operands.append(f"i{field.width} {self.arith.operand(state.block, value, field.width)}")
        return ", ".join(operands)

    def meet(self, states: Sequence[State], results: Sequence[Value] | None = None) -> tuple[State, Value]:
        """`join`, of paths of which some may be a slow side."""
        spilled = [state for state in states if state.spilled]
        if spilled and len(states) > 1:
            for state in spilled:
                if len(spilled) < len(states):
                    self.reload(state, "%context")
                else:
                    self.flush(state, "%context", set(state.dirty))
                    state.fields = {}
        return join(self.arith, states, results)

    def forget(self, state: State, context: str, offsets: set[int]) -> None:
        """Fields that memory now holds newer values of: read again when next asked for."""
        for offset in offsets:
            if offset in state.fields:
                place = Ref(context, offset, self.virtual[offset].kind, True)
                state.fields[offset] = self.load_memory(state, place, "field")
                state.dirty.discard(offset)


def llvm_storage(kind: Any) -> str:
    """The LLVM type that an element of an array or pointer is stored as."""
    if isinstance(kind, IntType):
        return f"i{kind.size * 8}"
    if isinstance(kind, PtrType) or kind is Object:
        return "ptr"
    if isinstance(kind, FloatType):
        return floats.narrow_type(kind.bits)
    return f"[{size_of(kind)} x i8]"
