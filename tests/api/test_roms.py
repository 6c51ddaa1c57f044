"""Cartridge images: where they are read from, and what the header says."""

from __future__ import annotations

import weakref
import zipfile
from pathlib import Path

import pytest

from tracklayer.api import roms
from tracklayer.api.errors import RomError
from tracklayer.api.roms import demo_image, load_cartridge, read_header, read_rom
from tracklayer.demo import build

from .images import cartridge


def test_the_demo_is_kept_on_disk_as_it_was_assembled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKLAYER_CACHE", str(tmp_path))
    assert demo_image() == build()
    (kept,) = tmp_path.glob("demo-*")
    assert demo_image() == build()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert demo_image() == build()
    monkeypatch.setenv("TRACKLAYER_CACHE", "off")
    assert demo_image() == build()


def test_the_header_of_a_right_image_is_read() -> None:
    header = read_header(cartridge(type_code=0x03, size_code=1, ram_code=2, banks=4, title=b"HELLO"))
    assert header.title == "HELLO"
    assert header.type_name == "MBC1+RAM+BATTERY"
    assert (header.rom_size, header.ram_size) == (0x10000, 0x2000)
    assert header.checksum_right
    assert not header.global_checksum_right
    assert header.color == "no"


@pytest.mark.parametrize(("flag", "color"), [(0x00, "no"), (0x80, "enhanced"), (0xC0, "only"), (0x41, "no")])
def test_the_color_flag_is_told_from_a_letter_of_the_title(flag: int, color: str) -> None:
    image = bytearray(cartridge())
    image[0x143] = flag
    assert read_header(bytes(image)).color == color


@pytest.mark.parametrize("image", [b"", b"Dear Sir or Madam,\n", cartridge()[:0x14F]])
def test_without_a_whole_header_there_is_nothing_to_read(image: bytes) -> None:
    with pytest.raises(RomError, match="there is no header"):
        read_header(image)


def test_codes_without_meaning_are_shown_as_such() -> None:
    header = read_header(cartridge(type_code=0x77, size_code=0x54, ram_code=0x66))
    assert (header.type_name, header.rom_size, header.ram_size) == ("unknown", 0, 0)


def test_a_damaged_header_is_told_by_its_checksum() -> None:
    image = bytearray(cartridge())
    image[0x140] ^= 1
    assert not read_header(bytes(image)).checksum_right


def test_images_come_from_files_and_from_zip_files(tmp_path: Path) -> None:
    image = cartridge()
    plain = tmp_path / "a.gb"
    plain.write_bytes(image)
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inner/b.gb", image)
        archive.writestr("readme.txt", "no cartridge")
    assert read_rom(plain) == (str(plain), image)
    assert read_rom(f"{packed}::inner/b.gb")[1] == image
    assert read_rom(packed)[1] == image
    assert read_rom(memoryview(image))[1] == image


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK no zip")
    several = tmp_path / "several.zip"
    with zipfile.ZipFile(several, "w") as archive:
        archive.writestr("a.gb", b"")
        archive.writestr("b.gb", b"")
    for source, words in (
        (tmp_path / "none.gb", "No such file"),
        (tmp_path, "cannot read"),
        (broken, "not a zip file"),
        (f"{several}::c.gb", "holds no c.gb"),
        (several, "holds 2 cartridges"),
    ):
        with pytest.raises(RomError, match=words):
            read_rom(source)


def test_what_is_larger_than_any_cartridge_is_not_read_to_its_end(tmp_path: Path) -> None:
    large = tmp_path / "large.gb"
    with large.open("wb") as file:
        file.truncate(roms.MOST + 1)
    with pytest.raises(RomError, match="larger than 64 MiB"):
        read_rom(large)
    with zipfile.ZipFile(tmp_path / "large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(large, "large.gb")
    with pytest.raises(RomError, match="larger than 64 MiB"):
        read_rom(tmp_path / "large.zip")


def test_a_damaged_member_of_a_zip_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "game.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("game.gb", bytes(range(256)) * 128)
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(RomError, match="not a zip file that can be read"):
        read_rom(path)


def test_consoles_with_the_same_image_share_the_cartridge_as_long_as_one_is_there() -> None:
    image = cartridge(title=b"SHARED")
    one, other = load_cartridge(image), load_cartridge(bytes(bytearray(image)))
    assert one is other
    assert load_cartridge(image, 0x2000) is not one
    gone = weakref.ref(one)
    del one, other
    assert gone() is None
