"""Pictures as arrays of colours, in typed Python: a console's own, and those of a batch.

For:     the last whole picture into memory that NumPy shows.
Not for: making the picture (machine/gb/ppu), what becomes of the array (pictures.py).
"""

from __future__ import annotations

from tracklayer.lang import Ptr, address_of, pointer, pointer_at, typed, u8, u16, u32, u64
from tracklayer.machine.gb.console import GB
from tracklayer.machine.gb.host import COLOUR_WORDS, PICTURE_WORDS

from .pictures import HEIGHT, WIDTH

PIXELS = WIDTH * HEIGHT


@typed
def paint(gb: GB, to: u64) -> None:
    """The last whole picture at an address, as RGB."""
    if gb.color.hardware:
        colours_to_rgb(gb, pointer_at(to, u8))
    else:
        shades_to_rgb(gb, pointer_at(to, u8))


@typed(outline=True)
def copy_shades(gb: GB, to: Ptr[u64]) -> None:
    """The picture as it is: a byte for each pixel."""
    first = gb.host.shown * PICTURE_WORDS
    index: u16 = 0
    while index < PICTURE_WORDS:
        to[index] = gb.host.picture.words[first + index]
        index = u16(index + 1)


@typed(outline=True)
def shades_to_rgb(gb: GB, to: Ptr[u8]) -> None:
    """Greys: shade 0 is FF, each further one 55 less, and three bytes of a pixel are the same.

    This loop and the next are as plain as can be: then LLVM makes a few vector instructions of 64 pixels.
    """
    words = pointer(gb.host.picture.words, gb.host.shown * PICTURE_WORDS)
    shades = pointer_at(address_of(words), u8)
    index: u32 = 0
    at: u32 = 0
    while index < PIXELS:
        grey = u8(~(shades[index] * 0x55))
        to[at] = grey
        to[at + 1] = grey
        to[at + 2] = grey
        index = u32(index + 1)
        at = u32(at + 3)


@typed(outline=True)
def colours_to_rgb(gb: GB, to: Ptr[u8]) -> None:
    """From BGR555: five bits x become (x << 3) | (x >> 2), which is x * 33 >> 2 and stays within 16 bits."""
    words = pointer(gb.host.colours.words, gb.host.shown * COLOUR_WORDS)
    colours = pointer_at(address_of(words), u16)
    index: u32 = 0
    at: u32 = 0
    while index < PIXELS:
        colour = colours[index]
        to[at] = u8(u16((colour & 0x1F) * 33) >> 2)
        to[at + 1] = u8(u16((colour & 0x3E0) * 33) >> 7)
        to[at + 2] = u8(u16((colour >> 10 & 0x1F) * 33) >> 2)
        index = u32(index + 1)
        at = u32(at + 3)
