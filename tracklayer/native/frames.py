"""The frame that every adapter has, and the pieces of code that need nothing but it.

For:     `Framed`: slots that each copy fills in, cold code, references, explaining an error, the stack's depth.
Not for: converting values (conversions.py); whole adapters (entries.py, callback_code.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tracklayer.native import runtime
from tracklayer.native.assembler import Assembler
from tracklayer.native.operands import REGISTERS as _R
from tracklayer.native.operands import (
    Label,
    Memory,
    Register,
    dword,
    eax,
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
)
from tracklayer.native.refusals import DEPTH
from tracklayer.native.unwind import Change

OB_TYPE = 8
TP_CALL = 128
STRUCT_ADDRESS = 16
LONG_TAG, LONG_DIGIT = 16, 24
FLOAT_VALUE = 16
TUPLE_SIZE, TUPLE_ITEMS = 16, 24
BUFFER_SIZE = 80
"""Layout of CPython's objects, 64-bit release builds: Include/cpython/longintrepr.h, floatobject.h, tupleobject.h,
Include/object.h, Include/cpython/object.h; Modules/_ctypes/ctypes.h."""
NEW_INTS = sys.version_info >= (3, 12)
"""3.12: an int's size and sign are a tag (digits << 3 | sign); before, a signed number of digits. Objects became
immortal."""
PyBUF_WRITABLE, PyBUF_FORMAT, PyBUF_C_CONTIGUOUS = 0x1, 0x4, 0x38
VECTORCALL_OFFSET = 1 << 63


TEMPORARY = (qword[rbp - 16], qword[rbp - 24], qword[rbp - 32])
"""Words in every adapter's frame that hold something over a call, in slow paths."""
SAVED = 32
"""RBX and the temporaries: what lies between RBP and the rest of an adapter's frame."""


def low_half(register: Register) -> Register:
    """The lower 32 bits of a 64-bit register."""
    name = register.name
    return _R[name + "d"] if name[1:].isdigit() else _R["e" + name[1:]]


class Framed(Assembler):
    """An assembler with a frame. Cold code is collected and put behind the rest.

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
        if NEW_INTS:
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
        if not NEW_INTS:
            self.inc(qword[rax])

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
        self.xor(low_half(self.regs[3]), low_half(self.regs[3]))
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


def check_stack(a: Framed, fail: Label) -> None:
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
