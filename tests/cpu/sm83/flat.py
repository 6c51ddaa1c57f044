"""The bare processor on 64 KiB of plain memory, with a record of every M-cycle.

A typed struct, so that a compiled engine can be run on it too.
"""

from __future__ import annotations

from tracklayer.cpu.sm83 import Cpu
from tracklayer.lang import Array, array, struct, typed, u3, u8, u16, u32

READ, WRITE, FETCH, IDLE = range(4)
LOG = 64


@struct
class Flat:
    """A processor, memory, and the last M-cycles: what kind, which address, which byte."""

    cpu: Cpu
    ram: Array[u8] = array(0x10000)
    count: u32
    kinds: Array[u8] = array(LOG)
    addresses: Array[u16] = array(LOG)
    values: Array[u8] = array(LOG)
    asked: u8  # calls of attention()
    stops: u8
    breakpoints: u8

    @typed
    def log(self, kind: u8, address: u16, value: u8) -> None:
        at = self.count & LOG - 1
        self.kinds[at] = kind
        self.addresses[at] = address
        self.values[at] = value
        self.count += 1

    @typed
    def read(self, address: u16) -> u8:
        value = self.ram[address]
        self.log(READ, address, value)
        return value

    @typed
    def write(self, address: u16, value: u8) -> None:
        self.ram[address] = value
        self.log(WRITE, address, value)

    @typed
    def read_pair(self, address: u16) -> u16:
        low = self.read_step(address)
        return self.read(u16(address + 1)) << 8 | low

    @typed
    def write_pair(self, address: u16, value: u16) -> None:
        self.write(u16(address + 1), value >> 8)
        self.write(address, value & 0xFF)

    @typed
    def fetch(self, address: u16) -> u8:
        value = self.ram[address]
        self.log(FETCH, address, value)
        return value

    @typed
    def idle(self, address: u16) -> None:
        self.log(IDLE, address, 0)

    @typed
    def step(self, address: u16) -> None:
        self.idle(address)

    @typed
    def read_step(self, address: u16) -> u8:
        return self.read(address)

    @typed
    def pending(self) -> u8:
        return self.ram[0xFFFF] & self.ram[0xFF0F] & 0x1F

    @typed
    def requested(self) -> u8:
        return self.pending()

    @typed
    def acknowledge(self, bit: u3) -> None:
        self.ram[0xFF0F] = self.ram[0xFF0F] & (0xFF ^ 1 << bit)

    @typed
    def attention(self) -> None:
        self.asked += 1

    @typed
    def stop(self) -> None:
        self.stops += 1

    @typed
    def breakpoint(self) -> None:
        self.breakpoints += 1

    def trace(self) -> list[tuple[str, int, int]]:
        """What happened, M-cycle by M-cycle: `("r", address, value)`, `("w", ...)`, `("-", 0, 0)` if nothing moved."""
        names = {READ: "r", FETCH: "r", WRITE: "w", IDLE: "-"}
        return [
            ("-", 0, 0) if self.kinds[i] == IDLE else (names[self.kinds[i]], self.addresses[i], self.values[i])
            for i in range(self.count)
        ]
