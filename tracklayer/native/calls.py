"""Calls of machine code: a code address becomes a builtin.

For:       `builtin(address, ...)`, a real `builtin_function_or_method` around a code address.
Not for:   making the code (compiler, assembler.py); converting arguments (functions.py); Python's own addresses
           (capi.py).
Invariant: a builtin's code, its method definition and every object that its code refers to live exactly as long as the
           function object itself: not shorter when the garbage collector takes a cycle apart, and not longer.

**What the code must look like.** With METH_FASTCALL the address is called as

    PyObject *f(PyObject *self, PyObject *const *args, Py_ssize_t count)

with METH_FASTCALL | METH_KEYWORDS one more argument, the tuple of keyword names (or null); with METH_O `f(self,
argument)`, with METH_NOARGS `f(self, null)`. It runs with the GIL held, borrows its arguments, and returns a new
reference, or null with an exception set. `self` is the function's own module object, of no interest to the code.

**How lifetimes work.** A builtin holds its `__self__` until the very end of its deallocation (CPython's `meth_dealloc`
says so:
"PyMethodDef memory ... could be kept alive by m_self"). Here `__self__` is a module object of our own, one for each
function, whose C-level `m_traverse` shows the garbage collector what the code refers to, whose `m_free` drops it all
when the last reference to the function is gone, and which has no `m_clear`: like a tuple it never lets go before it
dies. The two functions are themselves machine code, in a block that is never freed. The code's blocks are held but
not shown to the collector, so that no finaliser can take them away while something can still call.

A builtin whose `__self__` is a module is a *function* to Python: it prints as one and pickles by reference to
`__module__`.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType
from typing import Any, NamedTuple, cast

from tracklayer.native.capi import UnsupportedPython, python_api
from tracklayer.native.forks import lock_over_forks
from tracklayer.native.memory import Block, CodeMemory, code_memory

METH_VARARGS = 0x0001
METH_KEYWORDS = 0x0002
METH_NOARGS = 0x0004
METH_O = 0x0008
METH_FASTCALL = 0x0080
"""Calling conventions of a builtin. Source: Python/C API Reference Manual, "Common Object Structures", PyMethodDef."""

_FLAGS = (METH_FASTCALL, METH_FASTCALL | METH_KEYWORDS, METH_O, METH_NOARGS, METH_VARARGS, METH_VARARGS | METH_KEYWORDS)


# ----------------------------------------------------------------------------------------------------------- the record

_METHOD_DEF = struct.Struct("<QQi4xQ")  # ml_name, ml_meth, ml_flags, ml_doc
_RECORD_HEAD = _METHOD_DEF.size + 16  # then: the number of references, the hidden reference, the references


class _Support:
    """The permanent machine code behind every builtin, and the definition of their modules.

    A module's state is one pointer to its function's *record*, which lies in code memory, read-only:

        +0  the PyMethodDef     +32 count     +40 hidden reference     +48 references[count]     name, doc

    traverse(module, visit, argument) visits the references, release(module) drops them and then the hidden one: the
    latter holds the record's own block, so it goes last, by a jump."""

    # The same two functions as _SUPPORT_IR, assembled for x86-64 and the System V calling convention.
    #
    #   traverse: push rbx; push rbp; push r12; push r13; sub rsp, 8; mov r12, rsi; mov r13, rdx
    #             call [get_state]; mov rbx, [rax]; test rbx, rbx; jz done
    #             mov rbp, [rbx+32]; add rbx, 48
    #   next:     test rbp, rbp; jz done; mov rdi, [rbx]; mov rsi, r13; call r12; test eax, eax; jnz out
    #             add rbx, 8; dec rbp; jmp next
    #   done:     xor eax, eax
    #   out:      add rsp, 8; pop r13; pop r12; pop rbp; pop rbx; ret
    #   release:  push rbx; push rbp; push r12; call [get_state]; mov r12, [rax]; test r12, r12; jz none
    #             mov qword ptr [rax], 0; mov rbp, [r12+32]; lea rbx, [r12+48]
    #   next:     test rbp, rbp; jz last; mov rdi, [rbx]; call [decref]; add rbx, 8; dec rbp; jmp next
    #   last:     mov rdi, [r12+40]; pop r12; pop rbp; pop rbx; jmp [decref]
    #   none:     pop r12; pop rbp; pop rbx; ret
    _X86_64 = bytes.fromhex(
        "5355415441554883ec084989f44989d5ff158a000000488b184885db7423488b6b204883c3304885ed7416488b3b4c89"
        "ee41ffd485c0750b4883c30848ffcdebe531c04883c408415d415c5d5bc353554154ff15480000004c8b204d85e47437"
        "48c70000000000498b6c2420498d5c24304885ed7412488b3bff15290000004883c30848ffcdebe9498b7c2428415c5d"
        "5bff2511000000415c5d5bc3cccccccc"
    )
    _X86_64_RELEASE = 78

    def __init__(self) -> None:
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            raise UnsupportedPython("free-threaded builds of Python count references in another way")
        if sys.implementation.name != "cpython" or sys.maxsize < 2**32 or hasattr(sys, "gettotalrefcount"):
            raise UnsupportedPython("only release builds of 64-bit CPython are known")
        api = ctypes.pythonapi
        self.memory = code_memory()
        slots = (python_api()["PyModule_GetState"], python_api()["Py_DecRef"])
        if platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32":
            self.code: object = self._assembled(slots)
        else:
            self.code = self._compiled(slots)
        self._name = ctypes.create_string_buffer(b"tracklayer.native.code")
        # PyModuleDef: PyObject_HEAD (2 words), m_init, m_index, m_copy; m_name, m_doc, m_size, m_methods, m_slots,
        # m_traverse, m_clear, m_free. Source: Python/C API Reference Manual, "Module Objects".
        words = [1, 0, 0, 0, 0, ctypes.addressof(self._name), 0, 8, 0, 0, self.traverse, 0, self.release]
        self._definition = (ctypes.c_uint64 * len(words))(*words)
        self._create = api.PyModule_Create2
        self._create.restype = ctypes.py_object
        self._create.argtypes = (ctypes.c_void_p, ctypes.c_int)
        self._get_state = api.PyModule_GetState
        self._get_state.restype = ctypes.c_void_p
        self._get_state.argtypes = (ctypes.py_object,)
        self._new = api.PyCFunction_NewEx
        self._new.restype = ctypes.py_object
        self._new.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
        self._incref = api.Py_IncRef
        self._incref.restype = None
        self._incref.argtypes = (ctypes.py_object,)
        self._decref = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(python_api()["Py_DecRef"])
        self._first: Block | None = None
        # Functions die after all modules when the interpreter ends: this must still be there, so it is never let go.
        self._incref(self)

    def _assembled(self, slots: tuple[int, int]) -> Block:
        block = self.memory.allocate(len(self._X86_64) + 16)
        block.write(0, self._X86_64 + struct.pack("<QQ", *slots))
        self.traverse, self.release = block.address, block.address + self._X86_64_RELEASE
        return block

    def _compiled(self, slots: tuple[int, int]) -> object:
        """For hosts that have no bytes above: let LLVM compile the same."""
        import llvmlite.binding as llvm

        from tracklayer.native.loader import load, parse

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        triple = llvm.get_process_triple()
        triple = triple.partition("-")[0] + "-unknown-" + ("windows-elf" if sys.platform == "win32" else "linux-gnu")
        module = llvm.parse_assembly(f'target triple = "{triple}"\n{SUPPORT_IR}')
        machine = llvm.Target.from_triple(triple).create_target_machine(opt=2, reloc="pic", codemodel="small")
        names = {"PyModule_GetState": slots[0], "Py_DecRef": slots[1]}
        loaded = load(parse(machine.emit_object(module)), self.memory, names)
        self.traverse, self.release = loaded["traverse"], loaded["release"]
        return loaded

    # What runs until a deferred builtin's code is made: calls the record's only reference, then what the record says.
    #
    #   push rbx; push rbp; push r12; push r13; sub rsp, 8; mov rbx, rdi; mov rbp, rsi; mov r12, rdx
    #             call [get_state]; mov r13, [rax]; mov rdi, [r13+48]; call [call_no_args]; test rax, rax; jz out
    #             mov rdi, rax; call [decref]; mov rdi, rbx; mov rsi, rbp; mov rdx, r12; mov rax, [r13+8]
    #             add rsp, 8; pop r13; pop r12; pop rbp; pop rbx; jmp rax
    #   out:      add rsp, 8; pop r13; pop r12; pop rbp; pop rbx; ret
    _FIRST_CALL = bytes.fromhex(
        "5355415441554883ec084889fb4889f54989d4ff153f0000004c8b28498b7d30ff15420000004885c074224889c7ff15"
        "2c0000004889df4889ee4c89e2498b45084883c408415d415c5d5bffe04883c408415d415c5d5bc3"
    )

    def first_call(self) -> int:
        """The address of what runs until a deferred builtin's code is made. Errors: UnsupportedPython."""
        if self._first is None:
            if platform.machine().lower() not in ("x86_64", "amd64") or sys.platform == "win32":
                raise UnsupportedPython("builtins that are made at their first call are known for x86-64 on Linux only")
            api = python_api()
            slots = (api["PyModule_GetState"], api["Py_DecRef"], api["PyObject_CallNoArgs"])
            block = self.memory.allocate(len(self._FIRST_CALL) + 24)
            block.write(0, self._FIRST_CALL + struct.pack("<QQQ", *slots))
            self._first = block
        return self._first.address

    def give_back(self, address: int) -> None:
        """Undo `hold`."""
        self._decref(address)

    def function(self, record: int, module: str | None) -> BuiltinFunctionType:
        """The builtin for a record, whose references are already counted."""
        owner = self._create(self._definition, 1013)
        ctypes.c_uint64.from_address(self._get_state(owner)).value = record
        return cast(BuiltinFunctionType, self._new(record, owner, module))

    def bind(self, function: BuiltinFunctionType, own: bytes) -> BuiltinFunctionType:
        """Another function with the record of one that `function` gave. It holds that one as its module, which is what
        it lets go of last."""
        record = ctypes.c_uint64.from_address(self._get_state(function.__self__)).value
        return cast(BuiltinFunctionType, self._new(record, own, function))

    def hold(self, what: object) -> int:
        """Count one more reference to an object and give its address."""
        self._incref(what)
        return id(what)


