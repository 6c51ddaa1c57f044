"""`@function`: a typed Python function becomes a builtin of machine code.

For:       the decorator; what Python passes for each annotation; the disk cache of such functions.
Not for:   compiling (fallible.py and what it rests on), checking and converting arguments (native/functions.py).
Invariant: what is kept on disk depends on nothing but the IR text it was made from, this Python, and this machine.

The code is made at the first call: by then everything that the function names is there, and importing a module that
has many costs nothing. The function is walked and its IR written each time, which takes a few milliseconds; objects,
with their adapters, come from the cache, and then neither LLVM nor iced-x86 nor NumPy is imported.
"""

from __future__ import annotations

import ctypes
import functools
import json
import struct
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeVar, cast, overload

from ..lang import BufferType, FloatType, IntType, Object, PtrType, Typed, is_struct, type_name
from ..native import debug, unwind
from ..native.calls import Made, deferred
from ..native.capi import python_api
from ..native.functions import Way, calling, entry, learn_calling, learn_entry, pack_calling, pack_entry
from ..native.image import make_image, place
from ..native.memory import code_memory
from ..native.runtime import attention
from ..native.signatures import Signature, parse_signature
from . import cache
from .calls import PYTHON
from .errors import CompileError
from .fallible import Fallible
from .sources import FunctionInfo, describe_function
from .values import CallType

F = TypeVar("F", bound=Callable[..., Any])

NATIVE = Path(__file__).parent.parent / "native"
MAKERS = (
    "image", "loader", "objects", "relocations", "linking", "functions", "frames", "conversions", "entries",
    "callback_code",
)  # fmt: skip
"""Modules of `native` that have a part in what is kept: the image, and adapters."""
SOURCES = (Path(__file__).parent / "backend.py", *(NATIVE / f"{name}.py" for name in MAKERS))


@overload
def function(python: F, /) -> F: ...
@overload
def function(*, nogil: bool = False, polls: bool = True, eager: bool = False) -> Callable[[F], F]: ...
def function(python: Any = None, /, *, nogil: bool = False, polls: bool = True, eager: bool = False) -> Any:
    """Make a typed function a builtin of machine code: `@function`, or `@function(nogil=True)`.

    Parameters are annotated with i8 to i64, u8 to u64, f32, f64 (or float), bool, Buffer and MutBuffer of these, Ptr,
    structs, object, or Callable; docs/lang.md says what may stand inside, docs/crossing.md what is promised.

    nogil: release the GIL while it runs; callbacks take it for their time
    polls: let Ctrl-C, and other threads, in at the end of each turn of a loop
    eager: compile now, not at the first call

    The Python function is `original(...)` of the builtin.

    Errors: TypeError for parameters that a builtin cannot have; at the first call CompileError."""

    def make(python: Any) -> BuiltinFunctionType:
        return _builtin(python, nogil, polls, eager)

    return make if python is None else make(python)


def original(made: Any) -> Callable[..., Any]:
    """The Python function that `function` made a builtin of: the same in plain Python, slower and without checks.
    Errors: TypeError for anything else."""
    python = getattr(getattr(made, "__self__", None), PYTHON, None)
    if python is None:
        raise TypeError(f"{made!r} was not made by tracklayer.function")
    return cast("Callable[..., Any]", python)


def _builtin(python: Any, nogil: bool, polls: bool, eager: bool) -> BuiltinFunctionType:
    if not isinstance(python, FunctionType):
        raise TypeError(f"function() takes a Python function, not {type(python).__name__}")
    code = python.__code__
    if python.__defaults__ or python.__kwdefaults__ or code.co_kwonlyargcount or code.co_flags & 0x0C:
        raise TypeError(f"{python.__qualname__}: a builtin's parameters are positional, without defaults")
    python.__dict__["__typed__"] = Typed(True, False, False)
    names = code.co_varnames[: code.co_argcount]
    signature = f"({', '.join(names)}, /)" if names else "()"
    made: list[Made] = []

    def make() -> Made:
        return made.pop() if made else build(python, nogil, polls)

    if eager:
        made.append(build(python, nogil, polls))
    builtin = deferred(make, python.__name__, doc=python.__doc__, signature=signature, module=python.__module__)
    setattr(builtin.__self__, PYTHON, python)
    return builtin


# ----------------------------------------------------------------------------------------------------------- signatures


def native_type(kind: Any, declared: Any, result: bool = False) -> str:
    """What native/signatures.py calls a type of the subset; empty where there is no such thing."""
    match kind:
        case IntType():
            if declared is bool:
                return "bool"
            return kind.name if kind.bits >= 8 else "u8" if result else ""
        case FloatType():
            return "f64" if result else kind.name
        case BufferType() | PtrType():
            mut = "" if isinstance(kind, BufferType) and not kind.writable else "mut "
            inner = native_type(kind.element, kind.element)
            is_number = isinstance(kind.element, (IntType, FloatType)) and inner
            return f"{mut}{inner}[]" if is_number and not result else ""
        case CallType():
            return "" if result else "callable"
    if kind is Object:
        return "object"
    return "struct" if is_struct(kind) and not result else ""


