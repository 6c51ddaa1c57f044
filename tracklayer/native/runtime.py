"""What generated code needs while it runs, besides Python: how much C stack is left, and whether somebody wants
attention.

For:       the limit of each thread's stack; the flag that signals, other threads and the collector raise; their slow
           sides.
Not for:   the code that asks (functions.py and the compiler write that inline).
Invariant: the answer is for the thread that asks, whatever threads came and went before.

**Stack.** `stack_cell()` is the address of two words: whose limit this is (the thread's control block, `fs:[0]`) and
the lowest address to which its stack pointer may go. Code that holds the GIL compares both; on a mismatch it calls
`stack_slow`, which preserves all argument registers, finds the limit (once for each thread; kept in thread-specific
storage), fills the cell, and answers 0, or 1 if the stack is nearly full. Near the limit a quarter of the stack, at
most 128 KiB, is left for what Python does without asking.

**Attention.** `attention()` says where the interpreter's "eval breaker" is: the flag by which CPython's own loop
learns of signals, of another thread that wants the GIL, of the collector. A generated loop tests it at its back edge
(one load, one branch never taken) and, if it is set, calls a Python function that does nothing: entering it makes
CPython do what is due, so KeyboardInterrupt arrives, and other threads get their turn. Where the flag is differs
between versions; the known place is verified at run time, and where it cannot be, `attention()` is None and loops
count instead.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from tracklayer.native.calls import METH_NOARGS, builtin, python_api
from tracklayer.native.forks import lock_over_forks
from tracklayer.native.memory import Block, code_memory
from tracklayer.native.operands import Symbol

MARGIN = 128 << 10
"""Bytes of stack left at most for what runs between two checks."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Where the flag is: an address, or if `in_thread` an offset into the thread's PyThreadState; and the bits that
    count."""

    place: int
    mask: int
    in_thread: bool


class _Runtime:
    """The cell and the routines, made once for the process."""

    def __init__(self) -> None:
        self.lock = lock_over_forks()
        self._cell = (ctypes.c_uint64 * 8)()
        self.cell = ctypes.addressof(self._cell)
        self._slow: int | None = None
        self._code: Block | None = None
        self._polls: dict[str, int] = {}
        self._attention: Attention | None = None
        self._sought = False

    def stack_slow(self) -> int:
        with self.lock:
            if self._slow is None:
                self._slow = self._assemble()
            return self._slow

    def _assemble(self) -> int:
        from tracklayer.native.assembler import Assembler
        from tracklayer.native.operands import (
            al,
            dword,
            eax,
            edi,
            fs,
            mem,
            qword,
            r8,
            r9,
            rax,
            rbp,
            rcx,
            rdi,
            rdx,
            rsi,
            rsp,
        )

        if not checks_stack():
            return 0
        libc: Any = ctypes.CDLL(None)
        a = Assembler("tracklayer_stack_limit")
        a.label("forget")  # the destructor of the thread's entry
        a.mov(rax, self.cell)
        a.mov(qword[rax], 0)
        a.ret()
        a.align(16)
        a.label("slow")
        a.prologue(rdi, rsi, rdx, rcx, r8, r9)
        a.sub(rsp, 80)  # pthread_attr_t (56 bytes), address, size
        a.mov(edi, dword["key"])
        a.call(a.c_function(libc.pthread_getspecific))
        a.test(rax, rax)
        a.jnz("known")
        a.call(a.c_function(libc.pthread_self))
        a.mov(rdi, rax)
        a.mov(rsi, rsp)
        a.call(a.c_function(libc.pthread_getattr_np))
        a.test(eax, eax)
        a.mov(eax, 1)  # unknown: a limit that nothing reaches
        a.jnz("found")
        a.mov(rdi, rsp)
        a.lea(rsi, mem[rsp + 56])
        a.lea(rdx, mem[rsp + 64])
        a.call(a.c_function(libc.pthread_attr_getstack))
        a.mov(rdi, rsp)
        a.call(a.c_function(libc.pthread_attr_destroy))
        a.mov(rax, qword[rsp + 64])
        a.shr(rax, 2)
        a.mov(rcx, MARGIN)
        a.cmp(rax, rcx)
        a.cmova(rax, rcx)
        a.add(rax, qword[rsp + 56])
        a.label("found")
        a.mov(qword[rsp + 64], rax)
        a.mov(edi, dword["key"])
        a.mov(rsi, rax)
        a.call(a.c_function(libc.pthread_setspecific))
        a.mov(rax, qword[rsp + 64])
        a.label("known")
        a.mov(rcx, self.cell)
        a.mov(rdx, qword[fs, 0])
        a.mov(qword[rcx + 8], rax)
        a.mov(qword[rcx], rdx)
        a.lea(rdx, mem[rbp + 16])
        a.sub(
            rax, rdx
        )  # how far under the limit we are: more than the margin means another stack (a fiber's, a signal's)
        a.dec(rax)
        a.cmp(rax, MARGIN)
        a.setb(al)
        a.movzx(eax, al)
        a.epilogue()
        a.finish_frame()
        a.align(8)
        a.label("key")
        a.dq(0)
        code = a.load(code_memory())
        key = ctypes.c_uint32()
        create = libc.pthread_key_create
        create.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        if create(ctypes.addressof(key), code.labels["forget"]):
            return 0
        code.block.write(code.labels["key"] - code.address, key.value.to_bytes(4, "little"))
        self._code = code.block
        _pin(code)  # threads end after the interpreter does: this must stay
        return code.labels["slow"]

    def poll_slow(self, way: str) -> int:
        with self.lock:
            if way not in self._polls:
                self._polls[way] = self._assemble_poll(way)
            return self._polls[way]

    def _assemble_poll(self, way: str) -> int:
        """Keep all registers, run a Python function that does nothing, answer in the carry flag.

        Unless R11 is null: then it points to a word. "gil", "nogil": the address of the thread's state is put there,
        where some versions keep the flag, and the caller tests again. "timed": when something was done last; nothing is
        done more often than every 20 ms, and nothing on other threads than the main one, which gets the signals."""
        from tracklayer.native import operands as o
        from tracklayer.native.assembler import Assembler

        a = Assembler("tracklayer_poll")
        integers = [o.REGISTERS[n] for n in ("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11")]
        state, failed = o.dword[o.rsp + 256], o.byte[o.rsp + 264]
        a.prologue(*integers)
        a.sub(o.rsp, 288)
        for i in range(16):
            a.movups(o.xmmword[o.rsp + 16 * i], o.REGISTERS[f"xmm{i}"])
        a.mov(failed, 0)
        if way == "timed":
            libc: Any = ctypes.CDLL(None)
            now = o.qword[o.rsp + 272], o.qword[o.rsp + 280]
            a.mov(o.edi, time.CLOCK_MONOTONIC)
            a.lea(o.rsi, o.mem[o.rsp + 272])
            a.call(a.c_function(libc.clock_gettime))
            a.imul(o.rax, now[0], 1_000_000_000)
            a.add(o.rax, now[1])
            a.mov(o.r11, o.qword[o.rbp - 8 * len(integers)])
            a.mov(o.rcx, o.rax)
            a.sub(o.rcx, o.qword[o.r11])
            a.cmp(o.rcx, 20_000_000)
            a.jb("restore")
            a.mov(o.qword[o.r11], o.rax)
            a.call(a.c_function(libc.gettid))
            a.mov(state, o.eax)
            a.call(a.c_function(libc.getpid))
            a.cmp(state, o.eax)
            a.jne("restore")
        else:
            a.test(o.r11, o.r11)
            a.jz("run")
            a.call(_api("PyGILState_GetThisThreadState"))
            a.mov(o.r11, o.qword[o.rbp - 8 * len(integers)])
            a.mov(o.qword[o.r11], o.rax)
            a.jmp("restore")
            a.label("run")
        if way != "gil":
            a.call(_api("PyGILState_Ensure"))
            a.mov(state, o.eax)
        a.mov(o.rdi, a.object(_nothing))
        a.xor(o.esi, o.esi)
        a.xor(o.edx, o.edx)
        a.xor(o.ecx, o.ecx)
        a.call(_api("PyObject_Vectorcall"))
        a.test(o.rax, o.rax)
        a.jnz("returned")
        a.mov(failed, 1)
        a.jmp("ran")
        a.label("returned")
        a.mov(o.rdi, o.rax)
        a.call(_api("Py_DecRef"))
        a.label("ran")
        if way != "gil":
            a.mov(o.edi, state)
            a.call(_api("PyGILState_Release"))
        a.label("restore")
        for i in range(16):
            a.movups(o.REGISTERS[f"xmm{i}"], o.xmmword[o.rsp + 16 * i])
        a.neg(failed)  # carry: it was not zero; what follows keeps the flags
        a.epilogue()
        code = a.load(code_memory())
        _pin(code)
        return code.address

    def attention(self) -> Attention | None:
        with self.lock:
            if not self._sought and threading.current_thread() is threading.main_thread():
                self._attention, self._sought = _find_attention(), True
            return self._attention if self._sought else _find_attention()


def _pin(what: object) -> None:
    """Never let go of it."""
    take = ctypes.pythonapi.Py_IncRef
    take.argtypes = (ctypes.py_object,)
    take(what)


def _api(name: str) -> Symbol:
    return Symbol(name, python_api()[name])


_RUNTIME = _Runtime()


def checks_stack() -> bool:
    """Whether the C stack is watched here: on Linux, x86-64, with glibc or musl."""
    return sys.platform == "linux" and sys.maxsize > 2**32 and hasattr(ctypes.CDLL(None), "pthread_getattr_np")


def stack_cell() -> int:
    """The address of two words: the thread's control block, and its lowest good stack pointer."""
    return _RUNTIME.cell


