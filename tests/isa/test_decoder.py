"""Decoding by rows alone, on a toy instruction set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracklayer.isa import InstructionSet, Names, Row

from .toy import KINDS, TOY, nothing


def row_named(text: str) -> Row:
    return next(row for row in TOY.rows if row.text.startswith(text))


def test_fields_come_in_the_order_of_their_letters() -> None:
    row, fields = TOY.decode(0b0000_10_1010_01_0000)
    assert row.mnemonic == "MOVE"
    assert fields == (2, 1)


def test_the_row_with_more_fixed_bits_wins() -> None:
    assert TOY.decode(0b0000110000110000).row.mnemonic == "HOP"
    assert TOY.decode(0b0000110001110000).row.mnemonic == "MOVE"


def test_a_field_in_two_pieces_has_its_left_piece_higher() -> None:
    assert TOY.decode(0b0001_11_1010_00_0101).fields == (3, 0xA5)


def test_a_prefix_leaves_the_choice_to_the_unit_behind_it() -> None:
    assert TOY.decode(0xFFFF, 0x0002).row.mnemonic == "PRE"
    assert TOY.decode(0xFFFF, 0x4002).row.mnemonic == "PRE2"
    with pytest.raises(LookupError, match="FFFF"):
        TOY.decode(0xFFFF, 0x8000)


def test_opcode_units_count_what_must_be_known_to_tell_rows_apart() -> None:
    assert row_named("CALL").opcode_units() == 1
    assert row_named("PRE2").opcode_units() == 2


def test_a_word_without_a_row_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"no row matches \$9000"):
        TOY.decode(0x9000)


def test_a_tie_is_refused() -> None:
    with pytest.raises(ValueError, match="tie"):
        InstructionSet("bad", (Row("A", "0000----", nothing), Row("B", "----0000", nothing)), {})


def test_an_unknown_kind_or_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no operand kind named 'what'"):
        InstructionSet("bad", (Row("A {what:d}", "000000dd", nothing),), KINDS)
    with pytest.raises(ValueError, match="has no field 'e'"):
        InstructionSet("bad", (Row("A {reg:e}", "000000dd", nothing),), KINDS)


def test_groups_must_be_of_one_size() -> None:
    with pytest.raises(ValueError, match="8, 16 or 32"):
        Row("A", "0000000 00000000", nothing)


def test_the_static_jump_target_is_found_by_its_kind() -> None:
    assert row_named("BR").target == 0
    assert row_named("CALL").target == 0
    assert row_named("MOVE").target is None
    assert row_named("TRAP").target is None  # this vector is no address


def test_operands_turn_distances_and_vectors_into_addresses() -> None:
    row, fields = TOY.decode(0b0101000000_111110)
    assert row.operands(fields, 0x1002) == (0x0FFE,)
    row, fields = TOY.decode(0b01110000000000_10)
    assert row.operands(fields, 0) == (0x60,)


def test_disassembly_shows_what_is_no_instruction_as_data() -> None:
    lines = TOY.disassemble(bytes.fromhex("0090 300c ffff 0080 00"), 0x100)
    assert [(line.address, line.text) for line in lines] == [
        (0x100, "DW $9000"),
        (0x102, "HOP"),
        (0x104, "DW $FFFF"),  # a prefix, but nothing it prefixes
        (0x106, "RAW"),
        (0x108, "DB $00"),  # the data ends inside an instruction
    ]


def test_thirty_two_bit_words_with_named_fields() -> None:
    kinds = {"reg": Names(*(f"R{n}" for n in range(16))), "cond": Names("EQ", "NE", *(f"C{n}" for n in range(14)))}
    rows = (
        Row("AND {cond:c} {reg:d},{reg:n},{reg:m}", "cccc00000000nnnnddddaaaaatt0mmmm", nothing),
        Row("MUL {cond:c} {reg:d},{reg:m}", "cccc00000000dddd0000ssss1001mmmm", nothing),
    )
    arm = InstructionSet("like ARM", rows, kinds)
    assert arm.decode(0x10010293).row.mnemonic == "MUL"
    row, fields = arm.decode(0x100123E4)
    assert row.mnemonic == "AND"
    assert [field.letter for field in row.fields] == list("cndatm")
    assert fields == (1, 1, 2, 7, 3, 4)


@given(st.integers(0, len(TOY.rows) - 1), st.data())
def test_encoding_and_decoding_undo_each_other(index: int, data: st.DataObject) -> None:
    row = TOY.rows[index]
    raw = tuple(data.draw(st.integers(0, (1 << field.bits) - 1)) for field in row.fields)
    found, fields = TOY.decode_at(TOY.encode(row, raw))
    assert found is row or found.fixed > row.fixed
    if found is row:
        assert fields == raw
