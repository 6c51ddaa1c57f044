"""A Game Boy Printer as a device on the serial port: what is printed becomes pictures.

For:       `gb.serial_device = Printer()`; `printer.prints` holds what came out, oldest first.
Not for:   the port (machine/gb/serial.py); errors of the real one: its paper never jams, its battery is never low.
Source:    Pan Docs, "Game Boy Printer".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

WIDTH = 160
ROW = 0x140
"""Bytes of a row of 20 tiles."""
MEMORY = 0x2000
"""Bytes of picture that the printer holds."""
MOST = 0x280
"""Bytes that one packet's data unpack to at most: two rows of tiles."""
INIT, PRINT, DATA, BREAK, STATUS = 0x01, 0x02, 0x04, 0x08, 0x0F
ALIVE = 0x81
WRONG_SUM, PRINTING, FULL, UNPRINTED, WRONG_PACKET = 0x01, 0x02, 0x04, 0x08, 0x10
"""Bits of the status."""
CYCLES_PER_ROW = 1 << 21
"""How long a row of tiles takes to print. UNVERIFIED: about half a second."""
USUAL_PALETTE = 0xE4


class Print(NamedTuple):
    """Something printed."""

    picture: NDArray[numpy.uint8]
    """Shape (height, 160), shades 0 (paper) to 3 (darkest)."""
    sheets: int
    """How often it was to be printed; 0 only feeds paper."""
    before: int
    after: int
    """Lines of paper fed before and after it, in the printer's own unit."""
    exposure: int
    """How dark, 0 to 7F; 40 is the middle."""


class Printer:
    """A printer. `on_print(print)` is called, if given, when something is printed.

    `prints` keeps what was printed. One printer serves one console at a time.
    """

    def __init__(self, on_print: Callable[[Print], object] | None = None) -> None:
        self.prints: list[Print] = []
        self._on_print = on_print
        self._packet = bytearray()
        self._memory = bytearray()
        self._status = 0
        self._done_at = 0

    # ------------------------------------------------------------------ the wire

    def exchange(self, byte: int, cycle: int) -> int:
        """A byte comes. Returns: the one that goes back meanwhile."""
        packet = self._packet
        packet.append(byte)
        size = len(packet)
        if size == 1 and byte != 0x88:
            packet.clear()
        elif size == 2 and byte != 0x33:
            del packet[: 2 if byte != 0x88 else 1]
        elif size > 6:
            length = packet[4] | packet[5] << 8
            if size == length + 9:
                return ALIVE
            if size == length + 10:
                self._take(bytes(packet), cycle)
                packet.clear()
                return self._reported(cycle)
        return 0

    def _reported(self, cycle: int) -> int:
        if self._status & PRINTING and cycle >= self._done_at:
            self._status &= ~PRINTING
        return self._status

    # ------------------------------------------------------------------ packets

    def _take(self, packet: bytes, cycle: int) -> None:
        """A whole packet is there: 88 33, command, compression, size, data, sum, and two bytes that are answered."""
        command, packed, data = packet[2], packet[3] & 1, packet[6:-4]
        self._status &= ~(WRONG_SUM | WRONG_PACKET)
        if sum(packet[2:-4]) & 0xFFFF != packet[-4] | packet[-3] << 8:
            self._status |= WRONG_SUM
        elif command == INIT:
            self._memory.clear()
            self._status = 0
        elif command == DATA:
            self._load(_unpacked(data) if packed else data)
        elif command == PRINT and len(data) == 4:
            self._print(data, cycle)
        elif command == BREAK:
            self._status &= ~PRINTING
        elif command != STATUS:
            self._status |= WRONG_PACKET

    def _load(self, data: bytes) -> None:
        """More picture; none says that all of it is there."""
        if len(data) > MOST or len(self._memory) + len(data) > MEMORY:
            self._status |= WRONG_PACKET
            return
        self._memory += data
        if data:
            self._status |= UNPRINTED
        if not data or len(self._memory) + MOST > MEMORY:
            self._status |= FULL

    def _print(self, settings: bytes, cycle: int) -> None:
        sheets, margins, palette, exposure = settings
        made = Print(
            _picture(bytes(self._memory), palette or USUAL_PALETTE), sheets, margins >> 4, margins & 15, exposure & 0x7F
        )
        rows = len(self._memory) // ROW
        self._memory.clear()
        self._status = self._status & ~UNPRINTED | PRINTING | FULL
        self._done_at = cycle + rows * CYCLES_PER_ROW * max(sheets, 1)
        self.prints.append(made)
        if self._on_print is not None:
            self._on_print(made)


def _unpacked(data: bytes) -> bytes:
    """Runs: a byte below 80 is followed by one more bytes than it says, another by a byte that stands n - 7E times."""
    made = bytearray()
    at = 0
    while at < len(data) and len(made) <= MOST:
        run = data[at]
        if run < 0x80:
            made += data[at + 1 : at + 2 + run]
            at += run + 2
        else:
            made += data[at + 1 : at + 2] * (run - 0x7E)
            at += 2
    return bytes(made)


def _picture(memory: bytes, palette: int) -> NDArray[numpy.uint8]:
    """Rows of 20 tiles as shades. A row that is not whole is left out."""
    import numpy

    rows = len(memory) // ROW
    planes = numpy.frombuffer(memory[: rows * ROW], numpy.uint8).reshape(rows, WIDTH // 8, 8, 2)
    bits = numpy.unpackbits(planes[..., None], axis=-1)  # row, tile, line, plane, column
    colours = bits[..., 0, :] | bits[..., 1, :] << 1
    shades = numpy.array([palette >> 2 * colour & 3 for colour in range(4)], numpy.uint8)[colours]
    return numpy.ascontiguousarray(shades.transpose(0, 2, 1, 3).reshape(rows * 8, WIDTH))
