"""What the compiler says when a program is outside the typed subset."""

from __future__ import annotations

import ast


class CompileError(Exception):
    """A place in a typed function that cannot be compiled.

    Attributes: file, line, column (from 1), expression (its source text), problem, mend (what to write instead).
    """

    def __init__(self, file: str, node: ast.AST | None, function: str, problem: str, mend: str = "") -> None:
        self.file = file
        self.line = getattr(node, "lineno", 0)
        self.column = getattr(node, "col_offset", -1) + 1
        self.expression = ast.unparse(node) if node is not None else ""
        self.function = function
        self.problem = problem
        self.mend = mend
        lines = [line for line in self.expression.splitlines() if not line.startswith("@")]
        shown = lines[0] if lines else ""
        text = f"{file}:{self.line}:{self.column}: in {function}: {problem}\n    {shown}"
        super().__init__(text + (f"\n  instead: {mend}" if mend else ""))


class NeverReturns(Exception):
    """Evaluating a statement always leaves by a call in it: nothing behind that is ever reached."""


class Refusal(Exception):
    """A problem found where the syntax tree is not at hand; the walker adds the place and raises CompileError."""

    def __init__(self, problem: str, mend: str = "") -> None:
        self.problem = problem
        self.mend = mend
        super().__init__(problem)
