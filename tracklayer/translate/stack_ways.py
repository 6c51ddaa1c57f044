"""The stack of a region: where it lies is looked up once, and what was pushed last is known when it is popped.

For:       `StackWays`, which writes the heads of a region a second time: for a stack in plain memory.
Not for:   the plain code (region_code.py), which goes on where the stack is anywhere else, or crosses a page.
Invariant: what is pushed stands in memory at once, so control may leave from anywhere; what is known of the stack is
           only what nothing has stored over since.

A head is written once for each set of words that may be known to lie on top of the stack (`Node.known`): return
addresses, which are constants, and others, which have phis. A return to a known address is a jump, and a routine that
calls itself becomes as many copies of itself as words are remembered, which do not wait for memory. Words that are
forgotten are still there to be popped.

One page is the stack's: `FIRST` is the address where it begins, `PAGE` where it lies. A node compares once that all
its accesses lie in it, and that its last step begins before anything is due.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from ..compiler.convention import find
from ..compiler.intrinsics import CONTROL
from ..compiler.state import State
from ..compiler.statements import Walker
from ..compiler.text import ELEMENT, FIELD, MOSTLY, POINTER, Block
from ..compiler.values import Int, Known, Value, known_int
from .body import Body
from .regions import Step, known_ways
from .structs import FALLS

if TYPE_CHECKING:
    from .region_code import Place, RegionCompiler

DEEPEST = 4
"""Words of the stack that are remembered."""
MOST_NODES = 48
"""Beyond so many, less is remembered."""
MOST_IN_NODE = 48
"""Instructions in a node; beyond, it ends where a head does."""
PAGE_SIZE = 256
NEVER = (1 << 31) - 1
"""So much time is never left."""
FIRST, PAGE = -2, -3
"""In place of a field's offset, at a node."""
WORDS = -10
"""The same of the words on top of the stack: WORDS of the topmost, and so on downwards."""


class Node(NamedTuple):
    """A head, and what is known of the top of the stack: constants, and None for words that have phis. Heads that
    nothing else leads to are part of the node that leads to them."""

    head: int
    known: tuple[int | None, ...]


class Access(NamedTuple):
    """A word of the stack that a step pushes or pops. at: where, from SP at the begin of the head."""

    at: int
    pushed: Value | None


