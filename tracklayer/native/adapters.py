"""Adapters: the code between CPython's calls and native code, in both directions, for each shape of signature.

For:       `Entry`, a METH_FASTCALL function that converts its arguments, calls a body, and converts its result;
           `callback_adapter`, a C function that makes objects of its arguments and calls Python.
Not for:   signatures, and copies of adapters for functions (functions.py). This module needs the assembler; who finds
           his adapters on the disk needs neither.
Invariant: on every way out, every buffer is released, every reference given back, and the GIL held again. An adapter
           runs at any address and in any process once its slots are filled in.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from tracklayer.native import runtime
from tracklayer.native.assembler import Assembler
from tracklayer.native.calls import python_api
from tracklayer.native.functions import (
    COUNT,
    DEPTH,
    FIRST,
    PAIR,
    RESULT,
    SCALARS,
    SECOND,
    SHORT,
    SMALL_INTS,
    VOID,
    Parameter,
    Signature,
    SignatureError,
    Type,
    Way,
    small_ints,
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
    fs,
    mem,
    qword,
    r8,
    r9,
    r10,
    rax,
    rbp,
    rbx,
    rcx,
    rdi,
    rdx,
    rsi,
    rsp,
    xmm0,
    xmm1,
)
from tracklayer.native.unwind import Change

_OBJECT = Parameter("", SCALARS["object"])
_LIMIT = Parameter("", Type("limit", "limit"))
"""A first argument of the body that no argument of the builtin stands for; see Way."""
_OB_TYPE = 8
_TP_CALL = 128
_STRUCT_ADDRESS = 16
_LONG_TAG, _LONG_DIGIT = 16, 24
_FLOAT_VALUE = 16
_TUPLE_SIZE, _TUPLE_ITEMS = 16, 24
_BUFFER_SIZE = 80
"""Layout of CPython's objects, 64-bit release builds: Include/cpython/longintrepr.h, floatobject.h, tupleobject.h,
Include/object.h, Include/cpython/object.h; Modules/_ctypes/ctypes.h."""
_NEW_INTS = sys.version_info >= (3, 12)
"""3.12: an int's size and sign are a tag (digits << 3 | sign); before, a signed number of digits. Objects became
immortal."""
_PyBUF_WRITABLE, _PyBUF_FORMAT, _PyBUF_C_CONTIGUOUS = 0x1, 0x4, 0x38
_VECTORCALL_OFFSET = 1 << 63


class Adapter(Assembler):
    """An assembler with the pieces that both directions need. Cold code is collected and put behind the rest.

    Addresses that differ between functions of one shape are slots in the code's data, filled in for each copy."""

    def __init__(self, name: str, abi: str | None = None) -> None:
        super().__init__(name, abi=abi)
        self._cold: list[Callable[[], None]] = []
        self.filled: list[str] = []
        self.structs: list[str] = []
        """The slots for the structures of parameters, in order."""
        self.regs = (rdi, rsi, rdx, rcx, r8, r9) if self.abi == "sysv" else (rcx, rdx, r8, r9)
        self.shadow = 0 if self.abi == "sysv" else 32

    def py(self, name: str) -> None:
        """Call a function of the C API."""
        self.call(self.object_at(name))

    def object_at(self, name: str) -> Memory:
        """The address of a C-API function or object, in memory."""
        return self.slot(f"api {name}")

    def slot(self, name: str) -> Memory:
        """A word that each copy of this code fills in: by name with what `_common` knows, or for itself."""
        if name not in self.filled:
            self.filled.append(name)
        return qword[f"slot {name}"]

    def cold(self, write: Callable[[], None]) -> None:
        """Write this later, out of the way."""
        self._cold.append(write)

    def finish(self) -> None:
        """Write what was put off, and the slots."""
        while self._cold:
            self._cold.pop(0)()
        self.finish_frame()
        self.align(8)
        for name in self.filled:
            self.label(f"slot {name}")
            self.dq(0)

    def decref(self, register: Register) -> None:
        """Give a reference back. `register` is not RAX, which is lost."""
        done, last = self.forward(), self.forward()
        if _NEW_INTS:
            self.mov(eax, dword[register])
            self.test(eax, eax)
            self.js(done)  # immortal
        self.dec(qword[register])
        self.jz(last)
        self.label(done)

        def destroy() -> None:
            self.label(last)
            if register != self.regs[0]:
                self.mov(self.regs[0], register)
            self.py("_Py_Dealloc")
            self.jmp(done)

        self.cold(destroy)

    def incref_constant(self) -> None:
        """Take a reference to the constant in RAX (None, True, False), which newer versions do not count."""
        if not _NEW_INTS:
            self.inc(qword[rax])

    def small_int(self, source: Register, slow: Label, *, signed: bool) -> None:
        """The value of the int `source` into RAX if it is exactly an int of one digit, else to `slow`. Uses RCX,
        RDX."""
        self.mov(rax, qword[source + _OB_TYPE])
        self.cmp(rax, self.object_at("PyLong_Type"))
        self.jne(slow)
        self.mov(rcx, qword[source + _LONG_TAG])
        if _NEW_INTS:  # tag: digits << 3 | 0 positive, 1 zero, 2 negative
            self.cmp(rcx, 16 if signed else 10)
            self.jae(slow)
            self.mov(eax, dword[source + _LONG_DIGIT])
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
            self.mov(eax, dword[source + _LONG_DIGIT])
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
                self.mov(rax, qword[rax + _OB_TYPE])
                self.cmp(qword[rax + _TP_CALL], 0)
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
        self.mov(rax, qword[r8 + _OB_TYPE])
        self.cmp(rax, self.object_at("PyFloat_Type"))
        self.jne(slow)
        self.movsd(xmm0, qword[r8 + _FLOAT_VALUE])
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
        self.mov(rax, qword[r8 + _OB_TYPE])
        self.cmp(rax, wanted)
        self.jne(slow)
        self.label(have)
        self.mov(rax, qword[r8 + _STRUCT_ADDRESS])
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

    def explain(self, number: int | None = None) -> None:
        """Call the explainer for a number (or the one in the first temporary) and the object in the second. It leaves
        an exception set. The temporaries are lost, but the second."""
        clear, ask, done = self.forward(), self.forward(), self.forward()
        if number is not None:
            self.mov(TEMPORARY[0], number)
        self.py("PyErr_Occurred")
        self.test(rax, rax)
        self.jz(ask)
        # What `__index__` and its like raise themselves passes; what the C API says of the type is said better here.
        for name in ("PyExc_TypeError", "PyExc_OverflowError", "PyExc_BufferError", "PyExc_ValueError"):
            self.mov(self.regs[0], self.object_at(name))
            self.py("PyErr_ExceptionMatches")
            self.test(eax, eax)
            self.jnz(clear)
        self.jmp(done)
        self.label(clear)
        self.py("PyErr_Clear")
        self.label(ask)
        self.mov(self.regs[0], TEMPORARY[0])
        self.py("PyLong_FromLongLong")
        self.test(rax, rax)
        self.jz(done)
        self.mov(TEMPORARY[0], rax)
        self.sub(rsp, 32 + self.shadow)
        self.mov(qword[rsp + self.shadow], rax)
        self.mov(rax, TEMPORARY[1])
        self.mov(qword[rsp + self.shadow + 8], rax)
        self.mov(self.regs[0], self.slot("explainer"))
        self.lea(self.regs[1], mem[rsp + self.shadow])
        self.mov(self.regs[2], 2)
        self.xor(_low(self.regs[3]), _low(self.regs[3]))
        self.py("PyObject_Vectorcall")
        self.add(rsp, 32 + self.shadow)
        self.mov(TEMPORARY[2], rax)
        self.mov(self.regs[0], TEMPORARY[0])
        self.py("Py_DecRef")
        self.mov(self.regs[0], TEMPORARY[2])
        self.test(self.regs[0], self.regs[0])
        self.jz(done)
        self.py("Py_DecRef")  # an object that changed its mind in between: there is no value all the same
        self.mov(self.regs[0], self.object_at("PyExc_SystemError"))
        self.py("PyErr_SetNone")
        self.label(done)

    def enter(self, size: int) -> None:
        """Begin a frame of so many bytes under the saved RBX, three temporaries among them."""
        self._mark(Change("begin"))
        self.push(rbp)
        self._mark(Change("pushed"))
        self.mov(rbp, rsp)
        self._mark(Change("based"))
        self.push(rbx)
        self._mark(Change("saved", "rbx", 24))
        self.sub(rsp, size)

    def restore(self, jump: str | None = None) -> None:
        """Undo `enter` and return, or jump to a function of the C API instead. Flags stay until then."""
        self.mov(rbx, qword[rbp - 8])
        self.leave()
        self._mark(Change("left"))
        if jump is None:
            self.ret()
        else:
            self.jmp(self.object_at(jump))
        self._mark(Change("resumed"))


