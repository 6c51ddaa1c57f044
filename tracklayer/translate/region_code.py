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

from collections.abc import Callable, Mapping
from typing import Any

from ..compiler.convention import HANDLER, Convention
from ..compiler.intrinsics import CONTROL
from ..compiler.program import Program
from ..compiler.sources import FunctionInfo, describe_function
from ..compiler.state import State
from ..compiler.statements import Walker
from ..compiler.text import MOSTLY, RARELY, Block, Definition
from ..compiler.values import Int, Known, Ref, Value, known_int
from ..lang import go, typed
from .fast_loops import FastLoop
from .guest import Guest
from .loops import Loop, find_loops
from .regions import Region, Step, return_addresses
from .stack_ways import StackWays
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
    return RegionCompiler(guest, region).build(name)


TRIED = -1
"""In place of a field's offset, at the heads of a loop: whether the fast way was tried since the loop was entered."""


class Place:
    """A block where ways meet: `NAME.OFFSET` is the phi of a field. incoming: the ways' labels, and what they bring."""

    def __init__(self, block: Block, name: str) -> None:
        self.block = block
        self.name = name
        self.incoming: list[tuple[str, dict[int, str]]] = []

    def phi(self, offset: int) -> str:
        """The name of a field's phi."""
        return f"%{self.name}.{offset if offset >= 0 else f's{-offset}'}"


