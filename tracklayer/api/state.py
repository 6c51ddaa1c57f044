"""What lies where in a console's state: names for the bytes of a saved state.

For:     telling two states apart, in words: which fields, at which offset, with which values.
Not for: making or loading states (gameboy.py); what a field means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tracklayer.lang import ArrayType, is_struct, layout, size_of


class Leaf(NamedTuple):
    """One number of a struct, however deep: its dotted name, offset and size in bytes."""

    name: str
    offset: int
    size: int


class Difference(NamedTuple):
    """A field that two states disagree about."""

    name: str
    offset: int
    left: int
    right: int


def leaves(kind: Any, name: str = "", offset: int = 0) -> Iterator[Leaf]:
    """Every number of a type, in order of offset: `cpu.a`, `clock.at[3]`."""
    if is_struct(kind):
        for field in layout(kind).values():
            yield from leaves(field.type, f"{name}.{field.name}" if name else field.name, offset + field.offset)
    elif isinstance(kind, ArrayType):
        size = size_of(kind.element)
        for index in range(kind.length):
            yield from leaves(kind.element, f"{name}[{index:#x}]", offset + index * size)
    else:
        yield Leaf(name, offset, size_of(kind))


def fields(root: type[Any]) -> Iterator[Leaf]:
    """The fields of a root struct, without its host's."""
    for field in layout(root).values():
        if field.name != "host":
            yield from leaves(field.type, field.name, field.offset)


def differences(root: type[Any], left: bytes, right: bytes, start: int) -> list[Difference]:
    """The fields of struct `root` that differ. Both byte strings hold the struct from offset `start` on.

    Padding between fields is compared too: a difference there is named after what stands before it.
    """
    found = []

    def compare(name: str, first: int, last: int) -> None:
        one, other = left[first - start : last - start], right[first - start : last - start]
        if one != other:
            found.append(Difference(name, first, int.from_bytes(one, "little"), int.from_bytes(other, "little")))

    covered, padding = start, ""
    for leaf in fields(root):
        compare(padding, covered, leaf.offset)
        covered, padding = leaf.offset + leaf.size, f"(padding behind {leaf.name})"
        compare(leaf.name, leaf.offset, covered)
    compare(padding, covered, start + len(left))
    return found
