"""The Mandelbrot set by a typed function, on all cores, with progress told to Python.

    python examples/typed_function.py [WIDTH]

`@function` turns the typed Python below it into a builtin of machine code. With nogil=True it runs in parallel, and
takes the GIL only to call `told`; Ctrl-C ends it at once, wherever it is. `original(rows)` is the same function in
plain Python: it gives the same picture, much later.
"""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tracklayer import function, original
from tracklayer.lang import MutBuffer, u8, u16

SHADES = " .:-=+*#%@"


@function(nogil=True)
def rows(out: MutBuffer[u8], width: u16, height: u16, first: u16, told: Callable[[u16], bool]) -> u16:
    """Draw every eighth row, beginning with the first, as numbers from 0 to 255. Returns how many were drawn."""
    drawn: u16 = 0
    for y in range(first, height, 8):
        for x in range(width):
            real, imaginary = x * 3.0 / width - 2.2, y * 2.4 / height - 1.2
            a, b = 0.0, 0.0
            turns: u8 = 0
            while turns < 255 and a * a + b * b <= 4.0:
                a, b = a * a - b * b + real, 2.0 * a * b + imaginary
                turns += 1
            out[y * width + x] = turns
        drawn = u16(drawn + 1)
        if told(y):
            break
    return drawn


def picture(draw: Callable[..., int], width: int, height: int) -> bytes:
    """The whole picture, eight rows apart on each of the threads."""
    out = bytearray(width * height)
    seen: list[int] = []

    def told(y: int) -> bool:
        seen.append(y)  # Python, in the middle of machine code; True would end it
        return False

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = pool.map(lambda first: draw(out, width, height, first, told), range(8))
        assert sum(counts) == height == len(seen)
    return bytes(out)


def main() -> None:
    width = int(sys.argv[1]) if len(sys.argv) > 1 else 76
    height = width * 30 // 76
    seconds = {}
    for name, draw in (("machine code", rows), ("plain Python", original(rows))):
        picture(draw, 8, 8)  # the first call compiles
        start = time.perf_counter()
        drawn = picture(draw, width, height)
        seconds[name] = time.perf_counter() - start
        if name == "machine code":
            wanted = drawn
            for y in range(height):
                print("".join(SHADES[turns * 9 // 255] for turns in drawn[y * width : (y + 1) * width]).rstrip())
    assert drawn == wanted
    print(f"{rows!r}: the same picture as plain Python")
    print(f"{seconds['plain Python'] / seconds['machine code']:.0f} times as fast", file=sys.stderr)


if __name__ == "__main__":
    main()
