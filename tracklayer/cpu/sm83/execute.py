"""Running one instruction: from an opcode to its meaning, with its operands fetched.

For:     every engine. `execute` with a known opcode folds to that instruction alone.
Not for: what happens between instructions (control.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tracklayer.isa import Row, relative8
from tracklayer.isa.operands import Relative
from tracklayer.lang import typed, u8, u16

from .operands import next_byte
from .rows import SM83
from .state import Bus, Cpu

PREFIX = 0xCB
NOTHING, BYTE, WORD, DISTANCE = range(4)  # what has still to be fetched behind the opcode


class Form(NamedTuple):
    """An opcode, decoded: its meaning, the operands that it holds itself, and what is to be fetched for the last."""

    row: Row
    meaning: Callable[..., None]
    known: tuple[int, ...]
    tail: int


def _form(*opcode: int) -> Form:
    row, raw = SM83.decode(*opcode)
    missing = row.units - len(opcode)
    held = len(raw) - (missing > 0)
    known = row.operands(raw, 0)[:held]
    tail = DISTANCE if missing and isinstance(row.kinds[-1], Relative) else (NOTHING, BYTE, WORD)[missing]
    return Form(row, row.meaning, known, tail)


# Entry CB has no row of its own: what it means stands in the byte behind it.
FORMS: tuple[Form, ...] = tuple(_form(opcode, 0) if opcode == PREFIX else _form(opcode) for opcode in range(256))
FORMS_CB: tuple[Form, ...] = tuple(_form(PREFIX, opcode) for opcode in range(256))


@typed
def execute(cpu: Cpu, bus: Bus, opcode: u8) -> None:
    """Run the instruction of this opcode. PC stands behind the opcode; operands are fetched from there.

    When compiled, `opcode` must be known, and cannot be CB: use `execute_cb`.
    """
    if opcode == PREFIX:
        execute_cb(cpu, bus, next_byte(cpu, bus))
    else:
        form = FORMS[opcode]
        if form.tail == NOTHING:
            form.meaning(cpu, bus, *form.known)
        elif form.tail == BYTE:
            n = next_byte(cpu, bus)
            form.meaning(cpu, bus, *form.known, n)
        elif form.tail == WORD:
            low = next_byte(cpu, bus)
            high = next_byte(cpu, bus)
            form.meaning(cpu, bus, *form.known, high << 8 | low)
        else:
            distance = next_byte(cpu, bus)
            form.meaning(cpu, bus, *form.known, relative8(distance, cpu.pc))


@typed
def execute_cb(cpu: Cpu, bus: Bus, opcode: u8) -> None:
    """Run the instruction whose second byte, behind CB, is `opcode` (known, when compiled). PC stands behind both."""
    form = FORMS_CB[opcode]
    form.meaning(cpu, bus, *form.known)


@typed
def fetch_opcode(cpu: Cpu, bus: Bus) -> u8:
    """Fetch an opcode and step PC past it, unless the halt bug holds PC back.

    `halt_bug` is set only right after a boundary that `bus.attention` asked for: elsewhere `next_byte` does the same.
    """
    if cpu.halt_bug:
        cpu.halt_bug = 0
        return bus.fetch(cpu.pc)
    return next_byte(cpu, bus)


def step(cpu: Cpu, bus: Bus) -> None:
    """Fetch and run one instruction, in plain Python: the reference. The boundary before it is the caller's."""
    opcode = bus.fetch(cpu.pc)
    if cpu.halt_bug:
        cpu.halt_bug = 0
    else:
        cpu.pc = u16(cpu.pc + 1)
    execute(cpu, bus, opcode)
