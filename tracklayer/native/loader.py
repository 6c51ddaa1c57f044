"""The loader: relocatable objects, as LLVM makes them, become code in code memory.

For:       reading ELF64 objects for x86-64 and arm64; placing them; resolving their relocations; handing out functions
           with their holes still open, from which a copy-and-patch translator makes its stencils.
Not for:   shared libraries, archives, other formats; running anything (calls.py); unwinding tables (unwind.py).
Invariant: whatever the bytes are, reading them gives an object or an `ObjectError`, never a read outside of them. (Code
           inside that was tampered with is another matter: who keeps objects on disk keeps a checksum.)

Three ways in:

- `load(object, memory, externals) -> LoadedObject`: place it all, resolve it all, `symbols[name]` is where it runs.
- `parse(object) -> ObjectFile`: look at it. `functions()` gives each function's bytes and unresolved relocations.
- `ObjectFile.layout()` and `Layout.link(address, externals)`: the two halves of `load`, without any code memory.

Relocations are applied in bulk by NumPy, one kind at a time: an object of 1.1 MB with 1,500 functions and 30,000
relocations takes 6 to 9 ms. An object has no writable data of its own: code memory is read-only to code, so state
hangs from an argument. Calls that do not reach a function outside (a library, say) go over a small stub in the same
block, and addresses that LLVM loads from a global offset table get a table in the same block.

Sources: "System V Application Binary Interface, AMD64 Architecture Processor Supplement", Relocation; "ELF for the Arm
64-bit Architecture", Relocation.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracklayer.native.memory import Block, CodeMemory


class ObjectError(ValueError):
    """The object cannot be read, or cannot be placed. The message names the section, symbol or relocation at fault."""


class UndefinedSymbols(ObjectError):
    """The object uses names that nobody gave an address for. `names` lists them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))
        super().__init__(f"undefined symbols: {', '.join(self.names)}")


# ----------------------------------------------------------------------------------------------------------- ELF tables

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

_SHT_PROGBITS, _SHT_SYMTAB, _SHT_STRTAB, _SHT_RELA, _SHT_NOBITS, _SHT_REL, _SHT_NOTE = 1, 2, 3, 4, 8, 9, 7
_SHF_WRITE, _SHF_ALLOC, _SHF_EXEC, _SHF_TLS = 0x1, 0x2, 0x4, 0x400
_SHN_ABS, _SHN_COMMON, _SHN_RESERVED = 0xFFF1, 0xFFF2, 0xFF00
_STT_FUNC, _STT_SECTION, _STT_FILE, _STT_TLS = 2, 3, 4, 6
_STB_WEAK = 2
_MACHINES = {62: "x86-64", 183: "aarch64"}
_HOSTS = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "aarch64", "arm64": "aarch64"}
_LARGEST_ALIGN = 4096

_Ints = NDArray[np.int64]
_Bytes = NDArray[np.uint8]


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


# ----------------------------------------------------------------------------------------------------- relocation kinds


class _Kind(NamedTuple):
    """How one relocation kind is computed and stored.

    value: S symbol, A addend, P place, G offset of the symbol's slot in the table, GOT the table, Page() = & ~0xFFF
    store: bytes of a plain field ("1" "2" "4" "8"), or the name of an instruction field
    check: what the value must fit: "signed" or "unsigned" or "either" `bits`, or "" for no check"""

    name: str
    value: str
    store: str
    check: str = ""
    bits: int = 64


