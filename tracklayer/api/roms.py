"""Cartridge images: reading them, and what their header says.

For:     bytes, files, members of zip files, the demo cartridge; everything that the header at 0100-014F says.
Not for: whether it can be run, and what it does then (machine/gb/cartridge.py).
Source:  Pan Docs, "The Cartridge Header".
"""

from __future__ import annotations

import os
import weakref
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tracklayer.machine.gb.boot_rom import SIZES
from tracklayer.machine.gb.cartridge import Cartridge, CartridgeError, load

from .errors import RomError

HEADER_END = 0x150
BANK = 0x4000
SMALLEST = 2 * BANK
MOST = 64 << 20
"""Bytes: eight times the largest cartridge that was made. What is larger is no cartridge, and may have no end."""
DEMO = "demo"
_PACKAGE = Path(__file__).resolve().parent.parent
DEMO_SOURCES = (
    _PACKAGE / "isa", _PACKAGE / "cpu", *(_PACKAGE / DEMO / name for name in ("__init__.py", "demo.asm", "art.asm")),
)  # fmt: skip
"""What the demo depends on."""

# Pan Docs, "0147 - Cartridge type".
TYPES = {
    0x00: "ROM ONLY", 0x01: "MBC1", 0x02: "MBC1+RAM", 0x03: "MBC1+RAM+BATTERY", 0x05: "MBC2", 0x06: "MBC2+BATTERY",
    0x08: "ROM+RAM", 0x09: "ROM+RAM+BATTERY", 0x0B: "MMM01", 0x0C: "MMM01+RAM", 0x0D: "MMM01+RAM+BATTERY",
    0x0F: "MBC3+TIMER+BATTERY", 0x10: "MBC3+TIMER+RAM+BATTERY", 0x11: "MBC3", 0x12: "MBC3+RAM",
    0x13: "MBC3+RAM+BATTERY", 0x19: "MBC5", 0x1A: "MBC5+RAM", 0x1B: "MBC5+RAM+BATTERY", 0x1C: "MBC5+RUMBLE",
    0x1D: "MBC5+RUMBLE+RAM", 0x1E: "MBC5+RUMBLE+RAM+BATTERY", 0x20: "MBC6",
    0x22: "MBC7+SENSOR+RUMBLE+RAM+BATTERY", 0xFC: "POCKET CAMERA", 0xFD: "BANDAI TAMA5", 0xFE: "HuC3",
    0xFF: "HuC1+RAM+BATTERY",
}  # fmt: skip

# Pan Docs, "0149 - RAM size".
RAM_SIZES = {0: 0, 1: 0x800, 2: 0x2000, 3: 0x8000, 4: 0x20000, 5: 0x10000}


class Header(NamedTuple):
    """What a cartridge says of itself at 0100-014F."""

    title: str
    type: int
    type_name: str
    rom_size: int
    """Bytes by the size code; 0 where the code means nothing."""
    ram_size: int
    color: str
    """"no", "enhanced" or "only": whether it uses, or needs, a Game Boy Color."""
    super: bool
    version: int
    checksum: int
    checksum_right: bool
    """Whether the sum over 0134-014C fits; the console's own start-up program refuses the cartridge if not."""
    global_checksum: int
    global_checksum_right: bool
    """Whether the sum over all bytes fits; nothing ever asks."""


def read_header(image: bytes) -> Header:
    """The header of an image. Errors: RomError where there is none."""
    if len(image) < HEADER_END:
        raise RomError(f"there is no header: it ends at byte {HEADER_END}, and there are {len(image)} bytes")
    color = {0x80: "enhanced", 0xC0: "only"}.get(image[0x143] & 0xC0 if image[0x143] & 0x80 else 0, "no")
    title = image[0x134 : 0x143 if color != "no" else 0x144].split(b"\0", 1)[0]
    total = 0
    for byte in image[0x134:0x14D]:
        total = (total - byte - 1) & 0xFF
    stated = int.from_bytes(image[0x14E:0x150], "big")
    return Header(
        title="".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in title).rstrip(),
        type=image[0x147],
        type_name=TYPES.get(image[0x147], "unknown"),
        rom_size=SMALLEST << image[0x148] if image[0x148] <= 8 else 0,
        ram_size=RAM_SIZES.get(image[0x149], 0),
        color=color,
        super=image[0x146] == 0x03,
        version=image[0x14C],
        checksum=image[0x14D],
        checksum_right=total == image[0x14D],
        global_checksum=stated,
        global_checksum_right=(sum(image) - image[0x14E] - image[0x14F]) & 0xFFFF == stated,
    )


