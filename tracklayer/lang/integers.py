"""Integer types of the typed subset: u1 to u64 and i8 to i64.

For:     annotations (`x: u8`), and narrowing at run time: `u8(300) == 44`.
Not for: arithmetic. Under CPython every value is a plain, exact `int`; only a narrowing call, a mask or a store to a
         field or an array element makes it smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING


class IntType:
    """A fixed-width integer type. Calling it narrows an exact integer the way the hardware would: it wraps."""

    __slots__ = ("bits", "hi", "lo", "mask", "name", "signed")

    def __init__(self, bits: int, signed: bool) -> None:
        self.bits = bits
        self.signed = signed
        self.mask = (1 << bits) - 1
        self.lo = -(1 << (bits - 1)) if signed else 0
        self.hi = (1 << (bits - 1)) - 1 if signed else self.mask
        self.name = f"{'i' if signed else 'u'}{bits}"

    def __call__(self, value: int) -> int:
        value &= self.mask
        return value - self.mask - 1 if value > self.hi else value

    @property
    def size(self) -> int:
        """Bytes that a field of this type takes: 1, 2, 4 or 8."""
        return 1 if self.bits <= 8 else 1 << ((self.bits - 1).bit_length() - 3)

    def __repr__(self) -> str:
        return self.name


if TYPE_CHECKING:
    # To a type checker every fixed-width integer is an `int`: the compiler, not the type checker, proves widths.
    # One name a line: in a chained assignment they would be variables, not aliases.
    u1 = int
    u2 = int
    u3 = int
    u4 = int
    u5 = int
    u6 = int
    u7 = int
    u8 = int
    u16 = int
    u32 = int
    u64 = int
    i8 = int
    i16 = int
    i32 = int
    i64 = int
else:
    u1, u2, u3, u4, u5, u6, u7 = (IntType(bits, False) for bits in range(1, 8))
    u8, u16, u32, u64 = (IntType(bits, False) for bits in (8, 16, 32, 64))
    i8, i16, i32, i64 = (IntType(bits, True) for bits in (8, 16, 32, 64))
