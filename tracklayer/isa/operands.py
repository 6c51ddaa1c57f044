"""Kinds of operands: what the raw bits of a field stand for, how they are shown, and how text becomes them again.

For:     the declarations that a cpu's row module makes: register names, immediates, relative and absolute jump targets.
Not for: any particular guest; its names and widths are arguments here.

Three forms of an operand appear throughout: *raw*, the bits in the encoding; the *value*, which the meaning takes; and
the *written* number, which stands in assembly text. Only jumps and pages make them differ.
"""

from __future__ import annotations

from tracklayer.lang import i8, typed, u8, u16


@typed
def relative8(raw: u8, next_address: u16) -> u16:
    """The absolute target of a signed 8-bit displacement, counted from the instruction behind."""
    return u16(next_address + i8(raw))


def sign_extend(raw: int, bits: int) -> int:
    """The two's-complement number that `bits` bits hold."""
    return raw - (1 << bits) if raw >> (bits - 1) else raw


class Kind:
    """A kind of operand. `is_target`: it is an absolute address that the instruction may jump to."""

    is_target = False
    names: tuple[str | None, ...] = ()

    def value(self, raw: int, next_address: int) -> int:
        """The operand as the meaning takes it. `next_address` is the address behind the instruction."""
        return raw

    def show(self, raw: int, next_address: int) -> str:
        """The operand as assembly text."""
        raise NotImplementedError

    def encode(self, written: int, next_address: int) -> int:
        """The raw bits of a number that stands in assembly text.

        Errors: ValueError that says what would be in range.
        """
        raise NotImplementedError


class Names(Kind):
    """A register, a condition: the raw value counts through a list of names. None marks a value without a name."""

    def __init__(self, *names: str | None) -> None:
        self.names = names

    def show(self, raw: int, next_address: int) -> str:
        return self.names[raw] or f"?{raw}"

    def encode(self, written: int, next_address: int) -> int:
        return written


class Number(Kind):
    """An immediate of some bits, shown in hexadecimal (`digits` wide), or in decimal where `digits` is 0."""

    def __init__(self, bits: int, digits: int | None = None, *, is_target: bool = False) -> None:
        self.bits = bits
        self.digits = -(-bits // 4) if digits is None else digits
        self.is_target = is_target

    def show(self, raw: int, next_address: int) -> str:
        return f"${raw:0{self.digits}X}" if self.digits else str(raw)

    def encode(self, written: int, next_address: int) -> int:
        low = -(1 << self.bits - 1) if self.digits else 0
        if not low <= written < 1 << self.bits:
            raise ValueError(f"{written} does not fit {self.bits} bits ({low} to {(1 << self.bits) - 1})")
        return written & (1 << self.bits) - 1


class Displacement(Kind):
    """A signed number that is written with its sign, as in `SP+5`. The meaning takes the raw bits."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def show(self, raw: int, next_address: int) -> str:
        return f"{sign_extend(raw, self.bits):+d}"

    def encode(self, written: int, next_address: int) -> int:
        if not -(1 << self.bits - 1) <= written < 1 << self.bits - 1:
            raise ValueError(f"{written} is not between {-(1 << self.bits - 1)} and {(1 << self.bits - 1) - 1}")
        return written & (1 << self.bits) - 1


class Relative(Kind):
    """A jump target, encoded as a signed distance from the next instruction; written and passed on as an address."""

    is_target = True

    def __init__(self, bits: int, address_bits: int, scale: int = 1) -> None:
        self.bits = bits
        self.address_bits = address_bits
        self.scale = scale

    def value(self, raw: int, next_address: int) -> int:
        return next_address + sign_extend(raw, self.bits) * self.scale & (1 << self.address_bits) - 1

    def show(self, raw: int, next_address: int) -> str:
        return f"${self.value(raw, next_address):0{self.address_bits // 4}X}"

    def encode(self, written: int, next_address: int) -> int:
        distance = sign_extend(written - next_address & (1 << self.address_bits) - 1, self.address_bits)
        steps, rest = divmod(distance, self.scale)
        if rest or not -(1 << self.bits - 1) <= steps < 1 << self.bits - 1:
            raise ValueError(f"target ${written:X} is {distance:+d} bytes away, out of a relative jump's reach")
        return steps & (1 << self.bits) - 1


class Scaled(Kind):
    """A number of which only every `scale`-th from `base` on can be encoded, such as a vector. Passed on as written."""

    def __init__(self, bits: int, scale: int, base: int = 0, digits: int = 2, *, is_target: bool = False) -> None:
        self.bits = bits
        self.scale = scale
        self.base = base
        self.digits = digits
        self.is_target = is_target

    def value(self, raw: int, next_address: int) -> int:
        return self.base + raw * self.scale

    def show(self, raw: int, next_address: int) -> str:
        return f"${self.value(raw, next_address):0{self.digits}X}"

    def encode(self, written: int, next_address: int) -> int:
        raw, rest = divmod(written - self.base, self.scale)
        if rest or not 0 <= raw < 1 << self.bits:
            last = self.value((1 << self.bits) - 1, 0)
            raise ValueError(f"${written:X} is not one of ${self.base:X} to ${last:X} in steps of {self.scale}")
        return raw


class Paged(Kind):
    """The low bits of an address in one fixed page. Written as the whole address; the meaning takes the low bits."""

    def __init__(self, bits: int, page: int) -> None:
        self.bits = bits
        self.page = page

    def show(self, raw: int, next_address: int) -> str:
        return f"${self.page + raw:X}"

    def encode(self, written: int, next_address: int) -> int:
        if not self.page <= written < self.page + (1 << self.bits):
            raise ValueError(f"${written:X} is not in the page ${self.page:X} to ${self.page + (1 << self.bits) - 1:X}")
        return written - self.page
