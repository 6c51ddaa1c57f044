"""Conversions between objects and native values, as code.

For:     `Adapter`: an object in, a native value out, and the other way round; buffers; several results as one object.
Not for: when that happens (entries.py, callback_code.py); the frame (frames.py).
"""

from __future__ import annotations

from typing import Any

from tracklayer.native.frames import (
    FLOAT_VALUE,
    LONG_DIGIT,
    LONG_TAG,
    NEW_INTS,
    OB_TYPE,
    STRUCT_ADDRESS,
    TEMPORARY,
    TP_CALL,
    TUPLE_ITEMS,
    Framed,
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBUF_WRITABLE,
    low_half,
)
from tracklayer.native.operands import REGISTERS as _R
from tracklayer.native.operands import (
    Label,
    Memory,
    Operand,
    Register,
    al,
    ax,
    dword,
    eax,
    ecx,
    edx,
    mem,
    qword,
    r8,
    rax,
    rcx,
    rdx,
    xmm0,
)
from tracklayer.native.signatures import Type
from tracklayer.native.templates import SMALL_INTS, small_ints


class Adapter(Framed):
    """An assembler with the pieces that both directions need."""

    def small_int(self, source: Register, slow: Label, *, signed: bool) -> None:
        """The value of the int `source` into RAX if it is exactly an int of one digit, else to `slow`. Uses RCX,
        RDX."""
        self.mov(rax, qword[source + OB_TYPE])
        self.cmp(rax, self.object_at("PyLong_Type"))
        self.jne(slow)
        self.mov(rcx, qword[source + LONG_TAG])
        if NEW_INTS:  # tag: digits << 3 | 0 positive, 1 zero, 2 negative
            self.cmp(rcx, 16 if signed else 10)
            self.jae(slow)
            self.mov(eax, dword[source + LONG_DIGIT])
            if signed:
                self.and_(ecx, 3)
                self.mov(edx, 1)
                self.sub(rdx, rcx)
                self.imul(rax, rdx)
            # Unsigned: the tag is 8 (one digit) or 1 (zero, whose digit is 0); from 10 on negative or long.
        else:
            self.lea(rdx, mem[rcx + 1])
            self.cmp(rdx, 2)
            self.ja(slow)
            if not signed:
                self.test(rcx, rcx)
                self.js(slow)
            self.mov(eax, dword[source + LONG_DIGIT])
            self.imul(rax, rcx)

    def to_native(self, kind: Type, source: Operand, target: Memory, refused: Label) -> None:
        """Convert the object in `source` (memory or RBX, which calls keep) and store it; to `refused` if that cannot
        be, maybe with an exception set."""
        match kind.kind:
            case "object":
                self.mov(rax, source)
                self.mov(target, rax)
            case "float":
                self._to_float(kind, source, target, refused)
            case "bool":
                self._to_bool(source, target, refused)
            case "callable":
                self.mov(rax, source)
                self.mov(target, rax)
                self.mov(rax, qword[rax + OB_TYPE])
                self.cmp(qword[rax + TP_CALL], 0)
                self.je(refused)
            case "struct":
                self._to_struct(source, target, refused)
            case _:
                self._to_int(kind, source, target, refused)

    def _to_int(self, kind: Type, source: Operand, target: Memory, refused: Label) -> None:
        slow, have, store = self.forward(), self.forward(), self.forward()
        self.mov(r8, source)
        self.small_int(r8, slow, signed=kind.signed)
        self.label(have)
        if kind.size < 8:
            if kind.signed:
                narrow = {1: al, 2: ax, 4: eax}[kind.size]
                (self.movsxd if kind.size == 4 else self.movsx)(rcx, narrow)
                self.cmp(rcx, rax)
                self.jne(refused)
            else:
                self.mov(rcx, rax)
                self.shr(rcx, 8 * kind.size)
                self.jnz(refused)
        self.label(store)
        self.mov(target, rax)

        def convert() -> None:
            self.label(slow)
            if kind.kind == "ptr":
                self.xor(eax, eax)
                self.cmp(r8, self.object_at("_Py_NoneStruct"))
                self.je(store)
            self.before_slow()
            self.mov(self.regs[0], source)
            self.py("PyNumber_Index")
            self.test(rax, rax)
            self.jz(refused)
            self.mov(TEMPORARY[2], rax)
            self.mov(self.regs[0], rax)
            self.py("PyLong_AsLongLong" if kind.signed else "PyLong_AsUnsignedLongLong")
            self.mov(TEMPORARY[1], rax)
            self.mov(self.regs[0], TEMPORARY[2])
            self.py("Py_DecRef")
            self.mov(rax, TEMPORARY[1])
            self.cmp(rax, -1)
            self.jne(have)
            self.py("PyErr_Occurred")
            self.test(rax, rax)
            self.mov(rax, TEMPORARY[1])
            self.jz(have)
            self.jmp(refused)

        self.cold(convert)

    def _to_float(self, kind: Type, source: Operand, target: Memory, refused: Label) -> None:
        slow, have = self.forward(), self.forward()
        self.mov(r8, source)
        self.mov(rax, qword[r8 + OB_TYPE])
        self.cmp(rax, self.object_at("PyFloat_Type"))
        self.jne(slow)
        self.movsd(xmm0, qword[r8 + FLOAT_VALUE])
        self.label(have)
        if kind.size == 4:
            self.cvtsd2ss(xmm0, xmm0)
        self.movsd(target, xmm0)

        def convert() -> None:
            self.label(slow)
            self.before_slow()
            self.mov(self.regs[0], source)
            self.py("PyFloat_AsDouble")
            self.ucomisd(xmm0, self.constant(-1.0))
            self.jne(have)
            self.jp(have)
            self.movsd(target, xmm0)
            self.py("PyErr_Occurred")
            self.movsd(xmm0, target)
            self.test(rax, rax)
            self.jz(have)
            self.jmp(refused)

        self.cold(convert)

    def _to_bool(self, source: Operand, target: Memory, refused: Label) -> None:
        slow, store = self.forward(), self.forward()
        self.mov(r8, source)
        self.mov(eax, 1)
        self.cmp(r8, self.object_at("_Py_TrueStruct"))
        self.je(store)
        self.xor(eax, eax)
        self.cmp(r8, self.object_at("_Py_FalseStruct"))
        self.jne(slow)
        self.label(store)
        self.mov(target, rax)

        def ask() -> None:
            self.label(slow)
            self.before_slow()
            self.mov(self.regs[0], source)
            self.py("PyObject_IsTrue")
            self.test(eax, eax)
            self.js(refused)
            self.jmp(store)

        self.cold(ask)

    def _to_struct(self, source: Operand, target: Memory, refused: Label) -> None:
        slow, have = self.forward(), self.forward()
        self.structs.append(f"struct {len(self.structs)}")
        wanted = self.slot(self.structs[-1])
        self.mov(r8, source)
        self.mov(rax, qword[r8 + OB_TYPE])
        self.cmp(rax, wanted)
        self.jne(slow)
        self.label(have)
        self.mov(rax, qword[r8 + STRUCT_ADDRESS])
        self.mov(target, rax)

        def ask() -> None:
            self.label(slow)
            self.mov(self.regs[0], rax)
            self.mov(self.regs[1], wanted)
            self.py("PyType_IsSubtype")
            self.mov(r8, source)
            self.test(eax, eax)
            self.jnz(have)
            self.jmp(refused)

        self.cold(ask)

    def before_slow(self) -> None:
        """What to do before a conversion that may run Python code. Entries refuse to overrun the stack here, if they
        did not before."""

    def to_python(self, kind: Type, source: Memory) -> None:
        """The native value in memory as a new reference in RAX (null: an exception is set)."""
        first = self.regs[0]
        match kind.kind:
            case "int":
                self._extend(kind, first, source)
                slow, ready = self.forward(), self.forward()
                self.ready_int(first, slow, signed=kind.signed)
                self.jmp(ready)
                self.label(slow)
                self.py("PyLong_FromLongLong" if kind.signed or kind.size < 8 else "PyLong_FromUnsignedLongLong")
                self.label(ready)
            case "ptr":
                self.mov(first, source)
                self.py("PyLong_FromUnsignedLongLong")
            case "float":
                if kind.size == 4:
                    self.cvtss2sd(xmm0, dword[source.address])
                else:
                    self.movsd(xmm0, source)
                self.py("PyFloat_FromDouble")
            case "bool":
                false = self.forward()
                self.cmp(Memory(source.address, 1), 0)
                self.mov(rax, self.object_at("_Py_FalseStruct"))
                self.je(false)
                self.mov(rax, self.object_at("_Py_TrueStruct"))
                self.label(false)
                self.incref_constant()
            case _:  # object: a new reference already
                self.mov(rax, source)

    def ready_int(self, value: Register, slow: Label, *, signed: bool) -> None:
        """If CPython keeps the int of that value, a new reference to it in RAX; else on to `slow`, RAX lost.

        A call of PyLong_FromLongLong takes 2 ns, which is a quarter of what an empty function takes."""
        zero = small_ints()
        if not zero:
            self.jmp(slow)
            return
        low, high = SMALL_INTS[0] if signed else 0, SMALL_INTS[1]
        self.lea(rax, mem[value - low])
        self.cmp(rax, high - low)
        self.ja(slow)
        self.shl(eax, 5)
        self.add(rax, self.slot("small ints from -5" if signed else "small ints from 0"))
        self.incref_constant()

    def _extend(self, kind: Type, register: Register, source: Memory) -> None:
        """A narrow integer to 64 bits. C leaves the upper half of a register undefined."""
        narrow = Memory(source.address, kind.size)
        if kind.size == 8:
            self.mov(register, source)
        elif kind.signed:
            (self.movsxd if kind.size == 4 else self.movsx)(register, narrow)
        elif kind.size == 4:
            self.mov(_R["e" + register.name[1:]] if not register.name[1].isdigit() else _R[register.name + "d"], narrow)
        else:
            self.movzx(register, narrow)