_X86 = {
    0: _Kind("R_X86_64_NONE", "", ""),
    1: _Kind("R_X86_64_64", "S+A", "8"),
    2: _Kind("R_X86_64_PC32", "S+A-P", "4", "signed", 32),
    4: _Kind("R_X86_64_PLT32", "L+A-P", "4", "signed", 32),
    9: _Kind("R_X86_64_GOTPCREL", "GOT+G+A-P", "4", "signed", 32),
    10: _Kind("R_X86_64_32", "S+A", "4", "unsigned", 32),
    11: _Kind("R_X86_64_32S", "S+A", "4", "signed", 32),
    12: _Kind("R_X86_64_16", "S+A", "2", "either", 16),
    13: _Kind("R_X86_64_PC16", "S+A-P", "2", "signed", 16),
    14: _Kind("R_X86_64_8", "S+A", "1", "either", 8),
    15: _Kind("R_X86_64_PC8", "S+A-P", "1", "signed", 8),
    24: _Kind("R_X86_64_PC64", "S+A-P", "8"),
    25: _Kind("R_X86_64_GOTOFF64", "S+A-GOT", "8"),
    26: _Kind("R_X86_64_GOTPC32", "GOT+A-P", "4", "signed", 32),
    27: _Kind("R_X86_64_GOT64", "G+A", "8"),
    28: _Kind("R_X86_64_GOTPCREL64", "GOT+G+A-P", "8"),
    29: _Kind("R_X86_64_GOTPC64", "GOT+A-P", "8"),
    31: _Kind("R_X86_64_PLTOFF64", "S+A-GOT", "8"),
    41: _Kind("R_X86_64_GOTPCRELX", "GOT+G+A-P", "relaxed", "signed", 32),
    42: _Kind("R_X86_64_REX_GOTPCRELX", "GOT+G+A-P", "relaxed", "signed", 32),
}

_ARM64 = {
    0: _Kind("R_AARCH64_NONE", "", ""),
    256: _Kind("R_AARCH64_NONE", "", ""),
    257: _Kind("R_AARCH64_ABS64", "S+A", "8"),
    258: _Kind("R_AARCH64_ABS32", "S+A", "4", "either", 32),
    259: _Kind("R_AARCH64_ABS16", "S+A", "2", "either", 16),
    260: _Kind("R_AARCH64_PREL64", "S+A-P", "8"),
    261: _Kind("R_AARCH64_PREL32", "S+A-P", "4", "either", 32),
    262: _Kind("R_AARCH64_PREL16", "S+A-P", "2", "either", 16),
    263: _Kind("R_AARCH64_MOVW_UABS_G0", "S+A", "movw 0", "unsigned", 16),
    264: _Kind("R_AARCH64_MOVW_UABS_G0_NC", "S+A", "movw 0"),
    265: _Kind("R_AARCH64_MOVW_UABS_G1", "S+A", "movw 16", "unsigned", 32),
    266: _Kind("R_AARCH64_MOVW_UABS_G1_NC", "S+A", "movw 16"),
    267: _Kind("R_AARCH64_MOVW_UABS_G2", "S+A", "movw 32", "unsigned", 48),
    268: _Kind("R_AARCH64_MOVW_UABS_G2_NC", "S+A", "movw 32"),
    269: _Kind("R_AARCH64_MOVW_UABS_G3", "S+A", "movw 48"),
    273: _Kind("R_AARCH64_LD_PREL_LO19", "S+A-P", "imm19", "signed", 21),
    274: _Kind("R_AARCH64_ADR_PREL_LO21", "S+A-P", "adr", "signed", 21),
    275: _Kind("R_AARCH64_ADR_PREL_PG_HI21", "Page(S+A)-Page(P)", "adrp", "signed", 33),
    276: _Kind("R_AARCH64_ADR_PREL_PG_HI21_NC", "Page(S+A)-Page(P)", "adrp"),
    277: _Kind("R_AARCH64_ADD_ABS_LO12_NC", "S+A", "lo12 0"),
    278: _Kind("R_AARCH64_LDST8_ABS_LO12_NC", "S+A", "lo12 0"),
    279: _Kind("R_AARCH64_TSTBR14", "S+A-P", "imm14", "signed", 16),
    280: _Kind("R_AARCH64_CONDBR19", "S+A-P", "imm19", "signed", 21),
    282: _Kind("R_AARCH64_JUMP26", "L+A-P", "imm26", "signed", 28),
    283: _Kind("R_AARCH64_CALL26", "L+A-P", "imm26", "signed", 28),
    284: _Kind("R_AARCH64_LDST16_ABS_LO12_NC", "S+A", "lo12 1"),
    285: _Kind("R_AARCH64_LDST32_ABS_LO12_NC", "S+A", "lo12 2"),
    286: _Kind("R_AARCH64_LDST64_ABS_LO12_NC", "S+A", "lo12 3"),
    299: _Kind("R_AARCH64_LDST128_ABS_LO12_NC", "S+A", "lo12 4"),
    311: _Kind("R_AARCH64_ADR_GOT_PAGE", "Page(GOT+G+A)-Page(P)", "adrp", "signed", 33),
    312: _Kind("R_AARCH64_LD64_GOT_LO12_NC", "GOT+G+A", "lo12 3"),
}
_KINDS = {"x86-64": _X86, "aarch64": _ARM64}
_STUB_SIZE = {"x86-64": 8, "aarch64": 16}


