"""Pictures: the four shades as colours, as PNG files, and read back for comparison.

Both NumPy and Pillow are imported only by the functions that need them: a console that runs without being looked at
pays for neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

WIDTH = 160
HEIGHT = 144

# Shade 0 is the lightest. Evenly spaced greys: the convention of the test programs' pictures.
GREYS = ((0xFF, 0xFF, 0xFF), (0xAA, 0xAA, 0xAA), (0x55, 0x55, 0x55), (0x00, 0x00, 0x00))


def to_rgb(shades: NDArray[numpy.uint8]) -> NDArray[numpy.uint8]:
    """The colours of an array of shades 0 to 3: the same shape with a last axis of three more, uint8."""
    import numpy

    return numpy.array(GREYS, numpy.uint8)[shades]


def painted(paint: Callable[[int], object]) -> NDArray[numpy.uint8]:
    """A picture by generated code (painting.py): uint8, shape (144, 160, 3)."""
    import numpy

    picture = numpy.empty((HEIGHT, WIDTH, 3), numpy.uint8)
    paint(picture.__array_interface__["data"][0])
    return picture


def colours_to_rgb(data: bytes | bytearray) -> NDArray[numpy.uint8]:
    """BGR555 colours of 16 bits, row by row, as RGB: uint8, shape (144, 160, 3). Five bits x: (x << 3) | (x >> 2)."""
    import numpy

    colours = numpy.frombuffer(data, "<u2").reshape(HEIGHT, WIDTH, 1)
    channels = colours >> numpy.array([0, 5, 10], numpy.uint16) & 31
    return (channels << 3 | channels >> 2).astype(numpy.uint8)


def to_shades(picture: NDArray[numpy.uint8]) -> NDArray[numpy.uint8]:
    """An RGB picture as shades 0 to 3, by lightness, in four even steps."""
    import numpy

    weights = numpy.array([299, 587, 114], numpy.uint32)
    return (3 - (picture.astype(numpy.uint32) @ weights // 64000).clip(0, 3)).astype(numpy.uint8)


def save_png(picture: NDArray[numpy.uint8], path: str | os.PathLike[str]) -> None:
    """Write an RGB picture, shape (height, width, 3), as a PNG file. Errors: OSError."""
    from PIL import Image

    Image.fromarray(picture).save(path, format="PNG")


def load_picture(source: Any) -> NDArray[numpy.uint8]:
    """An RGB picture, shape (height, width, 3), from a file or file object. Errors: OSError, where it is none."""
    import numpy
    from PIL import Image

    with Image.open(source) as picture:
        return numpy.asarray(picture.convert("RGB"), numpy.uint8)