def acquire_buffer(
    a: Adapter, kind: Type, source: Memory, view: Any, address: Memory, length: Memory, refused: Label
) -> None:
    """Get the buffer of an object, check its elements, and store where it is and how long."""
    flags = (PyBUF_FORMAT | PyBUF_C_CONTIGUOUS if kind.codes else 0) | (PyBUF_WRITABLE if kind.writable else 0)
    a.mov(a.regs[0], source)
    a.lea(a.regs[1], mem[view])
    a.mov(low_half(a.regs[2]), flags)
    a.py("PyObject_GetBuffer")
    a.test(eax, eax)
    a.jnz(refused)
    if kind.codes:
        wrong, same, plain = a.forward(), a.forward(), a.forward()
        a.cmp(qword[view + 24], kind.size)  # itemsize
        a.jne(wrong)
        a.mov(rcx, qword[view + 40])  # format: null means unsigned bytes
        if "B" in kind.codes:
            a.test(rcx, rcx)
            a.jz(same)
        else:
            a.test(rcx, rcx)
            a.jz(wrong)
        a.movzx(eax, Memory((rcx + 0), 1))
        for native in "@=<":
            a.cmp(al, ord(native))
            a.je(plain)
        checked = a.label()
        for code in kind.codes:
            a.cmp(al, ord(code))
            a.je(same) if code != kind.codes[-1] else a.jne(wrong)
        a.label(same)

        def unprefixed() -> None:
            a.label(plain)
            a.inc(rcx)
            a.movzx(eax, Memory((rcx + 0), 1))
            a.jmp(checked)
            a.label(wrong)
            a.lea(a.regs[0], mem[view])
            a.py("PyBuffer_Release")
            a.jmp(refused)

        a.cold(unprefixed)
    a.mov(rax, qword[view])
    a.mov(address, rax)
    a.mov(rax, qword[view + 16])
    if kind.size > 1:
        a.shr(rax, kind.size.bit_length() - 1)
    a.mov(length, rax)


