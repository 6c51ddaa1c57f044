"""Where the rooms meet: the console as a Python object.

gameboy.py      GameBoy: running; views.py: looking, touching, buttons; kept.py: states, battery saves
batch.py        Batch: many consoles in one call; seats.py: what its threads do; crew.py: the threads
link.py         two consoles on a cable
peer.py         a console in another process at the end of the cable; wire.py: the socket
hooks.py        hooks and regions; symbols.py: names of places
engines.py      the engines by name
roms.py         cartridge images and their headers
pictures.py     shades, colours, PNG files
sound.py        samples
plugs.py        sensors, motors, lights, the camera, devices on the serial port
battery.py      what cartridges keep, as .sav files
saving.py       saved states: what goes into one; container.py: their bytes
rewind.py       snapshots in memory, and going back with them
disassembly.py  guest code as text
profiling/      where a program's time goes, the guest's and the host's
state.py        names for the bytes of a state
lockstep.py     two engines side by side
vectors.py      the bare processor against vectors
functions.py    typed functions as builtins of machine code, for whoever has no console in mind

Names are imported when first asked for: who wants a function need not load a console.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import Batch
    from .errors import (
        BusyError,
        EngineError,
        LinkError,
        ModelError,
        RegisterError,
        RomError,
        SaveError,
        StateError,
        SymbolError,
        TracklayerError,
    )
    from .functions import CompileError, function, original
    from .gameboy import BUTTONS, CYCLES_PER_FRAME, CYCLES_PER_SECOND, GameBoy
    from .hooks import Access, Hook, Region
    from .link import Link
    from .peer import Peer
    from .printer import Print, Printer
    from .profiling.results import Profile
    from .profiling.run import profile
    from .rewind import Rewind, Snapshot
    from .symbols import Symbol, Symbols
    from .wire import Listener

_HOMES = {
    "batch": ("Batch",),
    "errors": (
        "BusyError", "EngineError", "LinkError", "ModelError", "RegisterError", "RomError", "SaveError", "StateError",
        "SymbolError", "TracklayerError",
    ),
    "functions": ("CompileError", "function", "original"),
    "gameboy": ("BUTTONS", "CYCLES_PER_FRAME", "CYCLES_PER_SECOND", "GameBoy"),
    "hooks": ("Access", "Hook", "Region"),
    "link": ("Link",),
    "peer": ("Peer",),
    "printer": ("Print", "Printer"),
    "profiling.results": ("Profile",),
    "profiling.run": ("profile",),
    "rewind": ("Rewind", "Snapshot"),
    "symbols": ("Symbol", "Symbols"),
    "wire": ("Listener",),
}  # fmt: skip
_WHERE = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BUTTONS", "CYCLES_PER_FRAME", "CYCLES_PER_SECOND", "Access", "Batch", "BusyError", "CompileError", "EngineError",
    "GameBoy", "Hook", "Link", "LinkError", "Listener", "ModelError", "Peer", "Print", "Printer", "Profile", "Region",
    "RegisterError", "Rewind", "RomError", "SaveError", "Snapshot", "StateError", "Symbol", "SymbolError", "Symbols",
    "TracklayerError", "function", "original", "profile",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _WHERE.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
