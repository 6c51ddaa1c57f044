"""The waves of the four channels, tick by tick."""

from __future__ import annotations

import pytest

from tracklayer.machine.gb.apu import noise
from tracklayer.machine.gb.apu.state import CGB_C, CGB_D, CGB_E, DMG

from .bench import NR10, NR11, NR12, NR13, NR14, NR30, NR32, NR33, NR34, NR42, NR43, NR44, STEP, WAVE, Chip


def pulse(chip: Chip, period: int, duty: int = 3) -> Chip:
    return chip.write(NR11, duty << 6).write(NR12, 0xF0).write(NR13, period & 0xFF).write(NR14, 0x80 | period >> 8)


def outputs(chip: Chip, channel: int, count: int) -> list[int]:
    """Whether the channel's output is not 0, now and in the M-cycles that follow."""
    found = []
    for _ in range(count):
        found.append(int(chip.pcm(channel) > 0))
        chip.wait(1)
    return found


@pytest.mark.parametrize(("duty", "steps"), [(0, "00000010"), (1, "00000011"), (2, "00001111"), (3, "11111100")])
def test_the_duties_begin_three_cycles_after_the_trigger(duty: int, steps: str) -> None:
    found = outputs(pulse(Chip(CGB_E), 0x7FF, duty), 0, 19)
    assert found == [0, 0, 0, *[int(digit) for digit in steps * 2]]


def test_in_double_speed_a_trigger_waits_for_the_chips_clock() -> None:
    """SameSuite channel_1_align."""
    for late, first in ((0, 6), (1, 7), (2, 6), (3, 7)):
        chip = pulse(Chip(CGB_E, double=True).wait(late), 0x7FF)
        assert outputs(chip, 0, first + 1) == [0] * first + [1]


def test_a_second_trigger_comes_a_cycle_sooner_and_keeps_the_step() -> None:
    """SameSuite channel_1_restart."""
    chip = pulse(Chip(CGB_E), 0x7FC, 2).wait(6).write(NR14, 0x87)
    assert outputs(chip, 0, 18) == [0] * 17 + [1]


def test_a_trigger_after_a_stop_keeps_the_step_too() -> None:
    """SameSuite channel_1_stop_restart."""
    chip = pulse(Chip(CGB_E), 0x7FC, 2).wait(6).write(NR12, 0).write(NR12, 0x80).wait(9).write(NR14, 0x87)
    assert outputs(chip, 0, 19) == [0] * 18 + [1]


def test_a_period_counts_from_the_next_step() -> None:
    """SameSuite channel_1_freq_change: steps at 6, 8, 10, 12 and 14 cycles after the trigger."""
    chip = pulse(Chip(CGB_E), 0x7FC, 2).wait(2).write(NR13, 0xFE)
    assert outputs(chip, 0, 13) == [0] * 12 + [1]


@pytest.mark.parametrize(("revision", "reached"), [(CGB_C, 1), (CGB_D, 0), (CGB_E, 0)])
def test_a_period_written_just_after_a_step_counts_for_that_step(revision: int, reached: int) -> None:
    """SameSuite channel_1_freq_change_timing: on the later chips the step's second tick is soon enough."""
    chip = Chip(revision, double=True).wait(1)
    pulse(chip, 0x7FC, 0).wait(54).write(NR14, 0x00)
    assert outputs(chip.wait(20), 0, 1) == [reached]


def test_a_duty_counts_from_the_next_step() -> None:
    """SameSuite channel_1_duty_delay."""
    chip = pulse(Chip(CGB_E), 0x7F8).wait(12).write(NR11, 0)
    assert outputs(chip, 0, 8) == [1] * 6 + [0] * 2


def test_sweep_moves_the_period_up_and_stops_where_it_would_pass_eleven_bits() -> None:
    """SameSuite channel_1_sweep, round three: the check takes a cycle for each shift, and one more."""
    chip = Chip(CGB_E).wait(STEP + 20).write(NR10, 0x27)
    pulse(chip, 0x7F0, 2)
    chip.wait(6 * STEP - 20)
    assert chip.apu.pulses[0].period == 0x7F0
    assert chip.running == 1
    assert chip.apu.pulses[0].period == 0x7FF
    assert chip.wait(7).running == 1
    assert chip.wait(1).running == 0


def test_sweep_down_never_stops() -> None:
    chip = pulse(Chip(CGB_E).write(NR10, 0x1F), 0x7FF).wait(3 * STEP)
    assert chip.running == 1
    assert chip.apu.pulses[0].period == 0x7F0
    assert chip.wait(1000 * STEP).running == 1


def test_a_trigger_with_a_shift_is_checked() -> None:
    for shift, running in ((1, 0), (0, 1)):
        assert pulse(Chip(DMG).write(NR10, shift), 0x7FF).wait(20).running == running


def test_turning_from_subtraction_to_addition_stops_the_channel() -> None:
    chip = pulse(Chip(DMG).write(NR10, 0x19), 0x400).wait(20)
    assert chip.write(NR10, 0x1A).running == 1
    assert chip.write(NR10, 0x11).running == 0
    assert pulse(Chip(DMG).write(NR10, 0x18), 0x400).wait(20).write(NR10, 0x11).running == 1


def test_a_sweep_that_was_off_at_the_trigger_stays_off() -> None:
    """blargg dmg_sound 04-sweep."""
    chip = pulse(Chip(DMG), 0x7FF).write(NR10, 0x11)
    assert chip.wait(100 * STEP).running == 1


