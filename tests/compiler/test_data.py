"""Structs, arrays, pointers and tables: compiled code sees the same memory as CPython."""

from __future__ import annotations

import ctypes
from typing import Any

from tracklayer.lang import (
    Array,
    Ptr,
    address_of,
    array,
    i8,
    i16,
    i64,
    null,
    pointer,
    pointer_at,
    struct,
    typed,
    u1,
    u2,
    u3,
    u4,
    u8,
    u16,
    u32,
    u64,
)  # fmt: skip

from .harness import agree, build, compiled


@struct
class Line:
    y: u8
    flag: u1
    kind: u3
    pixels: Array[u16] = array(8)

    @typed
    def put(self, x: u8, value: u16) -> None:
        self.pixels[x & 7] = value

    @typed
    def sum(self) -> u32:
        total: u32 = 0
        for x in range(8):
            total = u32(total + self.pixels[x])
        return total


LEVELS = (5, 1, 3, 2)
SIGNED = (-3, 70000, 0, 9)


@struct
class Screen:
    BRIGHT = 3
    counter: u16
    signed: i16
    mode: u2
    on: u1
    time: u64
    line: Line
    lines: Array[Line] = array(4)
    bytes: Array[u8] = array(16)
    chars: Array[i8] = array(4)
    times: Array[u64] = array(4)
    rom: Ptr[u8]
    best: Ptr[Line]
    banks: Array[Ptr[u8]] = array(2)


def both(function: Any, *arguments: Any) -> Screen:
    """Run a function of a screen in CPython, and at two levels compiled, on equal screens; the screen of the first."""
    screens, results = [], []
    rom = (ctypes.c_uint8 * 8)(*range(10, 18))
    machines = [build(function, level=level)[0] for level in (0, 2)]
    for run in (function, *machines):
        screen: Any = Screen()
        screen.signed, screen.time, screen.counter = -300, 1 << 60, 65530
        for index in range(16):
            screen.bytes[index] = index * 16
        screen.chars[1], screen.lines[2].y, screen.lines[2].pixels[7] = -5, 77, 4000
        screen.rom = pointer(rom)
        screen.banks[1] = pointer(rom, 4)
        results.append(run(screen, *arguments))
        screens.append(screen)
    assert results[1:] == results[:1] * 2
    hidden = {name for name, field in Screen.__layout__.items() if name in ("best",)}  # type: ignore[attr-defined]
    for screen in screens:
        for name in hidden:
            setattr(screen, name, null(Line))
    assert bytes(screens[1]) == bytes(screens[0])
    assert bytes(screens[2]) == bytes(screens[0])
    return screens[0]


@typed
def stores_wrap(s: Screen, x: u32) -> u64:
    s.counter += x
    s.signed = s.signed * 200 + x
    s.mode = x
    s.mode += 1
    s.on = x > 9
    s.time -= x * x
    s.bytes[x & 15] = x * 3
    s.bytes[3] += 250
    s.chars[x & 3] = 130 + x
    s.chars[0] -= 200
    s.times[1] += s.times[0] - 1
    s.line.kind = x
    s.line.pixels[2] = -1
    return u64(s.counter + s.signed + s.mode + s.on + s.chars[1] + s.bytes[3])


def test_stores_wrap_to_fields_and_elements() -> None:
    for x in (0, 1, 9, 10, 255, 70000, (1 << 32) - 1):
        both(stores_wrap, x)


@typed
def nested(s: Screen, index: u2) -> u32:
    line = s.lines[index]
    line.put(3, 500)
    s.lines[2].y += 1
    s.line.flag = line.y != 0
    other = s.line
    other.pixels[1] = line.pixels[7]
    s.lines[u2(index + 1)].kind = line.y
    return line.sum() + other.sum() + s.lines[index].y


def test_structs_nest_and_have_methods() -> None:
    for index in range(4):
        both(nested, index)


