"""An SM83 on 64 KiB of plain memory: the smallest console, for testing and timing engines by themselves."""

from __future__ import annotations

from typing import Any

from tracklayer.api.guests import Sm83Guest
from tracklayer.cpu.sm83.control import between
from tracklayer.cpu.sm83.state import Cpu
from tracklayer.isa.engine import EngineHost
from tracklayer.lang import Array, Host, Ptr, array, pointer, struct, typed, u1, u3, u8, u16
from tracklayer.machine.common.clock import STOP_LIMIT, Clock


@struct
class FlatHost:
    ports: Host
    engine: EngineHost
    fetch_map: Array[Ptr[u8]] = array(256)


@struct
class Flat:
    host: FlatHost
    cpu: Cpu
    clock: Clock
    ie: u8
    requests: u8
    ram: Array[u8] = array(0x10000)

    @typed
    def read(self, address: u16) -> u8:
        self.clock.left -= 4
        return self.ram[address]

    @typed
    def write(self, address: u16, value: u8) -> None:
        self.clock.left -= 4
        self.ram[address] = value

    @typed
    def fetch(self, address: u16) -> u8:
        self.clock.left -= 4
        return self.ram[address]

    @typed
    def idle(self, address: u16) -> None:
        self.clock.left -= 4

    @typed
    def pending(self) -> u8:
        return self.ie & self.requests & 0x1F

    @typed
    def acknowledge(self, bit: u3) -> None:
        self.requests &= ~(1 << bit)

    @typed
    def attention(self) -> None:
        self.clock.attention()

    @typed
    def stop(self) -> None:
        pass

    @typed
    def breakpoint(self) -> None:
        pass

    @typed(outline=True)
    def boundary(self) -> None:
        if self.clock.now() >= self.clock.limit:
            self.clock.stop = STOP_LIMIT
        else:
            self.clock.retarget()
            if not between(self.cpu, self):
                self.clock.stop = STOP_LIMIT


class FlatGuest(Sm83Guest):
    name = "flat"
    context = Flat

    @staticmethod
    @typed
    def hook(context: Any) -> u1:
        return 0


def new_flat() -> Flat:
    """A console with all its memory mapped for fetching."""
    console = Flat()
    for page in range(256):
        console.host.fetch_map[page] = pointer(console.ram, page << 8)
    return console
