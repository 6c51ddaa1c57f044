"""What users give a batch, looked at: numbers, truths and masks for its consoles, places in memory.

For:       each as one plain value or an array of the right shape and type; errors that say what was wrong with it.
Not for:   what becomes of them (batch.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracklayer.lang import ArrayType, IntType, layout, size_of, u64

from .memory import span

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Where = int | slice


def numbers(count: int, name: str, given: ArrayLike, largest: int) -> NDArray[Any] | int:
    """Integers from 0 to `largest`: one for all of `count` consoles, or an array of shape (count,), or ().

    Errors: TypeError, ValueError.
    """
    if type(given) is int and 0 <= given <= largest:
        return given
    import numpy

    array = numpy.asarray(given)
    if array.dtype.kind not in "ui":
        raise TypeError(f"{name} are integers, not {array.dtype}")
    shaped(count, name, array)
    if array.dtype != numpy.uint8 and array.size:
        for number in (int(array.min()), int(array.max())):
            if not 0 <= number <= largest:
                raise ValueError(f"{name} lie within 0 and {largest:,}, not {number:,}")
    return array


def truths(count: int, name: str, given: ArrayLike) -> NDArray[Any] | bool:
    """One truth for all, or an array of bool of shape (count,), or (). Errors: TypeError, ValueError."""
    if given is True or given is False:
        return given
    import numpy

    array = numpy.asarray(given)
    if array.dtype.kind != "b":
        raise TypeError(f"{name} is True or False, or an array of these, not {array.dtype}")
    return shaped(count, name, array)


def shaped(count: int, name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array that has one item for all, or one for each. Errors: ValueError."""
    if array.shape not in ((), (count,)):
        raise ValueError(f"{name}: give one for all, or shape ({count},), not {array.shape}")
    return array


def chosen(count: int, mask: ArrayLike | None) -> list[int]:
    """The consoles that a mask of bool, or their numbers, choose; None: all.

    Errors: TypeError, ValueError; IndexError where there is no such console.
    """
    import numpy

    if mask is None:
        return list(range(count))
    array = numpy.asarray(mask)
    if array.size == 0 and array.dtype.kind != "b":
        return []
    if array.dtype.kind == "b":
        if array.shape != (count,):
            raise ValueError(f"a mask has shape ({count},), this has {array.shape}")
        return [int(index) for index in array.nonzero()[0]]
    if array.dtype.kind not in "ui" or array.ndim > 1:
        raise TypeError("a mask is an array of bool, or of the consoles' numbers")
    numbers = [int(index) for index in numpy.atleast_1d(array)]
    for index in numbers:
        if not -count <= index < count:
            raise IndexError(f"there is no console {index}: there are {count}")
    return [index % count for index in numbers]


def cores() -> int:
    """On how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def positive(name: str, number: int) -> int:
    """An int from 1 on. Errors: TypeError, ValueError."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{name} is an int, not {type(number).__name__}")
    if number < 1:
        raise ValueError(f"{name} is at least 1, not {number}")
    return number


def places(memory: Mapping[str, Where] | Sequence[Where]) -> list[tuple[Any, range, bool]]:
    """The names, the addresses, and whether it is a single one, of the memory that is wanted."""
    if isinstance(memory, int | slice | str):
        raise TypeError("memory is a sequence of addresses and slices, or a mapping of names to these")
    items = memory.items() if isinstance(memory, Mapping) else enumerate(memory)
    return [(name, span(where), isinstance(where, int)) for name, where in items]


def dtype(kind: Any) -> Any:
    """A struct as NumPy sees it; pointers are numbers."""
    import numpy

    fields = layout(kind)
    formats = []
    for field in fields.values():
        assert not isinstance(field.type, ArrayType)
        number: Any = field.type if isinstance(field.type, IntType) else u64
        formats.append(f"<{'i' if number.signed else 'u'}{number.bits // 8}")
    offsets = [field.offset for field in fields.values()]
    return numpy.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size_of(kind)})
