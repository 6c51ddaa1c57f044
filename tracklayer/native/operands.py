"""Operands of x86-64 instructions as Python values: registers, memory, labels, symbols.

For:       writing `qword[rdi + rcx*8 + 16]`, `xmm3`, `mem["message"]` in a call of the assembler.
Not for:   choosing an encoding (forms.py, encoding.py), places and distances (assembler.py).

Registers are module constants named as the manuals name them. Memory operands are made by indexing a size: `byte word
dword qword xmmword ymmword zmmword tbyte fword`, or `mem` where another operand or the instruction tells the size.
Inside stands an address: registers with `+`, `-` and `*1 *2 *4 *8`, numbers, a label (by object or by name: then the
address is relative to RIP), and before a comma a segment: `qword[fs, 0x28]`.

The manuals' order of operands holds everywhere: the destination first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import iced_x86


class OperandError(ValueError):
    """An operand that no instruction has, such as an address with three registers."""


@dataclass(frozen=True, slots=True)
class Register:
    """One register. `kind` is its file ("gp", "xmm", "k", ...), `size` its bytes, `number` what iced calls it."""

    name: str
    kind: str
    size: int
    number: int

    def __repr__(self) -> str:
        return self.name

    def __add__(self, other: Term) -> Address:
        return Address.of(self) + other

    def __radd__(self, other: Term) -> Address:
        return Address.of(self) + other

    def __sub__(self, other: int) -> Address:
        return Address.of(self) - other

    def __mul__(self, scale: int) -> Address:
        if scale not in (1, 2, 4, 8):
            raise OperandError(f"{self} * {scale}: an index is scaled by 1, 2, 4 or 8")
        return Address(index=self, scale=scale)

    __rmul__ = __mul__


class Label:
    """A place in the code, known once it is placed. Made by the assembler."""

    __slots__ = ("fragment", "name", "origin")

    def __init__(self, name: str, origin: tuple[str, int]) -> None:
        self.name = name
        self.origin = origin
        self.fragment = -1

    def __repr__(self) -> str:
        return self.name

    def __add__(self, other: Term) -> Address:
        return Address(label=self) + other

    def __sub__(self, other: int) -> Address:
        return Address(label=self) - other


@dataclass(frozen=True, slots=True)
class Symbol:
    """An address outside the code: a C function, a Python object, a buffer. `keep` is what must live as long as the
    code.

    `visible` says whether `keep` is a Python object that the garbage collector may see through the code."""

    name: str
    address: int
    keep: object = None
    visible: bool = False

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Address:
    """What stands between the brackets."""

    base: Register | None = None
    index: Register | None = None
    scale: int = 1
    displacement: int = 0
    label: Label | str | None = None

    @staticmethod
    def of(term: Term) -> Address:
        """Any term as an address."""
        match term:
            case Address():
                return term
            case Register():
                if term.kind in ("xmm", "ymm", "zmm"):
                    return Address(index=term)
                return Address(base=term)
            case Label() | str():
                return Address(label=term)
            case int():
                return Address(displacement=term)
        raise OperandError(f"{term!r} is no part of an address")

    def __add__(self, other: Term) -> Address:
        other = Address.of(other)
        registers = [(self.base, 1), (self.index, self.scale), (other.base, 1), (other.index, other.scale)]
        base, index, scale = None, None, 1
        for register, factor in registers:
            if register is None:
                continue
            if base is None and factor == 1 and register.kind not in ("xmm", "ymm", "zmm"):
                base = register
            elif index is None:
                index, scale = register, factor
            else:
                raise OperandError("an address has one base and one index register")
        if self.label is not None and other.label is not None:
            raise OperandError("an address has one label")
        label = self.label if self.label is not None else other.label
        return Address(base, index, scale, self.displacement + other.displacement, label)

    __radd__ = __add__

    def __sub__(self, other: int) -> Address:
        return replace(self, displacement=self.displacement - other)

    def __str__(self) -> str:
        parts = [str(self.label)] if self.label is not None else []
        parts += [str(self.base)] if self.base else []
        parts += [f"{self.index}*{self.scale}" if self.scale != 1 else str(self.index)] if self.index else []
        text = "+".join(parts)
        if not text:
            return f"{self.displacement & 0xFFFFFFFFFFFFFFFF:#x}"
        if self.displacement:
            text += f"{'-' if self.displacement < 0 else '+'}{abs(self.displacement):#x}"
        return text


Term = Address | Register | Label | str | int


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory operand: an address, the size that was written before it (0: none), a segment, and whether one element
    is broadcast to all (`qword[rax].broadcast`)."""

    address: Address
    size: int = 0
    segment: Register | None = None
    is_broadcast: bool = False

    @property
    def broadcast(self) -> Memory:
        """The same element for every lane. Source: Intel SDM, "Broadcast"."""
        return replace(self, is_broadcast=True)

    def __repr__(self) -> str:
        size = next((maker.name + " " for maker in _SIZES if maker.size == self.size and self.size), "")
        segment = f"{self.segment}:" if self.segment else ""
        lanes = "{broadcast}" if self.is_broadcast else ""
        return f"{size}{segment}[{self.address}]{lanes}"


