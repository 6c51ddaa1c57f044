"""Many steps of a pattern that repeats itself, taken as one: pulses have eight, waves 32.

For:     how many steps are left of some time when all whole rounds are taken off.
Not for: what a step is (pulse.py, wave.py).
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import typed, u8, u16, u64


@typed
def left_over(since: u64, length: u16, powers: Any) -> tuple[u8, u64]:
    """How many whole steps of `length` ticks, and how many ticks behind those, are left of some ticks.

    powers: the powers of two below a round's steps, the greatest first. By subtraction alone: a division by what is
            not known takes as long as most calls of this.
    """
    rest: u64 = since
    all_steps: u64 = u64(length * (2 * powers[0]))
    span: u64 = all_steps
    while span <= rest:
        span = u64(span << 1)
    while span > all_steps:
        span = span >> 1
        if rest >= span:
            rest = u64(rest - span)
    steps: u8 = 0
    for power in powers:
        if rest >= length * power:
            rest = u64(rest - length * power)
            steps = u8(steps + power)
    return steps, rest
