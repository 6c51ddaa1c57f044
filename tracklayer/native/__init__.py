"""Machine code and Python call each other.

For:       memory that holds code, a loader for LLVM's objects, an assembler, builtins from native code, C functions
           from Python callables, and all that generated code needs to be a good citizen of the process.
Not for:   deciding what the code does. This room knows no guest, no emulator and no compiler.
Invariant: importing it imports none of its tools: each is loaded when it is first asked for.

Where to look; docs/crossing.md says how it works and what is promised:

    memory.py       code memory, which it gets by mappings.py, denied.py, unix.py; forks.py, locks over a fork
    loader.py       LLVM's objects: objects.py, relocations.py, linking.py; image.py, those linked beforehand
    calls.py        builtins and their lifetimes; capi.py, where Python's own functions are
    assembler.py    x86-64: source.py, instructions.py, framing.py, placing.py; operands.py, forms.py, encoding.py
    arm64.py        the same for arm64: arm64_operands.py; encoded by LLVM, mc.py
    functions.py    builtins and callbacks by signature: signatures.py, refusals.py (errors in words), templates.py
    adapters.py     the code between, for these: frames.py, conversions.py, entries.py, callback_code.py
    runtime.py      stack depth, Ctrl-C
    unwind.py       unwinders; debug.py with elf.py, debuggers and profilers; sampling.py, where time goes
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracklayer.native.arm64 import Arm64Assembler
    from tracklayer.native.assembler import Assembler
    from tracklayer.native.calls import builtin
    from tracklayer.native.capi import python_api
    from tracklayer.native.functions import callback, native_function
    from tracklayer.native.loader import LoadedObject, ObjectError, load, parse
    from tracklayer.native.mc import NoAssembler
    from tracklayer.native.memory import Block, CodeMemory, CodeMemoryFull, ExecutableMemoryDenied, code_memory
    from tracklayer.native.signatures import SignatureError
    from tracklayer.native.source import AssemblyError, Code, Distance

_HOMES = {
    "arm64": ("Arm64Assembler",),
    "assembler": ("Assembler",),
    "calls": ("builtin",),
    "capi": ("python_api",),
    "functions": ("callback", "native_function"),
    "loader": ("LoadedObject", "ObjectError", "load", "parse"),
    "mc": ("NoAssembler",),
    "memory": ("Block", "CodeMemory", "CodeMemoryFull", "ExecutableMemoryDenied", "code_memory"),
    "signatures": ("SignatureError",),
    "source": ("AssemblyError", "Code", "Distance"),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Arm64Assembler",
    "Assembler",
    "AssemblyError",
    "Block",
    "Code",
    "CodeMemory",
    "CodeMemoryFull",
    "Distance",
    "ExecutableMemoryDenied",
    "LoadedObject",
    "NoAssembler",
    "ObjectError",
    "SignatureError",
    "builtin",
    "callback",
    "code_memory",
    "load",
    "native_function",
    "parse",
    "python_api",
]


def __getattr__(name: str) -> Any:
    home = _WHERE.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
