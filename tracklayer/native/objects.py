"""Relocatable objects, read and checked: ELF64 for x86-64 and arm64.

For:       `parse(object) -> ObjectFile`: sections, symbols, relocations, and each function with its holes still open.
Not for:   placing one and resolving its relocations (linking.py).
Invariant: whatever the bytes are, reading them gives an object or an `ObjectError`, never a read outside of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracklayer.native.relocations import kind_name

if TYPE_CHECKING:
    from tracklayer.native.linking import Layout


class ObjectError(ValueError):
    """The object cannot be read, or cannot be placed. The message names the section, symbol or relocation at fault."""


class UndefinedSymbols(ObjectError):
    """The object uses names that nobody gave an address for. `names` lists them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))
        super().__init__(f"undefined symbols: {', '.join(self.names)}")


_SECTION = np.dtype(
    [
        ("name", "<u4"),
        ("type", "<u4"),
        ("flags", "<u8"),
        ("addr", "<u8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("link", "<u4"),
        ("info", "<u4"),
        ("align", "<u8"),
        ("entsize", "<u8"),
    ]
)
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_RELA = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])

SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL, SHT_NOTE = 1, 2, 3, 4, 8, 9, 7
SHF_WRITE, SHF_ALLOC, SHF_EXEC, SHF_TLS = 0x1, 0x2, 0x4, 0x400
SHN_ABS, SHN_COMMON, SHN_RESERVED = 0xFFF1, 0xFFF2, 0xFF00
STT_FUNC, STT_SECTION, STT_FILE, STT_TLS = 2, 3, 4, 6
STB_WEAK = 2
_MACHINES = {62: "x86-64", 183: "aarch64"}
HOSTS = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "aarch64", "arm64": "aarch64"}
LARGEST_ALIGN = 4096

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]


class Section(NamedTuple):
    """One section of an object. `data` is empty for sections without bytes in the file (.bss)."""

    number: int
    name: str
    kind: int
    flags: int
    size: int
    align: int
    data: memoryview


class Relocation(NamedTuple):
    """A place in code that waits for an address.

    offset:  from the start of the function (or section) it stands in
    kind:    the name in the ABI's table, such as "R_X86_64_PLT32"
    symbol:  what it waits for; for a section's own symbol the section's name
    addend:  to be added
    section: the name of the section in which `symbol` is defined, None if it is defined outside: a hole
    value:   where in that section `symbol` stands"""

    offset: int
    kind: str
    symbol: str
    addend: int
    section: str | None
    value: int


@dataclass(frozen=True, slots=True)
class Function:
    """One function of an object: its bytes, and what is still open in them."""

    name: str
    section: str
    offset: int
    align: int
    code: bytes
    relocations: tuple[Relocation, ...]

    @property
    def holes(self) -> tuple[Relocation, ...]:
        """The relocations against symbols that are defined outside the object."""
        return tuple(relocation for relocation in self.relocations if relocation.section is None)


def parse(data: bytes | bytearray | memoryview) -> ObjectFile:
    """Read a relocatable ELF64 object.
    Errors: ObjectError."""
    view = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
    head = bytes(view[:64])
    if head[:4] != b"\x7fELF":
        raise ObjectError(_not_elf(head))
    if len(head) < 64:
        raise ObjectError(f"the object ends inside its header: {len(head)} bytes")
    if head[4] != 2 or head[5] != 1:
        raise ObjectError("only 64-bit little-endian ELF objects can be loaded")
    kind = int.from_bytes(head[16:18], "little")
    if kind != 1:
        raise ObjectError(f"not a relocatable object: ELF type {kind} (2 is a program, 3 a shared library)")
    number = int.from_bytes(head[18:20], "little")
    machine = _MACHINES.get(number)
    if machine is None:
        raise ObjectError(f"an object for ELF machine {number}: only x86-64 (62) and aarch64 (183) can be loaded")
    table = int.from_bytes(head[40:48], "little")
    size, count, names = (int.from_bytes(head[at : at + 2], "little") for at in (58, 60, 62))
    if count == 0 or size != _SECTION.itemsize:
        raise ObjectError(f"a section table of {count} entries of {size} bytes; at most 65,279 of 64 can be read")
    if table + count * size > len(view):
        raise ObjectError("the section table lies outside the object")
    headers = np.frombuffer(view, _SECTION, count, table)
    stored = headers["type"] != SHT_NOBITS
    stored &= headers["type"] != 0
    ends = headers["offset"] + headers["size"]
    outside = stored & ((ends > len(view)) | (ends < headers["offset"]))
    if outside.any():
        raise ObjectError(f"section {int(outside.nonzero()[0][0])} lies outside the object")
    if names >= count:
        raise ObjectError(f"the section names are in section {names} of {count}")
    return ObjectFile(machine, view, headers, names)


