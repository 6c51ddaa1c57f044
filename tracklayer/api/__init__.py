"""Where the rooms meet: the console as a Python object.

gameboy.py      GameBoy: running, looking, touching, states
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
state.py        names for the bytes of a state
lockstep.py     two engines side by side
vectors.py      the bare processor against vectors
"""

from .errors import (
    BusyError,
    EngineError,
    ModelError,
    RegisterError,
    RomError,
    SaveError,
    StateError,
    SymbolError,
    TracklayerError,
)  # fmt: skip
from .gameboy import BUTTONS, CYCLES_PER_FRAME, CYCLES_PER_SECOND, GameBoy
from .hooks import Access, Hook, Region
from .rewind import Rewind, Snapshot
from .symbols import Symbol, Symbols

__all__ = [
    "BUTTONS", "CYCLES_PER_FRAME", "CYCLES_PER_SECOND", "Access", "BusyError", "EngineError", "GameBoy", "Hook",
    "ModelError", "Region", "RegisterError", "Rewind", "RomError", "SaveError", "Snapshot", "StateError", "Symbol",
    "SymbolError", "Symbols", "TracklayerError",
]  # fmt: skip
