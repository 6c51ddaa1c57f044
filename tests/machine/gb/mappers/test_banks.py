"""Banking: which part of ROM and RAM stands where after which write, for every mapper."""

from __future__ import annotations

import pytest

from tracklayer.machine.gb import cartridge
from tracklayer.machine.gb.cartridge import CartridgeError
from tracklayer.machine.gb.mappers import MAPPERS

from .bench import BANK, Bench, image

ROM_ONLY, MBC1, MBC2, MMM01, MBC3, MBC5, RUMBLE, MBC6, CAMERA, HUC3, HUC1 = (
    0x00, 0x03, 0x06, 0x0D, 0x13, 0x1B, 0x1E, 0x20, 0xFC, 0xFE, 0xFF
)  # fmt: skip


def test_every_number_has_one_mapper() -> None:
    numbers = [number for mapper in MAPPERS for number in mapper.types]
    assert len(numbers) == len(set(numbers))
    assert len({mapper.name for mapper in MAPPERS}) == len(MAPPERS)


@pytest.mark.parametrize(("number", "name"), [(0x15, "MBC4"), (0x77, "unknown"), (0xBE, "Bung")])
def test_a_mapper_that_is_not_here_is_named(number: int, name: str) -> None:
    with pytest.raises(CartridgeError, match=f"{number:02X}.*{name}"):
        cartridge.load(image(number))


def test_no_mapper_no_banks() -> None:
    bench = Bench(ROM_ONLY, 2)
    bench.write(0x2000, 3)
    assert (bench.low, bench.high, bench.ram) == (0, 1, 0xFF)


def test_mbc1_reaches_banks_through_two_registers() -> None:
    bench = Bench(MBC1, 128, 3)
    for value, bank in ((0, 1), (1, 1), (5, 5), (0x1F, 0x1F), (0x20, 1), (0xE7, 7)):
        bench.write(0x2000, value)
        assert bench.high == bank
    bench.write(0x4000, 2)
    assert (bench.low, bench.high) == (0, 0x47)
    bench.write(0x6000, 1)
    assert (bench.low, bench.high) == (0x40, 0x47)


@pytest.mark.parametrize("number", [MBC1, MBC3, MBC5, RUMBLE])
def test_ram_banks_are_apart_and_closed_at_first(number: int) -> None:
    bench = Bench(number, 4, 3)
    bench.write(0xA000, 1)
    assert bench.ram == 0xFF
    bench.write(0x0000, 0x0A)
    bench.write(0x6000, 1)
    for bank in range(4):
        bench.write(0x4000, bank)
        bench.write(0xA000, 0x50 + bank)
    for bank in range(4):
        bench.write(0x4000, bank)
        assert bench.ram == 0x50 + bank
    bench.write(0x0000, 0)
    assert bench.ram == 0xFF


def test_mbc2_has_half_bytes() -> None:
    bench = Bench(MBC2, 16)
    bench.write(0x0000, 0x0A)
    bench.write(0xA000, 0x37)
    assert (bench.ram, bench.read(0xA200), bench.read(0xBE00)) == (0xF7, 0xF7, 0xF7)
    bench.write(0x2100, 9)
    assert bench.high == 9
    bench.write(0x2100, 0)
    assert bench.high == 1


def test_mbc3_has_seven_bits_of_rom_bank_and_mbc30_eight() -> None:
    bench = Bench(MBC3, 128, 3)
    for value, bank in ((0, 1), (0x20, 0x20), (0x7F, 0x7F), (0x85, 5)):
        bench.write(0x2000, value)
        assert bench.high == bank
    bench = Bench(MBC3, 256, 5)
    bench.write(0x2000, 0x85)
    assert bench.high == 0x85
    bench.write(0x0000, 0x0A)
    for bank in range(8):
        bench.write(0x4000, bank)
        bench.write(0xA000, bank)
    bench.write(0x4000, 5)
    assert bench.ram == 5


def test_mbc3_has_no_ram_banks_4_to_7() -> None:
    bench = Bench(MBC3, 4, 3)
    bench.write(0x0000, 0x0A)
    bench.write(0x4000, 4)
    bench.write(0xA000, 0x12)
    assert bench.ram == 0xFF


def test_mbc5_has_nine_bits_of_rom_bank() -> None:
    bench = Bench(MBC5, 512, 4)
    bench.write(0x2000, 0x23)
    assert bench.high == 0x23
    bench.write(0x3000, 0xFF)
    assert bench.high == 0x123
    bench.write(0x2000, 0)
    bench.write(0x3000, 0)
    assert bench.high == 0
    bench.write(0x0000, 0x1A)
    bench.write(0xA000, 1)
    assert bench.ram == 0xFF


def test_rumble_takes_a_bit_of_the_ram_bank_and_is_counted() -> None:
    bench = Bench(RUMBLE, 4, 4)
    bench.write(0x0000, 0x0A)
    bench.write(0x4000, 0x01)
    bench.write(0xA000, 0x77)
    bench.write(0x4000, 0x09)
    assert bench.ram == 0x77
    assert bench.gb.mapper.motor
    bench.wait(1000)
    bench.write(0x4000, 0x01)
    bench.wait(500)
    bench.write(0x4000, 0x01)
    assert not bench.gb.mapper.motor
    assert bench.gb.mapper.motor_time == 1000


