"""native/image.py: objects linked to each other beforehand."""

from __future__ import annotations

import ctypes

import pytest

from tracklayer.compiler.backend import emit
from tracklayer.native.image import Piece, make_image, place
from tracklayer.native.loader import UndefinedSymbols, parse
from tracklayer.native.memory import code_memory

EVEN = """
declare hidden i64 @odd(i64)
define i64 @even(i64 %n) nounwind {
  %done = icmp eq i64 %n, 0
  br i1 %done, label %yes, label %no
yes:
  ret i64 1
no:
  %less = sub i64 %n, 1
  %found = call i64 @odd(i64 %less)
  ret i64 %found
}
"""
SWAPPED = EVEN.replace("@odd", "@other").replace("@even", "@odd").replace("@other", "@even")
ODD = SWAPPED.replace("ret i64 1", "ret i64 0")


@pytest.mark.parametrize("texts", [(EVEN, ODD), (ODD, EVEN)], ids=["even first", "odd first"])
def test_objects_of_an_image_may_call_each_other(texts: tuple[str, str]) -> None:
    placed = place(make_image([emit(text) for text in texts]), code_memory())
    even = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(placed["even"])
    assert [even(n) for n in range(7)] == [1, 0, 1, 0, 1, 0, 1]


def test_pieces_of_code_are_found_by_their_symbols() -> None:
    numbers = (7, 1 << 40, 9)
    pieces = {}
    for number in numbers:
        made = parse(emit(f"define i64 @f() nounwind {{ ret i64 {number} }}")).functions()["f"]
        assert not made.relocations
        pieces[f"give {number}"] = Piece(made.code)
    placed = place(make_image([emit(EVEN), emit(ODD)], pieces), code_memory())
    given = [ctypes.CFUNCTYPE(ctypes.c_int64)(placed[name])() for name in pieces]
    assert given == list(numbers)
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(placed["even"])(4) == 1


def test_pieces_of_code_call_objects() -> None:
    """A jump (E9) over 32 bits, to where EVEN stands."""
    piece = Piece(b"\x90\xe9\0\0\0\0", ((2, "even", -4),))
    placed = place(make_image([emit(EVEN), emit(ODD)], {"first": Piece(b"\xc3"), "hop": piece}), code_memory())
    assert [ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(placed["hop"])(n) for n in range(3)] == [1, 0, 1]
    with pytest.raises(UndefinedSymbols, match="nowhere"):
        make_image([emit(EVEN), emit(ODD)], {"hop": Piece(piece.code, ((2, "nowhere", -4),))})


def test_what_no_object_of_an_image_defines_is_named() -> None:
    with pytest.raises(UndefinedSymbols, match="odd"):
        make_image([emit(EVEN)])
