"""The assembler: labels, data, imports, frames, listings, and errors at the line that caused them."""

from __future__ import annotations

import array
import ctypes
import gc
import os
import sys
from pathlib import Path

import iced_x86
import pytest

from tracklayer.native.assembler import Assembler, AssemblyError, Distance
from tracklayer.native.memory import CodeMemory, code_memory
from tracklayer.native.operands import (
    byte,
    dword,
    eax,
    edi,
    mem,
    qword,
    rax,
    rbx,
    rcx,
    rdi,
    rip,
    rsi,
    rsp,
    xmm0,
)

X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
runs = pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")


def line_of(text: str) -> int:
    """The line of this file on which a piece of text stands (once, besides here)."""
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if text in line and "line_of" not in line]
    return number


# --------------------------------------------------------------------------------------------------------------- layout


def test_jumps_are_short_where_they_reach_and_near_elsewhere() -> None:
    a = Assembler()
    a.jmp("near")
    a.jmp("far")
    a.data(bytes(100))
    a.label("near")
    a.data(bytes(100))
    a.label("far")
    a.jz("near")
    made = a.assemble()
    assert made.data[:2] == b"\xeb\x69"
    assert made.data[2:7] == b"\xe9\xc8\x00\x00\x00"
    assert made.data[-2:] == b"\x74\x9a"


def test_a_jump_that_grows_makes_others_grow() -> None:
    """Each jump reaches its label only as long as all between them are short; one is not."""
    a = Assembler()
    for i in range(60):
        a.jmp(f"target{i}")
    a.data(bytes(90))
    for i in range(60):
        a.label(f"target{i}")
        a.nop()
    made = a.assemble(0x1000)
    decoder = iced_x86.Decoder(64, made.data, ip=0x1000)
    for i in range(60):
        assert decoder.decode().near_branch_target == made.labels[f"target{i}"]


def test_loops_that_cannot_reach_say_so_at_their_line() -> None:
    a = Assembler()
    a.label("top")
    a.data(bytes(200))
    a.loop("top")  # too far
    with pytest.raises(AssemblyError, match=r"distance to top is -202, which does not fit 8 bits") as caught:
        a.assemble()
    assert (caught.value.file, caught.value.line) == (__file__, line_of("# too far"))


def test_data_of_all_sizes() -> None:
    a = Assembler()
    a.label("start")
    a.db(1, 0xFF, -1)
    a.dw(0x1234)
    a.dd(0x12345678, -2, 1.5)
    a.dq(-1, 0.5, "start")
    a.data("text\0")
    a.align(16)
    a.label("end")
    a.dd(Distance("end", "start"))
    made = a.assemble(0x4000)
    assert made.data[:5] == b"\x01\xff\xff\x34\x12"
    assert made.data[5:17] == bytes.fromhex("78563412feffffff0000c03f")
    assert made.data[17:41] == b"\xff" * 8 + bytes.fromhex("000000000000e03f") + (0x4000).to_bytes(8, "little")
    assert made.data[41:46] == b"text\0"
    assert made.labels == {"start": 0x4000, "end": 0x4030}
    assert int.from_bytes(made.data[0x30:0x34], "little") == 0x30


def test_alignment_in_code_is_made_of_no_operations() -> None:
    a = Assembler()
    a.ret()
    a.align(32)
    a.label("next")
    a.ret()
    made = a.assemble()
    assert made.labels["next"] == 32
    texts = [str(instruction) for instruction in iced_x86.Decoder(64, made.data)]
    assert all(text.startswith(("nop", "xchg ax,ax", "ret")) for text in texts)
    assert len(texts) < 8


def test_operands_relative_to_rip() -> None:
    a = Assembler()
    a.lea(rdi, mem["message"])
    a.cmp(dword["message"], 0x12345678)
    a.mov(rax, qword[rip + 1])
    a.label("message")
    a.db(0)
    made = a.assemble(0x10000)
    decoder = iced_x86.Decoder(64, made.data, ip=0x10000)
    first, second, third = (decoder.decode() for _ in range(3))
    assert first.ip_rel_memory_address == made.labels["message"]
    assert second.ip_rel_memory_address == made.labels["message"]
    assert third.ip_rel_memory_address == third.next_ip + 1


def test_equal_constants_are_kept_once() -> None:
    a = Assembler()
    for _ in range(3):
        a.addsd(xmm0, a.constant(1.5))
        a.cmp(rax, a.constant(1 << 40))
    made = a.assemble()
    assert made.data.count(bytes.fromhex("000000000000f83f")) == 1
    assert made.data.count((1 << 40).to_bytes(8, "little")) == 1


