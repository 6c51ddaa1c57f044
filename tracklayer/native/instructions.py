"""Instructions: what is written between the labels of x86-64 source text, and who it calls.

For:       `Instructions`: every mnemonic as a method, data, constants, calls of C functions and callbacks, references.
Not for:   encodings (encoding.py), frames (framing.py), places (placing.py).
Invariant: behind each call of a callback stands a note that says from which line it was made, for tracebacks.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tracklayer.native.capi import python_api
from tracklayer.native.encoding import encode
from tracklayer.native.forms import FormError, Options
from tracklayer.native.operands import (
    Address,
    Label,
    Memory,
    Operand,
    OperandError,
    Register,
    Symbol,
    dword,
    qword,
    r8,
    r9,
    r11d,
    rbp,
    rcx,
    rdi,
    rdx,
    rsi,
)
from tracklayer.native.placing import Fixup, Fragment
from tracklayer.native.source import AssemblyError, Distance, Origin, Source, bytes_of

_C_FUNCTION_TYPE: Any = ctypes.CFUNCTYPE(None).__mro__[1]


@dataclass(frozen=True, slots=True)
class CallbackSymbol(Symbol):
    """A callback, which has two addresses: for callers that look at the carry flag, and for those that do not."""

    unchecked: int = 0

    __repr__ = Symbol.__repr__


@dataclass(slots=True)
class Frame:
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


class Instructions(Source):
    """The instructions and data that are written so far. `Assembler` is the whole of it."""

    def __init__(self, name: str = "code", *, abi: str | None = None) -> None:
        super().__init__(name)
        self.abi = abi or ("win64" if sys.platform == "win32" else "sysv")
        if self.abi not in ("sysv", "win64"):
            raise ValueError(f"the calling conventions are sysv and win64, not {self.abi!r}")
        self._fragments: list[Fragment] = []
        self._frame: Frame | None = None
        self._notes: list[tuple[Label, Label, Label, int]] = []

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
            Fragment(one.data, text, origin, self._fixup(one.data, one.relative, one.displacement, given), is_code=True)
            for one in encodings
        ]
        if len(fragments) == 1 or not fragments[0].fixup:
            self._fragments.append(fragments[0])
        else:
            short, near = fragments
            self._fragments.append(Fragment(short.data, text, origin, short.fixup, near, is_code=True))

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
    def _fixup(data: bytes, relative: int, displacement: int, operands: tuple[Operand, ...]) -> Fixup | None:
        for operand in operands:
            if isinstance(operand, Memory) and operand.address.label is not None:
                return Fixup(displacement, 4, operand.address.label, operand.address.displacement, True)
            if relative and isinstance(operand, Label | str | int):
                return Fixup(len(data) - relative, relative, operand, 0, True)
        return None

    def _far(self, mnemonic: str, target: Any, origin: Origin) -> None:
        """Call or jump to something outside, which may be anywhere: over an address in the pool."""
        symbol = target if isinstance(target, Symbol) else self.c_function(target)
        address = symbol.address
        if isinstance(symbol, CallbackSymbol) and (self._frame is None or mnemonic == "jmp"):
            address = symbol.unchecked
        slot = self._constant(struct.pack("<Q", address), 8)
        one = encode(mnemonic, (qword[slot],))[0]
        fixup = Fixup(one.displacement, 4, slot, 0, True)
        self._fragments.append(Fragment(one.data, (mnemonic, (symbol,), {}), origin, fixup, is_code=True))
        if isinstance(symbol, CallbackSymbol):
            self.calls_back = True
            if mnemonic == "call":
                self._after_callback(origin)

    def _after_callback(self, origin: Origin) -> None:
        """Behind a call of a callback: a no-operation that says where we are (for tracebacks), then the way out.

        The callback sets the carry flag if it failed. In a function with a prologue we leave at once; in one without
        the exception waits until the function returns to Python."""
        note = self._constant_note(origin)
        # nop dword ptr [rax + rax + disp32]: 0F 1F 84 00, then the distance from its end to the note.
        fixup = Fixup(4, 4, note, 0, True)
        self._fragments.append(Fragment(b"\x0f\x1f\x84\x00\0\0\0\0", ("nop", (), {}), origin, fixup, is_code=True))
        if self._frame is not None:
            self._emit_at(origin, "jb", self._frame.failed)
            self._frame.used = True

    def _constant_note(self, origin: Origin) -> Label:
        """Who calls from where, for a traceback: two pointers to texts, and the line."""
        name = self._constant(self.name.encode() + b"\0", 1)
        file = self._constant(origin[0].encode() + b"\0", 1)
        label = self.forward(f".note{self._next()}")
        self._notes.append((label, name, file, origin[1]))
        return label

    def _emit_at(self, origin: Origin, mnemonic: str, *operands: Any) -> None:
        self.emit(mnemonic, *operands)
        last = self._fragments[-1]
        self._fragments[-1] = replace(last, origin=origin, near=last.near and replace(last.near, origin=origin))

    # ------------------------------------------------------------------------------------------------ labels and data

    def _place_label(self, label: Label, origin: Origin) -> None:
        label.fragment = len(self._fragments)
        self._fragments.append(Fragment(b"", ("label", label), origin))

    def _put(self, raw: bytes, origin: Origin) -> None:
        self._fragments.append(Fragment(raw, ("data",), origin))

    def _put_address(self, target: Label | str, origin: Origin) -> None:
        self._fragments.append(Fragment(bytes(8), ("data",), origin, Fixup(0, 8, target, 0, False)))

    def _put_distance(self, distance: Distance, width: int, origin: Origin) -> None:
        fixup = Fixup(0, width, distance.to, 0, False, distance.start)
        self._fragments.append(Fragment(bytes(width), ("data",), origin, fixup))

    def align(self, multiple: int) -> None:
        """Go on at the next multiple of a power of two, with long no-operations between."""
        if multiple <= 0 or multiple & (multiple - 1) or multiple > 4096:
            raise AssemblyError(f"cannot align to {multiple}: a power of two up to 4096", self._origin())
        self._fragments.append(Fragment(b"", ("align", multiple), self._origin(), align=multiple))

    def constant(self, value: bytes | int | float, size: int = 8) -> Memory:
        """A memory operand that holds a value, kept behind the code; equal constants are one."""
        raw = bytes_of(value, size)
        size = len(raw) if len(raw) in (1, 2, 4, 8, 16, 32, 64) else 0
        return Memory(Address(label=self._constant(raw, size or 1)), size)

    # -------------------------------------------------------------------------------------- calls and references

    def argument(self, i: int) -> Register:
        """The register in which the i-th integer argument arrives (and is passed to others), from 0."""
        registers = (rdi, rsi, rdx, rcx, r8, r9) if self.abi == "sysv" else (rcx, rdx, r8, r9)
        if not 0 <= i < len(registers):
            message = f"argument {i} is on the stack: {self.abi} has {len(registers)} in registers"
            raise AssemblyError(message, self._origin())
        return registers[i]

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
