"""One row of an instruction set: how an instruction is written, encoded, and what it means.

For:       the shape of an encoding: fixed bits, operand fields, length; packing and unpacking fields.
Not for:   choosing among rows (decoder.py), or what an operand's value stands for (operands.py).
Invariant: a row never changes after it was made; `bound` makes a new one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .operands import Kind, Number

PLACEHOLDER = re.compile(r"\{(\w+):(\w)\}")


class Part(NamedTuple):
    """A run of a field's bits: `width` bits at `shift` of the word are the field's bits from `position` up."""

    shift: int
    width: int
    position: int


class Field(NamedTuple):
    """An operand field: its letter in the encoding, its bits, and where they lie."""

    letter: str
    bits: int
    parts: tuple[Part, ...]

    def extract(self, word: int) -> int:
        """The field's value in an instruction word."""
        value = 0
        for part in self.parts:
            value |= (word >> part.shift & (1 << part.width) - 1) << part.position
        return value

    def insert(self, value: int) -> int:
        """A word in which this field holds `value` and all other bits are 0."""
        word = 0
        for part in self.parts:
            word |= (value >> part.position & (1 << part.width) - 1) << part.shift
        return word


class Row:
    """An instruction: its text, its encoding, its meaning.

    text:       mnemonic and operands, as in `"LD   {r:d},{n8:n}"`. `{kind:field}` is an operand: the name of its kind,
                and the letter of its field.
    encoding:   groups of one unit each (8, 16 or 32 characters), first fetched first: `"00ddd110 nnnnnnnn"`. 0 and 1
                are fixed bits, letters are fields, `-` is a bit that does not matter. A field that goes on in a later
                group has its higher bits there (little-endian operands); within a group the left bit is the higher one.
    meaning:    a typed function; it takes the fields as operands, in the order in which their letters first appear.
    ends_block: a translated block ends behind this instruction, though it need not jump (HALT, STOP, EI).
    jump:       "always" or "maybe" if the instruction sets the program counter, else None.
    """

    __slots__ = (
        "encoding", "ends_block", "fields", "fixed", "jump", "kinds", "length", "mask", "match", "meaning", "mnemonic",
        "target", "text", "unit", "units",
    )  # fmt: skip

    def __init__(
        self,
        text: str,
        encoding: str,
        meaning: Callable[..., None],
        *,
        ends_block: bool = False,
        jump: str | None = None,
    ) -> None:
        self.text = " ".join(text.split())
        self.encoding = encoding
        self.meaning = meaning
        self.ends_block = ends_block
        self.jump = jump
        self.mnemonic = self.text.split(" ")[0]
        groups = encoding.split()
        self.unit = len(groups[0])  # bits of a unit
        self.units = len(groups)
        self.length = self.unit // 8 * self.units  # in bytes
        self.mask = 0  # fixed bits of the whole encoding; the unit fetched first is lowest
        self.match = 0  # their values
        parts: dict[str, list[Part]] = {}
        sizes: dict[str, int] = {}
        for index, group in enumerate(groups):
            if len(group) != self.unit or self.unit not in (8, 16, 32):
                raise ValueError(f"{text}: encoding {encoding!r}: groups must all be 8, 16 or 32 characters long")
            for run in re.finditer(r"[01]|-+|(\w)\1*", group):
                shift = self.unit * (index + 1) - run.end()
                bits = run.group()
                if bits in "01":
                    self.mask |= 1 << shift
                    self.match |= int(bits) << shift
                elif bits[0] != "-":
                    # Provisional position: within a group, runs further left are higher; fixed up below.
                    parts.setdefault(bits[0], []).append(Part(shift, len(bits), index))
                    sizes[bits[0]] = sizes.get(bits[0], 0) + len(bits)
        self.fixed = self.mask.bit_count()
        self.fields = tuple(Field(letter, sizes[letter], _positions(runs)) for letter, runs in parts.items())
        self.kinds: tuple[Kind, ...] = ()  # of each field; known once bound
        self.target: int | None = None  # which field is a static jump target; known once bound

    def bound(self, kinds: Mapping[str, Kind]) -> Row:
        """This row with its operand kinds looked up by name. A field that the text does not show is a plain number.

        Errors: ValueError where the text names a kind or a field that does not exist.
        """
        row = Row(self.text, self.encoding, self.meaning, ends_block=self.ends_block, jump=self.jump)
        named = {letter: name for name, letter in PLACEHOLDER.findall(self.text)}
        for letter, name in named.items():
            if name not in kinds:
                raise ValueError(f"{self.text}: no operand kind named {name!r}")
            if letter not in {field.letter for field in self.fields}:
                raise ValueError(f"{self.text}: encoding {self.encoding!r} has no field {letter!r}")
        row.kinds = tuple(kinds[named[f.letter]] if f.letter in named else Number(f.bits) for f in self.fields)
        targets = [index for index, kind in enumerate(row.kinds) if kind.is_target]
        row.target = targets[0] if targets else None
        return row

    def matches(self, word: int) -> bool:
        """Whether a whole instruction word (first unit lowest) has this row's fixed bits."""
        return word & self.mask == self.match

    def extract(self, word: int) -> tuple[int, ...]:
        """The raw value of each field in an instruction word."""
        return tuple(field.extract(word) for field in self.fields)

    def insert(self, values: Sequence[int]) -> int:
        """The instruction word with these raw field values."""
        word = self.match
        for field, value in zip(self.fields, values, strict=True):
            word |= field.insert(value)
        return word

    def opcode_units(self) -> int:
        """How many units must be known to tell this row from others: up to the last one with a fixed bit."""
        return max(1, -(-self.mask.bit_length() // self.unit))

    def operands(self, raw: Sequence[int], next_address: int) -> tuple[Any, ...]:
        """The operands as the meaning takes them, when all raw fields are known."""
        return tuple(kind.value(value, next_address) for kind, value in zip(self.kinds, raw, strict=True))

    def show(self, raw: Sequence[int], next_address: int) -> str:
        """The instruction as text, with these raw field values."""
        index = {field.letter: number for number, field in enumerate(self.fields)}

        def one(match: re.Match[str]) -> str:
            number = index[match.group(2)]
            return self.kinds[number].show(raw[number], next_address)

        return PLACEHOLDER.sub(one, self.text)

    def __repr__(self) -> str:
        return f"Row({self.text!r}, {self.encoding!r})"


def _positions(runs: list[Part]) -> tuple[Part, ...]:
    """Give each run of a field's bits its place in the value: later groups are higher, and so are runs further left."""
    placed = []
    position = 0
    for run in sorted(runs, key=lambda run: (run.position, run.shift)):
        placed.append(Part(run.shift, run.width, position))
        position += run.width
    return tuple(placed)
