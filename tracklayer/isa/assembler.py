"""The guest assembler: text in, bytes and symbols out, by an instruction set's rows alone.

For:     test programs, the demonstration cartridge, tools that want to write guest code.
Not for: linking, relocation, macros.

A line is `label: statement ; comment`; each part may be missing. Instructions are spelled as their rows are. A label
that starts with a dot belongs to the last one that does not. Statements of the assembler itself:

name = expression            a constant; it may name what comes later
org address [, offset]       what follows has this address; in the image it lies at `offset` (else at address - origin)
ram address                  what follows only gets addresses: labels and `ds`, no bytes
phase address ... dephase   what follows lies here in the image, but its labels count from `address`: code to be copied
db, dw, dd values            data of one, two or four bytes each, low byte first; `db` takes strings too
ds count [, fill]            a number of equal bytes
incbin "file" [, from [, length]]    the bytes of a file
include "file"               the lines of a file
rept count [, name] ... endr         the lines between, some times over; `name` counts from 0
assert expression, "message"         an error unless it is true (not 0)
NAME arguments ... end       a block that the caller of `assemble` defined, such as a picture
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .decoder import InstructionSet
from .expressions import FUNCTIONS, Expression, Parser, SyntaxProblem, Token, expect, tokenize, unquote
from .row import Row
from .templates import Matched, Matcher

Block = Callable[[Sequence[str], Sequence[int]], bytes]  # (the lines between, the arguments) -> bytes
STATEMENTS = frozenset(
    {"org", "ram", "phase", "dephase", "db", "dw", "dd", "ds", "incbin", "include", "rept", "endr", "assert", "end"}
)


class AssemblyError(Exception):
    """What is wrong, with file, line number and the line itself."""

    def __init__(self, file: str, number: int, line: str, message: str) -> None:
        super().__init__(f"{file}:{number}: {message}\n    {line.strip()}")
        self.file = file
        self.number = number
        self.message = message


class Listed(NamedTuple):
    """A source line that made bytes: where they are, in the guest and in the image."""

    file: str
    number: int
    address: int
    offset: int
    data: bytes


class Program(NamedTuple):
    """What `assemble` made: the image, all symbols, those of them that are labels, and which line made which bytes."""

    data: bytes
    symbols: dict[str, int]
    labels: dict[str, int]
    listing: tuple[Listed, ...]


class _Line(NamedTuple):
    file: str
    number: int
    text: str  # as it stands in the file


class _Place(NamedTuple):
    """Where a statement was put: its scope for local labels, its address, its offset in the image (None: no bytes)."""

    line: _Line
    scope: str
    address: int
    offset: int | None


def assemble(
    text: str,
    instructions: InstructionSet,
    *,
    name: str = "<text>",
    folder: Path | None = None,
    origin: int = 0,
    size: int = 0,
    fill: int = 0,
    blocks: Mapping[str, Block] | None = None,
    functions: Mapping[str, Callable[..., int]] | None = None,
) -> Program:
    """Assemble a text.

    name:      what errors call it.
    folder:    where `include` and `incbin` look for files.
    origin:    the address of the image's first byte.
    size:      the image is filled up to this length, and may not pass it; 0: as long as it gets.
    blocks:    more statements, by name: each takes the lines up to `end`, and its arguments, and returns bytes.
    functions: more functions for expressions.
    Errors:    AssemblyError, at the first line that is wrong.
    """
    work = _Assembly(instructions, folder, origin, size, dict(blocks or {}), {**FUNCTIONS, **(functions or {})})
    work.place_all([_Line(name, number, line) for number, line in enumerate(text.splitlines(), 1)])
    return work.finish(fill)


def uncommented(line: str) -> str:
    """The line without its comment. A semicolon in quotes starts none."""
    quote = ""
    for index, character in enumerate(line):
        if quote:
            if character == quote and line[index - 1] != "\\":
                quote = ""
        elif character in "\"'":
            quote = character
        elif character == ";":
            return line[:index]
    return line


class _Assembly:
    """The state of one assembly: first every statement gets its place, then every statement becomes bytes."""

    def __init__(
        self,
        instructions: InstructionSet,
        folder: Path | None,
        origin: int,
        size: int,
        blocks: dict[str, Block],
        functions: dict[str, Callable[..., int]],
    ) -> None:
        self.instructions = instructions
        self.folder = folder
        self.origin = origin
        self.size = size
        self.blocks = blocks
        self.parser = Parser(functions)
        self.matcher = Matcher(instructions, self.parser)
        self.symbols: dict[str, int] = {}
        self.constants: dict[str, tuple[_Place, Expression]] = {}
        self.resolving: list[str] = []
        self.emit: list[tuple[_Place, int, Callable[[Callable[[str], int]], bytes]]] = []
        self.checks: list[tuple[_Place, Expression, str]] = []
        self.scope = ""
        self.address = origin
        self.offset: int | None = 0
        self.phases: list[int] = []  # how far each open `phase` moved addresses
        self.line = _Line("", 0, "")

    # ---- first pass: places ----

    def place_all(self, lines: Sequence[_Line]) -> None:
        at = 0
        while at < len(lines):
            self.line = lines[at]
            try:
                at = self.place_line(lines, at)
            except (SyntaxProblem, ValueError, ZeroDivisionError, OSError) as problem:
                raise AssemblyError(self.line.file, self.line.number, self.line.text, str(problem)) from None

    def place_line(self, lines: Sequence[_Line], at: int) -> int:
        """Place one line, or one construct of several. Returns the index of the line behind."""
        tokens = tokenize(uncommented(lines[at].text))
        if len(tokens) >= 2 and tokens[0].kind == "name" and tokens[1].text == ":":
            self.define_label(tokens[0].text)
            tokens = tokens[2:]
        if not tokens:
            return at + 1
        head, rest = tokens[0], tokens[1:]
        word = head.text.lower()
        if rest and rest[0].text == "=":
            expression = self.whole(rest[1:])
            self.define(self.full(head.text))
            self.constants[self.full(head.text)] = (self.place(), expression)
        elif word in self.blocks:
            behind = self.closing(lines, at, {word}, "end")
            block = self.blocks[word](
                [line.text for line in lines[at + 1 : behind]], [self.now(e) for e in self.listed(rest)]
            )
            self.add(len(block), lambda lookup: block)
            return behind + 1
        elif word == "rept":
            behind = self.closing(lines, at, {"rept"}, "endr")
            self.repeat(rest, lines[at + 1 : behind])
            return behind + 1
        elif word == "include":
            path = self.file(rest)
            text = path.read_text(encoding="utf-8")
            self.place_all([_Line(path.name, number, line) for number, line in enumerate(text.splitlines(), 1)])
        elif word in STATEMENTS:
            self.statement(word, rest)
        elif word.upper() in self.matcher.forms:
            row, operands = self.matcher.match(word, rest)
            place = self.place()
            self.add(row.length, lambda lookup: self.encode(place, row, operands, lookup))
        else:
            raise SyntaxProblem(f"no instruction or statement {head.text!r}")
        return at + 1

    def statement(self, word: str, rest: Sequence[Token]) -> None:
        """Place one of the assembler's own statements that are one line."""
        if word == "db":
            values = self.data(rest)
            length = sum(len(value) if isinstance(value, bytes) else 1 for value in values)
            self.add(length, lambda lookup: b"".join(_sized(value, 1, lookup) for value in values))
        elif word in ("dw", "dd"):
            size = 2 if word == "dw" else 4
            words = self.listed(rest)
            self.add(size * len(words), lambda lookup: b"".join(_sized(value, size, lookup) for value in words))
        elif word == "ds":
            count, *fill = (self.now(expression) for expression in self.listed(rest))
            if count < 0:
                raise SyntaxProblem(f"ds cannot leave {count} bytes")
            self.add(count, lambda lookup: bytes([fill[0] & 0xFF if fill else 0]) * count, reserves=not fill)
        elif word == "incbin":
            data = self.file(rest[:1]).read_bytes()
            limits = [self.now(expression) for expression in self.listed(rest[2:])]
            data = data[limits[0] :] if limits else data
            data = data[: limits[1]] if len(limits) > 1 else data
            self.add(len(data), lambda lookup: data)
        elif word == "org":
            address, *offset = (self.now(expression) for expression in self.listed(rest))
            self.address = address
            self.offset = offset[0] if offset else address - self.origin
        elif word == "ram":
            self.address = self.now(self.whole(rest))
            self.offset = None
        elif word == "phase":
            if self.offset is None:
                raise SyntaxProblem("phase needs bytes to lie in the image; after `ram` there are none")
            address = self.now(self.whole(rest))
            self.phases.append(self.address - address)
            self.address = address
        elif word == "dephase":
            if not self.phases:
                raise SyntaxProblem("dephase without phase")
            self.address += self.phases.pop()
        elif word == "assert":
            expression, behind = self.parser.parse(rest, 0)
            message = "the assertion does not hold"
            if behind < len(rest):
                message = unquote(rest[expect(rest, behind, ",")].text)
            self.checks.append((self.place(), expression, message))
        else:
            raise SyntaxProblem(f"{word} without what it ends")

    def add(self, length: int, make: Callable[[Callable[[str], int]], bytes], reserves: bool = False) -> None:
        """Give a statement of some length its place. `reserves`: it may stand where no bytes are kept."""
        if self.offset is None:
            if not reserves:
                raise SyntaxProblem("only labels and ds can stand after `ram`: it keeps no bytes")
        else:
            if self.offset < 0 or (self.size and self.offset + length > self.size):
                raise SyntaxProblem(f"lies outside the image, at offset ${self.offset:X} of ${self.size:X}")
            self.emit.append((self.place(), length, make))
            self.offset += length
        self.address += length

    def repeat(self, rest: Sequence[Token], body: Sequence[_Line]) -> None:
        count, behind = self.parser.parse(rest, 0)
        name = rest[expect(rest, behind, ",")].text if behind < len(rest) else ""
        for turn in range(self.now(count)):
            if name:
                self.symbols[name] = turn
            first = len(self.emit)
            self.place_all(body)
            if name:  # what was placed sees the count of its own turn, not that of the last
                self.emit[first:] = [
                    (place, length, _with(name, turn, make)) for place, length, make in self.emit[first:]
                ]
        self.symbols.pop(name, None)

    def closing(self, lines: Sequence[_Line], at: int, opening: set[str], end: str) -> int:
        """The index of the line that ends the construct opened at `at`."""
        depth = 0
        for index in range(at, len(lines)):
            words = uncommented(lines[index].text).split()
            depth += bool(words) and words[0].lower() in opening and (index == at or end == "endr")
            depth -= bool(words) and words[0].lower() == end
            if depth <= 0 and index > at:
                return index
        raise SyntaxProblem(f"{end} is missing")

    def place(self) -> _Place:
        return _Place(self.line, self.scope, self.address, self.offset)

    def full(self, name: str) -> str:
        """A symbol's full name: a local one belongs to the last that is not."""
        return self.scope + name if name.startswith(".") else name

    def define(self, name: str) -> None:
        if name.upper() in self.parser.reserved:
            raise SyntaxProblem(f"{name!r} is a register, condition or the like; a symbol needs another name")
        if name in self.symbols or name in self.constants:
            raise SyntaxProblem(f"{name!r} is defined already")

    def define_label(self, name: str) -> None:
        full = self.full(name)
        self.define(full)
        if not name.startswith("."):
            self.scope = name
        self.symbols[full] = self.address

    def whole(self, tokens: Sequence[Token]) -> Expression:
        """The one expression that these tokens are."""
        expression, behind = self.parser.parse(tokens, 0)
        if behind < len(tokens):
            raise SyntaxProblem(f"{tokens[behind].text!r} is unexpected here")
        return expression

    def listed(self, tokens: Sequence[Token]) -> list[Expression]:
        """Expressions with commas between; none for no tokens."""
        found = []
        at = 0
        while at < len(tokens):
            expression, at = self.parser.parse(tokens, at)
            found.append(expression)
            if at < len(tokens):
                at = expect(tokens, at, ",")
        return found

    def data(self, tokens: Sequence[Token]) -> list[bytes | Expression]:
        """Like `listed`, but strings may stand among the expressions."""
        values: list[bytes | Expression] = []
        at = 0
        while at < len(tokens):
            if tokens[at].kind == "text":
                values.append(unquote(tokens[at].text).encode("latin-1"))
                at += 1
            else:
                expression, at = self.parser.parse(tokens, at)
                values.append(expression)
            if at < len(tokens):
                at = expect(tokens, at, ",")
        return values

    def file(self, tokens: Sequence[Token]) -> Path:
        if self.folder is None:
            raise SyntaxProblem("no folder was given to look for files in")
        if len(tokens) != 1 or tokens[0].kind != "text":
            raise SyntaxProblem("expected the name of one file, in quotes")
        return self.folder / unquote(tokens[0].text)

    # ---- values ----

    def now(self, expression: Expression) -> int:
        """A value that places depend on, so that it must be known already."""
        try:
            return expression(self.lookup(self.place()))
        except KeyError as error:
            raise SyntaxProblem(f"{error.args[0]!r} must be defined before this line") from None

    def lookup(self, place: _Place) -> Callable[[str], int]:
        """What symbols mean at a place. Errors: KeyError for one that is not defined."""

        def find(name: str) -> int:
            if name == "@":
                return place.address
            full = place.scope + name if name.startswith(".") else name
            if full in self.symbols:
                return self.symbols[full]
            defined, expression = self.constants[full]
            if full in self.resolving:
                raise SyntaxProblem(f"{full!r} is defined by itself")
            self.resolving.append(full)
            try:
                return expression(self.lookup(defined))
            finally:
                self.resolving.pop()

        return find

    def encode(self, place: _Place, row: Row, operands: Matched, lookup: Callable[[str], int]) -> bytes:
        behind = place.address + row.length & self.instructions.address_mask
        raw = []
        for field, kind in zip(row.fields, row.kinds, strict=True):
            operand = operands.get(field.letter, 0)
            raw.append(operand if isinstance(operand, int) else kind.encode(operand(lookup), behind))
        return self.instructions.encode(row, raw)

    # ---- second pass: bytes ----

    def finish(self, fill: int) -> Program:
        image = bytearray()
        owner: dict[int, _Line] = {}
        listing = []
        for place, length, make in self.emit:
            offset = place.offset or 0
            try:
                data = make(self.lookup(place))
                for at in range(offset, offset + length):
                    if at in owner:
                        raise SyntaxProblem(f"offset ${at:X} is taken already, by {owner[at].file}:{owner[at].number}")
                    owner[at] = place.line
            except (SyntaxProblem, ValueError, ZeroDivisionError, KeyError) as problem:
                raise self.error(place, problem) from None
            image.extend(bytes([fill]) * (offset + length - len(image)))
            image[offset : offset + length] = data
            if data:
                listing.append(Listed(place.line.file, place.line.number, place.address, offset, data))
        image.extend(bytes([fill]) * (self.size - len(image)))
        for place, expression, message in self.checks:
            try:
                if not expression(self.lookup(place)):
                    raise SyntaxProblem(message)
            except (SyntaxProblem, ValueError, ZeroDivisionError, KeyError) as problem:
                raise self.error(place, problem) from None
        symbols = dict(self.symbols)
        for name, (place, expression) in self.constants.items():
            try:
                symbols[name] = expression(self.lookup(place))
            except (SyntaxProblem, ValueError, ZeroDivisionError, KeyError) as problem:
                raise self.error(place, problem) from None
        return Program(bytes(image), symbols, dict(self.symbols), tuple(listing))

    def error(self, place: _Place, problem: Exception) -> AssemblyError:
        message = f"{problem.args[0]!r} is not defined" if isinstance(problem, KeyError) else str(problem)
        return AssemblyError(place.line.file, place.line.number, place.line.text, message)


def _sized(value: bytes | Expression, size: int, lookup: Callable[[str], int]) -> bytes:
    if isinstance(value, bytes):
        return value
    number = value(lookup)
    if not -(1 << 8 * size - 1) <= number < 1 << 8 * size:
        raise ValueError(f"{number} does not fit {8 * size} bits")
    return (number & (1 << 8 * size) - 1).to_bytes(size, "little")


def _with(
    name: str, value: int, make: Callable[[Callable[[str], int]], bytes]
) -> Callable[[Callable[[str], int]], bytes]:
    """`make`, seeing one symbol as it was when its statement was placed."""
    return lambda lookup: make(lambda symbol: value if symbol == name else lookup(symbol))