class StackWays:
    """Writes the nodes of a region. `entries`: where the ways from the plain code to each head lead."""

    def __init__(self, compiler: RegionCompiler) -> None:
        stack = compiler.guest.stack
        assert stack is not None
        self.compiler = compiler
        self.text = compiler.walker.text
        self.stack = stack
        self.sp = find(compiler.guest.context, stack.sp)[0]
        self.maps = [find(compiler.guest.context, path)[0] for path in compiler.guest.page_maps]
        self.entries = {head: compiler.place(f"s{head}") for head in compiler.region if head not in compiler.within}
        self.nodes: dict[Node, Place] = {}
        self.waiting: list[Node] = []
        self.leading = Counter(other for steps in compiler.region.values() for other in known_ways(steps))
        """How many heads may lead to each, returns aside."""
        self.spans: dict[Node, tuple[int, int]] = {}
        """The bytes that a node touches, from SP at its begin: the first, and the one behind the last."""

    def write(self) -> None:
        """Write all nodes that can be reached, and the ways to them."""
        for head in self.entries:
            self.node(Node(head, ()))
        while self.waiting:
            _Writer(self, self.waiting.pop()).write()
        for head, place in self.entries.items():
            self._write_entry(head, place)
        for node, place in self.nodes.items():
            self._write_phis(node, place)

    def node(self, node: Node) -> tuple[Node, Place]:
        """The place of a node, which is written later if it is new; of a smaller one where there are too many."""
        while node not in self.nodes and node.known and len(self.nodes) >= MOST_NODES:
            node = Node(node.head, node.known[:-1])
        if node not in self.nodes:
            self.nodes[node] = self.compiler.place(f"n{len(self.nodes)}")
            self.waiting.append(node)
        return node, self.nodes[node]

    def _write_entry(self, head: int, place: Place) -> None:
        """From the plain code: look up the page that the head's accesses lie in; back where they lie in none."""
        node = Node(head, ())
        first, behind = self.spans[node]
        names = {field.offset: place.phi(field.offset) for field in self.compiler.fields}
        if first == behind:
            self.compiler.enter(self.nodes[node], place.block, {**names, FIRST: "131072", PAGE: "null"})
            return
        block = place.block
        sp = self.op(block, f"add i32 {names[self.sp]}, {first}")
        page = self.op(block, f"and i32 {sp}, 65280")
        at = self.op(block, f"sub i32 {sp}, {page}")
        fits = self.op(block, f"icmp ule i32 {at}, {PAGE_SIZE - (behind - first)}")
        number = self.op(block, f"lshr i32 {page}, 8")
        index = self.op(block, f"zext i32 {number} to i64")
        pages = []
        for map_ in self.maps:
            base = self.op(block, f"getelementptr inbounds i8, ptr %context, i64 {map_}")
            where = self.op(block, f"getelementptr inbounds ptr, ptr {base}, i64 {index}")
            pages.append(self.op(block, f"load ptr, ptr {where}, {POINTER}"))
        alike = self.op(block, f"icmp eq ptr {pages[0]}, {pages[1]}")
        there = self.op(block, f"icmp ne ptr {pages[0]}, null")
        good = self.op(block, f"and i1 {alike}, {there}")
        good = self.op(block, f"and i1 {good}, {fits}")
        on, plain = self.nodes[node], self.compiler.heads[head]
        on.incoming.append((block.label, {**names, FIRST: page, PAGE: pages[0]}))
        plain.incoming.append((block.label, names))
        block.lines.append(f"  br i1 {good}, label %{on.block.label}, label %{plain.block.label}")

    def _write_phis(self, node: Node, place: Place) -> None:
        from .region_code import write_phi

        for field in self.compiler.fields:
            write_phi(place, field.offset, field.width)
        write_phi(place, FIRST, 32)
        ways = ", ".join(f"[ {names[PAGE]}, %{label} ]" for label, names in place.incoming)
        place.block.phis.append(f"  {place.phi(PAGE)} = phi ptr {ways}")
        for at, word in enumerate(node.known):
            if word is None:
                write_phi(place, WORDS - at, 32)

    def op(self, block: Block, text: str) -> str:
        """Add an operation; the name of its result."""
        name = self.text.fresh()
        block.lines.append(f"  {name} = {text}")
        return name


