"""Tracklayer: emulators written once in typed Python, running as machine code that can call Python back.

Names are imported when first asked for, so that `import tracklayer` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import (
        Access,
        Batch,
        BusyError,
        CompileError,
        EngineError,
        GameBoy,
        Hook,
        Link,
        LinkError,
        Listener,
        ModelError,
        Peer,
        Print,
        Printer,
        Profile,
        Region,
        RegisterError,
        Rewind,
        RomError,
        SaveError,
        Snapshot,
        StateError,
        Symbol,
        SymbolError,
        Symbols,
        TracklayerError,
        function,
        original,
        profile,
    )

__all__ = [
    "Access", "Batch", "BusyError", "CompileError", "EngineError", "GameBoy", "Hook", "Link", "LinkError",
    "Listener", "ModelError", "Peer", "Print", "Printer", "Profile", "Region", "RegisterError", "Rewind", "RomError",
    "SaveError", "Snapshot", "StateError", "Symbol", "SymbolError", "Symbols", "TracklayerError", "function",
    "original", "profile",
]  # fmt: skip

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
