"""Random programs for the toy machine: memory full of instructions, many of which write to others.

For:     `soup(dice)`, a ROM and what RAM begins with; `lockstep`, which runs them on engines side by side.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from .toy import BANK, TOY, new_rom, new_toy, state

JUMPS = ("JMP", "CALL", "BZ", "BNZ", "BC", "TRAP", "JMPR", "RET", "RTI")
EDGES = (0x1FFC, 0x2000, 0x3FFC, 0x4000, 0x40FC, 0x4100, 0x5FFE, 0x6000, 0xBFFC, 0xC000, 0xFFFC)


def address(dice: random.Random) -> int:
    """An address that matters: code, the edges of pages and windows, devices, the stack."""
    how = dice.random()
    if how < 0.3:
        return dice.randrange(0x200)
    if how < 0.6:
        return 0x4000 + dice.randrange(0x200)
    if how < 0.75:
        return dice.choice(EDGES) + dice.randint(-4, 4) & 0xFFFF
    if how < 0.9:
        asks = 0xC3FF if dice.random() < 0.1 else 0xC100
        return dice.choice((0xC000, 0xC100, 0xC2FF, asks)) + dice.randrange(16)
    return dice.randrange(0x10000)


def instructions(dice: random.Random, size: int, jumps: float) -> bytes:
    """Random instructions, back to back."""
    rows = [row for row in TOY.rows if row.mnemonic not in JUMPS]
    leaps = [row for row in TOY.rows if row.mnemonic in JUMPS]
    made = bytearray()
    while len(made) < size:
        row = dice.choice(leaps if dice.random() < jumps else rows)
        raw = [dice.randrange(1 << field.bits) for field in row.fields]
        for number, field in enumerate(row.fields):
            if field.bits == 16:
                raw[number] = address(dice)
            elif row.mnemonic in ("BZ", "BNZ", "BC"):
                raw[number] = dice.randint(-40, 40) & 0xFF
        made += TOY.encode(row, raw)
        if dice.random() < 0.01:
            made += bytes([dice.randrange(256)])  # instructions may begin anywhere
    return bytes(made[:size])


def soup(dice: random.Random) -> tuple[Any, bytes]:
    """A ROM of five banks, and RAM."""
    jumps = dice.choice((0.05, 0.15, 0.3))
    rom = bytearray(instructions(dice, 5 * BANK, jumps))
    for vector in range(0x10, 0x80, 16):
        rom[vector : vector + 4] = TOY.encode(TOY.rows[17], [address(dice)])  # JMP
    return new_rom(bytes(rom)), instructions(dice, 0x8000, jumps)


def consoles(dice: random.Random, engines: Sequence[Any], on_hook: Any = None) -> list[Any]:
    """Equal consoles, one for each engine."""
    rom, ram = soup(dice)
    period, made = dice.choice((50, 333, 5000)), []
    for engine in engines:
        toy = new_toy(rom, period)
        toy.ram[:] = ram
        toy.r3 = 0x4000
        toy.enabled = 1
        engine.attach(toy, on_hook)
        made.append(toy)
    return made


def describe(toys: Sequence[Any]) -> str:
    """What registers and where memory differ."""
    names = ("pc", "r0", "r1", "r2", "r3", "sp", "zero", "carry", "enabled", "saved", "bank", "counted", "systems")
    lines = []
    for toy in toys:
        shown = " ".join(f"{name}={getattr(toy, name):x}" for name in names)
        clock = toy.clock
        lines.append(f"now={clock.now()} left={clock.left} stop={clock.stop} ran={clock.instructions} {shown}")
    first = bytes(toys[0].ram)
    lines += [
        f"ram {0x4000 + at:x}: {first[at]:x} {toy.ram[at]:x}"
        for toy in toys[1:]
        for at in range(0x8000)
        if first[at] != toy.ram[at]
    ][:8]
    return "\n".join(lines)


def lockstep(
    dice: random.Random,
    engines: Sequence[Any],
    cycles: int,
    run: Callable[[Any, Any, int], int],
    between: Callable[[Sequence[Any]], None] = lambda toys: None,
) -> list[Any]:
    """Run random slices on all engines, and compare all state after each; the consoles."""
    toys = consoles(dice, engines)
    now = 0
    while now < cycles:
        now += dice.choice((1, 2, 3, 7, 20, 100, 500, 3000))
        outcomes = [run(engine, toy, now) for engine, toy in zip(engines, toys, strict=True)]
        states = [state(toy) for toy in toys]
        assert len(set(outcomes)) == 1 and len(set(states)) == 1, f"at {now}: {outcomes}\n{describe(toys)}"
        between(toys)
    return toys
