"""Programs that become several objects, each handed over as soon as nothing is added to it any more."""

from __future__ import annotations

import ast
import ctypes

from tracklayer.compiler.backend import FOLDING, emit
from tracklayer.compiler.outlining import LOOPS, RARE, STRAIGHT
from tracklayer.compiler.program import OWN, Program
from tracklayer.compiler.sources import describe_function, forget_functions
from tracklayer.lang import i64, typed, u8, u32
from tracklayer.native.image import make_image, place
from tracklayer.native.memory import code_memory

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


@typed(outline=True)
def down(n: u8) -> u32:
    """Recursion through another: one is declared before it is defined."""
    return u32(1 + across(u8(n - 1))) if n else 0


@typed(outline=True)
def across(n: u8) -> u32:
    return u32(PRIMES[n & 7] + down(n))


@typed(outline=True)
def total(n: u8) -> u32:
    found: u32 = 0
    while n > 0:
        found = u32(found + PRIMES[n & 7])
        n = u8(n - 1)
    return found


@typed(rare=True)
def seldom(n: u8) -> u32:
    return u32(n * 3)


@typed
def both(n: i64) -> i64:
    return u32(down(u8(n)) * 1000 + total(u8(n)) + seldom(u8(n)))


def test_parts_are_handed_over_when_they_are_whole_and_fit_together() -> None:
    program = Program()
    made: list[tuple[str, str]] = []
    program.module.chunk = 1
    program.module.whole = lambda part: made.append((part, program.render(part)))
    program.function("both", both)
    assert [part for part, _ in made] == [f"{STRAIGHT}.0", f"{STRAIGHT}.1", f"{LOOPS}.0", f"{RARE}.0"]
    assert program.module.rest() == [f"{OWN}.0"]
    made += [(part, program.render(part)) for part in program.module.rest()]
    for _, text in made:
        assert text.count("\ndefine ") == 1
        assert text.count("constant [8 x i8]") == ("@table.0," in text)
    for level in (FOLDING, 2):
        image = place(make_image([emit(text, level) for _, text in made]), code_memory())
        run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(image["both"])
        assert [run(n) for n in (0, 1, 7, 255)] == [both(n) for n in (0, 1, 7, 255)]


def test_a_program_that_is_not_to_be_divided_has_a_part_of_each_kind() -> None:
    program = Program()
    program.function("both", both)
    assert program.module.rest() == [f"{STRAIGHT}.0", f"{LOOPS}.0", f"{RARE}.0", f"{OWN}.0"]
    assert program.render().count("\ndefine ") == 5


def test_what_is_forgotten_of_a_text_is_read_again() -> None:
    before = describe_function(total)
    assert describe_function(total) is before
    forget_functions()
    again = describe_function(total)
    assert again is not before and again.node is not before.node
    assert ast.dump(again.node) == ast.dump(before.node)
    program = Program()
    program.function("both", both)
    assert program.render().count("\ndefine ") == 5
