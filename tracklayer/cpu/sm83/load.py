"""Moving data: registers, memory, the stack.

For:     every LD, LDH, PUSH and POP.
Not for: LD HL,SP+e, which sets flags (alu.py).
Sources: RGBDS gbz80(7), by instruction; "Game Boy: Complete Technical Reference", for what each M-cycle does.
Proof:   tests/cpu/sm83/test_vectors.py, all opcodes named here.
"""

from __future__ import annotations

from tracklayer.lang import typed, u1, u2, u3, u8, u16

from .operands import pop16, push16, read_qq, read_r, read_rr, write_qq, write_r, write_rr
from .state import Bus, Cpu


@typed
def ld_r_r(cpu: Cpu, bus: Bus, d: u3, s: u3) -> None:
    write_r(cpu, bus, d, read_r(cpu, bus, s))


@typed
def ld_b_b(cpu: Cpu, bus: Bus) -> None:
    """Moves nothing, so test programs took it for "breakpoint": the bus hears of it."""
    bus.breakpoint()


@typed
def ld_r_n(cpu: Cpu, bus: Bus, d: u3, n: u8) -> None:
    write_r(cpu, bus, d, n)


@typed
def ld_rr_n(cpu: Cpu, bus: Bus, d: u2, n: u16) -> None:
    write_rr(cpu, d, n)


@typed
def ld_at_rr_a(cpu: Cpu, bus: Bus, d: u1) -> None:
    bus.write(read_rr(cpu, d), cpu.a)


@typed
def ld_a_at_rr(cpu: Cpu, bus: Bus, s: u1) -> None:
    cpu.a = bus.read(read_rr(cpu, s))


@typed
def ld_at_hl_inc_a(cpu: Cpu, bus: Bus) -> None:
    bus.write(cpu.hl, cpu.a)
    cpu.hl = u16(cpu.hl + 1)


@typed
def ld_at_hl_dec_a(cpu: Cpu, bus: Bus) -> None:
    bus.write(cpu.hl, cpu.a)
    cpu.hl = u16(cpu.hl - 1)


@typed
def ld_a_at_hl_inc(cpu: Cpu, bus: Bus) -> None:
    cpu.a = bus.read_step(cpu.hl)
    cpu.hl = u16(cpu.hl + 1)


@typed
def ld_a_at_hl_dec(cpu: Cpu, bus: Bus) -> None:
    cpu.a = bus.read_step(cpu.hl)
    cpu.hl = u16(cpu.hl - 1)


@typed
def ld_at_n_a(cpu: Cpu, bus: Bus, n: u16) -> None:
    bus.write(n, cpu.a)


@typed
def ld_a_at_n(cpu: Cpu, bus: Bus, n: u16) -> None:
    cpu.a = bus.read(n)


@typed
def ldh_at_n_a(cpu: Cpu, bus: Bus, n: u8) -> None:
    """The page FF00-FFFF holds I/O registers and HRAM, hence this shorter form."""
    bus.write(0xFF00 + n, cpu.a)


@typed
def ldh_a_at_n(cpu: Cpu, bus: Bus, n: u8) -> None:
    cpu.a = bus.read(0xFF00 + n)


@typed
def ldh_at_c_a(cpu: Cpu, bus: Bus) -> None:
    bus.write(0xFF00 + (cpu.bc & 0xFF), cpu.a)


@typed
def ldh_a_at_c(cpu: Cpu, bus: Bus) -> None:
    cpu.a = bus.read(0xFF00 + (cpu.bc & 0xFF))


@typed
def ld_at_n_sp(cpu: Cpu, bus: Bus, n: u16) -> None:
    bus.write(n, cpu.sp & 0xFF)
    bus.write(u16(n + 1), cpu.sp >> 8)


@typed
def ld_sp_hl(cpu: Cpu, bus: Bus) -> None:
    bus.idle(cpu.hl)
    cpu.sp = cpu.hl


@typed
def push_qq(cpu: Cpu, bus: Bus, s: u2) -> None:
    push16(cpu, bus, read_qq(cpu, s))


@typed
def pop_qq(cpu: Cpu, bus: Bus, d: u2) -> None:
    write_qq(cpu, d, pop16(cpu, bus))
