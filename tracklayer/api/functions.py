"""Typed functions as builtins of machine code: `from tracklayer import function`.

For:     the names; docs/crossing.md tells the rest.
Not for: how it is done (compiler/function.py).
"""

from ..compiler.errors import CompileError
from ..compiler.function import function, original

__all__ = ["CompileError", "function", "original"]