def _not_elf(head: bytes) -> str:
    if not head:
        return "an empty object"
    if head[:4] in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"):
        return (
            "a Mach-O object: only ELF can be loaded; compile for the triple ...-unknown-linux-gnu or ...-elf instead"
        )
    if head[:2] in (b"\x64\x86", b"\x64\xaa"):
        return "a COFF object: only ELF can be loaded; compile for the triple x86_64-pc-windows-elf instead"
    return f"not an ELF object: it begins with {head[:4].hex(' ')}"


def _strings(data: memoryview) -> str:
    """A string table as one text, in which offsets are still those of the bytes."""
    return bytes(data).decode("latin-1")


def name_at(table: str, offset: int) -> str:
    """The name that begins at `offset` of a string table."""
    if offset >= len(table):
        raise ObjectError(f"a name at offset {offset} of a string table of {len(table)} bytes")
    end = table.find("\0", offset)
    if end < 0:
        raise ObjectError(f"the name at offset {offset} of a string table has no end")
    name = table[offset:end]
    return name if name.isascii() else name.encode("latin-1").decode("utf-8", "replace")


class ObjectFile:
    """A relocatable object, read and checked. Made by `parse`."""

    def __init__(self, machine: str, data: memoryview, headers: NDArray[Any], names: int) -> None:
        self.machine = machine
        self._data = data
        self.headers = headers
        table = _strings(self._bytes(names))
        rows = zip(
            headers["name"].tolist(),
            headers["type"].tolist(),
            headers["flags"].tolist(),
            headers["size"].tolist(),
            headers["align"].tolist(),
            strict=True,
        )
        self.sections = tuple(
            Section(i, name_at(table, name), kind, flags, size, align or 1, self._bytes(i))
            for i, (name, kind, flags, size, align) in enumerate(rows)
        )
        self._read_symbols()
        self._read_relocations()

    def _bytes(self, index: int) -> memoryview:
        header = self.headers[index]
        if header["type"] in (0, SHT_NOBITS):
            return self._data[:0]
        start = int(header["offset"])
        return self._data[start : start + int(header["size"])]

    def _read_symbols(self) -> None:
        tables = (self.headers["type"] == SHT_SYMTAB).nonzero()[0].tolist()
        if len(tables) > 1:
            raise ObjectError("more than one symbol table")
        self._symtab = tables[0] if tables else -1
        if not tables:
            self.symbol_table = np.zeros(1, _SYMBOL)
            self.names = "\0"
            return
        link = int(self.headers["link"][self._symtab])
        if link >= len(self.sections) or self.sections[link].kind != SHT_STRTAB:
            raise ObjectError(f"the symbols' names are in section {link}, which is no string table")
        self.names = _strings(self.sections[link].data)
        data = self.sections[self._symtab].data
        self.symbol_table = np.frombuffer(data, _SYMBOL, len(data) // _SYMBOL.itemsize)
        where = self.symbol_table["section"]
        normal = (where > 0) & (where < SHN_RESERVED)
        bad = normal & (where >= len(self.sections))
        if bad.any():
            index = int(bad.nonzero()[0][0])
            raise ObjectError(
                f"symbol {self.symbol_name(index)!r} is in section {int(where[index])}, which is not there"
            )
        sizes = self.headers["size"][np.where(normal, where, 0)]
        end = self.symbol_table["value"] + self.symbol_table["size"]
        bad = normal & ((end > sizes) | (end < self.symbol_table["value"]))
        if bad.any():
            index = int(bad.nonzero()[0][0])
            name = self.symbol_name(index)
            raise ObjectError(f"symbol {name!r} lies outside its section {self.sections[int(where[index])].name}")

    def _read_relocations(self) -> None:
        """All relocations of all sections, as parallel arrays."""
        tables = []
        for section in self.sections:
            if section.kind == SHT_REL:
                raise ObjectError(f"section {section.name}: relocations without addends are not used on {self.machine}")
            if section.kind != SHT_RELA:
                continue
            target, link = int(self.headers["info"][section.number]), int(self.headers["link"][section.number])
            if target == 0 or target >= len(self.sections) or link != self._symtab:
                raise ObjectError(f"section {section.name} relocates section {target} by symbol table {link}")
            if len(section.data) % _RELA.itemsize:
                raise ObjectError(f"section {section.name} ends inside a relocation")
            tables.append((target, np.frombuffer(section.data, _RELA)))
        self.place = np.repeat(
            np.array([target for target, _ in tables], np.int64), [len(table) for _, table in tables] if tables else 0
        )
        self.relocation_table = np.concatenate([table for _, table in tables]) if tables else np.zeros(0, _RELA)
        self.offsets = self.relocation_table["offset"].astype(np.int64)
        outside = (self.offsets < 0) | (self.offsets >= self.headers["size"][self.place].astype(np.int64))
        if outside.any():
            first = int(outside.nonzero()[0][0])
            section = self.sections[int(self.place[first])]
            raise ObjectError(f"a relocation at offset {int(self.offsets[first])} of {section.name}, outside of it")
        if len(self.relocation_table) and int(self.relocation_table["symbol"].max()) >= len(self.symbol_table):
            raise ObjectError(
                f"a relocation names symbol {int(self.relocation_table['symbol'].max())}, which is not there"
            )

    def symbol_name(self, index: int) -> str:
        """A symbol's name; for a section's own symbol the section's."""
        symbol = self.symbol_table[index]
        where = int(symbol["section"])
        if int(symbol["info"]) & 15 == STT_SECTION and 0 < where < len(self.sections):
            return self.sections[where].name
        return name_at(self.names, int(symbol["name"]))

    def section(self, name: str) -> Section:
        """The section of that name. Errors: KeyError."""
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(name)

    @property
    def undefined(self) -> tuple[str, ...]:
        """The names that relocations use and the object does not define."""
        used = np.unique(self.relocation_table["symbol"])
        used = used[(self.symbol_table["section"][used] == 0) & (used > 0)]
        return tuple(self.symbol_name(int(index)) for index in used)

    @cached_property
    def _kind_names(self) -> dict[int, str]:
        return {int(n): kind_name(self.machine, int(n)) for n in np.unique(self.relocation_table["type"])}

    def relocations(self, section: str) -> tuple[Relocation, ...]:
        """The relocations in a section, by ascending offset; offsets count from its start."""
        chosen = (self.place == self.section(section).number).nonzero()[0]
        return self._describe(chosen[np.argsort(self.offsets[chosen], kind="stable")])

    def _describe(self, chosen: Ints, begin: Ints | int = 0) -> tuple[Relocation, ...]:
        rows = self.relocation_table[chosen]
        symbols = self.symbol_table[rows["symbol"]]
        names: dict[int, str] = {}
        result = []
        for offset, kind, symbol, addend, where, value in zip(
            (self.offsets[chosen] - begin).tolist(),
            rows["type"].tolist(),
            rows["symbol"].tolist(),
            rows["addend"].tolist(),
            symbols["section"].tolist(),
            symbols["value"].tolist(),
            strict=True,
        ):
            name = names.get(symbol)
            if name is None:
                name = names[symbol] = self.symbol_name(symbol)
            inside = self.sections[where].name if 0 < where < len(self.sections) else None
            result.append(Relocation(offset, self._kind_names[kind], name, addend, inside, value))
        return tuple(result)

    def functions(self) -> dict[str, Function]:
        """All functions, by name: bytes and open relocations. What they call outside are their holes."""
        symbols = self.symbol_table
        where = symbols["section"]
        chosen = (symbols["info"] & 15 == STT_FUNC) & (where > 0) & (where < len(self.sections))
        indices = chosen.nonzero()[0]
        order = np.lexsort((self.offsets, self.place))
        # One ascending number for section and offset, so that one search finds the relocations of every function.
        step = int(self.headers["size"].max()) + 1
        keys = self.place[order] * step + self.offsets[order]
        starts = where[indices].astype(np.int64) * step + symbols["value"][indices].astype(np.int64)
        lows = np.searchsorted(keys, starts).tolist()
        highs = np.searchsorted(keys, starts + symbols["size"][indices].astype(np.int64)).tolist()
        begin = np.zeros(len(order), np.int64)
        for low, high, start in zip(lows, highs, symbols["value"][indices].tolist(), strict=True):
            begin[low:high] = start
        everything = self._describe(order, begin)
        result = {}
        for index, low, high in zip(indices.tolist(), lows, highs, strict=True):
            symbol = symbols[index]
            section, start, size = self.sections[int(symbol["section"])], int(symbol["value"]), int(symbol["size"])
            name = self.symbol_name(index)
            code = bytes(section.data[start : start + size])
            result[name] = Function(name, section.name, start, section.align, code, everything[low:high])
        return result

    def layout(self, keep: Callable[[str], bool] | None = None) -> Layout:
        """Decide where each section goes, relative to an address still unknown.

        keep: which sections to place, by name; by default all that exist at run time.
        Errors: ObjectError for writable data, thread-local data and relocations of an unknown kind."""
        from tracklayer.native.linking import Layout

        return Layout(self, keep)
