"""Machine code as text.

For:     showing x86-64 code that lies in memory.
Not for: code that is being assembled, which has a listing (source.py).
"""

from __future__ import annotations

import ctypes
import platform
from typing import NamedTuple


class Shown(NamedTuple):
    """One instruction of the host."""

    address: int
    data: bytes
    text: str


def disassemble(address: int, size: int) -> list[Shown]:
    """The instructions in so many bytes of memory, in Intel's notation. Empty on other processors than x86-64."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return []
    from iced_x86 import Decoder, Formatter, FormatterSyntax

    code = ctypes.string_at(address, size)
    formatter = Formatter(FormatterSyntax.INTEL)
    formatter.hex_prefix, formatter.hex_suffix = "0x", ""
    formatter.space_after_operand_separator = True
    found = []
    for one in Decoder(64, code, ip=address):
        at = one.ip - address
        found.append(Shown(one.ip, code[at : at + one.len], formatter.format(one)))
    return found