@dataclass(frozen=True, slots=True)
class Size:
    """`qword` and its like: index it with an address to have a memory operand."""

    name: str
    size: int

    def __getitem__(self, what: Term | tuple[Register, Term]) -> Memory:
        if isinstance(what, tuple):
            segment, term = what
            if not isinstance(segment, Register) or segment.kind != "segment":
                raise OperandError(f"{segment!r} is no segment register")
            return Memory(Address.of(term), self.size, segment)
        return Memory(Address.of(what), self.size)


mem: Final = Size("mem", 0)
byte: Final = Size("byte", 1)
word: Final = Size("word", 2)
dword: Final = Size("dword", 4)
fword: Final = Size("fword", 6)
qword: Final = Size("qword", 8)
tbyte: Final = Size("tbyte", 10)
xmmword: Final = Size("xmmword", 16)
ymmword: Final = Size("ymmword", 32)
zmmword: Final = Size("zmmword", 64)
_SIZES: Final = (byte, word, dword, fword, qword, tbyte, xmmword, ymmword, zmmword)

Operand = Register | Memory | Label | Symbol | str | int


def _words(text: str) -> list[str]:
    return text.split()


def _all_registers() -> Iterator[Register]:
    """Every register of 64-bit mode. Source: Intel SDM, "Basic Program Execution Registers"."""

    def one(name: str, kind: str, size: int, iced: str = "") -> Register:
        return Register(name, kind, size, getattr(iced_x86.Register, (iced or name).upper()))

    for name in _words("al cl dl bl ah ch dh bh spl bpl sil dil"):
        yield one(name, "gp", 1)
    for name in _words("ax cx dx bx sp bp si di"):
        yield one(name, "gp", 2)
        yield one("e" + name, "gp", 4)
        yield one("r" + name, "gp", 8)
    for i in range(8, 16):
        yield one(f"r{i}b", "gp", 1, f"r{i}l")
        yield one(f"r{i}w", "gp", 2)
        yield one(f"r{i}d", "gp", 4)
        yield one(f"r{i}", "gp", 8)
    for i in range(32):
        yield one(f"xmm{i}", "xmm", 16)
        yield one(f"ymm{i}", "ymm", 32)
        yield one(f"zmm{i}", "zmm", 64)
    for i in range(8):
        yield one(f"k{i}", "k", 8)
        yield one(f"mm{i}", "mm", 8)
        yield one(f"st{i}", "st", 10)
        yield one(f"tmm{i}", "tmm", 1024)
    for i in range(4):
        yield one(f"bnd{i}", "bnd", 16)
    for i in range(16):
        yield one(f"cr{i}", "control", 8)
        yield one(f"dr{i}", "debug", 8)
    for name in _words("es cs ss ds fs gs"):
        yield one(name, "segment", 2)
    yield one("rip", "ip", 8)


REGISTERS: Final = {register.name: register for register in _all_registers()}
"""Every register by name."""


