"""The pixel processing unit: timing, interrupts, drawing.

    state.py      the structs, and the numbers of a frame
    timing.py     what happens at which dot; catching up
    stat.py       the STAT interrupt line
    objects.py    which objects a line has, and how long they make it
    line.py       drawing a line at once
    registers.py  LCDC to WX

The PPU is lazy: it does nothing until somebody looks (a register, VRAM or OAM is touched, a picture is wanted) or until
something is due that the CPU can feel by itself. Then `timing.catch_up` does what was due, in order.
"""

from .registers import DOTS_BEFORE_ON, REGISTERS, power_on, write_lcdc
from .state import (
    DOTS_PER_FRAME,
    DOTS_PER_LINE,
    OAM_READ,
    OAM_WRITE,
    VRAM_READ,
    VRAM_WRITE,
    Machine,
    Ppu,
)
from .timing import catch_up, frame_due, reschedule, stat_due

__all__ = [
    "DOTS_BEFORE_ON", "DOTS_PER_FRAME", "DOTS_PER_LINE", "OAM_READ", "OAM_WRITE", "REGISTERS",
    "VRAM_READ", "VRAM_WRITE", "Machine", "Ppu", "catch_up", "frame_due", "power_on", "reschedule",
    "stat_due", "write_lcdc",
]  # fmt: skip
