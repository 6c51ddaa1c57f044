"""A small regular-expression compiler: from a pattern to machine code that finds it in bytes.

    pattern = Pattern(r"[0-9]+(\\.[0-9]+)?")
    pattern.find(b"pi is 3.14159")            # (6, 13)
    pattern.findall(b"1 and 2.5")             # [b"1", b"2.5"]

Patterns: literals, `.`, classes such as `[a-z_]` and `[^"]`, `\\d \\w \\s`, groups, `|`, `*`, `+`, `?`. Of the matches
that begin first the longest is found (the rule of POSIX, not Python's). There is no backtracking: each pattern becomes
a deterministic automaton, each of its states a few instructions, so no input takes more than one look at each byte
from each beginning. Data are any contiguous buffer, read in place.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from typing import Any

from tracklayer.native import Assembler, Distance
from tracklayer.native.operands import al, byte, dword, eax, mem, r8, r9, r10, r11, rax, rcx, rdi, rdx, rsi

NAMED = {
    "d": frozenset(b"0123456789"),
    "w": frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
    "s": frozenset(b" \t\n\r\f\v"),
}
ANY = frozenset(range(256)) - {ord("\n")}


class Nfa:
    """Thompson's construction: states with edges on sets of bytes, and edges that cost nothing."""

    def __init__(self, pattern: str) -> None:
        self.edges: list[list[tuple[frozenset[int], int]]] = []
        self.free: list[list[int]] = []
        self._text, self._at = pattern, 0
        self.start, self.accept = self._choice()
        if self._at != len(pattern):
            raise ValueError(f"{pattern!r}: a ) too many at {self._at}")

    def _state(self) -> int:
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> tuple[int, int]:
        parts = [self._sequence()]
        while self._next() == "|":
            self._at += 1
            parts.append(self._sequence())
        start, end = self._state(), self._state()
        for first, last in parts:
            self.free[start].append(first)
            self.free[last].append(end)
        return start, end

    def _sequence(self) -> tuple[int, int]:
        start = end = self._state()
        while self._next() not in ("", "|", ")"):
            first, last = self._repeated()
            self.free[end].append(first)
            end = last
        return start, end

    def _repeated(self) -> tuple[int, int]:
        start, end = self._one()
        while self._next() in ("*", "+", "?") and self._next():
            kind = self._next()
            self._at += 1
            first, last = self._state(), self._state()
            self.free[first].append(start)
            self.free[end].append(last)
            if kind != "+":
                self.free[first].append(last)
            if kind != "?":
                self.free[end].append(start)
            start, end = first, last
        return start, end

    def _one(self) -> tuple[int, int]:
        char = self._next()
        self._at += 1
        if char == "(":
            inside = self._choice()
            if self._next() != ")":
                raise ValueError(f"{self._text!r}: a ( without its )")
            self._at += 1
            return inside
        start, end = self._state(), self._state()
        self.edges[start].append((self._set(char), end))
        return start, end

    def _set(self, char: str) -> frozenset[int]:
        if char == ".":
            return ANY
        if char == "[":
            return self._class()
        if char == "\\":
            char = self._next()
            self._at += 1
            if char in NAMED:
                return NAMED[char]
            char = {"n": "\n", "t": "\t", "r": "\r"}.get(char, char)
        return frozenset(char.encode("latin-1"))

    def _class(self) -> frozenset[int]:
        negated = self._next() == "^"
        self._at += negated
        found: set[int] = set()
        first = True
        while first or self._next() != "]":
            first = False
            char = self._next()
            if not char:
                raise ValueError(f"{self._text!r}: a [ without its ]")
            self._at += 1
            chosen = self._set(char) if char == "\\" else frozenset(char.encode("latin-1"))
            if self._next() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]") and len(chosen) == 1:
                last = self._text[self._at + 1]
                self._at += 2
                chosen = frozenset(range(min(chosen), ord(last) + 1))
            found |= chosen
        self._at += 1
        return frozenset(range(256)) - found if negated else frozenset(found)

    def reached(self, states: Iterator[int] | set[int]) -> frozenset[int]:
        """These states and all that can be reached for nothing."""
        todo, seen = list(states), set()
        while todo:
            state = todo.pop()
            if state not in seen:
                seen.add(state)
                todo += self.free[state]
        return frozenset(seen)


def automaton(pattern: str) -> tuple[list[dict[int, int]], set[int]]:
    """The deterministic automaton: for each state where each byte leads, and which states accept. It begins in 0."""
    nfa = Nfa(pattern)
    start = nfa.reached({nfa.start})
    numbers = {start: 0}
    todo, rows = [start], []
    while todo:
        states = todo.pop(0)
        targets: dict[int, set[int]] = {}
        for state in states:
            for accepted, target in nfa.edges[state]:
                for value in accepted:
                    targets.setdefault(value, set()).add(target)
        row = {}
        for value, reached in targets.items():
            closure = nfa.reached(reached)
            if closure not in numbers:
                numbers[closure] = len(numbers)
                todo.append(closure)
            row[value] = numbers[closure]
        rows.append(row)
    return rows, {number for states, number in numbers.items() if nfa.accept in states}


