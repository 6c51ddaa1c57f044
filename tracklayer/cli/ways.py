"""The ways of judging a Game Boy test program: one small function each, and a table.

For:     telling from outside whether a program found what it looked for: serial text, memory, registers, pictures.
Not for: choosing programs (manifest.py), many of them at once (judge.py).
Every run is bounded in the guest's own time, so a program that hangs its console ends like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy
from numpy.typing import NDArray

from tracklayer.api import CYCLES_PER_FRAME, CYCLES_PER_SECOND, GameBoy
from tracklayer.api.vectors import run_vectors

from .commands import shown
from .manifest import Library, Task, pictures_for


class Verdict(NamedTuple):
    """What came of judging one program on one model."""

    verdict: Literal["pass", "fail", "unjudged"]
    reason: str


class Program(NamedTuple):
    """What a way of judging works on."""

    task: Task
    engine: str
    library: Library

    def start(self, **options: Any) -> GameBoy:
        """A console with the program in it, just switched on."""
        return GameBoy(self.library.read(self.task.path), engine=self.engine, model=model_of(self.task), **options)

    @property
    def cycles(self) -> int:
        """How long the program may run, in T-cycles."""
        how = self.task.how
        return int(how["frames"]) * CYCLES_PER_FRAME if "frames" in how else int(how["seconds"] * CYCLES_PER_SECOND)

    @property
    def limit(self) -> str:
        how = self.task.how
        return f"{how['frames']} frames" if "frames" in how else f"{how['seconds']} s"


PASS = Verdict("pass", "")


def model_of(task: Task) -> str:
    """The model to run a program on: for a Game Boy Color, the revision that its result was taken from."""
    if not task.model.startswith("cgb"):
        return task.model
    if task.model == "cgb0":
        return "cgb-0"
    name = task.path.rsplit("/", 1)[-1]
    revisions = re.search("(?:cgb|ncm)([0-9A-E]+)", name)
    if task.suite in ("gambatte", "mealybug-tearoom"):
        return "cgb-c"
    if name.partition(".")[0].endswith("-A"):
        return "agb"
    return f"cgb-{revisions[1][-1].lower()}" if revisions else "cgb-e"


def by_serial_text(program: Program) -> Verdict:
    """The text that the program sends on the serial port tells."""
    how = program.task.how
    good = str(how["contains"]).encode()
    bad = str(how["fail_contains"]).encode() if how.get("fail_contains") else None
    console = program.start()
    while True:
        left = program.cycles - console.cycles
        if left > 0:
            console.run(cycles=min(left, CYCLES_PER_FRAME), render=False)
        if bad and bad in console.serial:
            console.run(cycles=CYCLES_PER_FRAME * 10, render=False)  # the rest of what it has to say
            return Verdict("fail", f"sent: {shown(console.serial).strip()[-300:]}")
        if good in console.serial:
            return PASS
        if left <= 0:
            said = shown(console.serial).strip()[-300:]
            return Verdict("fail", f"after {program.limit} no {good.decode()!r}; sent: {said or 'nothing'}")


def by_blargg_memory(program: Program) -> Verdict:
    """A status byte and a text in cartridge RAM tell, once the three signature bytes are there."""
    how = program.task.how
    status_at = int(how["status_address"], 16)
    signature_at = int(how["signature"]["address"], 16)
    signature = bytes.fromhex(how["signature"]["bytes"])
    text_at = int(how["text_address"], 16)
    running, passed = int(how["running"], 16), int(how["pass"], 16)
    console = program.start(cartridge_ram=0x2000)  # the headers of some do not ask for the RAM that they write to
    while console.cycles < program.cycles:
        console.run(cycles=CYCLES_PER_FRAME, render=False)
        ram = console.cartridge_ram
        if ram[signature_at - 0xA000 :][: len(signature)] != signature or ram[status_at - 0xA000] == running:
            continue
        status = ram[status_at - 0xA000]
        if status == passed:
            return PASS
        text = shown(ram[text_at - 0xA000 :].split(b"\0", 1)[0])
        return Verdict("fail", f"status {status:02X}: {' '.join(text.split())[-300:]}")
    ram = console.cartridge_ram
    if ram[signature_at - 0xA000 :][: len(signature)] == signature:
        return Verdict("fail", f"still running after {program.limit}")
    return Verdict("fail", f"no signature in cartridge RAM after {program.limit}; PC={console.registers.pc:04X}")


def by_mooneye_registers(program: Program) -> Verdict:
    """Six registers tell, at the first LD B,B."""
    expected = program.task.how["registers"]
    console = program.start()
    if not console.run(cycles=program.cycles, breakpoint=True, render=False):
        return Verdict("fail", f"no LD B,B within {program.limit}; PC={console.registers.pc:04X}")
    found = {name: getattr(console.registers, name.lower()) for name in expected}
    if found == expected:
        return PASS
    return Verdict(
        "fail", " ".join(f"{name}={value:02X}" for name, value in found.items()) + f" {_memo(console)}".rstrip()
    )


def _memo(console: GameBoy) -> str:
    """The text on the screen, where the program wrote its background map in ASCII, as many tests do."""
    lines = []
    for row in range(18):
        tiles = console.memory[0x9800 + 32 * row : 0x9814 + 32 * row]
        lines.append("".join(chr(tile) if 0x20 < tile < 0x7F else " " for tile in tiles).strip())
    text = " / ".join(" ".join(line.split()) for line in lines if line)
    return f"screen: {text[:200]}" if text else ""


def by_gbmicrotest_memory(program: Program) -> Verdict:
    """A byte in HRAM tells, after so many frames."""
    how = program.task.how
    console = program.start()
    console.run(cycles=program.cycles, render=False)
    memory = console.memory
    verdict, got, expected = (memory[int(how[name], 16)] for name in ("verdict", "result", "expected"))
    if verdict == int(how["pass"], 16):
        return PASS
    if verdict == int(how["fail"], 16):
        return Verdict("fail", f"got {got:02X}, expected {expected:02X}")
    where = int(how["verdict"], 16)
    image = program.library.read(program.task.path)
    if bytes((0xE0, where & 0xFF)) not in image and bytes((0xEA, where & 0xFF, where >> 8)) not in image:
        return Verdict("unjudged", f"the program has no instruction that would write its verdict to {where:04X}")
    return Verdict("fail", f"no verdict after {program.limit}: {where:04X} holds {verdict:02X}")


def by_gambatte_name(program: Program) -> Verdict:
    """Hexadecimal digits in the top left corner tell, or whether there is sound in the last frame."""
    expected = str(program.task.how["expected"].get(program.task.model, ""))
    if not expected:
        return Verdict("unjudged", f"nothing is expected of model {program.task.model}")
    console = program.start()
    if expected.startswith("audio"):
        console.run(cycles=program.cycles - CYCLES_PER_FRAME, render=False)
        console.run(cycles=CYCLES_PER_FRAME, render=False, sound=True)
        heard = "audio1" if console.sound.any() else "audio0"
        return PASS if heard == expected else Verdict("fail", f"{heard}, expected {expected}")
    console.run(cycles=program.cycles)
    glyphs = json.loads(program.library.read(program.task.how["glyphs"]))
    found = read_digits(console.shades, len(expected), glyphs)
    return PASS if found == expected else Verdict("fail", f"shows {found}, expected {expected}")


def read_digits(shades: NDArray[numpy.uint8], count: int, glyphs: dict[str, list[str]]) -> str:
    """The digits in the first `count` tiles of a picture; `?` for a tile that is no digit."""
    text = ""
    for column in range(count):
        tile = shades[:8, 8 * column : 8 * column + 8]
        drawn = ["".join("#" if shade >= 2 else "." for shade in row) for row in tile]
        text += next((digit for digit, glyph in glyphs.items() if glyph == drawn), "?")
    return text


def by_screenshot(program: Program) -> Verdict:
    """The picture tells: at LD B,B where the program stops there, or one frame later, or else when its time is over."""
    task = program.task
    listed = task.how["reference"]
    paths = pictures_for(task.model, [listed] if isinstance(listed, str) else listed)
    if not paths:
        return Verdict("unjudged", f"none of the pictures is for model {task.model}")
    pictures = {path.rsplit("/", 1)[-1]: program.library.picture(path) for path in paths}
    console = program.start()
    if "stop_opcode" in task.how and console.run(cycles=program.cycles, breakpoint=True):
        if not compare(console.screen, pictures):
            return PASS
        console.run(cycles=CYCLES_PER_FRAME)
        if not compare(console.screen, pictures):
            return PASS
    console.run(cycles=max(0, program.cycles - console.cycles))
    difference = compare(console.screen, pictures)
    if not difference:
        return PASS
    return Verdict("fail", difference + ("" if task.truth else "; the picture comes from another emulator"))


def compare(screen: NDArray[numpy.uint8], pictures: dict[str, NDArray[numpy.uint8]]) -> str:
    """How far a screen is from the nearest of some pictures, any of which is right; empty where it equals one."""
    best = (screen.size, "")
    for name, picture in pictures.items():
        if picture.shape != screen.shape:
            if shows_the_same(screen, picture):
                return ""
            return f"{name} is {picture.shape[1]}x{picture.shape[0]}, the screen {screen.shape[1]}x{screen.shape[0]}"
        if corresponds(screen, picture):
            return ""
        wrong = numpy.argwhere((picture != screen).any(axis=2))
        if not len(wrong):
            return ""
        y, x = wrong[0]
        where = f"first at x={x}, y={y}" if len(wrong) < screen.size // 3 else "everywhere"
        best = min(best, (len(wrong), f"{len(wrong):,} pixels differ from {name}, {where}"))
    return best[1]


def shows_the_same(screen: NDArray[numpy.uint8], picture: NDArray[numpy.uint8]) -> bool:
    """Whether a picture cut from an emulator's window shows the same, twice as large or more.

    Only what differs from the top left corner's colour counts, and each colour stands for one of ours.
    """
    ours, theirs = trimmed(screen), trimmed(picture)
    scale = theirs.shape[0] // max(1, ours.shape[0])
    if not 1 < scale < 10 or ours.size == 0:
        return False
    larger = ours.repeat(scale, axis=0).repeat(scale, axis=1)
    return larger.shape == theirs.shape and one_to_one(larger, theirs)


def trimmed(picture: NDArray[numpy.uint8]) -> NDArray[numpy.uint8]:
    """A picture without the sides that are all of its top left corner's colour."""
    inked = (picture != picture[0, 0]).any(axis=2)
    rows, columns = numpy.flatnonzero(inked.any(axis=1)), numpy.flatnonzero(inked.any(axis=0))
    if not len(rows):
        return picture[:0, :0]
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def corresponds(screen: NDArray[numpy.uint8], picture: NDArray[numpy.uint8]) -> bool:
    """Whether a picture in somebody else's rendition of colours shows the same: each colour stands for one of ours.

    Asked only of pictures with colours that no Game Boy Color channel, (x << 3) | (x >> 2), can have, or all in grey
    where the screen is not.
    """
    channels = picture >> 3
    foreign = bool((picture != (channels << 3 | channels >> 2)).any())
    grey = bool((picture == picture[:, :, :1]).all()) and not bool((screen == screen[:, :, :1]).all())
    if not foreign and not grey:
        return False
    return one_to_one(screen, picture)


