"""Battery saves: what a cartridge keeps without power, as a `.sav` file.

For:     turning RAM, EEPROM, flash and clock into the bytes that other programs write too, and back; when to write.
Not for: save states (container.py); which addresses the memory has (machine/gb/mappers).
Source:  "MBC3 RTC save format" (bgb.bircd.org/rtcsave.html) for the 44 and 48 bytes behind the RAM of an MBC3;
         BESS, "HUC3 block", for 17 bytes of HuC-3.

A file is the cartridge's memory, and behind it, where there is a clock, a trailer that ends with the time of day at
which it was written. MBC3: 48 bytes, 44 are read too. HuC-3: 256 half bytes in 128, and 8; 17 are read too. TAMA5: four
pages of 16 half bytes, and 8.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from typing import Any

from tracklayer.machine.gb import build, mappers
from tracklayer.machine.gb.cartridge import Cartridge
from tracklayer.machine.gb.mappers.state import CLOCK_RATE_BITS

from .errors import SaveError
from .files import write_atomically

MBC3_TRAILER = struct.Struct("<10IQ")
MBC3_OLD = struct.Struct("<10II")
HUC3_TRAILER = struct.Struct("<128sQ")
HUC3_SHORT = struct.Struct("<QHHHHB")
TAMA5_TRAILER = struct.Struct("<32sQ")

PACKED_MBC2 = 256
"""Some programs write MBC2's half bytes two to a byte, the lower address in the lower half."""

SECOND = 1 << CLOCK_RATE_BITS
SETTLED = SECOND
"""T-cycles for which memory must have stayed the same before it is written by itself."""
PAUSE = 2.0
"""Seconds between two writes that nobody asked for."""
LONGEST = 15.0
"""Seconds after which memory is written even if it never settles."""


def trailer_sizes(cartridge: Cartridge) -> Sequence[int]:
    """How many bytes may stand behind the memory: the first is what is written here."""
    return {
        "MBC3 with clock": (MBC3_TRAILER.size, MBC3_OLD.size),
        "HuC-3": (HUC3_TRAILER.size, HUC3_SHORT.size),
        "TAMA5": (TAMA5_TRAILER.size,),
    }.get(cartridge.kind.name, ())


# ---------------------------------------------------------------------- what a file holds


def encode(gb: Any, now: float | None = None) -> bytes:
    """A machine's cartridge as a save file. `now`: the time of day, where it is not to be asked of the system."""
    mappers.catch_up(gb)
    memory = bytes(build.cart_ram(gb).raw)
    stamp = int(time.time() if now is None else now)
    chip = gb.mapper
    match gb.__dict__["cartridge"].kind.name:
        case "MBC3 with clock":
            return memory + MBC3_TRAILER.pack(*mbc3_registers(chip.mbc3), *chip.mbc3.latched, stamp)
        case "HuC-3":
            return memory + HUC3_TRAILER.pack(_packed(chip.huc3.memory), stamp)
        case "TAMA5":
            pages = bytearray(_packed(chip.tama5.pages))
            for page in range(4):
                pages[8 * page + 6] = pages[8 * page + 6] & 0x0F | chip.tama5.mode << 4
            return memory + TAMA5_TRAILER.pack(bytes(pages), stamp)
    return memory


def decode(gb: Any, data: bytes) -> None:
    """Give a machine's cartridge what a save file holds. The clock goes on from there.

    Where the clock follows the world's time, what went by since the file was written is added.
    Errors: SaveError where the file cannot be of this cartridge; the cartridge is as it was then.
    """
    cartridge: Cartridge = gb.__dict__["cartridge"]
    memory, trailer = _split(cartridge, data)
    ram = build.cart_ram(gb)
    mappers.catch_up(gb)
    ram[: len(memory)] = memory
    if trailer:
        _decode_clock(gb, trailer)


def _split(cartridge: Cartridge, data: bytes) -> tuple[bytes, bytes]:
    """The cartridge's memory and the clock's trailer."""
    size = cartridge.storage_size
    if cartridge.kind.name == "MBC2" and len(data) == PACKED_MBC2:
        return bytes(0xF0 | half for byte in data for half in (byte & 15, byte >> 4)), b""
    for trailer in (*trailer_sizes(cartridge), 0):
        body = len(data) - trailer
        whole = body == size
        padded = body > size and body % 0x2000 == 0
        shorter = 0 < body < size and (body % 0x800 == 0 or body == size - cartridge.kind.flash)
        if whole or padded or shorter:
            memory = data[: min(body, size)]
            if cartridge.kind.name == "MBC2":
                memory = bytes(0xF0 | byte for byte in memory)
            return memory, data[body:]
    clock = f", or {size + trailer_sizes(cartridge)[0]:,} with its clock" if trailer_sizes(cartridge) else ""
    raise SaveError(f"the save file has {len(data):,} bytes; this cartridge keeps {size:,}{clock}")


