"""What assembly source written in Python has, whatever the processor: labels, data, imports, origins, listings.

For:       the part that the assemblers for x86-64 (assembler.py) and arm64 (arm64.py) share; the errors they raise;
           what they hand out.
Not for:   instructions, operands, placing.
Invariant: an error is raised, or names, at the line of Python that caused it.
"""

from __future__ import annotations

import abc
import contextlib
import ctypes
import functools
import linecache
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tracklayer.native.capi import address_of
from tracklayer.native.memory import Block
from tracklayer.native.operands import Label, Symbol

# Whoever is called from one of these is not the one who wrote the line.
_OWN_FILES = frozenset(
    [functools.__file__, *(os.path.join(os.path.dirname(__file__), f"{name}.py") for name in
                           ("source", "instructions", "framing", "assembler", "arm64", "adapters", "functions"))]
)  # fmt: skip


Origin = tuple[str, int]
"""A file and a line in it."""


class AssemblyError(ValueError):
    """What was written cannot be assembled. `file` and `line` say where it was written."""

    def __init__(self, message: str, origin: Origin) -> None:
        self.file, self.line = origin
        source = linecache.getline(*origin).strip()
        super().__init__(f"{self.file}:{self.line}: {message}" + (f"\n    {source}" if source else ""))


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one label lies behind another; a number that `dd` and `dq` can store."""

    to: Label | str
    start: Label | str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a listing."""

    address: int
    data: bytes
    text: str
    file: str
    line: int

    def __str__(self) -> str:
        shown = self.data[:10].hex(" ") + (" .." if len(self.data) > 10 else "")
        source = f"{self.file.rpartition('/')[2]}:{self.line}"
        return f"{self.address:012x}  {shown:<32}  {self.text:<40}  ; {source}".rstrip()


@dataclass(frozen=True, slots=True)
class Listing:
    """What was assembled, line by line: address, bytes, instruction, and the line of Python that wrote it."""

    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))


@dataclass(frozen=True, slots=True)
class Assembled:
    """Bytes for one address. `labels` are addresses; `unwinding` is the frame table for them."""

    address: int
    data: bytes
    labels: Mapping[str, int]
    listing: Listing
    unwinding: bytes


@dataclass(frozen=True)
class Code:
    """Assembled code in code memory. It can run as long as this object (or a builtin made of it) is held."""

    block: Block
    labels: Mapping[str, int]
    listing: Listing
    keep: tuple[object, ...] = field(repr=False)
    uses: tuple[object, ...] = field(repr=False)

    @property
    def address(self) -> int:
        """Where the code begins."""
        return self.block.address