def _pick(names: str) -> list[Register]:
    return [REGISTERS[name] for name in _words(names)]


al, cl, dl, bl = _pick("al cl dl bl")
ah, ch, dh, bh = _pick("ah ch dh bh")
spl, bpl, sil, dil = _pick("spl bpl sil dil")
ax, cx, dx, bx, sp, bp, si, di = _pick("ax cx dx bx sp bp si di")
eax, ecx, edx, ebx, esp, ebp, esi, edi = _pick("eax ecx edx ebx esp ebp esi edi")
rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi = _pick("rax rcx rdx rbx rsp rbp rsi rdi")
r8, r9, r10, r11, r12, r13, r14, r15 = (REGISTERS[f"r{i}"] for i in range(8, 16))
r8b, r9b, r10b, r11b, r12b, r13b, r14b, r15b = (REGISTERS[f"r{i}b"] for i in range(8, 16))
r8w, r9w, r10w, r11w, r12w, r13w, r14w, r15w = (REGISTERS[f"r{i}w"] for i in range(8, 16))
r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d = (REGISTERS[f"r{i}d"] for i in range(8, 16))
xmm0, xmm1, xmm2, xmm3, xmm4, xmm5, xmm6, xmm7 = (REGISTERS[f"xmm{i}"] for i in range(8))
xmm8, xmm9, xmm10, xmm11, xmm12, xmm13, xmm14, xmm15 = (REGISTERS[f"xmm{i}"] for i in range(8, 16))
xmm16, xmm17, xmm18, xmm19, xmm20, xmm21, xmm22, xmm23 = (REGISTERS[f"xmm{i}"] for i in range(16, 24))
xmm24, xmm25, xmm26, xmm27, xmm28, xmm29, xmm30, xmm31 = (REGISTERS[f"xmm{i}"] for i in range(24, 32))
ymm0, ymm1, ymm2, ymm3, ymm4, ymm5, ymm6, ymm7 = (REGISTERS[f"ymm{i}"] for i in range(8))
ymm8, ymm9, ymm10, ymm11, ymm12, ymm13, ymm14, ymm15 = (REGISTERS[f"ymm{i}"] for i in range(8, 16))
ymm16, ymm17, ymm18, ymm19, ymm20, ymm21, ymm22, ymm23 = (REGISTERS[f"ymm{i}"] for i in range(16, 24))
ymm24, ymm25, ymm26, ymm27, ymm28, ymm29, ymm30, ymm31 = (REGISTERS[f"ymm{i}"] for i in range(24, 32))
zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7 = (REGISTERS[f"zmm{i}"] for i in range(8))
zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15 = (REGISTERS[f"zmm{i}"] for i in range(8, 16))
zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23 = (REGISTERS[f"zmm{i}"] for i in range(16, 24))
zmm24, zmm25, zmm26, zmm27, zmm28, zmm29, zmm30, zmm31 = (REGISTERS[f"zmm{i}"] for i in range(24, 32))
k0, k1, k2, k3, k4, k5, k6, k7 = (REGISTERS[f"k{i}"] for i in range(8))
mm0, mm1, mm2, mm3, mm4, mm5, mm6, mm7 = (REGISTERS[f"mm{i}"] for i in range(8))
st0, st1, st2, st3, st4, st5, st6, st7 = (REGISTERS[f"st{i}"] for i in range(8))
tmm0, tmm1, tmm2, tmm3, tmm4, tmm5, tmm6, tmm7 = (REGISTERS[f"tmm{i}"] for i in range(8))
bnd0, bnd1, bnd2, bnd3 = (REGISTERS[f"bnd{i}"] for i in range(4))
cr0, cr2, cr3, cr4, cr8 = (REGISTERS[f"cr{i}"] for i in (0, 2, 3, 4, 8))
dr0, dr1, dr2, dr3, dr6, dr7 = (REGISTERS[f"dr{i}"] for i in (0, 1, 2, 3, 6, 7))
es, cs, ss, ds, fs, gs = _pick("es cs ss ds fs gs")
rip: Final = REGISTERS["rip"]
