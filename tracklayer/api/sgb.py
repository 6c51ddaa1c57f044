"""The Super Game Boy's picture: colours by the program's commands, and the border around it.

For:     carrying out commands that came as packets; the coloured screen; the border.
Not for: receiving packets, several players (machine/gb/sgb.py). What only a SNES can do is ignored: sound, its own
         programs and objects (docs/sgb.md).
Source:  Pan Docs, "SGB Functions": "Palette Commands", "Color Attribute Commands", "Border and OBJ Commands".
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from tracklayer.machine.gb import build

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Rgb = NDArray[numpy.uint8]

PAL01, PAL23, PAL03, PAL12, ATTR_BLK, ATTR_LIN, ATTR_DIV, ATTR_CHR = range(8)
PAL_SET, PAL_TRN, CHR_TRN, PCT_TRN, ATTR_TRN, ATTR_SET, MASK_EN = 0x0A, 0x0B, 0x13, 0x14, 0x15, 0x16, 0x17
TRANSFERS = (PAL_TRN, CHR_TRN, PCT_TRN, ATTR_TRN)
PAIRS = {PAL01: (0, 1), PAL23: (2, 3), PAL03: (0, 3), PAL12: (1, 2)}
TRANSFER_FRAMES = 3
"""Frames from such a command to the picture that its data is taken from. UNVERIFIED: programs show it for longer."""
COLUMNS, ROWS = 20, 18
SHOWN, FROZEN, BLACK, BLANK = range(4)
"""MASK_EN."""
FILE, FILES = 90, 45
WIDTH, HEIGHT, LEFT, TOP = 256, 224, 48, 40
"""The border, and where the screen lies in it."""


def work(gb: Any) -> None:
    """Carry out the command that waits."""
    sgb = gb.sgb
    if not sgb.waiting:
        return
    sgb.waiting = 0
    data = bytes(sgb.command)
    command = data[0] >> 3
    if command in PAIRS:
        set_pair(sgb, PAIRS[command], data)
    elif command in COLOURINGS:
        COLOURINGS[command](Attributes(sgb), data)
    elif command == PAL_SET:
        for palette in range(4):
            number = int.from_bytes(data[1 + 2 * palette : 3 + 2 * palette], "little") & 511
            for colour in range(4):
                sgb.palettes[4 * palette + colour] = sgb.system_palettes[4 * number + colour]
        share_backdrop(sgb, sgb.palettes[0])
        if data[9] & 0x80:
            take_file(sgb, data[9])
        elif data[9] & 0x40:
            sgb.mask = SHOWN
    elif command == ATTR_SET:
        take_file(sgb, data[1])
    elif command == MASK_EN:
        sgb.mask = data[1] & 3
    elif command in TRANSFERS:
        sgb.transfer, sgb.transfer_half, sgb.transfer_frames = command, data[1] & 1, TRANSFER_FRAMES


def set_pair(sgb: Any, pair: tuple[int, int], data: bytes) -> None:
    """PAL01 and its like: three colours each for two palettes, and one that all share."""
    words = [int.from_bytes(data[at : at + 2], "little") & 0x7FFF for at in range(1, 15, 2)]
    for index, palette in enumerate(pair):
        for colour in range(3):
            sgb.palettes[4 * palette + 1 + colour] = words[1 + 3 * index + colour]
    share_backdrop(sgb, words[0])


def share_backdrop(sgb: Any, colour: int) -> None:
    """Colour 0 is the same in all palettes."""
    for palette in range(4):
        sgb.palettes[4 * palette] = colour


def take_file(sgb: Any, number: int) -> None:
    """An attribute file colours the whole screen; bit 6 shows the screen again."""
    start = (number & 63) * FILE
    if number & 63 < FILES:
        for tile in range(COLUMNS * ROWS):
            sgb.attributes[tile] = sgb.files[start + tile // 4] >> (6 - 2 * (tile % 4)) & 3
    if number & 0x40:
        sgb.mask = SHOWN


class Attributes:
    """The palettes of the screen's tiles, by column and row."""

    def __init__(self, sgb: Any) -> None:
        self.tiles = sgb.attributes

    def set(self, x: int, y: int, palette: int) -> None:
        """Colour a tile, if it is on the screen."""
        if 0 <= x < COLUMNS and 0 <= y < ROWS:
            self.tiles[y * COLUMNS + x] = palette & 3

    def blocks(self, data: bytes) -> None:
        """ATTR_BLK: inside, line and outside of rectangles. The line takes the one colour where only one is given."""
        for number in range(min(data[1], 18)):
            what, colours, left, top, right, bottom = data[2 + 6 * number : 8 + 6 * number]
            inside = colours & 3 if what & 1 else None
            line = colours >> 2 & 3 if what & 2 else None
            outside = colours >> 4 & 3 if what & 4 else None
            if what & 7 == 1:
                line = inside
            elif what & 7 == 4:
                line = outside
            for y in range(ROWS):
                for x in range(COLUMNS):
                    if left < x < right and top < y < bottom:
                        palette = inside
                    elif left <= x <= right and top <= y <= bottom:
                        palette = line
                    else:
                        palette = outside
                    if palette is not None:
                        self.set(x, y, palette)

    def lines(self, data: bytes) -> None:
        """ATTR_LIN: whole rows and columns."""
        for one in data[2 : 2 + min(data[1], 110)]:
            for index in range(COLUMNS):
                x, y = (index, one & 31) if one & 0x80 else (one & 31, index)
                self.set(x, y, one >> 5)

    def halves(self, data: bytes) -> None:
        """ATTR_DIV: both sides of a row or column, and that itself."""
        for y in range(ROWS):
            for x in range(COLUMNS):
                place = (y if data[1] & 0x40 else x) - (data[2] & 31)
                self.set(x, y, data[1] >> 2 if place < 0 else data[1] >> 4 if place == 0 else data[1])

    def characters(self, data: bytes) -> None:
        """ATTR_CHR: tile after tile, row by row or column by column."""
        x, y = data[1], data[2]
        for index in range(min(int.from_bytes(data[3:5], "little"), COLUMNS * ROWS)):
            if 6 + index // 4 >= len(data) or x >= COLUMNS or y >= ROWS:
                return
            self.set(x, y, data[6 + index // 4] >> (6 - 2 * (index % 4)))
            if data[5] & 1:
                x, y = (x, y + 1) if y + 1 < ROWS else (x + 1, 0)
            else:
                x, y = (x + 1, y) if x + 1 < COLUMNS else (0, y + 1)


COLOURINGS = {
    ATTR_BLK: Attributes.blocks,
    ATTR_LIN: Attributes.lines,
    ATTR_DIV: Attributes.halves,
    ATTR_CHR: Attributes.characters,
}


def take_transfer(gb: Any) -> None:
    """The picture that a transfer waited for is there: 256 tiles of it, row by row, are 4 KiB of data."""
    import numpy

    sgb = gb.sgb
    shades = numpy.frombuffer(build.picture(gb), numpy.uint8).reshape(ROWS, 8, COLUMNS, 8)
    tiles = shades.transpose(0, 2, 1, 3).reshape(-1, 8, 8)[:256]
    planes = [numpy.packbits(tiles >> bit & 1, axis=2)[:, :, 0] for bit in (0, 1)]
    data = numpy.stack(planes, axis=2).tobytes()
    if sgb.transfer == PAL_TRN:
        ctypes.memmove(sgb.system_palettes, data, 4096)
    elif sgb.transfer == ATTR_TRN:
        ctypes.memmove(sgb.files, data, FILE * FILES)
    elif sgb.transfer == CHR_TRN:
        ctypes.memmove(ctypes.byref(sgb.border_tiles, 4096 * sgb.transfer_half), data, 4096)
    else:
        ctypes.memmove(sgb.border_map, data, 0x800)
        ctypes.memmove(sgb.border_palettes, data[0x800:0x880], 0x80)
    sgb.transfer = 0


def rgb(colours: Any) -> Any:
    """BGR555 as RGB, of an array."""
    import numpy

    channels = numpy.stack([colours >> shift & 31 for shift in (0, 5, 10)], axis=-1)
    return (channels << 3 | channels >> 2).astype(numpy.uint8)


def screen(gb: Any, shades: Any) -> Rgb:
    """The screen as the Super Game Boy colours it."""
    import numpy

    sgb = gb.sgb
    palettes = numpy.array(sgb.palettes, numpy.uint16)
    if sgb.mask in (BLACK, BLANK):
        colour = 0 if sgb.mask == BLACK else palettes[0]
        return rgb(numpy.full(shades.shape, colour, numpy.uint16))  # type: ignore[no-any-return]
    attributes = numpy.array(sgb.attributes, numpy.uint8).reshape(ROWS, COLUMNS)
    return rgb(palettes[attributes.repeat(8, 0).repeat(8, 1) * 4 + shades])  # type: ignore[no-any-return]


def border(gb: Any, inner: Rgb) -> Rgb:
    """The whole picture, 224 rows of 256 pixels: the border, and `inner` where that is transparent in the middle."""
    import numpy

    sgb = gb.sgb
    data = numpy.frombuffer(bytes(sgb.border_tiles), numpy.uint8).reshape(256, 2, 8, 2)
    bits = numpy.unpackbits(data, axis=3).reshape(256, 2, 8, 2, 8)
    tiles = bits[:, 0, :, 0] | bits[:, 0, :, 1] << 1 | bits[:, 1, :, 0] << 2 | bits[:, 1, :, 1] << 3
    colours = numpy.array(sgb.border_palettes, numpy.uint16)
    numbers = numpy.zeros((HEIGHT, WIDTH), numpy.uint16)
    for place, entry in enumerate(sgb.border_map[: 32 * 28]):
        tile = tiles[entry & 0xFF]
        tile = tile[:, ::-1] if entry & 0x4000 else tile
        tile = tile[::-1] if entry & 0x8000 else tile
        y, x = place // 32 * 8, place % 32 * 8
        numbers[y : y + 8, x : x + 8] = numpy.where(tile > 0, tile + 16 * (entry >> 10 & 3), 0)
    picture = numpy.full((HEIGHT, WIDTH, 3), rgb(numpy.uint16(sgb.palettes[0])), numpy.uint8)
    picture[TOP : TOP + 144, LEFT : LEFT + 160] = inner
    opaque = numbers > 0
    picture[opaque] = rgb(colours[numbers[opaque]])
    return picture