def test_mmm01_begins_with_its_menu_at_the_end() -> None:
    bench = Bench(MMM01, 32, 3, header_bank=30)
    assert (bench.low, bench.high) == (30, 31)
    bench.write(0x2000, 5)
    assert (bench.low, bench.high) == (30, 31)


def test_mmm01_maps_a_game_and_locks_it() -> None:
    bench = Bench(MMM01, 32, 3, header_bank=30)
    bench.write(0x2000, 8)  # the game begins at bank 8
    bench.write(0x6000, 0b11000 << 1)  # and has 8 banks
    bench.write(0x4000, 0x40 | 1)  # the mode is locked; RAM bank 1
    bench.write(0x0000, 0x30)
    bench.write(0x0000, 0x40)
    assert (bench.low, bench.high) == (8, 9)
    for value, bank in ((3, 11), (0, 9), (7, 15), (8, 9), (0x1F, 15)):
        bench.write(0x2000, value)
        assert (bench.low, bench.high) == (8, bank)
    bench.write(0x6000, 1)
    bench.write(0x0000, 0x0A)
    assert not bench.gb.mapper.mode
    assert bench.gb.mapper.mmm01.ram_mask == 0
    bench.write(0x0000, 0x00)
    assert (bench.low, bench.high) == (8, 15)


def test_mmm01_locks_bits_of_the_ram_bank() -> None:
    bench = Bench(MMM01, 32, 4, header_bank=30)
    bench.write(0x4000, 0x0A)  # RAM bank 2 of the third game
    bench.write(0x0000, 0x20)  # its upper bit is locked
    bench.write(0x0000, 0x60)
    bench.write(0x6000, 1)
    bench.write(0x4000, 0x01)
    bench.write(0x0000, 0x0A)
    assert bench.gb.banks.ram == 0x0B


def test_mmm01_multiplex_gives_the_game_the_middle_bits() -> None:
    bench = Bench(MMM01, 128, 3, header_bank=126)
    bench.write(0x2000, 0x60)  # ROM bank mid is the RAM bank now
    bench.write(0x6000, 0x40)
    bench.write(0x0000, 0x4A)
    bench.write(0x4000, 2)
    bench.write(0x2000, 3)
    assert (bench.low, bench.high) == (0, 0x43)
    bench.write(0x6000, 1)
    assert (bench.low, bench.high) == (0x40, 0x43)
    assert bench.gb.banks.ram == 3


def test_an_mmm01_image_with_its_menu_first_is_turned() -> None:
    turned = image(MMM01, 32, header_bank=0)
    cart = cartridge.load(turned)
    assert any("menu" in warning for warning in cart.warnings)
    assert cart.rom[30 * BANK :] == turned[: 2 * BANK]


def test_huc1_never_closes_its_ram() -> None:
    bench = Bench(HUC1, 64, 3)
    bench.write(0xA000, 0x42)
    bench.write(0x0000, 0x00)
    assert bench.ram == 0x42
    bench.write(0x2000, 0x25)
    assert bench.high == 0x25
    bench.write(0x4000, 3)
    assert bench.ram == 0


def test_huc1_has_an_infrared_mode() -> None:
    bench = Bench(HUC1, 4, 3)
    bench.write(0x0000, 0x0E)
    assert bench.ram == 0xC0
    bench.gb.mapper.infrared.seen = 1
    assert bench.ram == 0xC1
    bench.write(0xA000, 1)
    assert bench.gb.mapper.infrared.lit
    bench.write(0x0000, 0x0A)
    assert bench.ram == 0


def test_mbc6_has_half_banks() -> None:
    bench = Bench(MBC6, 32, 3)
    bench.write(0x2000, 6)
    bench.write(0x3000, 11)
    first = bench.read(0x5FF0) | bench.read(0x5FF1) << 8
    second = bench.read(0x7FF0) | bench.read(0x7FF1) << 8
    assert (first, second) == (0x8003, 5)
    bench.write(0x0000, 0x0A)
    bench.write(0x0400, 2)
    bench.write(0x0800, 5)
    bench.write(0xA000, 0x21)
    bench.write(0xB000, 0x22)
    bench.write(0x0400, 5)
    assert bench.ram == 0x22
    bench.write(0x0800, 2)
    assert bench.read(0xB000) == 0x21


def test_camera_ram_can_be_read_while_it_is_closed() -> None:
    bench = Bench(CAMERA, 64, 4)
    bench.write(0xA000, 0x11)
    assert bench.ram == 0
    bench.write(0x0000, 0x0A)
    bench.write(0x4000, 3)
    bench.write(0xA000, 0x11)
    bench.write(0x0000, 0x00)
    assert bench.ram == 0x11
    bench.write(0x2000, 0)
    assert bench.high == 0


def test_huc3_ram_can_be_opened_for_reading_only() -> None:
    bench = Bench(HUC3, 64, 3)
    assert bench.ram == 0
    bench.write(0xA000, 0x33)
    assert bench.ram == 0
    bench.write(0x0000, 0x0A)
    bench.write(0xA000, 0x33)
    bench.write(0x0000, 0x00)
    assert bench.ram == 0x33
    bench.write(0x0000, 0x05)
    assert bench.ram == 0xFF
