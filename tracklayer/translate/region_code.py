"""T2: a region of guest code as one LLVM function.

For:       `region_program`: the handler that runs a region from any of its heads.
Not for:   finding regions (regions.py), running LLVM in another process (hot.py).
Invariant: a region leaves where translated code does, with all state as the interpreter would have it: at a head whose
           last instruction may begin after something is due, before an instruction that meets more than plain memory,
           and where control goes somewhere else.

The instructions' meanings are those of the stencils, walked with their operands known. All fields that travel in
registers, and the count of instructions, are SSA values throughout; they meet in phis at the heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..compiler.convention import Convention
from ..compiler.intrinsics import CONTROL
from ..compiler.program import HANDLER, Program
from ..compiler.sources import FunctionInfo, describe_function
from ..compiler.state import State
from ..compiler.statements import Walker
from ..compiler.text import RARELY, Block, Definition
from ..compiler.values import Int, Known, Ref, Value, known_int
from ..lang import go, typed
from .guest import Guest
from .regions import Region, return_addresses
from .stencils import jump


@typed
def run_step(context: Any, guest: Any, index: Any, operand: Any) -> None:
    """One instruction."""
    guest.translated(context, index, operand)


@typed
def to_short(context: Any, guest: Any) -> None:
    """Something may be due before the last instruction of a head begins."""
    go(guest.engine(context).short)


@typed
def to_again(context: Any, guest: Any) -> None:
    """The interpreter runs the instruction at PC."""
    go(guest.engine(context).again)


def region_program(guest: type[Guest], region: Region, name: str) -> str:
    """The IR text of a region: one handler, to be entered with PC at any of its heads."""
    return _RegionCompiler(guest, region).build(name)


class _RegionCompiler:
    def __init__(self, guest: type[Guest], region: Region) -> None:
        self.guest = guest
        self.region = region
        counted = guest.left.rpartition(".")[0] + ".instructions"
        more = () if counted in guest.pinned else (counted,)
        self.convention = Convention(guest.context, guest.pinned, (*guest.cached, *more))
        places = {field.path: field.offset for field in self.convention.by_offset.values()}
        self.pc, self.left, self.counted = places[guest.pc], places[guest.left], places[counted]
        self.program = Program(self.convention, dict(CONTROL))
        self.program.leaves = self._cold
        self.step = describe_function(run_step)
        self.walker = Walker(self.program, self.program.module, self.step, self.convention, True, self.pc)
        self.context = Ref("%context", 0, guest.context, True)
        self.blocks: dict[int, Block] = {}
        self.incoming: dict[int, list[tuple[str, dict[int, str]]]] = {head: [] for head in region}
        self.returns = sorted(return_addresses(region))
        self.before: dict[int, Value] = {}

    def build(self, name: str) -> str:
        """Walk everything; the IR text."""
        walker = self.walker
        entry = State(walker.text.block(), {}, {}, set())
        parameters = ["ptr noundef nonnull align 8 %context"]
        for index, field in enumerate(self.convention.pinned):
            parameters.append(f"i{field.width} %p{index}")
            entry.fields[field.offset] = Int(f"%p{index}", field.width, field.kind.lo, field.kind.hi)
            entry.dirty.add(field.offset)
        for field in self.convention.cached:
            place = Ref("%context", field.offset, field.kind, True)
            entry.fields[field.offset] = walker.load_memory(entry, place, "field")
        self.blocks = {head: walker.text.block() for head in self.region}
        self._switch(entry, list(self.region))
        for head in self.region:
            self._head(head)
        for head, block in self.blocks.items():
            for field in self.convention.by_offset.values():
                if field.offset != self.pc:
                    ways = ", ".join(f"[ {names[field.offset]}, %{label} ]" for label, names in self.incoming[head])
                    block.phis.append(f"  {_phi(head, field.offset)} = phi i{field.width} {ways}")
        head_line = f"define {HANDLER} void @{name}({', '.join(parameters)}) nounwind"
        self.program.module.functions.append(Definition(name, f"{head_line} {{\n{walker.text.render()}\n}}", ""))
        return self.program.render()

    def _head(self, head: int) -> None:
        """The steps of a head, from its phis to wherever control goes."""
        walker, steps = self.walker, self.region[head]
        fields: dict[int, Value] = {
            field.offset: Int(_phi(head, field.offset), field.width, field.kind.lo, field.kind.hi)
            for field in self.convention.by_offset.values()
        }
        fields[self.pc] = Known(head)
        state = State(self.blocks[head], {}, fields, set(fields))
        budget = sum(step.cycles for step in steps[:-1])
        left = walker.arith.operand(state.block, fields[self.left], 32)
        due = walker.arith.op(state.block, f"icmp sle i32 {left}, {budget}")
        out, on = walker.text.block(), walker.text.block()
        state.block.lines.append(f"  br i1 {due}, label %{out.label}, label %{on.label}, {RARELY}")
        self._walk(describe_function(to_short), state.fork(out), {})
        state.block = on
        for number, step in enumerate(steps):
            self.before = dict(state.fields)
            state.fields[self.pc] = Known(step.behind)
            ends = self._walk(self.step, state, {"index": Known(step.handler), "operand": Known(step.operand)})
            going_on = []
            for end in ends:
                total = walker.arith.binary(end.block, "+", end.fields[self.counted], Known(1), 64)
                end.fields[self.counted] = walker.arith.narrow(end.block, total, self._kind(self.counted))
                end.dirty = set(end.fields)
                if number + 1 < len(steps) and known_int(end.fields[self.pc]) == step.behind:
                    going_on.append(end)
                else:
                    self._leave(end)
            if not going_on:
                return
            (state,) = going_on  # paths with the same PC were joined

    def _kind(self, offset: int) -> Any:
        return self.convention.by_offset[offset].kind

    def _walk(self, info: FunctionInfo, state: State, values: Mapping[str, Value]) -> list[State]:
        """Walk a typed function from here; the states that come back."""
        state.locals = {}
        given = {"context": self.context, "guest": Known(self.guest), **values}
        return [end for end, _ in self.walker.begin(info, given, state)]

    def _leave(self, state: State) -> None:
        """To the head at PC, or out of the region."""
        target = known_int(state.fields[self.pc])
        if target in self.region:
            self._enter(state, target)
            state.block.lines.append(f"  br label %{self.blocks[target].label}")
        elif target is None and self.returns:
            self._switch(state, self.returns)
        else:
            self._walk(describe_function(jump), state, {})

    def _switch(self, state: State, heads: list[int]) -> None:
        """To the head of these that PC is at, or out of the region."""
        other = self.walker.text.block()
        pc = self.walker.arith.operand(state.block, state.fields[self.pc], 32)
        for head in heads:
            self._enter(state, head)
        cases = " ".join(f"i32 {head}, label %{self.blocks[head].label}" for head in heads)
        state.block.lines.append(f"  switch i32 {pc}, label %{other.label} [ {cases} ]")
        self._walk(describe_function(jump), state.fork(other), {})

    def _enter(self, state: State, head: int) -> None:
        """Note what the head's phis get from here."""
        names = {
            field.offset: self.walker.arith.operand(state.block, state.fields[field.offset], field.width)
            for field in self.convention.by_offset.values()
            if field.offset != self.pc
        }
        self.incoming[head].append((state.block.label, names))

    def _cold(self, walker: Walker, state: State) -> None:
        """More than plain memory: to the interpreter, with everything as it was before the instruction."""
        state.fields = dict(self.before)
        state.fields[self.pc] = Known(self._address())
        state.dirty = set(state.fields)
        self._walk(describe_function(to_again), State(state.block, {}, state.fields, state.dirty), {})

    def _address(self) -> int:
        address = known_int(self.before[self.pc])
        assert address is not None
        return address


def _phi(head: int, offset: int) -> str:
    return f"%h{head}.{offset}"