def stack_slow() -> int:
    """The address of the routine that fills the cell and answers 0 (good) or 1 (nearly full); 0 where there is none."""
    return _RUNTIME.stack_slow()


def poll_slow(way: str = "gil") -> int:
    """The address of the routine that a loop calls when somebody wants attention; see `attention`.

    It keeps all registers but the flags and R11 (of vector registers the lower 128 bits). R11 is null: it lets CPython
    do what is due, and sets the carry flag if that raised an exception. R11 points to a word: the address of the
    thread's PyThreadState is stored there.

    way: "gil"; "nogil" for code that runs without the GIL; "timed" for such code where the flag cannot be relied upon
    (in 3.11 and 3.12 any thread that takes the GIL may clear it): R11 points to a word that is 0 at first, and the
    routine, called every few thousand turns, looks at the clock"""
    return _RUNTIME.poll_slow(way)


# Where the flag is. Source: CPython, Include/internal/pycore_interp.h (3.11, 3.12), Include/cpython/pystate.h (3.13).
# The mask of 3.13 leaves out bits that ask for nothing that a Python function would do.
_PLACES = {(3, 11): (False, 100, 0xFFFFFFFF), (3, 12): (False, 368, 0xFFFFFFFF), (3, 13): (True, 24, 0x1F)}


