"""What one pass through a loop does to the fields: read off the IR that was written for it.

For:       `Body`, which knows which fields go up or down by a constant, which addresses these make, and which way out
           is taken when a count reaches zero, or an address a page.
Not for:   finding loops (loops.py), writing them (fast_loops.py).
Invariant: what `Body` says holds for every pass. Where it cannot tell, it says None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from ..compiler.text import Block

PAGES = 256
"""Pointers in a map of pages."""

Sum = tuple[str, int]
"""A base, and what is added to it. The base: a field's name, one of its halves (`name.lo`, `name.hi`), "" for 0."""

_LINE = re.compile(r"  (%[\w.]+) = (\w+) (.*)")
_BINARY = re.compile(r"(?:n[us]w )*i\d+ (\S+), (\S+)$")
_CAST = re.compile(r"i(\d+) (\S+) to i(\d+)$")
_PHI = re.compile(r"\[ (\S+), %\S+ \]")
_COMPARE = re.compile(r"(\w+) i\d+ (\S+), (\S+)$")
_ELEMENT = re.compile(r"inbounds ptr, ptr (\S+), i64 (\S+)$")
_FIELD = re.compile(r"inbounds i8, ptr %context, i64 (\d+)$")
_LOAD = re.compile(r"ptr, ptr (\S+), ")


class PageLoad(NamedTuple):
    """A load of a page's pointer: where the map lies, and the address whose page it is."""

    name: str
    map: int
    address: str


P = ParamSpec("P")
R = TypeVar("R")