TEMPORARY = (qword[rbp - 16], qword[rbp - 24], qword[rbp - 32])
"""Words in every adapter's frame that hold something over a call, in slow paths."""
_SAVED = 32
"""RBX and the temporaries: what lies between RBP and the rest of an adapter's frame."""


def _low(register: Register) -> Register:
    """The lower 32 bits of a 64-bit register."""
    name = register.name
    return _R[name + "d"] if name[1:].isdigit() else _R["e" + name[1:]]


class Entry(Adapter):
    """The code of a METH_FASTCALL function that converts its arguments, calls the body, converts its result.

    Frame under RBX and the temporaries: one word for each native argument, two for results, one for the thread's state,
    80 bytes for each buffer, then the body's arguments that go on the stack."""

    def __init__(self, signature: Signature, way: Way, body: str) -> None:
        super().__init__("tracklayer_entry")
        self.signature = signature
        self.body = body
        self.nogil = way.nogil
        self.calls_back = way.calls_back
        self.status = way.status
        self.limit = way.limit
        parameters = signature.parameters
        self.natives = [(p, part) for p in parameters for part in range(p.type.slots)]
        if self.limit:
            self.natives.insert(0, (_LIMIT, 0))
        self.buffers = [i for i, p in enumerate(parameters) if p.type.kind == "buffer"]
        self.integers = [n for n, (p, _) in enumerate(self.natives) if not p.type.is_float]
        self.floats = [n for n, (p, _) in enumerate(self.natives) if p.type.is_float]
        if self.abi == "sysv":
            self.on_stack = sorted(self.integers[6:] + self.floats[8:])
        else:
            self.on_stack = list(range(4, len(self.natives)))
        values = _SAVED + 8 * len(self.natives)
        results = values + 24
        views = results + _BUFFER_SIZE * len(self.buffers)
        outgoing = self.shadow + 8 * len(self.on_stack)
        self.frame_size = ((views + outgoing + 15) & -16) - 8
        self.value = [qword[rbp - _SAVED - 8 * (n + 1)] for n in range(len(self.natives))]
        self.result = [qword[rbp - values - 8], qword[rbp - values - 16]]
        self.thread = qword[rbp - values - 24]
        self.failed = TEMPORARY[0]
        self.view = {i: rbp - results - _BUFFER_SIZE * (n + 1) for n, i in enumerate(self.buffers)}
        self.first = [int(self.limit)] * len(parameters)
        for i in range(1, len(parameters)):
            self.first[i] = self.first[i - 1] + parameters[i - 1].type.slots
        # Only what can call Python can recurse: then look at the stack at once, else before Python runs.
        self.deep = self.calls_back or self.limit or bool(self.buffers)
        self.fail = self.forward("fail")
        self.write()

    @property
    def is_direct(self) -> bool:
        """Nothing is left to do after the body but to convert its result."""
        return not (self.nogil or self.buffers or self.calls_back or len(self.signature.results) > 1)

    def incoming(self, i: int) -> Memory:
        """The i-th object that came in. RBX points to them all."""
        return qword[rbx + 8 * i]

    def write(self) -> None:
        """The hot path, top to bottom."""
        self.label("entry")
        wrong_count = self.forward()
        parameters, results = self.signature.parameters, self.signature.results
        bare = self.is_direct and not (self.status or self.limit or self.on_stack)
        if bare and all(p.type.kind == "object" for p in parameters):
            self._write_bare(wrong_count)
            return
        self.enter(self.frame_size)
        self.cmp(self.regs[2], len(parameters))
        self.jne(wrong_count)
        self.cold(functools.partial(self._refuse_count, wrong_count, framed=True))
        if self.deep:
            _check_stack(self, self.fail)
        if self.limit:
            self._store_limit()
        if parameters:
            self.mov(rbx, self.regs[1])
        # Scalars first: an error in one finds no buffer to release.
        order = [i for i in range(len(parameters)) if i not in self.view] + self.buffers
        refusals = {i: self.forward() for i in order}
        for i in order:
            kind = parameters[i].type
            at = self.first[i]
            if kind.kind == "buffer":
                view, value = self.view[i], self.value
                _acquire(self, kind, self.incoming(i), view, value[at], value[at + 1], refusals[i])
            elif kind.kind != "object":
                self.to_native(kind, self.incoming(i), self.value[at], refusals[i])
        self.cold(functools.partial(self._refuse_arguments, order, refusals))
        if self.nogil:
            self.py("PyEval_SaveThread")
            self.mov(self.thread, rax)
        self._load_arguments()
        self.go_to_body("call")
        if self.is_direct:
            if self.status:
                self.test(rcx, rcx)
                self.jnz(self.fail)
            self._return_directly(results[0] if results else VOID)
            return
        _store_results(self, results, self.result)
        if self.status:
            self.mov(self.failed, rcx)
        if self.nogil:
            self.mov(self.regs[0], self.thread)
            self.py("PyEval_RestoreThread")
        for i in reversed(self.buffers):
            self.lea(self.regs[0], mem[self.view[i]])
            self.py("PyBuffer_Release")
        if self.status:
            self.cmp(self.failed, 0)
            self.jne(self.fail)
        elif self.calls_back:
            _pass_on_errors(self, results, self.result, self.fail)
        _return_results(self, results, self.result, self.fail)
        self.restore()

    def _store_limit(self) -> None:
        """The thread's lowest good stack pointer, while the cell is its own."""
        if self.abi != "sysv" or not runtime.checks_stack():
            self.mov(self.value[0], 0)
            return
        self.mov(r10, self.slot("stack cell"))
        self.mov(rax, qword[r10 + 8])
        self.mov(self.value[0], rax)

    def _write_bare(self, wrong_count: Label) -> None:
        """Objects in, nothing to convert: no frame but for a result that has to be made."""
        parameters, results = self.signature.parameters, self.signature.results
        self.cmp(self.regs[2], len(parameters)) if parameters else self.test(self.regs[2], self.regs[2])
        self.jne(wrong_count)
        if parameters:
            self.mov(rax, self.regs[1])
            for i in range(len(parameters)):
                self.mov(self.regs[i], qword[rax + 8 * i])
        if results and results[0].kind == "object":
            self.go_to_body("jmp")
        else:
            if self.body != "short":  # a push and a pop cost the processor less than a change of RSP by hand
                self.sub(rsp, 8 + self.shadow) if self.shadow else self.push(rax)
                self._mark(Change("depth", "", 16 + self.shadow))
            self.go_to_body("call")
            self._return_directly(results[0] if results else VOID, bare=True)
        self.cold(functools.partial(self._refuse_count, wrong_count, framed=False))

    def go_to_body(self, how: str) -> None:
        """Call the body or jump to it: directly if it is near, the distance filled in for each copy. A short one is
        copied to here."""
        if self.body == "short":
            self.label("short body")
            self.data(bytes(SHORT))
            if how == "jmp":
                self.ret()
        elif self.body == "near":
            self.label("near body")
            self.data(b"\xe8\0\0\0\0" if how == "call" else b"\xe9\0\0\0\0")
        else:
            self.emit(how, self.slot("body"))

    def _load_arguments(self) -> None:
        """Native arguments into the places that the calling convention has for them."""

        def where(n: int) -> Memory:
            parameter, _ = self.natives[n]
            if parameter.type.kind != "object":
                return self.value[n]
            return self.incoming(self.first.index(n))

        for place, n in enumerate(self.on_stack):
            self.mov(rax, where(n))
            self.mov(qword[rsp + self.shadow + 8 * place], rax)
        if self.abi == "sysv":
            for register, n in zip(self.regs, self.integers, strict=False):
                self.mov(register, where(n))
            for k, n in enumerate(self.floats[:8]):
                self.movsd(_R[f"xmm{k}"], self.value[n])
        else:
            for k, (p, _) in enumerate(self.natives[:4]):
                if p.type.is_float:
                    self.movsd(_R[f"xmm{k}"], self.value[k])
                else:
                    self.mov(self.regs[k], where(k))

    def _return_directly(self, kind: Type, bare: bool = False) -> None:
        """The body's result as an object, the last step by a jump."""

        def leave(jump: str | None = None) -> None:
            if not bare:
                self.restore(jump)
                return
            if self.body != "short":
                self._mark(Change("depth", "", 16 + self.shadow))
                self.add(rsp, 8 + self.shadow) if self.shadow else self.pop(rcx)
                self._mark(Change("depth", "", 8))
            if jump is None:
                self.ret()
            else:
                self.jmp(self.object_at(jump))

        first = self.regs[0]
        match kind.kind:
            case "int" | "ptr":
                if kind.size == 8:
                    self.mov(first, rax)
                elif kind.size == 4:
                    self.movsxd(first, eax) if kind.signed else self.mov(_low(first), eax)
                else:
                    narrow = al if kind.size == 1 else ax
                    self.movsx(first, narrow) if kind.signed else self.movzx(first, narrow)
                signed = kind.kind == "int" and (kind.signed or kind.size < 8)
                if kind.kind == "int":
                    slow = self.forward()
                    self.ready_int(first, slow, signed=kind.signed)
                    leave()
                    self.label(slow)
                leave("PyLong_FromLongLong" if signed else "PyLong_FromUnsignedLongLong")
            case "float":
                if kind.size == 4:
                    self.cvtss2sd(xmm0, xmm0)
                leave("PyFloat_FromDouble")
            case "bool":
                false = self.forward()
                self.test(al, al)
                self.mov(rax, self.object_at("_Py_FalseStruct"))
                self.je(false)
                self.mov(rax, self.object_at("_Py_TrueStruct"))
                self.label(false)
                self.incref_constant()
                leave()
            case "void":
                self.mov(rax, self.object_at("_Py_NoneStruct"))
                self.incref_constant()
                leave()
            case _:  # object
                leave()

    def _refuse_count(self, wrong_count: Label, *, framed: bool) -> None:
        self.label(wrong_count)
        if not framed:
            self.enter(self.frame_size)
        self.mov(self.regs[0], self.regs[2])
        self.py("PyLong_FromLongLong")
        self.test(rax, rax)
        self.jz(self.fail)
        self.mov(TEMPORARY[1], rax)
        self.explain(COUNT)
        self.mov(self.regs[0], TEMPORARY[1])
        self.py("Py_DecRef")
        if not framed:
            self._write_fail()
        else:
            self.jmp(self.fail)

    def _write_fail(self) -> None:
        self.label(self.fail)
        self.xor(eax, eax)
        self.restore()

    def _refuse_arguments(self, order: list[int], refusals: dict[int, Label]) -> None:
        refuse = self.forward()
        for n, i in enumerate(order):
            self.label(refusals[i])
            held = [b for b in self.buffers if b in order[:n]]
            self.mov(TEMPORARY[0], i)
            if not held:
                self.jmp(refuse)
                continue
            # Explain first, while the object is at hand, then release what was acquired before this one.
            self.mov(rax, self.incoming(i))
            self.mov(TEMPORARY[1], rax)
            self.explain()
            for b in reversed(held):
                self.lea(self.regs[0], mem[self.view[b]])
                self.py("PyBuffer_Release")
            self.jmp(self.fail)
        self.label(refuse)
        self.mov(rax, TEMPORARY[0])
        self.mov(rax, qword[rbx + rax * 8])
        self.mov(TEMPORARY[1], rax)
        self.explain()
        self._write_fail()

    def before_slow(self) -> None:
        if not self.deep:
            _check_stack(self, self.fail)


