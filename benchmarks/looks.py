"""What a look at a console costs from Python: `python -m benchmarks.looks [ROM] [--json]`.

Memory, registers, pictures and buttons, one call each, as an agent or a script does between two frames; against PyBoy
where it is installed (`pip install tracklayer[bench]`). A number is the best of many rounds, in microseconds of
processor time for one call, with the call of the Python function around it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracklayer import GameBoy

from .consoles import PyBoyPeer, needs_color

FRAMES = 200
ROUNDS = 15
CALLS = 2_000
Looks = dict[str, Callable[[], object]]


def looks(console: Any, own: Looks) -> Looks:
    """All of an emulator's ways: those to memory are written alike."""
    return {
        "a byte of memory": lambda: console.memory[0xC000],
        "a register of a device": lambda: console.memory[0xFF44],
        "16 bytes of memory": lambda: console.memory[0xC000:0xC010],
        "a byte written": lambda: console.memory.__setitem__(0xDF00, 1),
        **own,
    }


def ours(rom: str) -> Looks:
    """Tracklayer's."""
    gb = GameBoy(rom, model="cgb" if needs_color(rom) else "dmg")
    gb.tick(FRAMES)
    return looks(gb, {
        "a register of the CPU": lambda: gb.registers.pc,
        "a button": lambda: gb.button("a"),
        "the picture": lambda: gb.screen,
        "the time": lambda: gb.cycles,
    })  # fmt: skip


def pyboys(rom: str) -> Looks:
    """PyBoy's. Its picture is the buffer that it draws into, ours is a copy."""
    pyboy: Any = PyBoyPeer(rom, "drawn").pyboy
    for _ in range(FRAMES):
        pyboy.tick(1, True, False)
    return looks(pyboy, {
        "a register of the CPU": lambda: pyboy.register_file.PC,
        "a button": lambda: pyboy.button_press("a"),
        "the picture": lambda: pyboy.screen.ndarray.copy(),
    })  # fmt: skip


def microseconds(look: Callable[[], object]) -> float:
    """One call."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(CALLS):
            look()
        best = min(best, time.process_time() - start)
    return best / CALLS * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rom", nargs="?", default="demo")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    made = {"tracklayer": ours(options.rom)}
    if importlib.util.find_spec("pyboy"):
        made["pyboy"] = pyboys(options.rom)
    else:
        print("pyboy is not installed: pip install 'tracklayer[bench]'", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    for what in made["tracklayer"]:
        row: dict[str, Any] = {"what": what}
        row |= {name: microseconds(looks[what]) for name, looks in made.items() if what in looks}
        rows.append(row)
        if not options.json:
            shown = "".join(f"{name:>12} {row[name]:6.2f} us" for name in made if name in row)
            print(f"{what:<24}{shown}", flush=True)
    about = {"rom": Path(options.rom).name, "machine": platform.machine(), "python": platform.python_version()}
    print(json.dumps({"looks": rows, **about}, indent=1) if options.json else about)


if __name__ == "__main__":
    main()
