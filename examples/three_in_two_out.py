"""Machine code calls a Python function with three integers, and gets two back.

The classic test of a crossing: the argument of the outer function goes along with two constants; the Python function
returns a pair; both its numbers come back through registers. With 10 the answer is (3, 11).
"""

from __future__ import annotations

from tracklayer.native import Assembler
from tracklayer.native.operands import rdi, rdx, rsi


def combine(one: int, two: int, given: int) -> tuple[int, int]:
    """Any Python function will do."""
    print(f"Python was called with {one}, {two}, {given}")
    return one + two, given + 1


def main() -> None:
    """Make the function and call it."""
    a = Assembler("three_in_two_out")
    a.prologue()
    a.mov(rdx, rdi)  # our argument becomes the third
    a.mov(rdi, 1)
    a.mov(rsi, 2)
    a.call(a.callback(combine, "(i64, i64)(one: i64, two: i64, given: i64)"))
    a.epilogue()  # the two results are still in RAX and RDX
    function = a.function("(i64, i64)(given: i64)")
    print(function(10))


if __name__ == "__main__":
    main()
