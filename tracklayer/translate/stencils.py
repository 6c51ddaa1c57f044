"""Stencils: for each opcode a piece of machine code with holes, compiled once from the opcode's meaning.

For:       the program that LLVM compiles the stencils from.
Not for:   the tables that the layer reads (tables.py), laying them (layer.py).
Invariant: a stencil leaves by one of its holes only: to the next instruction, to another block with its address in PC,
           through the jump cache or to `lookup` with the target in PC, to `dispatch`, or, before it has changed
           anything, to the interpreter.

A stencil handles only accesses to plain memory. At the first call of an outlined function it leaves, with the
registers as they
were when the instruction began, to a stub that has the interpreter run the instruction: what was written to plain
memory until then
is written again with the same values.

Where the guest says so, an instruction has a second, full stencil. It goes on where the first one gives up, and calls
what the guest has for that (`Guest.quick`): a device's register, mostly. Time is exact meanwhile. Something may be due
sooner afterwards, or code stand elsewhere: then the block is left behind the instruction.

Time is taken off where a block is left, not at each instruction: a stencil hands `left` on as it got it, and whoever
leaves takes off what all instructions of the block took so far (`hole.spent`, a negative number, which LLVM can add at
once).
"""

from __future__ import annotations

import re
from typing import Any

from ..compiler.convention import find
from ..compiler.intrinsics import CONTROL, transfer
from ..compiler.program import Program
from ..compiler.sources import FunctionInfo, describe_function
from ..compiler.state import State
from ..compiler.statements import Walker
from ..compiler.text import RARELY
from ..compiler.values import Int, Known, Ref, Value, known_int, same
from ..isa.engine import place_of
from ..lang import IntType, address_of, go, pointer_at, typed, u64
from .guest import Guest, seen
from .interpreter import QUICK_CALLING, convention_of
from .structs import ABSOLUTE, BYTE, FALLS, NO_OPERAND, RELATIVE, WORD, Translator
from .tables import HOLES, INTERPRETS

# ------------------------------------------------------------------------------------------------ typed text


def went(context: Any, guest: Any) -> Any:
    """While compiling: where PC has gone: "next", "target" (known while laying), or "elsewhere"."""
    raise TypeError("went() exists only while stencils are compiled")


def hole(name: str) -> Any:
    """While compiling: the value of a hole."""
    raise TypeError("hole() exists only while stencils are compiled")


def leave(context: Any, name: str) -> None:
    """While compiling: pass control through a hole."""
    raise TypeError("leave() exists only while stencils are compiled")


@typed
def exit_to_block(context: Any, guest: Any) -> None:
    """To the block at PC, whose address is known while laying."""
    guest.clock(context).instructions += hole("hole.count")
    leave(context, "hole.exit")


@typed
def stencil(context: Any, guest: Any, index: Any, ends: Any) -> None:
    """One instruction in translated code."""
    if guest.has_full(index):
        guest.plain(context, index, operand_hole(guest, index))
    else:
        guest.translated(context, index, operand_hole(guest, index))
    go_on(context, guest, ends)


@typed
def full_stencil(context: Any, guest: Any, index: Any) -> None:
    """One instruction that meets more than plain memory."""
    tag = tag_behind(context, guest, index)
    guest.full(context, index, operand_hole(guest, index))
    if went(context, guest) != "next":
        go_on(context, guest, False)
    elif guest.clock(context).left <= hole("hole.rest") or tag_behind(context, guest, index) != tag:
        leave(context, "hole.late")
    else:
        guest.clock(context).left += 0 - hole("hole.spent")
        leave(context, "hole.continue")


@typed
def tag_behind(context: Any, guest: Any, index: Any) -> u64:
    """What tells whether the same code stands at PC; 0 of an instruction that cannot change that."""
    return guest.engine(context).tag(guest.pc_of(context)) if guest.writes(index) else 0


@typed
def go_on(context: Any, guest: Any, ends: Any) -> None:
    """Behind an instruction."""
    where = went(context, guest)
    if where == "next":
        if ends:
            guest.clock(context).instructions += hole("hole.count")
            go(guest.engine(context).back)
        else:
            leave(context, "hole.continue")
    elif where == "target":
        exit_to_block(context, guest)
    else:
        guest.clock(context).instructions += hole("hole.count")
        jump(context, guest)


@typed
def jump(context: Any, guest: Any) -> None:
    """To a computed address: where it led before, if nothing has changed since."""
    engine = guest.engine(context)
    pc = guest.pc_of(context)
    place = engine.jumps[place_of(pc)]
    if place.tag == engine.tag(pc):
        go(place.code)
    else:
        go(engine.lookup)


@typed
def head(context: Any, guest: Any) -> None:
    """The beginning of a block: the interpreter takes over where an event may be due before the last instruction
    begins."""
    if guest.clock(context).left > hole("hole.budget"):
        leave(context, "hole.continue")
    else:
        leave(context, "hole.late")


