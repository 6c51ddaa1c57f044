"""Lengths, envelopes and power, by the sequencer's steps."""

from __future__ import annotations

import ctypes
import random

import pytest

from tracklayer.machine.gb.apu import sequencer
from tracklayer.machine.gb.apu.state import CGB_B, CGB_C, CGB_E, DMG, Apu

from .bench import (
    NR10,
    NR11,
    NR12,
    NR13,
    NR14,
    NR21,
    NR22,
    NR24,
    NR30,
    NR31,
    NR34,
    NR42,
    NR44,
    NR50,
    NR51,
    NR52,
    STEP,
    WAVE,
    Chip,
)


@pytest.mark.parametrize("revision", [DMG, CGB_E])
def test_registers_read_back_with_their_unused_bits_set(revision: int) -> None:
    chip = Chip(revision)
    ones = bytes.fromhex("803F00FFBF FF3F00FFBF 7FFF9FFFBF FFFF0000BF 000070")
    for value in (0x00, 0x3A, 0x7F):  # never bit 7: it would trigger channels, or leave power on
        for register in range(NR52):
            chip.write(register, value)
            assert chip.read(register) == value | ones[register]
    assert chip.read(NR52) == 0xF0
    assert [chip.read(register) for register in range(0x17, 0x20)] == [0xFF] * 9


