"""Normal and double speed: two clocks from one crystal.

For:       the speed that KEY1 and STOP select; the CPU's time as dots, and back.
Not for:   what KEY1 looks like (color.py); what STOP does besides (console.py).
Invariant: the machine's clock counts the CPU's T-cycles. Dots, 4,194,304 a second, never change their pace: in double
           speed two T-cycles pass in each. `dots` dots had passed when `time` T-cycles had, and the speed has been the
           same since. Where the speed never changed, both are 0 and a dot is a T-cycle.
Source:    Pan Docs, "FF4D - KEY1/SPD (CGB Mode only): Prepare speed switch".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import struct, typed, u1, u64
from tracklayer.machine.common.clock import NEVER, Clock

CLEAR = 4
"""T-cycles, of the old speed, from STOP until the divider is cleared and the speed changes."""
PAUSE = 0x20004
"""T-cycles, of the new speed, that the CPU stands still for then.

Proof: age speed-switch/spsw-tima; gambatte speedchange/speedchange_div_*."""

LOST = 1
"""The PPU falls back by so many dots, as the CPU sees it, each time the speed becomes normal again.

An access happens at its M-cycle's end, but here it is done at the begin (console.py), and what the PPU does is 4 dots
late to match. In double speed an M-cycle is 2 dots long, so accesses come 2 dots earlier: that is taken off when the
speed is doubled, and given back afterwards. It hides in this, as the change of clocks itself takes time as well.

Proof: gambatte speedchange/speedchange*_m3stat_*, lcd_offset/*."""


@struct
class Speed:
    """The CPU's speed, and when it was chosen."""

    double: u1
    armed: u1
    """1: the next STOP changes the speed."""
    time: u64
    dots: u64


class Machine(Protocol):
    """What the two clocks reach of their machine."""

    clock: Clock
    speed: Speed


@typed
def dots(gb: Machine) -> u64:
    """Dots since power-on: what the PPU, sound and everybody outside count by."""
    return u64(gb.speed.dots + (u64(gb.clock.now() - gb.speed.time) >> gb.speed.double))


@typed
def dots_at(gb: Machine, time: u64) -> u64:
    """The dot of a time of the CPU's clock; before the last change of speed, as if it had not been."""
    if time < gb.speed.time:
        return u64(gb.speed.dots - (u64(gb.speed.time - time) >> gb.speed.double))
    return u64(gb.speed.dots + (u64(time - gb.speed.time) >> gb.speed.double))


@typed
def time_of(gb: Machine, dot: u64) -> u64:
    """When, on the CPU's clock, a dot comes that is not in the past. NEVER stays NEVER."""
    if dot == NEVER:
        return NEVER
    return u64(gb.speed.time + u64(u64(dot - gb.speed.dots) << gb.speed.double))


@typed
def change(gb: Machine) -> None:
    """The other speed from now on. Everybody who counts dots has caught up, and plans anew afterwards."""
    left = u64(dots_at(gb, gb.clock.limit) - dots(gb)) if gb.clock.limit > gb.clock.now() else 0
    here = dots(gb)
    gb.speed.time = gb.clock.now()
    gb.speed.double = 1 - gb.speed.double
    gb.speed.dots = here if gb.speed.double else u64(here - LOST)
    gb.speed.armed = 0
    gb.clock.limit = time_of(gb, u64(gb.speed.dots + left))
