"""Pages of memory in the fast way through a loop: looked up before it, and what is compared with their numbers.

For:       `Pages`, which lowers the number of passes to as many as find their addresses on the same pages, and come to
           no page that leads out; and has the loop's lines use what was found.
Not for:   addresses that go by the steps of a register (strides.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..compiler.convention import find
from ..compiler.text import Block
from .body import Sum
from .narrow import narrow
from .strides import Strides

if TYPE_CHECKING:
    from .fast_loops import FastLoop


class Pages:
    """The pages of one loop. passes: how many there are at most, for all that is known so far. blocks: the loop's.
    gone: the labels of blocks behind which the loop is left."""

    def __init__(self, loop: FastLoop, strides: Strides, passes: str, blocks: list[Block], exits: list[str]) -> None:
        self.loop = loop
        self.strides = strides
        self.passes = passes
        self.blocks = blocks
        self.gone = {*exits, *(block.label for block in blocks if block.lines and block.lines[-1] == "  ret void")}
        self.replaced: dict[str, str] = {}
        self.offsets: dict[Sum, tuple[str, int]] = {}
        self.numbers: dict[tuple[Sum, int], str] = {}

    def write(self) -> str:
        """Look pages up once, and see how long addresses stay on them; they do not while one is closed, or while the
        number of one is what leads out.

        Returns: the number of passes.
        """
        self._look_up()
        for block in self.blocks:
            self._compare(block)
        narrow(self.loop.compiler.program, self.loop.body, self.blocks)
        self._replace()
        return self.passes

    def _look_up(self) -> None:
        loop, pages = self.loop, dict[tuple[int, str], str]()
        guest = loop.compiler.guest
        for load in loop.body.page_loads({find(guest.context, path)[0] for path in guest.page_maps}):
            fixed = loop.body.sum16(load.address)
            if fixed and not fixed[0]:
                continue  # always the same page, which may well be none: LLVM looks before the loop
            number = self._number_of(load.address)
            if number is None:
                self.passes = self.strides.add(load, self.blocks, self.passes) or self.passes
            else:
                key = load.map, number
                if key not in pages:
                    pages[key] = loop.page(load.map, number)
                    there = loop.op(f"icmp ne ptr {pages[key]}, null")
                    self.passes = loop.op(f"select i1 {there}, i32 {self.passes}, i32 0")
                self.replaced[load.name] = pages[key]

    def _number_of(self, address: str) -> str | None:
        """The number of an address's page, which stays so."""
        loop, bits = self.loop, 16
        sum_ = loop.body.sum16(address)
        step = loop.step(sum_[0]) if sum_ else None
        if step is None:
            sum_, bits = loop.body.high(address), 8
            if sum_ is None or loop.step(sum_[0]) != 0:
                return None
        assert sum_ is not None
        if (sum_, bits) not in self.numbers:
            value = loop.value(sum_, bits)
            self.numbers[sum_, bits] = value if bits == 8 else loop.op(f"lshr i32 {value}, 8")
            if step:
                step -= step >> 15 << 16
                offset = loop.op(f"and i32 {value}, 255")
                self.offsets[sum_] = offset, step
                self.passes = loop.least(self.passes, self._until_page_ends(offset, step))
        return self.numbers[sum_, bits]

    def _compare(self, block: Block) -> None:
        """Where a block compares an address's page with one that leads out: see before the loop when it comes to it."""
        loop = self.loop
        condition, yes, no = branch_of(block)
        test = loop.body.page_test(condition)
        if test is not None:
            address, page, equal = test
            there, on = (yes, no) if equal else (no, yes)
            if there in self.gone and on not in self.gone:
                number, far = self._far_from(address, page) or (self._number_of(address), None)
                if number is not None:
                    at_once = loop.op(f"icmp eq i32 {number}, {page}")
                    self.passes = loop.op(f"select i1 {at_once}, i32 0, i32 {self.passes}")
                    self.passes = loop.least(self.passes, far) if far else self.passes
                    block.lines[-1] = f"  br label %{on}"
        test = loop.body.below_test(condition)
        if test is not None:
            address, page, below = test
            there, on = (no, yes) if below else (yes, no)
            still = self._below(address, page) if there in self.gone and on not in self.gone else None
            if still:
                self.passes = loop.least(self.passes, still)
                block.lines[-1] = f"  br label %{on}"

    def _far_from(self, address: str, page: int) -> tuple[str, str] | None:
        """Of an address that goes up or down by 1: the number of its page, and how many passes until it comes to
        `page` from elsewhere."""
        sum_ = self.loop.body.sum16(address)
        if sum_ is None or not self.loop.one_way(sum_, 16):
            return None
        value = self.loop.value(sum_, 16)
        if self.loop.step(sum_[0]) == 1:
            far = self.loop.op(f"sub i32 {page << 8}, {value}")
        else:
            far = self.loop.op(f"sub i32 {value}, {page << 8 | 0xFF}")
        return self.loop.op(f"lshr i32 {value}, 8"), self.loop.op(f"and i32 {far}, 65535")

    def _below(self, address: str, page: int) -> str | None:
        """For how many passes an address that goes up stays below a page."""
        sum_ = self.loop.body.sum16(address)
        step = self.loop.step(sum_[0]) if sum_ else None
        if sum_ is not None and step is not None and 0 < step < 0x8000:
            value, by = self.loop.value(sum_, 16), str(step)
        else:
            found = self.strides.next(address)
            if found is None:
                return None
            value, by = found
        room = self.loop.op(f"sub i32 {(page << 8) - 1}, {value}")
        late = self.loop.op(f"icmp slt i32 {room}, 0")
        room = self.loop.op(f"select i1 {late}, i32 0, i32 {room}")
        if by != "1":
            room = self.loop.op(f"udiv i32 {room}, {by}")
        more = self.loop.op(f"add i32 {room}, 1")
        return self.loop.op(f"select i1 {late}, i32 0, i32 {more}")

    def _until_page_ends(self, offset: str, step: int) -> str:
        room = self.loop.op(f"sub i32 255, {offset}") if step > 0 else offset
        if abs(step) > 1:
            room = self.loop.op(f"udiv i32 {room}, {abs(step)}")
        return self.loop.op(f"add i32 {room}, 1")

    def _replace(self) -> None:
        """In the loop, have what was looked up before it."""
        number = 0
        for block in self.blocks:
            kept = []
            for line in block.lines:
                name, _, text = line.strip().partition(" = ")
                words = text.replace(",", "").split()
                of_run = self.strides.replace(line)
                if of_run != [line]:
                    kept += of_run
                    continue
                if name in self.replaced:
                    line = f"  {name} = getelementptr i8, ptr {self.replaced[name]}, i64 0"
                elif words[:2] == ["icmp", "ne"] and words[3] in self.replaced:
                    line = f"  {name} = or i1 true, true"
                elif words[:1] == ["and"] and words[-1] == "255":
                    sum_ = self.loop.body.sum16(words[2])
                    if sum_ in self.offsets:
                        offset, step = self.offsets[sum_]
                        number += 1
                        moved = f"%{self.loop.names}.moved{number}"
                        kept.append(f"  {moved} = mul nuw nsw i32 {self.loop.pass_number}, {abs(step)}")
                        line = f"  {name} = {'add' if step > 0 else 'sub'} nuw nsw i32 {offset}, {moved}"
                kept.append(line)
            block.lines = kept


def branch_of(block: Block) -> tuple[str, str, str]:
    """The condition that a block ends with, and the labels of where it leads; empty where there is none."""
    words = block.lines[-1].replace(",", "").split() if block.lines else []
    return (words[2], words[4][1:], words[6][1:]) if words[:2] == ["br", "i1"] else ("", "", "")
