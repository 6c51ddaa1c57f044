"""The sound chip of the Game Boy: four channels, a sequencer that clocks what shapes them, and what is heard of it.

For:     what the guest can read back, exactly and lazily: nothing here schedules an event. Sound, where it is wanted.
Not for: files and arrays (api/).
"""

from .listener import Listener
from .mixing import CHARGE_BITS
from .port import COUNT, FIRST, Machine, boot, divider_cleared, hear, pcm, power_up, read, speed_changed, ticks, write
from .state import CHANNELS, Apu

__all__ = [
    "CHANNELS",
    "CHARGE_BITS",
    "COUNT",
    "FIRST",
    "Apu",
    "Listener",
    "Machine",
    "boot",
    "divider_cleared",
    "hear",
    "pcm",
    "power_up",
    "read",
    "speed_changed",
    "ticks",
    "write",
]
