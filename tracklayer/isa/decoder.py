"""An instruction set: its rows together, and the way from a word to the one row that it means.

For:       decoding, encoding and disassembling by the rows alone.
Not for:   assembly text (assembler.py); running anything.
Invariant: every word that decodes at all decodes to exactly one row: of all that match, the one with most fixed bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .operands import Kind
from .row import Row

DATA = {1: "DB", 2: "DW", 4: "DD"}  # how the assembler spells one unit of data


class Decoded(NamedTuple):
    """A row and the raw values of its fields."""

    row: Row
    fields: tuple[int, ...]


class Line(NamedTuple):
    """One disassembled instruction. `row` is None where the bytes are no instruction."""

    address: int
    data: bytes
    text: str
    row: Row | None


class InstructionSet:
    """Rows, bound to their operand kinds.

    Errors: ValueError where two rows tie: both match some word and have the same number of fixed bits.
    """

    def __init__(self, name: str, rows: Iterable[Row], kinds: Mapping[str, Kind], *, address_bits: int = 32) -> None:
        self.name = name
        self.kinds = dict(kinds)
        self.rows = tuple(row.bound(self.kinds) for row in rows)
        self.address_mask = (1 << address_bits) - 1
        self.unit = self.rows[0].unit
        if any(row.unit != self.unit for row in self.rows):
            raise ValueError(f"{name}: all rows must have units of {self.unit} bits")
        self._refuse_ties()
        unit_mask = (1 << self.unit) - 1
        self._key_mask = 0
        for row in self.rows:
            self._key_mask |= row.mask & unit_mask
        self._by_key: dict[int, tuple[Row, ...]] = {}

    def _refuse_ties(self) -> None:
        for index, one in enumerate(self.rows):
            for other in self.rows[:index]:
                both = one.mask & other.mask
                if one.fixed == other.fixed and one.match & both == other.match & both:
                    raise ValueError(f"{self.name}: {one!r} and {other!r} tie: both match ${one.match | other.match:X}")

    def candidates(self, first: int) -> tuple[Row, ...]:
        """The rows whose fixed bits in the first unit fit, most fixed bits first."""
        key = first & self._key_mask
        found = self._by_key.get(key)
        if found is None:
            unit_mask = (1 << self.unit) - 1
            fitting = [row for row in self.rows if (key ^ row.match) & row.mask & unit_mask == 0]
            found = self._by_key[key] = tuple(sorted(fitting, key=lambda row: -row.fixed))
        return found

    def decode(self, *units: int) -> Decoded:
        """The row that these units mean, and its raw fields.

        Units that are not given count as 0: operands need not be there.
        Errors: LookupError where no row matches.
        """
        word = 0
        for index, unit in enumerate(units):
            word |= unit << self.unit * index
        for row in self.candidates(units[0]):
            if row.matches(word):
                return Decoded(row, row.extract(word))
        shown = " ".join(f"${unit:0{self.unit // 4}X}" for unit in units)
        raise LookupError(f"{self.name}: no row matches {shown}")

    def decode_at(self, data: Sequence[int], offset: int = 0) -> Decoded:
        """Decode the instruction that starts at a byte offset.

        Errors: LookupError where no row matches, or the data ends inside the instruction.
        """
        size = self.unit // 8
        longest = max(row.units for row in self.rows)
        units = []
        for index in range(longest):
            piece = bytes(data[offset + index * size : offset + (index + 1) * size])
            if len(piece) < size:
                break
            units.append(int.from_bytes(piece, "little"))
        if units:
            found = self.decode(*units)
            if found.row.units <= len(units):
                return found
        raise LookupError(f"{self.name}: the data ends inside an instruction at offset {offset}")

    def encode(self, row: Row, raw: Sequence[int]) -> bytes:
        """The bytes of an instruction with these raw fields."""
        return row.insert(raw).to_bytes(row.length, "little")

    def disassemble(self, data: Sequence[int], address: int = 0) -> Iterator[Line]:
        """The instructions in a run of bytes, one behind the other. A unit that starts none is shown as data."""
        size = self.unit // 8
        offset = 0
        while offset < len(data):
            here = address + offset & self.address_mask
            try:
                row, raw = self.decode_at(data, offset)
            except LookupError:
                piece = bytes(data[offset : offset + size])
                if len(piece) == size:
                    text = f"{DATA[size]} ${int.from_bytes(piece, 'little'):0{2 * size}X}"
                else:
                    text = "DB " + ",".join(f"${byte:02X}" for byte in piece)
                yield Line(here, piece, text, None)
                offset += len(piece)
                continue
            piece = bytes(data[offset : offset + row.length])
            yield Line(here, piece, row.show(raw, here + row.length & self.address_mask), row)
            offset += row.length