def test_a_long_time_at_once_is_as_good_as_many_short_ones() -> None:
    dice = random.Random(8)
    leapt = 0
    for _ in range(300):
        chip = Chip(dice.choice((DMG, CGB_C, CGB_E)))
        for _ in range(dice.randrange(12)):
            register = dice.choice((NR10, NR11, NR12, NR13, NR14, NR21, NR22, NR24, NR34, NR42, NR44))
            value = dice.randrange(256)
            chip.write(
                register, value & 0xBF if register in (NR14, NR24, NR34, NR44) and dice.random() < 0.7 else value
            )
            chip.wait(dice.choice((0, 1, 900, STEP, 5 * STEP)))
        chip.settle()
        at_once, slowly = chip, Chip(DMG)
        slowly.now = chip.now
        ctypes.memmove(ctypes.addressof(slowly.apu), ctypes.addressof(chip.apu), ctypes.sizeof(chip.apu))
        for _ in range(4):
            time = dice.randrange(60 * STEP)
            for _ in range(time // (STEP // 2)):
                slowly.wait(STEP // 2)
                sequencer.catch_up(slowly.apu, slowly.now)
            slowly.now = at_once.now + time * at_once.cycle
            before, passed = at_once.apu.edge_at, at_once.wait(time).now
            probe = Apu.from_buffer_copy(at_once.apu)  # type: ignore[attr-defined]
            if before + sequencer.ROUND <= passed:
                sequencer.leap(probe, passed)
            leapt += probe.edge_at != before
            assert at_once.settle() == slowly.settle()
    assert leapt > 300


@pytest.mark.parametrize("revision", [DMG, CGB_E])
def test_power_off_clears_all_but_wave_ram(revision: int) -> None:
    chip = Chip(revision)
    chip.write(WAVE + 5, 0xA7)
    for register in range(NR52):
        chip.write(register, 0x7F)
    chip.write(NR52, 0).write(NR50, 0x77).write(NR51, 0x12)
    assert chip.read(NR52) == 0x70
    assert chip.read(NR50) == chip.read(NR51) == chip.read(NR12) == 0
    assert chip.read(WAVE + 5) == 0xA7
    assert chip.write(WAVE + 5, 0x11).read(WAVE + 5) == 0x11


def test_length_counters_outlive_power_on_a_dmg_alone() -> None:
    for revision, runs_for in ((DMG, 3), (CGB_E, 127)):
        chip = Chip(revision).write(NR11, 64 - 2)
        chip.write(NR52, 0).write(NR52, 0x80)
        chip.write(NR12, 0xF0).write(NR14, 0xC0)
        chip.wait(runs_for * STEP - 1)
        assert chip.running == 1
        assert chip.wait(1).running == 0


def test_a_dmg_takes_lengths_without_power() -> None:
    for revision, runs_for in ((DMG, 1), (CGB_E, 127)):
        chip = Chip(revision, power=False).write(NR11, 63)
        chip.write(NR52, 0x80).write(NR12, 0xF0).write(NR14, 0xC0)
        assert chip.wait(runs_for * STEP - 1).running == 1
        assert chip.wait(1).running == 0


@pytest.mark.parametrize(("length", "steps"), [(1, 1), (2, 3), (5, 9)])
def test_every_other_step_clocks_lengths(length: int, steps: int) -> None:
    chip = Chip(CGB_E).write(NR21, 64 - length).write(NR21 + 1, 0xF0).write(NR24, 0xC0)
    assert chip.wait(steps * STEP - 1).running == 2
    assert chip.wait(1).running == 0


@pytest.mark.parametrize(("length", "steps"), [(2, 2), (3, 4)])
def test_power_while_the_dividers_bit_is_high_skips_a_step(length: int, steps: int) -> None:
    """The trigger comes before a step without a length clock, so one clock is had at once."""
    chip = Chip(CGB_E, power=False).wait(STEP // 2).write(NR52, 0x80)
    chip.write(NR11, 64 - length).write(NR12, 0xF0).write(NR14, 0xC0)
    assert chip.wait(steps * STEP - STEP // 2 - 1).running == 1
    assert chip.wait(1).running == 0


def test_power_sees_the_dividers_bit_of_the_next_cycle() -> None:
    """gambatte sound/ch2_late_reset_nr52_1a to 2b."""
    for at, steps in ((STEP // 2 - 2, 5), (STEP // 2 - 1, 4)):
        chip = Chip(DMG, power=False).wait(at).write(NR52, 0x80)
        chip.write(NR21, 0x3D).write(NR21 + 1, 0xF0).write(NR24, 0xC7)
        assert chip.wait(steps * STEP - at - 1).running == 2
        assert chip.wait(1).running == 0


def test_clearing_the_divider_is_a_step_while_its_bit_is_high() -> None:
    chip = Chip(CGB_E).write(NR11, 63).write(NR12, 0xF0).write(NR14, 0xC0)
    chip.wait(STEP // 2 - 1).clear_divider()
    assert chip.running == 1
    chip.wait(STEP // 2).clear_divider()
    assert chip.running == 0


def test_enabling_a_length_between_its_clocks_is_a_clock() -> None:
    chip = Chip(CGB_E).write(NR11, 64 - 2).write(NR12, 0xF0).write(NR14, 0x80).wait(STEP)
    chip.write(NR14, 0x40)
    assert chip.running == 1
    chip.write(NR14, 0x00).write(NR14, 0x40)
    assert chip.running == 0


def test_enabling_a_length_before_its_clock_is_none() -> None:
    chip = Chip(CGB_E).write(NR11, 63).write(NR12, 0xF0).write(NR14, 0x80).write(NR14, 0x40)
    assert chip.running == 1


def test_up_to_cgb_b_disabling_is_a_clock_too() -> None:
    for revision, running in ((CGB_B, 0), (CGB_C, 1), (DMG, 1)):
        chip = Chip(revision).write(NR11, 63).write(NR12, 0xF0).write(NR14, 0x80).wait(STEP).write(NR14, 0x00)
        assert chip.running == running


def test_a_trigger_refills_a_length_that_ran_out() -> None:
    for wait, steps in ((0, 127), (STEP, 126)):  # between clocks one is lost at once: 63 of 64 are left
        chip = Chip(CGB_E).wait(wait).write(NR42, 0xF0).write(NR44, 0xC0)
        assert chip.wait(steps * STEP - 1).running == 8
        assert chip.wait(1).running == 0


def test_the_wave_channel_has_the_longer_counter() -> None:
    chip = Chip(CGB_E).write(NR30, 0x80).write(NR31, 0).write(NR34, 0xC0)
    assert chip.wait(511 * STEP - 1).running == 4
    assert chip.wait(1).running == 0


def loud(chip: Chip, nr12: int) -> Chip:
    """Channel 1 with a duty that is mostly high, at its quickest."""
    return chip.write(NR11, 0xC0).write(NR12, nr12).write(NR13, 0xFF).write(NR14, 0x87)


def volume(chip: Chip) -> int:
    return max(chip.wait(1).pcm(0) for _ in range(8))


def test_the_eighth_step_moves_the_volume() -> None:
    chip = loud(Chip(CGB_E), 0x81)
    assert volume(chip.wait(8 * STEP - 10)) == 8
    assert volume(chip.wait(10)) == 7
    chip = loud(Chip(CGB_E), 0x8A)
    assert volume(chip.wait(16 * STEP - 10)) == 8
    assert volume(chip.wait(10)) == 9


def test_the_volume_stays_at_its_ends() -> None:
    assert volume(loud(Chip(CGB_E), 0xD9).wait(64 * STEP)) == 15
    assert volume(loud(Chip(CGB_E), 0x21).wait(64 * STEP)) == 0
    assert loud(Chip(CGB_E), 0x21).wait(64 * STEP).running == 1


def test_a_pace_that_was_zero_moves_the_volume_at_the_next_step() -> None:
    """SameSuite channel_1_nrx2_speed_change, test 6: at once by one, at the second step, then each eighth."""
    chip = loud(Chip(CGB_E), 0x08).wait(STEP // 2 + 3).write(NR12, 0x09)
    assert volume(chip) == 1
    assert volume(chip.wait(STEP)) == 1
    assert volume(chip.wait(STEP // 2)) == 2
    assert volume(chip.wait(5 * STEP)) == 2
    assert volume(chip.wait(STEP)) == 3


ROWS = (
    # old direction and pace, new ones; the volume becomes
    ((0, 0), (0, 0), lambda v: v),
    ((0, 0), (0, 1), lambda v: v - 1),
    ((0, 0), (8, 0), lambda v: 15 - v),
    ((0, 0), (8, 1), lambda v: 15 - v),
    ((0, 1), (0, 0), lambda v: v),
    ((0, 1), (0, 1), lambda v: v),
    ((0, 1), (8, 0), lambda v: 14 - v),
    ((0, 1), (8, 1), lambda v: 14 - v),
    ((8, 0), (0, 0), lambda v: 16 - v),
    ((8, 0), (0, 1), lambda v: 15 - v),
    ((8, 0), (8, 0), lambda v: v + 1),
    ((8, 0), (8, 1), lambda v: v + 1),
    ((8, 1), (0, 0), lambda v: 16 - v),
    ((8, 1), (0, 1), lambda v: 16 - v),
    ((8, 1), (8, 0), lambda v: v),
    ((8, 1), (8, 1), lambda v: v),
)


@pytest.mark.parametrize(("old", "new", "becomes"), ROWS)
def test_writing_nrx2_changes_the_volume_at_once(old: tuple[int, int], new: tuple[int, int], becomes: object) -> None:
    """SameSuite channel_1_volume: what a CGB E does."""
    for start in (1, 4, 7, 8, 10, 14, 15):
        chip = loud(Chip(CGB_E), start << 4 | sum(old)).write(NR12, 0xF0 | sum(new))
        assert volume(chip) == becomes(start) & 15  # type: ignore[operator]


@pytest.mark.parametrize("old", [0x00, 0x01, 0x08, 0x09])
@pytest.mark.parametrize("new", [0x00, 0x01, 0x08, 0x09])
def test_on_older_chips_it_does_as_pan_docs_says(old: int, new: int) -> None:
    """Pan Docs, "Obscure Behavior": the three rules for CGB-02 and CGB-04."""
    for start in range(1, 16):
        expected = start
        if old & 7 == 0:
            expected += 1
        elif old & 8 == 0:
            expected += 2
        if (old ^ new) & 8:
            expected = 16 - expected
        assert volume(loud(Chip(CGB_C), start << 4 | old).write(NR12, 0xF0 | new)) == expected & 15


def test_a_dac_turned_off_turns_the_channel_off() -> None:
    chip = loud(Chip(CGB_E), 0xF0)
    assert chip.running == 1
    assert chip.write(NR12, 0x07).running == 0
    assert chip.write(NR14, 0x87).running == 0
    assert chip.write(NR12, 0x08).write(NR14, 0x87).running == 1