def _kind_name(machine: str, number: int) -> str:
    kind = _KINDS[machine].get(number)
    return kind.name if kind else f"{machine} relocation kind {number}"


# -------------------------------------------------------------------------------------------------------------- parsing


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
    stored = headers["type"] != _SHT_NOBITS
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


def _name(table: str, offset: int) -> str:
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
        self._headers = headers
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
            Section(i, _name(table, name), kind, flags, size, align or 1, self._bytes(i))
            for i, (name, kind, flags, size, align) in enumerate(rows)
        )
        self._read_symbols()
        self._read_relocations()

    def _bytes(self, index: int) -> memoryview:
        header = self._headers[index]
        if header["type"] in (0, _SHT_NOBITS):
            return self._data[:0]
        start = int(header["offset"])
        return self._data[start : start + int(header["size"])]

    def _read_symbols(self) -> None:
        tables = (self._headers["type"] == _SHT_SYMTAB).nonzero()[0].tolist()
        if len(tables) > 1:
            raise ObjectError("more than one symbol table")
        self._symtab = tables[0] if tables else -1
        if not tables:
            self._symbols = np.zeros(1, _SYMBOL)
            self._names = "\0"
            return
        link = int(self._headers["link"][self._symtab])
        if link >= len(self.sections) or self.sections[link].kind != _SHT_STRTAB:
            raise ObjectError(f"the symbols' names are in section {link}, which is no string table")
        self._names = _strings(self.sections[link].data)
        data = self.sections[self._symtab].data
        self._symbols = np.frombuffer(data, _SYMBOL, len(data) // _SYMBOL.itemsize)
        where = self._symbols["section"]
        normal = (where > 0) & (where < _SHN_RESERVED)
        bad = normal & (where >= len(self.sections))
        if bad.any():
            index = int(bad.nonzero()[0][0])
            raise ObjectError(
                f"symbol {self.symbol_name(index)!r} is in section {int(where[index])}, which is not there"
            )
        sizes = self._headers["size"][np.where(normal, where, 0)]
        end = self._symbols["value"] + self._symbols["size"]
        bad = normal & ((end > sizes) | (end < self._symbols["value"]))
        if bad.any():
            index = int(bad.nonzero()[0][0])
            name = self.symbol_name(index)
            raise ObjectError(f"symbol {name!r} lies outside its section {self.sections[int(where[index])].name}")

    def _read_relocations(self) -> None:
        """All relocations of all sections, as parallel arrays."""
        tables = []
        for section in self.sections:
            if section.kind == _SHT_REL:
                raise ObjectError(f"section {section.name}: relocations without addends are not used on {self.machine}")
            if section.kind != _SHT_RELA:
                continue
            target, link = int(self._headers["info"][section.number]), int(self._headers["link"][section.number])
            if target == 0 or target >= len(self.sections) or link != self._symtab:
                raise ObjectError(f"section {section.name} relocates section {target} by symbol table {link}")
            if len(section.data) % _RELA.itemsize:
                raise ObjectError(f"section {section.name} ends inside a relocation")
            tables.append((target, np.frombuffer(section.data, _RELA)))
        self._place = np.repeat(
            np.array([target for target, _ in tables], np.int64), [len(table) for _, table in tables] if tables else 0
        )
        self._relocations = np.concatenate([table for _, table in tables]) if tables else np.zeros(0, _RELA)
        self._offsets = self._relocations["offset"].astype(np.int64)
        outside = (self._offsets < 0) | (self._offsets >= self._headers["size"][self._place].astype(np.int64))
        if outside.any():
            first = int(outside.nonzero()[0][0])
            section = self.sections[int(self._place[first])]
            raise ObjectError(f"a relocation at offset {int(self._offsets[first])} of {section.name}, outside of it")
        if len(self._relocations) and int(self._relocations["symbol"].max()) >= len(self._symbols):
            raise ObjectError(f"a relocation names symbol {int(self._relocations['symbol'].max())}, which is not there")

    def symbol_name(self, index: int) -> str:
        """A symbol's name; for a section's own symbol the section's."""
        symbol = self._symbols[index]
        where = int(symbol["section"])
        if int(symbol["info"]) & 15 == _STT_SECTION and 0 < where < len(self.sections):
            return self.sections[where].name
        return _name(self._names, int(symbol["name"]))

    def section(self, name: str) -> Section:
        """The section of that name. Errors: KeyError."""
        for section in self.sections:
            if section.name == name:
                return section
        raise KeyError(name)

    @property
    def undefined(self) -> tuple[str, ...]:
        """The names that relocations use and the object does not define."""
        used = np.unique(self._relocations["symbol"])
        used = used[(self._symbols["section"][used] == 0) & (used > 0)]
        return tuple(self.symbol_name(int(index)) for index in used)

    @cached_property
    def _kind_names(self) -> dict[int, str]:
        return {int(n): _kind_name(self.machine, int(n)) for n in np.unique(self._relocations["type"])}

    def relocations(self, section: str) -> tuple[Relocation, ...]:
        """The relocations in a section, by ascending offset; offsets count from its start."""
        chosen = (self._place == self.section(section).number).nonzero()[0]
        return self._describe(chosen[np.argsort(self._offsets[chosen], kind="stable")])

    def _describe(self, chosen: _Ints, begin: _Ints | int = 0) -> tuple[Relocation, ...]:
        rows = self._relocations[chosen]
        symbols = self._symbols[rows["symbol"]]
        names: dict[int, str] = {}
        result = []
        for offset, kind, symbol, addend, where, value in zip(
            (self._offsets[chosen] - begin).tolist(),
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
        symbols = self._symbols
        where = symbols["section"]
        chosen = (symbols["info"] & 15 == _STT_FUNC) & (where > 0) & (where < len(self.sections))
        indices = chosen.nonzero()[0]
        order = np.lexsort((self._offsets, self._place))
        # One ascending number for section and offset, so that one search finds the relocations of every function.
        step = int(self._headers["size"].max()) + 1
        keys = self._place[order] * step + self._offsets[order]
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
        return Layout(self, keep)


# -------------------------------------------------------------------------------------------------------------- placing


class Layout:
    """Where an object's sections go, relative to the start of their block; `size` and `align` are what the block needs.

    In order: code, read-only data, unwinding tables, the table of addresses (GOT), stubs for far calls."""

    def __init__(self, file: ObjectFile, keep: Callable[[str], bool] | None) -> None:
        self.file = file
        placed = []
        for section in file.sections:
            if not section.flags & _SHF_ALLOC or section.kind == _SHT_NOTE or not section.size:
                continue
            if keep is not None and not keep(section.name):
                continue
            self._refuse(section)
            placed.append(section)
        placed.sort(key=self._rank)
        offset, self.align = 0, 16
        starts = np.full(len(file.sections), -1, np.int64)
        frames = []
        for section in placed:
            self.align = max(self.align, section.align)
            offset = (offset + section.align - 1) & -section.align
            starts[section.number] = offset
            if section.name.startswith(".eh_frame"):
                frames.append((offset, section.size))
                offset += 4  # the unwinder stops at a length of zero, which LLVM leaves to the linker
            offset += section.size
        self.placed = tuple(placed)
        self.starts = starts
        self.eh_frames = tuple(frames)
        self._choose(offset)

    @staticmethod
    def _refuse(section: Section) -> None:
        if section.flags & _SHF_TLS:
            raise ObjectError(f"section {section.name}: thread-local data cannot be loaded")
        if section.flags & _SHF_WRITE and not section.name.startswith((".data.rel.ro", ".ldata.rel.ro")):
            raise ObjectError(
                f"section {section.name} ({section.size} bytes) is writable, code memory is not: "
                "state must hang from an argument"
            )
        if section.kind == _SHT_NOBITS:
            raise ObjectError(f"section {section.name} has no bytes in the object")
        if section.align & (section.align - 1) or section.align > _LARGEST_ALIGN:
            raise ObjectError(f"section {section.name} wants an alignment of {section.align}")

    @staticmethod
    def _rank(section: Section) -> int:
        if section.flags & _SHF_EXEC:
            return 0
        return 2 if section.name.startswith(".eh_frame") else 1

    def _choose(self, offset: int) -> None:
        """Pick the relocations that matter, and give slots to the symbols that may need one."""
        file = self.file
        self.rows = (self.starts[file._place] >= 0).nonzero()[0]
        self.kinds = file._relocations["type"][self.rows].astype(np.int64)
        self.targets = file._relocations["symbol"][self.rows].astype(np.int64)
        table = _KINDS[file.machine]
        slots: list[_Ints] = []
        calls: list[_Ints] = []
        undefined = file._symbols["section"] == 0
        for number in np.unique(self.kinds).tolist():
            kind = table.get(number)
            if kind is None:
                first = self.rows[(self.kinds == number).nonzero()[0][0]]
                place = file.sections[int(file._place[first])].name
                raise ObjectError(
                    f"{place}+{int(file._offsets[first]):#x}: {_kind_name(file.machine, number)} is not known"
                )
            used = self.targets[self.kinds == number]
            if "G+" in kind.value:
                slots.append(used)
            elif kind.value.startswith("L"):
                calls.append(used[undefined[used]])
        empty = [np.zeros(0, np.int64)]
        self.called: _Ints = np.unique(np.concatenate(calls or empty))
        self.slotted: _Ints = np.unique(np.concatenate((slots or empty) + (calls or empty)))
        self.got = (offset + 7) & -8
        self.stubs = (self.got + 8 * len(self.slotted) + 15) & -16
        self.size = max(self.stubs + _STUB_SIZE[file.machine] * len(self.called), 1)

    def link(self, address: int, externals: Mapping[str, int] | None = None) -> bytearray:
        """The bytes to put at `address`, all relocations resolved.
        Errors: UndefinedSymbols, ObjectError."""
        return _Link(self, address, externals or {}).image

    def symbols(self, address: int) -> dict[str, int]:
        """The address of each named symbol in a placed section; of equal names the global one."""
        file = self.file
        symbols = file._symbols
        where = symbols["section"].astype(np.int64)
        inside = (where > 0) & (where < len(file.sections))
        starts = self.starts[np.where(inside, where, 0)]
        kinds = symbols["info"] & 15
        inside &= (starts >= 0) & (kinds != _STT_SECTION) & (kinds != _STT_FILE) & (symbols["name"] != 0)
        chosen = inside.nonzero()[0]
        chosen = chosen[np.argsort(symbols["info"][chosen] >> 4 != 0, kind="stable")]
        addresses = (starts[chosen] + symbols["value"][chosen].astype(np.int64) + address).tolist()
        names = file._names
        return {
            _name(names, name): where for name, where in zip(symbols["name"][chosen].tolist(), addresses, strict=True)
        }


class _Link:
    """One run over all relocations, for one address."""

    def __init__(self, layout: Layout, address: int, externals: Mapping[str, int]) -> None:
        self.layout = layout
        self.file = layout.file
        self.address = address
        self.image = bytearray(layout.size)
        self.bytes: _Bytes = np.frombuffer(self.image, np.uint8)
        for section in layout.placed:
            start = int(layout.starts[section.number])
            self.image[start : start + section.size] = section.data
        self.values = self._symbol_values(externals)
        self._fill_slots()
        file = self.file
        self.at: _Ints = layout.starts[file._place[layout.rows]] + file._offsets[layout.rows]
        self.limit: _Ints = (layout.starts + file._headers["size"].astype(np.int64))[file._place[layout.rows]]
        self.addends: _Ints = file._relocations["addend"][layout.rows]
        for number in np.unique(layout.kinds).tolist():
            kind = _KINDS[file.machine][number]
            if kind.value:
                self._apply(kind, (layout.kinds == number).nonzero()[0])

    def _symbol_values(self, externals: Mapping[str, int]) -> _Ints:
        """The address of every symbol that a placed relocation uses."""
        file, layout = self.file, self.layout
        symbols = file._symbols
        where = symbols["section"].astype(np.int64)
        normal = where < len(file.sections)
        starts = layout.starts[np.where(normal, where, 0)]
        values: _Ints = symbols["value"].astype(np.int64)
        values[normal] += (starts + self.address)[normal]
        used = np.unique(layout.targets)
        placed = normal[used] & (starts[used] >= 0)
        missing = []
        for index in used[~placed].tolist():
            section = int(where[index])
            if section == _SHN_ABS:
                continue
            name = file.symbol_name(index)
            if section == 0:
                if index == 0:
                    values[index] = 0
                elif name in externals:
                    value = externals[name]
                    values[index] = value - (1 << 64) if value >> 63 == 1 else value
                elif name == "_GLOBAL_OFFSET_TABLE_":
                    values[index] = self.address + layout.got
                elif int(symbols["info"][index]) >> 4 == _STB_WEAK:
                    values[index] = 0
                else:
                    missing.append(name)
            elif section == _SHN_COMMON:
                raise ObjectError(f"{name} is common (writable) data: state must hang from an argument")
            else:
                home = file.sections[section].name if section < len(file.sections) else f"number {section}"
                raise ObjectError(f"{name} is used, but its section {home} is not placed")
        if missing:
            raise UndefinedSymbols(missing)
        return values

    def _fill_slots(self) -> None:
        layout = self.layout
        end = layout.got + 8 * len(layout.slotted)
        self.bytes[layout.got : end] = self.values[layout.slotted].view(np.uint8)
        self.slot = np.zeros(len(self.values), np.int64)
        self.slot[layout.slotted] = 8 * np.arange(len(layout.slotted))
        self.stub = np.zeros(len(self.values), np.int64)
        if not len(layout.called):
            return
        size = _STUB_SIZE[self.file.machine]
        where = layout.stubs + size * np.arange(len(layout.called))
        self.stub[layout.called] = self.address + where
        stubs = self.bytes[layout.stubs : layout.stubs + size * len(layout.called)].reshape(-1, size)
        if self.file.machine == "x86-64":
            stubs[:, :2] = (0xFF, 0x25)  # jmp [rip + distance]
            distance = layout.got + self.slot[layout.called] - (where + 6)
            stubs[:, 2:6] = distance.astype("<i4").view(np.uint8).reshape(-1, 4)
            stubs[:, 6:] = 0xCC
        else:
            stubs[:, :8] = np.frombuffer(b"\x50\x00\x00\x58\x00\x02\x1f\xd6", np.uint8)  # ldr x16, .+8; br x16
            stubs[:, 8:] = self.values[layout.called].view(np.uint8).reshape(-1, 8)

    def _compute(self, formula: str, which: _Ints) -> _Ints:
        layout = self.layout
        targets = layout.targets[which]
        symbol, addend, place = self.values[targets], self.addends[which], self.address + self.at[which]
        got, slot = self.address + layout.got, self.slot[targets]
        match formula:
            case "S+A":
                value = symbol + addend
            case "S+A-P":
                value = symbol + addend - place
            case "GOT+G+A-P":
                value = got + slot + addend - place
            case "GOT+A-P":
                value = got + addend - place
            case "S+A-GOT":
                value = symbol + addend - got
            case "G+A":
                value = slot + addend
            case "GOT+G+A":
                value = got + slot + addend
            case "Page(S+A)-Page(P)":
                value = ((symbol + addend) & ~0xFFF) - (place & ~0xFFF)
            case _:  # "Page(GOT+G+A)-Page(P)"
                value = ((got + slot + addend) & ~0xFFF) - (place & ~0xFFF)
        return value

    def _apply(self, kind: _Kind, which: _Ints) -> None:
        at = self.at[which]
        width = int(kind.store) if kind.store.isdigit() else 4
        over = at + width > self.limit[which]
        if over.any():
            self._complain(kind, which, over, "reaches over the end of its section")
        if kind.value == "L+A-P":
            value = self._compute("S+A-P", which)
            far = (value < -1 << (kind.bits - 1)) | (value >= 1 << (kind.bits - 1))
            stub = self.stub[self.layout.targets[which]]
            over_stub = far & (stub != 0)
            value = np.where(over_stub, stub + self.addends[which] - (self.address + at), value)
        elif kind.store == "relaxed":
            value = self._relax(which, at)
        else:
            value = self._compute(kind.value, which)
        self._check(kind, which, value)
        if kind.store.isdigit() or kind.store == "relaxed":
            raw = value.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
            self.bytes[at[:, None] + np.arange(width)] = raw
        else:
            self._edit(kind, which, at, value)

    def _relax(self, which: _Ints, at: _Ints) -> _Ints:
        """Where the symbol itself is near, do not load its address from the table: `mov` becomes `lea`, and an
        indirect call a direct one. Source: AMD64 psABI, "Optimize GOTPCRELX Relocations"."""
        value = self._compute("GOT+G+A-P", which)
        direct = self._compute("S+A-P", which)
        near = (direct >= -1 << 31) & (direct < 1 << 31) & (at >= 2)
        opcode, operand = self.bytes[at - 2], self.bytes[at - 1]
        move = near & (opcode == 0x8B) & (operand & 0xC7 == 0x05)
        self.bytes[at[move] - 2] = 0x8D
        call = near & (opcode == 0xFF) & (operand == 0x15)
        self.bytes[at[call] - 2] = 0x67
        self.bytes[at[call] - 1] = 0xE8
        return np.where(move | call, direct, value)

    def _check(self, kind: _Kind, which: _Ints, value: _Ints) -> None:
        if not kind.check or kind.bits == 64:
            return
        low = 0 if kind.check == "unsigned" else -1 << (kind.bits - 1)
        high = 1 << (kind.bits - 1 if kind.check == "signed" else kind.bits)
        over = (value < low) | (value >= high)
        if over.any():
            first = int(value[over.nonzero()[0][0]])
            self._complain(kind, which, over, f"the value {first:#x} does not fit {kind.check} {kind.bits} bits")

    def _edit(self, kind: _Kind, which: _Ints, at: _Ints, value: _Ints) -> None:
        """Fields of arm64 instructions. Source: Arm ARM, the encodings of ADR, ADRP, ADD, LDR, B, B.cond, TBZ, MOVZ."""
        bad = at % 4 != 0
        if bad.any():
            self._complain(kind, which, bad, "does not stand on an instruction")
        words = self.bytes[at[:, None] + np.arange(4)].copy().view("<u4").reshape(-1)
        field_name, _, shift = kind.store.partition(" ")
        if field_name in ("imm14", "imm19", "imm26"):
            bad = value % 4 != 0
            if bad.any():
                self._complain(kind, which, bad, "the target is no multiple of 4")
            bits = int(field_name[3:])
            low = 0 if bits == 26 else 5
            mask = ((1 << bits) - 1) << low
            bits_in = (((value >> 2) << low) & mask).astype(np.uint32)
        elif field_name in ("adr", "adrp"):
            number = value >> 12 if field_name == "adrp" else value
            mask = (3 << 29) | (0x7FFFF << 5)
            bits_in = (((number & 3) << 29) | (((number >> 2) & 0x7FFFF) << 5)).astype(np.uint32)
        elif field_name == "lo12":
            scale = int(shift)
            bad = value & ((1 << scale) - 1) != 0
            if bad.any():
                self._complain(kind, which, bad, f"the address is no multiple of {1 << scale}")
            mask = 0xFFF << 10
            bits_in = (((value & 0xFFF) >> scale) << 10).astype(np.uint32)
        else:  # movw
            mask = 0xFFFF << 5
            bits_in = (((value >> int(shift)) & 0xFFFF) << 5).astype(np.uint32)
        words = (words & np.uint32(~mask & 0xFFFFFFFF)) | bits_in
        self.bytes[at[:, None] + np.arange(4)] = words.astype("<u4").view(np.uint8).reshape(-1, 4)

    def _complain(self, kind: _Kind, which: _Ints, wrong: NDArray[np.bool_], why: str) -> None:
        row = int(self.layout.rows[which[wrong.nonzero()[0][0]]])
        file = self.file
        place = file.sections[int(file._place[row])].name
        symbol = file.symbol_name(int(file._relocations["symbol"][row]))
        addend = int(file._relocations["addend"][row])
        raise ObjectError(f"{place}+{int(file._offsets[row]):#x}: {kind.name} {symbol}{addend:+d}: {why}")


# -------------------------------------------------------------------------------------------------------------- loading


@dataclass(frozen=True)
class LoadedObject:
    """An object in code memory. It runs as long as this (or its `block`) is held.

    symbols:   the executable address of each named symbol
    sections:  the address of each placed section (of equal names the last)
    eh_frames: address and size of the unwinding tables, each followed by four zero bytes"""

    block: Block
    symbols: Mapping[str, int]
    sections: Mapping[str, int]
    eh_frames: tuple[tuple[int, int], ...] = field(default=())

    def __getitem__(self, name: str) -> int:
        return self.symbols[name]


def load(
    data: bytes | bytearray | memoryview | ObjectFile,
    memory: CodeMemory,
    externals: Mapping[str, int] | None = None,
    *,
    keep: Callable[[str], bool] | None = None,
) -> LoadedObject:
    """Place an object in code memory, ready to run.

    externals: the addresses of what it uses and does not define; they may be anywhere.
    keep:      which sections to place, by name (`lambda name: name.startswith(".rodata")`); by default all.
    Errors:    ObjectError, UndefinedSymbols, CodeMemoryFull."""
    file = data if isinstance(data, ObjectFile) else parse(data)
    host = _HOSTS.get(platform.machine().lower())
    if file.machine != host:
        raise ObjectError(f"an object for {file.machine} cannot run on this {platform.machine()} host")
    layout = file.layout(keep)
    block = memory.allocate(layout.size, layout.align)
    address = block.address
    block.write(0, layout.link(address, externals))
    return LoadedObject(
        block,
        layout.symbols(address),
        {section.name: address + int(layout.starts[section.number]) for section in layout.placed},
        tuple((address + start, size) for start, size in layout.eh_frames),
    )
