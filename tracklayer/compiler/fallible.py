"""Programs whose functions Python calls: they may raise, call Python, be interrupted, and run out of stack.

For:       `Fallible`, a Program with one C function; the routines that its functions call; the words (`slots`) that are
           filled in when its image is placed.
Not for:   which places may fail (failing.py); conversions of arguments (native/functions.py).
Invariant: a function that fails has set an exception and the word `failed`; its callers look at the word at once. The
           entry says it in RCX (native/functions.py, `Way.status`).

Every function has `ptr %call` first, a few words on the entry's stack: how deep the stack may go, whether something
failed, how many lines of the traceback are there, where to look for signals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..lang import BufferType, FloatType, IntType, Object, PtrType, is_struct
from ..native.runtime import MARGIN, Attention, nothing_to_do
from .arith import Arith
from .errors import CompileError, Refusal
from .failing import FAIL
from .glue import SLOTS
from .outlining import Outlined
from .passing import result_type, result_types
from .program import OWN, Program
from .sources import FunctionInfo, describe_function
from .state import State
from .statements import Walker
from .text import RARELY, Block, Text
from .values import Callee, CallType, Float, Int, Pointer, Ref, Value, View

LIMIT, FAILED, TRACED, BREAKER, TURNS, SINCE = 0, 8, 16, 24, 32, 40
"""Where the words behind %call are."""
CALL_WORDS = 6
MOST_TRACED = 100
"""So many lines a traceback gets, innermost first; of a deep recursion the rest are left out."""
TURNS_BETWEEN = 4096
"""How often a loop looks at the clock, where that is all it can do."""


class Slot(NamedTuple):
    """A word of the image. kind: `api`, `libc`, `object`, `calling` (a C function that calls a callable), `breaker`."""

    kind: str
    what: Any


class Fallible(Program):
    """One function for Python to call. attention: where loops look for signals; None where they watch the clock."""

    def __init__(self, nogil: bool, polls: bool, attention: Attention | None) -> None:
        super().__init__()
        self.fallible = self
        self.nogil = nogil
        self.polls = polls
        self.attention = attention if attention is None or attention.in_thread or not nogil else None
        self.slots: list[Slot] = []
        self._slot_of: dict[Any, int] = {}
        self._texts: dict[str, str] = {}
        self.root: Outlined | None = None
        self.deep = False
        """Whether anything in it may call it again, so that the stack must be watched."""

    def begun(self, target: Outlined) -> None:
        if self.root is None:
            self.root = target

    # ------------------------------------------------------------------ words and texts

    def _slot(self, kind: str, what: Any) -> int:
        key = (kind, id(what) if kind == "object" else what)
        found = self._slot_of.get(key)
        if found is None:
            found = self._slot_of[key] = len(self.slots)
            self.slots.append(Slot(kind, what))
        return found

    def word(self, arith: Arith, block: Block, kind: str, what: Any) -> str:
        """A word of the image as a pointer."""
        place = f"getelementptr (i8, ptr @{SLOTS}, i64 {8 * self._slot(kind, what)})"
        return arith.op(block, f"load ptr, ptr {place}, !invariant.load !10")

    def object(self, arith: Arith, block: Block, what: object) -> str:
        """A Python object that the program keeps."""
        return self.word(arith, block, "object", what)

    def call_api(self, arith: Arith, block: Block, result: str, name: str, arguments: str) -> str:
        """Call a function of the C API; the name of its result, if it has one."""
        function = self.word(arith, block, "api", name)
        if result == "void":
            block.lines.append(f"  call void {function}({arguments})")
            return ""
        return arith.op(block, f"call {result} {function}({arguments})")

    def text(self, text: str) -> str:
        """A constant C string."""
        name = self._texts.get(text)
        if name is None:
            name = self._texts[text] = f"@text.{len(self._texts)}"
            raw = text.encode() + b"\0"
            body = "".join(f"\\{byte:02X}" for byte in raw)
            self.module.globals.append(f'{name} = private unnamed_addr constant [{len(raw)} x i8] c"{body}"')
        return name

    # ------------------------------------------------------------------ the walk's hooks

    def poll_test(self, arith: Arith, text: Text, block: Block) -> str:
        """An i1: whether it is time to let Python do what is due."""
        if self.attention is None:
            at = arith.op(block, f"getelementptr i8, ptr %call, i64 {TURNS}")
            turns = arith.op(block, f"load i64, ptr {at}")
            more = arith.op(block, f"add i64 {turns}, 1")
            block.lines.append(f"  store i64 {more}, ptr {at}")
            part = arith.op(block, f"and i64 {more}, {TURNS_BETWEEN - 1}")
            return arith.op(block, f"icmp eq i64 {part}, 0")
        place = f"  %breaker.at = getelementptr i8, ptr %call, i64 {BREAKER}\n  %breaker = load ptr, ptr %breaker.at"
        if place not in text.locals:
            text.locals.append(place)
        flag = arith.op(block, "load volatile i32, ptr %breaker")
        mask = self.attention.mask
        if mask != 0xFFFFFFFF:
            flag = arith.op(block, f"and i32 {flag}, {mask}")
        return arith.op(block, f"icmp ne i32 {flag}, 0")

    def finish(self, walker: Walker, head: str, values: dict[str, Value], info: FunctionInfo, target: Outlined) -> None:
        """Walk the body of an outlined function, end its paths with returns, and add it."""
        entry, body = walker.text.block(), walker.text.block()
        state = State(body, {}, {}, set())
        kinds = result_types(info)
        for end, value in walker.begin(info, values, state):
            try:
                if kinds == ["ptr"]:  # an object: the caller gets a reference
                    if self.nogil:
                        raise Refusal("a function that runs without the GIL cannot return an object")
                    value = Pointer(walker.object_name(end, value), None)
                    walker.take(end, value.name)
                walker.give_back(end.block)
                self.end(walker, end, value, info)
            except Refusal as refusal:
                raise CompileError(info.file, info.node, info.name, refusal.problem, refusal.mend) from None
        if walker.goes_deeper and walker.can_fail:
            self.deep = True
            deep = walker.text.block()
            walker.text.locals.append("  %probe = alloca i8")
            entry.lines += [
                "  %probe.at = ptrtoint ptr %probe to i64",
                f"  %limit.at = getelementptr i8, ptr %call, i64 {LIMIT}",
                "  %limit = load i64, ptr %limit.at",
                "  %under = sub i64 %limit, %probe.at",
                "  %under.less = sub i64 %under, 1",
                f"  %deep = icmp ult i64 %under.less, {MARGIN}",
                f"  br i1 %deep, label %{deep.label}, label %{body.label}, {RARELY}",
            ]
            walker.at = info.node.lineno
            message = f"maximum recursion depth exceeded in {info.name}(): the C stack is nearly full"
            walker.raise_here(State(deep, {}, {}, set()), RecursionError, message)
        else:
            entry.lines.append(f"  br label %{body.label}")
        target.can_fail = walker.can_fail
        if walker.can_fail:
            fail = Block(FAIL)
            walker.text.blocks.append(fail)
            walker.give_back(fail)
            kind = result_type(info)
            fail.lines.append("  ret void" if kind == "void" else f"  ret {kind} zeroinitializer")
        attributes = "" if target is self.root else " noinline"
        head = head.replace("hidden", "internal", 1)
        text = f'define {head}{attributes} nounwind uwtable "no-builtins" {{\n{walker.text.render()}\n}}'
        self.module.add(OWN, text)

    def check(self, walker: Walker, state: State, target: Outlined) -> None:
        """Behind a call of an outlined function: leave if it failed."""
        walker.goes_deeper = True
        if not target.can_fail:
            return
        at = walker.arith.op(state.block, f"getelementptr i8, ptr %call, i64 {FAILED}")
        word = walker.arith.op(state.block, f"load i64, ptr {at}")
        walker.leave_if(state, walker.arith.op(state.block, f"icmp ne i64 {word}, 0"))

    # ------------------------------------------------------------------ the entry

    def enter(self, function: Callable[..., Any]) -> None:
        """Compile a function, and `entry`, which Python's arguments are passed to. Errors: CompileError."""
        info = describe_function(function)
        walker = Walker(self, self.module, info, None, holds=False)
        values: dict[str, Value] = {}
        parameters: list[str] = []
        lines: list[str] = []
        for name, kind in info.parameters:
            text, before, values[name] = _incoming(info, name, kind)
            parameters += text
            lines += before
        state = State(walker.text.block(), {}, {}, set())
        target = self.root = self.outlined(walker, info, values, state)
        kind = result_type(info)
        call = next(line for line in state.block.lines if "call fastcc" in line)
        if kind != "void":
            call = f"  %result = {call.partition(' = ')[2]}"
        results = result_types(info)
        if not target.can_fail:
            text = [*lines, call, "  ret void" if kind == "void" else f"  ret {kind} %result"]
            self._add_entry(kind, parameters, ["  %call = alloca [6 x i64]", *text])
            return
        begin = [f"  %call = alloca [{CALL_WORDS} x i64], align 16"]
        for at, value in self._call_words():
            begin.append(f"  %call.{at} = getelementptr i8, ptr %call, i64 {at}\n  store {value}, ptr %call.{at}")
        if self.attention is not None and self.polls:
            begin += self._find_breaker()
        padding = ["i64"] * (2 - sum(one != "double" for one in results))
        whole = "{ " + ", ".join([*results, *padding, "i64"]) + " }"
        text = [*begin, *lines, call, f"  %failed = load i64, ptr %call.{FAILED}"]
        have = "poison"
        for index, one in enumerate(results):
            value = "%result"
            if len(results) > 1:
                value = f"%result.{index}"
                text.append(f"  {value} = extractvalue {kind} %result, {index}")
            text.append(f"  %whole.{index} = insertvalue {whole} {have}, {one} {value}, {index}")
            have = f"%whole.{index}"
        text.append(f"  %whole = insertvalue {whole} {have}, i64 %failed, {len(results) + len(padding)}")
        self._add_entry(whole, [*["i64 %limit"] * self.deep, *parameters], [*text, f"  ret {whole} %whole"])

    def _add_entry(self, kind: str, parameters: list[str], lines: list[str]) -> None:
        head = f"define {kind} @entry({', '.join(parameters)}) nounwind uwtable"
        self.module.add(OWN, f"{head} {{\n" + "\n".join(lines) + "\n}")
        self.entries.append("entry")

    def _call_words(self) -> list[tuple[int, str]]:
        words = [(LIMIT, "i64 %limit")] * self.deep + [(FAILED, "i64 0"), (TRACED, "i64 0")]
        return words + [(TURNS, "i64 0"), (SINCE, "i64 0")] * (self.attention is None)

    def _find_breaker(self) -> list[str]:
        assert self.attention is not None
        text = Text()
        block = text.block()
        arith = Arith(text)
        if self.attention.in_thread:
            thread = self.call_api(arith, block, "ptr", "PyGILState_GetThisThreadState", "")
            place = arith.op(block, f"getelementptr i8, ptr {thread}, i64 {self.attention.place}")
        else:
            place = self.word(arith, block, "breaker", None)
        return [*(line.replace("%v", "%b") for line in block.lines),
                f"  %call.{BREAKER} = getelementptr i8, ptr %call, i64 {BREAKER}",
                f"  store ptr {place.replace('%v', '%b')}, ptr %call.{BREAKER}"]  # fmt: skip

    # ------------------------------------------------------------------ the whole

    def render(self, part: str | None = None) -> str:
        """The program as IR text."""
        if self.root is not None and self.root.can_fail:
            for text in self._routines():
                self.module.add(OWN, text)
        count = max(1, len(self.slots))
        self.declare(
            f"@{SLOTS} = hidden externally_initialized constant [{count} x ptr] zeroinitializer, "
            'section ".rodata.slots"'
        )
        for name in ("fabs", "sqrt", "floor", "ceil", "trunc", "copysign"):
            more = ", double" if name == "copysign" else ""
            self.declare(f"declare double @llvm.{name}.f64(double{more})")
        return super().render(part)

    def _routines(self) -> list[str]:
        """What generated functions call when something is rare."""
        routines = [
            self._routine("void @raise(ptr %call, ptr %kind, ptr %message)", self._raise),
            self._routine("void @trace(ptr %call, ptr %name, ptr %file, i32 %line)", self._trace),
        ]
        if self.polls:
            routines.append(self._routine("preserve_mostcc i1 @attend(ptr %call)", self._attend))
        return routines

    def _routine(self, head: str, write: Callable[[Arith, Text, Block], None]) -> str:
        text = Text()
        block = text.block()
        write(Arith(text), text, block)
        return f"define internal {head} cold noinline nounwind uwtable {{\n{text.render()}\n}}"

    def _with_gil(self, arith: Arith, block: Block, write: Callable[[], None]) -> None:
        """Have the GIL around what is written."""
        state = self.call_api(arith, block, "i32", "PyGILState_Ensure", "") if self.nogil else ""
        write()
        if self.nogil:
            self.call_api(arith, block, "void", "PyGILState_Release", f"i32 {state}")

    def _raise(self, arith: Arith, text: Text, block: Block) -> None:
        arguments = "ptr %kind, ptr %message"
        self._with_gil(arith, block, lambda: void(self.call_api(arith, block, "void", "PyErr_SetString", arguments)))
        block.lines.append("  ret void")

    def _trace(self, arith: Arith, text: Text, block: Block) -> None:
        """Note that something failed, and one line of the traceback."""
        failed = arith.op(block, f"getelementptr i8, ptr %call, i64 {FAILED}")
        block.lines.append(f"  store i64 1, ptr {failed}")
        at = arith.op(block, f"getelementptr i8, ptr %call, i64 {TRACED}")
        count = arith.op(block, f"load i64, ptr {at}")
        more = arith.op(block, f"add i64 {count}, 1")
        block.lines.append(f"  store i64 {more}, ptr {at}")
        enough, add, done = arith.op(block, f"icmp ugt i64 {count}, {MOST_TRACED}"), text.block(), text.block()
        block.lines.append(f"  br i1 {enough}, label %{done.label}, label %{add.label}")
        arguments = "ptr %name, ptr %file, i32 %line"
        self._with_gil(arith, add, lambda: void(self.call_api(arith, add, "void", "_PyTraceback_Add", arguments)))
        add.lines.append(f"  br label %{done.label}")
        done.lines.append("  ret void")

    def _attend(self, arith: Arith, text: Text, block: Block) -> None:
        """Run a Python function that does nothing: entering it makes CPython do what is due. Answers whether that
        raised an exception."""
        if self.attention is None:
            block = self._when_time(arith, text, block)

        def run() -> None:
            nothing = self.object(arith, block, nothing_to_do)
            result = self.call_api(
                arith, block, "ptr", "PyObject_Vectorcall", f"ptr {nothing}, ptr null, i64 0, ptr null"
            )
            block.lines.append(f"  %bad = icmp eq ptr {result}, null")
            self.call_api(arith, block, "void", "Py_DecRef", f"ptr {result}")  # which minds no null

        self._with_gil(arith, block, run)
        block.lines.append("  ret i1 %bad")

    def _when_time(self, arith: Arith, text: Text, block: Block) -> Block:
        """Go on only 20 ms after the last time, and on the main thread, which gets the signals."""
        text.locals.append("  %now.at = alloca [2 x i64]")
        clock = self.word(arith, block, "libc", "clock_gettime")
        arith.op(block, f"call i32 {clock}(i32 1, ptr %now.at)")
        seconds = arith.op(block, "load i64, ptr %now.at")
        rest_at = arith.op(block, "getelementptr i8, ptr %now.at, i64 8")
        rest = arith.op(block, f"load i64, ptr {rest_at}")
        scaled = arith.op(block, f"mul i64 {seconds}, 1000000000")
        now = arith.op(block, f"add i64 {scaled}, {rest}")
        at = arith.op(block, f"getelementptr i8, ptr %call, i64 {SINCE}")
        since = arith.op(block, f"load i64, ptr {at}")
        passed = arith.op(block, f"sub i64 {now}, {since}")
        early, later, main, due = (
            arith.op(block, f"icmp ult i64 {passed}, 20000000"), text.block(), text.block(), text.block()
        )  # fmt: skip
        block.lines.append(f"  br i1 {early}, label %{later.label}, label %{main.label}")
        later.lines.append("  ret i1 false")
        main.lines.append(f"  store i64 {now}, ptr {at}")
        thread = arith.op(main, f"call i32 {self.word(arith, main, 'libc', 'gettid')}()")
        process = arith.op(main, f"call i32 {self.word(arith, main, 'libc', 'getpid')}()")
        is_main = arith.op(main, f"icmp eq i32 {thread}, {process}")
        main.lines.append(f"  br i1 {is_main}, label %{due.label}, label %{later.label}")
        return due