@typed
def near(context: Any, guest: Any) -> None:
    """From a head that may not fit."""
    go(guest.engine(context).short)


@typed
def stub(context: Any, guest: Any) -> None:
    """Have the interpreter's handler run the instruction whose opcode ends before `hole.here`, and is fetched."""
    guest.clock(context).instructions += hole("hole.count")
    guest.clock(context).left += hole("hole.spent")
    set_pc(context, guest)
    leave(context, "hole.handler")


@typed
def on(context: Any, guest: Any) -> None:
    """The end of a block whose last instruction falls through: to the block behind it."""
    guest.clock(context).left += hole("hole.spent")
    set_pc(context, guest)
    exit_to_block(context, guest)


@typed
def late(context: Any, guest: Any) -> None:
    """Out of a block behind an instruction, with `left` exact."""
    guest.clock(context).instructions += hole("hole.count")
    set_pc(context, guest)
    leave(context, "hole.exit")


@typed
def wait(context: Any, guest: Any) -> None:
    """Back to the begin of a loop that may be waiting."""
    set_pc(context, guest)
    go(guest.engine(context).wait)


@typed
def whole(context: Any, guest: Any) -> None:
    """The same from a block that is such a loop: what was just run is a whole pass."""
    clock = guest.clock(context)
    set_pc(context, guest)
    it = pointer_at(address_of(guest.engine(context).translator), Translator)[0]
    it.waiting = guest.pc_of(context) + 1
    it.waited_instructions = u64(clock.instructions - hole("hole.count"))
    it.waited_time = u64(clock.now() + hole("hole.spent"))
    go(guest.engine(context).wait)


def set_pc(context: Any, guest: Any) -> None:
    """While compiling: PC becomes `hole.here`."""
    raise TypeError("set_pc() exists only while stencils are compiled")


def operand_hole(guest: Any, index: Any) -> Any:
    """While compiling: the hole that stands for the instruction's operand; None where it has none."""
    raise TypeError("operand_hole() exists only while stencils are compiled")


# ------------------------------------------------------------------------------------------------ compiling


STENCILS = "stencils"
"""The kind of part that stencils belong to."""
WORD_END = 1 << 32
"""A negative number is a hole of 32 bits."""
_NAME = re.compile(r"%[\w.]+")
SUMS = ("sext ", "zext ", "trunc ", "add ", "sub ", "phi ")
"""What is computed of the time: what only these have seen was not looked at."""


class Use:
    """What a stencil does with the guest's volatile fields, by bit.

    always: written on every way to the next instruction; None while no such way was seen. cold: it may leave to the
            interpreter. uses, settles, changes: the same of all fields in registers, with those that may be written.
            wide: which of these may be addresses. mutes: it changes memory. placeless: what it does depends neither on
            where it stands nor on when.
    """

    def __init__(self) -> None:
        self.reads = 0
        self.always: int | None = None
        self.cold = False
        self.pure = False
        self.uses = 0
        self.settles: int | None = None
        self.changes = 0
        self.wide = 0
        self.mutes = False
        self.placeless = False


