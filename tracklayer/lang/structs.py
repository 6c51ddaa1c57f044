"""Structs, fixed arrays and pointers: data that CPython and generated code see at the same addresses.

For:       `@struct` classes whose instances are one flat block of memory (a `ctypes.Structure`); `Array`, `Ptr`,
           `Object`.
Not for:   behaviour: methods of a struct are typed functions and know nothing of how it is stored.
Invariant: `layout(cls)` is the one truth of offsets; CPython's accesses and generated code both come from it.
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .floats import FloatType
from .integers import IntType

T = TypeVar("T")

_SCALARS: dict[tuple[int, bool], type[Any]] = {
    (8, False): ctypes.c_uint8,
    (16, False): ctypes.c_uint16,
    (32, False): ctypes.c_uint32,
    (64, False): ctypes.c_uint64,
    (8, True): ctypes.c_int8,
    (16, True): ctypes.c_int16,
    (32, True): ctypes.c_int32,
    (64, True): ctypes.c_int64,
}


class ArrayType:
    """`Array[element]` with a length: `length` elements of type `element`, one after the other."""

    __slots__ = ("element", "length")

    def __init__(self, element: Any, length: int) -> None:
        self.element = element
        self.length = length

    def __repr__(self) -> str:
        return f"Array[{type_name(self.element)}] of {self.length}"


class PtrType:
    """`Ptr[element]`: the address of the first of some elements. Null is false."""

    __slots__ = ("element",)

    def __init__(self, element: Any) -> None:
        self.element = element

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PtrType) and bool(self.element == other.element)

    def __hash__(self) -> int:
        return hash((PtrType, self.element))

    def __repr__(self) -> str:
        return f"Ptr[{type_name(self.element)}]"


class _Length:
    """What `array(n)` leaves in a class body until `@struct` reads it."""

    def __init__(self, length: int) -> None:
        self.length = length


class ObjectType:
    """The type of a field that holds a borrowed reference to a Python object, or null."""

    def __repr__(self) -> str:
        return "Object"


if TYPE_CHECKING:
    Object = Any

    class Array(Generic[T]):
        """A fixed-length array in a struct: `ram: Array[u8] = array(0x2000)`."""

        def __getitem__(self, index: int) -> T: ...
        def __setitem__(self, index: int, value: T) -> None: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[T]: ...

    class Ptr(Generic[T]):
        """A pointer in a struct: `rom: Ptr[u8]`. `if p:` asks for null; `p[i]` is the i-th element."""

        def __getitem__(self, index: int) -> T: ...
        def __setitem__(self, index: int, value: T) -> None: ...
        def __bool__(self) -> bool: ...
else:
    Object = ObjectType()

    class Array:
        """A fixed-length array in a struct: `ram: Array[u8] = array(0x2000)`."""

        def __class_getitem__(cls, element: Any) -> ArrayType:
            return ArrayType(element, 0)

    class Ptr:
        """A pointer in a struct: `rom: Ptr[u8]`. `if p:` asks for null; `p[i]` is the i-th element."""

        def __class_getitem__(cls, element: Any) -> PtrType:
            return PtrType(element)


def array(length: int) -> Any:
    """The length of an `Array` field, given as its default: `objects: Array[Sprite] = array(40)`."""
    return _Length(length)


class _Aggregate:
    """Reads a nested struct or array once and keeps the view on the instance, so later reads are plain attribute
    reads."""

    def __init__(self, name: str, raw: str) -> None:
        self.name = name
        self.raw = raw

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        if instance is None:
            return self
        view = getattr(instance, self.raw)
        instance.__dict__[self.name] = view
        return view


class _Narrow:
    """A field of two to seven bits: stored in a byte, masked when stored to."""

    def __init__(self, raw: str, mask: int) -> None:
        self.raw = raw
        self.mask = mask

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else getattr(instance, self.raw)

    def __set__(self, instance: Any, value: int) -> None:
        setattr(instance, self.raw, value & self.mask)


class _ObjectField:
    """A Python object by address. What is stored through here is kept alive by the instance; null reads as None."""

    def __init__(self, raw: str) -> None:
        self.raw = raw

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        if instance is None:
            return self
        address = getattr(instance, self.raw)
        return None if address is None or address == 0 else ctypes.cast(address, ctypes.py_object).value

    def __set__(self, instance: Any, value: object) -> None:
        instance.__dict__[self.raw + "_kept"] = value
        setattr(instance, self.raw, None if value is None else id(value))


class Field:
    """One field of a struct: its type in the subset, and its offset in bytes."""

    __slots__ = ("name", "offset", "type")

    def __init__(self, name: str, type: Any, offset: int) -> None:
        self.name = name
        self.type = type
        self.offset = offset


def storage(kind: Any) -> Any:
    """The ctypes type that stores a value of the subset's type `kind`."""
    if isinstance(kind, IntType):
        return ctypes.c_bool if kind.bits == 1 else _SCALARS[max(8, kind.bits), kind.signed]
    if isinstance(kind, FloatType):
        return ctypes.c_float if kind.bits == 32 else ctypes.c_double
    if isinstance(kind, ArrayType):
        if isinstance(kind.element, IntType) and kind.element.bits < 8:
            raise TypeError(f"Array[{kind.element}]: elements take 8, 16, 32 or 64 bits; use Array[u8]")
        return storage(kind.element) * kind.length
    if isinstance(kind, PtrType):
        return ctypes.POINTER(storage(kind.element))
    if kind is Object:
        return ctypes.c_void_p
    if isinstance(kind, type) and issubclass(kind, ctypes.Structure):
        return kind
    raise TypeError(f"{kind!r} is not a type of the typed subset; see docs/lang.md")