def test_a_listing_shows_address_bytes_instruction_and_source() -> None:
    a = Assembler()
    a.label("again")
    a.add(qword[rdi + rcx * 8 + 16], 1, lock=True)  # shown
    a.jnz("again")
    lines = str(a.listing).splitlines()
    assert "again:" in lines[0]
    assert lines[1].split("  ")[0] == "000000000000"
    assert "f0 48 83 44 cf 10 01" in lines[1]
    assert "add qword [rdi+rcx*8+0x10], 1 {lock}" in lines[1]
    assert lines[1].endswith(f"; test_assembler.py:{line_of('# shown')}")
    assert "jnz again" in lines[2] and "75 f7" in lines[2]


def test_code_can_be_added_after_assembling() -> None:
    a = Assembler()
    a.mov(eax, 1)
    assert len(a.assemble().data) == 5
    a.ret()
    assert len(a.assemble().data) == 6


# --------------------------------------------------------------------------------------------------------------- errors


def test_errors_come_from_the_line_that_caused_them() -> None:
    a = Assembler()
    with pytest.raises(AssemblyError, match="no encoding of `mov rax, xmm0`") as caught:
        a.mov(rax, xmm0)  # wrong operands
    assert caught.value.line == line_of("# wrong operands")
    assert "a.mov(rax, xmm0)" in str(caught.value)
    with pytest.raises(AssemblyError, match="'mvo'"):
        a.mvo(rax, 1)
    with pytest.raises(AssemblyError, match=r"write its size before it, as in qword\[...\]"):
        a.mov(rax, rdi + 8)
    with pytest.raises(AssemblyError, match=r"None \(NoneType\) is no operand"):
        a.mov(rax, None)
    with pytest.raises(AssemblyError, match="write the size of the memory"):
        a.inc(mem[rax])
    with pytest.raises(AssemblyError, match="no C function 'no_such_function' in the process"):
        a.call(a.c_function("no_such_function"))
    with pytest.raises(AssemblyError, match="does not fit 1 bytes"):
        a.db(256)
    with pytest.raises(AssemblyError, match="a power of two"):
        a.align(3)


def test_no_method_hides_an_instruction() -> None:
    from tracklayer.native.forms import forms

    assert not set(forms()) & {name for name in dir(Assembler) if not name.startswith("_")}


def test_labels_that_are_missing_or_placed_twice() -> None:
    a = Assembler()
    a.jmp("nowhere")  # to nowhere
    with pytest.raises(AssemblyError, match="'nowhere' is used and never placed") as caught:
        a.assemble()
    assert caught.value.line == line_of("# to nowhere")
    a = Assembler()
    a.label("here")
    with pytest.raises(AssemblyError, match="'here' is placed twice"):
        a.label("here")


def test_frames_are_needed_for_what_needs_them() -> None:
    a = Assembler()
    with pytest.raises(AssemblyError, match="write prologue"):
        a.epilogue()
    with pytest.raises(AssemblyError, match="no local 0"):
        a.local(0)
    with pytest.raises(AssemblyError, match=r"prologue\(polls=True\)"):
        a.poll()
    with pytest.raises(AssemblyError, match="saves 64-bit registers"):
        a.prologue(eax)
    with pytest.raises(AssemblyError, match="argument 6 is on the stack"):
        Assembler(abi="sysv").argument(6)
    assert Assembler(abi="win64").argument(0) == rcx


# -------------------------------------------------------------------------------------------------------------- running


@runs
def test_a_function_of_two_integers() -> None:
    a = Assembler()
    a.lea(rax, mem[rdi + rsi])
    a.ret()
    add = a.function("i64(x: i64, y: i64)", name="add", doc="The sum.")
    assert add(40, 2) == 42
    assert (add.__name__, add.__doc__, add.__module__) == ("add", "The sum.", __name__)


@runs
def test_embedded_data_a_table_and_an_indirect_jump() -> None:
    a = Assembler("choose")
    a.cmp(rdi, 3)
    a.jae("other")
    a.lea(rcx, mem["table"])
    a.movsxd(rax, dword[rcx + rdi * 4])
    a.add(rax, rcx)
    a.jmp(rax)
    a.label("other")
    a.mov(eax, -1 & 0xFFFFFFFF)
    a.ret()
    for i in range(3):
        a.label(f"case{i}")
        a.mov(eax, 10 * i)
        a.ret()
    a.align(4)
    a.label("table")
    a.dd(*(Distance(f"case{i}", "table") for i in range(3)))
    choose = a.function("i32(which: u64)")
    assert [choose(i) for i in range(5)] == [0, 10, 20, -1, -1]


