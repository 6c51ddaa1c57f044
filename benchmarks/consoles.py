"""Whole consoles against other emulators: `python -m benchmarks.consoles [ROM ...] [--json]`.

The same ROMs, the same frames, the same button presses, in one run, alternately; a tick is one frame, as an agent or a
script would step. Three ways: nothing drawn; every frame drawn; every frame drawn, with sound fetched. Without ROMs:
all Game Boy games of the test programs (TRACKLAYER_ROMS), of which the medians are, and the demo. All emulators run
them as a DMG, or as a Color where a game runs on nothing else; the libretro cores choose by the cartridge's header.

Peers are run where they are installed (`pip install tracklayer[bench]`): PyBoy, and the gambatte and mGBA cores out of
the wheel of stable-retro, or from a folder (`--cores`), which always draw and make sound. What is absent is said.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tracklayer import GameBoy

from .libretro import CORES, LibretroCore, find_cores

MODES = ("not drawn", "drawn", "sound")
BUTTONS = ("start", "a", "right", "start", "a", "down", "left", "a", "up", "right")
HELD = 5
"""Frames that a button is held, and then not."""


class Runner(Protocol):
    """A console of some emulator with a game in it."""

    def frames(self, count: int, mode: str) -> None:
        """Run so many frames, each by a call of its own."""
        ...

    def button(self, name: str, down: bool) -> object:
        """Hold a button, or let it go."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Ours:
    """Tracklayer."""

    def __init__(self, rom: str, engine: str) -> None:
        self.gb = GameBoy(rom, engine=engine, model="cgb" if needs_color(rom) else "dmg")
        self.button = self.gb.button

    def frames(self, count: int, mode: str) -> None:
        gb, drawn = self.gb, mode == "drawn"
        if mode == "sound":
            for _ in range(count):
                gb.tick(1, True, True)
                _ = gb.sound
        else:
            for _ in range(count):
                gb.tick(1, drawn)

    def close(self) -> None:
        pass


class PyBoyPeer:
    """PyBoy, from PyPI."""

    def __init__(self, rom: str, mode: str) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            from pyboy import PyBoy
        if rom == "demo":
            self.file = tempfile.NamedTemporaryFile(suffix=".gb")  # noqa: SIM115 (it must outlive this function)
            self.file.write(image(rom))
            self.file.flush()
            rom = self.file.name
        sound, color = mode == "sound", needs_color(rom)
        self.pyboy: Any = PyBoy(rom, window="null", sound_emulated=sound, cgb=color, log_level="CRITICAL")
        self.pyboy.set_emulation_speed(0)

    def frames(self, count: int, mode: str) -> None:
        pyboy, drawn = self.pyboy, mode == "drawn"
        if mode == "sound":
            for _ in range(count):
                pyboy.tick(1, True, True)
                _ = pyboy.sound.ndarray
        else:
            for _ in range(count):
                pyboy.tick(1, drawn, False)

    def button(self, name: str, down: bool) -> object:
        return self.pyboy.button_press(name) if down else self.pyboy.button_release(name)

    def close(self) -> None:
        self.pyboy.stop(save=False)


def image(rom: str) -> bytes:
    """A ROM's bytes."""
    if rom == "demo":
        from tracklayer.demo import build

        return build()
    return Path(rom).read_bytes()


def needs_color(rom: str) -> bool:
    """Whether a game runs on a Color only. Source: Pan Docs, "The Cartridge Header", CGB flag."""
    return image(rom)[0x143] == 0xC0


