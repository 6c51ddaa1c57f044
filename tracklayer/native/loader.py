"""The loader: relocatable objects, as LLVM makes them, become code in code memory.

For:       the way from an object's bytes to code that runs. Reading is done by objects.py, placing and resolving by
           linking.py.
Not for:   shared libraries, archives, other formats; running anything (calls.py); unwinding tables (unwind.py).
Invariant: whatever the bytes are, reading them gives an object or an `ObjectError`, never a read outside of them. (Code
           inside that was tampered with is another matter: who keeps objects on disk keeps a checksum.)

Three ways in:

- `load(object, memory, externals) -> LoadedObject`: place it all, resolve it all, `symbols[name]` is where it runs.
- `parse(object) -> ObjectFile`: look at it. `functions()` gives each function's bytes and unresolved relocations.
- `ObjectFile.layout()` and `Layout.link(address, externals)`: the two halves of `load`, without any code memory.

Relocations are applied in bulk by NumPy, one kind at a time: an object of 1.1 MB with 1,500 functions and 30,000
relocations takes 6 to 9 ms. An object has no writable data of its own: code memory is read-only to code, so state
hangs from an argument. Calls that do not reach a function outside (a library, say) go over a small stub in the same
block, and addresses that LLVM loads from a global offset table get a table in the same block.

Sources: "System V Application Binary Interface, AMD64 Architecture Processor Supplement", Relocation; "ELF for the Arm
64-bit Architecture", Relocation.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tracklayer.native.linking import Layout
from tracklayer.native.memory import Block, CodeMemory
from tracklayer.native.objects import (
    HOSTS,
    Function,
    ObjectError,
    ObjectFile,
    Relocation,
    Section,
    UndefinedSymbols,
    parse,
)

__all__ = [
    "Function", "Layout", "LoadedObject", "ObjectError", "ObjectFile", "Relocation", "Section", "UndefinedSymbols",
    "load", "parse",
]  # fmt: skip


@dataclass(frozen=True)
class LoadedObject:
    """An object in code memory. It runs as long as this (or its `block`) is held.

    symbols:   the executable address of each named symbol
    sections:  the address of each placed section (of equal names the last)
    eh_frames: address and size of the unwinding tables, each followed by four zero bytes"""

    block: Block
    symbols: Mapping[str, int]
    sections: Mapping[str, int]
    eh_frames: tuple[tuple[int, int], ...] = field(default=())

    def __getitem__(self, name: str) -> int:
        return self.symbols[name]


def load(
    data: bytes | bytearray | memoryview | ObjectFile,
    memory: CodeMemory,
    externals: Mapping[str, int] | None = None,
    *,
    keep: Callable[[str], bool] | None = None,
) -> LoadedObject:
    """Place an object in code memory, ready to run.

    externals: the addresses of what it uses and does not define; they may be anywhere.
    keep:      which sections to place, by name (`lambda name: name.startswith(".rodata")`); by default all.
    Errors:    ObjectError, UndefinedSymbols, CodeMemoryFull."""
    file = data if isinstance(data, ObjectFile) else parse(data)
    host = HOSTS.get(platform.machine().lower())
    if file.machine != host:
        raise ObjectError(f"an object for {file.machine} cannot run on this {platform.machine()} host")
    layout = file.layout(keep)
    block = memory.allocate(layout.size, layout.align)
    address = block.address
    block.write(0, layout.link(address, externals))
    return LoadedObject(
        block,
        layout.symbols(address),
        {section.name: address + int(layout.starts[section.number]) for section in layout.placed},
        tuple((address + start, size) for start, size in layout.eh_frames),
    )
