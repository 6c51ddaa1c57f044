"""An assembler for x86-64 whose source text is Python.

For:       instructions, labels, data, imported addresses, frames; a listing; code in memory, and builtins from it.
Not for:   the choice of encodings (forms.py), conversions between Python and native values (functions.py).
Invariant: an error is raised, or names, at the line of Python that caused it.

    from tracklayer.native.assembler import Assembler
    from tracklayer.native.operands import rax, rdi, rsi

    a = Assembler()
    a.lea(rax, mem[rdi + rsi])
    a.ret()
    add = a.function("i64(x: i64, y: i64)", name="add")
    add(2, 3)

Every mnemonic is a method; those that are Python words end in an underscore (`and_`, `or_`, `not_`, `in_`). A label's
name can be used before it is placed. Options are keywords: `lock=True`, `rep=True`, `mask=k1, zeroing=True`,
`rounding="zero"`, `sae=True`, and `form=Code.ADD_RM64_R64` for one encoding of several. Jumps take two bytes where two
will do.
"""

from __future__ import annotations

import ctypes
import functools
import re
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType
from typing import Any

from tracklayer.native import debug, runtime, unwind
from tracklayer.native.calls import python_api
from tracklayer.native.forms import FormError, Options, encode
from tracklayer.native.memory import CodeMemory, code_memory
from tracklayer.native.operands import (
    Address,
    Label,
    Memory,
    Operand,
    OperandError,
    Register,
    Symbol,
    dword,
    eax,
    mem,
    qword,
    r8,
    r9,
    r11,
    r11d,
    rbp,
    rcx,
    rdi,
    rdx,
    rsi,
    rsp,
)
from tracklayer.native.source import Assembled, AssemblyError, Code, Distance, Line, Listing, Source, bytes_of


