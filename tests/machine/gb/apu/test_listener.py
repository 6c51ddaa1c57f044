"""What is heard: that listening changes nothing, and that the sound is what was played."""

from __future__ import annotations

import random
from typing import Any

import numpy
import pytest

from tracklayer.machine.gb.apu import listener as hearing
from tracklayer.machine.gb.apu import mixing
from tracklayer.machine.gb.apu.kernel import PHASES, TAPS, UNIT, kernel
from tracklayer.machine.gb.apu.state import CGB_C, CGB_E, DMG

from .bench import (
    NR11,
    NR12,
    NR13,
    NR14,
    NR30,
    NR32,
    NR33,
    NR34,
    NR42,
    NR43,
    NR44,
    NR50,
    NR51,
    NR52,
    STEP,
    WAVE,
    Chip,
    settle,
)

RATE = 48_000
CYCLES = 1_048_576
"""M-cycles in a second."""


def storm(chip: Chip, generator: random.Random, writes: int) -> None:
    """Random writes at random times, most of them of kinds that leave channels running."""
    for _ in range(writes):
        chip.wait(generator.choice((0, 1, 2, 5, 60, 500, 3000)))
        register = generator.randrange(0x30)
        value = generator.choice((generator.randrange(256), 0x80, 0x87, 0xF0))
        if register == NR52 and generator.random() < 0.8:
            continue
        if generator.random() < 0.02:
            chip.clear_divider()
        chip.write(register, value)


@pytest.mark.parametrize("seed", range(12))
def test_looking_more_often_changes_nothing(seed: int) -> None:
    """Two chips get the same writes; one is looked at all the time. In the end they are in the same state."""
    revision = (DMG, CGB_C, CGB_E)[seed % 3]
    plain, watched = Chip(revision), Chip(revision)
    for step in range(30):
        storm(plain, random.Random(seed << 8 | step), 10)
        storm(watched, random.Random(seed << 8 | step), 10)
        watched.pcm(0), watched.pcm(2), watched.read(NR52)
        settle(watched.apu, watched.now)
    assert plain.settle() == watched.settle()


@pytest.mark.parametrize("seed", range(12))
def test_the_listeners_chip_is_the_guests_chip(seed: int) -> None:
    """Playing edge by edge ends where skipping them ends."""
    chip = Chip((DMG, CGB_C, CGB_E)[seed % 3])
    chip.listen(RATE, 20, separate=seed % 2 == 1)
    storm(chip, random.Random(seed), 250)
    hearing.finish(chip.listener, chip.now)
    assert settle(chip.listener.apu, chip.now) == chip.settle()
    for channel in range(4):
        assert chip.listener.levels[channel] == hearing.level(chip.listener, channel)


def test_the_sums_of_the_kernels_rows_are_one() -> None:
    table = numpy.array(kernel()).reshape(PHASES, TAPS)
    assert (table.sum(axis=1) == UNIT).all()


def test_the_kernel_is_flat_as_far_as_it_says() -> None:
    """A step's spectrum, summed up sample by sample, against that of an ideal step."""
    rows = numpy.array(kernel()).reshape(PHASES, TAPS) / UNIT
    for frequency in (0.01, 0.1, 0.2, 0.3):
        wave = numpy.exp(-2j * numpy.pi * frequency * numpy.arange(TAPS))
        response = numpy.abs(rows @ wave) / numpy.sinc(frequency)
        assert numpy.abs(20 * numpy.log10(response)).max() < 0.2


def tone(period: int, seconds: float, nr12: int = 0xF0, nr50: int = 0x77, nr51: int = 0xFF) -> Any:
    chip = Chip(DMG)
    chip.write(NR50, nr50).write(NR51, nr51)
    chip.listen(RATE, seconds)
    chip.write(NR11, 0x80).write(NR12, nr12).write(NR13, period & 0xFF).write(NR14, 0x80 | period >> 8)
    chip.wait(int(CYCLES * seconds))
    return chip.heard()[0]


def spectrum(samples: Any) -> tuple[Any, Any]:
    """Frequencies, and amplitudes in dB under the loudest."""
    window = numpy.blackman(len(samples))
    amplitudes = numpy.abs(numpy.fft.rfft((samples - samples.mean()) * window))
    return numpy.fft.rfftfreq(len(samples), 1 / RATE), 20 * numpy.log10(amplitudes / amplitudes.max() + 1e-9)


@pytest.mark.parametrize("period", [1750, 1985, 2020])
def test_a_square_wave_has_its_odd_harmonics_and_nothing_else(period: int) -> None:
    pitch = 131072 / (2048 - period)
    frequencies, loudness = spectrum(tone(period, 0.4)[2000:18384, 0].astype(float))
    harmonics = numpy.abs((frequencies / pitch + 1) % 2 - 0) * pitch
    near = numpy.minimum(harmonics, 2 * pitch - harmonics) < 20
    assert abs(frequencies[loudness.argmax()] - pitch) < 4
    audible = (frequencies > 30) & (frequencies < 16000)
    assert loudness[audible & ~near].max() < -60
    third = loudness[numpy.abs(frequencies - 3 * pitch) < 8].max()
    assert 3 * pitch > 12000 or abs(third + 9.54) < 1.2


