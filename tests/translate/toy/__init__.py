"""A machine that nobody built, and that is no SM83: 16-bit instruction words, four 16-bit registers, a banked ROM.

For:     running the engines on a guest that they were not written for; `ToyGuest`, `new_toy`, `Reference`.
Not for: what is tested (test_*.py).

machine.py has the structs and the bus, isa.py the instructions, guest.py what the engines are told of both, console.py
consoles to run, and a plain engine.
"""

from .console import Reference, new_rom, new_toy, set_hooks, state
from .guest import ToyGuest
from .isa import TOY
from .machine import BANK, STOP_ASKED, STOP_ERROR, STOP_LIMIT

__all__ = [
    "BANK",
    "STOP_ASKED",
    "STOP_ERROR",
    "STOP_LIMIT",
    "TOY",
    "Reference",
    "ToyGuest",
    "new_rom",
    "new_toy",
    "set_hooks",
    "state",
]