@dataclass(frozen=True, slots=True)
class _Fixup:
    """A field that waits for a place: `width` bytes at `at` of the fragment.

    If `relative`, what is stored is the distance from the end of the fragment; else the address itself, or if
    `start` is given the distance from there."""

    at: int
    width: int
    target: Label | str | int
    addend: int
    relative: bool
    start: Label | str | None = None


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A stretch of bytes with a place in the code: an instruction, data, a label (no bytes), an alignment.

    near:  what to use instead where the distance does not fit the short jump in `data`
    align: the multiple of which the next address shall be
    frame: what changes for the unwinder at this place"""

    data: bytes
    text: tuple[object, ...]
    origin: tuple[str, int]
    fixup: _Fixup | None = None
    near: _Fragment | None = None
    align: int = 0
    is_code: bool = False
    frame: unwind.Change | None = None


class Assembler(Source):
    """Collects instructions and data, and makes code of them. See the module's docstring.

    name: what listings, unwinders and profilers call the code
    abi:  "sysv" or "win64"; by default that of this system. It decides what `argument` and `prologue` do."""

    def __init__(self, name: str = "code", *, abi: str | None = None) -> None:
        super().__init__(name)
        self.abi = abi or ("win64" if sys.platform == "win32" else "sysv")
        if self.abi not in ("sysv", "win64"):
            raise ValueError(f"the calling conventions are sysv and win64, not {self.abi!r}")
        self._fragments: list[_Fragment] = []
        self._frame: _Frame | None = None

    # ------------------------------------------------------------------------------------------------ instructions

    def __getattr__(self, mnemonic: str) -> Callable[..., None]:
        if mnemonic.startswith("_"):
            raise AttributeError(mnemonic)
        return functools.partial(self.emit, mnemonic)

    def emit(self, mnemonic: str, *operands: Any, **options: Any) -> None:
        """Add one instruction; `a.emit("add", rax, 5)` is `a.add(rax, 5)`."""
        origin = self._origin()
        mnemonic = mnemonic.rstrip("_")
        if len(operands) == 1 and mnemonic in ("call", "jmp") and isinstance(operands[0], Symbol | _C_FUNCTION_TYPE):
            self._far(mnemonic, operands[0], origin)
            return
        try:
            given = tuple(map(self._operand, operands))
            encodings = encode(mnemonic, given, Options(**options) if options else Options())
        except (FormError, OperandError, TypeError) as error:
            raise AssemblyError(str(error), origin) from None
        text = (mnemonic, operands, options)
        fragments = [
            _Fragment(
                one.data, text, origin, self._fixup(one.data, one.relative, one.displacement, given), is_code=True
            )
            for one in encodings
        ]
        if len(fragments) == 1 or not fragments[0].fixup:
            self._fragments.append(fragments[0])
        else:
            short, near = fragments
            self._fragments.append(_Fragment(short.data, text, origin, short.fixup, near, is_code=True))

    def _operand(self, operand: object) -> Operand:
        """Plain Python values as operands: booleans and the like are no numbers here."""
        if isinstance(operand, Register | Memory | Label | Symbol | str | int) and not isinstance(operand, bool):
            return operand
        if isinstance(operand, _C_FUNCTION_TYPE):
            return self.c_function(operand)
        if isinstance(operand, Address):
            raise OperandError(f"[{operand}] is an address: write its size before it, as in qword[...] or mem[...]")
        raise OperandError(f"{operand!r} ({type(operand).__name__}) is no operand")

    @staticmethod
    def _fixup(data: bytes, relative: int, displacement: int, operands: tuple[Operand, ...]) -> _Fixup | None:
        for operand in operands:
            if isinstance(operand, Memory) and operand.address.label is not None:
                return _Fixup(displacement, 4, operand.address.label, operand.address.displacement, True)
            if relative and isinstance(operand, Label | str | int):
                return _Fixup(len(data) - relative, relative, operand, 0, True)
        return None

    def _far(self, mnemonic: str, target: Any, origin: tuple[str, int]) -> None:
        """Call or jump to something outside, which may be anywhere: over an address in the pool."""
        symbol = target if isinstance(target, Symbol) else self.c_function(target)
        address = symbol.address
        if isinstance(symbol, CallbackSymbol) and (self._frame is None or mnemonic == "jmp"):
            address = symbol.unchecked
        slot = self._constant(struct.pack("<Q", address), 8)
        one = encode(mnemonic, (qword[slot],))[0]
        fixup = _Fixup(one.displacement, 4, slot, 0, True)
        self._fragments.append(_Fragment(one.data, (mnemonic, (symbol,), {}), origin, fixup, is_code=True))
        if isinstance(symbol, CallbackSymbol):
            self.calls_back = True
            if mnemonic == "call":
                self._after_callback(origin)

    def _after_callback(self, origin: tuple[str, int]) -> None:
        """Behind a call of a callback: a no-operation that says where we are (for tracebacks), then the way out.

        The callback sets the carry flag if it failed. In a function with a prologue we leave at once; in one without
        the exception waits until the function returns to Python."""
        note = self._constant_note(origin)
        # nop dword ptr [rax + rax + disp32]: 0F 1F 84 00, then the distance from its end to the note.
        fixup = _Fixup(4, 4, note, 0, True)
        self._fragments.append(_Fragment(b"\x0f\x1f\x84\x00\0\0\0\0", ("nop", (), {}), origin, fixup, is_code=True))
        if self._frame is not None:
            self._emit_at(origin, "jb", self._frame.failed)
            self._frame.used = True

    def _constant_note(self, origin: tuple[str, int]) -> Label:
        """Who calls from where, for a traceback: two pointers to texts, and the line."""
        name = self._constant(self.name.encode() + b"\0", 1)
        file = self._constant(origin[0].encode() + b"\0", 1)
        label = self.forward(f".note{self._next()}")
        self._notes.append((label, name, file, origin[1]))
        return label

    @functools.cached_property
    def _notes(self) -> list[tuple[Label, Label, Label, int]]:
        return []

    def _emit_at(self, origin: tuple[str, int], mnemonic: str, *operands: Any) -> None:
        self.emit(mnemonic, *operands)
        last = self._fragments[-1]
        near = last.near and _replaced(last.near, origin)
        self._fragments[-1] = _Fragment(last.data, last.text, origin, last.fixup, near, is_code=True)

    # ------------------------------------------------------------------------------------------------ labels and data

    def _place_label(self, label: Label, origin: tuple[str, int]) -> None:
        label.fragment = len(self._fragments)
        self._fragments.append(_Fragment(b"", ("label", label), origin))

    def _put(self, raw: bytes, origin: tuple[str, int]) -> None:
        self._fragments.append(_Fragment(raw, ("data",), origin))

    def _put_address(self, target: Label | str, origin: tuple[str, int]) -> None:
        self._fragments.append(_Fragment(bytes(8), ("data",), origin, _Fixup(0, 8, target, 0, False)))

    def _put_distance(self, distance: Distance, width: int, origin: tuple[str, int]) -> None:
        fixup = _Fixup(0, width, distance.to, 0, False, distance.start)
        self._fragments.append(_Fragment(bytes(width), ("data",), origin, fixup))

    def align(self, multiple: int) -> None:
        """Go on at the next multiple of a power of two, with long no-operations between."""
        if multiple <= 0 or multiple & (multiple - 1) or multiple > 4096:
            raise AssemblyError(f"cannot align to {multiple}: a power of two up to 4096", self._origin())
        self._fragments.append(_Fragment(b"", ("align", multiple), self._origin(), align=multiple))

    def constant(self, value: bytes | int | float, size: int = 8) -> Memory:
        """A memory operand that holds a value, kept behind the code; equal constants are one."""
        raw = bytes_of(value, size)
        size = len(raw) if len(raw) in (1, 2, 4, 8, 16, 32, 64) else 0
        return Memory(Address(label=self._constant(raw, size or 1)), size)

    def callback(self, function: Callable[..., Any], signature: str, *, nogil: bool = False) -> Symbol:
        """A Python callable as a C function of the signature: `call` it. See functions.callback.

        nogil: for functions that run without the GIL; the callback takes it for its time."""
        from tracklayer.native.functions import callback

        made = callback(function, signature, nogil=nogil, abi=self.abi)
        self._keep.append(made.keep)
        self._uses += [function, made.explainer]
        return CallbackSymbol(getattr(function, "__name__", "callback"), made.address, None, False, made.unchecked)

    def incref(self, register: Register) -> None:
        """Take a reference to the Python object in a register. R11 and the flags are lost."""
        if sys.version_info < (3, 12):
            self.inc(qword[register])
            return
        immortal = self.forward()
        self.mov(r11d, dword[register])
        self.inc(r11d)
        self.jz(immortal)
        self.mov(dword[register], r11d)
        self.label(immortal)

    def decref(self, register: Register) -> None:
        """Give back a reference to the Python object in a register. All that a call loses is lost."""
        done = self.forward()
        if sys.version_info >= (3, 12):
            self.cmp(dword[register], 0)
            self.jl(done)  # immortal
        self.dec(qword[register])
        self.jnz(done)
        if register != self.argument(0):
            self.mov(self.argument(0), register)
        self.call(Symbol("_Py_Dealloc", python_api()["_Py_Dealloc"]))
        self.label(done)

    # ---------------------------------------------------------------------------------------------------- frames

    def argument(self, i: int) -> Register:
        """The register in which the i-th integer argument arrives (and is passed to others), from 0."""
        registers = (rdi, rsi, rdx, rcx, r8, r9) if self.abi == "sysv" else (rcx, rdx, r8, r9)
        if not 0 <= i < len(registers):
            message = f"argument {i} is on the stack: {self.abi} has {len(registers)} in registers"
            raise AssemblyError(message, self._origin())
        return registers[i]

    def prologue(self, *saves: Register, locals: int = 0, polls: bool = False) -> None:
        """Begin a frame: RBP points to it, `saves` are kept, RSP is aligned for calls, and unwinders can follow.

        `locals` slots of 8 bytes are `a.local(0)` and on. A callback that fails leaves the frame at once. `polls`
        reserves what `poll` needs."""
        origin = self._origin()
        if any(r.kind != "gp" or r.size != 8 or r in (rsp, rbp) for r in saves):
            raise AssemblyError(f"a frame saves 64-bit registers, not {', '.join(map(str, saves))}", origin)
        self.finish_frame()
        frame = _Frame(saves, locals, self.forward(f".failed{self._next()}"), polls=polls)
        self._mark(unwind.Change("begin"))
        self.push(rbp)
        self._mark(unwind.Change("pushed"))
        self.mov(rbp, rsp)
        self._mark(unwind.Change("based"))
        for i, register in enumerate(saves):
            self.push(register)
            self._mark(unwind.Change("saved", register.name, 24 + 8 * i))
        shadow = 32 if self.abi == "win64" else 0
        size = 8 * (locals + 2 * polls) + shadow
        size += (size + 8 * len(saves)) % 16
        if size:
            self.sub(rsp, size)
        self._frame = frame
        if polls:
            for slot in frame.poll_slots:
                self.mov(slot, 0)

    def poll(self, *, nogil: bool = False) -> None:
        """At the back edge of a loop: let Python do what is due (Ctrl-C, other threads, pending calls), and leave the
        frame at once if that raised an exception. R11 and the flags are lost. Costs about a nanosecond.

        nogil: in a function that runs without the GIL. Needs a frame made with `prologue(polls=True)`."""
        frame = self._frame
        if frame is None or not frame.polls:
            raise AssemblyError("poll() needs a frame: write prologue(polls=True) first", self._origin())
        frame.used = self.calls_back = True
        place = runtime.attention()
        timed = place is None or (nogil and not place.in_thread)
        way = "timed" if timed else "nogil" if nogil else "gil"
        slow = Symbol("poll_slow", runtime.poll_slow(way))
        again, run, back = self.forward(), self.forward(), self.forward()
        self.label(again)
        if place is None or timed:  # look at the clock every 4,096th time
            self.inc(frame.poll_slots[0])
            self.test(Memory(frame.poll_slots[0].address, 2), 0xFFF)
            self.jz(run)
        elif place.in_thread:
            self.mov(r11, frame.poll_slots[0])
            self.test(r11, r11)
            find = self.forward()
            self.jz(find)
            self.test(dword[r11 + place.place], place.mask)
            self.jnz(run)
            frame.cold.append(("find", find, again, slow))
        else:
            self.mov(r11, place.place)
            self.cmp(dword[r11], 0)
            self.jne(run)
        self.label(back)
        frame.cold.append(("timed" if timed else "run", run, back, slow))

    def _write_cold(self, frame: _Frame) -> None:
        """What polls do when it is their time, out of the way of the loop."""
        for what, start, back, slow in frame.cold:
            self.label(start)
            if what == "find":
                self.lea(r11, Memory(frame.poll_slots[0].address))
            elif what == "timed":
                self.lea(r11, Memory(frame.poll_slots[1].address))
            else:
                self.xor(r11d, r11d)
            self.call(slow)
            self.jb(frame.failed)
            self.jmp(back)

    def local(self, i: int, size: int = 8) -> Memory:
        """The i-th local slot of the frame, from 0."""
        frame = self._frame
        if frame is None or not 0 <= i < frame.locals:
            raise AssemblyError(f"there is no local {i} here", self._origin())
        return Memory(rbp - 8 * (len(frame.saves) + 1 + i), size)

    def epilogue(self) -> None:
        """Leave the frame and return. A frame may have several."""
        if self._frame is None:
            raise AssemblyError("there is no frame to leave: write prologue() first", self._origin())
        self._leave(self._frame)

    def _leave(self, frame: _Frame) -> None:
        if frame.saves:
            self.lea(rsp, mem[rbp - 8 * len(frame.saves)])
            for register in reversed(frame.saves):
                self.pop(register)
            self.pop(rbp)
        else:
            self.leave()
        self._mark(unwind.Change("left", "", len(frame.saves)))
        self.ret()
        self._mark(unwind.Change("resumed"))

    def finish_frame(self) -> None:
        """End the function whose frame it is, so that code after it has none. `prologue` and the end do it as well."""
        frame, self._frame = self._frame, None
        if frame is not None:
            self._write_cold(frame)
            if frame.used:
                self.label(frame.failed)
                self.xor(eax, eax)
                self._leave(frame)
            else:
                del self._labels[frame.failed.name]
            self._mark(unwind.Change("begin"))

    def _mark(self, change: unwind.Change) -> None:
        self._fragments.append(_Fragment(b"", ("frame",), self._origin(), frame=change))

    # ------------------------------------------------------------------------------------------------- finishing

    def assemble(self, address: int = 0) -> Assembled:
        """The bytes for an address; code can be added afterwards, and assembled again.
        Errors: AssemblyError at the line of the label or distance that is at fault."""
        self.finish_frame()
        fragments = self._fragments + self._pool_fragments()
        places, chosen = self._place(fragments, address)
        labels = {str(f.text[1]): place for f, place in zip(fragments, places, strict=True) if f.text[0] == "label"}
        out = bytearray()
        lines: list[Line] = []
        changes = []
        for fragment, place, one in zip(fragments, places, chosen, strict=True):
            start = place - address
            if fragment.align:
                out += _padding(start - len(out), self._is_code_before(lines))
            if fragment.frame is not None:
                changes.append((start, fragment.frame))
            if fragment.align or (not one.data and fragment.text[0] != "label"):
                continue
            raw = self._patched(one, place, labels)
            out += raw
            if not str(fragment.text[1] if len(fragment.text) > 1 else "").startswith("."):
                text = _text(fragment, raw)
                lines.append(Line(place, raw, text, *fragment.origin))
        table = unwind.frame_table(changes, len(out))
        shown = {name: where for name, where in labels.items() if not name.startswith(".")}
        return Assembled(address, bytes(out), shown, Listing(tuple(lines)), table)

    @staticmethod
    def _is_code_before(lines: list[Line]) -> bool:
        return bool(lines) and not lines[-1].text.startswith(".data")

    def _pool_fragments(self) -> list[_Fragment]:
        """The constants, the largest alignment first, then the notes for tracebacks."""
        origin = (__file__, 0)
        fragments = [_Fragment(b"", ("align", 64), origin, align=max((a for _, a in self._pool), default=1))]
        for (raw, align), label in sorted(self._pool.items(), key=lambda item: -item[0][1]):
            fragments.append(_Fragment(b"", ("align", align), origin, align=align))
            fragments.append(_Fragment(b"", ("label", label), origin))
            fragments.append(_Fragment(raw, ("data", ".pool"), origin))
        for label, name, file, line in self._notes:
            fragments.append(_Fragment(b"", ("align", 8), origin, align=8))
            fragments.append(_Fragment(b"", ("label", label), origin))
            fixups = (_Fixup(0, 8, target, 0, False) for target in (name, file))
            fragments += [_Fragment(bytes(8), ("data", ".note"), origin, fixup) for fixup in fixups]
            fragments.append(_Fragment(struct.pack("<Q", line), ("data", ".note"), origin))
        return fragments

    def _place(self, fragments: list[_Fragment], address: int) -> tuple[list[int], list[_Fragment]]:
        """Choose short or near for each jump: all short at first, and those that do not reach grow, until all reach."""
        chosen = list(fragments)
        while True:
            places, labels, at = [], {}, address
            for fragment, one in zip(fragments, chosen, strict=True):
                if fragment.align:
                    at = (at + fragment.align - 1) & -fragment.align
                places.append(at)
                if fragment.text[0] == "label":
                    labels[str(fragment.text[1])] = at
                at += len(one.data)
            grown = False
            for i, one in enumerate(chosen):
                if one.near is None or one.fixup is None:
                    continue
                target = self._target(one.fixup.target, labels, one.origin)
                if not -128 <= target - places[i] - len(one.data) < 128:
                    chosen[i] = one.near
                    grown = True
            if not grown:
                return places, chosen

    @staticmethod
    def _target(target: Label | str | int, labels: Mapping[str, int], origin: tuple[str, int]) -> int:
        if isinstance(target, int):
            return target
        place = labels.get(str(target))
        if place is None:
            raise AssemblyError(f"the label {str(target)!r} is used and never placed", origin)
        return place

    def _patched(self, one: _Fragment, place: int, labels: Mapping[str, int]) -> bytes:
        fixup = one.fixup
        if fixup is None:
            return one.data
        value = self._target(fixup.target, labels, one.origin) + fixup.addend
        if fixup.relative:
            value -= place + len(one.data)
        elif fixup.start is not None:
            value -= self._target(fixup.start, labels, one.origin)
        bits = 8 * fixup.width
        low, high = -(1 << (bits - 1)), 1 << (bits - 1 if fixup.relative or fixup.start is not None else bits)
        if not low <= value < high:
            message = f"the distance to {fixup.target} is {value}, which does not fit {bits} bits"
            raise AssemblyError(message, one.origin)
        field_bytes = (value & ((1 << bits) - 1)).to_bytes(fixup.width, "little")
        return one.data[: fixup.at] + field_bytes + one.data[fixup.at + fixup.width :]

    @property
    def listing(self) -> Listing:
        """The listing, as if the code began at address 0."""
        return self.assemble().listing

    def load(self, memory: CodeMemory | None = None) -> Code:
        """Put the code into code memory.
        Errors: AssemblyError, CodeMemoryFull."""
        memory = memory or code_memory()
        self.finish_frame()
        fragments = self._fragments + self._pool_fragments()
        alignment = max(16, *(fragment.align for fragment in fragments), 16)
        longest = sum(max(len(f.data), len(f.near.data) if f.near else 0) + f.align for f in fragments)
        changes = sum(fragment.frame is not None for fragment in fragments)
        block = memory.allocate(longest + unwind.room(changes), alignment)
        made = self.assemble(block.address)
        table = (len(made.data) + 15) & -16
        block.write(0, made.data + bytes(table - len(made.data)) + made.unwinding)
        keep = [unwind.register(block.address + table, block), *self._keep]
        if debug.enabled():
            lines = [(line.address, line.file, line.line) for line in made.listing.lines if line.data]
            frames = (block.address + table, made.unwinding)
            keep.append(debug.announce(self.name, block.address, len(made.data), lines, frames))
        return Code(block, made.labels, made.listing, tuple(keep), tuple(self._uses))

    def function(
        self,
        signature: str,
        *,
        name: str | None = None,
        doc: str | None = None,
        module: str | None = None,
        entry: str | Label | None = None,
        nogil: bool = False,
        memory: CodeMemory | None = None,
    ) -> BuiltinFunctionType:
        """A builtin that checks and converts its arguments and runs the code, from its start or from the label `entry`.

        The signature is `result(name: type, ...)`; the types are in functions.py. `module` defaults to the caller's.
        Errors: AssemblyError; SignatureError."""
        from tracklayer.native.functions import native_function

        if module is None:
            module = sys._getframe(1).f_globals.get("__name__")
        code = self.load(memory)
        address = code.address if entry is None else code.labels[str(entry)]
        return native_function(
            address,
            signature,
            name=name or (str(entry) if entry is not None else self.name),
            doc=doc,
            module=module,
            keep=(code.block, *code.keep),
            uses=code.uses,
            nogil=nogil,
            calls_back=self.calls_back,
            short=self._short() if entry is None else b"",
            memory=memory,
        )

    def _short(self) -> bytes:
        """All of the code but the return at its end, if that is little, runs anywhere, and leaves the stack alone."""
        code = [one for one in self._fragments if one.data or one.align]
        if not code or self._pool or any(not one.is_code or one.fixup or one.near or one.align for one in code):
            return b""
        *body, last = code
        text = "\n".join(f"{one.text[0]} {one.text[1]}" for one in body)
        used = re.search("^(push|pop|call|ret|iret|enter|leave|sys|int|j|loop)|sp", text, re.MULTILINE)
        data = b"".join(one.data for one in body)
        from tracklayer.native.functions import SHORT

        return data if last.data == b"\xc3" and not used and len(data) <= SHORT else b""


@dataclass(frozen=True, slots=True)
class CallbackSymbol(Symbol):
    """A callback, which has two addresses: for callers that look at the carry flag, and for those that do not."""

    unchecked: int = 0

    __repr__ = Symbol.__repr__


@dataclass(slots=True)
class _Frame:
    """The frame that is being written."""

    saves: tuple[Register, ...]
    locals: int
    failed: Label
    used: bool = False
    polls: bool = False
    cold: list[tuple[str, Label, Label, Symbol]] = field(default_factory=list)

    @property
    def poll_slots(self) -> tuple[Memory, Memory]:
        """The words that `poll` keeps: the thread's state or a count, and a time."""
        above = len(self.saves) + self.locals
        return Memory(rbp - 8 * (above + 1), 8), Memory(rbp - 8 * (above + 2), 8)


