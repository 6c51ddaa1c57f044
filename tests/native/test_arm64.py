"""arm64 code: the encodings, places, errors and listings; programs that run under qemu-aarch64."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracklayer.native import Arm64Assembler, AssemblyError, Distance, NoAssembler, mc
from tracklayer.native.arm64_operands import (
    REGISTERS,
    d0,
    d8,
    lr,
    mem,
    q0,
    s1,
    sp,
    v0,
    v1,
    v2,
    vectors,
    w0,
    w1,
    w2,
    x0,
    x1,
    x2,
    x3,
    x8,
    x19,
    x20,
    x29,
    x30,
    xzr,
)
from tracklayer.native.loader import ObjectError, parse
from tracklayer.native.operands import OperandError


def no_assembler() -> str:
    try:
        mc.command("aarch64-linux-gnu")
    except NoAssembler as error:
        return str(error)
    return ""


assembles = pytest.mark.skipif(bool(no_assembler()), reason=no_assembler() or "there is one")


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if text in line and "line_of" not in line]
    return number


# Encodings worked out by hand from the Arm ARM's tables, "A64 instruction set encoding".
VECTORS: list[tuple[str, Callable[[Any], object], int]] = [
    ("no operation", lambda a: a.nop(), 0xD503201F),
    ("return", lambda a: a.ret(), 0xD65F03C0),
    ("return by another register", lambda a: a.ret(x1), 0xD65F0020),
    ("system call", lambda a: a.svc(0), 0xD4000001),
    ("add registers", lambda a: a.add(x0, x1, x2), 0x8B020020),
    ("add 32 bits", lambda a: a.add(w0, w1, w2), 0x0B020020),
    ("add a shifted register", lambda a: a.add(x0, x1, x2.lsl(3)), 0x8B020C20),
    ("add an extended register", lambda a: a.add(x0, x1, w2.uxtw(2)), 0x8B224820),
    ("add a number", lambda a: a.add(x0, x1, 0xFFF), 0x913FFC20),
    ("subtract and compare", lambda a: a.subs(xzr, x0, 1), 0xF100041F),
    ("a Python word", lambda a: a.and_(x0, x1, 0xFF), 0x92401C20),
    ("move wide", lambda a: a.movz(x8, 93), 0xD2800BA8),
    ("move the stack pointer", lambda a: a.mov(x29, sp), 0x910003FD),
    ("store a pair before", lambda a: a.stp(x29, x30, mem[sp, -16].pre), 0xA9BF7BFD),
    ("load a pair after", lambda a: a.ldp(x29, lr, mem[sp], 16), 0xA8C17BFD),
    ("load with an offset", lambda a: a.ldr(x0, mem[x1, 8]), 0xF9400420),
    ("load with an index", lambda a: a.ldr(x0, mem[x1, x2.lsl(3)]), 0xF8627820),
    ("load with a signed index", lambda a: a.ldr(x0, mem[x1, w2.sxtw(3)]), 0xF862D820),
    ("choose", lambda a: a.csel(x0, x1, x2, "ne"), 0x9A821020),
    ("a branch to itself", lambda a: a.b(a.label()), 0x14000000),
    ("a conditional branch", lambda a: a.b_ne(a.label()), 0x54000001),
    ("a system register", lambda a: a.mrs(x0, "tpidr_el0"), 0xD53BD040),
    ("a barrier", lambda a: a.dmb("ish"), 0xD5033BBF),
    ("a float", lambda a: a.fmov(d0, 1.5), 0x1E6F1000),
    ("a vector", lambda a: a.fmla(v0["4s"], v1["4s"], v2["4s"]), 0x4E22CC20),
    ("an element", lambda a: a.mov(w0, v1["s", 3]), 0x0E1C3C20),
    ("a list of vectors", lambda a: a.ld2(vectors(v0["4s"], v1["4s"]), mem[x0], 32), 0x4CDF8800),
    ("a whole vector", lambda a: a.ldr(q0, mem[x0]), 0x3DC00000),
    ("a single float", lambda a: a.str(s1, mem[x0, 4]), 0xBD000401),
]


@assembles
def test_instructions_are_encoded_as_the_manual_says() -> None:
    a = Arm64Assembler()
    for _, write, _ in VECTORS:
        write(a)
    data = a.assemble().data
    words = struct.unpack_from(f"<{len(VECTORS)}I", data)
    wrong = [f"{name}: {word:08x}" for (name, _, want), word in zip(VECTORS, words, strict=True) if word != want]
    assert not wrong


@assembles
def test_newer_architectures_are_known_by_name() -> None:
    a = Arm64Assembler(arch="armv8-a+lse")
    a.ldadd(x0, x1, mem[x2])
    assert a.assemble().data[:4] == (0xF8200041).to_bytes(4, "little")
    a = Arm64Assembler()
    a.ldadd(x0, x1, mem[x2])
    with pytest.raises(AssemblyError, match="instruction requires: lse"):
        a.assemble()
    with pytest.raises(AssemblyError, match="is no architecture"):
        Arm64Assembler(arch="x; y")


@assembles
def test_a_listing_shows_address_bytes_instruction_and_source() -> None:
    a = Arm64Assembler()
    a.label("loop")
    a.subs(x0, x0, 1)  # the listed line
    a.b_ne("loop")
    a.ldr(x1, a.object(None))
    a.ret()
    a.db(1, 2)
    made = a.assemble(0x1000)
    lines = made.listing.lines
    assert [(line.address, line.text) for line in lines] == [
        (0x1000, "loop:"),
        (0x1000, "subs x0, x0, #1"),
        (0x1004, "b.ne loop"),
        (0x1008, "ldr x1, <NoneType>"),
        (0x100C, "ret"),
        (0x1010, ".data 1"),
        (0x1011, ".data 1"),
    ]
    assert lines[1].line == line_of("# the listed line") and lines[1].file == __file__
    assert lines[1].data.hex() == "000400f1"
    assert "00 04 00 f1" in str(made.listing) and "test_arm64.py:" in str(made.listing)
    assert made.labels == {"loop": 0x1000}


@assembles
def test_data_labels_distances_and_constants() -> None:
    a = Arm64Assembler()
    a.ret()
    a.label("data")
    a.db(1, 255)
    a.dw(0x1234)
    a.dd(-1, Distance("end", "data"))
    a.align(8)
    a.dq("data", 2.5)
    a.data("text")
    a.space(4)
    a.label("end")
    a.ldr(d0, a.constant(1.25))
    a.ldr(d0, a.constant(1.25))
    made = a.assemble(0x2000)
    data = made.data
    assert made.labels == {"data": 0x2004, "end": 0x2028}
    assert data[4:16].hex() == "01ff3412" + "ffffffff" + "24000000"
    assert struct.unpack_from("<Qd", data, 16) == (0x2004, 2.5)
    assert data[32:40] == b"text\0\0\0\0"
    first, second = struct.unpack_from("<II", data, 40)
    places = [at + 4 * (word >> 5 & 0x7FFFF) for at, word in ((40, first), (44, second))]
    assert places[0] == places[1] and struct.unpack_from("<d", data, places[0])[0] == 1.25
    a.ret()
    assert len(a.assemble().data) > 0  # more can be added, and put together again


@assembles
def test_errors_come_from_the_line_that_caused_them() -> None:
    def wrong(write: Callable[[Any], object], match: str) -> AssemblyError:
        a = Arm64Assembler()
        a.nop()
        with pytest.raises(AssemblyError, match=match) as caught:
            write(a)
            a.nop()
            a.assemble()
        return caught.value

    error = wrong(lambda a: a.add(x0, x1, v0["4s"]), "expected compatible register")  # wrong operand
    assert (error.file, error.line) == (__file__, line_of("# wrong operand"))
    assert "`add x0, x1, v0.4s`" in str(error) and "wrong(lambda a: a.add" in str(error)
    error = wrong(lambda a: a.mvo(x0, x1), "unrecognized instruction mnemonic")  # no mnemonic
    assert error.line == line_of("# no mnemonic")
    error = wrong(lambda a: a.b("nowhere"), "'nowhere' is used and never placed")  # to nowhere
    assert error.line == line_of("# to nowhere")
    wrong(lambda a: a.add(x0, x1, 0x1001), r"integer in range \[0, 4095\]")
    wrong(lambda a: (a.tbz(x0, 1, "far"), a.space(1 << 16), a.label("far")), "out of range")
    wrong(lambda a: a.mov(x0, None), r"None \(NoneType\) is no operand")
    wrong(lambda a: a.mov(x0, True), r"True \(bool\) is no operand")
    wrong(lambda a: a.b("two words"), "neither a label nor a word")
    wrong(lambda a: a.b("x\n.byte 1"), "neither a label nor a word")
    wrong(lambda a: a.emit(".byte", 1), "is no mnemonic")
    wrong(lambda a: a.adr(x0, a.object(1)), "ldr it into a register first")
    wrong(lambda a: (a.label("here"), a.label("here")), "'here' is placed twice")
    wrong(lambda a: a.label("x0"), "cannot be called 'x0'")
    wrong(lambda a: a.align(3), "a power of two")
    wrong(lambda a: a.dd(1 << 40), "does not fit 4 bytes")
    wrong(lambda a: a.dq(Distance("a b", "c")), "is no label")
    wrong(lambda a: a.epilogue(), r"write prologue\(\) first")
    wrong(lambda a: a.local(0), "no local 0")
    wrong(lambda a: a.prologue(x0), "a frame saves x19 to x28")
    wrong(lambda a: a.prologue(locals=600), "too large")
    wrong(lambda a: a.argument(8), "on the stack")
    wrong(lambda a: a.bl(a.c_function("no_such_function")), "no C function")
    with pytest.raises(OperandError, match="neither shifted"):
        d0.lsl(1)
    with pytest.raises(OperandError, match="has no elements"):
        x0["4s"]
    with pytest.raises(OperandError, match="one arrangement"):
        vectors(v0["4s"], v1["2d"])
    with pytest.raises(OperandError, match="is no register"):
        mem[5]  # type: ignore[index]
    with pytest.raises(AttributeError, match="made of x86-64 code"):
        _ = Arm64Assembler().callback
    with pytest.raises(ValueError, match="no multiple of"):
        Arm64Assembler().assemble(2)


@assembles
def test_calls_of_c_functions_go_over_a_stub_where_they_are_far() -> None:
    a = Arm64Assembler()
    puts = ctypes.CDLL(None).puts
    a.bl(a.c_function("puts"))
    a.bl(puts)
    address = a.c_function("puts").address
    near = a.assemble((address & ~0xFFF) + 0x10000)
    word = int.from_bytes(near.data[:4], "little")
    assert word >> 26 == 0b100101 and near.address + 4 * ((word & 0x3FFFFFF) - (1 << 26)) == address
    far = a.assemble(0x10000)
    assert address.to_bytes(8, "little") in far.data
    assert [line.text for line in far.listing.lines] == ["bl puts", "bl puts"]


@assembles
def test_frames_come_with_an_unwinding_table(tmp_path: Path) -> None:
    a = Arm64Assembler()
    a.nop()
    a.ret()
    a.prologue(x19, d8, locals=1)
    a.str(x0, a.local(0))
    a.epilogue()
    made = a.assemble()
    assert len(made.unwinding) > 60 and made.unwinding in made.data
    readelf = shutil.which("readelf")
    if readelf is None:
        return
    path = tmp_path / "object"
    path.write_bytes(mc.assemble(a.text, "aarch64-linux-gnu"))
    done = subprocess.run([readelf, "--debug-dump=frames", str(path)], capture_output=True, check=False)
    shown = done.stdout.decode()
    assert shown.count(" FDE ") == 2, shown
    for rule in (r"DW_CFA_def_cfa: r29 .* ofs 48", r"r19 .* at cfa-24", r"r72 .* at cfa-16", r"r30 .* at cfa-40"):
        assert re.search(rule, shown), (rule, shown)


def test_where_no_assembler_is_installed_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    mc.command.cache_clear()
    try:
        with pytest.raises(NoAssembler, match=r"riscv64-linux-gnu here: install .*llvm-mc.*pip install ziglang"):
            mc.command("riscv64-linux-gnu")
    finally:
        mc.command.cache_clear()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="knows two kinds of hosts")
def test_for_the_hosts_own_processor_llvmlite_does_it() -> None:
    """The way that an arm64 host takes, taken on whatever host this is."""
    triple = f"{platform.machine()}-linux-gnu"
    assert mc.command(triple)[1] == mc.__file__
    file = parse(mc.assemble('.text\nname: ret\n.ascii "a\\"b\\\\"\n', triple))
    assert file.symbol_name(next(i for i in range(9) if file.symbol_name(i) == "name")) == "name"
    assert bytes(file.section(".text").data).endswith(b'a"b\\')
    with pytest.raises(mc.AssemblerErrors) as caught:
        mc.assemble(".text\n ret\n mvo 1, 2\n ret\n", triple)
    assert [line for line, _ in caught.value.errors] == [3]
    assert "mnemonic" in caught.value.errors[0][1]


@assembles
@pytest.mark.skipif(platform.machine() == "aarch64", reason="this is an arm64 host")
def test_it_does_not_run_elsewhere() -> None:
    a = Arm64Assembler()
    a.ret()
    with pytest.raises(ObjectError, match="aarch64 cannot run on this"):
        a.load()


@assembles
@pytest.mark.skipif(platform.machine() != "aarch64", reason="needs an arm64 host")
def test_it_runs_on_an_arm64_host() -> None:
    a = Arm64Assembler()
    a.prologue(x19)
    a.mov(x19, x0)
    a.mov(x0, -5)
    a.bl(a.c_function("labs"))
    a.add(x0, x0, x19)
    a.epilogue()
    code = a.load()
    assert ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)(code.address)(37) == 42


@assembles
@pytest.mark.skipif(platform.machine() != "aarch64", reason="needs an arm64 host")
def test_a_forked_child_on_an_arm64_host_has_code_of_its_own() -> None:
    def returns(number: int) -> Any:
        a = Arm64Assembler()
        a.mov(x0, number)
        a.ret()
        return a.load()

    def call(code: Any) -> int:
        return int(ctypes.CFUNCTYPE(ctypes.c_int)(code.address)())

    kept = returns(5)
    child = os.fork()
    if child == 0:
        os._exit(call(kept) + call(returns(7)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 12
    assert call(returns(9)) == 9 and call(kept) == 5


# ----------------------------------------------------------------------------------------------------------------- qemu


def program(a: Arm64Assembler, path: Path, base: int = 0x400000) -> Path:
    """An executable file of the code, which begins at its first instruction. Source: System V ABI, "ELF Header"."""
    code = a.assemble(base + 0x1000).data
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, base + 0x1000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 5, 0x1000, base + 0x1000, base + 0x1000, len(code), len(code), 0x1000)
    path.write_bytes(head.ljust(0x1000, b"\0") + code)
    path.chmod(0o755)
    return path


@assembles
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="needs qemu-aarch64 (Debian's package qemu-user)")
def test_a_program_runs_under_qemu(tmp_path: Path) -> None:
    """Recursion through frames, a table of addresses, floats, vectors, constants, and system calls that show it all."""
    a = Arm64Assembler("program")
    a.adr(x1, "text")
    a.mov(x0, 1)
    a.mov(x2, 14)
    a.mov(x8, 64)  # write
    a.svc(0)
    a.cmp(x0, 14)
    a.b_ne("wrong")
    a.mov(x0, 20)
    a.bl("fibonacci")
    a.ldr(x1, 6765)
    a.cmp(x0, x1)
    a.b_ne("wrong")
    a.mov(x0, 1)  # the second of the table
    a.adr(x1, "table")
    a.ldr(x1, mem[x1, x0.lsl(3)])
    a.br(x1)
    a.label("wrong")
    a.mov(x0, 1)
    a.b("leave")
    a.label("second")
    a.ldr(d0, a.constant(1.25))
    a.fadd(d0, d0, d0)
    a.fcvtzs(x0, d0)
    a.cmp(x0, 2)
    a.b_ne("wrong")
    a.adr(x1, "numbers")
    a.ldr(q0, mem[x1])
    a.addv(s1, v0["4s"])
    a.fmov(w0, s1)
    a.cmp(w0, 100)
    a.b_ne("wrong")
    a.mov(x0, 42)
    a.label("leave")
    a.mov(x8, 93)  # exit
    a.svc(0)

    a.label("fibonacci")
    a.prologue(x19, x20, locals=1)
    a.mov(x19, x0)
    a.cmp(x0, 2)
    a.b_lo("done")
    a.sub(x0, x19, 1)
    a.bl("fibonacci")
    a.str(x0, a.local(0))
    a.sub(x0, x19, 2)
    a.bl("fibonacci")
    a.ldr(x20, a.local(0))
    a.add(x0, x0, x20)
    a.label("done")
    a.epilogue()

    a.label("text")
    a.data("Hello, arm64!\n")
    a.align(16)
    a.label("numbers")
    a.dd(10, 20, 30, 40)
    a.label("table")
    a.dq("wrong", "second")
    run = subprocess.run(["qemu-aarch64", str(program(a, tmp_path / "program"))], capture_output=True, timeout=60)
    assert (run.returncode, run.stdout) == (42, b"Hello, arm64!\n")


def test_every_register_has_its_name() -> None:
    assert len(REGISTERS) == 2 * 31 + 6 * 32 + 4
    assert repr(REGISTERS["x30"]) == "x30" and REGISTERS["sp"].number == 31 and x3.number == 3
