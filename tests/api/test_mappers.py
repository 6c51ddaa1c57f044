"""Every kind of cartridge, driven by random programs, is the same on every engine."""

from __future__ import annotations

from random import Random

import pytest

from tracklayer import GameBoy
from tracklayer.api.lockstep import lockstep
from tracklayer.machine.gb.mappers import MAPPERS

BANK = 0x4000
FIRST, LAST = 0x0150, 0x2F00
VALUES = (0x00, 0x01, 0x02, 0x08, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x10, 0x40, 0x55, 0x80, 0x82, 0xAA, 0xC0, 0xC2, 0xF0)
NUMBERS = [mapper.types[0] for mapper in MAPPERS if mapper.types]
BANKS = {0x20: 32, 0x0B: 16}
RAM_TYPE = {0x00: 0x08, 0x01: 0x03, 0x0B: 0x0D, 0x11: 0x13, 0x0F: 0x10, 0x19: 0x1B, 0x1C: 0x1E}


def program(random: Random) -> bytes:
    """Reads from and writes to all that a cartridge answers at, without end. E000 takes a checksum of what was read."""
    code = bytearray()
    while len(code) < LAST - FIRST:
        address = random.choice((random.randrange(0x8000), random.randrange(0xA000, 0xC000), 0xA000, 0xA001, 0xA080))
        low, high = address & 0xFF, address >> 8
        if random.random() < 0.6:
            value = random.choice(VALUES) if random.random() < 0.8 else random.randrange(256)
            code += bytes((0x3E, value, 0xEA, low, high))  # LD A,value; LD [address],A
        else:
            code += bytes((0xFA, low, high, 0x80, 0x07, 0x47))  # LD A,[address]; ADD A,B; RLCA; LD B,A
        if random.random() < 0.05:
            code += bytes((0x78, 0xEA, 0x00, 0xE0))  # LD A,B; LD [$E000],A
    return bytes(code) + bytes((0xC3, FIRST & 0xFF, FIRST >> 8))


def image(number: int, seed: int) -> bytes:
    """A cartridge whose every bank holds the same program, and other noise behind it."""
    random = Random(seed)
    code = program(random)
    rom = bytearray()
    for _ in range(BANKS.get(number, 64 if number != 0x00 else 2)):
        bank = bytearray(random.randbytes(BANK))
        bank[0x100:0x104] = bytes((0x00, 0xC3, FIRST & 0xFF, FIRST >> 8))
        bank[0x134:FIRST] = bytes(FIRST - 0x134)
        bank[FIRST : FIRST + len(code)] = code
        rom += bank
    for at in (0x100, len(rom) - 0x8000 + 0x100):
        rom[at + 0x47] = RAM_TYPE.get(number, number)
        rom[at + 0x49] = 3
        rom[at + 0x4D] = -sum(rom[at + 0x34 : at + 0x4D]) - 0x19 & 0xFF
    return bytes(rom)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: f"{number:02X}")
@pytest.mark.parametrize("seed", range(3))
def test_the_fast_engines_agree(number: int, seed: int) -> None:
    rom = image(number, seed)
    report = lockstep(GameBoy(rom, engine="interpreter"), GameBoy(rom), 300_000, seed=seed)
    assert report.divergence is None


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: f"{number:02X}")
def test_the_reference_agrees(number: int) -> None:
    rom = image(number, 9)
    report = lockstep(GameBoy(rom, engine="reference"), GameBoy(rom), 6_000, seed=9)
    assert report.divergence is None
