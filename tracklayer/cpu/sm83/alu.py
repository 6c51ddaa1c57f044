"""Arithmetic, logic, shifts and bits.

For:     every instruction that sets flags.
Not for: moving data (load.py), flow (jump.py).
Sources: Pan Docs, "CPU registers and flags"; RGBDS gbz80(7), by instruction.
Proof:   tests/cpu/sm83/test_vectors.py, all opcodes named here.
"""

from __future__ import annotations

from tracklayer.lang import i8, typed, u1, u2, u3, u8, u16

from .operands import read_r, read_rr, write_r, write_rr
from .state import Bus, Cpu

# ---- primitives: they own the flags ----


@typed
def add8(cpu: Cpu, x: u8, carry_in: u1) -> None:
    """A <- A + x + carry_in; sets Z N H C. ADD and ADC both end here."""
    total = cpu.a + x + carry_in
    cpu.fh = (cpu.a & 0xF) + (x & 0xF) + carry_in > 0xF
    cpu.fc = total > 0xFF
    cpu.fn = 0
    cpu.a = u8(total)
    cpu.fz = cpu.a == 0


@typed
def compare8(cpu: Cpu, x: u8, borrow_in: u1) -> u8:
    """A - x - borrow_in; sets Z N H C, leaves A. SUB, SBC and CP all end here."""
    difference = cpu.a - x - borrow_in
    result = u8(difference)
    cpu.fh = (cpu.a & 0xF) - (x & 0xF) - borrow_in < 0
    cpu.fc = difference < 0
    cpu.fn = 1
    cpu.fz = result == 0
    return result


@typed
def logic8(cpu: Cpu, result: u8, half: u1) -> None:
    """A <- result of a bitwise operation. AND sets H, the others clear it (why, nobody has documented)."""
    cpu.a = result
    cpu.fz = result == 0
    cpu.fn = 0
    cpu.fh = half
    cpu.fc = 0


@typed
def inc8(cpu: Cpu, x: u8) -> u8:
    """x + 1; sets Z N H. C survives, so that INC can step a counter inside a multi-byte sum."""
    result = u8(x + 1)
    cpu.fz = result == 0
    cpu.fn = 0
    cpu.fh = x & 0xF == 0xF
    return result


@typed
def dec8(cpu: Cpu, x: u8) -> u8:
    """x - 1; sets Z N H, leaves C."""
    result = u8(x - 1)
    cpu.fz = result == 0
    cpu.fn = 1
    cpu.fh = x & 0xF == 0
    return result


@typed
def shifted(cpu: Cpu, result: u8, carry: u1) -> u8:
    """Flags of a rotate or shift: Z of the result, C the bit that fell out. Gives the result back."""
    cpu.fz = result == 0
    cpu.fn = 0
    cpu.fh = 0
    cpu.fc = carry
    return result


@typed
def rlc8(cpu: Cpu, x: u8) -> u8:
    """Rotate left: bit 7 goes to bit 0 and to C."""
    return shifted(cpu, u8(x << 1 | x >> 7), x >> 7)


@typed
def rrc8(cpu: Cpu, x: u8) -> u8:
    """Rotate right: bit 0 goes to bit 7 and to C."""
    return shifted(cpu, u8(x >> 1 | x << 7), x & 1)


@typed
def rl8(cpu: Cpu, x: u8) -> u8:
    """Rotate left through C: nine bits."""
    return shifted(cpu, u8(x << 1 | cpu.fc), x >> 7)


@typed
def rr8(cpu: Cpu, x: u8) -> u8:
    """Rotate right through C: nine bits."""
    return shifted(cpu, x >> 1 | cpu.fc << 7, x & 1)


@typed
def sp_plus(cpu: Cpu, e: u8) -> u16:
    """SP plus a signed byte. H and C come from the unsigned sum of the low bytes; Z and N are cleared."""
    cpu.fz = 0
    cpu.fn = 0
    cpu.fh = (cpu.sp & 0xF) + (e & 0xF) > 0xF
    cpu.fc = (cpu.sp & 0xFF) + e > 0xFF
    return u16(cpu.sp + i8(e))


