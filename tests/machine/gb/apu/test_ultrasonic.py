"""Tones beyond hearing: only their average is left, and it is that of the edges."""

from __future__ import annotations

import random
from typing import Any

import numpy
import pytest

from tracklayer.machine.gb.apu import listener as hearing
from tracklayer.machine.gb.apu.state import CGB_E, DMG

from .bench import NR11, NR12, NR13, NR14, NR30, NR32, NR33, NR34, NR50, NR51, WAVE, Chip
from .slow import SECOND, band_limited, outputs

RATE = 48_000
SCALE = 2 * 8 << 5
"""Sample units in one of a channel's 16 steps, at full gain."""


def chip_with(seconds: float, nr50: int = 0x77, nr12: int = 0x00) -> Chip:
    """A chip that is listened to, channel 3's DAC on. Where the levels stand then counts as silence."""
    chip = Chip(CGB_E)
    chip.write(NR50, nr50).write(NR51, 0xFF).write(NR12, nr12)
    for index in range(16):
        chip.write(WAVE + index, (index * 0x35 + 0x1F) & 0xFF)
    chip.write(NR30, 0x80)
    chip.listen(RATE, seconds)
    return chip


def pulse(chip: Chip, period: int, duty: int = 2, volume: int = 15) -> Chip:
    chip.write(NR11, duty << 6).write(NR12, volume << 4 | 8).write(NR13, period & 0xFF)
    return chip.write(NR14, 0x80 | period >> 8)


def wave(chip: Chip, period: int, nr32: int = 0x20) -> Chip:
    return chip.write(NR32, nr32).write(NR33, period & 0xFF).write(NR34, 0x80 | period >> 8)


def twin(chip: Chip) -> Chip:
    """The guest's chip alone, at the same time."""
    other = Chip(CGB_E, power=False)
    other.apu, other.now = type(chip.apu).from_buffer_copy(chip.apu), chip.now
    return other


@pytest.mark.parametrize(("channel", "period"), [(0, 2047), (0, 2045), (0, 2043), (2, 2047), (2, 2046)])
def test_below_half_the_rate_it_is_what_edges_add_up_to(channel: int, period: int) -> None:
    chip = chip_with(0.05, nr12=0xF8)
    start = wave(chip, period) if channel else pulse(chip, period, duty=1)
    ticks = SECOND // 40
    level = outputs(twin(start), channel, ticks)
    chip.now += ticks
    heard = chip.heard()[0][:, 0]
    expected = band_limited(level, RATE) * -SCALE
    assert numpy.ptp(expected) > 2 * SCALE
    # What is behind its begin tells. The kernel lets a little pass between 0.42 and half of the rate, where nothing is
    # to be heard; below that edges are 70 dB under a channel's swing.
    difference = (heard - expected)[24:]
    amplitudes = numpy.abs(numpy.fft.rfft(difference * numpy.hanning(len(difference)))) / len(difference) * 4
    frequencies = numpy.fft.rfftfreq(len(difference), 1 / RATE)
    assert 20 * numpy.log10(amplitudes[frequencies < 0.42 * RATE].max() / (15 * SCALE)) < -66
    assert numpy.ptp(heard[24:]) == 0


@pytest.mark.parametrize("nr50", [0x00, 0x33, 0x77])
@pytest.mark.parametrize("duty", range(4))
def test_volumes_are_exact(duty: int, nr50: int) -> None:
    """Each volume is held for some samples, as who plays recorded sounds does: 16 levels, as far apart as they are."""
    chip = chip_with(0.1, nr50)
    ones = (1, 2, 4, 6)[duty]
    found = []
    for volume in (15, 1, 8, 3, 12, 7):
        pulse(chip, 2047, duty, volume).wait(2000)
        heard = chip.heard()[0][-1, 0]
        found.append(heard)
        exact = (15 - 2 * volume * ones / 8) * ((nr50 & 7) + 1) * 32
        assert abs(heard - exact) <= 1, volume
    assert len(set(found)) == 6


def test_samples_are_averaged_as_loud_as_they_are_heard() -> None:
    nibbles = [(index * 0x35 + 0x1F) >> shift & 15 for index in range(16) for shift in (4, 0)]
    for nr32, shift in ((0x20, 0), (0x40, 1), (0x60, 2), (0x00, 4)):
        chip = wave(chip_with(0.05), 2047, nr32).wait(3000)
        mean = sum(nibble >> shift for nibble in nibbles) / 32
        assert abs(chip.heard()[0][-1, 0] + 2 * mean * 8 * 32) <= 1


@pytest.mark.parametrize("seed", range(6))
def test_it_does_not_matter_how_often_it_is_finished(seed: int) -> None:
    """Tones that come, change their pitch to and fro across the limit, and go."""

    def play(looks: bool) -> Any:
        chooser, looking = random.Random(seed), random.Random(seed)
        chip = Chip(DMG if seed & 1 else CGB_E)
        chip.write(NR50, 0x25).write(NR51, 0xFF).write(NR30, 0x80)
        chip.listen(chooser.choice((8000, 44_100, 96_000)), 3.0, separate=seed > 3)
        for _ in range(150):
            if looks:
                for late in sorted(looking.randrange(500) for _ in range(looking.randrange(4))):
                    hearing.finish(chip.listener, chip.now + late)
            chip.wait(chooser.choice((251, 300, 3000)))
            period = chooser.choice((0x100, 2040, 2043, 2046, 2047))
            what = chooser.randrange(6)
            if what == 0:
                pulse(chip, period, chooser.randrange(4), chooser.randrange(16))
            elif what == 1:
                wave(chip, period, chooser.choice((0x00, 0x20, 0x40)))
            elif what == 2:
                chip.write(NR13, period & 0xFF).write(NR14, period >> 8)
            elif what == 3:
                chip.write(WAVE + chooser.randrange(16), chooser.randrange(256))
            elif what == 4:
                chip.write(NR51, chooser.randrange(256))
            else:
                chip.write(chooser.choice((NR30, NR12)), chooser.choice((0x80, 0xF0, 0x00)))
        heard = chip.heard()
        for channel in range(4):
            assert chip.listener.levels[channel] == hearing.level(chip.listener, channel)
        return heard

    once = play(False)
    assert once.std() > SCALE / 8
    assert (play(True) == once).all()


def test_at_the_end_nothing_is_left_of_it() -> None:
    """Sixteenths add up: whatever was heard, where the DACs give what they did at the beginning it is silent."""
    chip = chip_with(0.3, nr50=0x25, nr12=0xF8)
    for period, duty, volume in ((2047, 0, 7), (0x400, 1, 3), (2046, 3, 11), (2044, 0, 13)):
        pulse(chip, period, duty, volume).wait(5003)
        wave(chip, 2047 - duty, 0x20 << (duty & 1)).wait(7001)
    chip.write(NR12, 0x08).write(NR14, 0x80).write(NR32, 0x00).wait(9000)
    heard = chip.heard()[0]
    assert heard[:-50].any()
    assert (heard[-50:] == 0).all()