def return_results(a: Adapter, results: tuple[Type, ...], place: list[Memory], fail: Label) -> None:
    """The results as one object in RAX."""
    if not results:
        a.mov(rax, a.object_at("_Py_NoneStruct"))
        a.incref_constant()
        return
    a.to_python(results[0], place[0])
    if len(results) == 1:
        return
    lost = a.forward()
    a.test(rax, rax)
    a.jz(fail)
    a.mov(TEMPORARY[0], rax)
    a.to_python(results[1], place[1])
    a.mov(TEMPORARY[1], rax)
    a.test(rax, rax)
    a.jz(lost)
    a.mov(low_half(a.regs[0]), 2)
    a.py("PyTuple_New")
    a.test(rax, rax)
    a.jz(lost)
    for i in range(2):
        a.mov(rcx, TEMPORARY[i])
        a.mov(qword[rax + TUPLE_ITEMS + 8 * i], rcx)

    def drop() -> None:
        a.label(lost)
        a.mov(a.regs[0], TEMPORARY[0])
        a.py("Py_DecRef")
        a.mov(a.regs[0], TEMPORARY[1])
        a.test(a.regs[0], a.regs[0])
        a.jz(fail)
        a.py("Py_DecRef")
        a.jmp(fail)

    a.cold(drop)