class RegionCompiler:
    """Writes a region. `heads` is where ways into each head lead. At the end of a first plain pass through a loop the
    way leads to `again`, where the fast way begins; if that cannot be gone, it is not tried again in this loop."""

    def __init__(self, guest: type[Guest], region: Region) -> None:
        self.guest = guest
        self.region = region
        counted = guest.left.rpartition(".")[0] + ".instructions"
        more = () if counted in guest.pinned else (counted,)
        self.convention = Convention(guest.context, guest.pinned, (*guest.cached, *more))
        places = {field.path: field.offset for field in self.convention.by_offset.values()}
        self.pc, self.left, self.counted = places[guest.pc], places[guest.left], places[counted]
        self.fields = [field for field in self.convention.by_offset.values() if field.offset != self.pc]
        self.program = Program(self.convention, dict(CONTROL))
        self.program.leaves = self._cold
        self.step = describe_function(run_step)
        self.walker = Walker(self.program, self.program.module, self.step, self.convention, True, self.pc)
        self.context = Ref("%context", 0, guest.context, True)
        self.heads: dict[int, Place] = {}
        self.again: dict[int, Place] = {}
        self.within: dict[int, int] = {}
        """The headers of the loops that heads belong to."""
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
        self.heads = {head: self.place(f"h{head}") for head in self.region}
        loops = {loop.header: loop for loop in find_loops(self.region)}
        self.others: list[Place] = []
        self.again = {header: self.place(f"a{header}") for header in loops}
        self.within = {head: loop.header for loop in loops.values() for head in loop.own}
        self.ways = StackWays(self) if self.guest.stack and self.returns else None
        self._switch(entry, list(self.region), self._door)
        for head in self.region:
            if head in loops:
                FastLoop(self, loops[head], self.again[head]).write()
            self.write_head(head, self.heads[head], {})
        if self.ways:
            self.ways.write()
        entries = self.ways.entries if self.ways else {}
        for meeting in (*self.heads.values(), *self.again.values(), *self.others, *entries.values()):
            for field in self.fields:
                write_phi(meeting, field.offset, field.width)
        for head in self.within:
            write_phi(self.heads[head], TRIED, 1)
        head_line = f"define {HANDLER} void @{name}({', '.join(parameters)}) nounwind \"no-builtins\""
        self.program.module.functions.append(Definition(name, f"{head_line} {{\n{walker.text.render()}\n}}", ""))
        return self.program.render()

    def place(self, name: str) -> Place:
        """A new place."""
        return Place(self.walker.text.block(), name)

    def write_head(
        self, head: int, place: Place, ways: Mapping[int, Place], fast: bool = False, callers: tuple[int, ...] = ()
    ) -> list[str]:
        """The steps of a head, from a place's phis to wherever control goes. If not `fast`, they see to it that nothing
        is due before the last one begins. callers: where a computed jump leads, if all is as it should be.

        Returns: the labels of the blocks from which control goes to what is none of `ways`, or out of the region.
        """
        steps, state = self.region[head], self.state_at(place, head)
        if not fast:
            self.write_budget(state, steps)
        left_from = []
        for number, step in enumerate(steps):
            going_on = []
            for end in self.walk_step(state, step):
                self.count_step(end)
                if number + 1 < len(steps) and known_int(end.fields[self.pc]) == step.behind:
                    going_on.append(end)
                elif not self._leave(end, ways, callers, None if fast else head):
                    left_from.append(end.block.label)
            if not going_on:
                break
            (state,) = going_on  # paths with the same PC were joined
        return left_from

    def other_way(self, loop: Loop) -> Place:
        """The fast way through a loop that has no strides in runs; written now."""
        place = self.place(f"o{loop.header}")
        self.others.append(place)
        FastLoop(self, loop, place, striding=False).write()
        return place

    def state_at(self, place: Place, head: int) -> State:
        """Where the steps of a head begin, with the phis of a place."""
        fields: dict[int, Value] = {
            field.offset: Int(place.phi(field.offset), field.width, field.kind.lo, field.kind.hi)
            for field in self.fields
        }
        fields[self.pc] = Known(head)
        return State(place.block, {}, fields, set(fields))

    def write_budget(self, state: State, steps: tuple[Step, ...]) -> None:
        """Leave where something may be due before the last step begins."""
        walker = self.walker
        budget = sum(step.cycles for step in steps[:-1])
        left = walker.arith.operand(state.block, state.fields[self.left], 32)
        due = walker.arith.op(state.block, f"icmp sle i32 {left}, {budget}")
        out, on = walker.text.block(), walker.text.block()
        state.block.lines.append(f"  br i1 {due}, label %{out.label}, label %{on.label}, {RARELY}")
        self._walk(describe_function(to_short), state.fork(out), {})
        state.block = on

    def walk_step(self, state: State, step: Step) -> list[State]:
        """Walk a step; the states behind it, one for each PC."""
        self.before = dict(state.fields)
        state.fields[self.pc] = Known(step.behind)
        return self._walk(self.step, state, {"index": Known(step.handler), "operand": Known(step.operand)})

    def count_step(self, end: State) -> None:
        """Count a step that was walked."""
        arith = self.walker.arith
        total = arith.binary(end.block, "+", end.fields[self.counted], Known(1), 64)
        end.fields[self.counted] = arith.narrow(end.block, total, self.kind(self.counted))
        end.dirty = set(end.fields)

    def kind(self, offset: int) -> Any:
        """The type of a field."""
        return self.convention.by_offset[offset].kind

    def _walk(self, info: FunctionInfo, state: State, values: Mapping[str, Value]) -> list[State]:
        """Walk a typed function from here; the states that come back."""
        state.locals = {}
        given = {"context": self.context, "guest": Known(self.guest), **values}
        return [end for end, _ in self.walker.begin(info, given, state)]

    def _leave(
        self, state: State, ways: Mapping[int, Place], callers: tuple[int, ...], source: int | None
    ) -> bool:
        """To the head at PC, or out of the region. source: the head that this comes from, in the plain code.

        Returns: whether the way was one of `ways`.
        """
        target = known_int(state.fields[self.pc])
        if target is None and callers and callers[-1] in ways:
            pc = self.walker.arith.operand(state.block, state.fields[self.pc], 32)
            here = self.walker.arith.op(state.block, f"icmp eq i32 {pc}, {callers[-1]}")
            names = self.names(state)
            on, other = self.walker.text.block(), self.walker.text.block()
            state.block.lines.append(f"  br i1 {here}, label %{on.label}, label %{other.label}, {MOSTLY}")
            self.enter(ways[callers[-1]], on, names)
            state.block = other
        place = ways.get(target) if target is not None else None
        if place is None and target is not None:
            place = self.heads.get(target)
        if place is not None:
            names = self.names(state)
            if target is not None and source is not None and source not in self.within:
                place = self._door(target) if self.region[source][-1].calls else place
            if source is not None and target is not None and source in self.within:
                self._enter_plain(source, target, state.block, names)
            else:
                self.enter(place, state.block, names)
        elif target is None and self.returns:
            self._switch(state, self.returns, self._door if source not in self.within else self.heads.__getitem__)
        else:
            self.write_jump(state)
        return target in ways

    def write_jump(self, state: State) -> None:
        """Out of the region, to PC."""
        self._walk(describe_function(jump), state, {})

    def _enter_plain(self, source: int, target: int, block: Block, names: dict[int, str]) -> None:
        """From a head of a loop to another head, or to its own header by way of the fast one."""
        header, place = self.within[source], self.heads[target]
        tried = self.heads[source].phi(TRIED)
        if target == header:
            again = self.again[header]
            again.incoming.append((block.label, names))
            place.incoming.append((block.label, {**names, TRIED: "true"}))
            block.lines.append(f"  br i1 {tried}, label %{place.block.label}, label %{again.block.label}")
        else:
            same = self.within.get(target) == header
            self.enter(place, block, {**names, TRIED: tried} if same else names)

    def _switch(self, state: State, heads: list[int], place_of: Callable[[int], Place]) -> None:
        """To the head of these that PC is at, or out of the region."""
        other = self.walker.text.block()
        pc = self.walker.arith.operand(state.block, state.fields[self.pc], 32)
        places = {head: place_of(head) for head in heads}
        for place in places.values():
            place.incoming.append((state.block.label, self.names(state)))
        cases = " ".join(f"i32 {head}, label %{place.block.label}" for head, place in places.items())
        state.block.lines.append(f"  switch i32 {pc}, label %{other.label} [ {cases} ]")
        self.write_jump(state.fork(other))

    def _door(self, head: int) -> Place:
        """Where a way leads to a head behind which the stack may be used."""
        return self.ways.entries[head] if self.ways and head in self.ways.entries else self.heads[head]

    def enter(self, place: Place, block: Block, names: dict[int, str]) -> None:
        """Go to a place from the end of a block."""
        place.incoming.append((block.label, names))
        block.lines.append(f"  br label %{place.block.label}")

    def names(self, state: State) -> dict[int, str]:
        """What the phis of a place get from here."""
        return {
            field.offset: self.walker.arith.operand(state.block, state.fields[field.offset], field.width)
            for field in self.fields
        }

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


def write_phi(place: Place, offset: int, width: int) -> None:
    """The phi of a field at a place."""
    ways = ", ".join(f"[ {names.get(offset, 'false')}, %{label} ]" for label, names in place.incoming)
    value = f"phi i{width} {ways}" if ways else f"freeze i{width} poison"
    place.block.phis.append(f"  {place.phi(offset)} = {value}")
