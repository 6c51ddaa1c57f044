"""What some cartridges have besides banks: flash memory, EEPROM, a sensor of acceleration, a camera."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from tracklayer.machine.gb.mappers import camera, mbc7

from .bench import Bench

MBC6, MBC7, CAMERA = 0x20, 0x22, 0xFC
CS, CLK, DI = 0x80, 0x40, 0x02


class Flash(Bench):
    """MBC6 with the flash chip at 4000 and 6000."""

    def __init__(self) -> None:
        super().__init__(MBC6, 32, 3)
        self.write(0x0C00, 1)
        self.write(0x2800, 8)
        self.write(0x3800, 8)

    def at(self, address: int) -> int:
        """Have a flash address stand at 4000-5FFF, and say where."""
        self.write(0x2000, address >> 13)
        return 0x4000 | address & 0x1FFF

    def poke(self, address: int, value: int) -> None:
        self.write(self.at(address), value)

    def peek(self, address: int) -> int:
        return self.read(self.at(address))

    def command(self, *values: int, last: int = 0x5555) -> None:
        for index, value in enumerate(values):
            self.poke(0x5555, 0xAA)
            self.poke(0x2AAA, 0x55)
            self.poke(last if index == len(values) - 1 else 0x5555, value)

    def program(self, address: int, data: bytes) -> None:
        for index, value in enumerate(data):
            self.poke(address + index, value)
        self.poke(address + 127, 0x00)


def test_the_flash_chip_says_what_it_is() -> None:
    flash = Flash()
    assert flash.peek(0) == 0xFF
    flash.command(0x90)
    assert (flash.peek(0), flash.peek(1)) == (0xC2, 0x81)
    flash.poke(0, 0xF0)
    assert flash.peek(0) == 0xFF


def test_flash_pages_are_programmed_and_sectors_erased() -> None:
    flash = Flash()
    data = bytes(range(128))
    flash.command(0xA0)
    flash.program(0x40080, data)
    assert flash.peek(0x40080) & 0x80
    flash.poke(0, 0xF0)
    assert bytes(flash.peek(0x40080 + n) for n in range(128)) == data
    assert flash.peek(0x4007F) == 0xFF
    flash.command(0xA0)
    flash.program(0x40080, b"\x0f" * 128)
    flash.poke(0, 0xF0)
    assert flash.peek(0x400F5) == 0x75 & 0x0F
    flash.command(0x80, 0x30, last=0x20000)
    flash.poke(0, 0xF0)
    assert flash.peek(0x400F5) == 0x05
    flash.command(0x80, 0x30, last=0x40000)
    assert flash.peek(0x400F5) & 0x80
    flash.poke(0, 0xF0)
    assert flash.peek(0x400F5) == 0xFF


def test_the_first_sector_and_the_hidden_region_are_locked() -> None:
    flash = Flash()
    flash.command(0xA0)
    flash.program(0, bytes(128))
    flash.poke(0, 0xF0)
    assert flash.peek(0) == 0xFF
    flash.command(0x60, 0xE0)
    flash.poke(0, 0xF0)
    flash.write(0x1000, 1)
    flash.command(0xA0)
    flash.program(0, bytes(128))
    flash.poke(0, 0xF0)
    assert flash.peek(0) == 0
    flash.command(0x60, 0x20)
    assert flash.peek(0) & 0x02
    flash.poke(0, 0xF0)
    flash.command(0x80, 0x10)
    flash.poke(0, 0xF0)
    assert flash.peek(0) == 0
    flash.command(0x60, 0xE0)
    flash.program(0x80, b"\x5a" * 128)
    flash.poke(0, 0xF0)
    flash.command(0x77, 0x77)
    assert (flash.peek(0x7F), flash.peek(0x80)) == (0xFF, 0x5A)


def test_flash_answers_only_where_it_is_enabled() -> None:
    flash = Flash()
    flash.write(0x0C00, 0)
    flash.command(0x90)
    assert flash.peek(0) == 0xFF
    flash.write(0x0C00, 1)
    assert flash.peek(0) == 0xFF


class Mbc7(Bench):
    """With the registers open."""

    def __init__(self) -> None:
        super().__init__(MBC7, 8)
        self.write(0x0000, 0x0A)
        self.write(0x4000, 0x40)

    def bits(self, text: str) -> str:
        """Shift bits in; what DO was after each."""
        out = ""
        for bit in text.replace(" ", ""):
            pins = CS | (DI if bit == "1" else 0)
            self.write(0xA080, pins)
            self.write(0xA080, pins | CLK)
            out += str(self.read(0xA080) & 1)
        return out

    def command(self, text: str) -> str:
        self.write(0xA080, 0)
        self.write(0xA080, CS)
        return self.bits(text)

    def word(self, address: int) -> int:
        self.command(f"0 1 10 0{address:07b}")
        return int(self.bits("0" * 16), 2)


def test_the_eeprom_wants_to_be_enabled_for_writing() -> None:
    chip = Mbc7()
    assert chip.word(5) == 0xFFFF
    chip.command(f"1 01 0{5:07b} {0x1234:016b}")
    assert chip.word(5) == 0xFFFF
    chip.command("1 00 11000000")
    chip.command(f"1 01 0{5:07b} {0x1234:016b}")
    assert (chip.word(4), chip.word(5), chip.word(6)) == (0xFFFF, 0x1234, 0xFFFF)
    chip.command("1 00 00000000")
    chip.command(f"1 11 0{5:07b}")
    assert chip.word(5) == 0x1234


def test_the_eeprom_erases_and_fills() -> None:
    chip = Mbc7()
    chip.command("1 00 11000000")
    chip.command(f"1 00 01000000 {0xBEEF:016b}")
    assert (chip.word(0), chip.word(127)) == (0xBEEF, 0xBEEF)
    chip.command(f"1 11 0{7:07b}")
    assert (chip.word(6), chip.word(7)) == (0xBEEF, 0xFFFF)
    chip.command("1 00 10000000")
    assert (chip.word(0), chip.word(127)) == (0xFFFF, 0xFFFF)


def test_reading_goes_on_with_the_next_word_and_begins_with_a_zero() -> None:
    chip = Mbc7()
    chip.command("1 00 11000000")
    for address, value in ((3, 0x0F0F), (4, 0x1357)):
        chip.command(f"1 01 0{address:07b} {value:016b}")
        chip.write(0xA080, 0)
        chip.write(0xA080, CS)
        assert chip.read(0xA080) & 1  # ready
    assert chip.command(f"1 10 0{3:07b}")[-1] == "0"
    assert int(chip.bits("0" * 32), 2) == 0x0F0F1357


def test_the_acceleration_is_read_as_it_was_latched() -> None:
    chip = Mbc7()

    def axes() -> tuple[int, int]:
        return (
            chip.read(0xA020) | chip.read(0xA030) << 8,
            chip.read(0xA040) | chip.read(0xA050) << 8,
        )

    assert axes() == (0x8000, 0x8000)
    chip.gb.mapper.mbc7.tilt_x = mbc7.CENTRE + mbc7.GRAVITY
    chip.write(0xA010, 0xAA)
    assert axes() == (0x8000, 0x8000)
    chip.write(0xA000, 0x55)
    chip.write(0xA010, 0xAA)
    assert axes() == (0x8240, 0x81D0)
    chip.gb.mapper.mbc7.tilt_x = 0
    chip.write(0xA010, 0xAA)
    assert axes() == (0x8240, 0x81D0)
    assert (chip.read(0xA060), chip.read(0xA070), chip.read(0xB020)) == (0, 0xFF, 0xFF)
    chip.write(0x4000, 0)
    assert chip.read(0xA020) == 0xFF


class Camera(Bench):
    """With its registers at A000."""

    def __init__(self) -> None:
        super().__init__(CAMERA, 64, 4)
        self.write(0x4000, 0x10)
        self.light: Any = (ctypes.c_uint8 * (camera.WIDTH * camera.HEIGHT))()
        self.gb.host.camera = ctypes.cast(self.light, type(self.gb.host.camera))
        self.set(1, 0x00, 0x03, 0x00)  # one-dimensional filtering, full exposure
        for at in range(16):
            self.set(6 + 3 * at, 120, 128, 136)

    def set(self, register: int, *values: int) -> None:
        for index, value in enumerate(values):
            self.write(0xA000 + register + index, value)

    def shoot(self, how: int = 3) -> int:
        """Take a picture; how long it took in M-cycles."""
        self.write(0xA000, how)
        cycles = 0
        while self.ram & 1:
            self.wait(4)
            cycles += 1
            if cycles == 1:
                jump = self.gb.mapper.camera.left // 4 - 2
                self.wait(4 * jump)
                cycles += jump
        return cycles

    def shade(self, x: int, y: int) -> int:
        at = 0x100 + (y >> 3) * 256 + (x >> 3) * 16 + (y & 7) * 2
        self.write(0x4000, 0)
        low, high = self.read(0xA000 + at), self.read(0xA001 + at)
        self.write(0x4000, 0x10)
        return low >> (7 - x % 8) & 1 | (high >> (7 - x % 8) & 1) << 1


def test_a_capture_takes_its_time() -> None:
    chip = Camera()
    assert chip.shoot() == 32446 + 512 + 16 * 0x300
    chip.set(1, 0xE4, 0x00, 0x10)
    assert chip.shoot() == 32446 + 16 * 0x10


def test_light_becomes_four_shades_in_tiles() -> None:
    chip = Camera()
    for y in range(camera.HEIGHT):
        for x in range(camera.WIDTH):
            chip.light[y * camera.WIDTH + x] = (0, 100, 160, 255)[(x // 3 + y // 5) % 4]
    chip.shoot()
    for x, y in ((0, 0), (3, 0), (6, 0), (9, 0), (0, 5), (127, 111), (64, 56)):
        assert chip.shade(x, y) == (3, 2, 1, 0)[(x // 3 + y // 5) % 4]


def test_the_negative() -> None:
    chip = Camera()
    chip.light[0] = 255
    chip.shoot(1)
    assert (chip.shade(0, 0), chip.shade(1, 0)) == (3, 0)


def test_ram_is_away_during_a_capture() -> None:
    chip = Camera()
    chip.write(0x4000, 1)
    chip.write(0x0000, 0x0A)
    chip.write(0xA123, 0x55)
    chip.write(0x4000, 0x10)
    chip.write(0xA000, 3)
    chip.write(0x4000, 1)
    chip.write(0xA124, 0x66)
    assert chip.read(0xA123) == 0
    chip.wait(4 * 100_000)
    assert (chip.read(0xA123), chip.read(0xA124)) == (0x55, 0)


def test_a_capture_that_was_stopped_goes_on_as_it_was_begun() -> None:
    chip = Camera()
    chip.write(0xA000, 3)
    chip.wait(4 * 1000)
    chip.write(0xA000, 2)
    assert not chip.ram & 1
    chip.set(2, 0x00, 0x00)
    chip.wait(4 * 1_000_000)
    assert chip.shoot() == 32446 + 512 + 16 * 0x300 - 1000


def test_only_the_first_register_can_be_read() -> None:
    chip = Camera()
    chip.write(0xA000, 6)
    assert [chip.read(0xA000 + n) for n in range(3)] == [6, 0, 0]
    assert chip.read(0xA080) == 6


@pytest.mark.parametrize("mode", [0xE4, 0x20])
def test_edges_are_enhanced(mode: int) -> None:
    chip = Camera()
    for index in range(len(chip.light)):
        chip.light[index] = 128
    chip.light[50 * camera.WIDTH + 60] = 160
    chip.set(1, mode)
    chip.set(4, 0x40)
    for at in range(16):
        chip.set(6 + 3 * at, 125, 126, 134)
    chip.shoot()
    assert chip.shade(60, 50) == 0  # 4 levels brighter than around, 12 or more enhanced
    assert chip.shade(59, 50) == 3
    assert chip.shade(10, 10) == 1


def test_without_a_picture_it_is_dark() -> None:
    chip = Camera()
    chip.gb.host.camera = type(chip.gb.host.camera)()
    chip.shoot()
    assert chip.shade(64, 64) == 3
