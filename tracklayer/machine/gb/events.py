"""The kinds of events that a Game Boy schedules on its clock: indices of `Clock.at`."""

TIMER = 0
"""TIMA is reloaded and asks for its interrupt. Scheduled while IE lets the CPU feel that."""
SERIAL = 1
"""The eighth bit of a serial transfer is shifted. Scheduled while IE lets the CPU feel that."""
FRAME = 2
"""VBlank begins, or ends; while the LCD is off, a frame's time has passed."""
STAT = 3
"""The STAT interrupt line may rise. Scheduled while IE and STAT let the CPU feel that."""
DMA = 4
"""An OAM DMA transfer is over."""
HDMA = 5
"""An HBlank may have begun in which VRAM DMA copies a block."""
