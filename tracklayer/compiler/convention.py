"""Which of a context's fields are held in registers, and how functions that hold them call each other.

For:       the parameter list that all handlers of one guest share, and the effects that outlined calls have on it.
Invariant: every handler of one `Convention` has the same signature, so any of them may tail-call any other.
"""

from __future__ import annotations

from typing import Any

from ..lang import IntType, is_struct, layout, type_name

HANDLER = "preserve_nonecc"
"""The calling convention of handlers."""
MANY = 4
"""Fields. Behind a call that may change so many, a slow side leaves them in memory."""


class Virtual:
    """A scalar field of the context, by path."""

    __slots__ = ("kind", "offset", "path", "width")

    def __init__(self, context: type[Any], path: str) -> None:
        self.path = path
        self.offset, self.kind = find(context, path)
        if not isinstance(self.kind, IntType):
            raise TypeError(f"{path} is no integer field; only integers can be held in registers")
        self.width = 32 if self.kind.bits <= 32 else 64


def find(context: type[Any], path: str) -> tuple[int, Any]:
    """The offset and type of the field at `path` (`cpu.a`) of a struct. Errors: KeyError naming what is missing."""
    offset, kind = 0, context
    for name in path.split("."):
        fields = layout(kind) if is_struct(kind) else {}
        if name not in fields:
            raise KeyError(f"{context.__name__} has no field {path}: {type_name(kind)} has no {name}")
        offset += fields[name].offset
        kind = fields[name].type
    return offset, kind


class Convention:
    """`pinned` fields travel in registers from handler to handler; `cached` ones are held only within one handler.

    A handler is `preserve_nonecc void (context, pinned...)`: eleven integer arguments in registers on x86-64, with one
    register left for the address of an indirect tail call.
    """

    def __init__(self, context: type[Any], pinned: tuple[str, ...], cached: tuple[str, ...] = ()) -> None:
        self.context = context
        self.pinned = tuple(Virtual(context, path) for path in pinned)
        self.cached = tuple(Virtual(context, path) for path in cached)
        self.by_offset = {field.offset: field for field in (*self.pinned, *self.cached)}

    @property
    def signature(self) -> str:
        """The parameter types, as LLVM writes them."""
        return ", ".join(["ptr", *(f"i{field.width}" for field in self.pinned)])


class Effects:
    """Which virtual fields an outlined function reads and writes in memory."""

    __slots__ = ("reads", "writes")

    def __init__(self, reads: set[int] | None = None, writes: set[int] | None = None) -> None:
        self.reads = reads if reads is not None else set()
        self.writes = writes if writes is not None else set()

    def include(self, other: Effects) -> None:
        """Have the other's effects too."""
        self.reads |= other.reads
        self.writes |= other.writes