def _check_stack(a: Adapter, fail: Label) -> None:
    """Refuse to go deeper where the C stack is nearly full."""
    if a.abi != "sysv" or not runtime.checks_stack():
        return
    slow, good = a.forward(), a.forward()
    a.mov(r10, a.slot("stack cell"))
    a.mov(rax, qword[fs, 0])
    a.cmp(rax, qword[r10])
    a.jne(slow)
    a.cmp(rsp, qword[r10 + 8])
    a.jb(slow)
    a.label(good)

    def ask() -> None:
        a.label(slow)
        a.call(a.slot("stack slow"))
        a.test(eax, eax)
        a.jz(good)
        a.mov(rax, a.object_at("_Py_NoneStruct"))
        a.mov(TEMPORARY[1], rax)
        a.explain(DEPTH)
        a.jmp(fail)

    a.cold(ask)


def _acquire(
    a: Adapter, kind: Type, source: Memory, view: Any, address: Memory, length: Memory, refused: Label
) -> None:
    """Get the buffer of an object, check its elements, and store where it is and how long."""
    flags = (_PyBUF_FORMAT | _PyBUF_C_CONTIGUOUS if kind.codes else 0) | (_PyBUF_WRITABLE if kind.writable else 0)
    a.mov(a.regs[0], source)
    a.lea(a.regs[1], mem[view])
    a.mov(_low(a.regs[2]), flags)
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


