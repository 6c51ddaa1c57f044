"""The STAT interrupt line: four sources ORed, and the edge that requests the interrupt.

For:     keeping the line, and STAT's match bit, right after anything changed.
Not for: when sources become active (timing.py).
Source:  Pan Docs, "LCD Status Registers", "INT $48 - STAT interrupt".  Proof: mooneye ppu/stat_irq_blocking.
"""

from __future__ import annotations

from tracklayer.lang import typed, u8

from ..interrupts import STAT, request
from .state import LCD_ENABLE, SOURCE_LYC, Machine


@typed
def update(gb: Machine) -> None:
    """Recompute the line from the selected sources."""
    update_selected(gb, gb.ppu.stat)


@typed
def update_selected(gb: Machine, selected: u8) -> None:
    """Recompute the line as if `selected` stood in STAT. Only a rise requests: sources that overlap hide each other."""
    if gb.ppu.lcdc & LCD_ENABLE == 0:
        pass  # LYC's comparison stands still. Proof: gambatte lycEnable/lcdoff_lycirqen_1.
    elif gb.ppu.between:
        gb.ppu.matched = 0
    else:
        gb.ppu.matched = gb.ppu.compare == gb.ppu.lyc
        gb.ppu.lyc_signal = gb.ppu.matched
    active = gb.ppu.signals
    if gb.ppu.lyc_signal:
        active = active | SOURCE_LYC
    level = active & selected & 0x78 != 0
    if level and not gb.ppu.stat_line:
        request(gb, STAT)
    gb.ppu.stat_line = level
