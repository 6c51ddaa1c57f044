"""Cores with the libretro interface, driven by ctypes: the peers that come in the wheel of stable-retro.

For:     `find_cores`, and `LibretroCore`, which runs one game. Only the benchmarks use it.
Not for: several games of one core at a time: a core keeps its state in globals.
Source:  libretro.h, API version 1.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from pathlib import Path

CORES = {"gambatte": "gambatte_libretro.so", "mgba": "mgba_libretro.so"}
JOYPAD = {"b": 0, "select": 2, "start": 3, "up": 4, "down": 5, "left": 6, "right": 7, "a": 8}
"""RETRO_DEVICE_ID_JOYPAD_*."""
GET_CAN_DUPE, SET_PIXEL_FORMAT, GET_VARIABLE, GET_VARIABLE_UPDATE = 3, 10, 15, 17
"""RETRO_ENVIRONMENT_*: the only requests that are answered; whatever else a core asks for it can do without."""

Environment = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_uint, ctypes.c_void_p)
Video = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_size_t)
Sample = ctypes.CFUNCTYPE(None, ctypes.c_int16, ctypes.c_int16)
Samples = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)
Poll = ctypes.CFUNCTYPE(None)
Input = ctypes.CFUNCTYPE(ctypes.c_int16, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)


class GameInfo(ctypes.Structure):
    """struct retro_game_info."""

    _fields_: Sequence[tuple[str, type[ctypes._SimpleCData[object]]]] = [  # type: ignore[assignment]
        ("path", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("meta", ctypes.c_char_p),
    ]


def find_cores(folder: str | None = None) -> dict[str, Path]:
    """The cores that are here, by name: in a folder, or in an installed stable-retro."""
    if folder is None:
        spec = importlib.util.find_spec("stable_retro")
        if spec is None or spec.origin is None:
            return {}
        folder = str(Path(spec.origin).parent / "cores")
    return {name: Path(folder) / file for name, file in CORES.items() if (Path(folder) / file).is_file()}


class LibretroCore:
    """A console of a libretro core with a game in it. It always draws, and always makes sound."""

    def __init__(self, library: Path, rom: bytes) -> None:
        self.core = ctypes.CDLL(str(library))
        self.held = 0
        self.pictures = 0
        self.samples = 0
        self.size = (0, 0)
        self.callbacks = (
            Environment(self._environment),
            Video(self._video),
            Sample(self._sample),
            Samples(self._samples),
            Poll(lambda: None),
            Input(self._input),
        )
        names = ("environment", "video_refresh", "audio_sample", "audio_sample_batch", "input_poll", "input_state")
        self.core.retro_set_environment(self.callbacks[0])
        self.core.retro_init()
        for name, callback in zip(names[1:], self.callbacks[1:], strict=True):
            getattr(self.core, f"retro_set_{name}")(callback)
        self.rom = ctypes.create_string_buffer(rom, len(rom))
        info = GameInfo(b"game.gb", ctypes.cast(self.rom, ctypes.c_void_p), len(rom), None)
        self.core.retro_load_game.restype = ctypes.c_bool
        if not self.core.retro_load_game(ctypes.byref(info)):
            raise ValueError(f"{library.name} does not take this game")

    def _environment(self, command: int, data: int) -> bool:
        if command == GET_CAN_DUPE:
            ctypes.c_bool.from_address(data).value = True
            return True
        if command == GET_VARIABLE_UPDATE:
            ctypes.c_bool.from_address(data).value = False
            return True
        return command == SET_PIXEL_FORMAT

    def _video(self, data: int | None, width: int, height: int, pitch: int) -> None:
        self.pictures += data is not None
        self.size = (width, height)

    def _sample(self, left: int, right: int) -> None:
        self.samples += 1

    def _samples(self, data: int, count: int) -> int:
        self.samples += count
        return count

    def _input(self, port: int, device: int, index: int, button: int) -> int:
        return self.held >> button & 1 if port == 0 else 0

    def frames(self, count: int, mode: str) -> None:
        run = self.core.retro_run
        for _ in range(count):
            run()

    def button(self, name: str, down: bool) -> object:
        bit = 1 << JOYPAD[name]
        self.held = self.held | bit if down else self.held & ~bit
        return None

    def close(self) -> None:
        self.core.retro_unload_game()
        self.core.retro_deinit()