def wave(chip: Chip, period: int, ram: list[int] | None = None) -> Chip:
    for index in range(16):
        chip.write(WAVE + index, ram[index] if ram else index * 0x11)
    return chip.write(NR30, 0x80).write(NR32, 0x20).write(NR33, period & 0xFF).write(NR34, 0x80 | period >> 8)


def test_the_wave_begins_with_its_second_sample() -> None:
    """SameSuite channel_3_delay, channel_3_first_sample."""
    chip = wave(Chip(CGB_E, double=True), 0x700, [0xDE, *[0xFF] * 15])
    assert chip.wait(0x102).pcm(2) == 0
    assert chip.wait(1).pcm(2) == 0xE
    assert chip.wait(0x100).pcm(2) == 0xF


@pytest.mark.parametrize(("nr32", "sample"), [(0x00, 0), (0x20, 0xE), (0x40, 7), (0x60, 3)])
def test_nr32_shifts_the_sample_at_once(nr32: int, sample: int) -> None:
    chip = wave(Chip(CGB_E, double=True), 0x700, [0xDE] * 16).wait(0x110)
    assert chip.write(NR32, nr32).pcm(2) == sample


def test_the_wave_channel_shares_the_byte_that_it_reads_on_a_cgb() -> None:
    chip = wave(Chip(CGB_E), 0x700).wait(0x100 * 5 // 2 + 10)
    assert chip.read(WAVE + 9) == 0x22
    chip.write(WAVE + 9, 0x77).write(NR30, 0)
    assert [chip.read(WAVE + index) for index in (2, 9)] == [0x77, 0x99]


def test_a_dmg_reaches_wave_ram_only_when_a_sample_is_fetched() -> None:
    """gambatte ch3_reset_nr4init_freq7fd_read_ff30: fetches come 6, 9, 12... ticks after the trigger."""
    chip = wave(Chip(DMG), 0x7FD)
    found = []
    for _ in range(12):
        found.append(chip.read(WAVE))
        chip.wait(1)
    assert found == [0xFF, 0xFF, 0xFF, 0x00, 0xFF, 0xFF, 0x11, 0xFF, 0xFF, 0x22, 0xFF, 0xFF]


def test_a_trigger_while_a_sample_is_fetched_corrupts_wave_ram_on_a_dmg() -> None:
    """Pan Docs, "Obscure Behavior"."""
    for revision, first in ((DMG, [0x44, 0x55, 0x66, 0x77]), (CGB_E, [0x00, 0x11, 0x22, 0x33])):
        chip = wave(Chip(revision), 0x7FE)
        chip.wait(12).write(NR34, 0x87).write(NR30, 0)
        assert [chip.read(WAVE + index) for index in range(4)] == first


def naive(shifts: int, short: bool) -> int:
    """Pan Docs, "Noise channel (CH4)", with the 16th bit that the hardware has."""
    register = 0
    for _ in range(shifts):
        bit = int(register & 1 == register >> 1 & 1)
        register = register & 0x7FFF | bit << 15
        if short:
            register = register & 0xFF7F | bit << 7
        register >>= 1
    return register


@pytest.mark.parametrize("short", [0, 8])
def test_the_shift_register_takes_many_clocks_as_one(short: int) -> None:
    for clocks in (0, 1, 7, 15, 16, 17, 126, 127, 128, 500, 4000, 32767, 32768, 40000):
        assert noise.shift(0, short, clocks) == naive(clocks, bool(short))
    middle = naive(12345, False)
    assert noise.shift(noise.shift(middle, short, 77), short, 2000) == noise.shift(middle, short, 2077)
    assert noise.shift(0x7FFF, short, 1234) == 0x7FFF


def hiss(chip: Chip, nr43: int) -> Chip:
    return chip.write(NR42, 0xF0).write(NR43, nr43).write(NR44, 0x80)


@pytest.mark.parametrize(
    ("late", "nr43", "first"),
    [
        (20, 0x08, 3), (21, 0x08, 3), (20, 0x18, 4), (20, 0x28, 6),
        (20, 0x09, 5), (21, 0x09, 4), (20, 0x0A, 5), (21, 0x0A, 6), (20, 0x0B, 7), (21, 0x0B, 8),
        (20, 0x0C, 9), (21, 0x0C, 10), (20, 0x1A, 9), (21, 0x1A, 10), (20, 0x29, 11), (21, 0x29, 10),
    ],
)  # fmt: skip
def test_the_first_clock_of_noise_depends_on_when_power_came_on(late: int, nr43: int, first: int) -> None:
    """SameSuite channel_4_frequency_alignment, channel_4_delay: in M-cycles from the trigger."""
    chip = hiss(Chip(CGB_E).wait(late), nr43)
    chip.wait(first - 1).pcm(3)
    assert chip.apu.noise.lfsr == 0
    chip.wait(1).pcm(3)
    assert chip.apu.noise.lfsr == 0x4040


def test_noise_is_heard_from_the_seventh_or_fifteenth_clock_on() -> None:
    assert outputs(hiss(Chip(CGB_E), 0x08), 3, 16) == [0] * 15 + [1]
    assert outputs(hiss(Chip(CGB_E), 0x00), 3, 32) == [0] * 31 + [1]


def test_shifts_14_and_15_stop_the_noise() -> None:
    for nr43 in (0xE0, 0xF0):
        chip = hiss(Chip(CGB_E), nr43).wait(1 << 22)
        chip.pcm(3)
        assert chip.apu.noise.lfsr == 0
