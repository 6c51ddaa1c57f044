"""What a channel sounds like, the slow way: from its output at every tick, in floating point, with exact edges."""

from __future__ import annotations

from typing import Any

import numpy

from tracklayer.machine.gb.apu import noise
from tracklayer.machine.gb.apu.kernel import TAPS, _sinc

from .bench import Chip

SECOND = 1 << 21
"""Ticks."""


def outputs(chip: Chip, channel: int, ticks: int) -> Any:
    """The four bits of a channel from each tick to the next, by looking at the guest's own chip all the time."""
    found = []
    for _ in range(ticks):
        found.append(chip.pcm(channel))
        chip.now += 1
    return numpy.array(found)


def register_outputs(chip: Chip, period: int, volume: int, ticks: int) -> Any:
    """The same for channel 4 just triggered, clock by clock, for longer times."""
    found = numpy.zeros(ticks, int)
    lfsr, at = chip.apu.noise.lfsr, chip.apu.noise.count_at - chip.now
    while at < ticks:
        lfsr = int(noise.shifted(lfsr, 0))
        found[at : at + period] = lfsr & 1
        at += period
    return found * volume


def averaged(level: Any, rate: int) -> Any:
    """The average over each sample."""
    whole = numpy.concatenate([[0], numpy.cumsum(level)])
    samples = len(level) * rate // SECOND
    bounds = numpy.arange(samples + 1) * (SECOND / rate)
    return numpy.diff(numpy.interp(bounds, numpy.arange(len(whole)), whole)) * rate / SECOND


FINE = 1 << 12


def band_limited(level: Any, rate: int) -> Any:
    """Every edge replaced by the integral of the kernel's own formula, wherever it falls, sampled as it stands."""
    samples = len(level) * rate // SECOND
    places = numpy.arange(-TAPS * FINE // 2, TAPS * FINE // 2 + 1) / FINE
    integral = numpy.cumsum([_sinc(place) for place in places])
    integral /= integral[-1]
    heard = numpy.zeros(samples)
    for edge in numpy.flatnonzero(numpy.diff(level, prepend=level[0])):
        middle = edge * rate / SECOND + TAPS / 2 - 1
        first = int(middle) - TAPS // 2 + 1
        near = numpy.arange(max(first, 0), min(first + TAPS, samples))
        height = level[edge] - level[edge - 1]
        # A sample is the end of a step, half a sample after the middle of the row's entry.
        heard[near] += height * numpy.interp(near + 0.5 - middle, places, integral)
        heard[first + TAPS :] += height
    return heard
