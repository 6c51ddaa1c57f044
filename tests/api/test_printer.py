"""The printer: packets come by the serial port, and pictures out."""

from __future__ import annotations

from random import Random

import numpy
import pytest

from tracklayer import GameBoy, Printer
from tracklayer.api.printer import CYCLES_PER_ROW, Print

from .images import cartridge

INIT, PRINT, DATA, STATUS = 1, 2, 4, 15
BAND = 0x280


def packet(command: int, data: bytes = b"", packed: int = 0) -> bytes:
    body = bytes((command, packed, len(data) & 0xFF, len(data) >> 8)) + data
    return b"\x88\x33" + body + (sum(body) & 0xFFFF).to_bytes(2, "little") + b"\0\0"


def send(printer: Printer, data: bytes, cycle: int = 0) -> bytes:
    """Send bytes. Returns: the last two that came back."""
    return bytes(printer.exchange(byte, cycle) for byte in data)[-2:]


def shade(data: bytes, x: int, y: int) -> int:
    """The colour of a pixel, straight from the definition of a tile."""
    tile = (y // 8 * 20 + x // 8) * 16 + y % 8 * 2
    return data[tile] >> 7 - x % 8 & 1 | (data[tile + 1] >> 7 - x % 8 & 1) << 1


def test_what_is_sent_is_printed() -> None:
    seen: list[Print] = []
    printer = Printer(seen.append)
    data = Random(1).randbytes(3 * BAND)
    assert send(printer, packet(INIT)) == b"\x81\x00"
    for at in range(0, len(data), BAND):
        assert send(printer, packet(DATA, data[at : at + BAND])) == b"\x81\x08"
    assert send(printer, packet(DATA)) == b"\x81\x0c"
    assert send(printer, packet(PRINT, b"\x01\x13\xe4\x40"), 1000) == b"\x81\x06"
    assert send(printer, packet(STATUS), 1000 + 6 * CYCLES_PER_ROW - 1) == b"\x81\x06"
    assert send(printer, packet(STATUS), 1000 + 6 * CYCLES_PER_ROW) == b"\x81\x04"
    assert printer.prints == seen
    (made,) = seen
    assert made[1:] == (1, 1, 3, 0x40)
    assert made.picture.shape == (48, 160)
    expected = [[shade(data, x, y) for x in range(160)] for y in range(48)]
    assert (made.picture == numpy.array(expected)).all()


@pytest.mark.parametrize(("palette", "expected"), [(0x1B, (3, 2, 1, 0)), (0x00, (0, 1, 2, 3)), (0xFC, (0, 3, 3, 3))])
def test_a_palette_turns_colours_into_shades(palette: int, expected: tuple[int, ...]) -> None:
    printer = Printer()
    send(printer, packet(DATA, b"\x55\x33" * 8 * 40))  # colours 0, 1, 2, 3 beside each other
    send(printer, packet(PRINT, bytes((1, 0, palette, 0x40))))
    assert tuple(printer.prints[0].picture[0, :4]) == expected


def test_packed_data_is_unpacked() -> None:
    printer = Printer()
    data = b"\x02abc" + b"\xff\x55" * 3 + b"\x80\x66" + bytes((0x7B, *range(0x7C)))  # 3, 3 * 129, 2, 124
    send(printer, packet(DATA, data, packed=1))
    assert bytes(printer._memory) == b"abc" + b"\x55" * 387 + b"\x66" * 2 + bytes(range(0x7C))


def test_damage_is_reported_and_changes_nothing() -> None:
    printer = Printer()
    good = packet(DATA, bytes(BAND))
    bad = bytearray(good)
    bad[10] ^= 1
    assert send(printer, bytes(bad)) == b"\x81\x01"
    assert send(printer, packet(STATUS)) == b"\x81\x00"
    assert send(printer, packet(DATA, bytes(BAND + 16))) == b"\x81\x10"
    assert send(printer, packet(0x33)) == b"\x81\x10"
    send(printer, packet(PRINT, b"\x01\0\xe4\x40"))
    assert printer.prints[0].picture.shape == (0, 160)


def test_it_finds_the_begin_of_a_packet_in_noise() -> None:
    printer = Printer()
    assert send(printer, b"\x00\x12\x88\x12\x88" + packet(STATUS)) == b"\x81\x00"


def test_anything_may_come_without_an_exception() -> None:
    printer, random = Printer(), Random(3)
    for _ in range(300):
        mutated = bytearray(packet(random.choice((1, 2, 4, 8, 15)), random.randbytes(random.randrange(8)), 1))
        mutated[random.randrange(2, len(mutated))] = random.randrange(256)
        send(printer, bytes(mutated))
    assert all(made.picture.shape[1] == 160 for made in printer.prints)


def test_a_program_prints(engine: str) -> None:
    """It sends what stands behind it, up to the end of the bank, and keeps the answers in work RAM."""
    # LD HL,$0200; LD DE,$C000; loop: LD A,[HL+]; SB; SC <- 81; wait; [DE] <- SB; INC DE; until H = 06; JR self
    program = bytes.fromhex("210002 1100c0 2a e001 3e81 e002 f002 cb7f 20fa f001 12 13 7c fe06 20ea 18fe")
    image = bytearray(cartridge(program))
    sent = packet(INIT) + packet(DATA, b"\xff\x00" * (BAND // 2)) + packet(DATA) + packet(PRINT, b"\x01\x13\xe4\x40")
    image[0x200 : 0x200 + len(sent)] = sent
    gb = GameBoy(bytes(image), engine=engine)
    printer = gb.serial_device = Printer()
    gb.run(cycles=(len(sent) + 10) * 5_000)
    assert [made.picture.shape for made in printer.prints] == [(16, 160)]
    assert (printer.prints[0].picture == 1).all()
    assert bytes(gb.memory[0xC000 + len(sent) - 2 : 0xC000 + len(sent)]) == b"\x81\x06"
