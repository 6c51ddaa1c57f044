"""Handlers that are stencils: an instruction that looks at registers alone is compiled once, for the interpreter too.

For:       which instructions that are; their handlers, put together from the stencil and what every handler does then.
Not for:   compiling either (stencils.py, interpreter.py).
Invariant: such a handler does to registers and memory what LLVM would have made of the same meaning, and then spends
           the time and goes on as all handlers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .guest import Guest

if TYPE_CHECKING:
    from ..native.loader import Function
    from .stencils import Use

CALLS_ON = ("R_X86_64_PLT32", "R_X86_64_PC32")


def shared_handlers(guest: type[Guest], uses: Mapping[int, Use]) -> dict[int, int]:
    """The instructions whose handler is their stencil, each with the time that it takes beyond its opcode's fetch."""
    found = {}
    for index, use in uses.items():
        described, length = guest.describe(index), guest.opcode_length(index)
        if use.pure and use.placeless and described is not None and described.length == length:
            found[index] = described.cycles - length * guest.byte_cycles
    return found


def behind(time: int) -> str:
    """The name of the piece of code that stands behind a stencil to make it a handler: it spends the time."""
    return f"behind.{time}"


def join_handlers(
    shared: Mapping[int, int], stencils: Mapping[str, Function], pieces: Mapping[str, Function]
) -> dict[str, bytes]:
    """The code of these handlers, by symbol. shared: as `shared_handlers` gives it. pieces: what `behind` names.

    Errors: RuntimeError where code refers to something outside.
    """
    ends = {time: _closed(pieces[behind(time)]) for time in set(shared.values())}
    return {f"op.{index}": _opened(stencils[f"op.{index}"]) + ends[time] for index, time in shared.items()}


def _closed(function: Function) -> bytes:
    if function.relocations:
        raise RuntimeError(f"{function.name} refers to {function.relocations[0].symbol}: it must run wherever it lies")
    return function.code


def _opened(function: Function) -> bytes:
    """A stencil's code, its jumps to what follows leading to its end."""
    code = bytearray(function.code)
    relocations = list(function.relocations)
    for one in relocations:
        if one.symbol != "hole.continue" or one.kind not in CALLS_ON:
            raise RuntimeError(f"the stencil {function.name} refers to {one.symbol}, so it is no handler")
    if relocations and relocations[-1].offset == len(code) - 4 and code[-5] == 0xE9:
        del code[-5:]
        relocations.pop()
    for one in relocations:
        code[one.offset : one.offset + 4] = (len(code) + one.addend - one.offset).to_bytes(4, "little", signed=True)
    return bytes(code)
