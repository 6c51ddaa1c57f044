"""Cartridges: what a ROM file's header says, and what is wrong with it.

For:     reading headers, choosing the mapper, padding the ROM so that every bank exists.
Not for: banking (mappers/); files and archives on disk.
Source:  Pan Docs, "The Cartridge Header".
"""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from .mappers import MAPPERS, Mapper

HEADER_END = 0x150
BANK = 0x4000
LARGEST = 0x2000000
"""32 MiB: four times what any mapper reaches."""

RAM_SIZES = {0: 0, 1: 0x800, 2: 0x2000, 3: 0x8000, 4: 0x20000, 5: 0x10000}

BATTERY_TYPES = (0x03, 0x06, 0x09, 0x0D, 0x0F, 0x10, 0x13, 0x1B, 0x1E, 0x20, 0x22, 0xFC, 0xFD, 0xFE, 0xFF)
"""Cartridge types that keep what they hold while the power is off, be it by a battery."""

RAM_TYPES = (
    0x02, 0x03, 0x08, 0x09, 0x0C, 0x0D, 0x10, 0x12, 0x13, 0x1A, 0x1B, 0x1D, 0x1E, 0x20, 0xFC, 0xFE, 0xFF,
)  # fmt: skip
"""Cartridge types with RAM of the size that the header tells."""

MMM01_TYPES = (0x0B, 0x0C, 0x0D)
CAMERA = 0xFC
CAMERA_RAM = 0x20000
MENU = 0x8000
"""MMM01 begins in its last 32 KiB, and there is its header."""

OTHERS = {0x15: "MBC4", 0x16: "MBC4", 0x17: "MBC4", 0xBE: "Bung multicart", 0xC0: "Wisdom Tree"}
"""Names for numbers that lists of cartridge types have, and that nothing here plays."""


class CartridgeError(ValueError):
    """A file that cannot be played; the message says why."""


@dataclass(frozen=True)
class Cartridge:
    """A ROM, ready to be put into consoles. Consoles share it."""

    rom: bytes
    """Padded with FF to a power of two of 16 KiB banks, at least two."""
    mapper: int
    """Index into `MAPPERS`."""
    title: str
    ram_size: int
    """Bytes of cartridge RAM, 0 or a power of two."""
    battery: bool
    """Whether the RAM keeps its contents while the power is off."""
    color: bool
    """Whether the header says that the program knows the Game Boy Color."""
    header_at: int = 0
    """Where the header stands in the ROM."""
    warnings: tuple[str, ...] = field(default=())
    """What is odd about the file; it is played all the same."""

    @cached_property
    def buffer(self) -> ctypes.Array[ctypes.c_uint8]:
        """The ROM where generated code can read it. Nobody writes to it."""
        return (ctypes.c_uint8 * len(self.rom)).from_buffer_copy(self.rom)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the ROM, in hexadecimal."""
        return hashlib.sha256(self.rom).hexdigest()

    @property
    def header(self) -> bytes:
        """The first 0150 bytes of the part of the ROM that a console shows when it is switched on."""
        return self.rom[self.header_at : self.header_at + HEADER_END]

    @property
    def storage_size(self) -> int:
        """Bytes that the cartridge keeps besides its chip's registers: RAM, and behind it flash memory."""
        return self.ram_size + self.kind.flash

    @property
    def kind(self) -> Mapper:
        """The mapper's row."""
        return MAPPERS[self.mapper]


def load(data: bytes) -> Cartridge:
    """The cartridge that a ROM file's bytes describe.

    Errors: CartridgeError for an empty file, a text file, a file too large to be a ROM, an unsupported mapper.
            A file that is only odd (truncated, wrong checksum, wrong sizes) gets warnings instead.
    """
    if not data:
        raise CartridgeError("the file is empty")
    if len(data) > LARGEST:
        raise CartridgeError(f"the file has {len(data)} bytes; no Game Boy ROM is larger than {LARGEST}")
    if _is_text(data):
        raise CartridgeError("this is a text file, not a ROM")
    warnings: list[str] = []
    data = _menu_last(data, warnings)
    if len(data) < HEADER_END:
        warnings.append(f"the file has {len(data)} bytes and no whole header: taken as 32 KiB of ROM, the rest is FF")
        start, header = 0, bytes(HEADER_END)
    else:
        start = _header_at(data)
        header = data[start : start + HEADER_END]
        _check_header(header, len(data), warnings)
    banks = 2
    while banks * BANK < len(data):
        banks *= 2
    rom = data + b"\xff" * (banks * BANK - len(data))
    kind = header[0x147]
    mapper = _mapper(kind, rom)
    ram_size = MAPPERS[mapper].own_ram or _ram_size(header, warnings)
    if kind == CAMERA:
        ram_size = CAMERA_RAM
    title = bytes(byte for byte in header[0x134:0x144] if 32 <= byte < 127).decode("ascii").strip()
    return Cartridge(rom, mapper, title, ram_size, kind in BATTERY_TYPES, header[0x143] >= 0x80, start, tuple(warnings))