SUPPORT_IR = """
declare ptr @PyModule_GetState(ptr)
declare void @Py_DecRef(ptr)

define i32 @traverse(ptr %module, ptr %visit, ptr %argument) {
entry:
  %state = call ptr @PyModule_GetState(ptr %module)
  %record = load ptr, ptr %state
  %none = icmp eq ptr %record, null
  br i1 %none, label %done, label %some
some:
  %count.at = getelementptr i8, ptr %record, i64 32
  %count = load i64, ptr %count.at
  %first = getelementptr i8, ptr %record, i64 48
  br label %next
next:
  %i = phi i64 [ 0, %some ], [ %i.next, %good ]
  %end = icmp eq i64 %i, %count
  br i1 %end, label %done, label %visit.one
visit.one:
  %at = getelementptr ptr, ptr %first, i64 %i
  %reference = load ptr, ptr %at
  %answer = call i32 %visit(ptr %reference, ptr %argument)
  %stop = icmp ne i32 %answer, 0
  br i1 %stop, label %out, label %good
good:
  %i.next = add i64 %i, 1
  br label %next
done:
  ret i32 0
out:
  ret i32 %answer
}

define void @release(ptr %module) {
entry:
  %state = call ptr @PyModule_GetState(ptr %module)
  %record = load ptr, ptr %state
  %none = icmp eq ptr %record, null
  br i1 %none, label %done, label %some
some:
  store ptr null, ptr %state
  %count.at = getelementptr i8, ptr %record, i64 32
  %count = load i64, ptr %count.at
  %first = getelementptr i8, ptr %record, i64 48
  br label %next
next:
  %i = phi i64 [ 0, %some ], [ %i.next, %drop ]
  %end = icmp eq i64 %i, %count
  br i1 %end, label %last, label %drop
drop:
  %at = getelementptr ptr, ptr %first, i64 %i
  %reference = load ptr, ptr %at
  call void @Py_DecRef(ptr %reference)
  %i.next = add i64 %i, 1
  br label %next
last:
  %hidden.at = getelementptr i8, ptr %record, i64 40
  %hidden = load ptr, ptr %hidden.at
  tail call void @Py_DecRef(ptr %hidden)
  ret void
done:
  ret void
}
"""


