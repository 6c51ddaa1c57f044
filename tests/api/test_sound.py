"""`gb.sound`: what a console sounds like, the same on every engine, and without a trace in its state."""

from __future__ import annotations

import numpy
import pytest

from tracklayer import GameBoy

from .images import cartridge

TONE = bytes.fromhex("3e80 e011 3ef0 e012 3e00 e013 3e86 e014 18fe")
"""Channel 1 at 256 Hz, full volume, half of the time high."""
HISS = bytes.fromhex("3ef1 e021 3e00 e022 3e80 e023 18fe")
"""Channel 4 at 524,288 Hz, many times in a sample."""
FRAME_SECONDS = 70_224 / 4_194_304


def tone(engine: str) -> GameBoy:
    return GameBoy(cartridge(TONE), engine=engine)


def test_sound_is_as_long_as_the_frames_that_made_it(engine: str) -> None:
    gb = tone(engine)
    total = 0
    for frames in (1, 2, 1):
        gb.tick(frames, sound=True)
        assert gb.sound.dtype == numpy.int16
        assert gb.sound.shape[1:] == (2,)
        total += len(gb.sound)
    assert abs(total - 4 * FRAME_SECONDS * gb.sound_rate) <= 2


def test_sound_has_the_pitch_that_was_asked_for(engine: str) -> None:
    gb = tone(engine)
    gb.sound_rate = 16_000
    gb.tick(12, sound=True)
    wave = gb.sound[600:3600, 0].astype(float)
    assert (gb.sound[:, 0] == gb.sound[:, 1]).all()
    amplitudes = numpy.abs(numpy.fft.rfft(wave * numpy.hanning(len(wave))))
    assert abs(amplitudes.argmax() * 16_000 / len(wave) - 256) < 6
    assert 3000 < numpy.ptp(wave) < 12000


def test_every_engine_sounds_the_same() -> None:
    pytest.importorskip("llvmlite")
    heard = []
    for engine in ("reference", "interpreter", "translated"):
        gb = GameBoy("demo", engine=engine)
        gb.tick(30, render=False)
        gb.tick(20, render=False, sound=True)
        heard.append(gb.sound)
    assert len(heard[0]) > 15_000
    assert heard[0].any()
    assert (heard[0] == heard[1]).all()
    assert (heard[0] == heard[2]).all()


def test_fast_noise_is_the_same_on_every_engine() -> None:
    pytest.importorskip("llvmlite")
    heard = []
    for engine in ("reference", "interpreter", "translated"):
        gb = GameBoy(cartridge(HISS), engine=engine, model="dmg")
        gb.tick(2, sound=True)
        first = gb.sound
        gb.tick(sound=True)
        heard.append(numpy.concatenate([first, gb.sound]))
    assert heard[0].std() > 300
    assert (heard[0] == heard[1]).all()
    assert (heard[0] == heard[2]).all()


def test_what_is_beyond_hearing_is_the_same_on_every_engine() -> None:
    """A pulse and a wave at their highest pitch, whose volumes and pitch Python changes on the way."""
    pytest.importorskip("llvmlite")
    heard = []
    for engine in ("reference", "interpreter", "translated"):
        gb = tone(engine)
        gb.tick(1, render=False)
        gb.memory[0xFF1A], gb.memory[0xFF1C] = 0x80, 0x20
        pieces = []
        for volume, high in ((15, 0x87), (9, 0x87), (4, 0x86), (12, 0x87)):
            pulse = (0xFF12, volume << 4 | 8), (0xFF13, 0xFF), (0xFF14, high)
            for address, value in (*pulse, (0xFF1D, 0xFE), (0xFF1E, high)):
                gb.memory[address] = value
            gb.run(cycles=20_000, render=False, sound=True)
            pieces.append(gb.sound)
        heard.append(numpy.concatenate(pieces))
    assert len(heard[0]) > 800
    assert heard[0].any()
    assert (heard[0] == heard[1]).all()
    assert (heard[0] == heard[2]).all()


def test_listening_leaves_no_trace_in_the_state() -> None:
    pytest.importorskip("llvmlite")
    one, other = (GameBoy("demo", engine="interpreter") for _ in range(2))
    for frames in (1, 5, 40):
        one.tick(frames, sound=True)
        other.tick(frames)
        assert one.state_bytes() == other.state_bytes()
        one.tick(3)
        other.tick(3, sound=True)
        assert one.state_bytes() == other.state_bytes()


def test_sound_goes_on_where_it_was(engine: str) -> None:
    """Ten frames in one piece and in ten sound alike."""
    whole, pieces = tone(engine), tone(engine)
    whole.tick(4, sound=True)
    parts = []
    for _ in range(4):
        pieces.tick(sound=True)
        parts.append(pieces.sound)
    assert (numpy.concatenate(parts) == whole.sound).all()


def test_a_state_loaded_while_listening_is_heard(engine: str) -> None:
    gb = tone(engine)
    silent = gb.state_bytes()
    gb.tick(3, sound=True)
    assert gb.sound.any()
    loud = gb.state_bytes()
    gb.load_state_bytes(silent)
    gb.run(cycles=8, sound=True)
    assert not gb.sound.any()
    gb.load_state_bytes(loud)
    gb.tick(sound=True)
    assert gb.sound.any()


def test_what_was_heard_stays_until_there_is_more(engine: str) -> None:
    """Nobody need ask before something else happens: silent frames, another state, another rate."""
    gb = tone(engine)
    gb.tick(3, render=False)
    start = gb.snapshot()
    gb.tick(1, render=False, sound=True)
    heard = gb.sound
    for act in (lambda: gb.tick(), lambda: gb.restore(start), lambda: gb.run(cycles=500)):
        gb.restore(start)
        gb.tick(1, render=False, sound=True)
        act()
        assert (gb.sound == heard).all()
    gb.restore(start)
    gb.tick(1, render=False, sound=True)
    gb.sound_rate = 24_000
    assert (gb.sound == heard).all()
    gb.tick(1, sound=True)
    assert abs(len(gb.sound) - len(heard) // 2) <= 1
    gb.tick(1, sound=True)
    assert abs(len(gb.sound) - len(heard) // 2) <= 1


def test_channels_apart(engine: str) -> None:
    gb = tone(engine)
    gb.tick(2, sound=True)
    assert gb.sound_channels.shape == (1, *gb.sound.shape)
    gb.separate_channels = True
    gb.tick(2, sound=True)
    apart = gb.sound_channels
    assert apart.shape == (4, *gb.sound.shape)
    assert [bool(channel.any()) for channel in apart] == [True, False, False, False]
    assert (apart[0] == gb.sound).all()


def test_nothing_was_heard_before_somebody_listened(engine: str) -> None:
    gb = tone(engine)
    gb.tick(2)
    assert gb.sound.shape == (0, 2)


@pytest.mark.parametrize("rate", [0, 3999, 500_000])
def test_a_rate_that_makes_no_sense_is_refused(rate: int) -> None:
    gb = tone("reference")
    with pytest.raises(ValueError, match="sampling rate"):
        gb.sound_rate = rate
    assert gb.sound_rate == 48_000
