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


@typed(outline=True)
def update_selected(gb: Machine, selected: u8) -> None:
    """Recompute the line as if `selected` stood in STAT. Only a rise requests: sources that overlap hide each other."""
    if gb.ppu.lcdc & LCD_ENABLE == 0:
        pass  # LYC's comparison stands still. Proof: gambatte lycEnable/lcdoff_lycirqen_1.
    elif gb.ppu.between:
        gb.ppu.matched = 0
    else:
        gb.ppu.matched = gb.ppu.compare == gb.ppu.lyc
        gb.ppu.lyc_signal = gb.ppu.matched
    high = level(gb, selected)
    if high and not gb.ppu.stat_line:
        request(gb, STAT)
    gb.ppu.stat_line = high


@typed
def level(gb: Machine, selected: u8) -> bool:
    """Whether one of the selected sources is active."""
    return (gb.ppu.signals | gb.ppu.lyc_signal * SOURCE_LYC) & selected & 0x78 != 0


@typed(cold=True)
def select(gb: Machine, value: u8, lingering: u8, ended: u8) -> None:
    """Select other sources: STAT was written.

    `lingering` are still active for the write, `ended` were so right before it.

    For one M-cycle a DMG behaves as if all were selected. Source: Pan Docs, "Spurious STAT interrupts".
    """
    signals = gb.ppu.signals
    if lingering | ended:
        gb.ppu.signals = signals | lingering | ended
        gb.ppu.stat_line = level(gb, gb.ppu.stat)
        gb.ppu.signals = signals | lingering
    if gb.color.hardware == 0:
        update_selected(gb, 0x78)
    gb.ppu.stat = value & 0x78
    update(gb)
    gb.ppu.signals = signals
    gb.ppu.stat_line = level(gb, gb.ppu.stat)
