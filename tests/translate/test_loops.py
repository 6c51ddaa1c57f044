"""Loops of regions: found, what a pass through one does, and the fast way through it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tracklayer.api.guests import GameBoyGuest
from tracklayer.compiler.program import Program
from tracklayer.compiler.text import Block
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble
from tracklayer.translate.body import Body
from tracklayer.translate.interpreter import convention_of
from tracklayer.translate.loops import find_loops
from tracklayer.translate.narrow import narrow
from tracklayer.translate.region_code import region_program
from tracklayer.translate.regions import find_region

from .toy import TOY, ToyGuest

NESTED = """
again:
    SET R1,200
inner:
    STX R0
    ADDI R1,255
    BZ over
    ADDI R2,1
over:
    ADDI R2,1
    BNZ inner
    JMP again
"""


def region_of(text: str) -> Any:
    data = bytes(assemble(text, TOY, name="toy").data).ljust(0x200, b"\0")
    return find_region(ToyGuest, lambda at: data[at : at + 4] if at < 0x1FC else b"", 0)


def test_the_innermost_loops_are_found() -> None:
    (loop,) = find_loops(region_of(NESTED))
    assert loop.header == 2
    assert loop.body == ((2, ()), (8, ()), (10, ()))  # the way around ADDI R2,1, and then what follows both


def test_routines_are_in_a_loop_once_for_each_call() -> None:
    text = "again:\nCALL routine\nINC R0\nCALL routine\nBNZ again\nJMP 0\nroutine:\nADDI R1,1\nRET"
    (loop,) = find_loops(region_of(text.replace("INC R0", "ADDI R0,1")))
    assert loop.own == {0, 4, 10, 12}
    assert [callers for head, callers in loop.body if head == 16] == [(4,), (10,)]
    assert loop.ways[16, (10,)] == [(10, ())]


def test_a_routine_that_loops_makes_its_callers_loop_none() -> None:
    text = "again:\nCALL routine\nBNZ again\nJMP 0\nroutine:\nADDI R1,1\nBNZ routine\nRET"
    (loop,) = find_loops(region_of(text))
    assert loop.own == {10}


def test_a_routine_that_calls_itself_is_followed_so_far_and_no_further() -> None:
    assert find_loops(region_of("again:\nCALL again\nBNZ again\nRET")) == []


def body(lines: str, **joins: list[str]) -> Body:
    block = Block("b1")
    block.lines = [f"  {line.strip()}" for line in lines.strip().splitlines()]
    fields = {"%f1.8": 16, "%f1.10": 8, "%f1.12": 16}
    return Body([block], fields, {f"%{name}": values for name, values in joins.items()})


def test_sums() -> None:
    it = body("%a = add i32 %f1.8, 1\n%b = and i32 %a, 65535\n%c = sub i32 %b, 3\n%d = and i32 %c, 255", j=["%a", "%b"])
    assert it.sum16("%b") == ("%f1.8", 1)
    assert it.sum16("%c") == ("%f1.8", 0xFFFE)
    assert it.sum16("%j") == ("%f1.8", 1)
    assert it.sum16("%d") is None  # its upper bits are gone
    assert it.low("%d") == ("%f1.8.lo", 0xFE)
    assert it.sum16("%f1.10") is None  # eight bits do not count up beyond them


def test_strides() -> None:
    it = body(
        """%a = add i32 %f1.8, %f1.12
        %b = and i32 %a, 65535
        %c = add i32 %b, 1
        %d = and i32 %f1.8, 255
        %e = zext i32 %d to i64""",
        j=["%a", "%b"],
        k=["%a", "%f1.8"],
    )
    assert it.stride("%b", "%f1.8") == "%f1.12"
    assert it.stride("%j", "%f1.12") == "%f1.8"
    assert it.stride("%c", "%f1.8") is None  # and one more
    assert it.stride("%k", "%f1.8") is None  # on some ways only
    assert it.stride("%f1.8", "%f1.8") is None
    assert it.low_byte("%e") == ("%f1.8", 0)
    assert it.low_byte("%d") is None


def test_halves() -> None:
    it = body(
        """%h = lshr i32 %f1.8, 8
        %i = sub i32 %h, 1
        %k = and i32 %i, 255
        %s = shl i32 %k, 8
        %l = and i32 %f1.8, 255
        %w = or i32 %s, %l"""
    )
    assert it.high("%w") == ("%f1.8.hi", 255)
    assert it.low("%w") == ("%f1.8.lo", 0)
    assert it.sum16("%w") is None


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("%x = sub i32 %f1.10, 1\n%y = and i32 %x, 255\n%z = icmp eq i32 %y, 0", (("%f1.10", 255), 8, True)),
        ("%x = add i32 %f1.8, 1\n%y = and i32 %x, 65535\n%z = icmp ne i32 %y, 0", (("%f1.8", 1), 16, False)),
        ("%x = lshr i32 %f1.8, 8\n%v = and i32 %f1.8, 255\n%y = or i32 %x, %v\n%z = icmp eq i32 %y, 0",
         (("%f1.8", 0), 16, True)),
        ("%x = add i32 %f1.8, 1\n%y = and i32 %x, 4095\n%z = icmp eq i32 %y, 0", None),
        ("%x = lshr i32 %f1.8, 8\n%v = and i32 %f1.10, 255\n%y = or i32 %x, %v\n%z = icmp eq i32 %y, 0", None),
        ("%x = add i32 %f1.8, 1\n%z = icmp eq i32 %x, 0", None),  # 65535 and 1 are 65536 there
    ],
)  # fmt: skip
def test_what_is_compared_with_zero(lines: str, found: Any) -> None:
    assert body(lines).zero_test("%z") == found


@pytest.mark.parametrize(("kind", "equal"), [("eq", True), ("ne", False)])
def test_what_is_compared_with_the_number_of_a_page(kind: str, equal: bool) -> None:
    it = body(f"%p = lshr i32 %f1.8, 8\n%z = icmp {kind} i32 %p, 254\n%y = icmp ugt i32 %p, 254")
    assert it.page_test("%z") == ("%f1.8", 254, equal)
    assert it.page_test("%y") is None


def test_what_is_compared_with_the_upper_byte_of_an_address() -> None:
    it = body(
        """%p = lshr i32 %f1.8, 8
        %s = sub i32 %p, 196
        %m = and i32 %s, 255
        %c = icmp slt i32 %s, 0
        %n = xor i1 %c, true
        %z = icmp eq i32 %m, 0
        %w = xor i1 %z, true
        %d = icmp slt i32 %p, 0
        %t = sub i32 %p, 300
        %o = icmp slt i32 %t, 0"""
    )
    assert it.below_test("%c") == ("%f1.8", 196, True)
    assert it.below_test("%n") == ("%f1.8", 196, False)
    assert it.page_test("%z") == ("%f1.8", 196, True)
    assert it.page_test("%w") == ("%f1.8", 196, False)
    assert it.below_test("%z") is None
    assert it.page_test("%c") is None
    assert it.below_test("%d") is None
    assert it.below_test("%o") is None


def test_a_copy_looks_at_no_page_in_its_passes() -> None:
    """Whatever form the guest's comparisons with OAM's page have: the fast way depends on it."""
    text = "LD A,[HL+]\nLD [DE],A\nINC DE\nDEC BC\nLD A,B\nOR A,C\nJR NZ,$0000\nHALT"
    data = bytes(assemble(text, SM83, name="copy").data).ljust(0x20, b"\0")
    region = find_region(GameBoyGuest, lambda at: data[at : at + 3] if at < 0x1D else b"", 0)
    ir = region_program(GameBoyGuest, region, "region")
    found = re.findall(r"(%v\d+) = lshr i32 %f0\.\d+, 8\n  (%v\d+) = icmp (?:eq|ne) i32 \1, 254", ir)
    assert len(found) == 2
    assert not any(f"br i1 {condition}," in ir for _, condition in found)


ROTATION = "%b = and i32 %f1.8, 255\n%l = shl i32 %b, 3\n%r = lshr i32 %b, 5\n%o = or i32 %l, %r\n%x = and i32 %o, 255"


def test_rotations() -> None:
    assert body(ROTATION).rotation("%x") == ("%b", 3)
    assert body(ROTATION.replace("%b, 5", "%b, 4")).rotation("%x") is None
    assert body(ROTATION.replace("%f1.8, 255", "%f1.8, 511")).rotation("%x") is None  # nine bits
    assert body(ROTATION.replace("lshr i32 %b", "lshr i32 %f1.10")).rotation("%x") is None


def test_sums_of_bytes_are_narrowed() -> None:
    it = body("%m = and i32 %f1.8, 255\n%s = add i32 %f1.10, %m\n%c = icmp ugt i32 %s, 255\n%r = and i32 %s, 255")
    block = Block("b1")
    block.lines = ["  %s = add i32 %f1.10, %m", "  %c = icmp ugt i32 %s, 255", "  %r = and i32 %s, 255"]
    program = Program(convention_of(ToyGuest), {})
    narrow(program, it, [block])
    text = "\n".join(block.lines)
    assert "call {i8, i1} @llvm.uadd.with.overflow.i8(i8 %s.a, i8 %s.b)" in text
    assert "%c = or i1 %s.c, false" in text
    assert "%r = zext i8 %s.v to i32" in text
    wide = body("%s = add i32 %f1.8, %f1.10\n%c = icmp ugt i32 %s, 255")
    assert not wide.is_sum_of_bytes("%s")


def test_the_fast_way_looks_pages_up_before_the_loop() -> None:
    text = region_program(ToyGuest, region_of("again:\nSTX R0\nADDI R1,255\nBNZ again\nJMP 0"), "region")
    blocks = dict(re.findall(r"^(b\d+):\n(.*?)(?=^b\d+:|^})", text, re.M | re.S))
    (first,) = (one for one in blocks.values() if "%f0.pass = phi" in one)
    inside = [first]
    for block in inside:  # and all that it leads to, up to the loop's end
        labels = re.findall(r"label %(b\d+)", block) if "%f0.pass.more" not in block else []
        inside += [blocks[label] for label in labels if blocks[label] not in inside]
    loop = "\n".join(block for block in inside if "musttail" not in block)
    assert "store i8" in loop
    assert "load ptr" not in loop
    assert "%f0.pass.more = icmp ult" in loop
