"""Typed Python to machine code: walk the syntax tree, fold what is known, write LLVM IR, keep the object on disk.

For:     `Program` (functions in, relocatable object out), `CompileError`, the disk cache of objects.
Not for: placing code in memory and calling it (native/), or anything that knows a guest.
"""

from .errors import CompileError

__all__ = ["CompileError"]