def test_volume_and_panning() -> None:
    loud = tone(1750, 0.1)[1000:]
    swing = loud.max(axis=0) - loud.min(axis=0)
    assert swing[0] == swing[1]
    assert abs(swing[0] - 240 * 32) < 240 * 32 * 0.25  # the overshoot of band-limited edges
    left = tone(1750, 0.1, nr51=0x10)[1000:]
    assert (left[:, 1] == 0).all()
    assert (left[:, 0] == loud[:, 0]).all()
    quiet = tone(1750, 0.1, nr50=0x30)[1000:]
    assert abs(numpy.ptp(quiet[:, 0]) * 2 - swing[0]) < 8
    assert abs(numpy.ptp(quiet[:, 1]) * 8 - swing[0]) < 32


def test_silence_is_silent() -> None:
    chip = Chip(DMG)
    chip.listen(RATE, 0.1)
    chip.wait(CYCLES // 20)
    heard = chip.heard()[0]
    assert len(heard) == CYCLES // 20 * RATE // CYCLES
    assert not heard.any()


def test_after_silence_sound_goes_on_as_if_there_had_been_none() -> None:
    """Silent blocks are not mixed: many of them are as one block that is."""

    def play(often: bool) -> Any:
        chip = Chip(DMG)
        chip.write(NR50, 0x77).write(NR51, 0xFF)
        chip.listen(RATE, 0.6)
        chip.listener.leak = 1 << 18
        chip.write(NR12, 0xA0).write(NR14, 0x86).wait(20_000).write(NR12, 0)
        quiet = 0
        for _ in range(200):
            chip.wait(1000)
            if often:
                hearing.finish(chip.listener, chip.now)
                quiet += not chip.listener.touched and mixing.silent(chip.listener, 0)
        assert quiet > 100 or not often
        return chip.write(NR12, 0xA0).write(NR14, 0x86).wait(20_000).heard()[0]

    whole = play(False)
    assert whole[-500:].std() > 300
    assert not whole[-4000:-1000].any()
    assert (play(True) == whole).all()


def test_the_number_of_samples_is_the_time() -> None:
    for rate in (8000, 44100, 48000, 96000):
        chip = Chip(DMG)
        chip.listen(rate, 0.5)
        for cycles in (1, 17556, 100_000, 3, 200_001):
            chip.wait(cycles)
            hearing.finish(chip.listener, chip.now)
        assert chip.listener.count == (chip.now - (1 << 16)) * rate >> 21


def test_finishing_often_or_once_gives_the_same_sound() -> None:
    def play(often: bool) -> Any:
        chip = Chip(CGB_E)
        chip.write(NR50, 0x77).write(NR51, 0xFF)
        chip.listen(RATE, 1)
        generator = random.Random(5)
        for _ in range(60):
            storm(chip, generator, 5)
            if often:
                hearing.finish(chip.listener, chip.now)
        return chip.heard()[0]

    assert (play(True) == play(False)).all()


def test_channels_apart_add_up_to_the_whole() -> None:
    def play(separate: bool) -> Any:
        chip = Chip(DMG)
        chip.write(NR50, 0x77).write(NR51, 0xFF)
        chip.listen(RATE, 0.2, separate)
        for index in range(16):
            chip.write(WAVE + index, index * 0x11)
        chip.write(NR11, 0x80).write(NR12, 0xA0).write(NR14, 0x86)
        chip.write(NR30, 0x80).write(NR32, 0x20).write(NR33, 0x10).write(NR34, 0x86)
        chip.write(NR42, 0x50).write(NR43, 0x33).write(NR44, 0x80)
        return chip.wait(CYCLES // 10).heard()

    apart, whole = play(True), play(False)
    assert apart.shape[0] == 4
    assert numpy.abs(apart.sum(axis=0) - whole[0]).max() <= 4
    assert [bool(numpy.ptp(lane[2000:], axis=0).any()) for lane in apart] == [True, False, True, True]


def test_a_full_buffer_loses_sound_and_nothing_else() -> None:
    chip = Chip(DMG)
    chip.write(NR50, 0x77).write(NR51, 0xFF)
    chip.listen(RATE, 0.05)
    chip.write(NR11, 0x80).write(NR12, 0xF0).write(NR14, 0x86)
    chip.wait(20 * STEP * 8)
    hearing.finish(chip.listener, chip.now)
    assert chip.listener.count == chip.listener.capacity
    chip.wait(STEP * 8)
    hearing.finish(chip.listener, chip.now)
    assert 0 < chip.listener.count < chip.listener.capacity
    assert settle(chip.listener.apu, chip.now) == chip.settle()
