"""Expressions in assembly text: numbers, symbols, operators.

For:     cutting a line into tokens; parsing an expression where one may stand; evaluating it once symbols are known.
Not for: what a symbol's value is: whoever evaluates supplies that.

Operators, loosest first: `|`, `^`, `&`, `== !=`, `< <= > >=`, `<< >>`, `+ -`, `* / %`; then `- + ~ !` before an
operand. Division rounds down. Numbers: 12, $FF, 0xFF, %1010, 0b1010, 'A'. `@` is the address of the statement.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<char>'(?:[^'\\]|\\.)')
      | (?P<number>\$[0-9A-Fa-f_]+|0[xX][0-9A-Fa-f_]+|0[bB][01_]+|[0-9][0-9_]*)
      | (?P<name>[A-Za-z_.][A-Za-z0-9_.]*)
      | (?P<mark><<|>>|==|!=|<=|>=|[-+*/%&|^~!<>=()\[\],:@\#{}])
    )""",
    re.VERBOSE,
)
ESCAPES = {"n": "\n", "t": "\t", "0": "\0"}

BINARY: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "|": (1, operator.or_),
    "^": (2, operator.xor),
    "&": (3, operator.and_),
    "==": (4, lambda a, b: int(a == b)),
    "!=": (4, lambda a, b: int(a != b)),
    "<": (5, lambda a, b: int(a < b)),
    "<=": (5, lambda a, b: int(a <= b)),
    ">": (5, lambda a, b: int(a > b)),
    ">=": (5, lambda a, b: int(a >= b)),
    "<<": (6, operator.lshift),
    ">>": (6, operator.rshift),
    "+": (7, operator.add),
    "-": (7, operator.sub),
    "*": (8, operator.mul),
    "/": (8, operator.floordiv),
    "%": (8, operator.mod),
}
UNARY: dict[str, Callable[[int], int]] = {
    "-": operator.neg,
    "+": operator.pos,
    "~": operator.invert,
    "!": lambda a: int(not a),
}
FUNCTIONS: dict[str, Callable[..., int]] = {
    "high": lambda value: value >> 8 & 0xFF,
    "low": lambda value: value & 0xFF,
    "min": min,
    "max": max,
    "abs": abs,
}

Lookup = Callable[[str], int]
Expression = Callable[[Lookup], int]


class Token(NamedTuple):
    """A token: its kind (text, char, number, name or mark), its spelling, and whether a space stands before it."""

    kind: str
    text: str
    spaced: bool


class SyntaxProblem(Exception):
    """Text that is no expression, or a line that has no meaning. The message says what was expected."""


def tokenize(line: str) -> list[Token]:
    """The tokens of a line. A comment, from `;` on, must be gone already.

    Errors: SyntaxProblem where a character starts no token.
    """
    tokens = []
    position = 0
    line = line.rstrip()
    while position < len(line):
        match = TOKEN.match(line, position)
        if match is None or match.lastgroup is None:
            raise SyntaxProblem(f"cannot read {line[position:].strip()!r}")
        spelling = match.group(match.lastgroup)
        tokens.append(Token(match.lastgroup, spelling, match.end() - len(spelling) > position))
        position = match.end()
    return tokens


def unquote(literal: str) -> str:
    """The characters of a string or character literal."""
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match.group(1), match.group(1)), literal[1:-1])


def number(literal: str) -> int:
    """The value of a number token."""
    digits = literal.replace("_", "")
    if digits[0] == "$":
        return int(digits[1:], 16)
    return int(digits) if digits.isdigit() else int(digits, 0)


class Parser:
    """Reads expressions from a line's tokens. `reserved` names are registers and the like: never symbols.

    functions: what `name(...)` may call.
    """

    def __init__(self, functions: dict[str, Callable[..., int]], reserved: frozenset[str] = frozenset()) -> None:
        self.functions = functions
        self.reserved = reserved

    def parse(self, tokens: Sequence[Token], at: int, loosest: int = 0) -> tuple[Expression, int]:
        """The longest expression that starts at token `at`, and the index of the token behind it.

        Errors: SyntaxProblem where no expression starts there.
        """
        left, at = self._operand(tokens, at)
        while at < len(tokens) and tokens[at].kind == "mark" and BINARY.get(tokens[at].text, (-1,))[0] > loosest:
            binding, combine = BINARY[tokens[at].text]
            right, at = self.parse(tokens, at + 1, binding)
            left = _binary(combine, left, right)
        return left, at

    def _operand(self, tokens: Sequence[Token], at: int) -> tuple[Expression, int]:
        if at >= len(tokens):
            raise SyntaxProblem("an expression is missing at the end of the line")
        token = tokens[at]
        if token.kind == "number":
            return _constant(number(token.text)), at + 1
        if token.kind == "char":
            return _constant(ord(unquote(token.text))), at + 1
        if token.kind == "name" and token.text.upper() not in self.reserved:
            if at + 1 < len(tokens) and tokens[at + 1].text == "(":
                return self._call(tokens, at)
            return _symbol(token.text), at + 1
        if token.text == "@":
            return _symbol("@"), at + 1
        if token.text == "%" and at + 1 < len(tokens) and set(tokens[at + 1].text) <= set("01_"):
            return _constant(int(tokens[at + 1].text, 2)), at + 2
        if token.text in UNARY:
            inner, at = self._operand(tokens, at + 1)
            return _unary(UNARY[token.text], inner), at
        if token.text == "(":
            inner, at = self.parse(tokens, at + 1)
            return inner, expect(tokens, at, ")")
        raise SyntaxProblem(f"an expression cannot start with {token.text!r}")

    def _call(self, tokens: Sequence[Token], at: int) -> tuple[Expression, int]:
        name = tokens[at].text
        if name not in self.functions:
            raise SyntaxProblem(f"no function {name!r}; there are {', '.join(sorted(self.functions))}")
        arguments = []
        at += 2
        while True:
            argument, at = self.parse(tokens, at)
            arguments.append(argument)
            if at < len(tokens) and tokens[at].text == ",":
                at += 1
                continue
            return _apply(self.functions[name], arguments), expect(tokens, at, ")")


def expect(tokens: Sequence[Token], at: int, mark: str) -> int:
    """The index behind a mark that must stand at `at`. Errors: SyntaxProblem."""
    if at >= len(tokens) or tokens[at].text != mark:
        found = f"not {tokens[at].text!r}" if at < len(tokens) else "the line ends"
        raise SyntaxProblem(f"expected {mark!r}; {found}")
    return at + 1


def _constant(value: int) -> Expression:
    return lambda lookup: value


def _symbol(name: str) -> Expression:
    return lambda lookup: lookup(name)


def _unary(combine: Callable[[int], int], inner: Expression) -> Expression:
    return lambda lookup: combine(inner(lookup))


def _binary(combine: Callable[[int, int], int], left: Expression, right: Expression) -> Expression:
    return lambda lookup: combine(left(lookup), right(lookup))


def _apply(function: Callable[..., int], arguments: list[Expression]) -> Expression:
    return lambda lookup: function(*(argument(lookup) for argument in arguments))
