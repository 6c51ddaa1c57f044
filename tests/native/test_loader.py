"""The loader: what LLVM makes runs at any address, and broken bytes are errors."""

from __future__ import annotations

import ctypes
import functools
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from tracklayer.native.loader import LoadedObject, ObjectError, UndefinedSymbols, load, parse
from tracklayer.native.memory import CodeMemory

X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
runs = pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")
LONG = ctypes.CFUNCTYPE(ctypes.c_longlong, ctypes.c_longlong)

PROGRAM = """
@table = private constant [4 x double] [double 1.0, double 2.0, double 4.0, double 8.0]
@pointers = constant [2 x ptr] [ptr @square, ptr @outside]
@far = external global i64
declare i64 @ext(i64)

define double @look_up(i64 %i) {
  %p = getelementptr [4 x double], ptr @table, i64 0, i64 %i
  %v = load double, ptr %p
  ret double %v
}
define i64 @square(i64 %i) { %r = mul i64 %i, %i  ret i64 %r }
define i64 @outside(i64 %i) {
  %a = call i64 @ext(i64 %i)
  %k = load i64, ptr @far
  %r = add i64 %a, %k
  ret i64 %r
}
define i64 @by_pointer(i64 %which) {
  %p = getelementptr [2 x ptr], ptr @pointers, i64 0, i64 %which
  %f = load volatile ptr, ptr %p
  %r = call i64 %f(i64 9)
  ret i64 %r
}
define i64 @choose(i64 %i) {
  switch i64 %i, label %d [ i64 0, label %a
    i64 1, label %b
    i64 2, label %c
    i64 3, label %e
    i64 4, label %f ]
a: %ra = call i64 @ext(i64 5)
  ret i64 %ra
b: ret i64 77
c: %rc = call i64 @outside(i64 3)
  ret i64 %rc
d: ret i64 0
e: ret i64 9991
f: ret i64 177
}
"""


@functools.cache
def compiled(
    program: str, triple: str = "x86_64-unknown-linux-gnu", reloc: str = "pic", model: str = "small", opt: int = 2
) -> bytes:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(triple).create_target_machine(reloc=reloc, codemodel=model, opt=opt)
    return bytes(target.emit_object(llvm.parse_assembly(f'target triple = "{triple}"\n{program}')))


class Outside:
    """What PROGRAM uses and does not define: a doubling function and a variable that holds 1000."""

    def __init__(self) -> None:
        self.double = LONG(lambda x: 2 * x)
        self.variable = ctypes.c_longlong(1000)
        self.names = {
            "ext": ctypes.cast(self.double, ctypes.c_void_p).value or 0,
            "far": ctypes.addressof(self.variable),
        }


@runs
@pytest.mark.parametrize("model", ["small", "large"])
@pytest.mark.parametrize("reloc", ["static", "pic"])
def test_every_code_model_of_llvm_runs(reloc: str, model: str) -> None:
    outside = Outside()
    memory = CodeMemory(8 << 20, low=(reloc, model) == ("static", "small"))
    loaded = load(compiled(PROGRAM, reloc=reloc, model=model), memory, outside.names)
    assert [ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_longlong)(loaded["look_up"])(i) for i in range(4)] == [
        1,
        2,
        4,
        8,
    ]
    assert LONG(loaded["outside"])(5) == 1010
    assert [LONG(loaded["by_pointer"])(i) for i in range(2)] == [81, 1018]
    assert [LONG(loaded["choose"])(i) for i in range(6)] == [10, 77, 1006, 9991, 177, 0]
    assert len(loaded.eh_frames) == 1
    address, size = loaded.eh_frames[0]
    assert ctypes.string_at(address + size, 4) == bytes(4)


