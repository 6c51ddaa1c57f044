"""Arithmetic against definitions that share nothing with it."""

from __future__ import annotations

from tracklayer.cpu.sm83 import SM83, Cpu, pack_f, unpack_f

from .flat import Flat


def run(opcode: int, cpu: Cpu, *operands: int) -> None:
    SM83.decode(opcode).row.meaning(cpu, Flat(), *operands)


def test_daa_makes_every_decimal_sum_and_difference_decimal() -> None:
    """Packed decimal arithmetic as defined by int(): for all pairs of two-digit numbers, with and without carry."""
    machine = Flat()
    daa = SM83.decode(0x27).row.meaning
    for operation, subtract in ((0xCE, False), (0xDE, True)):  # ADC A,n and SBC A,n
        meaning = SM83.decode(operation).row.meaning
        for x in range(100):
            for y in range(100):
                for carry in (0, 1):
                    cpu = machine.cpu
                    cpu.a, cpu.fc = int(str(x), 16), carry
                    meaning(cpu, machine, int(str(y), 16))
                    daa(cpu, machine)
                    exact = x - y - carry if subtract else x + y + carry
                    assert (cpu.a, cpu.fc) == (int(str(exact % 100), 16), not 0 <= exact < 100), (x, y, carry)
                    assert (cpu.fz, cpu.fn, cpu.fh) == (cpu.a == 0, subtract, 0)


def test_daa_of_every_value_and_flags() -> None:
    """The table of corrections, digit by digit: which 6 is added or taken, for all 2048 states."""
    machine = Flat()
    daa = SM83.decode(0x27).row.meaning
    for a in range(256):
        for flags in range(8):
            n, h, c = flags >> 2, flags >> 1 & 1, flags & 1
            cpu = machine.cpu
            cpu.a, cpu.fz, cpu.fn, cpu.fh, cpu.fc = a, 1, n, h, c
            daa(cpu, machine)
            units, tens = a & 15, a >> 4
            if n:
                six = 6 if h else 0
                sixty = 0x60 if c else 0
                expected = (a + 0x100 - six - sixty) % 0x100
            else:
                six = 6 if h or units >= 10 else 0
                sixty = 0x60 if c or tens >= 10 or (tens == 9 and units >= 10) else 0
                expected = (a + six + sixty) % 0x100
            assert (cpu.a, cpu.fz, cpu.fn, cpu.fh, cpu.fc) == (expected, expected == 0, n, 0, sixty != 0)


def test_f_packs_and_unpacks_and_its_low_bits_do_not_exist() -> None:
    cpu = Cpu()
    for value in range(256):
        unpack_f(cpu, value)
        assert pack_f(cpu) == value & 0xF0


def test_half_carry_is_the_carry_of_the_low_digit_alone() -> None:
    cpu = Cpu()
    for a in range(256):
        for n in range(0, 256, 7):
            for carry in (0, 1):
                cpu.a, cpu.fc = a, carry
                run(0xCE, cpu, n)
                assert (cpu.fh, cpu.fc) == (a % 16 + n % 16 + carry >= 16, a + n + carry >= 256)
                cpu.a, cpu.fc = a, carry
                run(0xDE, cpu, n)
                assert (cpu.fh, cpu.fc) == (a % 16 < n % 16 + carry, a < n + carry)


def test_sp_plus_e_takes_its_carries_from_the_unsigned_low_bytes() -> None:
    cpu = Cpu()
    cpu.sp, cpu.fz, cpu.fn = 0x0000, 1, 1
    run(0xF8, cpu, 0xFF)
    assert (cpu.hl, pack_f(cpu)) == (0xFFFF, 0x00)
    cpu.sp = 0x00FF
    run(0xF8, cpu, 0xFF)
    assert (cpu.hl, pack_f(cpu)) == (0x00FE, 0x30)
