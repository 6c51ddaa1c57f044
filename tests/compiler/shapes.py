"""Structs with a field of every kind, filled with bytes that such fields can hold."""

from __future__ import annotations

import ctypes
import random
from typing import Any

from tracklayer.lang import (
    Array,
    ArrayType,
    IntType,
    Ptr,
    array,
    i8,
    i16,
    i32,
    i64,
    is_struct,
    layout,
    pointer,
    struct,
    u1,
    u2,
    u3,
    u4,
    u5,
    u6,
    u7,
    u8,
    u16,
    u32,
    u64,
)  # fmt: skip


@struct
class Inner:
    small: u3
    byte: u8
    word: i16
    flag: u1
    long: u64
    cells: Array[u8] = array(8)


@struct
class Shape:
    leave: Ptr[u8]
    to_bytes: Ptr[u8]
    to_words: Ptr[u16]
    to_ints: Ptr[i32]
    to_inner: Ptr[Inner]
    result: i64
    b1: u1
    b2: u2
    b3: u3
    b4: u4
    b5: u5
    b6: u6
    b7: u7
    x8: u8
    x16: u16
    x32: u32
    x64: u64
    s8: i8
    s16: i16
    s32: i32
    s64: i64
    other: u1
    inner: Inner
    inners: Array[Inner] = array(4)
    bytes: Array[u8] = array(16)
    words: Array[u16] = array(8)
    longs: Array[u64] = array(4)
    chars: Array[i8] = array(8)
    ints: Array[i32] = array(4)
    wide: Array[i64] = array(2)


PLAIN = 40
"""Where what is compared begins: behind the pointers."""

PINNED = ("b1", "b3", "x8", "x16", "x64", "s8", "s32", "s64", "inner.byte", "inner.flag")
CACHED = ("b2", "x32", "s16", "other", "inner.word")

EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 32767, 32768, 65535, 65536, (1 << 31) - 1,
         1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip


def some_value(dice: random.Random, kind: IntType) -> int:
    """A value of a type; often one at an edge."""
    if dice.random() < 0.5:
        value = dice.choice(EDGES)
        return kind(-value if kind.signed and dice.random() < 0.5 else value)
    return dice.randint(kind.lo, kind.hi)


def fill(thing: Any, kind: Any, dice: random.Random) -> None:
    """Give every number of a struct a value."""
    for name, field in layout(kind).items():
        if isinstance(field.type, IntType):
            setattr(thing, name, some_value(dice, field.type))
        elif is_struct(field.type):
            fill(getattr(thing, name), field.type, dice)
        elif isinstance(field.type, ArrayType):
            items = getattr(thing, name)
            for index in range(field.type.length):
                if is_struct(field.type.element):
                    fill(items[index], field.type.element, dice)
                else:
                    items[index] = some_value(dice, field.type.element)


def new_shape(seed: int) -> Any:
    """A shape with random contents, whose pointers lead into its own arrays."""
    shape: Any = Shape()
    fill(shape, Shape, random.Random(seed))
    shape.to_bytes = pointer(shape.bytes, 4)
    shape.to_words = pointer(shape.words)
    shape.to_ints = pointer(shape.ints)
    shape.to_inner = pointer(shape.inners, 1)
    shape.result = 0
    return shape


def contents(shape: Any) -> bytes:
    """The bytes of a shape that two runs must agree about."""
    return ctypes.string_at(ctypes.addressof(shape) + PLAIN, ctypes.sizeof(shape) - PLAIN)
