"""Loops that go through memory in steps of a register: `ADD HL,BC`, and then a byte at HL.

For:       `Strides`, with which the fast way looks such addresses' pages up once.
Not for:   steps of a constant (fast_loops.py).
Invariant: what is touched through a run lies in it in every pass of the loop that is written here.

A **run** is some pages of the guest's from the first pass's address on which lie one behind the other in the host's
memory, as those of work RAM do. As many passes as stay in it need no other look at a map of pages. Finding it takes
about as long as FEWEST passes by the other fast way, which looks in each pass: that one is written too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..compiler.text import Block
from .body import PAGES, PageLoad, Sum

if TYPE_CHECKING:
    from .fast_loops import FastLoop

RUN = 4
"""Pages of a run at most."""
PAGE_SIZE = 256
FEWEST = 12
"""Passes; with fewer the run is not worth it."""


class Strides:
    """The strides of one loop. fields: by the name of a field at the begin of a pass, what is added to it in each: the
    name of another, which stays as it is. runs: by the name of a page's pointer, its run, and the address."""

    def __init__(self, loop: FastLoop, fields: dict[str, str]) -> None:
        self.loop = loop
        self.fields = fields
        self.runs: dict[str, tuple[str, Sum]] = {}
        self.begins: dict[Sum, tuple[str, str]] = {}
        """By address, how far from the begin of its page it is in the first pass, and what is added in each."""

    def add(self, load: PageLoad, blocks: list[Block], passes: str) -> str | None:
        """Have a page's pointer come from a run. Returns: how many passes stay in it; None where it cannot."""
        loop = self.loop
        address = loop.body.sum16(load.address)
        if address is None or address[0] not in self.fields or not self._only_indexed(load.name, address, blocks):
            return None
        value = loop.value(address, 16)
        step = loop.value((self.fields[address[0]], 0), 16)
        number = loop.op(f"lshr i32 {value}, 8")
        first = loop.op(f"and i32 {value}, 255")
        self.begins[address] = first, step
        page = loop.page(load.map, number)
        whole = loop.op(f"icmp ne ptr {page}, null")
        passes = loop.op(f"select i1 {whole}, i32 {passes}, i32 0")
        size = str(PAGE_SIZE)
        for more in range(1, RUN):
            following = loop.op(f"add i32 {number}, {more}")
            following = loop.op(f"and i32 {following}, {PAGES - 1}")
            there = loop.page(load.map, following)
            wanted = loop.op(f"getelementptr i8, ptr {page}, i64 {more * PAGE_SIZE}")
            next_to = loop.op(f"icmp eq ptr {there}, {wanted}")
            whole = loop.op(f"and i1 {whole}, {next_to}")
            bytes_more = loop.op(f"select i1 {whole}, i32 {PAGE_SIZE}, i32 0")
            size = loop.op(f"add i32 {size}, {bytes_more}")
        room = loop.op(f"sub i32 {size}, {first}")
        room = loop.op(f"sub i32 {room}, 1")
        inside = loop.op(f"udiv i32 {room}, {self._divisor(step)}")
        inside = loop.op(f"add i32 {inside}, 1")
        self.runs[load.name] = page, address
        return loop.least(passes, inside)

    def _divisor(self, step: str) -> str:
        """A step to divide by: an address that stays where it is does so in as many passes as one that goes by 1."""
        still = self.loop.op(f"icmp eq i32 {step}, 0")
        return self.loop.op(f"select i1 {still}, i32 1, i32 {step}")

    def next(self, address: str) -> tuple[str, str] | None:
        """Where an address is that of a run in the pass behind: what it is in the first pass, and a step to divide
        by."""
        loop = self.loop
        for field, other in self.fields.items():
            if self.runs and loop.body.stride(address, field) == other:
                step = loop.value((other, 0), 16)
                value = loop.op(f"add i32 {loop.value((field, 0), 16)}, {step}")
                return loop.op(f"and i32 {value}, 65535"), self._divisor(step)
        return None

    def _only_indexed(self, name: str, address: Sum, blocks: list[Block]) -> bool:
        """Whether a page's pointer is only compared with null and indexed by the low byte of its address."""
        token = re.compile(re.escape(name) + r"(?![\w.])")
        for block in blocks:
            for line in (*block.phis, *block.lines):
                _, _, text = line.partition(" = ")
                if token.search(text or line) and not text.startswith(f"icmp ne ptr {name}, null"):
                    indexed = text.startswith(f"getelementptr inbounds i8, ptr {name}, i64 ")
                    if not indexed or self.loop.body.low_byte(text.rpartition(" ")[2]) != address:
                        return False
        return True

    def replace(self, line: str) -> list[str]:
        """A line of the loop, with its page's pointer out of a run."""
        name, _, text = line.strip().partition(" = ")
        words = text.replace(",", "").split()
        if name in self.runs:
            return [f"  {name} = getelementptr i8, ptr {self.runs[name][0]}, i64 0"]
        if words[:2] == ["icmp", "ne"] and words[3] in self.runs:
            return [f"  {name} = or i1 true, true"]
        if words[:1] == ["getelementptr"] and len(words) > 4 and words[4] in self.runs:
            page, address = self.runs[words[4]]
            first, step = self.begins[address]
            return [
                f"  {name}.moved = mul nuw nsw i32 {self.loop.pass_number}, {step}",
                f"  {name}.sum = add nuw nsw i32 {first}, {name}.moved",
                f"  {name}.at = zext i32 {name}.sum to i64",
                f"  {name} = getelementptr i8, ptr {page}, i64 {name}.at",
            ]
        return [line]
