"""The demonstration cartridge: a train that lays its own track. A real Game Boy program, written for this project.

For:     something to run and look at without any file of anybody else's; tests and benchmarks of whole programs.
Not for: running it.

The source is SM83 assembly (demo.asm, art.asm) for our own assembler. The cartridge header has no logo: on a real
Game Boy the boot ROM would refuse it. We boot without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import Program, assemble

SIZE = 0x8000
SHADES = ".:=#"
"""Pixels of text art, lightest first."""

NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
HELD, SILENT = 0x00, 0xFF
LOWEST_C = 32.703
"""Hz; the C of octave 1, note number 1."""


def pixels(lines: Sequence[str]) -> list[list[int]]:
    """Text art as rows of colour numbers. Errors: ValueError where a character is no shade, or a row is too short."""
    rows = [[SHADES.index(character) for character in line.strip()] for line in lines if line.strip()]
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("rows of a picture must be equally long")
    return rows


def tile(rows: Sequence[Sequence[int]], left: int, top: int) -> bytes:
    """The 16 bytes of an 8x8 tile: for each row the low bits of its colours, then the high bits.

    Source: Pan Docs, "VRAM Tile Data".
    """
    data = bytearray()
    for row in rows[top : top + 8]:
        for bit in (0, 1):
            data.append(sum((colour >> bit & 1) << 7 - x for x, colour in enumerate(row[left : left + 8])))
    return bytes(data)


def tiles(lines: Sequence[str], arguments: Sequence[int]) -> bytes:
    """Cut a picture into 8x8 tiles, row by row."""
    rows = pixels(lines)
    return b"".join(tile(rows, x, y) for y in range(0, len(rows), 8) for x in range(0, len(rows[0]), 8))


def objects(lines: Sequence[str], arguments: Sequence[int]) -> bytes:
    """Cut a picture into 8x16 objects, row by row: two tiles each, the upper one first."""
    rows = pixels(lines)
    return b"".join(
        tile(rows, x, y + half) for y in range(0, len(rows), 16) for x in range(0, len(rows[0]), 8) for half in (0, 8)
    )


def notes(lines: Sequence[str], arguments: Sequence[int]) -> bytes:
    """Music as text: `C4` or `F#3` starts a note, `.` holds it, `-` is silence. One byte for each step."""
    steps = []
    for word in " ".join(line.split(";")[0] for line in lines).replace("|", " ").split():
        if word in ".-":
            steps.append(HELD if word == "." else SILENT)
        else:
            steps.append((int(word[-1]) - 1) * 12 + NOTES.index(word[:-1]) + 1)
    return bytes(steps)


def period(note: int) -> int:
    """What NR13 and NR14 want for a note number: the frequency is 131072 / (2048 - x) Hz.

    Source: Pan Docs, "Audio Registers".
    """
    return max(0, round(2048 - 131072 / (LOWEST_C * 2 ** ((note - 1) / 12))))


def checksums(image: bytes) -> bytes:
    """The image with both checksums of its header. Source: Pan Docs, "The Cartridge Header"."""
    data = bytearray(image)
    data[0x14D] = sum(-byte - 1 for byte in data[0x134:0x14D]) & 0xFF
    total = sum(data) - data[0x14E] - data[0x14F] & 0xFFFF
    data[0x14E:0x150] = total.to_bytes(2, "big")
    return bytes(data)


@cache
def program() -> Program:
    """The assembled source: image, symbols, listing."""
    folder = Path(__file__).parent
    return assemble(
        (folder / "demo.asm").read_text(encoding="utf-8"),
        SM83,
        name="demo.asm",
        folder=folder,
        size=SIZE,
        blocks={"tiles": tiles, "objects": objects, "notes": notes},
        functions={"period": period},
    )


def build() -> bytes:
    """The cartridge: 32 KiB, no mapper, no battery."""
    return checksums(program().data)


def symbol_file() -> str:
    """The cartridge's labels as a symbol file has them. Banks are counted as RGBDS does: D000 and 4000 lie in 1."""
    return "".join(
        f"{address >> 12 in (4, 5, 6, 7, 13):02x}:{address:04x} {name}\n"
        for name, address in program().labels.items()
        if 0 <= address <= 0xFFFF
    )


cartridge = build
"""`build` by the name of what it gives."""
