"""Guest code by place, where a place is bank << 16 | address.

For:     the bytes at a place of a console; where a byte of the ROM stands.
Not for: running anything.
"""

from __future__ import annotations

from tracklayer.machine.gb import hooks

from ..disassembly import LONGEST
from ..gameboy import GameBoy
from ..roms import BANK


def rom_place(offset: int) -> int:
    """The place of a byte of the ROM: bank 0 at 0000, others at 4000."""
    bank = offset // BANK
    return bank << 16 | (BANK if bank else 0) | offset % BANK


class GuestMemory:
    """The code of a console, as it is now."""

    def __init__(self, gb: GameBoy) -> None:
        self._gb = gb
        self._rom = bytes(gb._cartridge.rom)

    def fetch(self, place: int) -> bytes:
        """The bytes at a place, as many as the longest instruction has; none where another bank stands there now."""
        bank, address = place >> 16, place & 0xFFFF
        if address < 2 * BANK:
            offset = bank * BANK + address % BANK
            return self._rom[offset : offset + LONGEST]
        if hooks.bank_at(self._gb._gb, address) != bank or 0xFE00 <= address < 0xFF80:
            return b""
        return bytes(self._gb.memory[at] for at in range(address, min(address + LONGEST, 0x10000)))
