"""The fast way through a region's loop: so many passes at once as nothing can come between.

For:       `FastLoop`, which writes it beside the loop's plain code.
Not for:   what a pass does (body.py), the plain code (region_code.py).
Invariant: the fast way is what so many passes of the plain code are. Before it begins it is known that so many end
           before anything is due, that as many find their addresses on the same pages of plain memory, and that no
           count that ends the loop reaches zero; whatever else may end it is looked at in each pass.

Fields that go up or down by a constant are computed from the number of the pass, pages are looked up once. What is left
is a counted loop as LLVM likes it: it vectorises it, computes its outcome without running it, or unrolls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..compiler.convention import Virtual
from ..compiler.text import POINTER, Block
from .body import Body, Sum
from .loops import Loop, Node
from .pages import Pages, branch_of
from .strides import FEWEST, Strides

if TYPE_CHECKING:
    from .region_code import Place, RegionCompiler

class Halves(NamedTuple):
    """How the halves of a 16-bit field change with each pass; None: by no constant."""

    low: int | None
    high: int | None


Plan = int | Halves | None
"""How a field changes with each pass: by a constant, its halves each for itself, or somehow."""


class FastLoop:
    """Writes one loop's fast way, and the way to it."""

    def __init__(self, compiler: RegionCompiler, loop: Loop, at: Place, striding: bool = True) -> None:
        """at: where it begins. striding: whether addresses that go by the steps of a register may be in runs."""
        self.compiler = compiler
        self.loop = loop
        self.text = compiler.walker.text
        self.at = at
        self.plain = compiler.heads[loop.header]
        self.striding = striding
        self.names = f"{'f' if striding else 'g'}{loop.header}"
        self.pass_number = f"%{self.names}.pass"
        self.strides = Strides(self, {})
        self.plans: dict[int, Plan] = {}
        self.lines: list[str] = []
        """Of the block before the loop."""

    def write(self) -> None:
        """Write it; if it cannot be, the way from the header leads to the plain code."""
        places = (*self.compiler.heads.values(), *self.compiler.again.values())
        marks = [(place, len(place.incoming)) for place in places]
        count = len(self.text.blocks)
        if not self._try():
            self.text.discard_after(count)
            for place, length in marks:
                del place.incoming[length:]
            self.compiler.enter(self.plain, self.at.block, self._plainly())

    def _try(self) -> bool:
        compiler, header = self.compiler, self.loop.header
        count = len(self.text.blocks)
        self.first = compiler.place(self.names)
        self.latch = compiler.place(f"l{self.names}")
        inner = {node: compiler.place(f"{self.names}_{at}") for at, node in enumerate(self.loop.body[1:])}
        begin = self.text.block()
        ways: dict[Node, Place] = {**inner, (header, ()): self.latch}
        exits: list[str] = []
        walked = compiler.place(self.names)  # the header's phis and counts stand before its steps
        for node in self.loop.body:
            following = {other[0]: ways[other] for other in self.loop.ways[node]}
            exits += compiler.write_head(node[0], inner.get(node, walked), following, fast=True, callers=node[1])
        if not all(place.incoming for place in ways.values()):  # some way is never taken
            return False
        blocks = self.text.blocks[count:]
        joins = {
            place.phi(field.offset): [names[field.offset] for _, names in place.incoming]
            for place in (*inner.values(), self.latch)
            for field in compiler.fields
        }
        widths = {self.first.phi(field.offset): field.kind.bits for field in compiler.fields}
        self.body = Body(blocks, {name: bits for name, bits in widths.items() if bits in (8, 16)}, joins)
        span = self.body.span(self.latch.phi(compiler.left), self.first.phi(compiler.left))
        if span is None or span[0] >= 0:
            return False
        for field in compiler.fields:
            self.plans[field.offset] = self._plan(field, inner)
        if self.striding:
            self.strides.fields = self._strides()
        self._write_begin(begin, -span[0], blocks, exits)
        self.first.block.lines.append(f"  br label %{walked.block.label}")
        self._write_header(begin)
        for place in inner.values():
            for field in compiler.fields:
                self._write_join(place, field)
        return True

    # -------------------------------------------------------------------------------- what each pass does

    def _plan(self, field: Virtual, inner: dict[Node, Place]) -> Plan:
        name, last = self.first.phi(field.offset), self.latch.phi(field.offset)
        if field.kind.bits == 8:
            low = self.body.low(last)
            return low[1] if low and low[0] == name else None
        if field.kind.bits != 16:
            return None
        whole = self.body.sum16(last)
        if whole and whole[0] == name:
            return whole[1]
        if any(self.body.taken_whole(place.phi(field.offset)) for place in (self.first, *inner.values())):
            return None
        low, high = self.body.low(last), self.body.high(last)
        return Halves(
            low[1] if low and low[0] == f"{name}.lo" else None, high[1] if high and high[0] == f"{name}.hi" else None
        )

    def _strides(self) -> dict[str, str]:
        """The fields that another is added to in each pass."""
        found = {}
        for field in self.compiler.fields:
            if field.kind.bits == 16 and self.plans[field.offset] is None:
                name = self.first.phi(field.offset)
                other = self.body.stride(self.latch.phi(field.offset), name)
                if other and self.step(other) == 0:
                    found[name] = other
        return found

    def step(self, base: str) -> int | None:
        """What is added to a base with each pass; modulo 256 for halves."""
        if not base:
            return 0
        offset, _, half = base.split(".", 1)[1].partition(".")
        plan = self.plans[int(offset)]
        if isinstance(plan, Halves):
            return plan.low if half == "lo" else plan.high if half == "hi" else None
        if plan is None or (half == "hi" and plan != 0):
            return None
        return plan

    # -------------------------------------------------------------------------------- before the loop

    def _plainly(self) -> dict[int, str]:
        """What the plain code gets where the fast way cannot be gone."""
        from .region_code import TRIED

        return {**{field.offset: self.at.phi(field.offset) for field in self.compiler.fields}, TRIED: "true"}

    def op(self, text: str) -> str:
        """An operation before the loop; the name of its result."""
        name = self.text.fresh()
        self.lines.append(f"  {name} = {text}")
        return name

    def value(self, sum_: Sum, bits: int) -> str:
        """What a sum is before the first pass."""
        base, more = sum_
        if not base:
            return str(more)
        offset, _, half = base.split(".", 1)[1].partition(".")
        value = self.at.phi(int(offset))
        if half == "hi":
            value = self.op(f"lshr i32 {value}, 8")
        if more or half:
            value = self.op(f"add i32 {value}, {more}") if more else value
            value = self.op(f"and i32 {value}, {(1 << bits) - 1}")
        return value

    def least(self, passes: str, other: str) -> str:
        """The smaller of two numbers of passes."""
        less = self.op(f"icmp ult i32 {passes}, {other}")
        return self.op(f"select i1 {less}, i32 {passes}, i32 {other}")

    def _write_begin(self, begin: Block, longest: int, blocks: list[Block], exits: list[str]) -> None:
        """The number of passes, and the way into the loop."""
        left = self.at.phi(self.compiler.left)
        late = self.op(f"icmp slt i32 {left}, 0")
        time = self.op(f"select i1 {late}, i32 0, i32 {left}")
        passes = self.op(f"udiv i32 {time}, {longest}")
        for sum_, bits, block, way in self._counts(blocks, exits):
            passes = self._count(passes, sum_, bits)
            block.lines[-1] = f"  br label %{way}"
        passes = Pages(self, self.strides, passes, blocks, exits).write()
        self.passes = passes
        many = self.op(f"icmp uge i32 {passes}, {FEWEST if self.strides.runs else 1}")
        at = self.at.block
        at.lines += self.lines
        other = self.compiler.other_way(self.loop) if self.strides.runs else self.plain
        at.lines.append(f"  br i1 {many}, label %{begin.label}, label %{other.block.label}")
        other.incoming.append((at.label, self._plainly()))

    def _counts(self, blocks: list[Block], exits: list[str]) -> list[tuple[Sum, int, Block, str]]:
        """The ways out that are taken when a count reaches zero: the count, where it is tested, and the way on."""
        found = []
        for block in blocks:
            condition, yes, no = branch_of(block)
            if (yes in exits) == (no in exits):
                continue
            test = self.body.zero_test(condition)
            if test and test[2] == (yes in exits) and self.one_way(test[0], test[1]):
                found.append((test[0], test[1], block, no if yes in exits else yes))
        return found

    def one_way(self, sum_: Sum, bits: int) -> bool:
        """Whether it goes up or down by 1."""
        step = self.step(sum_[0])
        return step is not None and step & (1 << bits) - 1 in (1, (1 << bits) - 1)

    def _count(self, passes: str, sum_: Sum, bits: int) -> str:
        value = self.value(sum_, bits)
        if (self.step(sum_[0]) or 0) & (1 << bits) - 1 == 1:
            value = self.op(f"sub i32 0, {value}")
            value = self.op(f"and i32 {value}, {(1 << bits) - 1}")
        return self.least(passes, value)

    def page(self, map_: int, number: str) -> str:
        """What a map of pages holds at a number."""
        base = self.op(f"getelementptr inbounds i8, ptr %context, i64 {map_}")
        index = self.op(f"zext i32 {number} to i64")
        place = self.op(f"getelementptr inbounds ptr, ptr {base}, i64 {index}")
        return self.op(f"load ptr, ptr {place}, {POINTER}")

    # -------------------------------------------------------------------------------- the loop's own blocks

    def _write_header(self, begin: Block) -> None:
        """The header's fields, and the end of a pass."""
        first, latch, number = self.first, self.latch, self.pass_number
        following = f"{number}.next"
        begin.lines.append(f"  br label %{first.block.label}")
        first.block.phis.append(
            f"  {number} = phi i32 [ 0, %{begin.label} ], [ {following}, %{latch.block.label} ]"
        )
        counts: list[str] = []
        for field in self.compiler.fields:
            self._write_join(latch, field)
            counts += self._write_field(begin, field)
        first.block.lines[:0] = counts
        out = self.text.block()
        latch.block.lines += [
            f"  {following} = add nuw nsw i32 {number}, 1",
            f"  {number}.more = icmp ult i32 {following}, {self.passes}",
            f"  br i1 {number}.more, label %{first.block.label}, label %{out.label}",
        ]
        last = {field.offset: latch.phi(field.offset) for field in self.compiler.fields}
        self.compiler.enter(self.compiler.again[self.loop.header], out, last)

    def _write_field(self, begin: Block, field: Virtual) -> list[str]:
        """A field at the begin of a pass: a phi, or computed from the number of the pass by lines that are returned."""
        name, plan = self.first.phi(field.offset), self.plans[field.offset]
        before, last = self.at.phi(field.offset), self.latch.phi(field.offset)
        width = f"i{field.width}"
        if name in self.strides.fields and self.strides.runs:
            return self._counted(name, before, self.value((self.strides.fields[name], 0), 16), 0xFFFF)
        if plan is None:
            if field.kind.bits == 8:
                return self._narrow(name, before, last, begin)
            self._phi(name, width, before, last, begin)
            return []
        if isinstance(plan, int):
            return self._counted(name, before, plan, (1 << field.kind.bits) - 1)
        lines = []
        for half, step, take in (("l", plan.low, "and i32 {}, 255"), ("h", plan.high, "lshr i32 {}, 8")):
            begin.lines.insert(0, f"  {name}.{half}b = {take.format(before)}")
            if step is None:
                self.latch.block.lines.append(f"  {name}.{half}n = {take.format(last)}")
                lines += self._narrow(f"{name}.{half}", f"{name}.{half}b", f"{name}.{half}n", begin)
            else:
                lines += self._counted(f"{name}.{half}", f"{name}.{half}b", step, 0xFF)
        return [*lines, *_put_together(name)]

    def _narrow(self, name: str, before: str, last: str, begin: Block) -> list[str]:
        """A phi of eight bits, so that LLVM does with eight what it can."""
        begin.lines.insert(-1, f"  {name}.b8 = trunc i32 {before} to i8")
        self.latch.block.lines.append(f"  {name}.n8 = trunc i32 {last} to i8")
        self._phi(f"{name}.p8", "i8", f"{name}.b8", f"{name}.n8", begin)
        return [f"  {name} = zext i8 {name}.p8 to i32"]

    def _phi(self, name: str, width: str, before: str, last: str, begin: Block) -> None:
        ways = f"[ {before}, %{begin.label} ], [ {last}, %{self.latch.block.label} ]"
        self.first.block.phis.append(f"  {name} = phi {width} {ways}")

    def _counted(self, name: str, before: str, step: int | str, mask: int) -> list[str]:
        return [
            f"  {name}.moved = mul i32 {self.pass_number}, {step}",
            f"  {name}.sum = add i32 {before}, {name}.moved",
            f"  {name} = and i32 {name}.sum, {mask}",
        ] if step else [f"  {name} = add i32 {before}, 0"]  # fmt: skip

    def _write_join(self, place: Place, field: Virtual) -> None:
        """A phi where ways meet inside the loop: one for each half where the halves go their own ways."""
        from .region_code import write_phi

        if not isinstance(self.plans[field.offset], Halves):
            write_phi(place, field.offset, field.width)
            return
        name = place.phi(field.offset)
        blocks = {block.label: block for block in self.text.blocks}
        for half, take in (("l", "and i32 {}, 255"), ("h", "lshr i32 {}, 8")):
            ways = []
            for label, names in place.incoming:
                taken = self.text.fresh()
                blocks[label].lines.insert(-1, f"  {taken} = {take.format(names[field.offset])}")
                ways.append(f"[ {taken}, %{label} ]")
            place.block.phis.append(f"  {name}.{half} = phi i32 {', '.join(ways)}")
        place.block.lines[:0] = _put_together(name)


def _put_together(name: str) -> list[str]:
    return [f"  {name}.top = shl i32 {name}.h, 8", f"  {name} = or i32 {name}.top, {name}.l"]
