"""Functions: native code with a signature becomes a builtin, and a Python callable becomes a C function.

For:       `native_function(address, signature)`, a builtin that checks and converts its arguments; `callback(callable,
           signature)`, a C function that calls Python; the signatures of both.
Not for:   the code between (adapters.py), the native code (assembler.py, the compiler), lifetimes (calls.py).
Invariant: on every way out, every buffer is released, every reference given back, and the GIL held again.

**Signatures.** `result(name: type, ...)`; names may be left out. Types:

| type | from Python | in native code |
|---|---|---|
| `i8 i16 i32 i64 u8 u16 u32 u64` | an integer that fits (`__index__` counts) | an integer, extended to 64 bits |
| `f32 f64` | a number (`__float__` counts) | a float in an XMM register |
| `bool` | any object, its truth | 0 or 1 |
| `ptr` | an address (an integer), or None for null | 64 bits |
| `object` | any object | `PyObject *`, borrowed |
| `callable` | anything callable | `PyObject *`, borrowed |
| `struct` | an instance of the ctypes structure that `structs` names | its address |
| `buffer`, `mut buffer` | what has a (writable) buffer of bytes | two arguments: address, bytes |
| `f64[]`, `mut i32[]` | a contiguous (writable) buffer of that element type | two arguments: address, elements |

As a result also `void` (None) and a pair such as `(i64, i64)`, in RAX and RDX (floats: XMM0, XMM1). An `object` result
is a new reference, or null with an exception set.

**Costs.** Integers that fit 30 bits and floats are read and checked inline; what does not fit goes out of line, and
errors are put into words by Python. The code of such an adapter is made once for each signature; a further function
costs a copy of it.
"""

from __future__ import annotations

import functools
import json
import operator
import re
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any, NoReturn

from tracklayer.native import debug, runtime, unwind
from tracklayer.native.calls import builtin, python_api
from tracklayer.native.forks import lock_over_forks
from tracklayer.native.memory import CodeMemory, code_memory

if TYPE_CHECKING:
    from tracklayer.native.adapters import Adapter


class SignatureError(ValueError):
    """A signature that cannot be read. The message says what was expected, and where."""


# ----------------------------------------------------------------------------------------------------------- signatures


@dataclass(frozen=True, slots=True)
class Type:
    """A native type. `kind` is one of int, float, bool, ptr, object, callable, struct, buffer, void; `size` is in
    bytes; `codes` are the letters that the element type of a buffer may have in the notation of `struct`."""

    name: str
    kind: str
    size: int = 8
    signed: bool = False
    writable: bool = False
    codes: str = ""

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def slots(self) -> int:
        """How many native arguments it is."""
        return 2 if self.kind == "buffer" else 1


SCALARS = {
    "i8": Type("i8", "int", 1, True, codes="b"),
    "i16": Type("i16", "int", 2, True, codes="h"),
    "i32": Type("i32", "int", 4, True, codes="i" + ("l" if struct.calcsize("@l") == 4 else "")),
    "i64": Type("i64", "int", 8, True, codes="qn" + ("l" if struct.calcsize("@l") == 8 else "")),
    "u8": Type("u8", "int", 1, codes="Bc?"),
    "u16": Type("u16", "int", 2, codes="H"),
    "u32": Type("u32", "int", 4, codes="I" + ("L" if struct.calcsize("@l") == 4 else "")),
    "u64": Type("u64", "int", 8, codes="QN" + ("L" if struct.calcsize("@l") == 8 else "")),
    "f32": Type("f32", "float", 4, codes="f"),
    "f64": Type("f64", "float", 8, codes="d"),
    "bool": Type("bool", "bool"),
    "ptr": Type("ptr", "ptr"),
    "object": Type("object", "object"),
    "callable": Type("callable", "callable"),
    "struct": Type("struct", "struct"),
}
VOID = Type("void", "void")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `shown` is its name in messages and in `inspect.signature`."""

    shown: str
    type: Type


@dataclass(frozen=True, slots=True)
class Signature:
    """What a native function takes and gives: `results` has no, one or two types."""

    parameters: tuple[Parameter, ...]
    results: tuple[Type, ...]

    @property
    def shape(self) -> Signature:
        """The same without names: functions of one shape share their adapter's code."""
        return Signature(tuple(Parameter("", p.type) for p in self.parameters), self.results)

    def __str__(self) -> str:
        names = ", ".join(p.shown for p in self.parameters)
        return f"({names}, /)" if names else "()"


