"""BESS: what is written is what the specification says, and comes back."""

from __future__ import annotations

import struct
from random import Random

import pytest

from tests.make_states import console
from tracklayer import GameBoy, StateError

from .images import cartridge

KINDS = [("none", "dmg"), ("mbc1", "dmg"), ("mbc3-clock", "dmg"), ("mbc3-clock", "cgb"), ("mbc5", "cgb")]


def played(kind: str, model: str) -> GameBoy:
    gb = console(kind, model)
    gb.tick(30)
    gb.run(cycles=31_415)
    return gb


def foreign(state: bytes) -> bytes:
    """The same file as another emulator's: its own part means nothing here."""
    return b"\0" + state[1:]


def blocks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The blocks of a file, by the specification alone."""
    assert data[-4:] == b"BESS"
    at, found = int.from_bytes(data[-8:-4], "little"), []
    while not found or found[-1][0] != b"END ":
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size
    assert at == len(data) - 8
    return found


@pytest.mark.parametrize(("kind", "model"), KINDS)
def test_what_is_written_follows_the_specification(kind: str, model: str) -> None:
    gb = played(kind, model)
    data = gb.save_state(bess=True)
    assert data.startswith(gb.save_state())
    found = blocks(data)
    names = [name for name, _ in found]
    assert names[:3] == [b"NAME", b"INFO", b"CORE"]
    assert (b"MBC " in names, b"RTC " in names) == (kind != "none", kind == "mbc3-clock")
    core = dict(found)[b"CORE"]
    assert len(core) == 0xD0
    registers = gb.registers
    assert struct.unpack_from("<HH4s6H", core) == (
        1, 1, b"CC  " if model == "cgb" else b"GD  ",
        registers.pc, registers.af, registers.bc, registers.de, registers.hl, registers.sp,
    )  # fmt: skip
    assert core[0x15] == gb.memory[0xFFFF]
    assert core[0x18 + 0x43] == gb.memory[0xFF43]
    places = struct.unpack_from("<14I", core, 0x98)
    sizes = (0x8000, 0x4000) if model == "cgb" else (0x2000, 0x2000)
    assert places[0:4:2] == sizes
    assert places[4:14:2] == (len(gb.cartridge_ram), 0xA0, 0x7F, *((0x40, 0x40) if model == "cgb" else (0, 0)))
    assert data[places[1] : places[1] + 0x2000] == bytes(gb.memory[0xC000:0xE000])
    assert data[places[5] : places[5] + places[4]] == gb.cartridge_ram
    assert data[places[9] : places[9] + 0x7F] == bytes(gb.memory[0xFF80:0xFFFF])


@pytest.mark.parametrize(("kind", "model"), KINDS)
def test_another_emulators_state_goes_on_here(kind: str, model: str, engine: str) -> None:
    gb, other = played(kind, model), console(kind, model, engine)
    other.load_state(foreign(gb.save_state(bess=True)))
    assert repr(other.registers) == repr(gb.registers)
    for first, last in ((0x8000, 0xA000), (0xC000, 0xE000), (0xFE00, 0xFEA0), (0xFF80, 0x10000)):
        assert bytes(other.memory[first:last]) == bytes(gb.memory[first:last])
    assert other.cartridge_ram == gb.cartridge_ram
    assert other.battery[:-8] == gb.battery[:-8]
    assert [other.memory[address] for address in (0xA000, 0x7FFF, 0xFF40, 0xFF42, 0xFF47)] == [
        gb.memory[address] for address in (0xA000, 0x7FFF, 0xFF40, 0xFF42, 0xFF47)
    ]
    for one in (gb, other):
        one.run(cycles=20_000)
    assert abs(other.memory[0xC000] - gb.memory[0xC000]) <= 2


def test_our_own_part_is_taken_where_there_is_one() -> None:
    gb, other = played("mbc5", "cgb"), console("mbc5", "cgb")
    state = gb.save_state(bess=True)
    other.load_state(state)
    assert other.save_state() == gb.save_state()


def test_wrong_bess_is_refused_and_changes_nothing() -> None:
    gb = played("mbc5", "cgb")
    good = foreign(gb.save_state(bess=True))
    before = gb.save_state()
    with pytest.raises(StateError, match="another cartridge"):
        GameBoy(cartridge(title=b"OTHER"), model="cgb", engine="reference").load_state(good)
    with pytest.raises(StateError, match="of a model"):
        console("mbc5", "dmg").load_state(good)
    dice = Random(2)
    start = int.from_bytes(good[-8:-4], "little")
    refused = 0
    for _ in range(150):
        bad = bytearray(good)
        at = dice.randrange(start, len(bad) - 4)
        bad[at : at + 4] = dice.randbytes(4)
        try:
            gb.load_state(bytes(bad))
        except StateError:
            refused += 1
            assert gb.save_state() == before
        else:
            gb.run(cycles=1_000)
            gb.load_state(before)
    assert refused > 20