def _replaced(fragment: _Fragment, origin: tuple[str, int]) -> _Fragment:
    return _Fragment(fragment.data, fragment.text, origin, fragment.fixup, is_code=True)


# Multi-byte no-operations. Source: Intel SDM, "NOP", Recommended Multi-Byte Sequence of NOP Instruction.
_NOPS = tuple(
    bytes.fromhex(text)
    for text in (
        "",
        "90",
        "6690",
        "0f1f00",
        "0f1f4000",
        "0f1f440000",
        "660f1f440000",
        "0f1f8000000000",
        "0f1f840000000000",
        "660f1f840000000000",
    )
)


def _padding(size: int, is_code: bool) -> bytes:
    if not is_code:
        return bytes(size)
    return _NOPS[9] * (size // 9) + _NOPS[size % 9]


def _text(fragment: _Fragment, raw: bytes) -> str:
    match fragment.text[0]:
        case "label":
            return f"{fragment.text[1]}:"
        case "data":
            return f".data {len(raw)}"
        case mnemonic:
            operands: Any = fragment.text[1]
            options: Any = fragment.text[2]
            shown = ", ".join(map(str, operands))
            words = "".join(f" {{{key}{'' if value is True else f' {value}'}}}" for key, value in options.items())
            return f"{mnemonic} {shown}".strip() + words


_C_FUNCTION_TYPE: Any = ctypes.CFUNCTYPE(None).__mro__[1]

__all__ = ["Assembled", "Assembler", "AssemblyError", "Code", "Distance", "Label", "Line", "Listing"]