def _store_results(a: Adapter, results: tuple[Type, ...], place: list[Memory]) -> None:
    """Results from their registers into the frame."""
    integers, floats = [rax, rdx], [xmm0, xmm1]
    for kind, target in zip(results, place, strict=False):
        if kind.is_float:
            a.movsd(target, floats.pop(0))
        else:
            a.mov(target, integers.pop(0))


def _pass_on_errors(a: Adapter, results: tuple[Type, ...], place: list[Memory], fail: Label) -> None:
    """Where a callback failed and the body went on all the same, the exception counts and the results do not."""
    wrong = a.forward()
    a.py("PyErr_Occurred")
    a.test(rax, rax)
    a.jnz(wrong)

    def drop() -> None:
        a.label(wrong)
        for kind, source in zip(results, place, strict=False):
            if kind.kind == "object":
                none = a.forward()
                a.mov(a.regs[0], source)
                a.test(a.regs[0], a.regs[0])
                a.jz(none)
                a.py("Py_DecRef")
                a.label(none)
        a.jmp(fail)

    a.cold(drop)


def _return_results(a: Adapter, results: tuple[Type, ...], place: list[Memory], fail: Label) -> None:
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
    a.mov(_low(a.regs[0]), 2)
    a.py("PyTuple_New")
    a.test(rax, rax)
    a.jz(lost)
    for i in range(2):
        a.mov(rcx, TEMPORARY[i])
        a.mov(qword[rax + _TUPLE_ITEMS + 8 * i], rcx)

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


