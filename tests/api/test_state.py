"""Names for the bytes of a state."""

from __future__ import annotations

import ctypes

from tracklayer.api.state import differences, fields
from tracklayer.lang import Array, Object, array, struct, u8, u16, u32


@struct
class Inner:
    small: u8
    wide: u32


@struct
class Root:
    host: Object
    flag: u8
    word: u16
    inner: Inner
    many: Array[u8] = array(3)
    boxes: Array[Inner] = array(2)


START = 8


def state(root: Root) -> bytes:
    return bytes(ctypes.string_at(ctypes.addressof(root), ctypes.sizeof(Root)))[START:]  # type: ignore[arg-type, type-var]


def test_every_number_behind_the_host_has_a_name() -> None:
    assert [leaf.name for leaf in fields(Root)] == [
        "flag", "word", "inner.small", "inner.wide", "many[0x0]", "many[0x1]", "many[0x2]",
        "boxes[0x0].small", "boxes[0x0].wide", "boxes[0x1].small", "boxes[0x1].wide",
    ]  # fmt: skip


def test_differences_name_the_field_and_both_values() -> None:
    left, right = Root(), Root()
    right.word = 0x1234
    right.boxes[1].wide = 7
    left.many[2] = 9
    found = differences(Root, state(left), state(right), START)
    assert [(one.name, one.left, one.right) for one in found] == [
        ("word", 0, 0x1234), ("many[0x2]", 9, 0), ("boxes[0x1].wide", 0, 7),
    ]  # fmt: skip


def test_equal_states_have_no_differences() -> None:
    assert differences(Root, state(Root()), state(Root()), START) == []


def test_a_difference_in_padding_is_not_lost() -> None:
    left = state(Root())
    right = bytearray(left)
    right[1] = 0xFF  # between `flag` and `word`
    assert [one.name for one in differences(Root, left, bytes(right), START)] == ["(padding behind flag)"]
