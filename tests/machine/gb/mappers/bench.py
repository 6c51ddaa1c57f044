"""Consoles for the tests of mappers: every bank of the ROM says which it is, and the bus is used by hand."""

from __future__ import annotations

from typing import Any

from tracklayer.machine.gb import cartridge
from tracklayer.machine.gb.build import new_console

BANK = 0x4000
MARK = 0x3FF0
"""Where each 16 KiB bank holds its number; 2000 lower it holds it again, with bit 15 set."""

SECOND = 1 << 22


def image(type_code: int, banks: int = 4, ram_code: int = 0, *, header_bank: int = 0) -> bytes:
    """A ROM of so many banks with a right header."""
    rom = bytearray(banks * BANK)
    for bank in range(banks):
        rom[bank * BANK + MARK : bank * BANK + MARK + 2] = bank.to_bytes(2, "little")
        rom[bank * BANK + MARK - 0x2000 : bank * BANK + MARK - 0x1FFE] = (bank | 0x8000).to_bytes(2, "little")
    at = header_bank * BANK
    rom[at + 0x100 : at + 0x102] = b"\x18\xfe"
    rom[at + 0x147 : at + 0x14A] = bytes((type_code, max(0, banks.bit_length() - 2), ram_code))
    total = 0
    for byte in rom[at + 0x134 : at + 0x14D]:
        total = (total - byte - 1) & 0xFF
    rom[at + 0x14D] = total
    return bytes(rom)


class Bench:
    """A console with the CPU's bus in the hands of a test. Time passes only where `wait` lets it."""

    def __init__(self, type_code: int, banks: int = 4, ram_code: int = 0, **options: int) -> None:
        self.gb: Any = new_console(cartridge.load(image(type_code, banks, ram_code, **options)))

    def read(self, address: int) -> int:
        value = int(self.gb.read(address))
        self.gb.clock.left += 4
        return value

    def write(self, address: int, value: int) -> None:
        self.gb.write(address, value)
        self.gb.clock.left += 4

    def wait(self, cycles: int) -> None:
        self.gb.clock.deadline += cycles

    @property
    def low(self) -> int:
        """The bank at 0000."""
        return self.read(MARK) | self.read(MARK + 1) << 8

    @property
    def high(self) -> int:
        """The bank at 4000."""
        return self.read(BANK + MARK) | self.read(BANK + MARK + 1) << 8

    @property
    def ram(self) -> int:
        return self.read(0xA000)