class _Once:
    """The support code, made by the first who asks."""

    def __init__(self) -> None:
        self._lock = lock_over_forks()
        self._support: _Support | None = None

    def get(self) -> _Support:
        support = self._support
        if support is None:
            with self._lock:
                support = self._support = self._support or _Support()
        return support


_SUPPORT = _Once()


def builtin(
    address: int,
    name: str,
    *,
    flags: int = METH_FASTCALL,
    doc: str | None = None,
    signature: str | None = None,
    module: str | None = None,
    keep: Iterable[object] = (),
    uses: Iterable[object] = (),
    memory: CodeMemory | None = None,
) -> BuiltinFunctionType:
    """A builtin function that runs the code at `address`.

    flags:     METH_FASTCALL, METH_FASTCALL | METH_KEYWORDS, METH_O or METH_NOARGS; see the module's docstring
    signature: what `inspect.signature` shows, such as "(x, y, /)"
    module:    its `__module__`; give it the function under its name, and it pickles
    keep:      what the code needs to exist: its Block, its LoadedObject. Held until the function is gone.
    uses:      Python objects whose addresses are in the code (callables, constants). The garbage collector sees them,
               so a cycle through them is collected.

    Errors: ValueError for unknown flags; UnsupportedPython."""
    if flags not in _FLAGS:
        raise ValueError(f"no calling convention of a builtin has the flags {flags:#x}")
    return _make(address, name, flags, doc, signature, module, tuple(keep), tuple(uses), memory)[0]