def peers(cores: str | None) -> dict[str, Callable[[str, str], Runner]]:
    """The emulators to run, by name: each makes a console from a ROM, for a mode."""
    found: dict[str, Callable[[str, str], Runner]] = {
        "translated": lambda rom, mode: Ours(rom, "translated"),
        "interpreter": lambda rom, mode: Ours(rom, "interpreter"),
    }
    if importlib.util.find_spec("pyboy"):
        found["pyboy"] = PyBoyPeer
    else:
        print("pyboy is not installed: pip install 'tracklayer[bench]'", file=sys.stderr)
    libraries = find_cores(cores)
    for name, library in libraries.items():
        found[name] = lambda rom, mode, library=library: LibretroCore(library, image(rom))  # type: ignore[misc]
    if not libraries:
        print("no libretro cores: pip install stable-retro, or --cores FOLDER", file=sys.stderr)
    return found


def takes(make: Callable[[str, str], Runner], rom: str) -> bool:
    """Whether a core takes a game; mGBA refuses cartridges without Nintendo's logo."""
    try:
        make(rom, "sound").close()
    except ValueError as error:
        print(f"{Path(rom).name}: {error}", file=sys.stderr)
        return False
    return True


def seconds(make: Callable[[str, str], Runner], rom: str, frames: int, mode: str) -> float:
    """Host seconds a frame, presses included, behind a warm-up of 120 frames."""
    runner = make(rom, mode)
    runner.frames(120, mode)
    start = time.perf_counter()
    for turn in range(frames // (2 * HELD)):
        name = BUTTONS[turn % len(BUTTONS)]
        runner.button(name, True)
        runner.frames(HELD, mode)
        runner.button(name, False)
        runner.frames(HELD, mode)
    spent = time.perf_counter() - start
    runner.close()
    return spent / (frames // (2 * HELD) * 2 * HELD)


def games() -> list[str]:
    """All Game Boy games of the test programs, and the demo."""
    folder = Path(os.environ.get("TRACKLAYER_ROMS", Path(__file__).resolve().parents[2] / "shared" / "roms"))
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        print(f"no test programs at {folder}: set TRACKLAYER_ROMS; only the demo is run", file=sys.stderr)
        return ["demo"]
    entries = json.loads(manifest.read_text())
    return [str(folder / e["path"]) for e in entries if e["kind"] == "game" and e["system"] == "gb"] + ["demo"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roms", nargs="*")
    parser.add_argument("--frames", type=int, default=1200)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cores", help="a folder with gambatte_libretro.so and mgba_libretro.so")
    options = parser.parse_args()
    makers = peers(options.cores)
    rows: list[dict[str, Any]] = []
    for rom in options.roms or games():
        for mode in MODES:
            taking_part = [
                name for name in makers if name not in CORES or (mode == "sound" and takes(makers[name], rom))
            ]
            spent: dict[str, list[float]] = {name: [] for name in taking_part}
            for _ in range(options.runs):
                for name in taking_part:
                    spent[name].append(seconds(makers[name], rom, options.frames, mode))
            row: dict[str, Any] = {"rom": Path(rom).name, "mode": mode}
            for name, values in spent.items():
                row[name] = {
                    "min": min(values) * 1e6,
                    "median": statistics.median(values) * 1e6,
                    "max": max(values) * 1e6,
                }
                row[f"{name} ratio"] = statistics.median(
                    other / own for own, other in zip(spent["translated"], values, strict=True)
                )
            rows.append(row)
            if not options.json:
                shown = "  ".join(f"{n} {row[n]['median']:6.1f} us ({row[f'{n} ratio']:.2f}x)" for n in taking_part)
                print(f"{row['rom']:<20} {mode:<9}  {shown}", flush=True)
    machine = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    if options.json:
        print(json.dumps({"consoles": rows, **machine}, indent=1))
        return
    for name in makers:
        for mode in MODES:
            played = [row for row in rows if row["rom"] != "demo"] or rows
            ratios = [row[f"{name} ratio"] for row in played if row["mode"] == mode and name in row]
            if ratios:
                print(
                    f"{name:<12} {mode:<9}  median of ratios {statistics.median(ratios):.2f}, least {min(ratios):.2f}"
                )
    print(machine)


if __name__ == "__main__":
    main()
