"""Boot ROMs, assembled here, and the model that a cartridge asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracklayer import GameBoy, ModelError, RomError, StateError
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble

from .images import cartridge, signed

MONOCHROME = """
    LD SP,$FFFE
    LD HL,$8000
clear:
    XOR A,A
    LD [HL+],A
    BIT 5,H
    JR Z,clear
    LD A,[$0104]        ; the cartridge can be seen behind
    LD [$C000],A
    LD A,[$0010]
    LD [$C001],A        ; and here the boot ROM
    LD A,$91
    LDH [$FF40],A
    LD A,$12
    LD B,$34
    JP done
    org $00FC
done:
    LD A,$01
    LDH [$FF50],A
"""
COLOR = """
    LD SP,$FFFE
    LD A,[$0143]
    BIT 7,A
    JR NZ,color
    LD A,$04
color:
    LDH [$FF4C],A         ; KEY0
    JP $0200
    org $00FC
done:
    LD A,$11
    LDH [$FF50],A
    org $0200
    LD A,[$0104]        ; the header shines through
    LD [$C000],A
    LD A,$7A
    LD [$C002],A
    JP done
"""


def game(flag: int = 0x00, program: bytes = b"\x18\xfe") -> bytes:
    image = bytearray(cartridge(program))
    image[0x104] = 0xCE
    image[0x10] = 0x99
    image[0x143] = flag
    return signed(image)


def built(text: str, size: int) -> bytes:
    return bytes(assemble(text, SM83, size=size).data)


def test_a_boot_rom_runs_first_and_goes_away(engine: str) -> None:
    # The cartridge, after its jump to 0150: LD A,[$0010]; LD [$C002],A; loop
    gb = GameBoy(game(program=bytes.fromhex("fa1000 ea02c0 18fe")), engine=engine, boot_rom=built(MONOCHROME, 0x100))
    assert (gb.registers.pc, gb.registers.af, gb.registers.sp, gb.memory[0xFF40]) == (0, 0, 0, 0)
    assert gb.memory[0x0104] == 0xCE
    with gb.hook(0x0100, lambda gb: seen.append((gb.registers.a, gb.registers.b, gb.memory[0x0010]))):
        seen: list[tuple[int, int, int]] = []
        gb.tick(6)
    assert seen == [(0x01, 0x34, 0x99)]
    boot = built(MONOCHROME, 0x100)
    assert bytes(gb.memory[0xC000:0xC003]) == bytes((0xCE, boot[0x10], 0x99))
    gb.memory[0xFF50] = 0
    assert gb.memory[0x0010] == 0x99


@pytest.mark.parametrize(("flag", "key1"), [(0x80, 0x7E), (0x00, 0xFF)])
def test_the_boot_rom_of_a_color_has_two_parts_and_decides_about_its_functions(
    engine: str, flag: int, key1: int
) -> None:
    gb = GameBoy(game(flag), engine=engine, model="cgb", boot_rom=built(COLOR, 0x900))
    gb.tick()
    assert (gb.memory[0xC000], gb.memory[0xC002]) == (0xCE, 0x7A)
    assert gb.memory[0xFF4D] == key1
    assert gb.registers.a == 0x11
    assert gb.memory[0x0200] == 0
    gb.memory[0xFF4C] = 0x04 if flag else 0x80
    assert gb.memory[0xFF4D] == key1


def test_engines_agree_on_it_and_states_within_it_can_be_saved() -> None:
    states = []
    for name in ("reference", "interpreter", "translated"):
        gb = GameBoy(game(), engine=name, boot_rom=built(MONOCHROME, 0x100))
        gb.run(cycles=50_000)
        saved = gb.save_state()
        copy = gb.clone()
        gb.tick(6)
        copy.tick(6)
        states.append((saved, gb.state_bytes()))
        assert copy.state_bytes() == gb.state_bytes()
        gb.load_state(saved)
        assert gb.registers.pc < 0x100
        gb.tick(6)
    assert states[0] == states[1] == states[2]
    plain = GameBoy(game(), engine="reference")
    with pytest.raises(StateError, match="boot ROM"):
        plain.load_state(states[0][0])


def test_what_is_no_boot_rom_of_the_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "boot.bin"
    file.write_bytes(bytes(0x900))
    with pytest.raises(RomError, match="2,304 bytes; the boot ROM of a monochrome Game Boy has 256"):
        GameBoy(game(), engine="reference", model="dmg", boot_rom=file)
    with pytest.raises(RomError, match="has 2,304"):
        GameBoy(game(0x80), engine="reference", boot_rom=bytes(0x100))
    with pytest.raises(RomError, match="nowhere"):
        GameBoy(game(), engine="reference", boot_rom=tmp_path / "nowhere.bin")


@pytest.mark.parametrize(("flag", "model"), [(0x00, "dmg"), (0x80, "cgb"), (0xC0, "cgb")])
def test_the_model_comes_from_the_header_unless_it_is_given(flag: int, model: str) -> None:
    assert GameBoy(game(flag), engine="reference").model == model
    assert GameBoy(game(flag), engine="reference", model="dmg").model == "dmg"
    with pytest.raises(ModelError, match="auto, dmg"):
        GameBoy(game(flag), engine="reference", model="nes")