def bound(function: BuiltinFunctionType, own: bytes) -> BuiltinFunctionType:
    """The same builtin with another `self`: its code gets these bytes there (PyBytes_AsString gives their address).

    What binds a function to one of many things costs nothing then: no argument, no conversion, no functools.partial.
    The function given is held by the new one, so its code lives as long. It does not pickle.
    """
    support = _SUPPORT.get()
    return support.bind(function, own)


def _make(
    address: int,
    name: str,
    flags: int,
    doc: str | None,
    signature: str | None,
    module: str | None,
    keep: tuple[object, ...],
    uses: tuple[object, ...],
    memory: CodeMemory | None,
) -> tuple[BuiltinFunctionType, Block]:
    """A builtin, and the block in which its record lies."""
    support = _SUPPORT.get()
    text = None if doc is None and signature is None else doc or ""
    if signature is not None:  # CPython's own format: "Type.__text_signature__" is cut out of the doc string
        text = f"{name}{signature}\n--\n\n{text}"
    name_bytes = name.encode() + b"\0"
    doc_bytes = text.encode() + b"\0" if text is not None else b""
    strings = _RECORD_HEAD + 8 * len(uses)
    block = (memory or support.memory).allocate(strings + len(name_bytes) + len(doc_bytes), 8)
    at = block.address + strings
    hidden = (block, *keep)
    record = _METHOD_DEF.pack(at, address, flags, at + len(name_bytes) if doc_bytes else 0)
    record += struct.pack(f"<QQ{len(uses)}Q", len(uses), support.hold(hidden), *map(support.hold, uses))
    block.write(0, record + name_bytes + doc_bytes)
    return support.function(block.address, module), block


class Made(NamedTuple):
    """What the maker of a deferred builtin gives: as the arguments of `builtin`."""

    address: int
    keep: tuple[object, ...] = ()
    uses: tuple[object, ...] = ()


@functools.cache
def _making() -> Any:
    """The lock under which all deferred builtins are made; itself made when all the locks are that are taken inside."""
    return lock_over_forks()


class _Maker:
    """Called by the code of a deferred builtin, once or a few times: puts the code that was made in place."""

    __slots__ = ("_block", "_lock", "_make")

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make: Callable[[], Made] | None = make
        self._lock = _making()
        self._block: Block | None = None

    def put(self, block: Block) -> None:
        """Where the record is."""
        self._block = block

    def __call__(self) -> None:
        with self._lock:
            make, block = self._make, self._block
            if make is None or block is None:  # another thread was quicker
                return
            support = _SUPPORT.get()
            made = make()
            hidden: tuple[object, ...] = (block, *made.keep)
            before = struct.unpack_from("<QQ", ctypes.string_at(block.address + _METHOD_DEF.size + 8, 16))
            references = struct.pack("<QQ", support.hold(hidden), support.hold(tuple(made.uses)))
            block.write(_METHOD_DEF.size + 8, references)
            block.write(8, struct.pack("<Q", made.address))
            self._make = self._block = None
            for reference in before:
                support.give_back(reference)


def deferred(
    make: Callable[[], Made],
    name: str,
    *,
    doc: str | None = None,
    signature: str | None = None,
    module: str | None = None,
) -> BuiltinFunctionType:
    """A builtin (METH_FASTCALL) whose code is made when it is first called. From then on it is like any other:
    nothing is left of the detour. Where `make` raises, so does the call, and the next call tries again.

    The other arguments are those of `builtin`. Errors: UnsupportedPython."""
    maker = _Maker(make)
    first = _SUPPORT.get().first_call()
    function, block = _make(first, name, METH_FASTCALL, doc, signature, module, (), (maker,), None)
    maker.put(block)
    return function
