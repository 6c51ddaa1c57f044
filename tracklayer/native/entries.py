"""From Python to native code: a METH_FASTCALL function that converts its arguments, calls a body, converts the result.

For:       `Entry`, the code of such a function for one shape of signature.
Not for:   signatures (signatures.py), copies for functions (templates.py).
Invariant: on every way out, every buffer is released, every reference given back, and the GIL held again.
"""

from __future__ import annotations

import functools

from tracklayer.native import runtime
from tracklayer.native.conversions import Adapter, acquire_buffer, return_results
from tracklayer.native.frames import BUFFER_SIZE, SAVED, TEMPORARY, check_stack, low_half
from tracklayer.native.functions import Way
from tracklayer.native.operands import REGISTERS as _R
from tracklayer.native.operands import (
    Label,
    Memory,
    al,
    ax,
    eax,
    mem,
    qword,
    r10,
    rax,
    rbp,
    rbx,
    rcx,
    rdx,
    rsp,
    xmm0,
    xmm1,
)
from tracklayer.native.refusals import COUNT
from tracklayer.native.signatures import VOID, Parameter, Signature, Type
from tracklayer.native.templates import SHORT
from tracklayer.native.unwind import Change

_LIMIT = Parameter("", Type("limit", "limit"))
"""A first argument of the body that no argument of the builtin stands for; see Way."""


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
        values = SAVED + 8 * len(self.natives)
        results = values + 24
        views = results + BUFFER_SIZE * len(self.buffers)
        outgoing = self.shadow + 8 * len(self.on_stack)
        self.frame_size = ((views + outgoing + 15) & -16) - 8
        self.value = [qword[rbp - SAVED - 8 * (n + 1)] for n in range(len(self.natives))]
        self.result = [qword[rbp - values - 8], qword[rbp - values - 16]]
        self.thread = qword[rbp - values - 24]
        self.failed = TEMPORARY[0]
        self.view = {i: rbp - results - BUFFER_SIZE * (n + 1) for n, i in enumerate(self.buffers)}
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
            check_stack(self, self.fail)
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
                acquire_buffer(self, kind, self.incoming(i), view, value[at], value[at + 1], refusals[i])
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
        store_results(self, results, self.result)
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
        return_results(self, results, self.result, self.fail)
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
                    self.movsxd(first, eax) if kind.signed else self.mov(low_half(first), eax)
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
            check_stack(self, self.fail)


def store_results(a: Adapter, results: tuple[Type, ...], place: list[Memory]) -> None:
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
