"""The SM83's registers, and what the processor needs from whatever it is wired to.

For:     the state that meanings change, and the bus that they speak to.
Not for: memory, timing of devices, interrupt sources: those belong to a machine.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import struct, typed, u1, u3, u8, u16


@struct
class Cpu:
    """Registers and latches. F lives as four separate flags: they are set far more often than F is read whole.

    Source: Pan Docs, "CPU registers and flags" and "Interrupts".
    """

    pc: u16
    sp: u16
    bc: u16
    de: u16
    hl: u16
    a: u8
    fz: u1  # the result was zero
    fn: u1  # the last operation was a subtraction (for DAA)
    fh: u1  # carry out of bit 3 (for DAA)
    fc: u1  # carry
    ime: u1  # interrupts are dispatched
    ei_delay: u8  # instruction boundaries until EI takes effect; 0 when none is on its way
    halted: u8  # HALT waits for an interrupt request
    halt_bug: u1  # the next opcode fetch does not advance PC
    stopped: u8  # STOP was executed; the machine clears it
    locked: u8  # an illegal opcode was executed; only a reset helps


class Bus(Protocol):
    """What the processor is wired to. Every method of the first group takes one M-cycle, or two that no other part of
    the processor comes between; the others take no time."""

    def read(self, address: u16) -> u8:
        """Read a byte of data."""
        ...

    def write(self, address: u16, value: u8) -> None:
        """Write a byte."""
        ...

    def read_pair(self, address: u16) -> u16:
        """Read two bytes of data: the low one at `address`, as `read_step` does, then the high one behind it."""
        ...

    def write_pair(self, address: u16, value: u16) -> None:
        """Write two bytes: the high one behind `address`, then the low one at it."""
        ...

    def fetch(self, address: u16) -> u8:
        """Read a byte of code: an opcode or an operand."""
        ...

    def idle(self, address: u16) -> None:
        """An M-cycle without an access. `address` stands on the address bus meanwhile."""
        ...

    def step(self, address: u16) -> None:
        """An M-cycle in which the address unit adds 1 to `address`, or subtracts it, and nothing else happens.

        The machine sees the address on its bus. Where a write goes with a step, the write is all that it sees.
        """
        ...

    def read_step(self, address: u16) -> u8:
        """Read a byte of data, while the address unit steps its address."""
        ...

    def pending(self) -> u8:
        """The interrupts that are both requested and enabled: IE & IF & 0x1F."""
        ...

    def requested(self) -> u8:
        """The same, as far as it is known: a request that comes by itself has `control.between` run then."""
        ...

    def acknowledge(self, bit: u3) -> None:
        """Clear one bit of IF: its interrupt is being dispatched."""
        ...

    def attention(self) -> None:
        """Have the engine run `control.between` before the next instruction."""
        ...

    def stop(self) -> None:
        """STOP was executed."""
        ...

    def breakpoint(self) -> None:
        """LD B,B was executed: test programs use it to say that they are done."""
        ...


@typed
def pack_f(cpu: Cpu) -> u8:
    """The flag register as PUSH AF sees it: Z N H C in bits 7 to 4, the rest zero."""
    return cpu.fz << 7 | cpu.fn << 6 | cpu.fh << 5 | cpu.fc << 4


@typed
def unpack_f(cpu: Cpu, value: u8) -> None:
    """Set the flags from a byte, as POP AF does. Bits 3 to 0 do not exist and are lost."""
    cpu.fz = value >> 7 & 1
    cpu.fn = value >> 6 & 1
    cpu.fh = value >> 5 & 1
    cpu.fc = value >> 4 & 1
