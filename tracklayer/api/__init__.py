"""Where the rooms meet: the console as a Python object.

gameboy.py      GameBoy: running, looking, touching, hooks, regions, states
engines.py      the engines by name
roms.py         cartridge images and their headers
pictures.py     shades, colours, PNG files
disassembly.py  guest code as text
state.py        names for the bytes of a state
lockstep.py     two engines side by side
vectors.py      the bare processor against vectors
"""

from .errors import BusyError, EngineError, ModelError, RomError, StateError, TracklayerError
from .gameboy import BUTTONS, CYCLES_PER_FRAME, CYCLES_PER_SECOND, GameBoy, Hook, Region

__all__ = [
    "BUTTONS", "CYCLES_PER_FRAME", "CYCLES_PER_SECOND", "BusyError", "EngineError", "GameBoy", "Hook", "ModelError",
    "Region", "RomError", "StateError", "TracklayerError",
]  # fmt: skip
