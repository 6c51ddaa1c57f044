"""BESS: a console's state in the form that other Game Boy emulators read, and theirs read here.

For:     `append`, which adds BESS to a saved state; `read`, which makes a console's state from that of any emulator.
Not for: exactness: what BESS does not hold (the dot in the line, the phases of timers) is as in a new console.
Source:  "BESS – Best Effort Save State", BESS.md of SameBoy, version 1.1.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any, NamedTuple

from tracklayer.machine.gb import build, speed, timer
from tracklayer.machine.gb.console import HALTED
from tracklayer.machine.gb.model import MODELS

from . import battery
from .container import VERSION
from .errors import StateError
from .memory import Memory
from .registers import Registers

FOOTER = struct.Struct("<I4s")
HEADER = struct.Struct("<4sI")
CORE = struct.Struct("<HH4sHHHHHHBBBx128s" + "II" * 7)
FAMILIES = {"dmg": b"GD  ", "mgb": b"GM  ", "sgb": b"SN  ", "sgb2": b"S2  ", "cgb": b"CC  ", "agb": b"CA  "}
OAM_SIZE, HRAM_SIZE, PALETTES = 0xA0, 0x7F, 0x40

MBC_WRITES = {
    "MBC1": (0x0000, 0x2000, 0x4000, 0x6000), "MBC1M": (0x0000, 0x2000, 0x4000, 0x6000), "MBC2": (0x0000, 0x2100),
    "MBC3": (0x0000, 0x2000, 0x4000), "MBC3 with clock": (0x0000, 0x2000, 0x4000),
    "MBC5": (0x0000, 0x2000, 0x3000, 0x4000), "MBC5 with rumble": (0x0000, 0x2000, 0x3000, 0x4000),
    "HuC1": (0x0000, 0x2000, 0x4000),
}  # fmt: skip
"""Where the registers of a mapper are written. Of others only the memory is kept."""

PLAIN = (0x00, 0x01, 0x06, 0x05, 0x07, 0x42, 0x43, 0x45, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x41)
COLOR = (0x4F, 0x70, 0x51, 0x52, 0x53, 0x54, 0x56, 0x68, 0x6A, 0x72, 0x73, 0x74, 0x75)
"""Registers that are written one after the other as they were; sound, LCDC and those that start something are not among
them."""


class Block(NamedTuple):
    name: bytes
    data: bytes


def is_bess(data: bytes) -> bool:
    """Whether these bytes end as BESS does."""
    return len(data) >= FOOTER.size and data[-4:] == b"BESS"


# ---------------------------------------------------------------------- writing


def append(state: bytes, gb: Any, model: str) -> bytes:
    """A saved state with BESS behind it. Both are read from the same bytes."""
    gb = build.copy_console(gb)  # looking at registers brings devices up to date, which shows in a state
    gb.rebuild()
    made = bytearray(state)
    places: list[int] = []
    color = bool(gb.color.hardware)
    wram, vram = bytes(gb.wram), bytes(gb.vram)
    palettes = struct.pack("<64H", *gb.color.palettes) if color else b""
    buffers = (
        wram if color else wram[:0x2000], vram if color else vram[:0x2000], bytes(build.cart_ram(gb).raw),
        bytes(gb.oam), bytes(gb.hram)[:HRAM_SIZE], palettes[:PALETTES], palettes[PALETTES:],
    )  # fmt: skip
    for buffer in buffers:
        places += (len(buffer), len(made))
        made += buffer
    start = len(made)
    cartridge = gb.__dict__["cartridge"]
    blocks = [
        Block(b"NAME", f"Tracklayer, state version {VERSION}".encode()),
        Block(b"INFO", cartridge.header[0x134:0x144] + cartridge.header[0x14E:0x150]),
        Block(b"CORE", _core(gb, model, places)),
    ]
    writes = _mbc_values(gb)
    if writes:
        blocks.append(Block(b"MBC ", b"".join(struct.pack("<HB", *write) for write in writes)))
    if cartridge.kind.name == "MBC3 with clock":
        blocks.append(Block(b"RTC ", battery.encode(gb)[-battery.MBC3_TRAILER.size :]))
    for name, data in (*blocks, Block(b"END ", b"")):
        made += HEADER.pack(name, len(data)) + data
    return bytes(made + FOOTER.pack(start, b"BESS"))


def _core(gb: Any, model: str, places: list[int]) -> bytes:
    cpu, values = Registers(gb.cpu), _register_values(gb)
    execution = 2 if gb.cpu.stopped else 1 if gb.cpu.halted else 0
    family = FAMILIES.get(model.removesuffix("-compat").split("-")[0], b"G   ")
    return CORE.pack(
        1, 1, family, cpu.pc, cpu.af, cpu.bc, cpu.de, cpu.hl, cpu.sp, int(gb.cpu.ime), gb.hram[HRAM_SIZE], execution,
        values, *places,
    )  # fmt: skip


def _register_values(gb: Any) -> bytes:
    """FF00 to FF7F as they were written."""
    memory = Memory(gb)
    values = bytearray(memory[0xFF00 + number] for number in range(128))
    sound = bytes(gb.apu.registers)
    values[0x10:0x26] = sound[:0x16]
    values[0x30:0x40] = bytes(gb.apu.wave.ram)
    values[0x0F] = gb.interrupts.flags
    values[0x4C] = 0x80 if gb.color.functions else 0x04
    values[0x50] = 1
    return bytes(values)


def _mbc_values(gb: Any) -> list[tuple[int, int]]:
    chip = gb.mapper
    found = []
    for address in MBC_WRITES.get(gb.__dict__["cartridge"].kind.name, ()):
        value = {0: 10 * chip.ram_enable, 2: chip.bank & 0xFF, 3: chip.bank >> 8, 4: chip.upper, 6: chip.mode}
        found.append((address, value[address >> 12]))
    return found


# ---------------------------------------------------------------------- reading


def read(gb: Any, model: str, data: bytes) -> bytes:
    """The state, as `build.restore` takes it, of a console like `gb` that goes on where another emulator was.

    Errors: StateError where the bytes are damaged or of another cartridge or family of models.
    """
    blocks = _blocks(data)
    core = blocks.get(b"CORE", b"")
    if len(core) < CORE.size:
        raise StateError("the BESS state has no whole CORE block")
    major, _, family, pc, af, bc, de, hl, sp, ime, ie, execution, values, *places = CORE.unpack_from(core)
    if major != 1:
        raise StateError(f"the BESS state has version {major}; this Tracklayer reads version 1")
    color = bool(gb.color.hardware)
    if (family[:1] == b"C") != color:
        raise StateError(f"the BESS state is of a model {family.decode('ascii', 'replace')!r}, this console is {model}")
    cartridge = gb.__dict__["cartridge"]
    info = blocks.get(b"INFO")
    if info is not None and info[:18] != cartridge.header[0x134:0x144] + cartridge.header[0x14E:0x150]:
        raise StateError(f"the BESS state is of another cartridge than {cartridge.title!r}")
    buffers = []
    for size, place in zip(places[::2], places[1::2], strict=True):
        if place + size > len(data):
            raise StateError("the BESS state names memory that lies behind its end")
        buffers.append(data[place : place + size])
    fresh: Any = build.new_console(cartridge, MODELS[model.removesuffix("-compat")])
    memory, registers = Memory(fresh), Registers(fresh.cpu)
    memory[0xFF40] = 0
    _fill(fresh.wram, buffers[0])
    _fill(fresh.vram, buffers[1])
    _fill(build.cart_ram(fresh), buffers[2])
    _fill(fresh.oam, buffers[3])
    _fill(fresh.hram, buffers[4][:HRAM_SIZE])
    if color:
        colours = (buffers[5] + bytes(PALETTES))[:PALETTES] + (buffers[6] + bytes(PALETTES))[:PALETTES]
        for index, colour in enumerate(struct.unpack("<64H", colours)):
            fresh.color.palettes[index] = colour & 0x7FFF
    _write_mbc(memory, blocks.get(b"MBC ", b""))
    _write_registers(fresh, memory, values)
    memory[0xFFFF] = ie
    if cartridge.kind.name == "MBC3 with clock" and len(blocks.get(b"RTC ", b"")) >= battery.MBC3_TRAILER.size:
        battery.decode(fresh, bytes(build.cart_ram(fresh).raw) + blocks[b"RTC "][: battery.MBC3_TRAILER.size])
    registers.pc, registers.af, registers.bc, registers.de = pc, af, bc, de
    registers.hl, registers.sp = hl, sp
    fresh.cpu.ime, fresh.cpu.stopped = ime & 1, execution == 2
    fresh.cpu.halted = HALTED if execution == 1 else 0
    return build.save(fresh)


def _blocks(data: bytes) -> dict[bytes, bytes]:
    """The blocks by name. Errors: StateError."""
    if not is_bess(data):
        raise StateError("these bytes do not end as BESS does")
    at, end = FOOTER.unpack_from(data, len(data) - FOOTER.size)[0], len(data) - FOOTER.size
    found: dict[bytes, bytes] = {}
    while at + HEADER.size <= end:
        name, size = HEADER.unpack_from(data, at)
        at += HEADER.size
        if name == b"END ":
            return found
        if at + size > end:
            break
        found[name] = data[at : at + size]
        at += size
    raise StateError("the BESS state is truncated, or its blocks are damaged")


def _fill(target: Any, data: bytes) -> None:
    """Copy as much as there is room for; the rest is zero."""
    size = ctypes.sizeof(target)
    ctypes.memmove(ctypes.addressof(target), data[:size].ljust(size, b"\0"), size)


def _write_mbc(memory: Memory, block: bytes) -> None:
    for at in range(0, len(block) - 2, 3):
        address, value = struct.unpack_from("<HB", block, at)
        if address >= 0x8000:
            raise StateError(f"the BESS state writes {address:04X}, which is no register of a mapper")
        memory[address] = value


def _write_registers(gb: Any, memory: Memory, values: bytes) -> None:
    """Give the registers what they held, in an order in which nothing is started."""
    memory[0xFF26] = 0
    memory[0xFF26] = values[0x26] & 0x80
    for number in (*range(0x30, 0x40), *range(0x10, 0x26)):
        memory[0xFF00 + number] = values[number] & (0x7F if number in (0x14, 0x19, 0x1E, 0x23) else 0xFF)
    if gb.color.functions and values[0x4D] & 0x80:
        speed.change(gb)
    for number in (*PLAIN, *(COLOR if gb.color.functions else ())):
        memory[0xFF00 + number] = values[number]
    memory[0xFF02] = values[0x02] & 0x7F
    timer.catch_up(gb)
    gb.timer.origin = (gb.clock.now() - (values[0x04] << 8)) & (1 << 64) - 1
    timer.reschedule(gb)
    memory[0xFF40] = values[0x40]
    gb.interrupts.flags = values[0x0F] & 0x1F
