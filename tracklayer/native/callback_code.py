"""From native code to Python: a C function that makes objects of its arguments, calls, and converts the result.

For:       `callback_adapter`, the code of such a function for one shape of signature.
Not for:   signatures (signatures.py), copies for functions (templates.py).
Invariant: on every way out, every reference is given back, and the GIL is as it was.
"""

from __future__ import annotations

from tracklayer.native.capi import python_api
from tracklayer.native.conversions import Adapter
from tracklayer.native.frames import OB_TYPE, SAVED, TEMPORARY, TUPLE_ITEMS, TUPLE_SIZE, VECTORCALL_OFFSET, low_half
from tracklayer.native.operands import REGISTERS as _R
from tracklayer.native.operands import (
    Label,
    Memory,
    Operand,
    Register,
    dword,
    eax,
    ecx,
    mem,
    qword,
    rax,
    rbp,
    rbx,
    rcx,
    rdx,
    xmm0,
    xmm1,
)
from tracklayer.native.refusals import FIRST, PAIR, RESULT, SECOND
from tracklayer.native.signatures import SCALARS, Parameter, Signature, SignatureError, Type

_OBJECT = Parameter("", SCALARS["object"])


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
    natives = SAVED + 8 * n
    vector = natives + 8 * (n + 1)
    size = ((vector + 24 + a.shadow + 15) & -16) - 8
    argument = [qword[rbp - vector + 8 * (i + 1)] for i in range(n)]
    native = [
        argument[i] if p.type.kind == "object" else qword[rbp - SAVED - 8 * (i + 1)] for i, p in enumerate(parameters)
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
    a.mov(a.regs[2], VECTORCALL_OFFSET | n)
    a.xor(low_half(a.regs[3]), low_half(a.regs[3]))
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
        a.mov(low_half(a.regs[0]), gil)
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
            a.mov(low_half(a.regs[0]), gil)
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
        a.mov(rax, qword[rbx + OB_TYPE])
        a.cmp(rax, a.object_at("PyTuple_Type"))
        a.jne(no_pair)
        a.cmp(qword[rbx + TUPLE_SIZE], 2)
        a.jne(no_pair)
        sources: list[Operand] = [qword[rbx + TUPLE_ITEMS], qword[rbx + TUPLE_ITEMS + 8]]
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
    a.mov(low_half(line), dword[rax + 16])
    a.py("_PyTraceback_Add")
    a.label(silent)