def void(result: object) -> None:
    """Drop a result."""


def _incoming(info: FunctionInfo, name: str, kind: Any) -> tuple[list[str], list[str], Value]:
    """A parameter of the entry: its declaration, what makes a value of it, and the value."""
    at = f"%a.{name}"
    if isinstance(kind, IntType):
        if kind.bits > 32:
            return [f"i64 {at}"], [], Int(at, 64, kind.lo, kind.hi)
        return [f"i64 {at}.64"], [f"  {at} = trunc i64 {at}.64 to i32"], Int(at, 32, kind.lo, kind.hi)
    if isinstance(kind, FloatType):
        if kind.bits == 64:
            return [f"double {at}"], [], Float(at)
        return [f"float {at}.32"], [f"  {at} = fpext float {at}.32 to double"], Float(at, True)
    if isinstance(kind, BufferType):
        return [f"ptr {at}", f"i64 {at}.length"], [], View(at, f"{at}.length", kind.element, kind.writable)
    if isinstance(kind, PtrType):
        return [f"ptr {at}", f"i64 {at}.length"], [], Pointer(at, kind.element)
    if is_struct(kind):
        return [f"ptr {at}"], [], Ref(at, 0, kind, False)
    if isinstance(kind, CallType):
        return [f"ptr {at}"], [], Callee(at, kind)
    if kind is Object:
        return [f"ptr {at}"], [], Pointer(at, None)
    raise CompileError(info.file, info.node, info.name, f"the parameter {name} has no type that Python can pass",
                       "annotate it: i64, f64, bool, Buffer[f64], object, Callable, a struct")  # fmt: skip
