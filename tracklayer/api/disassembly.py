"""Guest code as text.

For:     the instructions in some bytes; the next instruction of a console.
Not for: how an instruction is written: its row says that (cpu/sm83/rows.py).
"""

from __future__ import annotations

from itertools import islice

from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import Line

ENTRY = 0x0100
"""Where every cartridge begins to run."""

LONGEST = 3
"""Bytes of the longest instruction."""


def disassemble(data: bytes, address: int = 0, count: int = 16) -> list[Line]:
    """The first `count` instructions in some bytes, of which the first stands at `address`.

    Returns: lines with `address`, `data` (its bytes), `text` and `row`. Fewer of them where the bytes end.
    """
    return list(islice(SM83.disassemble(data, address), count))