def is_demo(source: str) -> bool:
    """Whether a ROM's name means the demo cartridge."""
    return source == DEMO and not Path(source).exists()


def demo_image() -> bytes:
    """The demo cartridge, from the disk cache: to assemble it takes a third of a warm start."""
    from tracklayer.compiler import cache

    found = cache.find_cached(DEMO, DEMO_SOURCES)
    if found is None:
        from tracklayer.demo import build

        found = build()
        cache.keep(DEMO, DEMO_SOURCES, found)
    return found


def demo_symbols() -> str:
    """The demo's symbol file."""
    from tracklayer.demo import symbol_file

    return symbol_file()


def read_rom(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> tuple[str, bytes]:
    """The name and the bytes of a cartridge image.

    `source` is the bytes themselves, a path, `file.zip::member`, a zip file with a single .gb or .gbc in it, or "demo".
    Errors: RomError where there is nothing to read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return "the image", bytes(source)
    text = os.fspath(source)
    if is_demo(text):
        return DEMO, demo_image()
    file, _, member = text.partition("::")
    try:
        if member or file.lower().endswith(".zip"):
            image = _from_zip(file, member)
        else:
            with open(text, "rb") as opened:
                image = opened.read(MOST + 1)
    except OSError as error:
        raise RomError(f"cannot read {text}: {error.strerror or error}") from None
    if len(image) > MOST:
        raise RomError(f"{text} is no cartridge: it is larger than {MOST >> 20} MiB")
    return text, image


def _from_zip(file: str, member: str) -> bytes:
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(file) as archive:
            if not member:
                inside = [name for name in archive.namelist() if name.lower().endswith((".gb", ".gbc"))]
                if len(inside) != 1:
                    raise RomError(f"{file} holds {len(inside)} cartridges; say which: {file}::NAME")
                member = inside[0]
            with archive.open(member) as opened:
                return opened.read(MOST + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
        raise RomError(f"{file} is not a zip file that can be read: {error}") from None
    except KeyError:
        raise RomError(f"{file} holds no {member}") from None


class _Loaded:
    """The cartridges in use, by image and RAM: consoles with the same ROM share it, and what is translated from it."""

    def __init__(self) -> None:
        self.cartridges: weakref.WeakValueDictionary[tuple[bytes, int | None], Cartridge] = (
            weakref.WeakValueDictionary()
        )


_LOADED = _Loaded()


def load_cartridge(image: bytes, ram: int | None = None) -> Cartridge:
    """The cartridge that an image makes, with `ram` bytes of cartridge RAM where the header is not to decide.

    It is the same object as long as anybody uses it. Errors: RomError where it cannot be run.
    """
    found = _LOADED.cartridges.get((image, ram))
    if found is None:
        try:
            found = load(image)
        except CartridgeError as error:
            raise RomError(str(error)) from None
        if ram is not None:
            found = replace(found, ram_size=ram)
        _LOADED.cartridges[image, ram] = found
    return found


def inspect(image: bytes) -> list[str]:
    """What is odd about an image that runs all the same. Errors: RomError where it cannot be run."""
    return list(load_cartridge(image).warnings)


def read_boot_rom(source: str | os.PathLike[str] | bytes, color: bool) -> bytes:
    """A boot ROM. Errors: RomError where there is none, or it is not as long as such a console's."""
    if isinstance(source, bytes):
        name, image = "the boot ROM", source
    else:
        name = os.fspath(source)
        try:
            image = Path(source).read_bytes()
        except OSError as error:
            raise RomError(f"{name}: {error.strerror or error}") from None
    if len(image) != SIZES[color]:
        kind = "Game Boy Color" if color else "monochrome Game Boy"
        raise RomError(f"{name} has {len(image):,} bytes; the boot ROM of a {kind} has {SIZES[color]:,}")
    return image
