"""LLVM IR as text: basic blocks, functions, a module.

For:       writing IR down; nothing here knows Python's syntax or meanings.
Not for:   optimising or emitting objects (backend.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


class Block:
    """A basic block under construction: phis first, then instructions; the last one ends it."""

    __slots__ = ("aside", "label", "lines", "phis")

    def __init__(self, label: str) -> None:
        self.label = label
        self.aside = False
        """It comes behind all others."""
        self.phis: list[str] = []
        self.lines: list[str] = []


class Text:
    """One function's body under construction."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.counter = 0
        self.locals: list[str] = []

    def fresh(self) -> str:
        """A new local value name."""
        self.counter += 1
        return f"%v{self.counter}"

    def block(self) -> Block:
        """A new block, placed after the ones made so far."""
        self.counter += 1
        block = Block(f"b{self.counter}")
        self.blocks.append(block)
        return block

    def stack_slots(self, count: int) -> str:
        """Room for `count` 64-bit integers on the host stack, for the time of the function; its address."""
        name = f"%s{len(self.locals)}"
        self.locals.append(f"  {name} = alloca [{count} x i64]")
        return name

    def discard_after(self, count: int) -> None:
        """Forget all blocks but the first `count`: a loop is walked again with wider intervals."""
        del self.blocks[count:]

    def render(self) -> str:
        """The body as IR text, blocks in the order they were made, but for those aside."""
        parts: list[str] = []
        first = self.blocks[:1]
        for index, block in enumerate(first + sorted(self.blocks[1:], key=lambda block: block.aside)):
            parts.append(f"{block.label}:")
            parts.extend(block.phis if index else self.locals)
            parts.extend(block.lines)
        return "\n".join(parts)


# Fields of structs, elements of arrays and what pointers lead to, and elements that are pointers never overlap: three
# leaves of one alias tree. `unlikely` is the weight that `lang.unlikely` and cold calls give their branch.
METADATA = """
!0 = !{!"tracklayer"}
!1 = !{!"field", !0, i64 0}
!2 = !{!"element", !0, i64 0}
!3 = !{!"pointer", !0, i64 0}
!4 = !{!1, !1, i64 0}
!5 = !{!2, !2, i64 0}
!6 = !{!3, !3, i64 0}
!7 = !{!"branch_weights", i32 1, i32 2000}
!8 = !{!"branch_weights", i32 2000, i32 1}
!9 = !{i8 0, i8 2}
!10 = !{}
"""
FIELD, ELEMENT, POINTER = "!tbaa !4", "!tbaa !5", "!tbaa !6"
RARELY, MOSTLY, IS_BOOL = "!prof !7", "!prof !8", "!range !9"


def literal(value: int, width: int) -> str:
    """An integer constant as LLVM writes it: its low bits, signed."""
    value &= (1 << width) - 1
    if width == 1:
        return "true" if value else "false"
    return str(value - (1 << width) if value >> (width - 1) else value)


_TABLE = re.compile(r"@[\w.]+")


class Definition:
    """A function in IR: its text, and how other modules declare it (empty where none needs to)."""

    __slots__ = ("declaration", "part", "text")

    def __init__(self, part: str, text: str, declaration: str) -> None:
        self.part = part
        self.text = text
        self.declaration = declaration


class Module:
    """The functions, constants and declarations of a program, which may become several object files ("parts").

    chunk: characters of IR from which on a part is whole, and the next function of its kind begins another; 0: never.
    undivided: kinds of which there is one part only, whatever its size. whole: called with the name of each part that
    nothing is added to any more.
    """

    def __init__(self) -> None:
        self.chunk = 0
        self.undivided: tuple[str, ...] = ()
        self.whole: Callable[[str], None] = lambda part: None
        self._sizes: dict[str, int] = {}
        """Of the part of each kind that is not whole."""
        self._numbers: dict[str, int] = {}
        self.functions: list[Definition] = []
        self.globals: list[str] = []
        self.metadata: list[str] = []
        self._tables: dict[tuple[int, tuple[int, ...]], str] = {}

    def table(self, values: tuple[int, ...], width: int) -> str:
        """The name of a constant array of integers; equal ones are shared."""
        key = (width, values)
        name = self._tables.get(key)
        if name is None:
            name = self._tables[key] = f"@table.{len(self._tables)}"
            body = ", ".join(f"i{width} {literal(value, width)}" for value in values)
            self.globals.append(f"{name} = private unnamed_addr constant [{len(values)} x i{width}] [{body}]")
        return name

    def add(self, kind: str, text: str, declaration: str = "") -> None:
        """Add a function to a part of a kind."""
        number, size = self._numbers.get(kind, 0), self._sizes.get(kind, 0) + len(text)
        part = f"{kind}.{number}"
        self.functions.append(Definition(part, text, declaration))
        self._sizes[kind] = size
        if self.chunk and size >= self.chunk and kind not in self.undivided:
            self._numbers[kind] = number + 1
            del self._sizes[kind]
            self.whole(part)

    def rest(self) -> list[str]:
        """The parts that are not whole."""
        return [f"{kind}.{self._numbers.get(kind, 0)}" for kind in self._sizes]

    def metadata_node(self, text: str) -> str:
        """A new metadata node; its reference."""
        self.metadata.append(text)
        return f"!{99 + len(self.metadata)}"

    def render(self, triple: str, part: str | None = None, begun: Iterable[str] = ()) -> str:
        """The module as IR text: all of it, or one part with declarations of what the others define.

        begun: declarations of what none defines yet.
        """
        numbered = "\n".join(f"!{100 + index} = {text}" for index, text in enumerate(self.metadata))
        own, others = [], []
        for definition in self.functions:
            if part is None or definition.part == part:
                own.append(definition.text)
            elif definition.declaration:
                others.append(definition.declaration)
        functions = "\n".join(own)
        if part is not None:
            others += begun
            used = set(_TABLE.findall(functions))
            shared = [text for text in self.globals if text[:1] != "@" or text.split(" ", 1)[0] in used]
        else:
            shared = self.globals
        return "\n".join([f'target triple = "{triple}"', *shared, *others, functions, METADATA, numbered, ""])