def _find_attention() -> Attention | None:
    """The place for this version, if it behaves as it should: set by a pending call, clear when that is made."""
    known = _PLACES.get(sys.version_info[:2])
    if known is None:
        return None
    in_thread, offset, mask = known
    api: Any = ctypes.pythonapi
    get = api.PyThreadState_Get if in_thread else api.PyInterpreterState_Get
    get.restype = ctypes.c_void_p
    flag = ctypes.c_uint32.from_address(int(get()) + offset)
    found = Attention(offset if in_thread else int(get()) + offset, mask, in_thread)
    if threading.current_thread() is not threading.main_thread():
        return found if flag.value & mask in (0, 1) else None  # pending calls are for the main thread to see
    during = _while_pending(ctypes.addressof(flag)) & mask
    _nothing()
    after = flag.value & mask
    return found if during and not after else None


def _while_pending(flag: int) -> int:
    """What the flag is right after a pending call was added. Python itself could not see it: it makes the call at
    once."""
    from tracklayer.native import operands as o
    from tracklayer.native.assembler import Assembler

    a = Assembler("tracklayer_while_pending")
    a.prologue()
    a.mov(o.rdi, _api("PyErr_Occurred"))  # as a pending call: returns 0 and does nothing
    a.xor(o.esi, o.esi)
    a.call(_api("Py_AddPendingCall"))
    a.mov(o.rdi, flag)
    a.mov(o.edi, o.dword[o.rdi])
    a.call(_api("PyLong_FromLongLong"))
    a.epilogue()
    code = a.load()
    return int(builtin(code.address, "while_pending", flags=METH_NOARGS, keep=(code,))())


def _nothing() -> None:
    """Entering a Python function is when CPython looks at its flag."""


def attention() -> Attention | None:
    """Where generated loops find out that somebody wants attention, or None where that place is not known."""
    return _RUNTIME.attention()
