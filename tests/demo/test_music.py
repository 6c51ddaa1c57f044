"""That the demonstration cartridge plays the music that its source spells."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from tracklayer import GameBoy, demo

STEP_SECONDS = 8 / 64
STEPS = 24


def score(voice: str) -> bytes:
    """A voice as the source spells it: at each step a note that begins, or HELD, or SILENT."""
    source = (Path(demo.__file__).parent / "demo.asm").read_text(encoding="utf-8")
    lines = source.split(f"\n{voice}:\nnotes\n")[1].split("\nend")[0].splitlines()
    return demo.notes(lines, [])


@pytest.mark.parametrize(("voice", "channel"), [("melody", 0), ("harmony", 1), ("bass", 2)])
def test_the_music_is_what_the_source_says(voice: str, channel: int) -> None:
    pytest.importorskip("llvmlite")
    gb = GameBoy("demo")
    gb.sound_rate = 24_000
    gb.separate_channels = True
    gb.tick(15, render=False)
    while gb.memory[demo.program().symbols["step"]] != 0:
        gb.tick(render=False)
    gb.tick(int(STEPS * STEP_SECONDS * 60), render=False, sound=True)
    samples = int(STEP_SECONDS * gb.sound_rate)
    for step, note in enumerate(score(voice)[:STEPS]):
        start = step * samples
        heard = gb.sound_channels[channel, start + samples // 8 : start + samples * 5 // 8, 0].astype(float)
        if note not in (demo.HELD, demo.SILENT):
            amplitudes = numpy.abs(numpy.fft.rfft(heard * numpy.hanning(len(heard)), 1 << 15))
            amplitudes[: 50 * (1 << 15) // gb.sound_rate] = 0  # what the high-pass filter has not taken off yet
            pitch = amplitudes.argmax() * gb.sound_rate / (1 << 15)
            assert abs(pitch / (demo.LOWEST_C * 2 ** ((note - 1) / 12)) - 1) < 0.03, step  # a semitone is 0.059
        elif note == demo.SILENT:
            assert numpy.ptp(heard[samples // 4 :]) < 700, step


def test_the_music_is_neither_silent_nor_clipped() -> None:
    pytest.importorskip("llvmlite")
    gb = GameBoy("demo")
    gb.tick(600, render=False, sound=True)
    heard = gb.sound[24_000:].astype(int)
    assert 4000 < numpy.abs(heard).max() < 20_000
    assert abs(heard.mean()) < 20
