"""Serial port, joypad, OAM DMA and interrupts of machine/gb, each by what the guest sees of it."""

from __future__ import annotations

import pytest

from tracklayer.machine.gb import build, joypad

from .bench import console, read, wait, write

IF, IE, SB, SC, P1, DMA, STAT, LCDC = 0xFF0F, 0xFFFF, 0xFF01, 0xFF02, 0xFF00, 0xFF46, 0xFF41, 0xFF40


def test_a_transfer_takes_eight_clocks_shifts_ones_in_and_requests_its_interrupt() -> None:
    gb = console()
    write(gb, 0xFF04, 0)
    write(gb, IF, 0)
    write(gb, SB, 0x35)
    write(gb, SC, 0x81)
    wait(gb, 8 * 512 - 32)
    assert read(gb, SC) & 0x80
    wait(gb, 32)
    assert (read(gb, SC) & 0x80, read(gb, SB), read(gb, IF) >> 3 & 1) == (0, 0xFF, 1)


def test_bytes_sent_are_kept_for_the_host_once() -> None:
    gb = console()
    for byte in b"hello":
        write(gb, SB, byte)
        write(gb, SC, 0x81)
        wait(gb, 5000)
    assert build.take_sent(gb) == b"hello"
    assert build.take_sent(gb) == b""


@pytest.mark.parametrize(("select", "low"), [(0x20, 0x0E), (0x10, 0x0D), (0x00, 0x0C), (0x30, 0x0F)])
def test_p1_shows_the_selected_buttons_as_zeros(select: int, low: int) -> None:
    gb = console()
    gb.press(joypad.RIGHT | joypad.B)
    write(gb, P1, select)
    assert read(gb, P1) == 0xC0 | select | low


def test_a_selected_button_requests_its_interrupt_when_it_goes_down_only() -> None:
    gb = console()
    write(gb, P1, 0x10)
    write(gb, IF, 0)
    gb.press(joypad.START)
    assert read(gb, IF) >> 4 & 1
    write(gb, IF, 0)
    gb.press(0)
    assert not read(gb, IF) >> 4 & 1


def test_oam_dma_copies_160_bytes_after_its_delay_and_closes_oam_meanwhile() -> None:
    gb = console()
    write(gb, LCDC, 0)
    for index in range(160):
        write(gb, 0xC000 + index, index ^ 0x5A)
    write(gb, DMA, 0xC0)
    assert gb.dma.blocking
    wait(gb, 4)
    assert read(gb, 0xFE00) == 0xFF
    wait(gb, 640)
    assert [read(gb, 0xFE00 + index) for index in range(160)] == [index ^ 0x5A for index in range(160)]
    assert not gb.dma.blocking


def test_hram_stays_open_during_oam_dma_and_the_rest_of_the_bus_does_not() -> None:
    gb = console()
    write(gb, 0xFF90, 0x12)
    write(gb, 0xC800, 0x34)
    write(gb, DMA, 0xC0)
    wait(gb, 40)
    assert read(gb, 0xFF90) == 0x12
    assert read(gb, 0xC800) != 0x34


def test_if_reads_its_three_missing_bits_as_one_and_ie_keeps_all_eight() -> None:
    gb = console()
    write(gb, IF, 0)
    assert read(gb, IF) & 0xE0 == 0xE0
    write(gb, IE, 0xFF)
    assert read(gb, IE) == 0xFF
