"""The Game Boy Color: models, banks, palettes, double speed, VRAM DMA, as a program sees them, on every engine."""

from __future__ import annotations

import numpy
import pytest

from tracklayer import GameBoy
from tracklayer.api.engines import ENGINES

LOOP = b"\x18\xfe"


def cartridge(code: bytes, flag: int = 0x80) -> bytes:
    """A 32 KiB cartridge that executes `code` from 0150 on, and then loops."""
    rom = bytearray(0x8000)
    rom[0x100:0x104] = bytes((0x00, 0xC3, 0x50, 0x01))
    rom[0x143] = flag
    rom[0x150 : 0x150 + len(code) + 2] = code + LOOP
    return bytes(rom)


def put(register: int, value: int) -> bytes:
    """LD A,value; LDH [register],A."""
    return bytes((0x3E, value, 0xE0, register))


def store(address: int, value: int) -> bytes:
    """LD A,value; LD [address],A."""
    return bytes((0x3E, value, 0xEA, address & 0xFF, address >> 8))


def keep(register: int, address: int) -> bytes:
    """LDH A,[register]; LD [address],A."""
    return bytes((0xF0, register, 0xEA, address & 0xFF, address >> 8))


def ran(code: bytes, engine: str = "reference", flag: int = 0x80, model: str = "cgb", frames: int = 1) -> GameBoy:
    """A console that has run a program for some frames."""
    console = GameBoy(cartridge(code, flag), engine=engine, model=model)
    console.tick(frames)
    return console


@pytest.mark.parametrize(
    ("model", "flag", "a", "becomes"),
    [
        ("dmg", 0x80, 0x01, "dmg"),
        ("mgb", 0x00, 0xFF, "mgb"),
        ("cgb", 0x80, 0x11, "cgb"),
        ("cgb-c", 0xC0, 0x11, "cgb-c"),
        ("cgb", 0x00, 0x11, "cgb-compat"),
        ("dmg-0", 0x00, 0x01, "dmg-0"),
        ("cgb-0", 0xC0, 0x11, "cgb-0"),
        ("cgb-b", 0xC0, 0x11, "cgb-b"),
        ("agb", 0xC0, 0x11, "agb"),
        ("agb", 0x00, 0x11, "cgb-compat"),
    ],
)
def test_a_cartridge_can_tell_the_model_from_a(model: str, flag: int, a: int, becomes: str) -> None:
    console = GameBoy(cartridge(b"", flag), engine="reference", model=model)
    assert (console.registers.a, console.model) == (a, becomes)


@pytest.mark.parametrize(("model", "b"), [("cgb", 0x00), ("agb", 0x01)])
@pytest.mark.parametrize("flag", [0x00, 0x80])
def test_a_cartridge_can_tell_an_advance_from_b(model: str, b: int, flag: int) -> None:
    console = GameBoy(cartridge(b"", flag), engine="reference", model=model)
    assert console.registers.b == b
    assert console.registers.f == (0x00 if model == "agb" else 0x80)


@pytest.mark.parametrize(("model", "left"), [("cgb-b", [1, 0]), ("cgb-c", [1, 1])])
def test_up_to_cgb_b_any_write_of_nrx4_clocks_a_length_that_was_disabled(model: str, left: list[int]) -> None:
    for channel, base, writes in ((2, 0x16, 1), (3, 0x1B, 2), (4, 0x20, 1)):
        code = b"\xaf\xe0\x26\xe0\x04" + put(0x26, 0x80)  # sound off, DIV cleared, sound on
        code += put(0x1A, 0x80) if channel == 3 else put(base + 1, 0xF0)
        code += put(base, 0xFF) + put(base + 3, 0x80)
        code += bytes((0x01, 0x80, 0x01, 0x0B, 0x78, 0xB1, 0x20, 0xFB))  # 384 times around a loop of 7 M-cycles
        code += keep(0x26, 0xC000) + put(base + 3, 0x00) * writes + keep(0x26, 0xC001)
        console = ran(code, model=model, frames=4)
        assert [console.memory[0xC000 + index] >> (channel - 1) & 1 for index in range(2)] == left, channel


@pytest.mark.parametrize("engine", ENGINES)
def test_svbk_selects_what_stands_at_d000_and_f000_and_0_is_1(engine: str) -> None:
    code = b"".join(put(0x70, bank) + store(0xD123, 0x40 + bank) for bank in range(1, 8))
    code += put(0x70, 3) + b"\xfa\x23\xf1\xea\x00\xc0"  # LD A,[F123]; LD [C000],A
    code += put(0x70, 0) + b"\xfa\x23\xd1\xea\x01\xc0" + keep(0x70, 0xC002)
    console = ran(code, engine)
    assert console.memory[0xC000:0xC003] == bytes((0x43, 0x41, 0xF8))


@pytest.mark.parametrize("engine", ENGINES)
def test_code_in_a_bank_of_work_ram_is_that_banks(engine: str) -> None:
    code = b"".join(
        put(0x70, bank) + store(0xD000, 0x3E) + store(0xD001, bank) + store(0xD002, 0xC9)  # LD A,bank; RET
        for bank in (1, 2)
    )
    calls = b"".join(
        put(0x70, bank) + b"\xcd\x00\xd0" + bytes((0xEA, place, 0xC0)) for place, bank in enumerate((1, 2, 1, 2, 2, 1))
    )
    console = ran(code + calls, engine)
    assert console.memory[0xC000:0xC006] == bytes((1, 2, 1, 2, 2, 1))


