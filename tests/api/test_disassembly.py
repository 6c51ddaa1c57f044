"""Guest code as text."""

from __future__ import annotations

from tracklayer.api.disassembly import disassemble

from .images import cartridge


def test_the_entry_of_a_cartridge_reads_as_its_two_instructions() -> None:
    lines = disassemble(cartridge()[0x100:], 0x100, 2)
    assert [(line.address, line.data.hex(), line.text) for line in lines] == [
        (0x100, "00", "NOP"),
        (0x101, "c35001", "JP $0150"),
    ]


def test_an_instruction_cut_off_by_the_end_is_shown_as_a_byte() -> None:
    assert [line.text for line in disassemble(b"\x00\xc3\x50", 0, 9)] == ["NOP", "DB $C3", "LD D,B"]