@runs
def test_far_calls_go_over_a_stub_and_near_ones_do_not() -> None:
    file = parse(compiled(PROGRAM))
    layout = file.layout()
    near, far = (layout.link(0x10000000, {"ext": where, "far": where}) for where in (0x20000000, 0x7FFF_0000_0000))
    call = next(r for r in file.relocations(".text") if r.symbol == "ext")
    distances = [int.from_bytes(image[call.offset : call.offset + 4], "little", signed=True) for image in (near, far)]
    assert distances[0] == 0x20000000 - (0x10000000 + call.offset + 4)
    stub = call.offset + 4 + distances[1]
    assert far[stub : stub + 2] == b"\xff\x25"
    slot = stub + 6 + int.from_bytes(far[stub + 2 : stub + 6], "little", signed=True)
    assert far[slot : slot + 8] == (0x7FFF_0000_0000).to_bytes(8, "little")


def test_loads_from_the_address_table_are_relaxed_where_the_symbol_is_near() -> None:
    file = parse(compiled(PROGRAM))
    where = next(r for r in file.relocations(".text") if r.kind == "R_X86_64_REX_GOTPCRELX")
    near, far = (
        file.layout().link(0x10000000, {"ext": 0x10000000, "far": place}) for place in (0x20000000, 0x7FFF_0000_0000)
    )
    assert near[where.offset - 2] == 0x8D and far[where.offset - 2] == 0x8B


def test_undefined_symbols_are_all_named() -> None:
    with pytest.raises(UndefinedSymbols, match="ext, far") as caught:
        parse(compiled(PROGRAM)).layout().link(0, {})
    assert caught.value.names == ("ext", "far")
    assert parse(compiled(PROGRAM)).undefined == ("ext", "far")


def test_weak_undefined_symbols_are_null() -> None:
    image = parse(compiled("@w = extern_weak global i64\n@p = constant ptr @w")).layout().link(0x1000, {})
    assert image[:8] == bytes(8)


def test_writable_data_is_refused_by_name() -> None:
    with pytest.raises(ObjectError, match=r"\.data.*writable.*argument"):
        parse(compiled("@counter = global i64 7")).layout()
    with pytest.raises(ObjectError, match=r"\.bss.*writable"):
        parse(compiled("@counter = global i64 0")).layout()
    with pytest.raises(ObjectError, match="thread-local"):
        parse(compiled("@counter = thread_local global i64 7")).layout()


def test_a_value_that_does_not_fit_is_an_error_with_its_place() -> None:
    data = compiled(PROGRAM, reloc="static")
    with pytest.raises(ObjectError, match=r"\.text\+0x\w+: R_X86_64_32S \.rodata.*does not fit signed 32 bits"):
        parse(data).layout().link(0x7FFF_0000_0000, {"ext": 0, "far": 0})


def test_other_formats_and_machines_are_named() -> None:
    with pytest.raises(ObjectError, match="COFF"):
        parse(compiled("define void @f() { ret void }", "x86_64-pc-windows-msvc"))
    with pytest.raises(ObjectError, match="Mach-O"):
        parse(compiled("define void @f() { ret void }", "x86_64-apple-darwin"))
    with pytest.raises(ObjectError, match="64-bit"):
        parse(compiled("define void @f() { ret void }", "i686-unknown-linux-gnu"))
    with pytest.raises(ObjectError, match="ELF machine 243"):
        parse(compiled("define void @f() { ret void }", "riscv64-unknown-linux-gnu", model="medium"))
    with pytest.raises(ObjectError, match="empty"):
        parse(b"")
    with pytest.raises(ObjectError, match="begins with 23 21"):
        parse(b"#!/bin/sh")


@runs
def test_an_object_for_another_machine_is_not_run() -> None:
    with pytest.raises(ObjectError, match="aarch64 cannot run on this x86_64"):
        load(compiled(PROGRAM, "aarch64-unknown-linux-gnu"), CodeMemory(8 << 20))


