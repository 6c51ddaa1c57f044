"""Recursion through both sides: Python calls code calls Python, to an end and without end.

The Towers of Hanoi: every other level is machine code, the ones between are Python. Then a recursion without end, with
Python's own limit removed and on a thread with a small stack: a RecursionError, because the adapters of generated
functions know how much C stack is left.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from tracklayer.native import Assembler
from tracklayer.native.operands import mem, rax, rdi


def hanoi() -> Callable[[int], int]:
    """Moves for n discs: 2 * moves(n - 1) + 1, one level in code, the next in Python."""

    def level(n: int) -> int:
        return 0 if n == 0 else 2 * moves(n - 1) + 1

    a = Assembler("moves")
    a.prologue()
    a.xor(rax, rax)
    a.test(rdi, rdi)
    a.jz("done")
    a.dec(rdi)
    a.call(a.callback(level, "i64(n: i64)"))
    a.lea(rax, mem[rax + rax + 1])
    a.label("done")
    a.epilogue()
    moves: Callable[[int], int] = a.function("i64(n: i64)")
    return moves


def endless() -> Callable[[int], int]:
    """Calls itself through Python for ever."""

    def again(n: int) -> int:
        nonlocal deepest
        deepest = n
        return function(n + 1)

    deepest = 0
    a = Assembler("endless")
    a.prologue()
    a.call(a.callback(again, "i64(n: i64)"))
    a.epilogue()
    function: Callable[[int], int] = a.function("i64(n: i64)")

    def run(n: int) -> int:
        try:
            return function(n)
        except RecursionError as error:
            print(f"{threading.current_thread().name}: stopped {'far' if deepest > 100 else 'not far'} down: {error}")
            return deepest

    return run


def main() -> None:
    """Both."""
    moves = hanoi()
    print("16 discs take", moves(16), "moves")
    run = endless()
    sys.setrecursionlimit(10**6)
    run(0)
    threading.stack_size(256 << 10)
    thread = threading.Thread(target=run, args=(0,), name="small thread")
    thread.start()
    thread.join()
    print("and all goes on:", moves(5))


if __name__ == "__main__":
    main()
