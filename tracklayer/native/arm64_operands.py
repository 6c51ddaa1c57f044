"""Operands of arm64 (A64) instructions as Python values: registers, shifts, vector arrangements, memory.

For:       writing `x0`, `w1.uxtw(2)`, `v0["4s"]`, `v1["s", 3]`, `mem[sp, -16].pre`, `vectors(v0["16b"], v1["16b"])`.
Not for:   knowing which instruction takes which: LLVM says that (mc.py).

Memory is `mem[base]`, `mem[base, offset]`, `mem[base, index]`, `mem[base, index.lsl(3)]`; `.pre` writes the address
back, before the access; after it: `ldr(x0, mem[x1], 8)`, as the manual writes it. Conditions, barriers and system
registers are words in quotes: `csel(x0, x1, x2, "ne")`.

Source: "Arm Architecture Reference Manual", Structure of the A64 assembler language.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tracklayer.native.operands import OperandError


@dataclass(frozen=True, slots=True)
class Register:
    """One register under one of its names. `kind` is the letter that the name begins with: x, w, v, q, d, s, h, b."""

    name: str
    kind: str
    number: int

    def __repr__(self) -> str:
        return self.name

    def _modified(self, way: str, amount: int | None) -> Modified:
        if self.kind not in "xw":
            raise OperandError(f"{self} is no general register: it can be neither shifted nor extended")
        return Modified(self, way, amount)

    def lsl(self, amount: int) -> Modified:
        """Shifted left."""
        return self._modified("lsl", amount)

    def lsr(self, amount: int) -> Modified:
        """Shifted right, zeros from above."""
        return self._modified("lsr", amount)

    def asr(self, amount: int) -> Modified:
        """Shifted right, the sign from above."""
        return self._modified("asr", amount)

    def ror(self, amount: int) -> Modified:
        """Turned right."""
        return self._modified("ror", amount)

    def uxtb(self, amount: int | None = None) -> Modified:
        """The low byte, unsigned, then shifted left."""
        return self._modified("uxtb", amount)

    def uxth(self, amount: int | None = None) -> Modified:
        """The low 16 bits, unsigned, then shifted left."""
        return self._modified("uxth", amount)

    def uxtw(self, amount: int | None = None) -> Modified:
        """The low 32 bits, unsigned, then shifted left."""
        return self._modified("uxtw", amount)

    def uxtx(self, amount: int | None = None) -> Modified:
        """All 64 bits, then shifted left."""
        return self._modified("uxtx", amount)

    def sxtb(self, amount: int | None = None) -> Modified:
        """The low byte, signed, then shifted left."""
        return self._modified("sxtb", amount)

    def sxth(self, amount: int | None = None) -> Modified:
        """The low 16 bits, signed, then shifted left."""
        return self._modified("sxth", amount)

    def sxtw(self, amount: int | None = None) -> Modified:
        """The low 32 bits, signed, then shifted left."""
        return self._modified("sxtw", amount)

    def sxtx(self, amount: int | None = None) -> Modified:
        """All 64 bits, then shifted left."""
        return self._modified("sxtx", amount)

    def __getitem__(self, arrangement: str | tuple[str, int]) -> Vector:
        if self.kind not in ("v", "z", "p"):
            raise OperandError(f"{self} has no elements: write v{self.number}[...]")
        if isinstance(arrangement, tuple):
            return Vector(self, *arrangement)
        return Vector(self, arrangement)


@dataclass(frozen=True, slots=True)
class Modified:
    """A register shifted or extended on its way in: `x1.lsl(3)`."""

    register: Register
    way: str
    amount: int | None

    def __repr__(self) -> str:
        return f"{self.register}, {self.way}" + ("" if self.amount is None else f" #{self.amount}")


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector register by its elements, `v0["4s"]`, or one of them, `v0["s", 1]`."""

    register: Register
    arrangement: str
    element: int | None = None

    def __repr__(self) -> str:
        return f"{self.register}.{self.arrangement}" + ("" if self.element is None else f"[{self.element}]")


