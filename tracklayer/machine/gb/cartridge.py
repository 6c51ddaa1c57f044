"""Cartridges: what a ROM file's header says, and what is wrong with it.

For:     reading headers, choosing the mapper, padding the ROM so that every bank exists.
Not for: banking (mappers/); files and archives on disk.
Source:  Pan Docs, "The Cartridge Header".
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import cached_property

from .mappers import MAPPERS, Mapper

HEADER_END = 0x150
BANK = 0x4000
LARGEST = 0x2000000
"""32 MiB: four times what any mapper reaches."""

RAM_SIZES = {0: 0, 1: 0x800, 2: 0x2000, 3: 0x8000, 4: 0x20000, 5: 0x10000}

UNSUPPORTED = {
    0x0B: "MMM01", 0x0C: "MMM01", 0x0D: "MMM01", 0x0F: "MBC3 with clock", 0x10: "MBC3 with clock", 0x11: "MBC3",
    0x12: "MBC3", 0x13: "MBC3", 0x20: "MBC6", 0x22: "MBC7 with sensor", 0xFC: "Pocket Camera", 0xFD: "Bandai TAMA5",
    0xFE: "HuC3", 0xFF: "HuC1",
}  # fmt: skip


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
    """Bytes of cartridge RAM, 0 or a power of two of at least 512."""
    battery: bool
    """Whether the RAM keeps its contents while the power is off."""
    color: bool
    """Whether the header says that the program knows the Game Boy Color."""
    warnings: tuple[str, ...] = field(default=())
    """What is odd about the file; it is played all the same."""

    @cached_property
    def buffer(self) -> ctypes.Array[ctypes.c_uint8]:
        """The ROM where generated code can read it. Nobody writes to it."""
        return (ctypes.c_uint8 * len(self.rom)).from_buffer_copy(self.rom)

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
    if len(data) < HEADER_END:
        warnings.append(f"the file has {len(data)} bytes and no whole header: taken as 32 KiB of ROM, the rest is FF")
        header = bytes(HEADER_END)
    else:
        header = data[:HEADER_END]
        _check_header(header, len(data), warnings)
    banks = 2
    while banks * BANK < len(data):
        banks *= 2
    rom = data + b"\xff" * (banks * BANK - len(data))
    kind = header[0x147]
    mapper = _mapper(kind, rom)
    ram_size = MAPPERS[mapper].own_ram or _ram_size(header, warnings)
    title = bytes(byte for byte in header[0x134:0x144] if 32 <= byte < 127).decode("ascii").strip()
    battery = kind in (0x03, 0x06, 0x09, 0x0F, 0x10, 0x13, 0x1B, 0x1E)
    return Cartridge(rom, mapper, title, ram_size, battery, header[0x143] >= 0x80, tuple(warnings))


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
    checksum = 0
    for byte in header[0x134:0x14D]:
        checksum = (checksum - byte - 1) & 0xFF
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
    name = UNSUPPORTED.get(kind, "unknown")
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
    has_ram = header[0x147] in (0x02, 0x03, 0x08, 0x09, 0x1A, 0x1B, 0x1D, 0x1E)
    if has_ram and size == 0:
        warnings.append("the header's cartridge type has RAM, its RAM size byte has none: 8 KiB are taken")
        return 0x2000
    return size