def callback_adapter(signature: Signature, ensure_gil: bool, abi: str, given: bool = False) -> Adapter:
    """The code of a C function that converts its arguments to objects, calls, and converts the result.

    given: the callable is the first of its arguments.

    Frame under RBX and the temporaries: a word for each native argument, the argument array of the vector call with one
    free word before it, two words for results, and one for the GIL's state."""
    a = Adapter("tracklayer_callback", abi)
    parameters = signature.parameters
    if any(p.type.kind == "buffer" for p in parameters):
        raise SignatureError("a callback has no buffers: pass a ptr and a length")
    n = len(parameters)
    natives = _SAVED + 8 * n
    vector = natives + 8 * (n + 1)
    size = ((vector + 24 + a.shadow + 15) & -16) - 8
    argument = [qword[rbp - vector + 8 * (i + 1)] for i in range(n)]
    native = [
        argument[i] if p.type.kind == "object" else qword[rbp - _SAVED - 8 * (i + 1)] for i, p in enumerate(parameters)
    ]
    result, gil = [qword[rbp - vector - 8], qword[rbp - vector - 16]], dword[rbp - vector - 24]
    owned = [i for i, p in enumerate(parameters) if p.type.kind not in ("object", "bool")]

    all_parameters, all_native = parameters, native
    if given:
        all_parameters, all_native = (_OBJECT, *parameters), [TEMPORARY[0], *native]
    a.label("checked")
    a.enter(size)
    _spill(a, all_parameters, all_native)
    if ensure_gil:
        a.py("PyGILState_Ensure")
        a.mov(gil, eax)
    body = a.label()
    for i, parameter in enumerate(parameters):
        kind = parameter.type
        if kind.kind == "object":
            continue
        if kind.kind == "bool":
            a.cmp(Memory(native[i].address, 1), 0)
            a.mov(rax, a.object_at("_Py_FalseStruct"))
            a.mov(rcx, a.object_at("_Py_TrueStruct"))
            a.cmovne(rax, rcx)
        else:
            a.to_python(kind, native[i])
            a.test(rax, rax)
            a.jz(f"lost {i}")
        a.mov(argument[i], rax)
    a.mov(a.regs[0], TEMPORARY[0] if given else a.slot("callable"))
    a.lea(a.regs[1], mem[rbp - vector + 8])
    a.mov(a.regs[2], _VECTORCALL_OFFSET | n)
    a.xor(_low(a.regs[3]), _low(a.regs[3]))
    a.py("PyObject_Vectorcall")
    a.mov(rbx, rax)
    for i in owned:
        a.mov(a.regs[0], argument[i])
        a.decref(a.regs[0])
    failed = a.forward("failed")
    a.test(rbx, rbx)
    a.jz(failed)
    _callback_result(a, signature.results, result, failed)
    if ensure_gil:
        a.mov(_low(a.regs[0]), gil)
        a.py("PyGILState_Release")
    integers, floats = [rax, rdx], [xmm0, xmm1]
    for kind, source in zip(signature.results, result, strict=False):
        if kind.is_float:
            a.movsd(floats.pop(0), source)
        else:
            a.mov(integers.pop(0), source)
    leave = a.forward()
    a.xor(ecx, ecx)  # and so the carry flag
    a.label(leave)
    a.restore()

    def losing() -> None:
        for i in owned:
            a.label(f"lost {i}")
            for j in owned:
                if j < i:
                    a.mov(a.regs[0], argument[j])
                    a.py("Py_DecRef")
            a.jmp(failed)
        a.label(failed)
        _note_traceback(a)
        quiet = a.label()
        if ensure_gil:
            a.mov(_low(a.regs[0]), gil)
            a.py("PyGILState_Release")
        a.xor(eax, eax)
        a.xorps(xmm0, xmm0)
        a.mov(ecx, 1)
        a.stc()
        a.jmp(leave)
        a.align(16)
        a.label("unchecked")
        a.enter(size)
        _spill(a, all_parameters, all_native)
        if ensure_gil:
            a.py("PyGILState_Ensure")
            a.mov(gil, eax)
        a.py("PyErr_Occurred")
        a.test(rax, rax)
        a.jz(body)
        a.jmp(quiet)

    a.cold(losing)
    return a


