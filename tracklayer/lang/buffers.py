"""Buffers: memory of Python objects (bytes, array.array, NumPy arrays) that a typed function works on in place.

For:     annotations of parameters: `data: Buffer[f64]`, `out: MutBuffer[u8]`.
Not for: memory inside structs (structs.py). Under CPython the parameter is the object itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class BufferType:
    """`Buffer[element]`: contiguous elements, as many as there are. `writable` where the function may store to them."""

    __slots__ = ("element", "writable")

    def __init__(self, element: Any, writable: bool) -> None:
        self.element = element
        self.writable = writable

    def __repr__(self) -> str:
        return f"{'Mut' * self.writable}Buffer[{self.element!r}]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BufferType) and self.element is other.element and self.writable == other.writable

    def __hash__(self) -> int:
        return hash((BufferType, id(self.element), self.writable))


if TYPE_CHECKING:

    # To a type checker: whatever has such elements. That it has a buffer of them is checked when it is passed.
    class Buffer(Protocol[T_co]):
        """Elements of an object's buffer, to be read."""

        def __getitem__(self, index: int, /) -> T_co: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[T_co]: ...

    class MutBuffer(Protocol[T]):
        """Elements of an object's buffer, to be read and written."""

        def __getitem__(self, index: int, /) -> T: ...
        def __setitem__(self, index: int, value: T, /) -> None: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[T]: ...
else:

    class Buffer:
        """Elements of an object's buffer, to be read."""

        def __class_getitem__(cls, element: Any) -> BufferType:
            return BufferType(element, False)

    class MutBuffer:
        """Elements of an object's buffer, to be read and written."""

        def __class_getitem__(cls, element: Any) -> BufferType:
            return BufferType(element, True)
