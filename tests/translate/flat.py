"""An SM83 on 64 KiB of plain memory: the smallest console, for testing and timing engines by themselves."""

from __future__ import annotations

from typing import Any

from tracklayer.api.guests import Sm83Guest
from tracklayer.cpu.sm83.control import between
from tracklayer.cpu.sm83.state import Cpu
from tracklayer.isa.engine import EngineHost
from tracklayer.lang import Array, Host, Ptr, array, null, pointer, struct, typed, u1, u3, u8, u16
from tracklayer.machine.common.clock import STOP_LIMIT, Clock


@struct
class FlatHost:
    ports: Host
    engine: EngineHost
    fetch_map: Array[Ptr[u8]] = array(256)
    write_map: Array[Ptr[u8]] = array(256)
    watched: Array[u16] = array(256)
    written_count: u8
    written: Array[u16] = array(16)


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
        page = self.host.write_map[address >> 8]
        if page:
            page[address & 0xFF] = value
        else:
            self.write_watched(address, value)

    @typed(cold=True)
    def write_watched(self, address: u16, value: u8) -> None:
        """A write to a page that translated code was made from."""
        self.ram[address] = value
        line = 1 << ((address >> 4) & 15)
        if self.host.watched[address >> 8] & line:
            self.host.watched[address >> 8] &= ~line
            if self.host.written_count < 16:
                self.host.written[self.host.written_count & 15] = address
            self.host.written_count = min(16, self.host.written_count + 1)
            self.clock.attention()

    @typed
    def fetch(self, address: u16) -> u8:
        self.clock.left -= 4
        return self.ram[address]

    @typed
    def idle(self, address: u16) -> None:
        self.clock.left -= 4

    @typed
    def step(self, address: u16) -> None:
        self.idle(address)

    @typed
    def read_step(self, address: u16) -> u8:
        return self.read(address)

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

    @staticmethod
    @typed
    def code_memory(context: Any, address: u16) -> Any:
        return context.host.fetch_map[address >> 8]

    @staticmethod
    @typed
    def window(address: u16) -> u8:
        return address >> 14

    @staticmethod
    @typed
    def hooked(context: Any, address: u16) -> u1:
        return 0

    @staticmethod
    @typed
    def watch(context: Any, first: u16, last: u16) -> None:
        line: u16 = first >> 4
        while line <= last >> 4:
            context.host.watched[line >> 4 & 0xFF] |= 1 << (line & 15)
            context.host.write_map[line >> 4 & 0xFF] = null(u8)
            line = u16(line + 1)

    @staticmethod
    @typed
    def written_lines(context: Any) -> u8:
        return context.host.written_count

    @staticmethod
    @typed
    def written_line(context: Any, index: u8) -> u16:
        return context.host.written[index & 15]

    @staticmethod
    @typed
    def forget_written(context: Any) -> None:
        context.host.written_count = 0

    @staticmethod
    def rom_of(console: Flat) -> tuple[int, int]:
        return 8, 1

    @staticmethod
    def has_hooks(console: Flat) -> bool:
        return False


def new_flat() -> Flat:
    """A console with all its memory mapped for fetching."""
    console = Flat()
    for page in range(256):
        console.host.fetch_map[page] = pointer(console.ram, page << 8)
        console.host.write_map[page] = pointer(console.ram, page << 8)
    return console
