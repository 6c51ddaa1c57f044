"""A Brainfuck compiler: eight instructions, one page, input and output through Python callables.

    python examples/brainfuck.py [program.bf]

RBX is the tape's pointer. Runs of + - < > become one instruction, [-] a store. Loops poll, so Ctrl-C works; the tape
is a bytearray of the caller's, and code that leaves it is stopped by a check at every move.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from tracklayer.native import Assembler
from tracklayer.native.operands import al, byte, edi, mem, r12, r13, rbx, rdi, rsi

HELLO = (
    "++++++++[>++++[>++>+++>+++>+<<<<-]>+>+>->>+[<]<-]>>.>---.+++++++..+++.>>.<-.<.+++.------.--------.>>+.>++."
    "  prints Hello World!"
)


class LeftTheTape(IndexError):
    """The program moved off its tape."""


def leave() -> None:
    """What generated code calls where the pointer is out of bounds."""
    raise LeftTheTape("the program left its tape")


def compile_brainfuck(source: str, put: Callable[[int], Any], get: Callable[[], int]) -> Any:
    """A builtin `run(tape)`: runs the program on a writable buffer of bytes.

    put: called with each byte that the program prints
    get: called for each byte that it reads; returns 0 to 255"""
    tokens = re.findall(r"\[-\]|\++|-+|>+|<+|[.,\[\]]", re.sub(r"[^-+<>.,\[\]]", "", source))
    a = Assembler("brainfuck")
    output, wanted = a.callback(put, "void(u8)"), a.callback(get, "u8()")
    a.prologue(rbx, r12, r13, polls=True)
    a.mov(rbx, rdi)  # the pointer
    a.mov(r12, rdi)  # the tape's beginning and end
    a.lea(r13, mem[rdi + rsi])
    a.cmp(rbx, r13)
    a.je("outside")
    loops: list[tuple[Any, Any]] = []
    for token in tokens:
        count = len(token)
        match token[0]:
            case "[" if token == "[-]":
                a.mov(byte[rbx], 0)
            case "+":
                a.add(byte[rbx], count & 0xFF)
            case "-":
                a.sub(byte[rbx], count & 0xFF)
            case ">":
                a.add(rbx, count)
                a.cmp(rbx, r13)
                a.jae("outside")
            case "<":
                a.sub(rbx, count)
                a.cmp(rbx, r12)
                a.jb("outside")
            case ".":
                a.movzx(edi, byte[rbx])
                a.call(output)
            case ",":
                a.call(wanted)
                a.mov(byte[rbx], al)
            case "[":
                loops.append((a.forward(), a.forward()))
                a.cmp(byte[rbx], 0)
                a.je(loops[-1][1])
                a.label(loops[-1][0])
            case _:
                if not loops:
                    raise SyntaxError("a ] without its [")
                begin, end = loops.pop()
                a.poll()
                a.cmp(byte[rbx], 0)
                a.jne(begin)
                a.label(end)
    if loops:
        raise SyntaxError("a [ without its ]")
    a.epilogue()
    a.label("outside")
    a.call(a.callback(leave, "void()"))
    a.epilogue()
    return a.function("void(tape: mut buffer)", name="run", doc="Run the program on a tape.")


def main() -> None:
    """Run a file, or say hello."""
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="latin-1") as file:
            source = file.read()
    else:
        source = HELLO

    def put(value: int) -> None:
        sys.stdout.buffer.write(bytes([value]))

    def get() -> int:
        return (sys.stdin.buffer.read(1) or b"\0")[0]

    compile_brainfuck(source, put, get)(bytearray(30_000))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