class Source(abc.ABC):
    """What is written so far, apart from instructions. Each assembler says how it takes labels and data in."""

    _HIDDEN = ".{}"
    """Names of labels that nobody named; what begins with a dot is in no listing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls_back = False
        self._labels: dict[str, Label] = {}
        self._pool: dict[tuple[bytes, int], Label] = {}
        self._keep: list[object] = []
        self._uses: list[object] = []
        self._count = 0

    @abc.abstractmethod
    def _place_label(self, label: Label, origin: Origin) -> None:
        """Note that a label stands here."""

    @abc.abstractmethod
    def _put(self, raw: bytes, origin: Origin) -> None:
        """Add bytes as they are."""

    @abc.abstractmethod
    def _put_address(self, target: Label | str, origin: Origin) -> None:
        """Add the address of a label, in eight bytes."""

    @abc.abstractmethod
    def _put_distance(self, distance: Distance, width: int, origin: Origin) -> None:
        """Add the distance between two labels, in so many bytes."""

    def _origin(self) -> Origin:
        """The line outside of this toolkit that is being run."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename in _OWN_FILES:
            frame = frame.f_back
        return frame.f_code.co_filename, frame.f_lineno

    # ------------------------------------------------------------------------------------------------ labels and data

    def _next(self) -> int:
        self._count += 1
        return self._count

    def forward(self, name: str | None = None) -> Label:
        """A label to be placed later."""
        name = name or self._HIDDEN.format(self._next())
        if name in self._labels:
            raise AssemblyError(f"there is a label {name!r} already", self._origin())
        label = self._labels[name] = Label(name, self._origin())
        return label

    def label(self, name: str | Label | None = None) -> Label:
        """Place a label here. A name, a label from `forward`, or nothing for a label without a name."""
        known = self._labels.get(name) if isinstance(name, str) else name
        label = known if isinstance(known, Label) else self.forward(name if isinstance(name, str) else None)
        if label.fragment >= 0:
            raise AssemblyError(f"the label {label.name!r} is placed twice", self._origin())
        self._place_label(label, self._origin())
        return label

    def data(self, data: bytes | bytearray | str) -> None:
        """Bytes as they are; a text as UTF-8."""
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self._put(raw, self._origin())

    def _numbers(self, width: int, values: Iterable[int | float | Label | str | Symbol | Distance]) -> None:
        origin = self._origin()
        for value in values:
            if isinstance(value, float):
                raw = struct.pack("<d" if width == 8 else "<f", value) if width in (4, 8) else b""
                if not raw:
                    raise AssemblyError("floats have 4 or 8 bytes", origin)
                self._put(raw, origin)
            elif isinstance(value, Label | str):
                if width != 8:
                    raise AssemblyError("an address has 8 bytes: use dq", origin)
                self._put_address(value, origin)
            elif isinstance(value, Distance):
                self._put_distance(value, width, origin)
            else:
                number = value.address if isinstance(value, Symbol) else value
                if not -(1 << (8 * width - 1)) <= number < 1 << 8 * width:
                    raise AssemblyError(f"{number} does not fit {width} bytes", origin)
                raw = (number & ((1 << 8 * width) - 1)).to_bytes(width, "little")
                self._put(raw, origin)

    def db(self, *values: int) -> None:
        """Numbers of one byte each."""
        self._numbers(1, values)

    def dw(self, *values: int) -> None:
        """Numbers of two bytes each."""
        self._numbers(2, values)

    def dd(self, *values: int | float | Distance) -> None:
        """Numbers of four bytes each; floats in single precision; distances between labels."""
        self._numbers(4, values)

    def dq(self, *values: int | float | Label | str | Symbol | Distance) -> None:
        """Numbers of eight bytes each; floats in double precision; addresses of labels and symbols."""
        self._numbers(8, values)

    def space(self, size: int) -> None:
        """So many zero bytes. They cannot be written when the code runs: code memory is read-only."""
        self.data(bytes(size))

    def _constant(self, raw: bytes, align: int) -> Label:
        """A label in the pool behind the code, where these bytes stand once."""
        label = self._pool.get((raw, align))
        if label is None:
            label = self._pool[raw, align] = self.forward(f".constant{self._next()}")
        return label

    # ---------------------------------------------------------------------------------------------------- imports

    def c_function(self, what: Any, library: str | None = None) -> Symbol:
        """A C function to call or jump to: a ctypes function, or a name in a library (by default in the process
        itself).
        Errors: AssemblyError where there is no such function or library."""
        origin = self._origin()
        if isinstance(what, str):
            try:
                what = getattr(ctypes.CDLL(library), what)
            except (OSError, AttributeError) as error:
                raise AssemblyError(f"no C function {what!r} in {library or 'the process'}: {error}", origin) from None
        try:
            symbol = Symbol(getattr(what, "__name__", "function"), address_of(what), what)
            self.calls_back |= isinstance(what, _PYTHON_FUNCTION_TYPE)  # it may run Python code, and raise
        except TypeError as error:
            raise AssemblyError(str(error), origin) from None
        self._keep.append(what)
        return symbol

    def object(self, what: Any) -> Symbol:
        """The address of a Python object, for `mov(rdi, a.object(x))`. The code owns a reference to it."""
        self._uses.append(what)
        return Symbol(f"<{type(what).__name__}>", id(what), what, True)

    def buffer(self, what: Any) -> Symbol:
        """The address of what a buffer holds (a bytearray, an array, a NumPy array). The buffer stays as it is (it
        cannot be resized) as long as the code exists.
        Errors: AssemblyError for what has no contiguous buffer."""
        try:
            view = memoryview(what)
            if not view.c_contiguous:
                raise AssemblyError("the buffer is not contiguous", self._origin())
            holder = _Exported(what)
        except (TypeError, BufferError) as error:
            raise AssemblyError(str(error), self._origin()) from None
        self._keep.append(holder)
        return Symbol(f"<{type(what).__name__} buffer>", holder.address, what)


def bytes_of(value: bytes | int | float, size: int) -> bytes:
    """A constant as it stands in memory, little end first."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return struct.pack("<d" if size == 8 else "<f", value)
    return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


class _Exported:
    """Holds a buffer of an object exported, at a known address, until it dies."""

    def __init__(self, what: Any) -> None:
        self._raw = (ctypes.c_char * 80)()  # Py_buffer: 80 bytes; its first word is the address
        get = ctypes.pythonapi.PyObject_GetBuffer
        get.argtypes = (ctypes.py_object, ctypes.c_void_p, ctypes.c_int)
        get(what, ctypes.addressof(self._raw), 0)  # PyBUF_SIMPLE
        self.address = ctypes.c_void_p.from_buffer(self._raw).value or 0
        self._release = ctypes.pythonapi.PyBuffer_Release
        self._release.argtypes = (ctypes.c_void_p,)
        self._release.restype = None

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            self._release(ctypes.addressof(self._raw))


_PYTHON_FUNCTION_TYPE: Any = type(ctypes.pythonapi.Py_DecRef)
