"""Random typed functions: sources within the subset, for holding compiled runs against CPython's.

For:     `program(dice)`, the text of a module with a few helpers and one function `main(shape: Shape, ...)`.
Not for: running it (fuzz.py).

Every expression is made together with an interval of its own reckoning, so that most programs are within the subset.
Whatever the compiler refuses nevertheless is counted by the caller, and must be little.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from tracklayer.lang import IntType, i8, i16, i32, i64, u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64

KINDS: tuple[IntType, ...] = (u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64, i8, i16, i32, i64)  # type: ignore[assignment]
LOCAL_KINDS: tuple[IntType, ...] = (u8, u8, u16, u32, u64, i8, i16, i32, i64, u3, u5)  # type: ignore[assignment]
FIELDS: dict[str, IntType] = {
    "b1": u1, "b2": u2, "b3": u3, "b4": u4, "b5": u5, "b6": u6, "b7": u7, "x8": u8, "x16": u16, "x32": u32, "x64": u64,
    "s8": i8, "s16": i16, "s32": i32, "s64": i64, "other": u1, "inner.small": u3, "inner.byte": u8, "inner.word": i16,
    "inner.flag": u1, "inner.long": u64,
}  # type: ignore[dict-item]  # fmt: skip
ARRAYS: dict[str, tuple[IntType, int]] = {
    "bytes": (u8, 16), "words": (u16, 8), "longs": (u64, 4), "chars": (i8, 8), "ints": (i32, 4), "wide": (i64, 2),
    "inner.cells": (u8, 8),
}  # type: ignore[dict-item]  # fmt: skip
POINTERS: dict[str, tuple[IntType, int]] = {"to_bytes": (u8, 12), "to_words": (u16, 8), "to_ints": (i32, 4)}  # type: ignore[dict-item]
MEMBERS: dict[str, IntType] = {"small": u3, "byte": u8, "word": i16, "flag": u1, "long": u64}  # type: ignore[dict-item]
TABLES = {
    "SMALL": (3, 1, 4, 1, 5, 9, 2, 6),
    "SIGNED": (-5, 7, 1000, -70000),
    "LARGE": (1, 1 << 40, (1 << 63) - 1, 12345),
}

HEAD = """from __future__ import annotations

from typing import Any

from tracklayer.lang import (
    Ptr, comptime, i8, i16, i32, i64, pointer, typed, u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64, unlikely,
)

SMALL = (3, 1, 4, 1, 5, 9, 2, 6)
SIGNED = (-5, 7, 1000, -70000)
LARGE = (1, 1 << 40, (1 << 63) - 1, 12345)
CHOICE = 2


"""

I64_LO, U64_HI = -(1 << 63), (1 << 64) - 1


class Ex(NamedTuple):
    """An expression's text, and an interval that its value lies in. pure: without calls that store."""

    text: str
    lo: int
    hi: int


class Helper(NamedTuple):
    """A function that others may call. results: types of what it returns."""

    name: str
    method: bool
    parameters: tuple[IntType, ...]
    results: tuple[IntType, ...]
    stores: bool
    known: bool
    """Its last parameter must be known, and lies within 0 to 3."""


def fits(lo: int, hi: int) -> bool:
    """Whether 64 bits hold the interval."""
    return (lo >= 0 and hi <= U64_HI) or (lo >= I64_LO and hi < 1 << 63)