def signature_of(info: FunctionInfo) -> tuple[Signature, dict[str, type]]:
    """A function's signature for native/functions.py, and the classes of its struct parameters.
    Errors: CompileError."""
    spelled = []
    for name, kind in info.parameters:
        native = native_type(kind, info.declared.get(name))
        if not native:
            what = "has no annotation" if kind is None else f"is a {type_name(kind)}, which Python cannot pass"
            mend = "annotate it with i8 to i64, u8 to u64, f32, f64, bool, Buffer[...], MutBuffer[...], Ptr[...], " \
                   "object, Callable[[...], ...] or a struct"  # fmt: skip
            raise CompileError(info.file, info.node, info.name, f"the parameter {name} {what}", mend)
        spelled.append(f"{name}: {native}")
    result, declared = info.result, info.declared.get("return")
    kinds: tuple[Any, ...] = () if result is None else (result,)
    raw: tuple[Any, ...] = (declared,)
    if getattr(result, "__origin__", None) is tuple:
        kinds = raw = getattr(result, "__args__", ())
    results = [native_type(kind, one, True) for kind, one in zip(kinds, raw, strict=False)]
    if len(results) > 2 or not all(results):
        raise CompileError(info.file, info.node, info.name, f"a {type_name(result)} cannot be returned to Python",
                           "return a number, bool, object, None, or a pair of numbers")  # fmt: skip
    text = {0: "void", 1: results[0] if results else ""}.get(len(results), f"({', '.join(results)})")
    structs = {name: kind for name, kind in info.parameters if is_struct(kind)}
    for cls in structs.values():
        _check_layout(cls)
    return parse_signature(f"{text}({', '.join(spelled)})"), structs


@functools.cache
def _check_layout(cls: type) -> None:
    """Generated code reads where an instance's memory is from its third word. Errors: TypeError where it is not."""
    one = cls()
    if ctypes.c_uint64.from_address(id(one) + 16).value != ctypes.addressof(one):
        raise TypeError(f"this Python lays instances of {cls.__name__} out in a way that is not known")


# ------------------------------------------------------------------------------------------------------------- building


def build(python: Callable[..., Any], nogil: bool, polls: bool) -> Made:
    """The code of a builtin for a typed function: from the disk cache, or compiled. Errors: CompileError."""
    try:
        info = describe_function(python)
        signature, structs = signature_of(info)
        program = Fallible(nogil, polls, attention() if polls else None)
        program.enter(python)
        ir = program.render()
    except CompileError as error:
        raise error.with_traceback(None) from None  # it says where in the typed code; where in the compiler is no help
    assert program.root is not None
    way = Way(nogil=nogil, status=program.root.can_fail, limit=program.deep)
    callings = [slot.what[0] for slot in program.slots if slot.kind == "calling"]
    image = _image(python.__name__, ir, signature, way, callings, nogil)
    return _placed(python.__name__, program, image, signature, way, structs)


def _image(name: str, ir: str, signature: Signature, way: Way, callings: list[str], nogil: bool) -> bytes:
    """The image for IR text. What is kept with it, the adapters of its signatures, is learned on the way."""
    detail = f"{signature.shape}\n{way}\n{callings}\n{ir}"
    found = cache.find_cached(f"function-{name}", SOURCES, detail)
    if found is not None:
        (size,) = struct.unpack_from("<Q", found)
        packed_entry, packed_callings = json.loads(found[8 : 8 + size])
        learn_entry(signature, way, packed_entry.encode())
        for text, packed in zip(callings, packed_callings, strict=True):
            learn_calling(parse_signature(text), nogil, packed.encode())
        return found[8 + size :]
    from .backend import emit

    image = make_image([emit(ir)])
    adapters = [pack_entry(signature, way).decode(),
                [pack_calling(parse_signature(text), nogil).decode() for text in callings]]  # fmt: skip
    head = json.dumps(adapters, separators=(",", ":")).encode()
    cache.keep(f"function-{name}", SOURCES, struct.pack("<Q", len(head)) + head + image, detail)
    return image


def _placed(
    name: str, program: Fallible, image: bytes, signature: Signature, way: Way, structs: dict[str, type]
) -> Made:
    memory = code_memory()
    keep: list[object] = []
    uses: list[object] = []
    words = []
    for slot in program.slots:
        match slot.kind:
            case "api":
                words.append(python_api()[slot.what])
            case "libc" | "libm":
                words.append(_c_function(slot.kind, slot.what))
            case "object":
                uses.append(slot.what)
                words.append(id(slot.what))
            case "breaker":
                assert program.attention is not None
                words.append(program.attention.place)
            case _:
                text, shown = slot.what
                made = calling(text, name=shown, nogil=program.nogil, memory=memory)
                keep += made.keep
                uses.append(made.explainer)
                words.append(made.address)
    placed = place(image, memory, words)
    keep.append(placed.block)
    keep += [unwind.register(address, placed.block) for address, _ in placed.frames]
    if debug.enabled():
        tables = [(at, ctypes.string_at(at, size + 4)) for at, size in placed.frames]
        keep.append(debug.announce(name, placed.block.address, placed.block.size, (), (tables or [(0, b"")])[0]))
    entered = entry(placed["entry"], signature, name=name, way=way, structs=structs, memory=memory)
    return Made(entered.address, (*keep, *entered.keep), (*uses, *entered.uses))


@functools.cache
def _c_function(library: str, name: str) -> int:
    """The address of a function of the C library."""
    for file in (None, "libm.so.6" if library == "libm" else None):
        found = getattr(ctypes.CDLL(file), name, None)
        if found is not None:
            return cast(int, ctypes.cast(found, ctypes.c_void_p).value)
    raise OSError(f"the C library has no {name}")


__all__ = ["function", "native_type", "original", "signature_of"]