@runs
def test_c_functions_of_the_process_and_of_libraries() -> None:
    a = Assembler()
    a.prologue()
    a.call(a.c_function("abs"))
    a.epilogue()
    assert a.function("i32(x: i32)")(-5) == 5
    a = Assembler()
    a.prologue()
    a.call(a.c_function("cos", "libm.so.6"))
    a.epilogue()
    assert a.function("f64(x: f64)")(0.0) == 1.0
    a = Assembler()
    a.jmp(ctypes.CDLL(None).labs)
    assert a.function("i64(x: i64)")(-(1 << 40)) == 1 << 40


@runs
def test_a_buffer_is_written_in_place_and_stays_exported() -> None:
    cells = array.array("q", [1, 2, 3])
    a = Assembler()
    a.mov(rax, a.buffer(cells))
    a.add(qword[rax + 8], rdi)
    a.ret()
    bump = a.function("void(by: i64)")
    bump(40)
    assert cells[1] == 42
    with pytest.raises(BufferError):
        cells.append(4)
    del bump, a
    gc.collect()
    cells.append(4)


@runs
def test_an_object_belongs_to_the_code() -> None:
    thing = ["kept"]
    before = sys.getrefcount(thing)
    a = Assembler()
    a.mov(rax, a.object(thing))
    a.inc(qword[rax])
    a.ret()
    get = a.function("object()")
    assert get() is thing
    del a, get
    gc.collect()
    assert sys.getrefcount(thing) == before


@runs
def test_several_functions_share_code() -> None:
    a = Assembler()
    a.label("double")
    a.lea(rax, mem[rdi + rdi])
    a.ret()
    a.align(16)
    a.label("quadruple")
    a.call("double")
    a.lea(rax, mem[rax + rax])
    a.ret()
    code = a.load()
    quadruple = a.function("i64(x: i64)", entry="quadruple")
    assert quadruple(5) == 20 and quadruple.__name__ == "quadruple"
    assert a.function("i64(x: i64)", entry="double")(5) == 10
    assert code.labels["quadruple"] - code.address == 16


@runs
def test_frames_keep_registers_and_have_locals() -> None:
    a = Assembler()
    a.prologue(rbx, locals=2)
    a.mov(rbx, rdi)
    a.mov(a.local(0), rsi)
    a.mov(a.local(1), 5)
    a.xor(edi, edi)
    a.test(rsp, 15)  # aligned, as C functions want it
    a.jnz("bad")
    a.call(a.c_function("labs"))
    a.mov(rax, rbx)
    a.add(rax, a.local(0))
    a.add(rax, a.local(1))
    a.epilogue()
    a.label("bad")
    a.mov(rax, -1)
    a.epilogue()
    f = a.function("i64(x: i64, y: i64)")
    assert f(10, 20) == 35


@runs
def test_the_c_unwinder_goes_through_frames() -> None:
    """glibc's backtrace(3), called from generated code, finds the way out to Python's own frames."""
    space = (ctypes.c_void_p * 100)()
    a = Assembler("unwound")
    a.label("outer")
    a.prologue(rbx, locals=3)
    a.call("inner")
    a.epilogue()
    a.finish_frame()
    a.label("inner")
    a.prologue()
    a.mov(rdi, ctypes.addressof(space))
    a.mov(rsi, 100)
    a.call(a.c_function("backtrace"))
    a.epilogue()
    code = a.load()
    count = ctypes.PYFUNCTYPE(ctypes.c_int)(code.labels["outer"])()
    frames = [space[i] or 0 for i in range(count)]
    inside = [i for i, frame in enumerate(frames) if frame in code_memory()]
    assert inside == [0, 1]
    assert count > 8, "nothing was found beyond the generated frames"


@runs
def test_dropped_functions_leave_nothing() -> None:
    def make() -> None:
        a = Assembler()
        a.prologue()
        a.call(a.callback(print, "void(i64)"))
        a.epilogue()
        a.function("void(x: i64)")

    make()
    gc.collect()
    used, references = code_memory().used, sys.getrefcount(print)
    for _ in range(50):
        make()
    gc.collect()
    assert (code_memory().used, sys.getrefcount(print)) == (used, references)


@runs
def test_code_may_lie_in_a_memory_of_its_own() -> None:
    memory = CodeMemory(4 << 20)
    a = Assembler()
    a.movzx(eax, byte[rdi + 1])
    a.ret()
    code = a.load(memory)
    assert code.address in memory
    assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)(code.address)(b"ab") == ord("b")
