"""The SM83's rows: complete, without ties, and readable both ways."""

from __future__ import annotations

import pytest

from tracklayer.cpu.sm83 import FORMS_CB, SM83, best_cycles, worst_cycles
from tracklayer.isa import Row, assemble

from .flat import Flat
from .vectors import cases, folder

OPCODES = [(opcode,) for opcode in range(256) if opcode != 0xCB] + [(0xCB, opcode) for opcode in range(256)]
ILLEGAL = {0xD3, 0xDB, 0xDD, 0xE3, 0xE4, 0xEB, 0xEC, 0xED, 0xF4, 0xFC, 0xFD}


def matching(word: int) -> list[Row]:
    return [row for row in SM83.rows if row.matches(word)]


def test_every_opcode_decodes_to_one_row_with_no_tie() -> None:
    for opcode in OPCODES:
        word = int.from_bytes(opcode, "little")
        most = max(row.fixed for row in matching(word))
        assert [row for row in matching(word) if row.fixed == most] == [SM83.decode(*opcode).row]


def test_there_are_five_hundred_instructions_and_eleven_holes() -> None:
    illegal = {opcode[0] for opcode in OPCODES if SM83.decode(*opcode).row.mnemonic == "ILLEGAL"}
    assert illegal == ILLEGAL
    assert len(OPCODES) - len(illegal) == 500


def test_every_row_is_the_meaning_of_some_opcode() -> None:
    assert {SM83.decode(*opcode).row for opcode in OPCODES} == set(SM83.rows)


@pytest.mark.parametrize("operands", [(0x00, 0x00), (0x34, 0x12), (0x80, 0xFF), (0xFF, 0x7F)])
def test_disassembling_and_assembling_undo_each_other(operands: tuple[int, int]) -> None:
    for opcode in OPCODES:
        row = SM83.decode(*opcode).row
        code = bytes([*opcode, *operands])[: row.length]
        line = next(SM83.disassemble(code, 0x4000))
        assert line.data == code
        again = assemble(line.text, SM83, origin=0x4000).data
        assert again == code, line.text
        assert next(SM83.disassemble(again, 0x4000)).text == line.text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("00", "NOP"),
        ("76", "HALT"),
        ("40", "LD B,B"),
        ("7e", "LD A,[HL]"),
        ("2a", "LD A,[HL+]"),
        ("12", "LD [DE],A"),
        ("08 34 12", "LD [$1234],SP"),
        ("18 fe", "JR $0100"),
        ("38 10", "JR C,$0112"),
        ("e0 40", "LDH [$FF40],A"),
        ("f2", "LDH A,[C]"),
        ("f8 fb", "LD HL,SP-5"),
        ("e8 05", "ADD SP,+5"),
        ("df", "RST $18"),
        ("f1", "POP AF"),
        ("cb 7e", "BIT 7,[HL]"),
        ("cb 37", "SWAP A"),
        ("ce 0f", "ADC A,$0F"),
        ("d3", "ILLEGAL $D3"),
    ],
)
def test_instructions_are_spelled_as_in_the_manual(code: str, text: str) -> None:
    assert next(SM83.disassemble(bytes.fromhex(code), 0x100)).text == text


def test_the_translator_can_tell_where_an_instruction_goes() -> None:
    def facts(*opcode: int) -> tuple[str | None, int | None, bool]:
        row = SM83.decode(*opcode).row
        return row.jump, row.target, row.ends_block

    assert facts(0xC3) == ("always", 0, False)  # JP
    assert facts(0x20) == ("maybe", 1, False)  # JR NZ: the condition is operand 0
    assert facts(0xFF) == ("always", 0, False)  # RST
    assert facts(0xE9) == ("always", None, False)  # JP HL
    assert facts(0xC0) == ("maybe", None, False)  # RET NZ
    assert facts(0xD9) == ("always", None, True)  # RETI
    assert facts(0xFB) == (None, None, True)  # EI
    assert facts(0x76) == (None, None, True)  # HALT
    assert facts(0xF3) == (None, None, False)  # DI
    assert facts(0xEA) == (None, None, False)  # LD [n16],A: an address, but not one to jump to


def test_only_what_is_marked_as_a_jump_or_an_end_sets_pc() -> None:
    """A machine where every memory byte is 0, so that each target differs from the address behind the instruction."""
    for opcode in OPCODES:
        row, raw = SM83.decode(*opcode)
        for flags in range(4):
            machine = Flat()
            cpu = machine.cpu
            cpu.pc, cpu.fz, cpu.fc = 0x1234, flags & 1, flags >> 1
            row.meaning(cpu, machine, *row.operands(raw, 0x5678))
            if cpu.pc != 0x1234:
                assert row.jump or row.ends_block, row


def test_worst_and_best_cycles_bound_what_the_vectors_take() -> None:
    if not folder().is_dir():
        pytest.skip(f"no vectors at {folder()}: set TRACKLAYER_ROMS to the folder of test programs")
    seen: dict[str, set[int]] = {}
    for case in cases():
        seen.setdefault(case["op"], set()).add(len(case["cycles"]))
    for name, counts in seen.items():
        row, raw = SM83.decode(*bytes.fromhex(name))
        if row.mnemonic not in ("HALT", "STOP"):  # the vectors add time spent waiting
            assert (best_cycles(row, raw), worst_cycles(row, raw)) == (min(counts), max(counts)), row


def test_every_cb_form_is_complete_in_two_bytes() -> None:
    assert all(form.tail == 0 and form.row.length == 2 for form in FORMS_CB)
