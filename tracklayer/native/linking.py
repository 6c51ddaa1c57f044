"""Placing an object, and resolving its relocations for an address.

For:     `Layout`, where each section goes; `Layout.link`, its bytes for an address, without any code memory.
Not for: reading the object (objects.py); what each kind of relocation means (relocations.py).

Relocations are applied in bulk by NumPy, one kind at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from tracklayer.native.objects import (
    LARGEST_ALIGN,
    SHF_ALLOC,
    SHF_EXEC,
    SHF_TLS,
    SHF_WRITE,
    SHN_ABS,
    SHN_COMMON,
    SHT_NOBITS,
    SHT_NOTE,
    STB_WEAK,
    STT_FILE,
    STT_SECTION,
    Bytes,
    Ints,
    ObjectError,
    ObjectFile,
    Section,
    UndefinedSymbols,
    name_at,
)
from tracklayer.native.relocations import KINDS, STUB_SIZE, Kind, kind_name


class Layout:
    """Where an object's sections go, relative to the start of their block; `size` and `align` are what the block needs.

    In order: code, read-only data, unwinding tables, the table of addresses (GOT), stubs for far calls."""

    def __init__(self, file: ObjectFile, keep: Callable[[str], bool] | None) -> None:
        self.file = file
        placed = []
        for section in file.sections:
            if not section.flags & SHF_ALLOC or section.kind == SHT_NOTE or not section.size:
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
        if section.flags & SHF_TLS:
            raise ObjectError(f"section {section.name}: thread-local data cannot be loaded")
        if section.flags & SHF_WRITE and not section.name.startswith((".data.rel.ro", ".ldata.rel.ro")):
            raise ObjectError(
                f"section {section.name} ({section.size} bytes) is writable, code memory is not: "
                "state must hang from an argument"
            )
        if section.kind == SHT_NOBITS:
            raise ObjectError(f"section {section.name} has no bytes in the object")
        if section.align & (section.align - 1) or section.align > LARGEST_ALIGN:
            raise ObjectError(f"section {section.name} wants an alignment of {section.align}")

    @staticmethod
    def _rank(section: Section) -> int:
        if section.flags & SHF_EXEC:
            return 0
        return 2 if section.name.startswith(".eh_frame") else 1

    def _choose(self, offset: int) -> None:
        """Pick the relocations that matter, and give slots to the symbols that may need one."""
        file = self.file
        self.rows = (self.starts[file.place] >= 0).nonzero()[0]
        self.kinds = file.relocation_table["type"][self.rows].astype(np.int64)
        self.targets = file.relocation_table["symbol"][self.rows].astype(np.int64)
        table = KINDS[file.machine]
        slots: list[Ints] = []
        calls: list[Ints] = []
        undefined = file.symbol_table["section"] == 0
        for number in np.unique(self.kinds).tolist():
            kind = table.get(number)
            if kind is None:
                first = self.rows[(self.kinds == number).nonzero()[0][0]]
                place = file.sections[int(file.place[first])].name
                raise ObjectError(
                    f"{place}+{int(file.offsets[first]):#x}: {kind_name(file.machine, number)} is not known"
                )
            used = self.targets[self.kinds == number]
            if "G+" in kind.value:
                slots.append(used)
            elif kind.value.startswith("L"):
                calls.append(used[undefined[used]])
        empty = [np.zeros(0, np.int64)]
        self.called: Ints = np.unique(np.concatenate(calls or empty))
        self.slotted: Ints = np.unique(np.concatenate((slots or empty) + (calls or empty)))
        self.got = (offset + 7) & -8
        self.stubs = (self.got + 8 * len(self.slotted) + 15) & -16
        self.size = max(self.stubs + STUB_SIZE[file.machine] * len(self.called), 1)

    def link(self, address: int, externals: Mapping[str, int] | None = None) -> bytearray:
        """The bytes to put at `address`, all relocations resolved.
        Errors: UndefinedSymbols, ObjectError."""
        return Link(self, address, externals or {}).image

    def symbols(self, address: int) -> dict[str, int]:
        """The address of each named symbol in a placed section; of equal names the global one."""
        file = self.file
        symbols = file.symbol_table
        where = symbols["section"].astype(np.int64)
        inside = (where > 0) & (where < len(file.sections))
        starts = self.starts[np.where(inside, where, 0)]
        kinds = symbols["info"] & 15
        inside &= (starts >= 0) & (kinds != STT_SECTION) & (kinds != STT_FILE) & (symbols["name"] != 0)
        chosen = inside.nonzero()[0]
        chosen = chosen[np.argsort(symbols["info"][chosen] >> 4 != 0, kind="stable")]
        addresses = (starts[chosen] + symbols["value"][chosen].astype(np.int64) + address).tolist()
        names = file.names
        return {
            name_at(names, name): where for name, where in zip(symbols["name"][chosen].tolist(), addresses, strict=True)
        }


class Link:
    """One run over all relocations, for one address."""

    def __init__(self, layout: Layout, address: int, externals: Mapping[str, int]) -> None:
        self.layout = layout
        self.file = layout.file
        self.address = address
        self.image = bytearray(layout.size)
        self.bytes: Bytes = np.frombuffer(self.image, np.uint8)
        for section in layout.placed:
            start = int(layout.starts[section.number])
            self.image[start : start + section.size] = section.data
        self.values = self._symbol_values(externals)
        self._fill_slots()
        file = self.file
        self.at: Ints = layout.starts[file.place[layout.rows]] + file.offsets[layout.rows]
        self.limit: Ints = (layout.starts + file.headers["size"].astype(np.int64))[file.place[layout.rows]]
        self.addends: Ints = file.relocation_table["addend"][layout.rows]
        for number in np.unique(layout.kinds).tolist():
            kind = KINDS[file.machine][number]
            if kind.value:
                self._apply(kind, (layout.kinds == number).nonzero()[0])

    def _symbol_values(self, externals: Mapping[str, int]) -> Ints:
        """The address of every symbol that a placed relocation uses."""
        file, layout = self.file, self.layout
        symbols = file.symbol_table
        where = symbols["section"].astype(np.int64)
        normal = where < len(file.sections)
        starts = layout.starts[np.where(normal, where, 0)]
        values: Ints = symbols["value"].astype(np.int64)
        values[normal] += (starts + self.address)[normal]
        used = np.unique(layout.targets)
        placed = normal[used] & (starts[used] >= 0)
        missing = []
        for index in used[~placed].tolist():
            section = int(where[index])
            if section == SHN_ABS:
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
                elif int(symbols["info"][index]) >> 4 == STB_WEAK:
                    values[index] = 0
                else:
                    missing.append(name)
            elif section == SHN_COMMON:
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
        size = STUB_SIZE[self.file.machine]
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

    def _compute(self, formula: str, which: Ints) -> Ints:
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

    def _apply(self, kind: Kind, which: Ints) -> None:
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

    def _relax(self, which: Ints, at: Ints) -> Ints:
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

    def _check(self, kind: Kind, which: Ints, value: Ints) -> None:
        if not kind.check or kind.bits == 64:
            return
        low = 0 if kind.check == "unsigned" else -1 << (kind.bits - 1)
        high = 1 << (kind.bits - 1 if kind.check == "signed" else kind.bits)
        over = (value < low) | (value >= high)
        if over.any():
            first = int(value[over.nonzero()[0][0]])
            self._complain(kind, which, over, f"the value {first:#x} does not fit {kind.check} {kind.bits} bits")

    def _edit(self, kind: Kind, which: Ints, at: Ints, value: Ints) -> None:
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

    def _complain(self, kind: Kind, which: Ints, wrong: NDArray[np.bool_], why: str) -> None:
        row = int(self.layout.rows[which[wrong.nonzero()[0][0]]])
        file = self.file
        place = file.sections[int(file.place[row])].name
        symbol = file.symbol_name(int(file.relocation_table["symbol"][row]))
        addend = int(file.relocation_table["addend"][row])
        raise ObjectError(f"{place}+{int(file.offsets[row]):#x}: {kind.name} {symbol}{addend:+d}: {why}")
