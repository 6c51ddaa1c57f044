"""Handlers that are stencils: an instruction without operand is compiled once, for the interpreter too.

For:       which instructions that are; their handlers, put together from the stencil and what every handler does then.
Not for:   compiling either (stencils.py, interpreter.py).
Invariant: such a handler does to registers and memory what LLVM would have made of the same meaning, and then spends
           the time and goes on as all handlers do. Where the stencil would leave to the interpreter, with everything as
           it was, the slow handler runs the instruction with its registers in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..native.image import Piece
from .guest import Guest
from .structs import FALLS
from .tables import INTERPRETS

if TYPE_CHECKING:
    from ..native.loader import Function
    from .stencils import Use

RELATIVE = ("R_X86_64_PLT32", "R_X86_64_PC32")


class Shared(NamedTuple):
    """How a handler is made of a stencil. time: what it takes beyond its opcode's fetch. leaves: it has a slow side."""

    time: int
    leaves: bool


def shared_handlers(guest: type[Guest], uses: Mapping[int, Use]) -> dict[int, Shared]:
    """The instructions whose handler is their stencil. uses: as the compiler of the stencils found."""
    found = {}
    for index, use in uses.items():
        described, length = guest.describe(index), guest.opcode_length(index)
        assert described is not None
        falls = described.flow == FALLS and not described.ends
        quick = not use.cold or not guest.has_full(index)  # else its stencil knows the commonest case only
        if falls and quick and use.placeless and described.length == length:
            found[index] = Shared(described.cycles - length * guest.byte_cycles, use.cold)
    return found


def behind(time: int) -> str:
    """The name of the piece of code that stands behind a stencil to make it a handler: it spends the time."""
    return f"behind.{time}"


def slow(index: int) -> str:
    """The name of the handler that a stencil leaves to."""
    return f"slow.{index}"


def join_handlers(
    shared: Mapping[int, Shared], stencils: Mapping[str, Function], pieces: Mapping[str, Function]
) -> dict[str, Piece]:
    """These handlers, by symbol. shared: as `shared_handlers` gives it. pieces: what `behind` names.

    Errors: RuntimeError where code refers to something outside.
    """
    ends = {time: _closed(pieces[behind(time)]) for time in {one.time for one in shared.values()}}
    return {f"op.{index}": _opened(stencils[f"op.{index}"], index, ends[one.time]) for index, one in shared.items()}


def _closed(function: Function) -> bytes:
    if function.relocations:
        raise RuntimeError(f"{function.name} refers to {function.relocations[0].symbol}: it must run wherever it lies")
    return function.code


def _opened(function: Function, index: int, end: bytes) -> Piece:
    """A stencil's code with an end behind it, to which its jumps to what follows lead."""
    code = bytearray(function.code)
    relocations = list(function.relocations)
    last = relocations[-1] if relocations else None
    if last and last.symbol == "hole.continue" and last.offset == len(code) - 4 and code[-5] == 0xE9:
        del code[-5:]
        relocations.pop()
    references = []
    for one in relocations:
        if one.symbol not in ("hole.continue", *INTERPRETS) or one.kind not in RELATIVE:
            raise RuntimeError(f"the stencil {function.name} refers to {one.symbol}, so it is no handler")
        if one.symbol in INTERPRETS:
            references.append((one.offset, slow(index), one.addend))
        else:
            code[one.offset : one.offset + 4] = (len(code) + one.addend - one.offset).to_bytes(4, "little", signed=True)
    return Piece(bytes(code) + end, tuple(references))