def remembered(method: Callable[Concatenate[Body, P], R]) -> Callable[Concatenate[Body, P], R]:
    """A method of `Body` that finds each answer once: where ways part and meet, again and again, a value is reached
    by twice as many ways each time."""

    def found(body: Body, /, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (method, *args)
        if key not in body.answers:
            body.answers[key] = method(body, *args, **kwargs)
        answer: R = body.answers[key]
        return answer

    return found


class Body:
    """The straight code of one pass. fields: the width in bits (16 or 8) of each field by its name at the begin.
    joins: names that stand for one of several."""

    def __init__(self, blocks: list[Block], fields: Mapping[str, int], joins: Mapping[str, list[str]]) -> None:
        self.fields = fields
        self.joins = joins
        self.answers: dict[tuple[Any, ...], Any] = {}
        self.defined: dict[str, tuple[str, str]] = {}
        for block in blocks:
            for line in (*block.phis, *block.lines):
                found = _LINE.match(line)
                if found:
                    self.defined[found[1]] = (found[2], found[3])

    @remembered
    def sum16(self, name: str) -> Sum | None:
        """A sum that is equal to the value, but for multiples of 65536."""
        value = _literal(name)
        if value is not None:
            return "", value & 0xFFFF
        if name in self.fields:
            return (name, 0) if self.fields[name] == 16 else None
        several = self._several(name)
        if several is not None:
            return _agreed(map(self.sum16, several))
        op, a, b = self._binary(name)
        if op in ("add", "sub"):
            return _combined(op, self.sum16(a), self.sum16(b), 0xFFFF)
        if op == "and" and (_literal(b) or 0) & 0xFFFF == 0xFFFF:
            return self.sum16(a)
        return None

    @remembered
    def stride(self, name: str, base: str) -> str | None:
        """Where a value is a 16-bit field and another one, but for multiples of 65536: the other."""
        several = self._several(name)
        if several is not None:
            found = {self.stride(one, base) for one in several}
            return found.pop() if len(found) == 1 else None
        op, a, b = self._binary(name)
        if op == "and" and b == "65535":
            return self.stride(a, base)
        sums = [self.sum16(a), self.sum16(b)] if op == "add" else []
        if (base, 0) not in sums:
            return None
        sums.remove((base, 0))
        (other,) = sums
        return other[0] if other and other[0] not in ("", base) and other[1] == 0 else None

    def low_byte(self, name: str) -> Sum | None:
        """Where a wide value is the low byte of a sum: the sum."""
        cast = self._cast(name)
        op, a, b = self._binary(cast[0]) if cast else ("", "", "")
        return self.sum16(a) if op == "and" and b == "255" else None

    @remembered
    def low(self, name: str) -> Sum | None:
        """A sum that is equal to the value, but for multiples of 256."""
        value = _literal(name)
        if value is not None:
            return "", value & 0xFF
        if name in self.fields:
            return (f"{name}.lo" if self.fields[name] == 16 else name), 0
        several = self._several(name)
        if several is not None:
            return _agreed(map(self.low, several))
        cast = self._cast(name)
        if cast is not None:
            return self.low(cast[0]) if min(cast[1], cast[2]) >= 8 else None
        op, a, b = self._binary(name)
        amount = _literal(b)
        if op in ("add", "sub"):
            return _combined(op, self.low(a), self.low(b), 0xFF)
        if op == "and" and amount is not None:
            return self.low(a) if amount & 0xFF == 0xFF else ("", 0) if amount & 0xFF == 0 else None
        if op == "or":
            return _either(self.low(a), self.low(b))
        if op == "shl" and amount is not None and amount >= 8:
            return "", 0
        if op == "lshr" and amount == 8:
            return self.high(a)
        return None

    @remembered
    def high(self, name: str) -> Sum | None:
        """The same of bits 8 to 15."""
        value = _literal(name)
        if value is not None:
            return "", value >> 8 & 0xFF
        if name in self.fields:
            return (f"{name}.hi", 0) if self.fields[name] == 16 else ("", 0)
        several = self._several(name)
        if several is not None:
            return _agreed(map(self.high, several))
        cast = self._cast(name)
        if cast is not None:
            return ("", 0) if cast[1] <= 8 else self.high(cast[0]) if min(cast[1], cast[2]) >= 16 else None
        op, a, b = self._binary(name)
        amount = _literal(b)
        if op == "and" and amount is not None:
            kept = amount >> 8 & 0xFF
            return self.high(a) if kept == 0xFF else ("", 0) if kept == 0 else None
        if op == "or":
            return _either(self.high(a), self.high(b))
        if op == "shl" and amount == 8:
            return self.low(a)
        if op == "lshr" and amount == 8 and self._fits16(a):
            return "", 0
        return None

    @remembered
    def span(self, name: str, base: str) -> tuple[int, int] | None:
        """The least and the most that is added to `base`."""
        if name == base:
            return 0, 0
        several = self._several(name)
        if several is not None:
            spans = [self.span(one, base) for one in several]
            known = [one for one in spans if one is not None]
            return (min(low for low, _ in known), max(high for _, high in known)) if len(known) == len(spans) else None
        op, a, b = self._binary(name)
        amount = _literal(b)
        inner = self.span(a, base) if op in ("add", "sub") and amount is not None else None
        if inner is None or amount is None:
            return None
        amount = amount if op == "add" else -amount
        return inner[0] + amount, inner[1] + amount

    def zero_test(self, name: str) -> tuple[Sum, int, bool] | None:
        """What a condition compares with zero: a sum, of how many bits, and whether the condition is that it is 0."""
        op, a, b = self._binary(name)
        if op == "xor" and b == "true":
            inner = self.zero_test(a)
            return inner and (inner[0], inner[1], not inner[2])
        compared = _COMPARE.match(self.defined.get(name, ("", ""))[1])
        if self.defined.get(name, ("", ""))[0] != "icmp" or not compared or compared[1] not in ("eq", "ne"):
            return None
        if compared[3] != "0":
            return None
        found = self._exact(compared[2])
        return found and (*found, compared[1] == "eq")

    def page_test(self, name: str) -> tuple[str, int, bool] | None:
        """Where a condition is that an address's page has a number, or another one: the address, the number, and
        whether it is that number. `LD A,H` and `CP A,n` are such a comparison as well."""
        op, a, b = self._binary(name)
        if op == "xor" and b == "true":
            inner = self.page_test(a)
            return inner and (inner[0], inner[1], not inner[2])
        op, rest = self.defined.get(name, ("", ""))
        compared = _COMPARE.match(rest) if op == "icmp" else None
        number = _literal(compared[3]) if compared else None
        if compared is None or compared[1] not in ("eq", "ne") or number is None:
            return None
        value = compared[2]
        op, whole, mask = self._binary(value)
        if op == "and" and mask == "255" and number == 0 and self._less(whole):
            value, number = self._less(whole) or ("", 0)
        address = self._address_of_page(value)
        return (address, number, compared[1] == "eq") if address else None

    def below_test(self, name: str) -> tuple[str, int, bool] | None:
        """The same of a condition that an address's page is below a number, or not."""
        op, a, b = self._binary(name)
        if op == "xor" and b == "true":
            inner = self.below_test(a)
            return inner and (inner[0], inner[1], not inner[2])
        op, rest = self.defined.get(name, ("", ""))
        compared = _COMPARE.match(rest) if op == "icmp" else None
        less = self._less(compared[2]) if compared and compared[1] == "slt" and compared[3] == "0" else None
        address = self._address_of_page(less[0]) if less else None
        return (address, less[1], True) if less and address else None

    def _less(self, name: str) -> tuple[str, int] | None:
        """Where a value is another one less a number that may be a page's: these."""
        op, a, b = self._binary(name)
        number = _literal(b)
        return (a, number) if op == "sub" and number is not None and 0 <= number < PAGES else None

    def _address_of_page(self, name: str) -> str | None:
        op, address, amount = self._binary(name)
        return address if op == "lshr" and amount == "8" and self._fits16(address) else None

    def page_loads(self, maps: Iterable[int]) -> list[PageLoad]:
        """The loads of pointers from maps of pages, which lie at these places of the context."""
        found = []
        for name, (op, rest) in self.defined.items():
            loaded = _LOAD.match(rest) if op == "load" else None
            op, rest = self.defined.get(loaded[1], ("", "")) if loaded else ("", "")
            field = _FIELD.match(rest) if op == "getelementptr" else None
            if field:
                found += [
                    PageLoad(name, at, str((int(field[1]) - at) // 8 << 8))
                    for at in maps
                    if at <= int(field[1]) < at + PAGES * 8
                ]
            element = _ELEMENT.match(rest) if op == "getelementptr" else None
            if element is None:
                continue
            field = _FIELD.match(self.defined.get(element[1], ("", ""))[1])
            cast = self._cast(element[2])
            op, address, amount = self._binary(cast[0]) if cast else ("", "", "")
            if field and int(field[1]) in maps and op == "lshr" and amount == "8" and self._fits16(address):
                found.append(PageLoad(name, int(field[1]), address))
        return found

    def rotation(self, name: str) -> tuple[str, int] | None:
        """Where a value is eight bits rotated to the left: these, and by how many."""
        op, a, b = self._binary(name)
        whole, left, right = self._binary(a), ("", "", ""), ("", "", "")
        if op == "and" and b == "255" and whole[0] == "or":
            left, right = self._binary(whole[1]), self._binary(whole[2])
        by, other = _literal(left[2]), _literal(right[2])
        if (left[0], right[0]) != ("shl", "lshr") or left[1] != right[1] or by is None or other is None:
            return None
        return (left[1], by) if by + other == 8 and self._fits8(left[1]) else None

    def is_sum_of_bytes(self, name: str) -> bool:
        """Whether a value is the exact sum of two of eight bits."""
        op, a, b = self._binary(name)
        return op == "add" and self._fits8(a) and self._fits8(b)

    @remembered
    def _fits8(self, name: str) -> bool:
        value = _literal(name)
        if value is not None:
            return 0 <= value <= 0xFF
        if self.fields.get(name) == 8:
            return True
        several = self._several(name)
        if several is not None:
            return all(map(self._fits8, several))
        cast = self._cast(name)
        if cast is not None:
            return cast[1] <= 8
        op, a, b = self._binary(name)
        mask = _literal(b)
        if op == "and" and mask is not None:
            return 0 <= mask <= 0xFF
        if op == "lshr" and mask == 8:
            return self._fits16(a)
        return op in ("or", "xor") and self._fits8(a) and self._fits8(b)

    def taken_whole(self, name: str) -> bool:
        """Whether anything but a half of a field, or of what it may become, is looked at."""
        token = re.compile(re.escape(name) + r"(?![\w.])")
        for op, rest in self.defined.values():
            if not token.search(rest):
                continue
            halves = (op == "lshr" and rest.endswith(", 8")) or (op == "and" and rest.endswith((", 255", ", 65280")))
            if not halves:
                return True
        return False

    def _exact(self, name: str) -> tuple[Sum, int] | None:
        """The sum that a value is, and of how many bits."""
        op, a, b = self._binary(name)
        sum_: Sum | None = None
        bits = 8
        if self.fields.get(name) == 8 or (op == "and" and b == "255"):
            sum_ = self.low(name)
        elif op == "and" and b == "65535":
            sum_, bits = self.sum16(a), 16
        elif op == "or":
            whole = {self._binary(one)[1] for one in (a, b)}
            parts = {(self._binary(one)[0], self._binary(one)[2]) for one in (a, b)}
            if len(whole) == 1 and parts == {("lshr", "8"), ("and", "255")} and self._fits16(min(whole)):
                sum_, bits = self.sum16(min(whole)), 16
        return (sum_, bits) if sum_ is not None else None

    @remembered
    def _fits16(self, name: str) -> bool:
        value = _literal(name)
        if value is not None:
            return 0 <= value <= 0xFFFF
        if name in self.fields:
            return True
        several = self._several(name)
        if several is not None:
            return all(map(self._fits16, several))
        cast = self._cast(name)
        if cast is not None:
            return cast[1] <= 16
        op, a, b = self._binary(name)
        mask = _literal(b)
        if op == "and" and mask is not None:
            return 0 <= mask <= 0xFFFF
        if op == "shl":
            inner = self._binary(a)
            return mask == 8 and (self.fields.get(a) == 8 or (inner[0] == "and" and inner[2] == "255"))
        return (op == "or" and self._fits16(a) and self._fits16(b)) or (op == "lshr" and self._fits16(a))

    def _several(self, name: str) -> list[str] | None:
        if name in self.joins:
            return self.joins[name]
        op, rest = self.defined.get(name, ("", ""))
        return _PHI.findall(rest) if op == "phi" else None

    def _binary(self, name: str) -> tuple[str, str, str]:
        op, rest = self.defined.get(name, ("", ""))
        found = _BINARY.match(rest)
        return (op, found[1], found[2]) if found else ("", "", "")

    def _cast(self, name: str) -> tuple[str, int, int] | None:
        op, rest = self.defined.get(name, ("", ""))
        found = _CAST.match(rest) if op in ("zext", "trunc") else None
        return (found[2], int(found[1]), int(found[3])) if found else None


def _literal(name: str) -> int | None:
    return int(name) if name.lstrip("-").isdigit() else None


def _agreed(sums: Iterable[Sum | None]) -> Sum | None:
    different = set(sums)
    return different.pop() if len(different) == 1 else None


def _combined(op: str, a: Sum | None, b: Sum | None, mask: int) -> Sum | None:
    if a is None or b is None:
        return None
    if op == "sub":
        return (a[0], a[1] - b[1] & mask) if b[0] == "" else None
    return (a[0] or b[0], a[1] + b[1] & mask) if "" in (a[0], b[0]) else None


def _either(a: Sum | None, b: Sum | None) -> Sum | None:
    """Of two values of which one is 0, the other."""
    return b if a == ("", 0) else a if b == ("", 0) else None