def _spill(a: Adapter, parameters: tuple[Parameter, ...], native: list[Memory]) -> None:
    """Arguments of a C function from where the calling convention puts them into the frame."""
    integers, floats = list(a.regs), [_R[f"xmm{i}"] for i in range(8 if a.abi == "sysv" else 4)]
    on_stack = 16 + a.shadow
    for i, parameter in enumerate(parameters):
        is_float = parameter.type.is_float
        if a.abi == "win64":
            pool: list[Register] = [floats[i] if is_float else integers[i]] if i < 4 else []
        else:
            pool = floats if is_float else integers
        if pool:
            register = pool.pop(0)
            (a.movsd if is_float else a.mov)(native[i], register)
        else:
            a.mov(rax, qword[rbp + on_stack])
            a.mov(native[i], rax)
            on_stack += 8


def _callback_result(a: Adapter, results: tuple[Type, ...], place: list[Memory], failed: Label) -> None:
    """The object in RBX as native values in `place`, its reference given back."""
    if not results:
        a.decref(rbx)
        return
    refusals: list[tuple[Label, int]] = []
    if len(results) == 2:
        no_pair = a.forward()
        refusals.append((no_pair, PAIR))
        a.mov(rax, qword[rbx + _OB_TYPE])
        a.cmp(rax, a.object_at("PyTuple_Type"))
        a.jne(no_pair)
        a.cmp(qword[rbx + _TUPLE_SIZE], 2)
        a.jne(no_pair)
        sources: list[Operand] = [qword[rbx + _TUPLE_ITEMS], qword[rbx + _TUPLE_ITEMS + 8]]
        numbers = [FIRST, SECOND]
    else:
        sources, numbers = [rbx], [RESULT]
    for kind, source, target, number in zip(results, sources, place, numbers, strict=False):
        if kind.kind != "object":
            refused = a.forward()
            refusals.append((refused, number))
            a.to_native(kind, source, target, refused)
    for kind, source, target in zip(results, sources, place, strict=False):
        if kind.kind == "object":
            a.mov(a.regs[0], source)
            a.mov(target, a.regs[0])
            if len(results) == 2:
                a.py("Py_IncRef")  # the pair's reference goes
    if len(results) == 2 or results[0].kind != "object":
        a.decref(rbx)

    def explain() -> None:
        for refused, number in refusals:
            a.label(refused)
            a.mov(TEMPORARY[1], rbx)
            a.explain(number)
            a.mov(a.regs[0], rbx)
            a.py("Py_DecRef")
            a.jmp(failed)

    a.cold(explain)


def _note_traceback(a: Adapter) -> None:
    """If the caller says behind its call who and where it is (see Assembler), add that to the traceback."""
    if "_PyTraceback_Add" not in python_api():
        return
    silent = a.forward()
    a.mov(rax, qword[rbp + 8])
    a.cmp(dword[rax], 0x00841F0F)
    a.jne(silent)
    a.movsxd(rcx, dword[rax + 4])
    a.lea(rax, mem[rax + rcx + 8])
    name, file, line = a.regs[:3]
    a.mov(name, qword[rax])
    a.mov(file, qword[rax + 8])
    a.mov(_low(line), dword[rax + 16])
    a.py("_PyTraceback_Add")
    a.label(silent)
