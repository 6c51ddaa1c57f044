"""What mappers reach of their machine, and how the clocks among them get to know the time.

For:       the `Machine` protocol; seconds passed, in the guest's time or the world's.
Not for:   any mapper by itself.
Invariant: the fraction of a second is right as of `synced`, on the clock that `time` reads.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import ask, typed, u1, u32, u64
from tracklayer.machine.common.clock import Clock

from .. import speed
from ..maps import Machine as MapsMachine
from .state import CLOCK_RATE_BITS, MapperRegisters


class Machine(MapsMachine, Protocol):
    """What a mapper reaches of its machine."""

    clock: Clock
    speed: speed.Speed
    mapper: MapperRegisters


@typed
def time(gb: Machine) -> u64:
    """What a crystal on the cartridge counts by: 4,194,304 units a second.

    The guest's own time, or, if Python asked for that, the world's.
    """
    if gb.host.wall:
        now = u64(ask(gb.host.ports, gb.host.wall_clock, 0))
        if gb.host.ports.failed:
            gb.clock.attention()
        return now
    return speed.dots(gb)


@typed
def pass_seconds(gb: Machine, running: u1) -> u64:
    """Whole seconds that went by since the last call; none of them if the clock does not run. Time never goes back."""
    now = time(gb)
    seconds = gb.mapper.seconds
    passed: u64 = 0
    if now >= seconds.synced and running:
        total = u64(u64(now - seconds.synced) + seconds.fraction)
        seconds.fraction = u32(total & ((1 << CLOCK_RATE_BITS) - 1))
        passed = total >> CLOCK_RATE_BITS
    seconds.synced = now
    return passed
