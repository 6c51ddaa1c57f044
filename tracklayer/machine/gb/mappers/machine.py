"""What every mapper is made of: its registers, and what it reaches of its machine."""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import struct, u1, u8, u16

from ..maps import Machine as MapsMachine


@struct
class MapperRegisters:
    """The registers of whichever mapper the cartridge has; what they mean is in its file."""

    ram_enable: u1
    mode: u1
    bank: u16
    upper: u8


class Machine(MapsMachine, Protocol):
    """What a mapper reaches of its machine."""

    mapper: MapperRegisters