# ---- 8-bit arithmetic and logic on A ----


@typed
def add_a_r(cpu: Cpu, bus: Bus, s: u3) -> None:
    add8(cpu, read_r(cpu, bus, s), 0)


@typed
def add_a_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    add8(cpu, n, 0)


@typed
def adc_a_r(cpu: Cpu, bus: Bus, s: u3) -> None:
    add8(cpu, read_r(cpu, bus, s), cpu.fc)


@typed
def adc_a_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    add8(cpu, n, cpu.fc)


@typed
def sub_a_r(cpu: Cpu, bus: Bus, s: u3) -> None:
    cpu.a = compare8(cpu, read_r(cpu, bus, s), 0)


@typed
def sub_a_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    cpu.a = compare8(cpu, n, 0)


@typed
def sbc_a_r(cpu: Cpu, bus: Bus, s: u3) -> None:
    cpu.a = compare8(cpu, read_r(cpu, bus, s), cpu.fc)


@typed
def sbc_a_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    cpu.a = compare8(cpu, n, cpu.fc)


@typed
def and_a_r(cpu: Cpu, bus: Bus, s: u3) -> None:
    x = read_r(cpu, bus, s)
    logic8(cpu, cpu.a & x, 1)


@typed
def and_a_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    logic8(cpu, cpu.a & n, 1)


@typed
def xor_a_r(cpu: Cpu, bus: Bus, s: u3) -> None:
    x = read_r(cpu, bus, s)
    logic8(cpu, cpu.a ^ x, 0)


@typed
def xor_a_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    logic8(cpu, cpu.a ^ n, 0)


@typed
def or_a_r(cpu: Cpu, bus: Bus, s: u3) -> None:
    x = read_r(cpu, bus, s)
    logic8(cpu, cpu.a | x, 0)


@typed
def or_a_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    logic8(cpu, cpu.a | n, 0)


@typed
def cp_a_r(cpu: Cpu, bus: Bus, s: u3) -> None:
    compare8(cpu, read_r(cpu, bus, s), 0)


@typed
def cp_a_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    compare8(cpu, n, 0)


@typed
def inc_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    write_r(cpu, bus, d, inc8(cpu, read_r(cpu, bus, d)))


@typed
def dec_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    write_r(cpu, bus, d, dec8(cpu, read_r(cpu, bus, d)))


@typed
def daa(cpu: Cpu, bus: Bus) -> None:
    """Make A decimal again after adding or subtracting packed decimal numbers: correct each digit that left 0 to 9.

    N tells which of the two it was. Source: Pan Docs, "CPU registers and flags"; RGBDS gbz80(7), DAA.
    """
    low = cpu.fh or (not cpu.fn and cpu.a & 0xF > 9)
    high = cpu.fc or (not cpu.fn and cpu.a > 0x99)
    correction = low * 0x06 + high * 0x60
    cpu.a = u8(cpu.a - correction if cpu.fn else cpu.a + correction)
    cpu.fz = cpu.a == 0
    cpu.fh = 0
    cpu.fc = high


@typed
def cpl(cpu: Cpu, bus: Bus) -> None:
    cpu.a = cpu.a ^ 0xFF
    cpu.fn = 1
    cpu.fh = 1


@typed
def scf(cpu: Cpu, bus: Bus) -> None:
    cpu.fn = 0
    cpu.fh = 0
    cpu.fc = 1


@typed
def ccf(cpu: Cpu, bus: Bus) -> None:
    cpu.fn = 0
    cpu.fh = 0
    cpu.fc = not cpu.fc


# ---- 16-bit arithmetic ----


@typed
def inc_rr(cpu: Cpu, bus: Bus, d: u2) -> None:
    """No flags: the address unit's incrementer does it, with the pair on the address bus."""
    bus.step(read_rr(cpu, d))
    write_rr(cpu, d, u16(read_rr(cpu, d) + 1))