def _type(text: str, whole: str) -> Type:
    words = text.split()
    writable = words[:1] == ["mut"]
    name = " ".join(words[writable:])
    if name == "buffer":
        return Type(text, "buffer", 1, writable=writable)
    if name.endswith("[]") and name[:-2].strip() in SCALARS:
        element = SCALARS[name[:-2].strip()]
        if element.codes:
            return Type(text, "buffer", element.size, writable=writable, codes=element.codes)
    if name in SCALARS and not writable:
        return SCALARS[name]
    known = ", ".join([*SCALARS, "buffer", "mut buffer", "f64[]", "mut f64[]"])
    raise SignatureError(f"{whole!r}: {text!r} is no type; there are {known} (and void as a result)")


@functools.cache
def parse_signature(text: str) -> Signature:
    """Read `result(name: type, ...)`.
    Errors: SignatureError."""
    match = re.fullmatch(r"\s*(\([^()]*\)|[^()]*?)\s*\(([^()]*)\)\s*", text)
    if match is None:
        raise SignatureError(f"{text!r}: a signature looks like 'i64(x: i64, data: mut f64[])'")
    result, inside = match[1].strip(), match[2].strip()
    if result.startswith("("):
        results = tuple(_type(part.strip(), text) for part in result[1:-1].split(",") if part.strip())
        if len(results) != 2:
            raise SignatureError(f"{text!r}: a result in brackets is a pair")
    else:
        results = () if result == "void" else (_type(result, text),)
    if any(kind.kind in ("buffer", "callable", "struct") for kind in results):
        raise SignatureError(f"{text!r}: a {next(k.kind for k in results if k.kind != 'int')} cannot be returned")
    parameters = []
    for i, part in enumerate(filter(None, map(str.strip, inside.split(",")))):
        name, colon, kind = part.rpartition(":")
        name = name.strip()
        if colon and not name.isidentifier():
            raise SignatureError(f"{text!r}: {name!r} is no name for a parameter")
        parameters.append(Parameter(name or f"arg{i + 1}", _type(kind.strip(), text)))
    if len({p.shown for p in parameters}) != len(parameters):
        raise SignatureError(f"{text!r}: two parameters have the same name")
    return Signature(tuple(parameters), results)


# ----------------------------------------------------------------------------------------------------- errors, in words


class _Explainer:
    """Puts into words why an argument was refused. Generated code calls it, seldom, with a number and the object at
    fault."""

    __slots__ = ("name", "signature", "structs")

    def __init__(self, name: str, signature: Signature, structs: Mapping[str, type] | None = None) -> None:
        self.name = name
        self.signature = signature
        self.structs = structs or {}

    def __call__(self, index: int, value: Any) -> NoReturn:
        if index == COUNT:
            n = len(self.signature.parameters)
            expected = f"exactly {n} argument{'s' * (n != 1)}" if n else "no arguments"
            raise TypeError(f"{self.name}() takes {expected} ({value} given)")
        if index == RESULT:
            self._refuse("must return", self.signature.results[0], value)
        if index in (FIRST, SECOND):
            second = index == SECOND
            what = f"must return as its {'second' if second else 'first'} result"
            self._refuse(what, self.signature.results[second], value[second])
        if index == PAIR:
            size = f" of {len(value)}" if isinstance(value, tuple) else ""
            raise TypeError(f"{self.name}() must return a tuple of 2, not {type(value).__name__}{size}")
        if index == DEPTH:
            raise RecursionError(f"maximum recursion depth exceeded in {self.name}(): the C stack is nearly full")
        parameter = self.signature.parameters[index]
        if parameter.type.kind == "struct":
            wanted, given = self.structs[parameter.shown].__qualname__, type(value).__name__
            raise TypeError(f"{self.name}() argument {parameter.shown!r} must be a {wanted}, not {given}")
        self._refuse(f"argument {parameter.shown!r} must be", parameter.type, value)

    def _refuse(self, what: str, kind: Type, value: Any) -> NoReturn:
        given = type(value).__name__
        if kind.kind == "buffer":
            self._refuse_buffer(what, kind, value)
        if kind.kind == "callable":
            raise TypeError(f"{self.name}() {what} callable, not {given}")
        if kind.kind == "float":
            if hasattr(value, "__float__"):
                float(value)  # what it raises itself is better than what could be said here
            raise TypeError(f"{self.name}() {what} a number, not {given}")
        if kind.kind == "ptr" and not hasattr(value, "__index__"):
            raise TypeError(f"{self.name}() {what} an address (an integer) or None, not {given}")
        if kind.kind == "bool":
            bool(value)
            raise TypeError(f"{self.name}() {what} something with a truth value, not {given}")
        if not hasattr(value, "__index__"):
            raise TypeError(f"{self.name}() {what} an integer, not {given}")
        low = -(1 << (8 * kind.size - 1)) if kind.signed else 0
        high = (1 << (8 * kind.size - kind.signed)) - 1
        raise OverflowError(f"{self.name}() {what} {kind.name}, from {low} to {high}, not {operator.index(value)}")

    def _refuse_buffer(self, what: str, kind: Type, value: Any) -> NoReturn:
        wanted = f"a {'writable ' * kind.writable}buffer"
        wanted += f" of {kind.name.removeprefix('mut ').removesuffix('[]')}" if kind.codes else ""
        given = type(value).__name__
        try:
            view = memoryview(value)
        except TypeError:
            raise TypeError(f"{self.name}() {what} {wanted}, not {given}") from None
        if kind.writable and view.readonly:
            raise TypeError(f"{self.name}() {what} {wanted}; this {given} is read-only")
        if not view.c_contiguous:
            raise ValueError(f"{self.name}() {what} {wanted}, contiguous; this {given} is not")
        raise TypeError(f"{self.name}() {what} {wanted}; the elements of this {given} are {view.format!r}")


