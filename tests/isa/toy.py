"""A small instruction set of 16-bit words that nobody built: enough to try every kind of operand and encoding."""

from __future__ import annotations

from tracklayer.isa import Displacement, InstructionSet, Names, Number, Paged, Relative, Row, Scaled


def nothing(*operands: int) -> None:
    """The meaning of everything here."""


KINDS = {
    "reg": Names("R0", "R1", "R2", "R3"),
    "at": Names("(R0)", "(R1+)", None, None),
    "imm": Number(8),
    "word": Number(16, is_target=True),
    "off": Displacement(6),
    "rel": Relative(6, address_bits=16, scale=2),
    "vec": Scaled(2, 16, base=0x40),
    "io": Paged(4, 0x7F0),
}

ROWS = (
    Row("MOVE {reg:d},{reg:s}", "0000dd----ss0000", nothing),
    Row("HOP", "0000110000110000", nothing, ends_block=True),  # would be MOVE R3,R3
    Row("LOAD {reg:d},{imm:i}", "0001ddiiii00iiii", nothing),  # a field in two pieces
    Row("LEA  {reg:d},R3{off:o}", "0010dd0000oooooo", nothing),
    Row("GET  {reg:d},{at:s}", "0011dd00000000ss", nothing),
    Row("GET  {reg:d},[{io:p}]", "0100dd000000pppp", nothing),
    Row("BR   {rel:r}", "0101000000rrrrrr", nothing, jump="always"),
    Row("CALL {word:t}", "0110000000000000 tttttttttttttttt", nothing, jump="always"),
    Row("TRAP {vec:v}", "01110000000000vv", nothing, jump="always"),
    Row("PRE  {reg:d}", "1111111111111111 00000000000000dd", nothing),  # a prefix and what it prefixes
    Row("PRE2 {reg:d}", "1111111111111111 01000000000000dd", nothing),
    Row("RAW", "1000xxxx00000000", nothing),  # a field that the text does not show
)

TOY = InstructionSet("toy", ROWS, KINDS, address_bits=16)
