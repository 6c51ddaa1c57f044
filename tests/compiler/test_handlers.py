"""Handlers: fields of the context held in registers, written to memory only where somebody may look."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from tracklayer.compiler.backend import FOLDING
from tracklayer.compiler.convention import Convention, find
from tracklayer.compiler.errors import CompileError
from tracklayer.compiler.glue import crossing
from tracklayer.compiler.intrinsics import CONTROL, resume
from tracklayer.compiler.program import Program
from tracklayer.lang import Array, Ptr, array, go, i32, i64, struct, typed, u1, u8, u16, u32, u64, unlikely

from .harness import Code, Handler


@struct
class Registers:
    a: u8
    flag: u1
    pc: u16

    @typed(shared=True)
    def swap(self) -> None:
        """Of fields that handlers hold in registers: these must be seen as such."""
        self.pc = u16(self.pc << 8 | self.pc >> 8)
        self.a = self.a ^ self.flag


@struct
class Voice:
    level: u8
    steps: Array[u16] = array(4)

    @typed(shared=True)
    def step(self, by: u16) -> u16:
        self.level = u8(self.level + 1)
        self.steps[self.level & 3] ^= by
        return self.steps[0]


@struct
class Machine:
    leave: Ptr[u8]
    table: Array[Ptr[u8]] = array(4)
    result: i64
    regs: Registers
    left: i32
    wide: u64
    held: u16
    seen: u32
    memory: Array[u8] = array(16)
    voices: Array[Voice] = array(3)
    lone: Voice

    @typed(outline=True)
    def slow(self, address: u8) -> u8:
        """Reads and writes registers in memory."""
        self.seen += self.regs.a
        self.left -= 4
        return self.memory[address & 15]

    @typed(cold=True)
    def upset(self, by: u8) -> u8:
        """Changes most of what handlers hold."""
        self.regs.a = u8(self.regs.a * 3 + by)
        self.regs.flag = self.regs.a & 1
        self.regs.pc ^= by << 4
        self.left -= by
        self.wide += self.held
        self.held = u16(self.held + 257)
        return self.memory[by & 15]

    @typed(apart=True)
    def quick(self, address: u8) -> u8:
        """Mostly quick."""
        if address & 0x80:
            return self.upset(address)
        self.left -= 1
        return self.memory[address & 15]

    @typed(outline=True)
    def maybe(self, yes: u8) -> None:
        if yes:
            self.regs.flag = 1
            self.wide += 1


PINNED = ("regs.a", "regs.flag", "regs.pc", "left", "wide")
CACHED = ("held",)


@typed
def calls(m: Machine) -> i64:
    m.regs.a = 77
    m.held = m.regs.pc
    x = m.slow(3)
    m.maybe(x & 1)
    m.regs.a += x
    return m.left + m.held


@typed
def branches(m: Machine) -> i64:
    if m.regs.a > 10:
        m.regs.pc += 1
        m.maybe(1)
        if m.regs.flag:
            m.held = 5
    else:
        m.regs.flag = 0
    return m.regs.pc + m.held


@typed
def loops(m: Machine) -> i64:
    while m.left > 0:
        m.left -= 3
        m.regs.a += 1
        if m.regs.a == 0:
            m.regs.flag = not m.regs.flag
        if m.regs.a & 7 == 5:
            m.wide += m.slow(m.regs.a)
        if unlikely(m.wide > 1000):
            return 1
        m.held ^= m.regs.a
    return 0


@typed
def aliases(m: Machine) -> i64:
    regs = m.regs
    regs.a = 3
    m.regs.flag = regs.a == 3
    regs.pc, m.held = m.held, regs.pc
    return m.regs.a


@typed
def places(m: Machine) -> i64:
    m.regs.a += 9
    m.regs.swap()
    for index in range(3):
        m.held ^= m.voices[index].step(m.regs.pc)
        m.voices[m.regs.a % 3].step(m.held)
    return m.lone.step(m.regs.pc) + m.regs.a


@typed
def sides(m: Machine) -> i64:
    """Calls with a slow side that changes much, one behind the other, in arguments, in sums, in conditions."""
    m.held += 1
    x = m.quick(m.regs.a)
    m.regs.pc += x
    m.regs.flag = m.regs.pc & 1
    m.quick(m.quick(u8(m.quick(u8(x + m.regs.a)))))
    m.wide += m.quick(m.regs.a) + m.quick(x)
    if m.quick(u8(m.regs.pc)) > 99 or m.regs.flag:
        m.held ^= m.regs.pc
    elif m.quick(m.regs.a) & 1 and m.quick(u8(m.held)) & 1:
        return m.left
    m.regs.a += m.quick(u8(m.held >> 3))
    return m.held + x


@typed
def turns(m: Machine) -> i64:
    """The same before a loop and in it."""
    m.quick(m.regs.a)
    count: u8 = 0
    while count < 20 and m.regs.pc != 7:
        m.regs.pc += m.quick(u8(m.regs.a + count))
        m.regs.a += 5
        count += 1
        if m.regs.a == 77:
            break
    for number in (1, 130, 3, 255):
        m.wide += m.quick(number)
    return count


FUNCTIONS = [calls, branches, loops, aliases, places, sides, turns]


@pytest.mark.parametrize("spills", [False, True])
@pytest.mark.parametrize("level", [FOLDING, 0, 1, 2])
def test_registers_end_up_where_cpython_leaves_them(level: int, spills: bool) -> None:
    handler = Handler(Machine, PINNED, CACHED, FUNCTIONS, level, spills=spills)
    for index, function in enumerate(FUNCTIONS):
        for a, left in ((0, 100), (10, 0), (11, 5), (100, 17), (127, 3), (128, 9), (200, 1), (250, 1000), (255, -3)):
            mine, other = Machine(), Machine()
            for m in (mine, other):
                m.regs.a, m.left, m.regs.pc, m.wide, m.held = a, left, 65535, (1 << 64) - 1, 9
                for cell in range(16):
                    m.memory[cell] = cell * 17
            other.result = function(other)
            assert handler.run(index, mine) == other.result
            assert bytes(mine) == bytes(other), function.__name__


def test_shared_functions_are_made_once_for_all_places_without_registers() -> None:
    program = Program(Convention(Machine, PINNED, CACHED), CONTROL)
    program.function("places", places)
    defined = [line.split("(")[0] for line in program.render().splitlines() if line.startswith("define hidden")]
    assert sorted(head.split("@")[1] for head in defined) == ["f.Registers.swap", "f.Voice.step"]


@typed
def first(m: Machine) -> None:
    m.regs.a += 1
    m.held += 1
    go(m.table[m.regs.a & 3])


@typed
def second(m: Machine) -> None:
    m.wide += m.held
    if m.regs.a < 200:
        go(m.table[1])
    else:
        go(m.leave)


def test_handlers_pass_control_and_registers() -> None:
    convention = Convention(Machine, PINNED, CACHED)
    program = Program(convention, CONTROL)
    program.raw(crossing(convention), "enter")
    program.handler("first", first)
    program.handler("second", second)
    assert program.entries == ["enter", "first", "second"]
    code = Code(program, 2, 2)
    machine: Any = Machine()
    ctypes.c_uint64.from_buffer(machine, 0).value = code["leave"]
    for index, name in enumerate(("first", "first", "second", "first")):
        ctypes.c_uint64.from_buffer(machine, find(Machine, "table")[0] + 8 * index).value = code[name]
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code["enter"])(ctypes.addressof(machine), code["first"])
    assert machine.regs.a == 202
    assert machine.held == 202
    assert machine.wide == sum(range(2, 203, 4))


@typed
def returns(m: Machine) -> None:
    m.regs.a += 1


@typed(outline=True)
def goes(m: Machine) -> None:
    go(m.leave)


@typed
def calls_goes(m: Machine) -> None:
    goes(m)


@typed
def uses_no_value(m: Machine) -> None:
    go(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (returns, "ends without a tail transfer"),
        (calls_goes, "only from a handler"),
        (uses_no_value, "takes a pointer to code"),
    ],
)
def test_wrong_handlers_are_refused(function: Any, problem: str) -> None:
    program = Program(Convention(Machine, PINNED), CONTROL)
    with pytest.raises(CompileError, match=problem):
        program.handler("h", function)


@typed
def resumes(m: Machine) -> None:
    resume(m)


def test_only_a_slow_side_can_resume() -> None:
    program = Program(Convention(Machine, PINNED), CONTROL)
    with pytest.raises(CompileError, match="whose registers are in memory"):
        program.handler("h", resumes, spills=True)


def test_what_is_apart_is_called_on_slow_sides_only() -> None:
    held = Handler(Machine, PINNED, CACHED, [sides], 0)
    spilled = Handler(Machine, PINNED, CACHED, [sides], 0, spills=True)
    assert "@f.Machine.quick(" not in held.code.ir
    assert spilled.code.ir.count("@f.Machine.quick(") > 4
    assert "call preserve_nonecc void @leave(" in spilled.code.ir


def test_a_convention_names_what_is_missing() -> None:
    with pytest.raises(KeyError, match=r"Machine has no field regs\.b: Registers has no b"):
        Convention(Machine, ("regs.b",))
    with pytest.raises(TypeError, match="memory is no integer field"):
        Convention(Machine, ("memory",))


@typed
def two_ways(m: Machine) -> None:
    """Paths that leave with different known values of pc."""
    if m.regs.flag:
        m.regs.pc = 5
    else:
        m.regs.pc = 6
    m.seen = u32(m.seen + m.regs.pc)
    go(m.leave)


def test_paths_are_kept_apart_by_the_split_field() -> None:
    texts = []
    for split in (None, "regs.pc"):
        program = Program(Convention(Machine, PINNED), CONTROL)
        program.handler("h", two_ways, split=split)
        texts.append(program.render().count("musttail"))
    assert texts == [1, 2]


@typed
def leaves_or_reads(m: Machine, leaves: Any) -> u8:
    if leaves:
        m.held = 7
        go(m.leave)
    return m.memory[0]


@typed
def needs_the_value(m: Machine, leaves: Any) -> None:
    """Where it is known that the read leaves, nothing behind it is reached."""
    m.seen = 5
    m.wide += leaves_or_reads(m, leaves) + 1
    m.seen = 6
    go(m.leave)


@typed
def needs_it_in_an_arm(m: Machine, leaves: Any) -> None:
    m.wide += leaves_or_reads(m, leaves) if m.regs.flag else 1
    go(m.leave)


@pytest.mark.parametrize("leaves", [False, True])
def test_what_follows_a_call_that_always_leaves_is_left_out(leaves: bool) -> None:
    convention = Convention(Machine, PINNED)
    program = Program(convention, CONTROL)
    program.raw(crossing(convention), "enter")
    program.handler("h", needs_the_value, {"leaves": leaves})
    code = Code(program, 2, 2)
    machine: Any = Machine()
    ctypes.c_uint64.from_buffer(machine, 0).value = code["leave"]
    machine.memory[0] = 40
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code["enter"])(ctypes.addressof(machine), code["h"])
    assert (machine.seen, machine.held, machine.wide) == ((5, 7, 0) if leaves else (6, 0, 41))


def test_a_value_that_never_comes_is_refused_in_an_arm() -> None:
    program = Program(Convention(Machine, PINNED), CONTROL)
    with pytest.raises(CompileError, match="never comes back"):
        program.handler("h", needs_it_in_an_arm, {"leaves": True})
