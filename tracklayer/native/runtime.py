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
import struct
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracklayer.native.calls import METH_NOARGS, builtin
from tracklayer.native.capi import python_api
from tracklayer.native.forks import lock_over_forks
from tracklayer.native.memory import Block, code_memory

if TYPE_CHECKING:
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
                self._slow = self._place_slow()
            return self._slow

    # Finds the thread's limit, fills the cell, answers. As bytes, because assembling takes more time than a function
    # from the disk cache may; the words behind it are `cell`, `key` and the functions of _PTHREAD. `forget` is the
    # destructor of a thread's entry.
    #
    #   forget:   mov rax, [cell]; mov qword ptr [rax], 0; ret
    #   slow:     push rbp; mov rbp, rsp; push rdi; push rsi; push rdx; push rcx; push r8; push r9; sub rsp, 80
    #             mov edi, [key]; call [getspecific]; test rax, rax; jnz known
    #             call [self]; mov rdi, rax; mov rsi, rsp; call [getattr_np]     a pthread_attr_t: 56 bytes
    #             test eax, eax; mov eax, 1; jnz found                           unknown: a limit that nothing reaches
    #             mov rdi, rsp; lea rsi, [rsp+56]; lea rdx, [rsp+64]; call [attr_getstack]
    #             mov rdi, rsp; call [attr_destroy]
    #             mov rax, [rsp+64]; shr rax, 2; mov rcx, MARGIN; cmp rax, rcx; cmova rax, rcx; add rax, [rsp+56]
    #   found:    mov [rsp+64], rax; mov edi, [key]; mov rsi, rax; call [setspecific]; mov rax, [rsp+64]
    #   known:    mov rcx, [cell]; mov rdx, fs:[0]; mov [rcx+8], rax; mov [rcx], rdx
    #             lea rdx, [rbp+16]; sub rax, rdx; dec rax                       how far under the limit we are: more
    #             cmp rax, MARGIN; setb al; movzx eax, al                        is another stack (a fiber's)
    #             add rsp, 80; pop r9; pop r8; pop rcx; pop rdx; pop rsi; pop rdi; pop rbp; ret
    _SLOW = bytes.fromhex(
        "488b05d100000048c70000000000c390554889e557565251415041514883ec508b3dba000000ff15bc0000004885c075"
        "6cff15b90000004889c74889e6ff15b500000085c0b80100000075384889e7488d742438488d542440ff15a100000048"
        "89e7ff15a0000000488b44244048c1e80248c7c1000002004839c8480f47c1480344243848894424408b3d5100000048"
        "89c6ff1578000000488b442440488b0d3400000064488b14250000000048894108488911488d55104829d048ffc8483d"
        "000002000f92c00fb6c04883c45041594158595a5e5f5dc3"
    )
    _SLOW_START = 16
    _PTHREAD = ("getspecific", "self", "getattr_np", "attr_getstack", "attr_destroy", "setspecific")

    def _place_slow(self) -> int:
        if not checks_stack():
            return 0
        libc: Any = ctypes.CDLL(None)
        functions = [ctypes.cast(getattr(libc, f"pthread_{name}"), ctypes.c_void_p).value for name in self._PTHREAD]
        block = code_memory().allocate(len(self._SLOW) + 64, 16)
        key = ctypes.c_uint32()
        create = libc.pthread_key_create
        create.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        if create(ctypes.addressof(key), block.address):
            return 0
        block.write(0, self._SLOW + struct.pack("<8Q", self.cell, key.value, *functions))
        self._code = block
        _pin(block)  # threads end after the interpreter does: this must stay
        return block.address + self._SLOW_START

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
        a.mov(o.rdi, a.object(nothing_to_do))
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
    from tracklayer.native.operands import Symbol

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
    nothing_to_do()
    after = flag.value & mask
    return found if during and not after else None


def _while_pending(flag: int) -> int:
    """What the flag is right after a pending call was added. Python itself could not see it: it makes the call at
    once."""
    # push rbx; mov rdi, [nothing]; xor esi, esi; call [add]; mov rdi, [flag]; mov edi, [rdi]; call [number]; pop rbx
    # ret. As bytes, because assembling takes more time than a function from the disk cache may.
    code = bytes.fromhex("53488b3d2000000031f6ff1520000000488b3d210000008b3fff15210000005bc30f1f8000000000")
    api = python_api()
    nothing = api["PyErr_Occurred"]  # as a pending call: returns 0 and does nothing
    words = struct.pack("<QQQQ", nothing, api["Py_AddPendingCall"], flag, api["PyLong_FromLongLong"])
    block = code_memory().allocate(len(code) + len(words))
    block.write(0, code + words)
    return int(builtin(block.address, "while_pending", flags=METH_NOARGS, keep=(block,))())


def nothing_to_do() -> None:
    """Entering a Python function is when CPython looks at its flag."""


def attention() -> Attention | None:
    """Where generated loops find out that somebody wants attention, or None where that place is not known."""
    return _RUNTIME.attention()
