"""The pixel processing unit: timing, interrupts, drawing.

    state.py      the structs, and the numbers of a frame
    timing.py     what happens at which dot; catching up
    frame.py      the begin and the end of a frame
    plan.py       when the interrupt line may rise next
    access.py     what the CPU sees of a line
    stat.py       the STAT interrupt line
    objects.py    which objects a line has, and how long they make it
    line.py       drawing a line at once
    color.py      the same on a Game Boy Color
    oam.py        what the PPU reads of OAM, also beside OAM DMA
    registers.py  LCDC to WX

The PPU is lazy: it does nothing until somebody looks (a register, VRAM or OAM is touched, a picture is wanted) or until
something is due that the CPU can feel by itself. Then `timing.catch_up` does what was due, in order.
"""

from .access import palettes_closed
from .oam import disturb
from .plan import next_hblank_look, reschedule
from .registers import DOTS_BEFORE_ON, REGISTERS, power_on, write_lcdc
from .state import (
    DOTS_PER_FRAME,
    DOTS_PER_LINE,
    HEIGHT,
    LCD_ENABLE,
    OAM_READ,
    OAM_WRITE,
    VRAM_READ,
    VRAM_WRITE,
    Machine,
    Ppu,
)
from .timing import (
    before_dma,
    catch_up,
    drawn,
    frame_due,
    repaint,
    speed_changed,
    stat_due,
    touch,
)

__all__ = [
    "DOTS_BEFORE_ON", "DOTS_PER_FRAME", "DOTS_PER_LINE", "HEIGHT", "LCD_ENABLE", "OAM_READ", "OAM_WRITE", "REGISTERS",
    "VRAM_READ", "VRAM_WRITE", "Machine", "Ppu", "before_dma", "catch_up", "disturb", "drawn", "frame_due",
    "next_hblank_look", "palettes_closed", "power_on", "repaint", "reschedule", "speed_changed", "stat_due", "touch",
    "write_lcdc",
]  # fmt: skip
