"""Lines that are left standing (machine/gb/ppu/unchanged.py): pictures are those of a console that draws all anew."""

from __future__ import annotations

import ctypes
import random
from typing import Any

import pytest

from tracklayer import GameBoy

from .images import cartridge, signed

LCDC, SCY, SCX, BGP, OBP0, OBP1, WY, WX = 0xFF40, 0xFF42, 0xFF43, 0xFF47, 0xFF48, 0xFF49, 0xFF4A, 0xFF4B
VBK, HDMA1, BCPS, BCPD = 0xFF4F, 0xFF51, 0xFF68, 0xFF69
FRAME = 70_224
WRITER = bytes.fromhex("210098 34 23 CBFC CBB4 CBAC CBE4 CBDC 18F2".replace(" ", ""))
"""Counts in the bytes of both maps, whatever the PPU does: in VBlank, in HBlank, and in vain in between."""


def image(program: bytes, model: str) -> bytes:
    """A cartridge that knows the Color if that is the model."""
    made = bytearray(cartridge(program))
    made[0x143] = 0x80 if model == "cgb" else 0
    made[0x1000:0x1100] = random.Random(1).randbytes(0x100)  # for VRAM DMA
    return signed(made)


def known(gb: GameBoy) -> int:
    return sum(1 for registers in gb._gb.host.drawn.registers if registers)


def forget(gb: GameBoy) -> None:
    """Nothing is known of any line."""
    registers = gb._gb.host.drawn.registers
    ctypes.memset(ctypes.addressof(registers), 0, ctypes.sizeof(registers))


def disturb(gb: GameBoy, dice: random.Random) -> None:
    """Something that may or may not be seen."""
    kind = dice.randrange(15 if gb.model == "cgb" else 12)
    if kind < 3:
        gb.memory[0x8000 + dice.randrange(0x1800)] = dice.randrange(256)
    elif kind < 6:
        gb.memory[0x9800 + dice.randrange(0x800)] = dice.randrange(256)
    elif kind == 6:
        gb.memory[LCDC] = dice.choice((0x80, 0x80, 0)) | dice.choice(
            (0x11, 0x01, 0x1B, 0x33, 0x73, 0x12, 0x63, 0x37, 0x17)
        )
    elif kind == 7:
        gb.memory[dice.choice((SCX, SCY))] = dice.choice((0, 3, 8, 250))
    elif kind == 8:
        gb.memory[dice.choice((BGP, OBP0, OBP1))] = dice.choice((0xE4, 0x1B, 0xE4, 0))
    elif kind == 9:
        gb.memory[WX], gb.memory[WY] = dice.choice((7, 80, 166, 3)), dice.choice((0, 40, 143))
    elif kind == 10:
        place = 0xFE00 + 4 * dice.randrange(40)
        gb.memory[place : place + 4] = bytes((dice.randrange(160), dice.randrange(168), *dice.randbytes(2)))
    elif kind == 11:
        gb.memory[place_of_objects(dice)] = 0
    elif kind == 12:
        gb.memory[BCPS], gb.memory[BCPD] = dice.randrange(8), dice.randrange(256)
    elif kind == 13:
        gb.memory[VBK] = dice.randrange(2)
    elif kind == 14:
        gb.memory[HDMA1 : HDMA1 + 5] = bytes((0x10, 0, dice.choice((0, 0x18, 0x19)), 0, dice.choice((0x87, 0x03))))


def place_of_objects(dice: random.Random) -> int:
    """An object's Y: it goes off the screen."""
    return 0xFE00 + 4 * dice.randrange(40)


@pytest.mark.parametrize("program", [b"\x18\xfe", WRITER], ids=["still", "writer"])
@pytest.mark.parametrize("model", ["dmg", "cgb", "cgb-compat"])
@pytest.mark.parametrize("seed", range(4))
def test_pictures_are_those_of_lines_drawn_anew(seed: int, model: str, program: bytes) -> None:
    pytest.importorskip("llvmlite")
    dice = random.Random(seed)
    one, other = (GameBoy(image(program, model), engine="interpreter", model=model) for _ in range(2))
    for gb in (one, other):
        gb.memory[0x8000:0x9800] = random.Random(seed).randbytes(0x1800)
    stood = 0
    for turn in range(150):
        snapshot = one.snapshot() if turn % 40 == 11 else None
        for _ in range(dice.choice((0, 0, 1, 3))):
            cycles, choice = dice.choice((0, 100, 5000, FRAME)), dice.random()
            for gb in (one, other):
                gb.run(cycles=cycles, render=choice > 0.1)
                forget(other)
                disturb(gb, random.Random(choice))
        for _ in range(dice.randrange(4)):
            stood += known(one)
            one.tick()
            forget(other)
            other.tick()
            assert (one.screen == other.screen).all(), turn
        if snapshot is not None:
            one.restore(snapshot)
            other.restore(snapshot)
        if turn == 77:
            one = one.clone()
    assert one.differences(other) == []
    assert stood > 1000


def test_a_change_is_known_by_its_row_of_the_map(engine: str) -> None:
    """Of a still picture nothing is drawn; where a map's tile changes, its row of the map is known to have changed."""
    gb = GameBoy(cartridge(), engine=engine, model="dmg")
    gb.tick(2)
    gb.tick(2)
    drawn: Any = gb._gb.host.drawn
    before = list(drawn.registers), drawn.changes
    gb.tick(2)
    assert (list(drawn.registers), drawn.changes) == before
    assert known(gb) == 2 * 144
    gb.memory[0x9800 + 32 * 5] = 0x19  # the end of the logo
    gb.tick(2)
    assert drawn.changes == before[1] + 1
    assert [drawn.rows[row] == drawn.changes for row in range(64)] == [row == 5 for row in range(64)]


@pytest.mark.parametrize("model", ["dmg", "cgb-compat"])
def test_what_was_white_while_the_lcd_was_off_is_drawn_again(model: str, engine: str) -> None:
    gb = GameBoy(cartridge(), engine=engine, model=model)
    gb.tick(4)
    logo = gb.screen
    assert (logo != logo[0, 0]).any()
    gb.memory[LCDC] = 0x11
    gb.tick(3)
    assert (gb.screen == gb.screen[0, 0]).all()
    gb.memory[LCDC] = 0x91
    gb.tick(3)
    for _ in range(4):
        assert (gb.screen == logo).all()
        gb.tick()


def test_a_palette_that_changes_in_the_middle_of_a_picture_changes_the_rest_of_it(engine: str) -> None:
    gb = GameBoy(image(b"\x18\xfe", "cgb"), engine=engine, model="cgb")
    gb.tick(4)
    while gb.memory[0xFF44] != 70 or gb.memory[0xFF41] & 3:
        gb.run(cycles=16)
    gb.memory[BCPS], gb.memory[BCPD] = 0x80, 0x1F
    gb.memory[BCPD] = 0
    gb.tick()
    screen = gb.screen
    assert (screen[:70] == screen[0, 0]).all()
    assert (screen[71:] == screen[143, 0]).all()
    assert screen[0, 0].tolist() != screen[143, 0].tolist()
