"""Flow: jumps, calls, returns.

For:     every instruction that sets PC.
Not for: interrupts and what else happens between two instructions (control.py).
Sources: RGBDS gbz80(7), by instruction; "Game Boy: Complete Technical Reference", for what each M-cycle does.
Proof:   tests/cpu/sm83/test_vectors.py, all opcodes named here.

PC already stands behind the instruction when a meaning runs. A relative jump's `target` arrives as an address.
"""

from __future__ import annotations

from tracklayer.lang import typed, u2, u16

from .operands import condition, pop16, push16
from .state import Bus, Cpu


@typed
def jp(cpu: Cpu, bus: Bus, target: u16) -> None:
    """JP and JR: an absolute jump costs its third byte more only because it has one."""
    bus.idle(0x0000)
    cpu.pc = target


@typed
def jp_cc(cpu: Cpu, bus: Bus, c: u2, target: u16) -> None:
    if condition(cpu, c):
        bus.idle(0x0000)
        cpu.pc = target


@typed
def jp_hl(cpu: Cpu, bus: Bus) -> None:
    """No idle cycle: HL goes to PC while the next opcode is being fetched from it."""
    cpu.pc = cpu.hl


@typed
def call(cpu: Cpu, bus: Bus, target: u16) -> None:
    """CALL and RST."""
    push16(cpu, bus, cpu.pc)
    cpu.pc = target


@typed
def call_cc(cpu: Cpu, bus: Bus, c: u2, target: u16) -> None:
    if condition(cpu, c):
        push16(cpu, bus, cpu.pc)
        cpu.pc = target


@typed
def ret(cpu: Cpu, bus: Bus) -> None:
    target = pop16(cpu, bus)
    bus.idle(0x0000)
    cpu.pc = target


@typed
def ret_cc(cpu: Cpu, bus: Bus, c: u2) -> None:
    """One M-cycle more than RET: the condition is looked at in a cycle of its own."""
    bus.idle(0x0000)
    if condition(cpu, c):
        target = pop16(cpu, bus)
        bus.idle(0x0000)
        cpu.pc = target


@typed
def reti(cpu: Cpu, bus: Bus) -> None:
    """RET, and interrupts are dispatched again at once: without the delay that EI has."""
    target = pop16(cpu, bus)
    bus.idle(0x0000)
    cpu.pc = target
    cpu.ime = 1
    cpu.ei_delay = 0
    if bus.requested():
        bus.attention()
