"""Where the walk through a function stands: the open block, what the locals are, what is held of the context's fields.

For:       `State`, and `join`, which makes one state of several where paths meet.
Invariant: states that are open at one time have different open blocks; a joined state's block begins with the phis.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import floats
from .arith import Arith, bounds
from .errors import Refusal
from .text import Block
from .values import Float, Int, Known, Pointer, Ref, Tuple, Unset, Value, known_int, same, width_for


class State:
    """One open path. `fields` holds the context's virtual fields by offset; `dirty` those newer than memory.

    spilled: this is the slow side of a handler: fields that are not held are in memory.
    """

    __slots__ = ("block", "dirty", "fields", "locals", "spilled")

    def __init__(self, block: Block, locals: dict[str, Value], fields: dict[int, Value], dirty: set[int]) -> None:
        self.block = block
        self.locals = locals
        self.fields = fields
        self.dirty = dirty
        self.spilled = False

    def fork(self, block: Block) -> State:
        """A copy that goes on in another block."""
        other = State(block, dict(self.locals), dict(self.fields), set(self.dirty))
        other.spilled = self.spilled
        return other

    def become(self, other: State) -> None:
        """Go on as `other`."""
        self.block, self.locals, self.fields, self.dirty = other.block, other.locals, other.fields, other.dirty
        self.spilled = other.spilled


def join(arith: Arith, states: Sequence[State], results: Sequence[Value] | None = None) -> tuple[State, Value]:
    """One state where all of `states` meet, and the value that `results` (one for each state) have there."""
    if len(states) == 1:
        return states[0], results[0] if results is not None else Known(None)
    block = arith.text.block()
    merger = _Merger(arith, states, block)
    names = dict.fromkeys(name for state in states for name in state.locals)
    missing = Unset("not set on every path")
    merged_locals = {name: merger.merge([state.locals.get(name, missing) for state in states]) for name in names}
    offsets = dict.fromkeys(offset for state in states for offset in state.fields)
    dirty = set().union(*(state.dirty for state in states))
    fields: dict[int, Value] = {}
    for offset in offsets:
        if all(offset in state.fields for state in states):
            fields[offset] = merger.merge([state.fields[offset] for state in states])
        elif offset in dirty:
            raise Refusal(f"the field at offset {offset} is held on one path and not on another")
    result = merger.merge(list(results)) if results is not None else Known(None)
    for state in states:
        state.block.lines.append(f"  br label %{block.label}")
    joined = State(block, merged_locals, fields, dirty)
    joined.spilled = states[0].spilled
    return joined, result


class _Merger:
    """Makes phis in one block for values that come from several."""

    def __init__(self, arith: Arith, states: Sequence[State], block: Block) -> None:
        self.arith = arith
        self.states = states
        self.block = block

    def merge(self, values: list[Value]) -> Value:
        first = values[0]
        if all(same(first, other) for other in values[1:]):
            return first
        for value in values:
            if isinstance(value, Unset):
                return value
        if all(isinstance(value, Int) or known_int(value) is not None for value in values):
            return self._merge_ints(values)
        if all(map(floats.is_float, values)):
            names = [floats.operand(self.arith, s.block, v) for s, v in zip(self.states, values, strict=True)]
            return Float(self._phi("double", names), all(map(floats.is_single, values)))
        if isinstance(first, Pointer) and all(isinstance(v, Pointer) and v.element == first.element for v in values):
            return Pointer(self._phi("ptr", [v.name for v in values if isinstance(v, Pointer)]), first.element)
        if isinstance(first, Ref) and all(isinstance(v, Ref) and v.kind is first.kind for v in values):
            bases = [
                self.arith.op(state.block, f"getelementptr inbounds i8, ptr {v.base}, i64 {v.offset}")
                for state, v in zip(self.states, values, strict=True)
                if isinstance(v, Ref)
            ]
            return Ref(self._phi("ptr", bases), 0, first.kind, False)
        parts = [_items(value) for value in values]
        if parts[0] is not None and all(p is not None and len(p) == len(parts[0]) for p in parts):
            return Tuple([self.merge([p[i] for p in parts if p is not None]) for i in range(len(parts[0]))])
        return Unset("of different kinds on the paths that meet before")

    def _merge_ints(self, values: list[Value]) -> Int:
        intervals = [bounds(value) for value in values]
        lo, hi = min(i[0] for i in intervals), max(i[1] for i in intervals)
        first = values[0]
        if isinstance(first, Int) and all(
            isinstance(v, Int) and v.name == first.name and v.width == first.width for v in values
        ):
            return Int(first.name, first.width, lo, hi)
        boolean = all((isinstance(v, Int) and v.width == 1) or known_int(v) in (0, 1) for v in values)
        width = 1 if boolean else width_for(lo, hi)
        if width == 0:
            raise Refusal(f"a value is in {lo}..{hi} where paths meet, more than 64 bits")
        names = [self.arith.operand(s.block, v, width) for s, v in zip(self.states, values, strict=True)]
        return Int(self._phi(f"i{width}", names), width, lo, hi)

    def _phi(self, kind: str, names: list[str]) -> str:
        name = self.arith.text.fresh()
        incoming = ", ".join(f"[ {n}, %{s.block.label} ]" for n, s in zip(names, self.states, strict=True))
        self.block.phis.append(f"  {name} = phi {kind} {incoming}")
        return name


def _items(value: Value) -> list[Value] | None:
    """The items of a tuple value."""
    if isinstance(value, Tuple):
        return value.items
    if isinstance(value, Known) and isinstance(value.value, tuple):
        return [Known(item) for item in value.value]
    return None
