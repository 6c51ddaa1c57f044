"""Images: objects that were linked to each other beforehand, to be placed with nothing but a copy.

For:       code that is compiled once and loaded often. Making one takes the loader; placing one takes neither it nor
           NumPy.
Not for:   objects that need addresses from outside: code reaches everything through its arguments, or through `slots`.
Invariant: an image's code refers to itself by relative addresses only, so it runs wherever it is put.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .memory import Block, CodeMemory

SLOTS = "tracklayer.slots"
"""The symbol of an array of 64-bit words in an image that `place` fills."""


class PlacedImage:
    """An image in code memory. It runs as long as this is held."""

    def __init__(self, block: Block, symbols: Mapping[str, int]) -> None:
        self.block = block
        self.symbols = symbols

    @property
    def frames(self) -> list[tuple[int, int]]:
        """Address and size of each unwinding table, each followed by four zero bytes."""
        found = [(name, at) for name, at in self.symbols.items() if name.startswith(FRAMES)]
        return [(self.block.address + at, int(name.rpartition(" ")[2])) for name, at in found]

    def __getitem__(self, name: str) -> int:
        """The executable address of a symbol."""
        return self.block.address + self.symbols[name]


class Piece(NamedTuple):
    """Some code. references: where in it 32 bits hold the distance from there to a symbol, which one, what to add."""

    code: bytes
    references: tuple[tuple[int, str, int], ...] = ()


def make_image(objects: Iterable[bytes], pieces: Mapping[str, Piece] | None = None) -> bytes:
    """Link objects into an image. Each may use symbols of all others.

    pieces: further code, by the symbol under which it is to be found; it may use symbols of the objects.
    Errors: ObjectError, UndefinedSymbols.
    """
    from .loader import UndefinedSymbols, parse

    layouts = [parse(data).layout() for data in objects]
    starts: list[int] = []
    symbols: dict[str, int] = {}
    size = 0
    for layout in layouts:
        size += -size % max(16, layout.align)
        starts.append(size)
        for index, (start, length) in enumerate(layout.eh_frames):
            symbols[f"{FRAMES} {size} {index} {length}"] = size + start
        symbols.update({name: address - BASE for name, address in layout.symbols(BASE + size).items()})
        size += layout.size
    # Far from 0, so that no address is mistaken for null; only differences end up in the code.
    known = {name: BASE + offset for name, offset in symbols.items()}
    code = bytearray(size)
    for layout, start in zip(layouts, starts, strict=True):
        code[start : start + layout.size] = layout.link(BASE + start, known)
    for name, piece in (pieces or {}).items():
        code += bytes(-len(code) % ALIGN)
        symbols[name] = start = len(code)
        code += piece.code
        missing = [symbol for _, symbol, _ in piece.references if symbol not in symbols]
        if missing:
            raise UndefinedSymbols(missing)
        for at, symbol, addend in piece.references:
            distance = symbols[symbol] + addend - (start + at)
            code[start + at : start + at + 4] = distance.to_bytes(4, "little", signed=True)
    head = json.dumps(symbols, separators=(",", ":")).encode()
    return struct.pack("<QQ", len(head), len(code)) + head + bytes(code)


BASE = 1 << 20
ALIGN = 16
"""Of a piece of code."""
FRAMES = ".eh_frame"
"""Unwinding tables are among the symbols, under names that begin so and end in the size."""


def place(image: bytes, memory: CodeMemory, slots: Iterable[int] = ()) -> PlacedImage:
    """Put an image into code memory. slots: what the words at `SLOTS` are to hold.

    Errors: ValueError where the bytes are no image; CodeMemoryFull.
    """
    if len(image) < 16:
        raise ValueError("this is no image of code")
    head, size = struct.unpack_from("<QQ", image)
    if len(image) != 16 + head + size:
        raise ValueError("this is no whole image of code")
    symbols: dict[str, int] = json.loads(image[16 : 16 + head])
    code = bytearray(image[16 + head :])
    values = tuple(slots)
    words = struct.pack(f"<{len(values)}Q", *values)
    if words:
        code[symbols[SLOTS] : symbols[SLOTS] + len(words)] = words
    block = memory.allocate(max(1, len(code)), 64)
    block.write(0, code)
    return PlacedImage(block, symbols)
