"""How long an instruction takes at most, found by running its meaning.

For:     translators that compare a block's worst case with the time to the next event.
Not for: keeping time: each bus access spends its own M-cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from tracklayer.isa import Row

from .state import Bus, Cpu


class CountingBus:
    """A bus with nothing on it, which counts M-cycles, and accesses to data, a pair as one."""

    def __init__(self) -> None:
        self.cycles = 0
        self.accesses = 0
        self.writes = 0

    def read(self, address: int) -> int:
        self.cycles += 1
        self.accesses += 1
        return 0

    def write(self, address: int, value: int) -> None:
        self.cycles += 1
        self.accesses += 1
        self.writes += 1

    def read_pair(self, address: int) -> int:
        self.cycles += 2
        self.accesses += 1
        return 0

    def write_pair(self, address: int, value: int) -> None:
        self.cycles += 2
        self.accesses += 1
        self.writes += 1

    def fetch(self, address: int) -> int:
        self.cycles += 1
        return 0

    def idle(self, address: int) -> None:
        self.cycles += 1

    def step(self, address: int) -> None:
        self.cycles += 1

    def read_step(self, address: int) -> int:
        self.cycles += 1
        self.accesses += 1
        return 0

    def pending(self) -> int:
        return 0

    def requested(self) -> int:
        return 0

    def acknowledge(self, bit: int) -> None:
        pass

    def attention(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def breakpoint(self) -> None:
        pass


@cache
def _cycles(row: Row, fields: tuple[int, ...]) -> tuple[int, int, int, int]:
    counts = []
    data = []
    written = []
    for flags in range(4):  # every condition looks at Z or C
        cpu = Cpu()
        cpu.fz = flags & 1
        cpu.fc = flags >> 1
        bus: CountingBus = CountingBus()
        wired: Bus = bus
        row.meaning(cpu, wired, *row.operands(fields, 0))
        counts.append(row.units + bus.cycles)
        data.append(bus.accesses)
        written.append(bus.writes)
    return min(counts), max(counts), max(data), max(written)


def worst_cycles(row: Row, fields: Sequence[int]) -> int:
    """M-cycles that the instruction takes at most, opcode and operand fetches included. `fields` are raw, as decoded.

    Interrupt dispatch and time spent halted are not the instruction's.
    """
    return _cycles(row, tuple(fields))[1]


def best_cycles(row: Row, fields: Sequence[int]) -> int:
    """M-cycles that the instruction takes at least: where its condition does not hold."""
    return _cycles(row, tuple(fields))[0]


def accesses(row: Row, fields: Sequence[int]) -> int:
    """How often the instruction reads or writes data at most, a pair counted as one. `fields` are raw, as decoded."""
    return _cycles(row, tuple(fields))[2]


def writes(row: Row, fields: Sequence[int]) -> bool:
    """Whether the instruction may write data. `fields` are raw, as decoded."""
    return _cycles(row, tuple(fields))[3] > 0