STENCILS = """
@hole8 = external hidden global i8, !absolute_symbol !0
@hole16 = external hidden global i8, !absolute_symbol !1
@hole32 = external hidden global i8, !absolute_symbol !2
@numbers = private constant [3 x i64] [i64 10, i64 20, i64 30]
declare void @next(i64)
define i64 @add_immediate(i64 %x, i64 %y) {
  %c = icmp ugt i64 %y, ptrtoint (ptr @hole8 to i64)
  %a = add i64 %x, ptrtoint (ptr @hole32 to i64)
  %r = select i1 %c, i64 %a, i64 %x
  ret i64 %r
}
define void @store16(ptr %p) { store i16 ptrtoint (ptr @hole16 to i16), ptr %p  ret void }
define i64 @from_table(i64 %i) {
  %p = getelementptr [3 x i64], ptr @numbers, i64 0, i64 %i
  %v = load i64, ptr %p
  tail call void @next(i64 %v)
  ret i64 %v
}
!0 = !{i64 0, i64 128}
!1 = !{i64 0, i64 65536}
!2 = !{i64 0, i64 2147483648}
"""


def test_functions_come_with_their_open_holes() -> None:
    functions = parse(compiled(STENCILS, reloc="static")).functions()
    assert set(functions) == {"add_immediate", "store16", "from_table"}
    holes = {hole.symbol: hole.kind for function in functions.values() for hole in function.holes}
    assert holes["hole8"] == "R_X86_64_8"
    assert holes["hole16"] == "R_X86_64_16"
    assert holes["hole32"] in ("R_X86_64_32", "R_X86_64_32S")
    assert holes["next"] == "R_X86_64_PLT32"
    inside = [r for r in functions["from_table"].relocations if r.section is not None]
    assert len(inside) == 1 and inside[0].section == inside[0].symbol and inside[0].section.startswith(".rodata")
    for function in functions.values():
        for relocation in function.relocations:
            assert 0 <= relocation.offset < len(function.code)


@runs
def test_a_stencil_patched_by_hand_runs() -> None:
    function = parse(compiled(STENCILS, reloc="static")).functions()["add_immediate"]
    code = bytearray(function.code)
    for hole in function.holes:
        width = 1 if hole.kind == "R_X86_64_8" else 4
        value = {"hole8": 5, "hole32": 1_000_000}[hole.symbol] + hole.addend
        code[hole.offset : hole.offset + width] = value.to_bytes(width, "little")
    block = CodeMemory(8 << 20).allocate(len(code))
    block.write(0, code)
    run = ctypes.CFUNCTYPE(ctypes.c_longlong, ctypes.c_longlong, ctypes.c_longlong)(block.address)
    assert [run(7, y) for y in (4, 5, 6)] == [7, 7, 1_000_007]


@runs
def test_only_chosen_sections_are_placed() -> None:
    memory = CodeMemory(8 << 20)
    loaded = load(compiled(STENCILS), memory, keep=lambda name: name.startswith(".rodata"))
    (name,) = loaded.sections
    assert ctypes.string_at(loaded.sections[name], 24) == np.array([10, 20, 30], "<i8").tobytes()
    assert loaded.block.size <= 64


@runs
def test_corrupt_objects_are_errors_never_crashes() -> None:
    chooser = random.Random(5)
    memory = CodeMemory(64 << 20)
    outside = Outside()
    originals = [
        compiled(PROGRAM, reloc=reloc, model=model)
        for reloc, model in (("pic", "small"), ("pic", "large"), ("static", "large"))
    ]
    refused = 0
    for _ in range(3000):
        data = bytearray(chooser.choice(originals))
        if chooser.random() < 0.2:
            del data[chooser.randrange(len(data)) :]
        for _ in range(chooser.choice((1, 1, 2, 8))):
            if data:
                at = chooser.randrange(len(data))
                data[at] = chooser.choice((0, 1, 0x7F, 0x80, 0xFF, chooser.randrange(256)))
        try:
            file = parse(data)
            file.functions()
            load(file, memory, outside.names)
        except (ObjectError, MemoryError):
            refused += 1
    assert refused > 500
    assert memory.used == 0


