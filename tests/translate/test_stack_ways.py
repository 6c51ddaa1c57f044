"""Regions whose routines call themselves: the stack is looked up once, and what was pushed last is known."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest

from tests.api.images import signed
from tracklayer import GameBoy
from tracklayer.api.guests import GameBoyGuest
from tracklayer.api.lockstep import lockstep
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble
from tracklayer.translate.loops import find_loops
from tracklayer.translate.region_code import region_program
from tracklayer.translate.regions import find_region

FIB = """
    org $100
    JP start
    org $150
start:
    DI
    LD SP,{stack}
    XOR A,A
    LDH [$FF40],A
    {before}
again:
    LD A,9
    CALL fib
    NOP
    JR again
fib:
    CP A,2
    RET C
    PUSH AF
    DEC A
    CALL fib
    NOP
    POP AF
    PUSH HL
    SUB A,2
    CALL fib
    NOP
    POP DE
    {inside}
    ADD HL,DE
    {end}
"""


def image(stack: str = "$DFF0", before: str = "NOP", inside: str = "NOP", end: str = "RET") -> bytes:
    text = FIB.format(stack=stack, before=before, inside=inside, end=end)
    return signed(bytearray(assemble(text, SM83, name="fib", size=0x8000).data))


def region_of(rom: bytes, start: int) -> Any:
    return find_region(GameBoyGuest, lambda at: rom[at : at + 3], start)


def places(rom: bytes) -> tuple[int, int]:
    """Where `again` and `fib` are."""
    again = rom.index(bytes((0x3E, 9, 0xCD)))
    return again, rom[again + 3] | rom[again + 4] << 8


def check(rom: bytes, regions: int = 1) -> None:
    left, right = GameBoy(rom, engine="interpreter"), GameBoy(rom, engine="regions")
    report = lockstep(left, right, 300_000, seed=1, lengths=(600, 6_000, 60_000, 300_000))
    assert report.divergence is None, report
    assert len(right._gb.translation[1].hot.regions) >= regions


@pytest.mark.parametrize("stack", ["$DFF0", "$DF18", "$D009", "$C107", "$E00C", "$FFFE", "$9808", "$FDFF"])
def test_the_stack_may_be_anywhere(stack: str) -> None:
    check(image(stack))


def test_the_stack_may_run_around_the_end_of_memory() -> None:
    # From HRAM down through registers; what is pushed there does not come back, so anything may happen, twice.
    check(image("$FF82"), regions=0)
    check(image("$0004"), regions=0)


@pytest.mark.parametrize(
    "end",
    [
        "POP DE\nINC DE\nDEC DE\nPUSH DE\nRET",
        "POP BC\nPUSH BC\nRET",
        "LD B,H\nLD C,L\nPOP HL\nINC HL\nDEC HL\nPUSH HL\nLD H,B\nLD L,C\nRET",
        "INC SP\nDEC SP\nRET",
        "ADD SP,-4\nPUSH BC\nPOP BC\nADD SP,4\nRET",
        "LD [$C000],SP\nLD SP,$D000\nPUSH BC\nLD B,H\nLD C,L\nLD A,[$C000]\nLD L,A\nLD A,[$C001]\nLD H,A\n"
        "LD SP,HL\nLD H,B\nLD L,C\nRET",
        "LD B,H\nLD C,L\nLD HL,SP+0\nINC [HL]\nDEC [HL]\nLD H,B\nLD L,C\nRET",
        "RET NC\nRET",
    ],
)
def test_whatever_happens_to_the_return_address(end: str) -> None:
    check(image(end=end))


@pytest.mark.parametrize("change", ["INC [HL]", "LD A,[HL]\nINC A\nLD [HL],A"])
def test_an_address_that_is_changed_on_the_stack_counts(change: str) -> None:
    check(image(end=f"LD B,H\nLD C,L\nLD HL,SP+0\n{change}\nLD H,B\nLD L,C\nRET"))  # over the NOP behind the call


def test_the_stack_may_grow_over_code() -> None:
    call = "LD A,$C9\nLD [$DFE2],A\nCALL $DFE2"
    check(image(before=call))
    check(image(end="CALL $DFA2\nRET", before="LD A,$C9\nLD [$DFA2],A"))


WRITER = """
    org $100
    JP start
    org $150
start:
    DI
    LD HL,$C900
write:
    LD A,L
    XOR A,$14
    LD L,A
    LD SP,$DEF0
    LD A,8
    CALL down
again:
    INC E
    JR Z,write
    LD SP,$DFF0
    LD A,8
    CALL down
    CALL $DEDE
    JR again
down:
    DEC A
    JR Z,writer
    CALL down
    RET
writer:
    PUSH HL
    POP BC
    RET
"""


def test_code_that_is_pushed_is_translated_anew() -> None:
    """NOP and RET, then INC D and RET: pushes write them, on a page that is closed for that."""
    check(signed(bytearray(assemble(WRITER, SM83, name="writer", size=0x8000).data)))


def test_interrupts_come_when_they_would() -> None:
    quick = "LD A,5\nLDH [$FF07],A\nLD A,4\nLDH [$FFFF],A\nLD A,$D9\nLD [$C000],A\nEI"
    rom = bytearray(image(before=quick))
    rom[0x50:0x54] = bytes((0x04, 0xC3, 0x00, 0xC0))  # INC B; JP $C000, where RETI is
    check(signed(rom))


def test_what_was_pushed_last_is_not_loaded() -> None:
    rom = image()
    text = region_program(GameBoyGuest, region_of(rom, places(rom)[1]), "region")
    blocks = dict(re.findall(r"^(b\d+):\n(.*?)(?=^b\d+:|^})", text, re.M | re.S))
    behind = places(rom)[1] + 8
    callers = [block for block in blocks.values() if f"store i16 {behind}, " in block and ", align 1" in block]
    assert len(callers) > 2  # the routine is there for each set of words known
    known = [block for block in blocks.values() if re.match(r"(  %n\d+\.\d+ = phi .*\n)+  %n\d+\.s2 = phi", block)]
    assert any(".s11 = phi i32" in block for block in known)  # with what was pushed before the return address


def test_a_loop_around_a_routine_that_calls_itself_is_none() -> None:
    rom = image()
    again, fib = places(rom)
    assert find_loops(region_of(rom, again)) == []
    assert fib in region_of(rom, again)
    assert region_program(GameBoyGuest, region_of(rom, again), "region").count("define") == 1


@pytest.mark.parametrize("seed", range(6))
def test_random_bodies(seed: int) -> None:
    dice = Random(seed)
    some = ("LD [HL],A", "LD A,[HL]", "PUSH BC\nPOP HL", "INC BC", "LD C,E", "CCF", "ADD HL,BC", "PUSH AF\nPOP BC",
            "PUSH DE\nPUSH HL\nPOP DE\nPOP HL", "SWAP E", "LD HL,SP+3", "RES 5,H", "LD HL,$DFB0")  # fmt: skip
    check(image(dice.choice(("$DFF0", "$D020")), inside="\n".join(dice.choices(some, k=4))))