class StencilCompiler:
    """Compiles all stencils of a guest."""

    def __init__(self, guest: type[Guest]) -> None:
        self.guest = guest
        convention = convention_of(guest)
        self.pc = next(field for field in convention.pinned if field.path == guest.pc)
        self.left = next(field for field in convention.pinned if field.path == guest.left)
        self.pinned = convention.pinned
        self.volatile = [
            field for path in guest.volatile for field in convention.by_offset.values() if field.path == path
        ]
        self.registers = [field for field in convention.by_offset.values() if field not in (self.pc, self.left)]
        self.harmless = {field.offset for field in convention.cached}
        self.harmless.add(find(guest.context, guest.left.rpartition(".")[0] + ".instructions")[0])
        self.uses: dict[int, Use] = {}
        self.use = Use()
        self.bare = False
        self.full = False
        self.leaving = 0
        self.cycles = 0
        self.entry: dict[int, Value] = {}
        self.entry_pc: Value = Known(None)
        """PC's register, handed on as it is: there a handler that is made of a stencil (shared.py) has PC."""
        self.before: set[str] = set()
        """The lines that the handler that is being compiled begins with: the holes' sums."""
        self.program = Program(
            convention,
            {**CONTROL, went: self._went, hole: self._hole, leave: self._leave, set_pc: self._set_pc,
             operand_hole: self._operand_hole, seen: _seen},
        )  # fmt: skip
        self.program.part = STENCILS
        self.program.leaves = self._cold
        self.program.instead = self._quick
        self.quick = list(dict.fromkeys(guest.quick.values()))
        for name, (_, below) in HOLES.items():
            if below:
                values = (0, below) if below > 0 else (WORD_END + below, WORD_END)
                reference = self.program.module.metadata_node(f"!{{i64 {values[0]}, i64 {values[1]}}}")
                self.program.declare(f"@{name} = external hidden global i8, !absolute_symbol {reference}")
        parameters = convention.signature
        for name in ("hole.continue", "hole.exit", "hole.handler", "hole.late", *INTERPRETS):
            self.program.declare(f"declare hidden preserve_nonecc void @{name}({parameters})")
        for number, function in enumerate(self.quick):
            kinds = ", ".join(["ptr"] + ["i32"] * (len(describe_function(function).parameters) - 1))
            self.program.declare(f"declare hidden {QUICK_CALLING} i64 @hole.quick.{number}({kinds})")

    def build(self) -> Program:
        """The program: `op.N` for each handler that can be translated, `bare.N` for some, `head`, `stub`, `on`."""
        for index in range(self.guest.handlers):
            described = self.guest.describe(index)
            if described is None:
                continue
            self.use = Use()
            self.cycles = described.cycles
            self._compile(f"op.{index}", index, described.ends)
            self.use.uses = self._reads()
            for bit, field in enumerate(self.volatile):
                self.use.reads |= (self.use.uses >> self.registers.index(field) & 1) << bit
            self.use.wide = sum(1 << bit for bit, field in enumerate(self.registers) if field.kind.bits == 16)
            self.use.mutes = self._mutes()
            self.use.placeless = self._placeless()
            self.uses[index] = self.use
            if described.flow == FALLS and not described.ends and not self.use.cold:
                self.use.pure = True
                if self.use.always:
                    self.bare = True
                    self._compile(f"bare.{index}", index, False)
                    self.bare = False
            if self.guest.has_full(index):
                self.full = True
                self.program.handler(
                    f"full.{index}", full_stencil, {"guest": self.guest, "index": index}, self.guest.pc, self._begin
                )
                self.full = False
        self.leaving = 0
        self.cycles = 0
        for function in (head, stub, on, wait, late, near, whole):
            self.program.handler(function.__name__, function, {"guest": self.guest})
        return self.program

    def _compile(self, name: str, index: int, ends: bool) -> None:
        known = {"guest": self.guest, "index": index, "ends": ends}
        self.program.handler(name, stencil, known, split=self.guest.pc, prepare=self._begin)

    def _reads(self) -> int:
        """Which registers the handler that was compiled last reads, by bit: those it does more with than hand on."""
        bits = {}
        for bit, field in enumerate(self.registers):
            entry = self.entry[field.offset]
            if isinstance(entry, Int):
                place = self.pinned.index(field) + 1 if field in self.pinned else -1
                bits[entry.name] = 1 << bit, place
        found = 0
        for line in self.program.module.functions[-1].text.splitlines()[1:]:
            if line.startswith("  musttail"):
                handed = line[line.index("(") + 1 : line.rindex(")")].split(", ")
                for at, argument in enumerate(handed):
                    bit, place = bits.get(argument.rpartition(" ")[2], (0, at))
                    found |= bit if at != place else 0
            else:
                for name in _NAME.findall(line.partition(" = ")[2] or line):
                    found |= bits.get(name, (0, 0))[0]
        return found

    def _value(self, name: str) -> Int:
        below = HOLES[name][1]
        width = 64 if name == "hole.count" else 32
        return Int(f"ptrtoint (ptr @{name} to i{width})", width, min(below, 0), max(below - 1, 0))

    def _begin(self, walker: Walker, state: State) -> None:
        self.leaving = 0
        self.entry_pc = state.fields[self.pc.offset]
        state.fields[self.pc.offset] = self._value("hole.next")
        walker.entry_fields = dict(state.fields)
        self.entry = walker.entry_fields
        left, spent = self.entry[self.left.offset], self._value("hole.spent")
        exact = walker.arith.binary(state.block, "+", left, spent, 0)
        exact = walker.arith.binary(state.block, "+", exact, Known(self.cycles), 0)
        state.fields[self.left.offset] = walker.arith.narrow(state.block, exact, self.left.kind)
        self.before = set(state.block.lines)

    def _went(self, walker: Walker, state: State, context: Value, guest: Value) -> Value:
        value = state.fields[self.pc.offset]
        if same(value, self._value("hole.next")):
            return Known("next")
        if known_int(value) is not None or same(value, self._value("hole.target")):
            return Known("target")
        return Known("elsewhere")

    def _hole(self, walker: Walker, state: State, name: Value) -> Value:
        assert isinstance(name, Known)
        return self._value(name.value)

    def _set_pc(self, walker: Walker, state: State, context: Value, guest: Value) -> Value:
        state.fields[self.pc.offset] = self._value("hole.here")
        return Known(None)

    def _leave(self, walker: Walker, state: State, context: Value, name: Value) -> None:
        assert isinstance(name, Known)
        if name.value == "hole.continue":
            state.fields[self.pc.offset] = Int("poison", self.pc.width, 0, self.pc.kind.hi)
            if walker.entry_fields and not self.full:
                state.fields[self.pc.offset] = self.entry_pc
                self._note_writes(state)
                state.fields[self.left.offset] = self.entry[self.left.offset]
        transfer(walker, state, f"@{name.value}")

    def _mutes(self) -> bool:
        """Whether the handler that was compiled last stores to anything but cached fields and the count."""
        text = self.program.module.functions[-1].text
        places = dict(re.findall(r"  (%\S+) = getelementptr inbounds i8, ptr %context, i64 (\d+)", text))
        return any(
            int(places.get(name, -1)) not in self.harmless for name in re.findall(r"  store \S+ \S+, ptr (%\S+),", text)
        )

    def _placeless(self) -> bool:
        """Whether what the handler that was compiled last does depends neither on where it stands nor on the time."""
        left = self.entry[self.left.offset]
        assert isinstance(left, Int)
        times = {left.name}
        for line in self.program.module.functions[-1].text.splitlines()[1:]:
            if line.startswith("  musttail"):
                if "@hole.continue(" not in line and "@hole.interpret." not in line:
                    return False
                continue
            if "@hole." in line and line not in self.before:
                return False
            if not times.isdisjoint(_NAME.findall(line)):
                name, _, code = line.strip().partition(" = ")
                if not code.startswith(SUMS):
                    return False
                times.add(name)
        return True

    def _note_writes(self, state: State) -> None:
        """Which fields were written on this way out; a bare stencil hands on anything in place of volatile ones."""
        changed = sum(
            1 << bit
            for bit, field in enumerate(self.registers)
            if not same(state.fields[field.offset], self.entry[field.offset])
        )
        self.use.changes |= changed
        self.use.settles = changed if self.use.settles is None else self.use.settles & changed
        written = 0
        for bit, field in enumerate(self.volatile):
            if not same(state.fields[field.offset], self.entry[field.offset]):
                written |= 1 << bit
                if self.bare:
                    state.fields[field.offset] = Int("poison", field.width, 0, field.kind.hi)
                    state.dirty.discard(field.offset)
        self.use.always = written if self.use.always is None else self.use.always & written

    def _cold(self, walker: Walker, state: State) -> None:
        """The slow side: to the interpreter, with everything as it was."""
        self.use.cold = True
        state.fields = dict(walker.entry_fields)
        state.fields[self.pc.offset] = self.entry_pc
        state.dirty.clear()
        transfer(walker, state, f"@{INTERPRETS[self.leaving % len(INTERPRETS)]}")
        self.leaving += 1
        state.block.aside = True

    def _quick(
        self, walker: Walker, info: FunctionInfo, values: dict[str, Value], state: State
    ) -> list[tuple[State, Value]] | None:
        """In a full stencil, in place of an outlined function: a quick one; if it does nothing, the slow side."""
        function = self.guest.quick.get(info.function)
        if not self.full or function is None:
            return None
        left = {self.left.offset}
        walker.flush(state, "%context", left)
        arguments = ["ptr %context"]
        arguments += [
            f"i32 {walker.arith.operand(state.block, values[name], 32)}" for name, _ in info.parameters[1:]
        ]
        call = f"call {QUICK_CALLING} i64 @hole.quick.{self.quick.index(function)}({', '.join(arguments)})"
        result = walker.arith.op(state.block, call)
        refused = walker.arith.op(state.block, f"icmp slt i64 {result}, 0")
        on, out = walker.text.block(), walker.text.block()
        state.block.lines.append(f"  br i1 {refused}, label %{out.label}, label %{on.label}, {RARELY}")
        self._cold(walker, state.fork(out))
        state.block = on
        walker.forget(state, "%context", left)
        if not isinstance(info.result, IntType):
            return [(state, Known(None))]
        name = walker.arith.op(state.block, f"trunc i64 {result} to i32")
        return [(state, Int(name, 32, info.result.lo, info.result.hi))]

    def _operand_hole(self, walker: Walker, state: State, guest: Value, index: Value) -> Value:
        assert isinstance(index, Known)
        tail = self.guest.describe(index.value).tail
        if tail == NO_OPERAND:
            return Known(None)
        return self._value(OPERAND_HOLES[tail])


def _seen(walker: Walker, state: State, context: Value, kind: Value) -> Value:
    assert isinstance(context, Ref) and isinstance(kind, Known)
    return Ref(context.base, context.offset, kind.value, context.root)


OPERAND_HOLES = {BYTE: "hole.operand8", WORD: "hole.operand16", RELATIVE: "hole.target", ABSOLUTE: "hole.target"}
