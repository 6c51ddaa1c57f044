"""Noise that is averaged, and edges that are not, against the slow way."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy
import pytest

from tracklayer.machine.gb.apu import average
from tracklayer.machine.gb.apu import listener as hearing
from tracklayer.machine.gb.apu.state import CGB_E, DMG

from .bench import NR11, NR12, NR13, NR14, NR30, NR32, NR33, NR34, NR42, NR43, NR44, NR50, NR51, WAVE, Chip
from .slow import SECOND, averaged, band_limited, outputs, register_outputs

FULL_GAIN = 8
SCALE = 2 * FULL_GAIN << 5
"""Sample units in one of a channel's 16 steps, at full gain: the DAC's steps are 2 apart; 15 bits less 10."""
NOISE = 3


def noisy(rate: int, nr43: int, seconds: float, revision: int = CGB_E, volume: int = 15) -> Chip:
    chip = Chip(revision)
    chip.write(NR50, 0x77).write(NR51, 0xFF)
    chip.write(NR42, volume << 4 | 8)
    chip.listen(rate, seconds)
    return chip.write(NR43, nr43).write(NR44, 0x80)


def twin(chip: Chip) -> Chip:
    """The guest's chip alone, at the same time."""
    other = Chip(CGB_E, power=False)
    other.apu, other.now = type(chip.apu).from_buffer_copy(chip.apu), chip.now
    return other


def delayed(expected: Any) -> Any:
    return numpy.concatenate([numpy.zeros(average.DELAY), expected])[: len(expected)]


@pytest.mark.parametrize(("rate", "nr43"), [(4000, 0x00), (8000, 0x10), (32_000, 0x01), (48_000, 0x00), (96_000, 0x00)])
def test_fast_noise_is_the_average_of_what_the_guest_could_look_at(rate: int, nr43: int) -> None:
    chip = noisy(rate, nr43, 0.02)
    level = outputs(twin(chip), NOISE, SECOND // 64)
    chip.now += SECOND // 64
    heard = chip.heard()[0]
    expected = delayed(averaged(level, rate)) * -SCALE
    assert expected.std() > SCALE // 8
    assert numpy.abs(heard[:, 0] - expected).max() <= 1
    assert (heard[:, 0] == heard[:, 1]).all()


def test_averaged_noise_does_not_care_how_often_it_is_finished() -> None:
    def play(generator: random.Random | None) -> Any:
        chip = noisy(44_100, 0x00, 0.05)
        for turn in range(20):
            if generator:
                for late in sorted(generator.randrange(2 * 997) for _ in range(generator.randrange(4))):
                    hearing.finish(chip.listener, chip.now + late)
            chip.wait(997)
            if turn == 12:
                chip.write(NR43, 0x10)
        return chip.heard()[0]

    once = play(None)
    assert once.std() > SCALE
    assert (play(random.Random(1)) == once).all()


def test_it_stops_being_averaged_without_a_trace() -> None:
    """Fast noise, then slow, then another volume: in the end the level is what the channel gives."""
    chip = noisy(48_000, 0x00, 0.2)
    chip.wait(3001).write(NR43, 0x54).wait(20_011).write(NR43, 0x00).wait(2003).write(NR42, 0).wait(9000)
    heard = chip.heard()[0]
    assert not chip.listener.averaging
    assert (heard[-100:, 0] == -15 * SCALE // 2).all()  # a DAC that is off gives the middle; it began at the top


def test_short_noise_is_not_averaged() -> None:
    chip = noisy(48_000, 0x08, 0.01)
    chip.wait(4000)
    hearing.finish(chip.listener, chip.now)
    assert not any(chip.areas)


def bands(samples: Any, rate: int) -> Any:
    """Power in thirds of an octave from 160 Hz to 0.3 of the rate, in dB: so far a kernel's response is flat."""
    amplitudes = numpy.abs(numpy.fft.rfft(samples * numpy.hanning(len(samples)))) ** 2
    frequencies = numpy.fft.rfftfreq(len(samples), 1 / rate)
    edges = 160 * 2 ** (numpy.arange(30) / 3)
    edges = edges[edges < 0.3 * rate]
    return numpy.array(
        [
            10 * numpy.log10(amplitudes[(frequencies >= a) & (frequencies < b)].sum())
            for a, b in itertools.pairwise(edges)
        ]
    )


@pytest.mark.parametrize(("nr43", "period"), [(0x00, 4), (0x01, 8)])
def test_averaged_noise_is_as_loud_in_every_band_as_band_limited_noise(nr43: int, period: int) -> None:
    ticks = SECOND // 6
    chip = noisy(48_000, nr43, 0.2)
    level = register_outputs(chip, period, 15, ticks)
    chip.now += ticks
    heard = chip.heard()[0][:, 0]
    assert heard.std() > 2 * SCALE
    difference = bands(heard.astype(float), 48_000) - bands(band_limited(level, 48_000) * SCALE, 48_000)
    assert len(difference) > 17
    assert numpy.abs(difference).max() < 0.5


@pytest.mark.parametrize("channel", range(4))
def test_edges_are_those_of_the_formula(channel: int) -> None:
    """Square waves, samples and slow noise against exact edges: no worse than a 256th of a sample is late."""
    chip = Chip(DMG)
    chip.write(NR50, 0x77).write(NR51, 0xFF)
    for index in range(16):
        chip.write(WAVE + index, (index * 0x35 + 0x1F) & 0xFF)
    chip.write((NR12, NR12 + 5, NR30, NR42)[channel], (0xF0, 0xF0, 0x80, 0xF0)[channel])
    chip.listen(48_000, 0.05)
    if channel < 2:
        chip.write(NR11 + 5 * channel, 0x80).write(NR13 + 5 * channel, 0x9B).write(NR14 + 5 * channel, 0x86)
    elif channel == 2:
        chip.write(NR32, 0x20).write(NR33, 0x9B).write(NR34, 0x86)
    else:
        chip.write(NR43, 0x24).write(NR44, 0x80)
    start = twin(chip)
    ticks = SECOND // 40
    level = outputs(start, channel, ticks)
    assert level[0] == 0
    chip.now += ticks
    heard = chip.heard()[0][:, 0]
    expected = band_limited(level, 48_000) * -SCALE
    assert numpy.ptp(expected) > 4 * SCALE
    assert numpy.abs(heard - expected).max() < SCALE / 4
