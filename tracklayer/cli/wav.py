"""Sound as a WAV file: 16 bits, two channels, written while the console runs.

For:     `tracklayer run --wav`.
Not for: making the sound (machine/gb/apu).
"""

from __future__ import annotations

import wave
from types import TracebackType

from tracklayer.api.gameboy import CYCLES_PER_FRAME, GameBoy

FRAMES_AT_ONCE = 60


class Recorder:
    """A console's sound from now on, in a file. Use it in a `with` statement. Errors: OSError."""

    def __init__(self, console: GameBoy, path: str) -> None:
        self._console = console
        self._file = wave.open(path, "wb")  # noqa: SIM115 - closed by __exit__
        self._file.setnchannels(2)
        self._file.setsampwidth(2)
        self._file.setframerate(console.sound_rate)

    def run(self, cycles: int, render: bool, wanted: bytes | None = None) -> bool:
        """`GameBoy.run`, or `run_until_serial` where a text is wanted, with the sound written."""
        console = self._console
        end = console.cycles + cycles
        part = (FRAMES_AT_ONCE if wanted is None else 1) * CYCLES_PER_FRAME
        while console.cycles < end:
            console.run(cycles=min(part, end - console.cycles), render=render, sound=True)
            self._file.writeframes(console.sound.astype("<i2").tobytes())
            if wanted is not None and wanted in console.serial:
                return True
        return False

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