@dataclass(frozen=True, slots=True)
class Vectors:
    """Several vector registers in a list, with an element if one of each is meant."""

    each: tuple[Vector, ...]

    def __repr__(self) -> str:
        element = self.each[0].element
        shown = ", ".join(repr(replace(vector, element=None)) for vector in self.each)
        return f"{{ {shown} }}" + ("" if element is None else f"[{element}]")


def vectors(*each: Vector) -> Vectors:
    """A list of vector registers, for loads and stores of structures: `ld2(vectors(v0["4s"], v1["4s"]), mem[x0])`."""
    if not each or len({(one.arrangement, one.element) for one in each}) > 1:
        raise OperandError("a list of vector registers has one arrangement and one element for all")
    return Vectors(each)


@dataclass(frozen=True, slots=True)
class Memory:
    """What stands in brackets; `is_pre` writes the address back."""

    base: Register
    offset: int | Register | Modified | None = None
    is_pre: bool = False

    @property
    def pre(self) -> Memory:
        """The base register becomes the address, before the access."""
        return replace(self, is_pre=True)

    def __repr__(self) -> str:
        offset = f"#{self.offset}" if isinstance(self.offset, int) else self.offset
        inside = f"{self.base}" if offset is None else f"{self.base}, {offset}"
        return f"[{inside}]" + "!" * self.is_pre


class _MemoryMaker:
    """`mem`: index it with a base register, and an offset or an index."""

    def __getitem__(self, what: Register | tuple[Register, int | Register | Modified]) -> Memory:
        base, offset = what if isinstance(what, tuple) else (what, None)
        if not isinstance(base, Register):
            raise OperandError(f"{base!r} is no register")
        if offset is not None and (isinstance(offset, bool) or not isinstance(offset, int | Register | Modified)):
            raise OperandError(f"{offset!r} is neither a number nor a register")
        return Memory(base, offset)


mem: Final = _MemoryMaker()

Operand = Register | Modified | Vector | Vectors | Memory


def _file(kind: str, count: int) -> list[Register]:
    return [Register(f"{kind}{i}", kind, i) for i in range(count)]


_FILES = {kind: _file(kind, 31 if kind in "xw" else 32) for kind in "xwvqdshb"}

x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15 = _FILES["x"][:16]
x16, x17, x18, x19, x20, x21, x22, x23, x24, x25, x26, x27, x28, x29, x30 = _FILES["x"][16:]
w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15 = _FILES["w"][:16]
w16, w17, w18, w19, w20, w21, w22, w23, w24, w25, w26, w27, w28, w29, w30 = _FILES["w"][16:]
v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15 = _FILES["v"][:16]
v16, v17, v18, v19, v20, v21, v22, v23, v24, v25, v26, v27, v28, v29, v30, v31 = _FILES["v"][16:]
q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, q10, q11, q12, q13, q14, q15 = _FILES["q"][:16]
q16, q17, q18, q19, q20, q21, q22, q23, q24, q25, q26, q27, q28, q29, q30, q31 = _FILES["q"][16:]
d0, d1, d2, d3, d4, d5, d6, d7, d8, d9, d10, d11, d12, d13, d14, d15 = _FILES["d"][:16]
d16, d17, d18, d19, d20, d21, d22, d23, d24, d25, d26, d27, d28, d29, d30, d31 = _FILES["d"][16:]
s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15 = _FILES["s"][:16]
s16, s17, s18, s19, s20, s21, s22, s23, s24, s25, s26, s27, s28, s29, s30, s31 = _FILES["s"][16:]
h0, h1, h2, h3, h4, h5, h6, h7 = _FILES["h"][:8]
b0, b1, b2, b3, b4, b5, b6, b7 = _FILES["b"][:8]
sp: Final = Register("sp", "x", 31)
wsp: Final = Register("wsp", "w", 31)
xzr: Final = Register("xzr", "x", 31)
wzr: Final = Register("wzr", "w", 31)
fp: Final = x29
lr: Final = x30

REGISTERS: Final = {register.name: register for file in _FILES.values() for register in file} | {
    register.name: register for register in (sp, wsp, xzr, wzr)
}
"""Every register by name."""
