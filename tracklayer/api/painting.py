"""Pictures as arrays of colours, in typed Python: a console's own, and those of a batch.

For:     the last whole picture into memory that NumPy shows.
Not for: making the picture (machine/gb/ppu), what becomes of the array (pictures.py).
"""

from __future__ import annotations

from tracklayer.lang import Ptr, address_of, pointer, pointer_at, typed, u8, u16, u32, u64
from tracklayer.machine.gb.console import GB
from tracklayer.machine.gb.host import COLOUR_WORDS, PICTURE_WORDS

from .pictures import RGB_BYTES, WIDTH


@typed
def paint(gb: GB, to: u64) -> None:
    """The last whole picture at an address, as RGB: RGB_BYTES, and LINE_BYTES of room behind them."""
    if gb.color.hardware:
        colours_to_rgb(gb, pointer_at(u64(to + RGB_BYTES), u32), pointer_at(to, u64))
    else:
        shades_to_rgb(gb, pointer_at(to, u64))



@typed(outline=True)
def copy_shades(gb: GB, to: Ptr[u64]) -> None:
    """The picture as it is: a byte for each pixel."""
    first = gb.host.shown * PICTURE_WORDS
    index: u16 = 0
    while index < PICTURE_WORDS:
        to[index] = gb.host.picture.words[first + index]
        index = u16(index + 1)


@typed(outline=True)
def shades_to_rgb(gb: GB, to: Ptr[u64]) -> None:
    """Eight pixels at a time as greys: shade 0 is FF, each further one 55 less, and three bytes of a pixel are the
    same."""
    first = gb.host.shown * PICTURE_WORDS
    index: u16 = 0
    while index < PICTURE_WORDS:
        greys = u64(~u64(gb.host.picture.words[first + index] * 0x55))
        at = index * 3
        middle = u64((greys >> 24 & 0xFF) * 0x01010100 | (greys >> 16 & 0xFF))
        to[at] = u64(
            (greys & 0xFF) * 0x010101 | (greys >> 8 & 0xFF) * 0x010101 << 24 | (greys >> 16 & 0xFF) * 0x0101 << 48
        )
        to[at + 1] = u64(middle | (greys >> 32 & 0xFF) * 0x010101 << 32 | (greys >> 40 & 0xFF) << 56)
        to[at + 2] = u64(
            (greys >> 40 & 0xFF) * 0x0101 | (greys >> 48 & 0xFF) * 0x010101 << 16 | (greys >> 56) * 0x010101 << 40
        )
        index = u16(index + 1)


@typed(outline=True)
def colours_to_rgb(gb: GB, line: Ptr[u32], to: Ptr[u64]) -> None:
    """Row by row from BGR555, over `line`, which has room for one: a pixel in each four bytes, then in three.

    Everything goes by pointers, of which the compiler knows that they may lead to the same place.
    """
    words = pointer(gb.host.colours.words, gb.host.shown * COLOUR_WORDS)
    at: u16 = 0
    while at < PICTURE_WORDS * 3:
        widen(pointer_at(u64(address_of(words) + at * 16 // 3), u16), line)
        pairs = pointer_at(address_of(line), u64)
        index: u8 = 0
        while index < WIDTH // 2:
            one, two = squeezed(pairs[index]), squeezed(pairs[index + 1])
            three, four = squeezed(pairs[index + 2]), squeezed(pairs[index + 3])
            to[at] = u64(one | two << 48)
            to[at + 1] = u64(two >> 16 | three << 32)
            to[at + 2] = u64(three >> 32 | four << 16)
            at = u16(at + 3)
            index = u8(index + 4)


@typed
def widen(colours: Ptr[u16], line: Ptr[u32]) -> None:
    """A row: five bits x become (x << 3) | (x >> 2), red in the lowest byte."""
    index: u16 = 0
    while index < WIDTH:
        colour = colours[index]
        red = (colour << 3 & 0xF8) | (colour >> 2 & 0x07)
        green = (colour << 6 & 0xF800) | (colour << 1 & 0x0700)
        line[index] = red | green | (colour << 9 & 0xF80000) | (colour << 4 & 0x070000)
        index = u16(index + 1)


@typed
def squeezed(pair: u64) -> u64:
    """Two pixels of four bytes as six bytes."""
    return (pair & 0xFFFFFF) | (pair >> 8 & 0xFFFFFF000000)
