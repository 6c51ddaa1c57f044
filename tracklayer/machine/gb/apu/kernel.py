"""The shape of a step in band-limited sound: a windowed sinc, by where between two samples the step falls.

For:     the table; a step of height 1 adds one row of it to the samples' differences, and UNIT in all.
Not for: adding it (listener.py).

A square wave's edges hold frequencies without end, and sampled as they stand, those above half the sampling rate
come back below it as notes that nobody played. So every edge is replaced by one with nothing above. With these
figures the response is flat to 0.3 of the rate within 0.1 dB, and what comes back below 0.42 of it is 70 dB down.
"""

from __future__ import annotations

from functools import cache
from math import pi, sin, sqrt

from tracklayer.lang import comptime

TAPS_BITS, PHASES_BITS, UNIT_BITS = 4, 8, 15
TAPS, PHASES, UNIT = 1 << TAPS_BITS, 1 << PHASES_BITS, 1 << UNIT_BITS
"""Samples that a step spreads over; places of a step between two samples; the sum of each row."""

CUTOFF = 0.85
"""Of half the sampling rate."""
BETA = 7.0
"""Of the Kaiser window: more suppresses more, over a wider edge."""


@comptime
@cache
def kernel() -> tuple[int, ...]:
    """PHASES rows of TAPS integers."""
    table: list[int] = []
    for phase in range(PHASES):
        centre = TAPS / 2 - 1 + (phase + 0.5) / PHASES
        row = [_tap(tap - centre) for tap in range(TAPS)]
        scale = UNIT / sum(row)
        rounded = [round(value * scale) for value in row]
        rounded[round(centre)] += UNIT - sum(rounded)
        table += rounded
    return tuple(table)


def _tap(distance: float) -> float:
    edge = 1 - (2 * distance / TAPS) ** 2
    if edge <= 0:
        return 0.0
    angle = pi * CUTOFF * distance
    return (sin(angle) / angle if angle else 1.0) * _bessel(BETA * sqrt(edge))


def _bessel(x: float) -> float:
    """The modified Bessel function of order 0, by its series."""
    total = term = 1.0
    for k in range(1, 40):
        term *= (x / (2 * k)) ** 2
        total += term
    return total
