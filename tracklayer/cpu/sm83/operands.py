"""Reading and writing what the SM83's operand fields name: registers, pairs, conditions, the stack.

For:     the few primitives that every meaning is made of.
Not for: arithmetic and flags (alu.py).

Once a field is known, each of these folds to one register or one memory access. Field 6 of an 8-bit operand is the byte
at HL: reading or writing it takes the M-cycle that the manual's extra cycles are made of.
"""

from __future__ import annotations

from tracklayer.lang import typed, u1, u2, u3, u8, u16

from .state import Bus, Cpu, pack_f, unpack_f

AT_HL = 6


@typed
def read_r(cpu: Cpu, bus: Bus, s: u3) -> u8:
    """The 8-bit operand B, C, D, E, H, L, [HL] or A."""
    if s == 7:
        return cpu.a
    if s == 0:
        return cpu.bc >> 8
    if s == 1:
        return cpu.bc & 0xFF
    if s == 2:
        return cpu.de >> 8
    if s == 3:
        return cpu.de & 0xFF
    if s == 4:
        return cpu.hl >> 8
    if s == 5:
        return cpu.hl & 0xFF
    return bus.read(cpu.hl)


@typed
def write_r(cpu: Cpu, bus: Bus, d: u3, value: u8) -> None:
    """Store to B, C, D, E, H, L, [HL] or A."""
    if d == 7:
        cpu.a = value
    elif d == 0:
        cpu.bc = value << 8 | cpu.bc & 0xFF
    elif d == 1:
        cpu.bc = cpu.bc & 0xFF00 | value
    elif d == 2:
        cpu.de = value << 8 | cpu.de & 0xFF
    elif d == 3:
        cpu.de = cpu.de & 0xFF00 | value
    elif d == 4:
        cpu.hl = value << 8 | cpu.hl & 0xFF
    elif d == 5:
        cpu.hl = cpu.hl & 0xFF00 | value
    else:
        bus.write(cpu.hl, value)


@typed
def read_rr(cpu: Cpu, s: u2) -> u16:
    """The register pair BC, DE, HL or SP."""
    if s == 0:
        return cpu.bc
    if s == 1:
        return cpu.de
    if s == 2:
        return cpu.hl
    return cpu.sp


@typed
def write_rr(cpu: Cpu, d: u2, value: u16) -> None:
    """Store to BC, DE, HL or SP."""
    if d == 0:
        cpu.bc = value
    elif d == 1:
        cpu.de = value
    elif d == 2:
        cpu.hl = value
    else:
        cpu.sp = value


@typed
def read_qq(cpu: Cpu, s: u2) -> u16:
    """The register pair as PUSH names it: BC, DE, HL or AF."""
    if s == 3:
        return cpu.a << 8 | pack_f(cpu)
    return read_rr(cpu, s)


@typed
def write_qq(cpu: Cpu, d: u2, value: u16) -> None:
    """Store to a register pair as POP names it: BC, DE, HL or AF."""
    if d == 3:
        cpu.a = value >> 8
        unpack_f(cpu, value & 0xFF)
    else:
        write_rr(cpu, d, value)


@typed
def condition(cpu: Cpu, c: u2) -> u1:
    """Whether the condition NZ, Z, NC or C holds."""
    if c == 0:
        return not cpu.fz
    if c == 1:
        return cpu.fz
    if c == 2:
        return not cpu.fc
    return cpu.fc


@typed
def push16(cpu: Cpu, bus: Bus, value: u16) -> None:
    """Push a pair in three M-cycles. The first only decrements SP, which stands on the address bus meanwhile.

    Source: "Game Boy: Complete Technical Reference", PUSH rr.
    """
    bus.step(cpu.sp)
    cpu.sp = u16(cpu.sp - 2)
    bus.write_pair(cpu.sp, value)


@typed
def pop16(cpu: Cpu, bus: Bus) -> u16:
    """Pop a pair in two M-cycles, low byte first."""
    value = bus.read_pair(cpu.sp)
    cpu.sp = u16(cpu.sp + 2)
    return value


@typed
def next_byte(cpu: Cpu, bus: Bus) -> u8:
    """Fetch the byte at PC and step PC past it."""
    value = bus.fetch(cpu.pc)
    cpu.pc = u16(cpu.pc + 1)
    return value
