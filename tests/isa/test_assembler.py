"""The assembler, text in and bytes out, on a toy instruction set."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracklayer.isa import AssemblyError, assemble
from tracklayer.isa.expressions import FUNCTIONS, Parser, tokenize

from .toy import TOY


def words(text: str) -> list[int]:
    data = assemble(text, TOY).data
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]


def value(text: str, **symbols: int) -> int:
    expression, _ = Parser(dict(FUNCTIONS)).parse(tokenize(text), 0)
    return expression(symbols.__getitem__)


def test_registers_immediates_and_memory_operands() -> None:
    assert words("move r2,R1") == [0b0000_10_0000_01_0000]
    assert words("load r3,$A5") == [0b0001_11_1010_00_0101]
    assert words("lea r0,r3-2\n lea r0,r3+2") == [0b0010_00_0000_111110, 0b0010_00_0000_000010]
    assert words("get r1,(r1+)") == [0b0011_01_00000000_01]
    assert words("get r1,[$7F0+3]") == [0b0100_01_000000_0011]


def test_labels_may_be_used_before_they_are_defined() -> None:
    assert words("start: br end\n hop\nend: call start") == [0b0101000000_000001, 0x0C30, 0x6000, 0x0000]


def test_local_labels_belong_to_the_last_global_one() -> None:
    assert words("a:\n.x: br .x\nb:\n.x: br .x") == [0b0101000000_111111] * 2


def test_constants_may_name_what_comes_later() -> None:
    assert assemble("N = END - 1\n db N\nEND:", TOY).data == b"\x00"


def test_org_fills_between_and_ram_gives_addresses_only() -> None:
    program = assemble(" org $104\nN = 7\nx: db 1\n ram $C000\na: ds 3\nb: ds 1", TOY, origin=0x100, fill=0xFF)
    assert program.labels == {"x": 0x104, "a": 0xC000, "b": 0xC003}
    assert program.symbols == {**program.labels, "N": 7}
    assert program.data == b"\xff\xff\xff\xff\x01"


def test_org_with_an_offset_places_a_bank() -> None:
    program = assemble(" org $4000, 4\nx: dw x\n org $4000, 6\ny: dw y", TOY)
    assert program.data == bytes.fromhex("00000000 0040 0040")


def test_phase_counts_addresses_from_where_the_code_will_be_copied_to() -> None:
    program = assemble(" hop\n phase $F000\nf: call f\n dephase\nafter: hop", TOY)
    assert program.data == bytes.fromhex("300c 0060 00f0 300c")
    assert program.symbols == {"f": 0xF000, "after": 6}


def test_strings_numbers_and_fills() -> None:
    assert assemble(" dw $1234, @\n dd -2", TOY).data == bytes.fromhex("3412 0000 feffffff")
    assert assemble(' db "a;\\"b", 0, \'c\', -1 ; comment\n ds 2, 7', TOY).data == b'a;"b\x00c\xff\x07\x07'


def test_rept_counts() -> None:
    text = " rept 3, i\n db i*i\n rept 2, j\n db i+j\n endr\n endr"
    assert assemble(text, TOY).data == bytes([0, 0, 1, 1, 1, 2, 4, 2, 3])


def test_include_and_incbin(tmp_path: Path) -> None:
    (tmp_path / "more.asm").write_text("x: db 5")
    (tmp_path / "data.bin").write_bytes(bytes(range(10)))
    text = ' include "more.asm"\n incbin "data.bin", 2, 3\n db x'
    assert assemble(text, TOY, folder=tmp_path).data == bytes([5, 2, 3, 4, 0])


def test_blocks_and_functions_of_the_caller() -> None:
    def picture(lines: list[str], arguments: list[int]) -> bytes:
        return "".join(lines).replace(" ", "").encode() + bytes(arguments)

    program = assemble(
        "art 1, 2\n  .#;\n  #.\nend\n db twice(4)", TOY, blocks={"art": picture}, functions={"twice": lambda n: 2 * n}
    )
    assert program.data == b".#;#.\x01\x02\x08"


def test_the_listing_tells_which_line_made_which_bytes() -> None:
    listing = assemble("\n hop\n phase $F000\n hop\n dephase", TOY, name="x.asm").listing
    assert [(line.number, line.address, line.offset, line.data.hex()) for line in listing] == [
        (2, 0, 0, "300c"),
        (4, 0xF000, 2, "300c"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n frob r1", "x.asm:2: no instruction or statement 'frob'\n    frob r1"),
        (" load r1,[5]", "LOAD does not take 'r1,[5]'; its forms are LOAD reg,imm"),
        (" load r1,256", "256 does not fit 8 bits"),
        (" lea r1,r3+32", "32 is not between -32 and 31"),
        (" br $100", "out of a relative jump's reach"),
        (" br 3", "out of a relative jump's reach"),
        (" trap $41", r"$41 is not one of $40 to $70 in steps of 16"),
        (" get r1,[$700]", "not in the page $7F0 to $7FF"),
        (" db x", "'x' is not defined"),
        ("x:\nx:", "x.asm:2: 'x' is defined already"),
        ("r1: hop", "'r1' is a register"),
        ("x = y\ny = x\n db x", "is defined by itself"),
        (" ds n\nn = 3\nm: ds m2\nm2:", "'n' must be defined before this line"),
        (" db 1\n org 0\n db 2", "offset $0 is taken already, by x.asm:1"),
        (" db 256", "256 does not fit 8 bits"),
        (" assert 1 > 2, \"no\"", "no"),
        (" rept 2\n hop", "endr is missing"),
        (" dephase", "dephase without phase"),
        (" ram 0\n db 1", "it keeps no bytes"),
        (" db 1,,2", "cannot start with ','"),
        (" db (1", "expected ')'; the line ends"),
        (" db `", "cannot read '`'"),
        (" db 1/0", "division"),
        (" incbin \"a\"", "no folder was given"),
        (" org 20\n db 1", "lies outside the image"),
    ],
)  # fmt: skip
def test_errors_name_the_line_and_what_is_wrong_with_it(text: str, message: str) -> None:
    with pytest.raises(AssemblyError) as caught:
        assemble(text, TOY, name="x.asm", size=16)
    assert message in str(caught.value)


def test_operators_bind_as_they_should() -> None:
    assert value("1 + 2 * 3 << 1 | 1") == 15
    assert value("10 - 4 - 3") == 3
    assert value("-3 + ~0 - -1") == -3
    assert value("%101 + 7 % 4 + $F_F + 0b11 + 0x10") == 5 + 3 + 255 + 3 + 16
    assert value("high($1234) == $12 & low(x) == 4", x=0x104) == 1
    assert value("(1 < 2) + (2 <= 2) + (3 > 4) + (4 >= 4) + (1 != 1) + !0") == 4
    assert value("-7 / 2") == -4


@given(st.integers(0, len(TOY.rows) - 1), st.integers(0, 0xFFF0), st.data())
def test_disassembling_and_assembling_undo_each_other(index: int, address: int, data: st.DataObject) -> None:
    row = TOY.rows[index]
    address &= 0xFFFE
    limits = [2 if None in kind.names else 1 << field.bits for field, kind in zip(row.fields, row.kinds, strict=True)]
    raw = [data.draw(st.integers(0, limit - 1)) for limit in limits]
    if row.mnemonic == "RAW":
        raw = [0]
    code = TOY.encode(row, raw)
    line = next(TOY.disassemble(code, address))
    assert assemble(line.text, TOY, origin=address).data == code