class Function:
    """One function under construction."""

    def __init__(self, dice: random.Random, helpers: list[Helper], stores: bool, results: tuple[IntType, ...]) -> None:
        self.dice = dice
        self.helpers = helpers
        self.stores = stores
        self.results = results
        self.lines: list[str] = []
        self.locals: dict[str, IntType] = {}
        self.fixed: set[str] = set()
        """Locals that are not to be assigned: loop counters, and what loops were found to count on."""
        self.annotated: set[str] = set()
        self.refs: list[str] = ["shape.inner"]
        self.pointers: list[str] = []
        """Locals that lead to at least two u8."""
        self.pairs: list[str] = []
        """Locals that are tuples of two integers of type i32."""
        self.depth = 0
        self.loops: list[str] = []
        self.count = 0
        self.budget = dice.randint(4, 16)

    # ------------------------------------------------------------------ expressions

    def expression(self, depth: int, quiet: bool = False) -> Ex:
        """Any expression whose value 64 bits hold. quiet: without calls that store."""
        made = self._expression(depth, quiet)
        return made if fits(made.lo, made.hi) else self.narrowed(made, self.dice.choice(KINDS))

    def narrowed(self, made: Ex, kind: IntType) -> Ex:
        """The expression within a type."""
        if kind.lo <= made.lo and made.hi <= kind.hi and self.dice.random() < 0.7:
            return made
        if not kind.signed and kind.bits > 1 and self.dice.random() < 0.25 and fits(made.lo, made.hi):
            return Ex(f"({made.text} & {kind.hi:#x})", 0, kind.hi)
        return Ex(f"{kind.name}({made.text})", kind.lo, kind.hi)

    def of(self, kind: IntType, depth: int, quiet: bool = False) -> Ex:
        """An expression that fits a type."""
        return self.narrowed(self._expression(depth, quiet) if not self.wild() else self.wide(depth, quiet), kind)

    def wild(self) -> bool:
        return self.dice.random() < 0.2

    def wide(self, depth: int, quiet: bool) -> Ex:
        """An expression that may pass 64 bits: only for right under what narrows it."""
        a, b = self.expression(depth - 1, quiet), self.expression(depth - 1, quiet)
        text = f"{a.text} {self.dice.choice('+-*')} {b.text}"
        if self.dice.random() < 0.3:
            text = f"({text}) {self.dice.choice('+-*&|^')} {self.expression(depth - 1, quiet).text}"
        elif self.dice.random() < 0.3:
            text = f"{a.text} << {self.count_up_to(63, depth - 1, quiet).text}"
        return Ex(f"({text})", -(1 << 200), 1 << 200)

    def count_up_to(self, most: int, depth: int, quiet: bool) -> Ex:
        """An expression within 0..most, most + 1 being a power of two."""
        if depth <= 0 or self.dice.random() < 0.4:
            value = self.dice.randint(0, most)
            return Ex(str(value), value, value)
        made = self.expression(depth - 1, quiet)
        how = self.dice.randint(0, 2)
        if how == 0:
            return Ex(f"({made.text} % {most + 1})", 0, most)
        if how == 1 and made.lo >= 0 and made.hi <= most:
            return made
        return Ex(f"({made.text} & {most})", 0, most)

    def condition(self, depth: int, quiet: bool = False) -> Ex:
        """A truth value."""
        how = self.dice.randint(0, 9)
        if depth <= 0 or how < 4:
            a, b = self.expression(depth - 1, quiet), self.expression(depth - 1, quiet)
            if min(a.lo, b.lo) < 0 and max(a.hi, b.hi) >= 1 << 63:
                a, b = Ex(f"i64({a.text})", i64.lo, i64.hi), Ex(f"i64({b.text})", i64.lo, i64.hi)  # type: ignore[attr-defined]
            return Ex(f"({a.text} {self.dice.choice(('==', '!=', '<', '<=', '>', '>='))} {b.text})", 0, 1)
        if how < 6:
            a, b = self.condition(depth - 1, True), self.condition(depth - 1, True)
            return Ex(f"({a.text} {self.dice.choice(('and', 'or'))} {b.text})", 0, 1)
        if how == 6:
            return Ex(f"(not {self.condition(depth - 1, quiet).text})", 0, 1)
        if how == 7:
            a, b, c = (self.of(i32, depth - 1, True) for _ in range(3))  # type: ignore[arg-type]
            return Ex(f"({a.text} <= {b.text} {self.dice.choice(('<', '>', '!='))} {c.text})", 0, 1)
        if how == 8:
            items = ", ".join(self.of(i32, 0, True).text for _ in range(self.dice.randint(1, 4)))  # type: ignore[arg-type]
            return Ex(f"({self.of(i32, depth - 1, quiet).text} {self.dice.choice(('in', 'not in'))} ({items},))", 0, 1)  # type: ignore[arg-type]
        flags = [name for name, kind in FIELDS.items() if kind is u1]
        return Ex(f"shape.{self.dice.choice(flags)}", 0, 1)

    def leaf(self) -> Ex:
        """A number, a local, a field or an element."""
        how = self.dice.randint(0, 9)
        names = list(self.locals)
        if how == 7 and self.pointers:
            return Ex(f"{self.dice.choice(self.pointers)}[{self.dice.randint(0, 1)}]", 0, 255)
        if how == 8 and self.pairs:
            return Ex(f"{self.dice.choice(self.pairs)}[{self.dice.randint(-2, 1)}]", -(1 << 31), (1 << 31) - 1)
        if how < 4 and names:
            name = self.dice.choice(names)
            kind = self.locals[name]
            return Ex(name, kind.lo, kind.hi)
        if how < 6:
            path, kind = self.dice.choice(list(FIELDS.items()))
            return Ex(f"shape.{path}", kind.lo, kind.hi)
        if how == 6:
            ref = self.dice.choice(self.refs)
            name, kind = self.dice.choice(list(MEMBERS.items()))
            return Ex(f"{ref}.{name}", kind.lo, kind.hi)
        if how == 7:
            value = self.dice.choice((0, 1, 2, 3, 7, 10, 100, 255, 256, 1000, 65535, 1 << 31, (1 << 32) - 1, 1 << 40))
            value = -value if self.dice.random() < 0.3 else value
            return Ex(f"({value})" if value < 0 else str(value), value, value)
        value = self.dice.randint(0, 255)
        return Ex(str(value), value, value)

    def element(self, depth: int, quiet: bool) -> Ex:
        """An element of an array, of what a pointer leads to, or of a table."""
        how = self.dice.randint(0, 4)
        if how < 2:
            name, (kind, length) = self.dice.choice(list(ARRAYS.items()))
            return Ex(f"shape.{name}[{self.count_up_to(length - 1, depth, quiet).text}]", kind.lo, kind.hi)
        if how == 2:
            name, (kind, length) = self.dice.choice(list(POINTERS.items()))
            limit = 8 if length >= 8 else 4
            return Ex(f"shape.{name}[{self.count_up_to(limit - 1, depth, quiet).text}]", kind.lo, kind.hi)
        if how == 3:
            name, values = self.dice.choice(list(TABLES.items()))
            return Ex(f"{name}[{self.count_up_to(len(values) - 1, depth, quiet).text}]", min(values), max(values))
        member, kind = self.dice.choice(list(MEMBERS.items()))
        return Ex(f"shape.inners[{self.count_up_to(3, depth, quiet).text}].{member}", kind.lo, kind.hi)

    def _expression(self, depth: int, quiet: bool) -> Ex:
        if depth <= 0:
            return self.leaf()
        how = self.dice.randint(0, 16)
        if how == 16:
            return self._deciding(depth, quiet)
        if how < 5:
            return self._sum(depth, quiet)
        if how == 5:
            return self.condition(depth, quiet)
        if how == 6:
            condition, a, b = (
                self.condition(depth - 1, quiet),
                self.expression(depth - 1, True),
                self.expression(depth - 1, True),
            )
            return Ex(f"({a.text} if {condition.text} else {b.text})", min(a.lo, b.lo), max(a.hi, b.hi))
        if how == 7:
            return self.element(depth - 1, quiet)
        if how == 8:
            kind = self.dice.choice(KINDS)
            inner = self.wide(depth, quiet) if self.wild() else self.expression(depth - 1, quiet)
            return Ex(f"{kind.name}({inner.text})", kind.lo, kind.hi)
        if how == 9:
            a, b = self.of(i64, depth - 1, quiet), self.of(i64, depth - 1, quiet)  # type: ignore[arg-type]
            name = self.dice.choice(("min", "max"))
            return Ex(f"{name}({a.text}, {b.text})", min(a.lo, b.lo), max(a.hi, b.hi))
        if how == 10:
            a = self.of(i32, depth - 1, quiet)  # type: ignore[arg-type]
            return Ex(f"abs({a.text})", min(0, a.lo), 1 << 31)
        if how == 11 and self.helpers:
            made = self.call(depth, quiet)
            if made is not None:
                return made
        if how == 12:
            a = self.expression(depth - 1, quiet)
            return Ex(f"(-{a.text})", -a.hi, -a.lo)
        if how == 13:
            a = self.expression(depth - 1, quiet)
            return Ex(f"(~{a.text})", ~a.hi, ~a.lo)
        return self.leaf()

    def _deciding(self, depth: int, quiet: bool) -> Ex:
        """`and`, `or` of any integers."""
        parts = [
            self.of(self.dice.choice((i32, u8, u16, i64)), depth - 1, True) for _ in range(self.dice.randint(2, 3))
        ]  # type: ignore[arg-type]
        text = f" {self.dice.choice(('and', 'or'))} ".join(part.text for part in parts)
        return Ex(f"({text})", min(0, *(part.lo for part in parts)), max(0, *(part.hi for part in parts)))

    def _sum(self, depth: int, quiet: bool) -> Ex:
        a = self.expression(depth - 1, quiet)
        how = self.dice.randint(0, 9)
        if how == 0:
            d = self.dice.choice((1, 2, 3, 5, 7, 8, 10, 16, 60, 64, 1000, 4096, 65537, 1 << 31, 3000000000, 1 << 40))
            return Ex(f"({a.text} // {d})", a.lo // d, a.hi // d)
        if how == 1:
            d = self.dice.choice((1, 2, 3, 5, 7, 8, 10, 16, 60, 64, 1000, 4096, 65537, 1 << 31, 3000000000, 1 << 40))
            return Ex(f"({a.text} % {d})", 0, d - 1)
        if how == 2:
            count = self.count_up_to(self.dice.choice((7, 31, 63)), depth - 1, quiet)
            values = [v >> n for v in (a.lo, a.hi) for n in (count.lo, count.hi)]
            return Ex(f"({a.text} >> {count.text})", min(values), max(values))
        if how == 3:
            count = self.count_up_to(self.dice.choice((7, 15, 31)), depth - 1, quiet)
            values = [v << n for v in (a.lo, a.hi) for n in (count.lo, count.hi)]
            return Ex(f"({a.text} << {count.text})", min(values), max(values))
        b = self.expression(depth - 1, quiet)
        if how == 4:
            return Ex(f"({a.text} + {b.text})", a.lo + b.lo, a.hi + b.hi)
        if how == 5:
            return Ex(f"({a.text} - {b.text})", a.lo - b.hi, a.hi - b.lo)
        if how == 6:
            values = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
            return Ex(f"({a.text} * {b.text})", min(values), max(values))
        symbol = "&|^"[how - 7]
        bits = max(v.bit_length() for v in (a.lo, a.hi, b.lo, b.hi))
        if a.lo < 0 or b.lo < 0:
            if bits > 63:
                a, b, bits = Ex(f"u32({a.text})", 0, 0), Ex(f"u32({b.text})", 0, 0), 32
            return Ex(f"({a.text} {symbol} {b.text})", -(1 << bits), (1 << bits) - 1)
        return Ex(f"({a.text} {symbol} {b.text})", 0, (1 << bits) - 1)

    def call(self, depth: int, quiet: bool) -> Ex | None:
        """A call of a helper with one result."""
        fitting = [
            h
            for h in self.helpers
            if len(h.results) == 1 and (self.stores or not h.stores) and not (quiet and h.stores)
        ]
        if not fitting:
            return None
        helper = self.dice.choice(fitting)
        return Ex(self.call_text(helper, depth, quiet), helper.results[0].lo, helper.results[0].hi)

    def call_text(self, helper: Helper, depth: int, quiet: bool) -> str:
        arguments = [self.of(kind, depth - 1, quiet).text for kind in helper.parameters]
        if helper.known:
            arguments.append(self.dice.choice(("0", "1", "CHOICE", "3", "CHOICE - 1")))
        if helper.method:
            target = self.dice.choice(self.refs) if self.dice.random() < 0.5 else "shape.inner"
            return f"{helper.name}({', '.join([target, *arguments])})"
        return f"{helper.name}({', '.join(['shape', *arguments])})"

    # ------------------------------------------------------------------ statements

    def add(self, text: str) -> None:
        self.lines.append("    " * (self.depth + 1) + text)

    def new_name(self, prefix: str = "v") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def block(self, most: int) -> None:
        """Some statements, one level in; what they name is forgotten behind them."""
        self.depth += 1
        locals, refs, pointers, pairs = dict(self.locals), list(self.refs), list(self.pointers), list(self.pairs)
        before = len(self.lines)
        for _ in range(self.dice.randint(1, most)):
            self.statement()
        if len(self.lines) == before:
            self.add("pass")
        self.locals, self.refs, self.pointers, self.pairs = locals, refs, pointers, pairs
        self.depth -= 1

    def assignable(self) -> list[str]:
        return [name for name in self.locals if name not in self.fixed]

    def statement(self) -> None:
        """One statement, maybe with others inside."""
        self.budget -= 1
        how = self.dice.randint(0, 21)
        if self.depth > 3 or self.budget < 0:
            how = how % 8
        if how < 2:
            self._new_local()
        elif how == 2:
            self._assign_local()
        elif how < 6:
            self._store()
        elif how == 6:
            self._augmented()
        elif how == 7:
            self._tuple()
        elif how < 12:
            self._if()
        elif how < 14:
            self._while()
        elif how == 14:
            self._for()
        elif how == 15:
            self._match()
        elif how == 16:
            self._reference()
        elif how == 17:
            self._leave()
        elif how == 18:
            self._call_statement()
        elif how == 19:
            self._pointer()
        elif how == 20:
            self._pair()
        else:
            self.add("pass")

    def _new_local(self) -> None:
        name, kind = self.new_name(), self.dice.choice(LOCAL_KINDS)
        value = self.of(kind, 3)
        if self.dice.random() < 0.5:
            self.add(f"{name}: {kind.name} = {value.text}")
            self.annotated.add(name)
        else:
            self.add(f"{name} = {value.text}")
        self.locals[name] = kind

    def _assign_local(self) -> None:
        names = self.assignable()
        if not names:
            return self._new_local()
        name = self.dice.choice(names)
        self.add(f"{name} = {self.of(self.locals[name], 3).text}")
        return None

    def place(self) -> tuple[str, IntType]:
        """A field or an element to store to."""
        how = self.dice.randint(0, 5)
        if how < 3:
            path, kind = self.dice.choice(list(FIELDS.items()))
            return f"shape.{path}", kind
        if how == 3:
            ref = self.dice.choice(self.refs)
            name, kind = self.dice.choice(list(MEMBERS.items()))
            return f"{ref}.{name}", kind
        if how == 4:
            name, (kind, length) = self.dice.choice(list(ARRAYS.items()))
            return f"shape.{name}[{self.count_up_to(length - 1, 2, True).text}]", kind
        name, (kind, length) = self.dice.choice(list(POINTERS.items()))
        return f"shape.{name}[{self.count_up_to(7 if length >= 8 else 3, 2, True).text}]", kind

    def _store(self) -> None:
        if not self.stores:
            return self._assign_local()
        place, kind = self.place()
        if kind is u1:
            value = self.condition(3) if self.dice.random() < 0.5 else self.of(kind, 3)
        elif self.dice.random() < 0.3 and "[" not in place:
            value = self.wide(3, False)
        else:
            value = self.expression(4)  # the store wraps it
        self.add(f"{place} = {value.text}")
        return None

    def _augmented(self) -> None:
        symbol = self.dice.choice(("+", "-", "&", "|", "^", ">>", "//", "%", "*", "<<"))
        if self.stores and self.dice.random() < 0.6:
            place, kind = self.place()
        else:
            names = self.assignable()
            if not names:
                return
            place = self.dice.choice(names)
            kind = self.locals[place]
            symbol = self.dice.choice((">>", "//", "&"))  # these stay within the type
        if symbol in (">>", "<<"):
            value = self.count_up_to(7, 2, False).text
        elif symbol in ("//", "%"):
            value = str(self.dice.choice((1, 2, 3, 7, 8)))
        elif symbol == "&" or kind.bits == 64 or kind is u1:
            value = str(self.dice.randint(0, 1 if kind.bits < 8 else 255))
            symbol = "&" if kind is u1 else symbol
        else:
            value = self.of(u8, 2).text  # type: ignore[arg-type]
        if kind.bits == 64 and symbol in ("*", "<<", "|", "^") and kind.signed:
            symbol = "&"
        if kind is u1 and symbol in ("<<", "+", "-", "*"):
            symbol = "&"
        self.add(f"{place} {symbol}= {value}")

    def _tuple(self) -> None:
        names = self.assignable()
        pairs = [h for h in self.helpers if len(h.results) == 2 and (self.stores or not h.stores)]
        if pairs and self.dice.random() < 0.6:
            helper = self.dice.choice(pairs)
            a, b = self.new_name(), self.new_name()
            self.add(f"{a}, {b} = {self.call_text(helper, 2, False)}")
            self.locals[a], self.locals[b] = helper.results
        elif len(names) >= 2:
            a, b = self.dice.sample(names, 2)
            self.add(f"{a}, {b} = {self.of(self.locals[a], 2).text}, {self.of(self.locals[b], 2).text}")

    def _if(self) -> None:
        condition = self.condition(3)
        text = condition.text
        if self.dice.random() < 0.15:
            text = f"unlikely({text})"
        elif self.dice.random() < 0.1:
            text = self.expression(2).text  # any integer
        self.add(f"if {text}:")
        self.block(3)
        if self.dice.random() < 0.3:
            self.add(f"elif {self.condition(2).text}:")
            self.block(2)
        if self.dice.random() < 0.5:
            self.add("else:")
            self.block(3)

    def _while(self) -> None:
        counter, limit = self.new_name("n"), self.dice.randint(1, 6)
        if self.dice.random() < 0.7:
            self.add(f"{counter}: u8 = 0")
        else:
            self.add(f"{counter} = 0")
        step = self.dice.randint(1, 2)
        extra = f" and {self.condition(2, True).text}" if self.dice.random() < 0.3 else ""
        self.add(f"while {counter} < {limit * step}{extra}:")
        self.locals[counter] = u8  # type: ignore[assignment]
        self.fixed.add(counter)
        self.depth += 1
        self.add(f"{counter} = u8({counter} + {step})")
        self.depth -= 1
        self.loops.append("while")
        self.block(4)
        self.loops.pop()

    def _for(self) -> None:
        name = self.new_name("k")
        if self.dice.random() < 0.5:
            source, top = f"range({self.dice.randint(1, 4)})", 3
        else:
            source, top = self.dice.choice((("(1, 5, 250)", 250), ("SMALL", 9)))
        self.add(f"for {name} in {source}:")
        self.locals[name] = u8  # type: ignore[assignment]
        self.fixed.add(name)
        assert top <= 255
        self.loops.append("for")
        self.block(2)
        self.loops.pop()
        del self.locals[name]

    def _match(self) -> None:
        subject = self.expression(3)
        self.add(f"match {subject.text}:")
        self.depth += 1
        for _ in range(self.dice.randint(1, 4)):
            values = {str(self.dice.choice((0, 1, 2, 3, 4, 7, 255, -1))) for _ in range(self.dice.randint(1, 3))}
            self.add(f"case {' | '.join(sorted(values))}:")
            self.block(2)
        if self.dice.random() < 0.6:
            self.add("case _:")
            self.block(2)
        self.depth -= 1

    def _reference(self) -> None:
        name = self.new_name("r")
        how = self.dice.randint(0, 2)
        if how == 0:
            self.add(f"{name} = shape.inner")
        elif how == 1:
            self.add(f"{name} = shape.inners[{self.count_up_to(3, 2, True).text}]")
        else:
            self.add(f"{name} = shape.to_inner[{self.dice.randint(0, 2)}]")
        self.refs.append(name)

    def _pointer(self) -> None:
        if self.pointers and self.dice.random() < 0.5:
            name = self.dice.choice(self.pointers)
        else:
            name = self.new_name("q")
        place = self.dice.choice(("bytes", "inner.cells"))
        index = self.count_up_to(7, 2, True).text if place == "bytes" else str(self.dice.randint(0, 6))
        source = f"pointer(shape.{place}, {index})"
        if self.pointers and self.dice.random() < 0.3:
            source = f"({self.dice.choice(self.pointers)} if {self.condition(1, True).text} else {source})"
        self.add(f"{name} = {source}")
        if name not in self.pointers:
            self.pointers.append(name)
        if self.stores and self.dice.random() < 0.5:
            self.add(f"{name}[1] = {self.expression(2).text}")

    def _pair(self) -> None:
        name = (
            self.dice.choice(self.pairs)
            if self.pairs and not self.loops and self.dice.random() < 0.5
            else self.new_name("t")
        )
        self.add(f"{name} = ({self.of(i32, 2).text}, {self.of(i32, 2).text})")  # type: ignore[arg-type]
        if name not in self.pairs:
            self.pairs.append(name)

    def _leave(self) -> None:
        how = self.dice.random()
        if self.loops and how < 0.5:
            self.add(f"if {self.condition(2).text}:")
            self.depth += 1
            self.add("break" if self.loops[-1] == "while" and self.dice.random() < 0.5 else "continue")
            self.depth -= 1
        elif self.depth:
            self.add(f"if {self.condition(2).text}:")
            self.depth += 1
            self.leave()
            self.depth -= 1

    def leave(self) -> None:
        """Return."""
        values = [self.of(kind, 2).text for kind in self.results]
        self.add(f"return {', '.join(values)}")

    def _call_statement(self) -> None:
        fitting = [h for h in self.helpers if h.stores] if self.stores else []
        if fitting:
            self.add(self.call_text(self.dice.choice(fitting), 2, False))

    def body(self) -> list[str]:
        """The lines of the whole body."""
        while self.budget > 0:
            self.statement()
        self.leave()
        return self.lines


def _helper(dice: random.Random, number: int, helpers: list[Helper]) -> tuple[Helper, str]:
    stores = dice.random() < 0.6
    method = dice.random() < 0.25
    known = dice.random() < 0.3
    results = tuple(dice.choice(KINDS) for _ in range(2 if dice.random() < 0.3 else 1))
    parameters = tuple(dice.choice(KINDS) for _ in range(dice.randint(0, 3)))
    helper = Helper(f"helper{number}", method, parameters, results, stores, known)
    function = Function(dice, [] if method else helpers, stores and not method, results)
    function.budget = dice.randint(1, 6)
    names = [f"p{index}" for index in range(len(parameters))]
    function.locals = dict(zip(names, parameters, strict=True))
    if known:
        function.locals["known"] = u2  # type: ignore[assignment]
        function.fixed.add("known")
    mark = dice.choice(("@typed", "@typed", "@typed(outline=True)", "@typed(cold=True)", "@typed(shared=True)"))
    signature = [f"{name}: {kind.name}" for name, kind in zip(names, parameters, strict=True)]
    if known:
        signature.append("known: Any")
    result = results[0].name if len(results) == 1 else f"tuple[{', '.join(kind.name for kind in results)}]"
    if method:
        lines = _method_body(function)
        head = f"def {helper.name}({', '.join(['inner: Inner', *signature])}) -> {result}:"
        helper = helper._replace(stores=True)
    else:
        lines = function.body()
        head = f"def {helper.name}({', '.join(['shape: Shape', *signature])}) -> {result}:"
    return helper, "\n".join([mark, head, *lines, "", ""])


def _method_body(function: Function) -> list[str]:
    """A short body that works on an `Inner`."""
    dice = function.dice
    for _ in range(dice.randint(1, 3)):
        name, kind = dice.choice(list(MEMBERS.items()))
        other, _ = dice.choice(list(MEMBERS.items()))
        value = dice.choice(list(function.locals) or ["3"])
        function.add(f"inner.{name} = {kind.name}(inner.{other} {dice.choice('+-^')} {value})")
    function.add("return " + ", ".join(f"{kind.name}(inner.{dice.choice(list(MEMBERS))})" for kind in function.results))
    return function.lines


def program(dice: random.Random) -> str:
    """The text of a module with `main(shape: Shape) -> i64`; whoever makes it gives it the names Shape and Inner."""
    helpers: list[Helper] = []
    parts = [HEAD]
    for number in range(dice.randint(0, 3)):
        helper, text = _helper(dice, number, helpers)
        helpers.append(helper)
        parts.append(text + "\n")
    main = Function(dice, helpers, True, (i64,))  # type: ignore[arg-type]
    parts.append("\n".join(["@typed", "def main(shape: Shape) -> i64:", *main.body(), ""]))
    return "".join(parts)
