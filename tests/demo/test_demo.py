"""The demonstration cartridge: its header, and that it does on a console what it is for."""

from __future__ import annotations

import pytest

from tracklayer.cpu.sm83 import SM83
from tracklayer.demo import HELD, SILENT, build, notes, objects, period, program, tiles
from tracklayer.machine.gb import cartridge
from tracklayer.machine.gb.build import new_console, picture, take_sent
from tracklayer.machine.gb.joypad import press
from tracklayer.machine.gb.reference import ReferenceEngine

FRAME = 70224  # T-cycles
WRAM = 0xC000
RIGHT, A, SELECT, START = 1 << 0, 1 << 4, 1 << 6, 1 << 7


class Player:
    """A console with the cartridge in it, run frame by frame on the reference engine."""

    def __init__(self) -> None:
        self.console = new_console(cartridge.load(build()))
        self.symbols = program().symbols

    def play(self, frames: int, buttons: int = 0) -> None:
        press(self.console, buttons)
        clock = self.console.clock
        clock.limit += FRAME * frames
        clock.stop = 0
        clock.retarget()
        ReferenceEngine().run(self.console)

    def ram(self, name: str, offset: int = 0) -> int:
        return int(self.console.wram[self.symbols[name] + offset - WRAM])

    def speed(self) -> int:
        return self.ram("speed") | self.ram("speed", 1) << 8

    def shades(self, top: int, bottom: int) -> list[int]:
        return list(picture(self.console)[top * 160 : bottom * 160])


@pytest.fixture(scope="module")
def player() -> Player:
    """Some way down the line."""
    player = Player()
    player.play(120)
    return player


def test_the_header_is_valid_and_has_no_logo() -> None:
    image = build()
    assert len(image) == 0x8000
    assert image[0x134:0x144] == b"TRACKLAYER".ljust(16, b"\0")
    assert image[0x147:0x14A] == bytes(3)  # no mapper, 32 KiB, no RAM
    checksum = 0
    for byte in image[0x134:0x14D]:
        checksum = (checksum - byte - 1) & 0xFF
    assert image[0x14D] == checksum
    assert int.from_bytes(image[0x14E:0x150], "big") == (sum(image) - image[0x14E] - image[0x14F]) & 0xFFFF
    assert image[0x104:0x134].rstrip(b"\0").decode() == "TRACKLAYER: NO LOGO HERE, AND NO BOOT ROM"


def test_it_says_hello_on_the_serial_port() -> None:
    player = Player()
    player.play(20)
    assert take_sent(player.console) == b"TRACKLAYER\n"


def test_the_train_speeds_up_to_its_throttle(player: Player) -> None:
    assert player.ram("throttle") == 4
    slow = player.speed()
    assert 0 < slow <= 4 * 0x50
    player.play(2, RIGHT)
    player.play(2)
    assert player.ram("throttle") == 5


def test_track_is_laid_behind_the_crane_and_not_before_it(player: Player) -> None:
    player.play(1)
    left = player.ram("position", 1) >> 3
    row = [player.console.vram[0x1800 + 14 * 32 + (left + column & 31)] for column in range(21)]
    laid = "".join(map(chr, row))
    assert laid[:11] == "=" * 11
    assert set(laid[13:]) <= {"<", ">"}


def test_the_code_for_vblank_was_written_at_run_time(player: Player) -> None:
    address = player.symbols["track_code"]
    code = bytes(player.console.wram[address + offset - WRAM] for offset in range(256))
    texts = [line.text.split()[0] for line in SM83.disassemble(code, address)]
    assert texts[: texts.index("RET")].count("LD") >= 20
    assert set(texts[: texts.index("RET")]) == {"LD"}


def test_the_picture_has_all_shades_in_the_landscape_and_an_inverted_status_line(player: Player) -> None:
    assert set(player.shades(80, 128)) == {0, 1, 2, 3}
    status = player.shades(128, 144)
    assert status.count(3) > status.count(0) > 100
    title = player.shades(0, 20)
    assert title.count(0) > title.count(3) > 100


def test_bands_scroll_at_their_own_speeds(player: Player) -> None:
    pixels = player.ram("position", 1) | player.ram("position", 2) << 8
    assert player.ram("scx_ground") == pixels & 0xFF
    assert player.ram("scx_hills") == pixels >> 1 & 0xFF
    assert player.ram("scx_mountains") == pixels >> 3 & 0xFF


def test_select_changes_the_time_of_day_and_with_it_the_sky() -> None:
    player = Player()
    player.play(30)
    assert player.shades(24, 25).count(0) > 100
    for expected in (1, 3):  # dusk, night
        player.play(2, SELECT)
        player.play(3)
        assert player.shades(24, 25).count(expected) > 100


def test_start_stops_the_train_and_a_blows_the_whistle() -> None:
    player = Player()
    player.play(60)
    player.play(2, A)
    assert player.ram("whistling") > 30
    player.play(2, START)
    player.play(100)
    assert (player.ram("throttle"), player.speed(), player.ram("whistling")) == (0, 0, 0)


def test_music_is_read_from_text() -> None:
    assert notes(["C1 . C#1 | -  ; a comment", "A4"], []) == bytes([1, HELD, 2, SILENT, 46])


def test_a_note_s_period_gives_its_frequency() -> None:
    assert abs(131072 / (2048 - period(46)) - 440) < 1


def test_text_art_becomes_tiles() -> None:
    art = [".:=#.:=#"] * 8
    assert tiles(art, []) == bytes([0x55, 0x33]) * 8
    tall = ["########"] * 8 + ["::::::::"] * 8
    assert objects(tall, []) == b"\xff\xff" * 8 + b"\xff\x00" * 8
    with pytest.raises(ValueError, match="equally long"):
        tiles(["..", "."], [])