def one_to_one(screen: NDArray[numpy.uint8], picture: NDArray[numpy.uint8]) -> bool:
    """Whether each colour of one picture stands for one colour of the other, everywhere."""
    weights = numpy.array([1 << 16, 1 << 8, 1], numpy.uint64)
    ours, theirs = screen.astype(numpy.uint64) @ weights, picture.astype(numpy.uint64) @ weights
    pairs = len(numpy.unique(ours << numpy.uint64(24) | theirs))
    return pairs == len(numpy.unique(ours)) == len(numpy.unique(theirs))


WHOLE_SCREEN_GREEN = "whole screen green (white on dmg); red or blue is a failure"


def by_screen_colour(program: Program) -> Verdict:
    """One colour all over the screen tells, when the time is over."""
    words = program.task.how.get("what", "")
    if words != WHOLE_SCREEN_GREEN or program.task.model not in ("dmg", "cgb"):
        return Verdict("unjudged", f"no rule for these words on model {program.task.model}: {words}")
    console = program.start()
    console.run(cycles=program.cycles)
    if program.task.model == "cgb":
        red, green, blue = (int(channel) for channel in console.screen[0, 0])
        if (console.screen != console.screen[0, 0]).any():
            return Verdict("fail", "the screen has several colours")
        if green > red and green > blue:
            return PASS
        return Verdict("fail", f"not green: red {red}, green {green}, blue {blue}")
    shades, counts = numpy.unique(console.shades, return_counts=True)
    if list(shades) == [0]:
        return PASS
    found = ", ".join(f"{count} pixels of shade {shade}" for shade, count in zip(shades, counts, strict=True))
    return Verdict("fail", f"not all white: {found}")


def by_cpu_vectors(program: Program) -> Verdict:
    """Single instructions from given states tell, by the final state and every bus cycle."""
    cases, failures = run_vectors(program.library.read(program.task.path), program.engine)
    if not failures:
        return Verdict("pass", f"{cases:,} cases")
    return Verdict("fail", f"{len(failures):,} of {cases:,} cases; the first: {failures[0]}")


def by_nothing(program: Program) -> Verdict:
    """Games, and programs whose output nobody can hold against anything."""
    return Verdict("unjudged", f"nothing automatic{': ' + words if (words := program.task.how.get('what')) else ''}")


WAYS: dict[str, Callable[[Program], Verdict]] = {
    "serial-text":        by_serial_text,
    "blargg-memory":      by_blargg_memory,
    "mooneye-registers":  by_mooneye_registers,
    "gbmicrotest-memory": by_gbmicrotest_memory,
    "gambatte-name":      by_gambatte_name,
    "screenshot":         by_screenshot,
    "screen-colour":      by_screen_colour,
    "cpu-vectors":        by_cpu_vectors,
    "none":               by_nothing,
}  # fmt: skip