@typed
def shown_in_range(s: Screen, x: u32, y: i64) -> u32:
    total: u32 = 0
    if x < 16:
        total = s.bytes[x]
    if y >= 0 and y <= 3:
        total = u32(total + s.times[y])
    if 2 <= x < 6 and not (x == 5 or x == 300):
        total = u32(total + s.bytes[x + 2] + s.chars[x - 2])
    if not (x > 15 or x == 15):
        total = u32(total + s.bytes[x + 1])
    match x:
        case 0 | 3:
            total = u32(total + s.bytes[0])
        case _:
            pass
    return u32(total + s.bytes[x % 16] + s.bytes[x >> 28] + s.bytes[min(x, 15)] + s.bytes[x & 7 | 8])


def test_indices_shown_to_be_in_range() -> None:
    for x in (0, 1, 2, 5, 6, 14, 15, 16, (1 << 32) - 1):
        for y in (-1, 0, 3, 4, -(1 << 63)):
            both(shown_in_range, x, y)


@typed
def pointers(s: Screen, x: u8) -> u64:
    p = pointer(s.bytes, x & 7)
    p[1] = 99
    p[x & 1] += 5
    q = s.rom
    total: u64 = p[0] + q[2] + s.banks[1][1]
    if s.banks[0]:
        total = 0
    if not s.banks[0] and s.banks[1]:
        total = u64(total + 1000)
    s.banks[0] = p
    s.banks[1] = null(u8)
    s.rom = s.banks[0] if x > 100 else pointer(s.bytes)
    total = u64(total + s.rom[0] + (address_of(s.rom) == address_of(p)) * 5)
    s.rom, s.banks[0] = s.banks[1], null(u8)
    s.best = pointer(s.lines, x & 3)
    best = s.best[0]
    best.pixels[0] = 12
    s.best[0].y += 1
    return u64(total + s.best[0].y)


def test_pointers() -> None:
    for x in (0, 1, 7, 100, 101, 255):
        both(pointers, x)


@typed
def by_address(s: Screen) -> u32:
    at = address_of(pointer(s.bytes, 4))
    words = pointer_at(at, u32)
    words[1] = 0x01020304
    back = pointer_at(u64(at - 4), Line)[0]
    return u32(words[0] + s.bytes[8] + back.y)


def test_addresses() -> None:
    both(by_address)


@typed
def tables(x: u8, y: u2) -> i64:
    return (
        LEVELS[x & 3]
        + SIGNED[y] * 10
        + (1, 2, 3, 5, 8)[x % 5]
        + b"\x01\xff"[x >> 7]
        + len(LEVELS)
        + LEVELS[1]
        + Screen.BRIGHT
    )


def test_known_tuples_are_tables() -> None:
    agree(tables, *((x, y) for x in range(256) for y in range(4)))


LARGE = (0, (1 << 64) - 1, 5, 1 << 40)


@typed
def large_table(x: u8) -> u64:
    return u64(LARGE[x & 3] + LARGE[x >> 6])


def test_tables_of_64_bits() -> None:
    agree(large_table, *((x,) for x in range(256)))


@typed
def by_pointer(p: Ptr[u16], q: Ptr[u64], n: u8) -> u64:
    p[n] = p[0] + 1
    q[0] += p[n]
    return q[0]


def test_functions_of_pointers() -> None:
    words, longs = (ctypes.c_uint16 * 4)(65535, 1, 2, 3), (ctypes.c_uint64 * 2)(10, 11)
    assert compiled(by_pointer)(words, longs, 2) == 10
    assert list(words) == [65535, 1, 0, 3]
    assert list(longs) == [10, 11]


@typed
def u1_fields(s: Screen, x: u4) -> u8:
    s.on = not s.on
    s.on = s.on and x > 3
    s.on |= x & 1
    s.line.flag = u1(x >> 1)
    s.line.flag ^= s.on
    s.lines[1].flag = 1
    return s.on + s.line.flag * 2 + (not s.lines[0].flag) * 4


def test_truth_fields() -> None:
    for x in range(16):
        both(u1_fields, x)
