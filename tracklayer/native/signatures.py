"""Signatures: what a native function takes and gives, as text and as `Signature`.

For:       `parse_signature`, the types that there are, how many arguments of native code each is.
Not for:   conversions (conversions.py), what is said where a value does not fit (refusals.py).
Invariant: a signature is read once; who has the same text has the same object.

A signature is `result(name: type, ...)`; names may be left out. Types:

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
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass


class SignatureError(ValueError):
    """A signature that cannot be read. The message says what was expected, and where."""


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