@typed
def dec_rr(cpu: Cpu, bus: Bus, d: u2) -> None:
    bus.step(read_rr(cpu, d))
    write_rr(cpu, d, u16(read_rr(cpu, d) - 1))


@typed
def add_hl_rr(cpu: Cpu, bus: Bus, s: u2) -> None:
    """HL <- HL + rr; H is the carry out of bit 11, Z is left alone."""
    x = read_rr(cpu, s)
    total = cpu.hl + x
    cpu.fn = 0
    cpu.fh = (cpu.hl & 0xFFF) + (x & 0xFFF) > 0xFFF
    cpu.fc = total > 0xFFFF
    cpu.hl = u16(total)
    bus.idle(0x0000)


@typed
def add_sp_e(cpu: Cpu, bus: Bus, e: u8) -> None:
    bus.idle(0x0000)
    bus.idle(0x0000)
    cpu.sp = sp_plus(cpu, e)


@typed
def ld_hl_sp_e(cpu: Cpu, bus: Bus, e: u8) -> None:
    bus.idle(0x0000)
    cpu.hl = sp_plus(cpu, e)


# ---- rotates and shifts: the one-byte forms on A clear Z, the CB forms set it ----


@typed
def rlca(cpu: Cpu, bus: Bus) -> None:
    cpu.a = rlc8(cpu, cpu.a)
    cpu.fz = 0


@typed
def rrca(cpu: Cpu, bus: Bus) -> None:
    cpu.a = rrc8(cpu, cpu.a)
    cpu.fz = 0


@typed
def rla(cpu: Cpu, bus: Bus) -> None:
    cpu.a = rl8(cpu, cpu.a)
    cpu.fz = 0


@typed
def rra(cpu: Cpu, bus: Bus) -> None:
    cpu.a = rr8(cpu, cpu.a)
    cpu.fz = 0


@typed
def rlc_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    write_r(cpu, bus, d, rlc8(cpu, read_r(cpu, bus, d)))


@typed
def rrc_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    write_r(cpu, bus, d, rrc8(cpu, read_r(cpu, bus, d)))


@typed
def rl_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    write_r(cpu, bus, d, rl8(cpu, read_r(cpu, bus, d)))


@typed
def rr_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    write_r(cpu, bus, d, rr8(cpu, read_r(cpu, bus, d)))


@typed
def sla_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    x = read_r(cpu, bus, d)
    write_r(cpu, bus, d, shifted(cpu, u8(x << 1), x >> 7))


@typed
def sra_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    """Shift right, arithmetic: the sign bit stays."""
    x = read_r(cpu, bus, d)
    write_r(cpu, bus, d, shifted(cpu, x & 0x80 | x >> 1, x & 1))


@typed
def srl_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    x = read_r(cpu, bus, d)
    write_r(cpu, bus, d, shifted(cpu, x >> 1, x & 1))


@typed
def swap_r(cpu: Cpu, bus: Bus, d: u3) -> None:
    """Exchange the two digits."""
    x = read_r(cpu, bus, d)
    write_r(cpu, bus, d, shifted(cpu, u8(x << 4 | x >> 4), 0))


# ---- single bits ----


@typed
def bit_b_r(cpu: Cpu, bus: Bus, b: u3, s: u3) -> None:
    x = read_r(cpu, bus, s)
    cpu.fz = x >> b & 1 == 0
    cpu.fn = 0
    cpu.fh = 1


@typed
def res_b_r(cpu: Cpu, bus: Bus, b: u3, d: u3) -> None:
    x = read_r(cpu, bus, d)
    write_r(cpu, bus, d, x & (0xFF ^ 1 << b))


@typed
def set_b_r(cpu: Cpu, bus: Bus, b: u3, d: u3) -> None:
    x = read_r(cpu, bus, d)
    write_r(cpu, bus, d, u8(x | 1 << b))