COUNT, RESULT, DEPTH, PAIR, FIRST, SECOND = -1, -2, -3, -4, -5, -6
"""Numbers for the explainer besides those of arguments."""


# --------------------------------------------------------------------------------------------------- copies of adapters


SMALL_INTS = (-5, 256)
"""CPython keeps these integers ready, one after the other. Source: Include/internal/pycore_global_objects.h."""


@functools.cache
def small_ints() -> int:
    """The address of the integer 0 among those that are kept ready; 0 if they do not lie as they should."""
    low, high = SMALL_INTS
    zero = id(0)
    return zero if all(id(value) == zero + 32 * value for value in range(low, high + 1)) else 0


def _common(name: str) -> int:
    """What a slot holds that is the same for all adapters of this process."""
    kind, _, what = name.partition(" ")
    match kind:
        case "api":
            return python_api()[what]
        case "small":
            return small_ints() + 32 * int(what.rpartition(" ")[2])
    return runtime.stack_slow() if what == "slow" else runtime.stack_cell()


SHORT = 16
"""A body of at most so many bytes, that does nothing with the stack, is copied into its adapter instead of called."""


def _nothing(size: int) -> bytes:
    """No-operations. Source: Intel SDM, "NOP"."""
    most = bytes.fromhex("0f1f840000000000")
    return most * (size // 8) + b"\x66" * max(0, size % 8 - 1) + b"\x90" * (size % 8 > 0)


@dataclass(frozen=True, slots=True)
class _Template:
    """An adapter's code for address 0, which runs anywhere and in any process once its slots (offset by name) are
    filled in. `structs` names the slots of the structures among its parameters."""

    data: bytes
    unwinding: bytes
    slots: dict[str, int]
    entries: dict[str, int]
    structs: list[str]

    def copy(
        self, what: str, memory: CodeMemory, values: dict[str, int], entries: Iterable[str], short: bytes = b""
    ) -> tuple[tuple[object, ...], list[int]]:
        """A copy with its slots filled in: what keeps it, and the addresses of entries. `what` is its name in tools.

        short: a body that is copied along"""
        data = bytearray(self.data)
        table = (len(data) + 15) & -16
        data += bytes(table - len(data)) + self.unwinding
        for name, offset in self.slots.items():
            value = values[name] if name in values else _common(name)
            data[offset : offset + 8] = value.to_bytes(8, "little")
        block = memory.allocate(len(data), 64)
        near = self.entries.get("near body")
        if near is not None:
            distance = values["body"] - (block.address + near + 5)
            data[near + 1 : near + 5] = distance.to_bytes(4, "little", signed=True)
        if "short body" in self.entries:
            start = self.entries["short body"]
            data[start : start + SHORT] = short + _nothing(SHORT - len(short))
        block.write(0, data)
        keep: tuple[object, ...] = (block, unwind.register(block.address + table, block))
        if debug.enabled():
            frames = (block.address + table, self.unwinding)
            keep += (debug.announce(what, block.address, len(self.data), (), frames),)
        return keep, [block.address + self.entries[name] for name in entries]

    def pack(self) -> bytes:
        """As bytes, to be kept for another process of the same Python on the same machine."""
        return json.dumps(
            [self.data.hex(), self.unwinding.hex(), self.slots, self.entries, self.structs], separators=(",", ":")
        ).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> _Template:
        """What `pack` made. Errors: ValueError."""
        data, unwinding, slots, entries, structs = json.loads(packed)
        return cls(bytes.fromhex(data), bytes.fromhex(unwinding), slots, entries, structs)


class _Templates:
    """The adapters that were made so far, by what they depend on. Knowledge only: a template never changes."""

    def __init__(self) -> None:
        self._lock = lock_over_forks()
        self._known: dict[tuple[object, ...], _Template] = {}

    def get(self, key: tuple[object, ...], make: Callable[[], Adapter]) -> _Template:
        found = self._known.get(key)
        if found is None:
            with self._lock:
                adapter = make()
                adapter.finish()
                made = adapter.assemble(0)
                slots = {name: made.labels[f"slot {name}"] for name in adapter.filled}
                entries = {name: place for name, place in made.labels.items() if name in _ENTRIES}
                found = _Template(bytes(made.data), bytes(made.unwinding), slots, entries, adapter.structs)
                self._known[key] = found
        return found

    def learn(self, key: tuple[object, ...], packed: bytes) -> None:
        """Have a template that another process packed."""
        if key not in self._known:
            self._known[key] = _Template.unpack(packed)


_ENTRIES = ("entry", "near body", "short body", "checked", "unchecked")
"""The labels of templates that copies are asked for."""
_TEMPLATES = _Templates()


# ----------------------------------------------------------------------------------------------------- Python -> native


def native_function(
    address: int,
    signature: str | Signature,
    *,
    name: str,
    doc: str | None = None,
    module: str | None = None,
    keep: Iterable[object] = (),
    uses: Iterable[object] = (),
    nogil: bool = False,
    calls_back: bool = False,
    short: bytes = b"",
    memory: CodeMemory | None = None,
) -> BuiltinFunctionType:
    """A builtin around native code that follows the host's C calling convention.

    nogil:      release the GIL while the native code runs; it may then touch Python by callbacks only
    calls_back: the native code uses callbacks, so it may return with an exception set
    short:      the native code without the return at its end, at most SHORT bytes that run anywhere and leave the stack
                alone: it is copied, not called
    keep, uses: see calls.builtin

    Errors: SignatureError."""
    known = parse_signature(signature) if isinstance(signature, str) else signature
    memory = memory or code_memory()
    entered = entry(address, known, name=name, way=Way(nogil, calls_back), short=short, memory=memory)
    return builtin(
        entered.address,
        name,
        doc=doc,
        signature=str(known),
        module=module,
        keep=(*entered.keep, *keep),
        uses=(*entered.uses, *uses),
        memory=memory,
    )


@dataclass(frozen=True, slots=True)
class Way:
    """How a builtin's code treats its body.

    nogil:      release the GIL while it runs
    calls_back: it may return with an exception set
    status:     it says so in RCX, which is not 0 then
    limit:      its first argument is the lowest address to which the thread's stack pointer may go"""

    nogil: bool = False
    calls_back: bool = False
    status: bool = False
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Entered:
    """Code that checks and converts arguments and calls a body: what METH_FASTCALL wants. `keep`, `uses`: as for
    calls.builtin."""

    address: int
    keep: tuple[object, ...]
    uses: tuple[object, ...]


def _entry_template(signature: Signature, way: Way, body: str) -> _Template:
    def _entry() -> Adapter:
        from tracklayer.native.adapters import Entry

        return Entry(signature, way, body)

    return _TEMPLATES.get(("entry", signature.shape, way, body), _entry)


def entry(
    address: int,
    signature: Signature,
    *,
    name: str,
    way: Way,
    structs: Mapping[str, type] | None = None,
    short: bytes = b"",
    memory: CodeMemory | None = None,
) -> Entered:
    """The code of a builtin around a body at `address`.

    structs: the classes of the parameters of type struct, in their order
    short:   see native_function"""
    memory = memory or code_memory()
    body = "short" if short and not debug.enabled() else "near" if address in memory else "far"
    template = _entry_template(signature, way, body)
    explainer = _Explainer(name, signature, structs)
    classes = tuple((structs or {}).values())
    values = {"body": address, "explainer": id(explainer)}
    values |= {slot: id(cls) for slot, cls in zip(template.structs, classes, strict=True)}
    made, (start,) = template.copy(f"{name} (entry)", memory, values, ("entry",), short)
    return Entered(start, made, (explainer, *classes))


def pack_entry(signature: Signature, way: Way) -> bytes:
    """The adapter that `entry` uses for a body in the same memory, for another process: see `learn_entry`."""
    return _entry_template(signature, way, "near").pack()


def learn_entry(signature: Signature, way: Way, packed: bytes) -> None:
    """Have an adapter without assembling it. `packed` is of the same Python, on the same machine.
    Errors: ValueError."""
    _TEMPLATES.learn(("entry", signature.shape, way, "near"), packed)


# ----------------------------------------------------------------------------------------------------- native -> Python


@dataclass(frozen=True)
class Callback:
    """A C function that calls a Python callable. It may be called as long as this object is held.

    address:   sets the carry flag and ECX if it failed (an exception is set), clears both otherwise
    unchecked: the same for callers that do not look: it does nothing where an exception waits already"""

    address: int
    unchecked: int
    keep: tuple[object, ...]
    function: Callable[..., Any]
    explainer: object


def callback(
    function: Callable[..., Any],
    signature: str | Signature,
    *,
    nogil: bool = False,
    abi: str | None = None,
    memory: CodeMemory | None = None,
) -> Callback:
    """A Python callable as a C function.

    nogil: whether callers may come without the GIL (another thread, a function with nogil=True); costs about 30 ns

    Errors: SignatureError; TypeError for what is not callable."""
    if not callable(function):
        raise TypeError(f"a callback is something callable, not {type(function).__name__}")
    known = parse_signature(signature) if isinstance(signature, str) else signature
    convention = abi or ("win64" if sys.platform == "win32" else "sysv")
    key = ("callback", known.shape, nogil, convention)

    def _adapter() -> Adapter:
        from tracklayer.native.adapters import callback_adapter

        return callback_adapter(known, nogil, convention)

    template = _TEMPLATES.get(key, _adapter)
    explainer = _Explainer(getattr(function, "__qualname__", type(function).__name__), known)
    values = {"callable": id(function), "explainer": id(explainer)}
    name = f"{getattr(function, '__name__', 'object')} (callback)"
    made, (checked, unchecked) = template.copy(name, memory or code_memory(), values, ("checked", "unchecked"))
    return Callback(checked, unchecked, made, function, explainer)


def calling(
    signature: str | Signature, *, name: str, nogil: bool = False, memory: CodeMemory | None = None
) -> Callback:
    """A C function that calls whatever callable is its first argument, with the others; as `callback` otherwise.

    name: what messages about results call it
    nogil: as for callback

    Errors: SignatureError."""
    known = parse_signature(signature) if isinstance(signature, str) else signature
    convention = "win64" if sys.platform == "win32" else "sysv"
    template = _calling_template(known, nogil, convention)
    explainer = _Explainer(name, known)
    values = {"explainer": id(explainer)}
    made, (checked, unchecked) = template.copy(name, memory or code_memory(), values, ("checked", "unchecked"))
    return Callback(checked, unchecked, made, _nobody, explainer)


def _calling_template(signature: Signature, nogil: bool, convention: str) -> _Template:
    key = ("calling", signature.shape, nogil, convention)

    def _adapter() -> Adapter:
        from tracklayer.native.adapters import callback_adapter

        return callback_adapter(signature, nogil, convention, given=True)

    return _TEMPLATES.get(key, _adapter)


def pack_calling(signature: Signature, nogil: bool) -> bytes:
    """The adapter that `calling` uses, for another process: see `learn_calling`."""
    return _calling_template(signature, nogil, "win64" if sys.platform == "win32" else "sysv").pack()


def learn_calling(signature: Signature, nogil: bool, packed: bytes) -> None:
    """As learn_entry. Errors: ValueError."""
    convention = "win64" if sys.platform == "win32" else "sysv"
    _TEMPLATES.learn(("calling", signature.shape, nogil, convention), packed)


def _nobody(*arguments: object) -> NoReturn:
    """Stands where a callable is not known beforehand."""
    raise TypeError("there is no callable")


__all__ = [
    "Callback",
    "Entered",
    "Parameter",
    "Signature",
    "SignatureError",
    "Type",
    "Way",
    "callback",
    "calling",
    "entry",
    "learn_calling",
    "learn_entry",
    "native_function",
    "pack_calling",
    "pack_entry",
    "parse_signature",
]
