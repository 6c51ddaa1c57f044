"""Loops that go through memory in steps of a register: their pages lie in runs, and where these end counts."""

from __future__ import annotations

import re

import pytest

from tests.api.images import signed
from tracklayer import GameBoy
from tracklayer.api.guests import GameBoyGuest
from tracklayer.api.lockstep import lockstep
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble
from tracklayer.translate.region_code import region_program
from tracklayer.translate.regions import find_region

TEXT = """
    org $100
    JP start
    org $150
start:
    DI
    LD SP,$FFFE
    XOR A,A
    LDH [$FF40],A
    {before}
again:
    LD HL,{begin}
    LD BC,{step}
mark:
    {touch}
    {move}
    {end}
    INC D
    JR again
"""
UNTIL = "LD A,H\nCP A,{}\nJR C,mark"


def image(
    begin: str, step: int, end: str, touch: str = "INC [HL]", before: str = "NOP", move: str = "ADD HL,BC"
) -> bytes:
    text = TEXT.format(begin=begin, step=step, end=end, touch=touch, before=before, move=move)
    made = bytearray(assemble(text, SM83, name="strides", size=0x8000).data)
    made[0x143] = 0x80
    return signed(made)


def check(rom: bytes, model: str = "cgb", regions: int = 1) -> None:
    left = GameBoy(rom, engine="interpreter", model=model)
    right = GameBoy(rom, engine="regions", model=model)
    report = lockstep(left, right, 250_000, seed=1, lengths=(600, 6_000, 20_000))
    assert report.divergence is None, report
    assert len(right._gb.translation[1].hot.regions) >= regions


@pytest.mark.parametrize("step", [1, 3, 20, 32, 64, 127, 256, 0xFFF0])
def test_a_run_ends_where_the_next_page_lies_elsewhere(step: int) -> None:
    check(image("$DD05", step, UNTIL.format("$E3")))  # from D's bank into the echo of C's


@pytest.mark.parametrize("bank", [1, 2, 7])
def test_banks_lie_behind_each_other_or_not(bank: int) -> None:
    check(image("$CE01", 17, UNTIL.format("$D2"), before=f"LD A,{bank}\nLDH [$FF70],A"))


@pytest.mark.parametrize(
    ("begin", "end"), [("$9D03", "$A1"), ("$FB00", "$FE"), ("$FF82", "$FF"), ("$7E00", "$82"), ("$BFF0", "$C3")]
)
def test_closed_pages_and_rom(begin: str, end: str) -> None:
    check(image(begin, 9, UNTIL.format(end)))
    check(image(begin, 9, UNTIL.format(end), touch="XOR A,[HL]\nLD E,A"))


def test_past_the_end_of_memory() -> None:
    check(image("$FD00", 40, "LD A,H\nCP A,$FF\nJR C,mark"))
    check(image("$FE80", 100, "BIT 3,H\nJR NZ,mark", touch="LD E,[HL]"))


def test_code_in_the_run_is_noticed() -> None:
    before = "LD HL,$C23C\nLD [HL],$C9\nCALL $C23C"
    touch = "LD [HL],$C9"
    check(image("$C100", 4, UNTIL.format("$C4") + "\nCALL $C23C", touch, before))
    check(image("$C100", 4, UNTIL.format("$C4") + "\nLD A,$14\nLD [$C23C],A\nCALL $C23C", touch, before))


def test_a_step_that_changes_is_none() -> None:
    check(image("$C000", 5, UNTIL.format("$C4"), touch="INC [HL]\nINC C"))


def test_bytes_of_the_address_are_still_right() -> None:
    check(image("$C003", 21, UNTIL.format("$C6"), touch="LD [HL],L\nLD A,[HL]\nADD A,H\nLD E,A"))


@pytest.mark.parametrize(
    "move", ["INC HL", "DEC HL", "INC HL\nINC HL", "DEC HL\nDEC HL\nDEC HL", "LD A,[HL+]", "INC H"]
)
@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("$C0FE", "CP A,$C4\nJR C,mark"), ("$D480", "CP A,$D1\nJR NC,mark"), ("$C203", "CP A,$C5\nJR NZ,mark"),
        ("$C5FF", "CP A,$C5\nJR Z,mark"), ("$C400", "CP A,$C4\nJR NZ,mark"), ("$FD81", "AND A,A\nJR NZ,mark"),
        ("$DFFF", "INC A\nCP A,$E2\nJR C,mark"),
    ],
)  # fmt: skip
def test_the_end_is_a_page(begin: str, end: str, move: str) -> None:
    check(image(begin, 0, f"LD A,H\n{end}", "LD [HL],E", move=move), regions=0)


def test_the_fast_way_looks_a_run_up_before_the_loop() -> None:
    rom = image("$C000", 20, UNTIL.format("$C4"), touch="LD [HL],7")
    start = rom.index(b"\x36\x07")
    text = region_program(GameBoyGuest, find_region(GameBoyGuest, lambda at: rom[at : at + 3], start), "region")
    ways = {
        name: re.search(rf"  %{name}{start}\.pass = phi.*?  br i1 (%v\d+), .*?\n", text, re.S) for name in "fg"
    }
    known = {name: re.search(rf"  {way[1]} = (.*)", text) for name, way in ways.items() if way}
    assert known["f"] is not None and known["f"][1] == "or i1 true, true"
    assert known["g"] is not None and known["g"][1].startswith("icmp ne ptr")  # the other way, for large steps