class _Writer:
    """Writes one node: its steps, where they lead, and what is compared before them."""

    def __init__(self, ways: StackWays, node: Node) -> None:
        self.ways = ways
        self.node = node
        self.compiler = ways.compiler
        self.walker = ways.compiler.walker
        self.place = ways.nodes[node]
        self.base = ways.text.fresh()
        """Where SP was at the begin, from where the page begins: 64 bits."""
        self.count = len(ways.text.blocks)
        self.steps = 0
        self.touched: list[int] = []
        """Where words are touched, from SP at the begin."""
        self.own: set[str] = set()
        """Lines that push words."""
        self.accesses: list[Access] = []
        """Of the step that is walked."""
        self.depth: int | None = 0
        """SP, less what it was at the begin; None where that is not known."""
        self.budget: int | None = 0
        """The most time that may pass before a step begins; None where that is not known."""
        self.words: list[Value] = [
            Int(self.place.phi(WORDS - at), 32, 0, 0xFFFF) if word is None else Known(word)
            for at, word in enumerate(node.known)
        ]

    def write(self) -> None:
        """Write it."""
        state = self.compiler.state_at(self.place, self.node.head)
        before, begin = state.block, self.ways.text.block()
        state.block = begin
        self._run(state, self.node.head, frozenset())
        self._compare(before, begin)

    def _run(self, state: State, head: int, passed: frozenset[int]) -> None:
        """Walk the steps of a head, and go on. passed: the heads on the way here."""
        compiler, text = self.compiler, self.ways.text
        steps = compiler.region[head]
        for number, step in enumerate(steps):
            self._note_time(state)
            self.steps += 1
            self.accesses = []
            blocks = len(text.blocks)
            here, length = state.block, len(state.block.lines)
            ends = self._walk(state, step)
            new = [here.lines[length:], *(block.lines for block in text.blocks[blocks:])]
            stores = any(self._stores(line) for lines in new for line in lines)
            on = None
            accesses, words, depth = self.accesses, self.words, self.depth
            for end in ends:
                compiler.count_step(end)
                self._settle(end, accesses, words, depth, stores)
                if number + 1 < len(steps) and known_int(end.fields[compiler.pc]) == step.behind:
                    on = end, self.words, self.depth
                else:
                    self._leave(end, step, passed | {head})
            if on is None:
                break
            state, self.words, self.depth = on  # paths with the same PC were joined

    def _note_time(self, state: State) -> None:
        """A step begins here."""
        left = self.compiler.left
        if self.budget is not None:
            name, base = self.walker.arith.operand(state.block, state.fields[left], 32), self.place.phi(left)
            span = self._body().span(name, base)
            self.budget = max(self.budget, -span[0]) if span else None

    def _walk(self, state: State, step: Step) -> list[State]:
        """Walk a step. What it pushes or pops is seen to here."""
        intrinsics = self.compiler.program.intrinsics
        instead = {self.ways.stack.read: self._pop, self.ways.stack.write: self._push}
        intrinsics.update(instead)
        try:
            return self.compiler.walk_step(state, step)
        finally:
            for function in instead:
                intrinsics.pop(function, None)

    def _stores(self, line: str) -> bool:
        return line.startswith("  store ") and not line.endswith(FIELD) and line not in self.own

    def _distance(self, value: Value) -> int | None:
        """How far an address is from SP at the begin."""
        sp = self.place.phi(self.ways.sp)
        if not isinstance(value, Int):
            return None
        found = self._body().sum16(value.name)
        return found[1] - (found[1] >> 15 << 16) if found and found[0] == sp else None

    def _body(self) -> Body:
        blocks = [self.place.block, *self.ways.text.blocks[self.count :]]
        return Body(blocks, {self.place.phi(self.ways.sp): 16}, {})

    def _settle(
        self, end: State, accesses: list[Access], words: list[Value], depth: int | None, stores: bool
    ) -> None:
        """What is known of the stack at one of a step's ends."""
        self.depth = self._distance(end.fields[self.ways.sp])
        self.words = []
        if depth is None or stores or self.depth is None:
            return
        if self.depth == depth and all(access.pushed is None for access in accesses):
            self.words = words
        elif len(accesses) == 1:
            at, pushed = accesses[0]
            if pushed is None and at == depth and self.depth == depth + 2:
                self.words = words[1:]
            elif pushed is not None and at == self.depth == depth - 2:
                self.words = [pushed, *words][:DEEPEST]

    # ------------------------------------------------------------------------------------------ accesses

    def _pop(self, walker: Walker, state: State, context: Value, address: Value) -> Value | None:
        at = self._distance(address)
        if at is None:
            return self._apart(self.ways.stack.read, state, context, address)
        self._spend(state)
        known = self.words and at == self.depth
        self.accesses.append(Access(at, None))
        if known:
            return self.words[0]
        place = self._address(state, at)
        word = self.ways.op(state.block, f"load i16, ptr {place}, align 1, {ELEMENT}")
        return Int(self.ways.op(state.block, f"zext i16 {word} to i32"), 32, 0, 0xFFFF)

    def _push(self, walker: Walker, state: State, context: Value, address: Value, value: Value) -> Value | None:
        at = self._distance(address)
        if at is None:
            return self._apart(self.ways.stack.write, state, context, address, value)
        self._spend(state)
        word = walker.arith.operand(state.block, value, 16)
        line = f"  store i16 {word}, ptr {self._address(state, at)}, align 1, {ELEMENT}"
        self.own.add(line)
        state.block.lines.append(line)
        self.accesses.append(Access(at, value))
        return Known(None)

    def _apart(self, function: Any, state: State, *arguments: Value) -> Value | None:
        """An access that may lie anywhere."""
        program = self.compiler.program
        own, program.intrinsics = program.intrinsics, dict(CONTROL)
        paths = self.walker.group(self.walker.invoke(function, list(arguments), {}, state))
        program.intrinsics = own
        if not paths:
            return None
        ((end, value),) = paths
        state.become(end)
        return value

    def _spend(self, state: State) -> None:
        left, arith = self.compiler.left, self.walker.arith
        exact = arith.binary(state.block, "-", state.fields[left], Known(self.ways.stack.cycles), 32)
        state.fields[left] = arith.narrow(state.block, exact, self.compiler.kind(left))
        state.dirty.add(left)

    def _address(self, state: State, at: int) -> str:
        self.touched.append(at)
        offset = self.ways.op(state.block, f"add i64 {self.base}, {at}")
        return self.ways.op(state.block, f"getelementptr i8, ptr {self.place.phi(PAGE)}, i64 {offset}")

    # ------------------------------------------------------------------------------------------ ways

    def _compare(self, block: Block, begin: Block) -> None:
        """The last step begins before anything is due, or the plain code goes on; all that is touched lies in the
        stack's page, or another one is looked up."""
        ways, place, compiler = self.ways, self.place, self.compiler
        names = {field.offset: place.phi(field.offset) for field in compiler.fields}
        plain, entry = compiler.heads[self.node.head], ways.entries[self.node.head]
        first, behind = min(self.touched, default=0), max(self.touched, default=-2) + 2
        ways.spans[self.node] = first, behind
        if behind - first > PAGE_SIZE:
            self.budget = None
        budget = NEVER if self.budget is None else self.budget
        in_time = ways.op(block, f"icmp sgt i32 {names[compiler.left]}, {budget}")
        plain.incoming.append((block.label, names))
        on = begin if first == behind else ways.text.block()
        block.lines.append(f"  br i1 {in_time}, label %{on.label}, label %{plain.block.label}, {MOSTLY}")
        if first != behind:
            sp = ways.op(on, f"add i32 {place.phi(ways.sp)}, {first}")
            at = ways.op(on, f"sub i32 {sp}, {place.phi(FIRST)}")
            fits = ways.op(on, f"icmp ule i32 {at}, {PAGE_SIZE - (behind - first)}")
            wide = ways.op(on, f"zext i32 {at} to i64")
            on.lines.append(f"  {self.base} = add i64 {wide}, {-first}")
            entry.incoming.append((on.label, names))
            on.lines.append(f"  br i1 {fits}, label %{begin.label}, label %{entry.block.label}, {MOSTLY}")

    def _leave(self, end: State, step: Step, passed: frozenset[int]) -> None:
        """To the head at PC, or out of the region."""
        compiler = self.compiler
        target = known_int(end.fields[compiler.pc])
        if target in compiler.region:
            if self._goes_on(target, step, passed):
                self._run(end, target, passed)
            else:
                label = self._enter(target, end)
                end.block.lines.append(f"  br label %{label}")
            return
        if target is None and compiler.returns:
            pc = self.walker.arith.operand(end.block, end.fields[compiler.pc], 32)
            cases = " ".join(f"i32 {head}, label %{self._enter(head, end)}" for head in compiler.returns)
            other = self.ways.text.block()
            end.block.lines.append(f"  switch i32 {pc}, label %{other.label} [ {cases} ]")
            end = end.fork(other)
        compiler.write_jump(end)

    def _goes_on(self, target: int, step: Step, passed: frozenset[int]) -> bool:
        """Whether a head is part of this node: where nothing else leads to it, or a return whose address is known."""
        if target in self.compiler.within or target in passed or step.calls or self.steps >= MOST_IN_NODE:
            return False
        returned = step.target is None and step.flow != FALLS
        return self.ways.leading[target] == 1 or (returned and target != step.behind)

    def _enter(self, head: int, end: State) -> str:
        """Have a way lead from a block's end to a head; the label."""
        compiler = self.compiler
        names = compiler.names(end)
        if head in compiler.within:
            place = compiler.heads[head]
        else:
            known = tuple(
                value if value is not None and value in compiler.region else None
                for value in map(known_int, self.words)
            )
            node, place = self.ways.node(Node(head, known))
            names |= {FIRST: self.place.phi(FIRST), PAGE: self.place.phi(PAGE)}
            for at, word in enumerate(node.known):
                if word is None:
                    names[WORDS - at] = self.walker.arith.operand(end.block, self.words[at], 32)
        place.incoming.append((end.block.label, names))
        return place.block.label