def _header_at(data: bytes) -> int:
    """Where the header is that counts: at the start, but for MMM01 in the last 32 KiB."""
    last = len(data) - MENU
    if last > 0 and last % BANK == 0 and data[last + 0x147] in MMM01_TYPES:
        header = data[last : last + HEADER_END]
        if _header_checksum(header) == header[0x14D]:
            return last
    return 0


def _menu_last(data: bytes, warnings: list[str]) -> bytes:
    """Some images of MMM01 cartridges have the menu first; the chip wants it last."""
    if len(data) > MENU and data[0x147] in MMM01_TYPES and _header_at(data) == 0 and len(data) % BANK == 0:
        warnings.append("the menu of this MMM01 cartridge stands first: it is put last, where the chip has it")
        return data[MENU:] + data[:MENU]
    return data


def _header_checksum(header: bytes) -> int:
    """What byte 014D should be."""
    checksum = 0
    for byte in header[0x134:0x14D]:
        checksum = (checksum - byte - 1) & 0xFF
    return checksum


def _is_text(data: bytes) -> bool:
    """Whether all of it reads as text: then it is no ROM."""
    start = data[:4096]
    return all(byte in b"\t\n\r\f\x1b" or byte >= 32 for byte in start) and b"\n" in start and _decodes(start)


def _decodes(start: bytes) -> bool:
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 3
    return True


def _check_header(header: bytes, size: int, warnings: list[str]) -> None:
    checksum = _header_checksum(header)
    if checksum != header[0x14D]:
        warnings.append(f"the header's checksum is {header[0x14D]:02X}, not {checksum:02X}: a Game Boy would not start")
    code = header[0x148]
    claimed = (2 * BANK) << code if code <= 8 else 0
    if not claimed:
        warnings.append(f"the header's ROM size byte {code:02X} means nothing: the file's {size} bytes are taken")
    elif claimed > size:
        warnings.append(f"the header claims {claimed} bytes of ROM, the file has {size}: what is missing reads as FF")
    elif claimed < size:
        warnings.append(f"the header claims {claimed} bytes of ROM, the file has {size}: the file is believed")


def _mapper(kind: int, rom: bytes) -> int:
    for index, mapper in enumerate(MAPPERS):
        if kind in mapper.types:
            if mapper.name == "MBC1" and _is_multicart(rom):
                return next(i for i, other in enumerate(MAPPERS) if other.name == "MBC1M")
            return index
    name = OTHERS.get(kind, "unknown")
    raise CartridgeError(f"the cartridge type is {kind:02X} ({name}): this mapper is not supported")


def _is_multicart(rom: bytes) -> bool:
    """MBC1M: 1 MiB, with another game's header logo at bank 10. Source: Pan Docs, "MBC1M"."""
    logo = slice(0x104, 0x134)
    return len(rom) == 0x100000 and any(rom[logo]) and rom[0x10 * BANK + 0x104 : 0x10 * BANK + 0x134] == rom[logo]


def _ram_size(header: bytes, warnings: list[str]) -> int:
    code = header[0x149]
    size = RAM_SIZES.get(code)
    if size is None:
        warnings.append(f"the header's RAM size byte {code:02X} means nothing: 32 KiB are taken")
        return 0x8000
    if header[0x147] in RAM_TYPES and size == 0:
        warnings.append("the header's cartridge type has RAM, its RAM size byte has none: 8 KiB are taken")
        return 0x2000
    return size