def struct(cls: type[T]) -> type[T]:
    """Make a class of annotated fields a flat struct, zeroed when made. Its functions stay as methods.

    Errors: TypeError where a field's type is not of the typed subset.
    """
    members: dict[str, Any] = {
        name: value
        for name, value in vars(cls).items()
        if not isinstance(value, _Length) and name not in ("__dict__", "__weakref__", "__annotations__")
    }
    fields: list[tuple[str, Any]] = []
    types: dict[str, Any] = {}
    for name, kind in inspect.get_annotations(cls, eval_str=True).items():
        if isinstance(kind, ArrayType):
            length = vars(cls).get(name)
            if not isinstance(length, _Length):
                raise TypeError(f"{cls.__name__}.{name}: give the array's length: {name}: Array[...] = array(n)")
            kind = ArrayType(kind.element, length.length)
        try:
            stored = storage(kind)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}.{name}: {error}") from None
        types[name] = kind
        if isinstance(kind, ArrayType) or (isinstance(kind, type) and issubclass(kind, ctypes.Structure)):
            raw = "_" + name
            members[name] = _Aggregate(name, raw)
        elif kind is Object:
            raw = "_" + name
            members[name] = _ObjectField(raw)
        elif isinstance(kind, IntType) and 1 < kind.bits < 8:
            raw = "_" + name
            members[name] = _Narrow(raw, kind.mask)
        else:
            raw = name
        fields.append((raw, stored))
    members["_fields_"] = fields
    metaclass: Any = type(ctypes.Structure)
    made = metaclass(cls.__name__, (ctypes.Structure,), members)
    made.__module__ = cls.__module__
    made.__qualname__ = cls.__qualname__
    made.__layout__ = {
        name: Field(name, kind, getattr(made, raw).offset)
        for (raw, _), (name, kind) in zip(fields, types.items(), strict=True)
    }
    return cast("type[T]", made)


def layout(cls: type[Any]) -> dict[str, Field]:
    """The fields of a struct by name, in order, with their offsets."""
    return cast("dict[str, Field]", cls.__layout__)


def is_struct(kind: object) -> bool:
    """Whether `kind` is a class made by `@struct`."""
    return isinstance(kind, type) and hasattr(kind, "__layout__")


def size_of(kind: Any) -> int:
    """Bytes that a value of the subset's type `kind` takes in memory."""
    return ctypes.sizeof(storage(kind))


def type_name(kind: Any) -> str:
    """A type's name as a reader would write it."""
    return kind.__name__ if isinstance(kind, type) else repr(kind)


def pointer(array: Array[T], index: int = 0) -> Ptr[T]:
    """A pointer to element `index` of an array field. The struct must outlive it."""
    element = array._type_  # type: ignore[attr-defined]
    address = ctypes.addressof(array) + index * ctypes.sizeof(element)  # type: ignore[arg-type]
    return cast("Ptr[T]", ctypes.cast(address, ctypes.POINTER(element)))


def null(element: type[T]) -> Ptr[T]:
    """The null pointer: `null(u8)`."""
    return cast("Ptr[T]", ctypes.POINTER(storage(element))())
