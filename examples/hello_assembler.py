"""Hello, world, by the assembler: labels instead of distances, names instead of bytes, and a listing to look at."""

from __future__ import annotations

from tracklayer.native import Assembler
from tracklayer.native.operands import eax, edi, edx, mem, rsi

TEXT = "Hello, world!\n"


def main() -> None:
    """Assemble, show, run."""
    a = Assembler("hello")
    a.mov(eax, 1)  # write
    a.mov(edi, 1)  # to standard output
    a.lea(rsi, mem["text"])  # a label that comes later
    a.mov(edx, len(TEXT))
    a.syscall()
    a.ret()
    a.label("text")
    a.data(TEXT)

    print(a.listing, flush=True)
    hello = a.function("i64()", doc="Say hello.")
    print(f"{hello} wrote {hello()} bytes")


if __name__ == "__main__":
    main()
