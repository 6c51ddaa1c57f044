"""From a line of assembly text to a row: matching the operands against each row's text.

For:     the assembler. A row's text is the pattern: what stands outside braces must stand in the line too.
Not for: values: an operand that is a number stays an expression until symbols are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .decoder import InstructionSet
from .expressions import Expression, Parser, SyntaxProblem, Token, tokenize
from .operands import Kind
from .row import PLACEHOLDER, Row

Matched = Mapping[str, int | Expression]  # by field letter: a name's index, or an expression


class Slot:
    """A placeholder in a row's text: an operand of some kind, for one field."""

    def __init__(self, letter: str, kind: Kind) -> None:
        self.letter = letter
        names = [(tokenize(name), raw) for raw, name in enumerate(kind.names) if name]
        self.names = sorted(((_spelling(tokens), raw) for tokens, raw in names), key=lambda pair: -len(pair[0]))


Template = tuple[str | Slot, ...]


def _spelling(tokens: Iterable[Token]) -> tuple[str, ...]:
    return tuple(token.text.upper() for token in tokens)


def template_of(row: Row) -> Template:
    """The pattern of a row's operands: upper-case tokens, and slots."""
    kinds = dict(zip((field.letter for field in row.fields), row.kinds, strict=True))
    operands = row.text[len(row.mnemonic) :]
    pieces: list[str | Slot] = []
    for index, piece in enumerate(PLACEHOLDER.split(operands)):
        if index % 3 == 0:  # literal text, then kind and letter of a placeholder, and so on
            pieces.extend(_spelling(tokenize(piece)))
        elif index % 3 == 2:
            pieces.append(Slot(piece, kinds[piece]))
    return tuple(pieces)


class Matcher:
    """Finds the row that a line's mnemonic and operands mean."""

    def __init__(self, instructions: InstructionSet, parser: Parser) -> None:
        self.parser = parser
        self.forms: dict[str, list[tuple[Row, Template]]] = {}
        reserved: set[str] = set()
        for row in sorted(instructions.rows, key=lambda row: -row.fixed):
            template = template_of(row)
            self.forms.setdefault(row.mnemonic.upper(), []).append((row, template))
            for piece in template:
                spellings = [piece] if isinstance(piece, str) else [text for name, _ in piece.names for text in name]
                reserved.update(text for text in spellings if text[0].isalpha())
        parser.reserved = frozenset(reserved)

    def match(self, mnemonic: str, operands: Sequence[Token]) -> tuple[Row, Matched]:
        """The first row of this mnemonic whose text fits, rows with more fixed bits first, and its operands.

        Errors: SyntaxProblem that lists the forms of the mnemonic.
        """
        for row, template in self.forms[mnemonic.upper()]:
            found = self._fit(template, operands, 0)
            if found is not None:
                return row, found
        forms = ", ".join(dict.fromkeys(PLACEHOLDER.sub(r"\1", row.text) for row, _ in self.forms[mnemonic.upper()]))
        shown = "".join((" " if token.spaced else "") + token.text for token in operands).strip()
        raise SyntaxProblem(f"{mnemonic.upper()} does not take {shown!r}; its forms are {forms}")

    def _fit(self, template: Template, tokens: Sequence[Token], at: int) -> dict[str, int | Expression] | None:
        if not template:
            return {} if at == len(tokens) else None
        piece, rest = template[0], template[1:]
        if isinstance(piece, str):
            return self._fit(rest, tokens, at + 1) if at < len(tokens) and tokens[at].text.upper() == piece else None
        for name, raw in piece.names:
            if _spelling(tokens[at : at + len(name)]) == name:
                found = self._fit(rest, tokens, at + len(name))
                if found is not None:
                    return {piece.letter: raw, **found}
        if piece.names:
            return None
        try:
            expression, behind = self.parser.parse(tokens, at)
        except SyntaxProblem:
            return None
        found = self._fit(rest, tokens, behind)
        return None if found is None else {piece.letter: expression, **found}