def _decode_clock(gb: Any, trailer: bytes) -> None:
    chip = gb.mapper
    name = gb.__dict__["cartridge"].kind.name
    if name == "MBC3 with clock":
        *numbers, stamp = (MBC3_TRAILER if len(trailer) == MBC3_TRAILER.size else MBC3_OLD).unpack(trailer)
        set_mbc3_registers(chip.mbc3, numbers)
    elif len(trailer) == HUC3_TRAILER.size:
        packed, stamp = HUC3_TRAILER.unpack(trailer)
        _unpack(chip.huc3.memory, packed)
    elif len(trailer) == HUC3_SHORT.size:
        stamp = set_huc3_short(chip.huc3, trailer)
    else:
        packed, stamp = TAMA5_TRAILER.unpack(trailer)
        _unpack(chip.tama5.pages, packed)
        chip.tama5.mode = packed[6] >> 4
    chip.seconds.fraction = 0
    chip.seconds.synced = world_time() if gb.host.wall else gb.dots()
    if gb.host.wall:
        chip.seconds.synced = max(0, min(stamp << CLOCK_RATE_BITS, chip.seconds.synced))
        mappers.catch_up(gb)


def world_time() -> int:
    """The time of day as clocks in cartridges count it when they follow the world's."""
    return time.time_ns() * SECOND // 1_000_000_000


def mbc3_registers(clock: Any) -> tuple[int, ...]:
    """The counters of an MBC3 as its registers 08 to 0C show them."""
    last = clock.carry << 7 | clock.halted << 6 | clock.days >> 8
    return clock.seconds, clock.minutes, clock.hours, clock.days & 0xFF, last


def set_mbc3_registers(clock: Any, numbers: Sequence[int]) -> None:
    """Set the counters of an MBC3 from five registers, and what was latched from five more."""
    clock.seconds, clock.minutes, clock.hours = numbers[0] & 0x3F, numbers[1] & 0x3F, numbers[2] & 0x1F
    clock.days = numbers[3] & 0xFF | (numbers[4] & 1) << 8
    clock.halted, clock.carry = numbers[4] >> 6 & 1, numbers[4] >> 7 & 1
    for index, (number, bits) in enumerate(zip(numbers[5:10], (0x3F, 0x3F, 0x1F, 0xFF, 0xC1), strict=True)):
        clock.latched[index] = number & bits


def set_huc3_short(chip: Any, trailer: bytes) -> int:
    """Set time and event of a HuC-3 from 17 bytes. Returns: the time of day."""
    stamp, minute, day, event_minute, event_day, _ = HUC3_SHORT.unpack(trailer)
    for first, number, count in ((0x10, minute, 3), (0x13, day, 4), (0x58, event_minute, 3), (0x5B, event_day, 3)):
        for index in range(count):
            chip.memory[first + index] = number >> 4 * index & 15
    return int(stamp)


def huc3_short(chip: Any, stamp: int) -> bytes:
    """Time and event of a HuC-3 in 17 bytes."""
    numbers = [
        sum(chip.memory[first + index] << 4 * index for index in range(count))
        for first, count in ((0x10, 3), (0x13, 4), (0x58, 3), (0x5B, 3))
    ]
    return HUC3_SHORT.pack(stamp, *(number & 0xFFFF for number in numbers), 0)


def _packed(halves: Any) -> bytes:
    return bytes(halves[at] & 15 | (halves[at + 1] & 15) << 4 for at in range(0, len(halves), 2))


def _unpack(halves: Any, packed: bytes) -> None:
    for at, byte in enumerate(packed):
        halves[2 * at], halves[2 * at + 1] = byte & 15, byte >> 4


# ---------------------------------------------------------------------- when it is written


class Battery:
    """The save file of one console. Knows the machine, not the `GameBoy` around it."""

    def __init__(self, gb: Any, path: str) -> None:
        """Gives the cartridge what the file holds, if there is one. Errors: SaveError, OSError."""
        self._gb = gb
        self.path = path
        self._look_at = 0
        self._seen = b""
        self._written_at = time.monotonic()
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            pass
        else:
            try:
                decode(gb, data)
            except SaveError as error:
                raise SaveError(f"{path}: {error}") from None
        self._written = self._memory()
        self._clock = trailer_sizes(gb.__dict__["cartridge"])

    def _memory(self) -> bytes:
        return bytes(build.cart_ram(self._gb).raw)

    def flush(self) -> None:
        """Write the file if anything changed since it was written or read last. Errors: OSError."""
        memory = self._memory()
        if memory != self._written or self._clock:
            write_atomically(self.path, encode(self._gb))
            self._written = memory
            self._written_at = time.monotonic()

    def ran(self, cycles: int) -> None:
        """The console ran up to a time. What it has changed in memory is written once it lets it rest."""
        if cycles < self._look_at:
            return
        self._look_at = cycles + SETTLED
        memory = self._memory()
        if memory == self._written:
            return
        waited = time.monotonic() - self._written_at
        if (memory == self._seen and waited >= PAUSE) or waited >= LONGEST:
            self.flush()
        self._seen = memory

    def forget_time(self) -> None:
        """Another state was loaded: the console may be at an earlier time."""
        self._look_at = 0


def beside(rom: str | os.PathLike[str]) -> str:
    """Where the save file of a ROM file stands: beside it, with the ending `.sav`."""
    file, _, member = os.fspath(rom).partition("::")
    folder, name = os.path.split(file)
    if member:
        name = member.rpartition("/")[2]
    return os.path.join(folder, os.path.splitext(name)[0] + ".sav")
