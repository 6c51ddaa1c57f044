"""Floating-point types of the typed subset: f64, which is Python's own float, and f32, which is narrower storage.

For:     annotations (`x: f64`), fields, elements, and rounding at run time: `f32(0.1)`.
Not for: arithmetic. It is Python's: every operation is done in 64 bits, `f32(...)` rounds what it is given.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING


class FloatType:
    """A floating-point type. Calling it rounds a number to the type."""

    __slots__ = ("bits", "name")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.name = f"f{bits}"

    def __call__(self, value: float) -> float:
        return float(value) if self.bits == 64 else ctypes.c_float(value).value

    @property
    def size(self) -> int:
        """Bytes that a field of this type takes."""
        return self.bits // 8

    def __repr__(self) -> str:
        return self.name


if TYPE_CHECKING:
    f32 = float
    f64 = float
else:
    f32, f64 = FloatType(32), FloatType(64)
