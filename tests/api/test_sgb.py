"""The Super Game Boy: packets, players, colours, the border; the same on every engine."""

from __future__ import annotations

from random import Random

import numpy
import pytest

from tracklayer import GameBoy, ModelError
from tracklayer.api import sgb
from tracklayer.api.engines import ENGINES
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble

from .images import signed

PROGRAM = """
    org $0100
    NOP
    JP start
    org $0150
start:                      ; sends as many packets as C0F0 says, from C000 on, then reads P1 for ever
    LD A,[$C0F0]
    LD C,A
    LD HL,$C000
again:
    LD A,C
    OR A,A
    JR Z,reading
    DEC C
    LD A,$00
    LDH [$FF00],A
    LD A,$30
    LDH [$FF00],A
    LD B,16
byte:
    LD E,8
    LD A,[HL+]
    LD D,A
bit:
    BIT 0,D
    LD A,$10
    JR NZ,high
    LD A,$20
high:
    LDH [$FF00],A
    LD A,$30
    LDH [$FF00],A
    RR D
    DEC E
    JR NZ,bit
    DEC B
    JR NZ,byte
    LD A,$20
    LDH [$FF00],A
    LD A,$30
    LDH [$FF00],A
    JR again
reading:                    ; D000, D001, ...: nothing selected; the directions; nothing again, and so on
    LD HL,$D000
more:
    LDH A,[$FF00]
    LD [HL+],A
    LD A,$20
    LDH [$FF00],A
    LDH A,[$FF00]
    LD [HL+],A
    LD A,$10
    LDH [$FF00],A
    LD A,$30
    LDH [$FF00],A
    LD A,L
    CP A,16
    JR NZ,more
stay:
    JR stay
"""


def image(knows: bool = True) -> bytes:
    data = bytearray(assemble(PROGRAM, SM83, size=0x8000).data)
    if knows:
        data[0x146], data[0x14B] = 0x03, 0x33
    return signed(data)


