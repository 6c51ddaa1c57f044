"""The shape of a step in band-limited sound: a windowed sinc, by where between two samples the step falls.

For:     the table; a step of height 1 adds one row of it to the samples' differences, and UNIT in all.
Not for: adding it (listener.py).

A square wave's edges hold frequencies without end, and sampled as they stand, those above half the sampling rate
come back below it as notes that nobody played. So every edge is replaced by one with nothing above: the integral of a
sinc, of which a row holds what is added from each sample to the next. With these figures the response is flat to 0.3 of
the rate within 0.2 dB, and what comes back below 0.42 of it is 70 dB down.
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
    half = TAPS * PHASES // 2
    sums = [0.0]
    for place in range(-half, half):
        sums.append(sums[-1] + _sinc((place + 0.5) / PHASES))

    def step(place: int) -> float:
        """How high the edge is, so many phases from its middle."""
        return sums[max(-half, min(half, place)) + half]

    table: list[int] = []
    for phase in range(PHASES):
        # Sample `tap` lies so many phases behind the middle; the row has what came since the sample before it.
        places = [(tap - TAPS // 2 + 1) * PHASES - phase + PHASES // 2 for tap in range(TAPS)]
        row = [step(place) - step(place - PHASES) for place in places]
        scale = UNIT / sum(row)
        rounded = [round(value * scale) for value in row]
        rounded[TAPS // 2] += UNIT - sum(rounded)
        table += rounded
    return tuple(table)


def _sinc(distance: float) -> float:
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