@runs
def test_a_large_object_loads_in_milliseconds() -> None:
    lines = ["@t = constant [64 x i64] zeroinitializer"] + [f"declare i64 @e{i}(i64)" for i in range(40)]
    for i in range(300):
        lines.append(f"define i64 @f{i}(i64 %x0) {{")
        for j in range(1, 20):
            callee = f"@e{(i * 7 + j) % 40}" if j % 2 else f"@f{(i * 13 + j * 101) % 300}"
            lines.append(f"  %x{j} = call i64 {callee}(i64 %x{j - 1})")
        lines.append("  ret i64 %x19\n}")
    data = compiled("\n".join(lines), opt=0)
    memory = CodeMemory(64 << 20)
    externals = {f"e{i}": 0x10000 + i for i in range(40)}
    best = 1.0
    loaded: LoadedObject | None = None
    for _ in range(10):
        start = time.perf_counter()
        loaded = load(data, memory, externals)
        best = min(best, time.perf_counter() - start)
    assert loaded is not None and len(loaded.symbols) == 301
    assert best < 0.02


# ----------------------------------------------------------------------- arm64, checked against the Arm ARM's encodings


def sign(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


@pytest.mark.parametrize("model", ["small", "large"])
@pytest.mark.parametrize("reloc", ["static", "pic"])
def test_arm64_instructions_reach_their_targets(reloc: str, model: str) -> None:
    """Each patched field, decoded by hand, gives back the address it stands for."""
    file = parse(compiled(PROGRAM, "aarch64-unknown-linux-gnu", reloc, model))
    layout = file.layout()
    base = 0x5555_0000_0000
    externals = {"ext": base + 0x100000, "far": 0x7777_1234_5678}
    image = layout.link(base, externals)
    where = {section.name: base + int(layout.starts[section.number]) for section in layout.placed}
    seen = set()
    high: dict[int, int] = {}
    for section in layout.placed:
        for r in file.relocations(section.name):
            place = where[section.name] + r.offset
            target = (externals[r.symbol] if r.section is None else where[r.section] + r.value) + r.addend
            raw = image[place - base : place - base + 8]
            word = int.from_bytes(raw[:4], "little")
            seen.add(r.kind)
            match r.kind.removeprefix("R_AARCH64_"):
                case "ABS64":
                    assert int.from_bytes(raw, "little") == target
                case "PREL64":
                    assert place + int.from_bytes(raw, "little", signed=True) == target
                case "PREL32":
                    assert place + int.from_bytes(raw[:4], "little", signed=True) == target
                case "CALL26" | "JUMP26":
                    assert place + 4 * sign(word & 0x3FFFFFF, 26) == target
                case "ADR_PREL_PG_HI21" | "ADR_GOT_PAGE":
                    pages = sign((word >> 29 & 3) | (word >> 5 & 0x7FFFF) << 2, 21)
                    high[word & 31] = (place & ~0xFFF) + pages * 4096
                    if "GOT" not in r.kind:
                        assert high[word & 31] == target & ~0xFFF
                case "ADD_ABS_LO12_NC":
                    assert high[word >> 5 & 31] + (word >> 10 & 0xFFF) == target
                case "LDST64_ABS_LO12_NC":
                    assert high[word >> 5 & 31] + (word >> 10 & 0xFFF) * 8 == target
                case "LD64_GOT_LO12_NC":
                    slot = high[word >> 5 & 31] + (word >> 10 & 0xFFF) * 8
                    assert int.from_bytes(image[slot - base : slot - base + 8], "little") == target
                case "MOVW_UABS_G0_NC" | "MOVW_UABS_G1_NC" | "MOVW_UABS_G2_NC" | "MOVW_UABS_G3" as name:
                    group = int(name.partition("_G")[2][0])
                    assert word >> 5 & 0xFFFF == target >> 16 * group & 0xFFFF
                case kind:
                    raise AssertionError(f"{kind} is not checked here")
    assert {"R_AARCH64_CALL26", "R_AARCH64_ABS64"} <= seen


def test_far_arm64_calls_go_over_a_stub() -> None:
    file = parse(compiled(PROGRAM, "aarch64-unknown-linux-gnu"))
    image = file.layout().link(0x10000, {"ext": 0x7FFF_0000_1230, "far": 0})
    call = next(r for r in file.relocations(".text") if r.symbol == "ext")
    word = int.from_bytes(image[call.offset : call.offset + 4], "little")
    stub = call.offset + 4 * sign(word & 0x3FFFFFF, 26)
    assert image[stub : stub + 8].hex() == "5000005800021fd6"  # ldr x16, .+8; br x16
    assert image[stub + 8 : stub + 16] == (0x7FFF_0000_1230).to_bytes(8, "little")


# A program that checks itself: the number of the first wrong answer, or 0.
MAIN = """
define i32 @main() {
  %d = call double @look_up(i64 3)
  %c1 = fcmp oeq double %d, 8.0
  br i1 %c1, label %two, label %bad1
two:
  %o = call i64 @outside(i64 5)
  %c2 = icmp eq i64 %o, 1010
  br i1 %c2, label %three, label %bad2
three:
  %p0 = call i64 @by_pointer(i64 0)
  %p1 = call i64 @by_pointer(i64 1)
  %p = add i64 %p0, %p1
  %c3 = icmp eq i64 %p, 1099
  br i1 %c3, label %four, label %bad3
four:
  %s0 = call i64 @choose(i64 0)
  %s2 = call i64 @choose(i64 2)
  %s4 = call i64 @choose(i64 4)
  %s02 = add i64 %s0, %s2
  %s = add i64 %s02, %s4
  %c4 = icmp eq i64 %s, 1193
  br i1 %c4, label %good, label %bad4
good: ret i32 0
bad1: ret i32 1
bad2: ret i32 2
bad3: ret i32 3
bad4: ret i32 4
}
"""


@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="needs qemu-aarch64")
@pytest.mark.parametrize("model", ["small", "large"])
@pytest.mark.parametrize("reloc", ["static", "pic"])
def test_arm64_code_runs(reloc: str, model: str, tmp_path: Path) -> None:
    """A program of two linked images, too far apart for a call, written as an ELF file without a linker."""
    triple = "aarch64-unknown-linux-gnu"
    base, far = 0x400000, 0x50_0000_0000
    helper = parse(compiled("define i64 @ext(i64 %x) { %r = add i64 %x, %x  ret i64 %r }", triple)).layout()
    names = helper.symbols(far)
    second = bytes(helper.link(far)) + bytes(-helper.size % 8) + (1000).to_bytes(8, "little")
    layout = parse(compiled(PROGRAM + MAIN, triple, reloc, model)).layout()
    image = layout.link(base + 0x1000, {"ext": names["ext"], "far": far + len(second) - 8})
    distance = layout.symbols(base + 0x1000)["main"] - base
    # bl main; mov x8, #93 (exit); svc #0
    start = struct.pack("<III", 0x94000000 | distance >> 2, 0xD2800BA8, 0xD4000001)
    first = start + bytes(0x1000 - len(start)) + bytes(image)
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, base, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    )
    places = (0x1000, 0x1000 + (len(first) + 0xFFF & -0x1000))
    for place, address, data in zip(places, (base, far), (first, second), strict=True):
        head += struct.pack("<IIQQQQQQ", 1, 5, place, address, address, len(data), len(data), 0x1000)
    program = tmp_path / "program"
    program.write_bytes(head.ljust(places[0], b"\0") + first.ljust(places[1] - places[0], b"\0") + second)
    program.chmod(0o755)
    assert subprocess.run(["qemu-aarch64", str(program)], timeout=60).returncode == 0