def packets(command: int, *data: int) -> bytes:
    """A command as packets."""
    body = bytes((0, *data))
    count = -(-len(body) // 16)
    return bytes((command << 3 | count, *data)).ljust(16 * count, b"\0")


def sent(engine: str, *commands: bytes, knows: bool = True, model: str = "sgb", frames: int = 2) -> GameBoy:
    gb = GameBoy(image(knows), engine=engine, model=model)
    data = b"".join(commands)
    gb.memory[0xC000 : 0xC000 + len(data)] = data
    gb.memory[0xC0F0] = len(data) // 16
    gb.tick(frames)
    return gb


def colour(word: int) -> list[int]:
    return [(part << 3 | part >> 2) for part in (word & 31, word >> 5 & 31, word >> 10 & 31)]


def test_palettes_come_by_packets(engine: str) -> None:
    words = [0x7C00, 0x03E0, 0x001F, 0x1234, 0x2345, 0x3456, 0x4567]
    data = b"".join(word.to_bytes(2, "little") for word in words)
    gb = sent(engine, packets(sgb.PAL01, *data))
    assert list(gb._gb.sgb.palettes) == [
        words[0], *words[1:4], words[0], *words[4:7], words[0], *gb._gb.sgb.palettes[9:12], words[0],
        *gb._gb.sgb.palettes[13:16],
    ]  # fmt: skip
    assert gb.screen[143, 159].tolist() == colour(0x7C00)
    assert gb.model == "sgb"


def test_a_cartridge_that_does_not_know_it_has_the_first_palette_and_is_not_heard(engine: str) -> None:
    gb = sent(engine, packets(sgb.PAL01, *range(1, 15)), knows=False)
    assert gb.screen[143, 159].tolist() == [0xFF, 0xEF, 0xCE]
    plain = sent(engine, packets(sgb.PAL01, *range(1, 15)), model="dmg")
    assert plain.screen[143, 159].tolist() == [255, 255, 255]
    with pytest.raises(ModelError, match="border"):
        plain.border  # noqa: B018


@pytest.mark.parametrize(("request_", "players"), [(0, 1), (1, 2), (3, 4)])
def test_several_players_take_turns(engine: str, request_: int, players: int) -> None:
    gb = GameBoy(image(), engine=engine, model="sgb")
    data = packets(0x11, request_)
    gb.memory[0xC000:0xC010] = data
    gb.memory[0xC0F0] = 1
    gb.button("right")
    for player, name in ((1, "left"), (2, "up"), (3, "down")):
        gb.button(name, player=player)
    gb.tick(2)
    found = gb.memory[0xD000:0xD010]
    held = [0x0E, 0x0D, 0x0B, 0x07]
    ids = [value & 15 for value in found[0::2]]
    assert ids == [15 - index % players for index in range(ids[0] ^ 15, (ids[0] ^ 15) + 8)]
    assert [value & 15 for value in found[1::2]] == [held[15 - player] for player in ids]


def attributes(*commands: bytes) -> numpy.ndarray:
    gb = GameBoy(image(), engine="reference", model="sgb")
    for data in commands:
        gb._gb.sgb.command[: len(data)] = list(data)
        gb._gb.sgb.waiting = 1
        sgb.work(gb._gb)
    return numpy.array(gb._gb.sgb.attributes, numpy.uint8).reshape(18, 20)


def test_blocks_lines_halves_and_characters_colour_the_screen() -> None:
    block = attributes(packets(sgb.ATTR_BLK, 1, 7, 0b11_10_01, 2, 3, 6, 8))
    assert (block[4, 3], block[3, 2], block[8, 6], block[0, 0], block[9, 6]) == (1, 2, 2, 3, 3)
    inside = attributes(packets(sgb.ATTR_BLK, 1, 1, 0b11_10_01, 2, 3, 6, 8))
    assert (inside[4, 3], inside[3, 2], inside[0, 0]) == (1, 1, 0)
    outside = attributes(packets(sgb.ATTR_BLK, 1, 4, 0b11_10_01, 2, 3, 6, 8))
    assert (outside[4, 3], outside[3, 2], outside[0, 0]) == (0, 3, 3)
    lines = attributes(packets(sgb.ATTR_LIN, 2, 0x80 | 2 << 5 | 4, 1 << 5 | 7))
    assert (lines[4, 0], lines[4, 7], lines[0, 7], lines[0, 0]) == (2, 1, 1, 0)
    halves = attributes(packets(sgb.ATTR_DIV, 0x40 | 0b01_10_11, 5))
    assert (halves[4, 0], halves[5, 0], halves[6, 0]) == (2, 1, 3)
    assert attributes(packets(sgb.ATTR_DIV, 0b01_10_11, 5))[0].tolist() == [2] * 5 + [1] + [3] * 14
    row = attributes(packets(sgb.ATTR_CHR, 18, 2, 4, 0, 0, 0b01_10_11_01))
    assert (row[2, 18], row[2, 19], row[3, 0], row[3, 1]) == (1, 2, 3, 1)
    column = attributes(packets(sgb.ATTR_CHR, 3, 16, 4, 0, 1, 0b01_10_11_01))
    assert (column[16, 3], column[17, 3], column[0, 4], column[1, 4]) == (1, 2, 3, 1)
    assert not attributes(packets(sgb.ATTR_CHR, 25, 40, 4, 0, 1, 0xFF), packets(sgb.ATTR_LIN, 1, 0xFF)).any()


def shown(gb: GameBoy, data: bytes) -> None:
    """Let 4 KiB stand on the screen as tiles, as programs do before a transfer."""
    gb.memory[0xFF40] = 0x00
    gb.memory[0xFF47] = 0xE4
    gb.memory[0x8000 : 0x8000 + len(data)] = data
    for tile in range(256):
        gb.memory[0x9800 + tile // 20 * 32 + tile % 20] = tile
    gb.memory[0xFF40] = 0x91


def transferred(engine: str, command: bytes, data: bytes, gb: GameBoy | None = None) -> GameBoy:
    gb = gb or GameBoy(image(), engine=engine, model="sgb")
    gb.registers.pc = 0x150
    shown(gb, data)
    gb.memory[0xC000:0xC010] = command
    gb.memory[0xC0F0] = 1
    for _ in range(8):
        gb.tick(render=False)
    return gb


def test_system_palettes_and_attribute_files_come_from_the_screen(engine: str) -> None:
    data = Random(1).randbytes(4096)
    gb = transferred(engine, packets(sgb.PAL_TRN), data)
    assert bytes(gb._gb.sgb.system_palettes) == data
    gb = transferred(engine, packets(sgb.ATTR_TRN), data, gb)
    assert bytes(gb._gb.sgb.files)[:4050] == data[:4050]
    gb.registers.pc = 0x150
    gb.memory[0xC000:0xC010] = packets(sgb.PAL_SET, 3, 0, 4, 0, 5, 0, 6, 0, 0x80 | 2)
    gb.tick(2)
    words = [int.from_bytes(data[at : at + 2], "little") for at in range(0, 4096, 2)]
    assert list(gb._gb.sgb.palettes)[:8] == [*words[12:16], words[12], *words[17:20]]
    assert gb._gb.sgb.attributes[0] == data[180] >> 6
    assert gb._gb.sgb.attributes[359] == data[269] & 3


def test_the_border_is_drawn_around_the_screen(engine: str) -> None:
    tiles = bytearray(4096)
    tiles[32:64] = bytes((0xFF, 0x00) * 8 + (0xFF, 0x00) * 8)  # tile 1: colour 5 all over
    tiles[64:66] = bytes((0x80, 0x00))  # tile 2: one pixel of colour 1, at the top left
    gb = transferred(engine, packets(sgb.CHR_TRN, 0), bytes(tiles))
    entries = [0] * 1024
    entries[0] = 1 | 4 << 10
    entries[1] = 2 | 5 << 10 | 0xC000
    data = bytearray(b"".join(entry.to_bytes(2, "little") for entry in entries) + bytes(2048))
    data[0x800 + 10 : 0x800 + 12] = (0x001F).to_bytes(2, "little")
    data[0x820 + 2 : 0x820 + 4] = (0x7C00).to_bytes(2, "little")
    gb = transferred(engine, packets(sgb.PCT_TRN), bytes(data), gb)
    gb.tick(2)
    picture = gb.border
    assert picture.shape == (224, 256, 3)
    assert picture[3, 3].tolist() == [255, 0, 0]
    assert picture[7, 15].tolist() == [0, 0, 255]
    assert picture[0, 8].tolist() == picture[200, 100].tolist() == colour(0x67BF)
    assert (picture[40:184, 48:208] == gb.screen).all()


def test_the_screen_can_be_masked(engine: str) -> None:
    gb = sent(engine, packets(sgb.MASK_EN, 2))
    assert not gb.screen.any()
    gb = sent(engine, packets(sgb.MASK_EN, 3))
    assert (gb.screen == colour(0x67BF)).all()
    gb = sent(engine, packets(sgb.MASK_EN, 1))
    before = gb.screen
    gb.memory[0xFF47] = 0xFF
    gb.tick(2)
    assert (gb.screen == before).all()
    gb.registers.pc = 0x150
    gb.memory[0xC000:0xC010] = packets(sgb.MASK_EN, 0)
    gb.tick(2)
    assert (gb.screen != before).any()


def test_states_keep_it_and_engines_agree() -> None:
    states = set()
    for engine in ENGINES:
        gb = sent(engine, packets(sgb.ATTR_LIN, 1, 0xA3), packets(0x11, 1), frames=3)
        states.add(gb.save_state())
        other = GameBoy(image(), engine="reference", model="sgb")
        other.load_state(gb.save_state())
        assert (other.screen == gb.screen).all()
        assert other._gb.sgb.players == 1
    assert len(states) == 1


def test_other_players_are_for_a_super_game_boy_only() -> None:
    with pytest.raises(ValueError, match="player"):
        GameBoy(image(), engine="reference", model="dmg").button("a", player=1)
    with pytest.raises(ValueError, match="player 4"):
        GameBoy(image(), engine="reference", model="sgb").button("a", player=4)
