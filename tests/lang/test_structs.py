"""Structs are flat memory, and plain attributes to Python."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref

import pytest

from tracklayer.lang import (
    Array,
    Object,
    Ptr,
    array,
    i16,
    is_struct,
    layout,
    null,
    pointer,
    size_of,
    struct,
    type_name,
    typed,
    u1,
    u2,
    u8,
    u16,
    u32,
    u64,
)  # fmt: skip
from tracklayer.lang.structs import ArrayType


@struct
class Line:
    """A struct within another."""

    y: u8
    pixels: Array[u16] = array(4)

    @typed
    def total(self) -> u16:
        return u16(self.pixels[0] + self.pixels[1] + self.pixels[2] + self.pixels[3])


@struct
class Device:
    """One of every kind of field."""

    flag: u1
    mode: u2
    counter: u16
    offset: i16
    time: u64
    line: Line
    lines: Array[Line] = array(3)
    rom: Ptr[u8]
    banks: Array[Ptr[u8]] = array(2)
    on_read: Object


def test_a_new_struct_is_zero() -> None:
    device = Device()
    assert bytes(device) == bytes(size_of(Device))
    assert (device.flag, device.mode, device.counter, device.time) == (0, 0, 0, 0)
    assert device.on_read is None
    assert not device.rom


def test_a_store_wraps_to_the_field() -> None:
    device = Device()
    device.counter, device.mode, device.offset = 65536 + 7, 6, 40000
    assert (device.counter, device.mode, device.offset) == (7, 2, 40000 - 65536)
    device.line.pixels[1] = -1
    assert device.line.pixels[1] == 65535


def test_offsets_are_where_the_bytes_are() -> None:
    device = Device()
    device.time = 0x1122334455667788
    at = layout(Device)["time"].offset
    assert bytes(device)[at : at + 8] == bytes.fromhex("8877665544332211")
    assert layout(Device)["line"].offset % 2 == 0
    assert isinstance(layout(Device)["lines"].type, ArrayType)


def test_nested_structs_are_the_same_memory_each_time() -> None:
    device = Device()
    assert device.line is device.line
    device.lines[2].y = 9
    line = device.lines[2]
    line.pixels[3] = 5
    assert device.lines[2].total() == 5
    assert bytes(device).count(b"\x09") == 1


def test_pointers_lead_into_arrays_and_null_is_false() -> None:
    device = Device()
    rom = (ctypes.c_uint8 * 4)(1, 2, 3, 4)
    device.rom = pointer(rom, 1)
    assert device.rom
    assert (device.rom[0], device.rom[2], device.rom[-1]) == (2, 4, 1)
    device.rom[0] = 77
    assert rom[1] == 77
    device.banks[1] = device.rom
    assert device.banks[1][0] == 77
    device.rom = null(u8)
    assert not device.rom


def test_an_object_field_keeps_what_is_stored_alive() -> None:
    class Thing:
        pass

    device, thing = Device(), Thing()
    seen = weakref.ref(thing)
    device.on_read = thing
    del thing
    gc.collect()
    before = sys.getrefcount(seen())
    same = [device.on_read is seen() for _ in range(100)]
    after = sys.getrefcount(seen())
    assert all(same)
    assert after == before
    device.on_read = None
    gc.collect()
    assert seen() is None


def test_a_struct_knows_itself() -> None:
    assert is_struct(Device)
    assert not is_struct(int)
    assert not is_struct(Device())
    assert type_name(Device) == "Device"
    assert [type_name(layout(Device)[name].type) for name in ("rom", "lines", "on_read")] == [
        "Ptr[u8]",
        "Array[Line] of 3",
        "Object",
    ]
    assert Device.__doc__ == "One of every kind of field."
    assert Device.__module__ == __name__


def test_methods_work_on_nested_structs() -> None:
    device = Device()
    for index in range(4):
        device.line.pixels[index] = index + 1
    assert device.line.total() == 10


def declare(annotations: dict[str, object], **members: object) -> None:
    struct(type("Wrong", (), {"__annotations__": annotations, **members}))


def test_wrong_fields_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.x: .*float.* is not a type of the typed subset; see docs/lang\.md"):
        declare({"x": float})
    with pytest.raises(TypeError, match=r"Wrong\.x: give the array's length"):
        declare({"x": Array[u8]})
    with pytest.raises(TypeError, match=r"Wrong\.x: Array\[u1\]: elements take 8, 16, 32 or 64 bits"):
        declare({"x": Array[u1]}, x=array(4))
    with pytest.raises(TypeError, match=r"Wrong\.x"):
        declare({"x": "Ptr[str]"})


def test_sizes() -> None:
    assert (size_of(u32), size_of(u1), size_of(Ptr[u8]), size_of(Line)) == (4, 1, 8, 10)
