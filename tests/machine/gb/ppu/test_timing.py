"""ppu/timing.py and stat.py: what the CPU sees at which M-cycle. The numbers are those of mooneye's lcdon_timing-GS."""

from __future__ import annotations

from typing import Any

import pytest

from ..bench import console, read, wait, write

LCDC, STAT, SCX, LY, LYC, IF = 0xFF40, 0xFF41, 0xFF43, 0xFF44, 0xFF45, 0xFF0F
CYCLES = (0, 17, 60, 110, 130, 174, 224, 244, 1, 18, 61, 111, 131, 175, 225, 245, 2, 19, 62, 112, 132, 176, 226, 246)


def after_lcd_on(nops: int) -> Any:
    """A console about to do the read of `LDH (LCDC),A; nops; LD A,(DE)`."""
    gb = console()
    write(gb, LCDC, 0)
    write(gb, 0xFE00, 0)
    write(gb, LYC, 0)
    write(gb, LCDC, 0x81)
    wait(gb, 4 * nops + 4)
    return gb


def seen(address: int) -> list[int]:
    return [read(after_lcd_on(nops), address) for nops in CYCLES]


def test_ly_after_the_lcd_went_on() -> None:
    assert seen(LY) == [0, 0, 0, 0, 1, 1, 1, 2, 0, 0, 0, 1, 1, 1, 2, 2, 0, 0, 0, 1, 1, 1, 2, 2]


def test_stat_after_the_lcd_went_on() -> None:
    expected = "84 84 87 84 82 83 80 82 84 87 84 80 82 80 80 82 84 87 84 82 83 80 82 83"
    assert seen(STAT) == [int(value, 16) for value in expected.split()]


def test_vram_is_closed_after_the_lcd_went_on() -> None:
    expected = "00 00 FF 00 00 FF 00 00 00 FF 00 00 FF 00 00 FF 00 FF 00 00 FF 00 00 FF"
    assert seen(0x9FFF) == [int(value, 16) for value in expected.split()]


@pytest.mark.parametrize("register", [0xFF42, 0xFF43, 0xFF47, 0xFF48, 0xFF4A, 0xFF4B])
@pytest.mark.parametrize("off_at", [200, 300, 1000, 66_000])
def test_a_register_written_with_the_lcd_off_does_not_wake_the_pipeline(register: int, off_at: int) -> None:
    gb = after_lcd_on(0)
    wait(gb, off_at)
    write(gb, LCDC, 0x01)
    write(gb, register, 3)
    assert not gb.ppu.pipe.active
    write(gb, LCDC, 0x81)
    assert not gb.ppu.pipe.active


def test_a_source_that_joins_an_active_one_requests_nothing() -> None:
    gb = after_lcd_on(0)
    wait(gb, 144 * 456 + 100)
    write(gb, STAT, 0x10)
    write(gb, IF, 0)
    write(gb, LYC, read(gb, LY))
    write(gb, STAT, 0x50)
    assert not read(gb, IF) & 2
