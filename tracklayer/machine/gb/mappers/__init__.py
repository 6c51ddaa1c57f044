"""The chips in cartridges that select banks, one file each, and the table of them.

For:     what a write to ROM addresses does; cartridge RAM that is not plain RAM.
Not for: parsing headers (cartridge.py); placing banks in the address space (maps.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import mbc1, mbc2, mbc5, rom_only
from .machine import Machine, MapperRegisters


@dataclass(frozen=True)
class Mapper:
    """One kind of mapper.

    types:     values of the header's cartridge type byte, 0147.
    write:     typed function `write(machine, address, value)` for 0000-7FFF.
    write_ram: the same for A000-BFFF where that is no plain RAM; None where it is.
    first_high: the bank at 4000 after power-on.
    """

    name: str
    types: tuple[int, ...]
    write: Callable[[Any, int, int], None]
    write_ram: Callable[[Any, int, int], None] | None = None
    first_high: int = 1
    ram_always_open: bool = False
    own_ram: int = 0


MAPPERS = (
    #      name           types                       0000-7FFF               A000-BFFF
    Mapper("ROM only",    (0x00, 0x08, 0x09),         rom_only.write,         ram_always_open=True),
    Mapper("MBC1",        (0x01, 0x02, 0x03),         mbc1.write),
    Mapper("MBC1M",       (),                         mbc1.write_multicart),
    Mapper("MBC2",        (0x05, 0x06),               mbc2.write,             mbc2.write_ram, own_ram=512),
    Mapper("MBC5",        (0x19, 0x1A, 0x1B),         mbc5.write),
    Mapper("MBC5 rumble", (0x1C, 0x1D, 0x1E),         mbc5.write_rumble),
)  # fmt: skip

__all__ = ["MAPPERS", "Machine", "Mapper", "MapperRegisters"]