@pytest.mark.parametrize("engine", ENGINES)
def test_vbk_selects_the_vram_bank(engine: str) -> None:
    code = put(0x40, 0x00) + store(0x8010, 0x12) + put(0x4F, 1) + store(0x8010, 0x34)
    code += keep(0x4F, 0xC000) + b"\xfa\x10\x80\xea\x01\xc0" + put(0x4F, 0) + b"\xfa\x10\x80\xea\x02\xc0"
    console = ran(code, engine, frames=2)
    assert console.memory[0xC000:0xC003] == bytes((0xFF, 0x34, 0x12))


def test_bcpd_writes_step_the_index_and_reads_do_not() -> None:
    code = put(0x40, 0x00) + put(0x68, 0xBF) + put(0x69, 0x12) + put(0x69, 0x34)
    code += keep(0x68, 0xC000) + put(0x68, 0x80) + keep(0x69, 0xC001) + keep(0x69, 0xC002) + keep(0x68, 0xC003)
    assert ran(code, frames=2).memory[0xC000:0xC004] == bytes((0xC1, 0x34, 0x34, 0xC0))


@pytest.mark.parametrize("engine", ENGINES)
def test_double_speed_runs_twice_as_many_instructions_in_a_frame(engine: str) -> None:
    console = ran(put(0x4D, 1) + b"\x10\x00" + keep(0x4D, 0xC000), engine, frames=4)
    assert console.memory[0xC000] == 0xFE
    before, cycles = console.instructions, console.cycles
    console.tick()
    assert abs(console.cycles - cycles - 70224) < 24
    assert abs(console.instructions - before - 2 * 70224 // 12) <= 2
    assert console.frames == 5


def test_a_stop_that_changes_the_speed_clears_the_divider_and_disarms() -> None:
    code = put(0x4D, 1) + b"\x10\x00" + keep(0x04, 0xC000) + keep(0x4D, 0xC001) + put(0x4D, 1) + b"\x10\x00"
    code += keep(0x4D, 0xC002)
    assert ran(code, frames=6).memory[0xC000:0xC003] == bytes((0x00, 0xFE, 0x7E))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mode", [0x00, 0x80])
def test_vram_dma_copies_blocks_at_once_or_in_hblanks(engine: str, mode: int) -> None:
    off = put(0x40, 0x00) if mode == 0 else b""
    code = b"".join(store(0xC000 + index, index + 1) for index in range(32)) + off
    code += put(0x51, 0xC0) + put(0x52, 0x00) + put(0x53, 0x08) + put(0x54, 0x40) + put(0x55, mode | 1)
    console = ran(code, engine, frames=3)
    assert console.memory[0x8840:0x8860] == bytes(range(1, 33))
    assert console.memory[0xFF55] == 0xFF


def test_a_plain_cartridge_has_no_color_registers_and_the_boot_roms_palettes() -> None:
    code = put(0x70, 3) + keep(0x70, 0xC000) + keep(0x4D, 0xC001) + keep(0x55, 0xC002) + put(0x47, 0x55)
    console = ran(code, flag=0, frames=3)
    assert console.memory[0xC000:0xC003] == b"\xff\xff\xff"
    assert numpy.unique(console.screen.reshape(-1, 3), axis=0).tolist() == [[0x7B, 0xFF, 0x31]]


def test_colours_come_from_the_backgrounds_palette() -> None:
    code = put(0x40, 0x00) + put(0x68, 0x80) + put(0x69, 0x1F) + put(0x69, 0x02) + put(0x40, 0x91)
    console = ran(code, frames=4)
    assert numpy.unique(console.screen.reshape(-1, 3), axis=0).tolist() == [[0xFF, 0x84, 0x00]]
    assert len(console.picture_bytes()) == 2 * 160 * 144


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clone_goes_on_in_the_same_way(engine: str) -> None:
    console = ran(put(0x4D, 1) + b"\x10\x00", engine, frames=3)
    other = console.clone()
    console.tick(2)
    other.tick(2)
    assert console.state_bytes() == other.state_bytes()
    assert console.picture_hash() == other.picture_hash()


@pytest.mark.parametrize(
    ("model", "found"),
    [("cgb-c", [0x11, 0x11, 0x22, 0x44]), ("cgb-d", [0x11, 0x33, 0x22, 0x44]), ("cgb-e", [0xAA, 0xAA, 0xCC, 0xFF])],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_behind_oam_there_is_ram_up_to_revision_d(engine: str, model: str, found: list[int]) -> None:
    code = put(0x40, 0x00) + store(0xFEA8, 0x33) + store(0xFEF8, 0x44) + store(0xFEA0, 0x11) + store(0xFEC0, 0x22)
    for index, address in enumerate((0xFEA0, 0xFEA8, 0xFEC0, 0xFEF8)):
        code += bytes((0xFA, address & 0xFF, address >> 8, 0xEA, index, 0xC0))
    console = ran(code, engine, model=model)
    assert list(console.memory[0xC000:0xC004]) == found