class Pattern:
    """A compiled pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._find: Any = _compile(pattern)

    def find(self, data: Any, start: int = 0) -> tuple[int, int] | None:
        """Where the first match at or after `start` begins and ends."""
        begin, end = self._find(data, start)
        return (begin, end) if begin >= 0 else None

    def findall(self, data: Any) -> list[bytes]:
        """All matches, one after the other."""
        view, find, at, found = memoryview(data), self._find, 0, []
        while at <= len(view):
            begin, end = find(data, at)
            if begin < 0:
                break
            found.append(bytes(view[begin:end]))
            at = end if end > begin else end + 1
        return found


def _compile(pattern: str) -> Any:
    """RDI and RSI: the data's beginning and end. R8: where this try began. RCX: where we are. R9: the end of the
    longest match of this try, or 0. R10: the table of a state."""
    rows, accepting = automaton(pattern)
    a = Assembler("find")
    a.mov(r11, rdi)
    a.add(rsi, rdi)
    a.lea(r8, mem[rdi + rdx])
    a.label("try")
    a.cmp(r8, rsi)
    a.ja("nowhere")
    if 0 not in accepting:  # skip what no match begins with
        a.lea(r10, mem["first"])
        a.label("skip")
        a.cmp(r8, rsi)
        a.jae("nowhere")
        a.movzx(eax, byte[r8])
        a.cmp(byte[r10 + rax], 0)
        a.jne("begin")
        a.inc(r8)
        a.jmp("skip")
    a.label("begin")
    a.mov(rcx, r8)
    a.xor(r9, r9)
    tables: list[tuple[int, dict[int, int]]] = []
    for number, row in enumerate(rows):
        a.label(f"state{number}")
        if number in accepting:
            a.mov(r9, rcx)
        if row:
            a.cmp(rcx, rsi)
            a.jae("end")
            a.movzx(eax, byte[rcx])
            a.inc(rcx)
            _dispatch(a, number, row, tables)
        else:
            a.jmp("end")
    a.label("end")
    a.test(r9, r9)
    a.jnz("found")
    a.inc(r8)
    a.jmp("try")
    a.label("found")
    a.mov(rax, r8)
    a.sub(rax, r11)
    a.mov(rdx, r9)
    a.sub(rdx, r11)
    a.ret()
    a.label("nowhere")
    a.mov(rax, -1)
    a.mov(rdx, -1)
    a.ret()
    a.label("first")
    a.data(bytes(value in rows[0] for value in range(256)))
    a.align(4)
    for number, row in tables:
        a.label(f"table{number}")
        a.dd(*(Distance(f"state{row[v]}" if v in row else "end", f"table{number}") for v in range(256)))
    return a.function("(i64, i64)(data: buffer, start: u64)", doc=f"Find {pattern}")


def _dispatch(a: Assembler, number: int, row: dict[int, int], tables: list[tuple[int, dict[int, int]]]) -> None:
    """Go where the byte in AL leads: by comparisons where they are few, else by a table."""
    spans: list[list[int]] = []
    for value in sorted(row):
        if spans and spans[-1][1] == value - 1 and spans[-1][2] == row[value]:
            spans[-1][1] = value
        else:
            spans.append([value, value, row[value]])
    if len(spans) > 4:
        tables.append((number, row))
        a.lea(r10, mem[f"table{number}"])
        a.movsxd(rax, dword[r10 + rax * 4])
        a.add(rax, r10)
        a.jmp(rax)
        return
    for low, high, target in spans:
        if low == high:
            a.cmp(al, low)
            a.je(f"state{target}")
        else:
            a.lea(r10, mem[rax - low])
            a.cmp(r10, high - low)
            a.jbe(f"state{target}")
    a.jmp("end")


def timed(function: Any, data: bytes) -> float:
    """Seconds for one call."""
    start = time.perf_counter()
    function(data)
    return time.perf_counter() - start


def main() -> None:
    """Race Python's re on a text of our own."""
    text = b"on 2024-05-17 at 12:30 the sum was 1234.56, not 78; see http://example.org/a?b=1 for 0x1F more\n" * 2000
    for source in (r"\d+(\.\d+)?", r"https?://[^ \n]+", r"(\d\d\d\d)-(\d\d)-(\d\d)", r"[a-z]+ing|sum|see"):
        ours, theirs = Pattern(source), re.compile(source.encode())
        found = ours.findall(text)
        assert found == [match.group() for match in theirs.finditer(text)]
        fast = min(timed(ours.findall, text) for _ in range(5))
        slow = min(timed(lambda data, re=theirs: [m.group() for m in re.finditer(data)], text) for _ in range(5))
        print(f"{source:30} {slow / fast:6.1f} times as fast as re", file=sys.stderr)
        print(f"{source:30} {len(found):6} matches")


if __name__ == "__main__":
    main()
