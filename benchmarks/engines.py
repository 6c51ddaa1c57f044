"""How fast the engines run guest code: `python -m benchmarks.engines [--json]`.

Each program is assembled by our own assembler, put in a cartridge, and run on the interpreter (T0), on blocks of
translated code (T1), and on blocks with hot loops compiled as a whole (T2), alternately, with the LCD off and on;
ratios are medians of those of runs next to each other. Then: what laying translated code costs.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from typing import Any

from tracklayer import GameBoy
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble

HEAD = """
    org $100
    JP start
    org $150
start:
    DI
    LD SP,$DFF0
    {lcd}
"""
LCD_OFF = "XOR A,A\n LDH [$FF40],A"

PROGRAMS = {
    "count": """
again:
    LD B,0
outer:
    LD C,0
inner:
    DEC C
    JR NZ,inner
    DEC B
    JR NZ,outer
    JR again
""",
    "arithmetic": """
again:
    LD A,1
    LD B,200
loop:
    ADD A,B
    ADC A,C
    XOR A,D
    RLCA
    LD C,A
    SWAP C
    OR A,E
    SUB A,H
    LD D,A
    INC E
    DEC B
    JR NZ,loop
    JR again
""",
    "copy": """
again:
    LD HL,$C000
    LD DE,$D000
    LD BC,$800
copy:
    LD A,[HL+]
    LD [DE],A
    INC DE
    DEC BC
    LD A,B
    OR A,C
    JR NZ,copy
    JR again
""",
    "checksum": """
again:
    LD HL,$0000
    LD DE,$0000
    LD BC,$4000
sum:
    LD A,[HL+]
    ADD A,E
    LD E,A
    JR NC,same
    INC D
same:
    DEC BC
    LD A,B
    OR A,C
    JR NZ,sum
    JR again
""",
    "calls": """
again:
    LD A,12
    CALL fib
    JR again
fib:
    CP A,2
    RET C
    PUSH AF
    DEC A
    CALL fib
    POP AF
    PUSH HL
    SUB A,2
    CALL fib
    POP DE
    ADD HL,DE
    RET
""",
    "sieve": """
again:
    LD HL,$C000
    LD BC,$400
    LD A,1
fill:
    LD [HL],1
    INC HL
    DEC BC
    LD A,B
    OR A,C
    JR NZ,fill
    LD D,2
next:
    LD HL,$C000
    LD E,D
    LD C,D
    LD B,0
    ADD HL,BC
    ADD HL,BC
mark:
    LD [HL],0
    ADD HL,BC
    LD A,H
    CP A,$C4
    JR C,mark
    INC D
    LD A,D
    CP A,32
    JR NZ,next
    JR again
""",
}


WARM = 1500
"""Frames before anything is measured: the engine `regions` has compiled what there is."""
TIERS = {"t0": "interpreter", "t1": "blocks", "t2": "regions"}


def cartridge(body: str, lcd: bool) -> bytes:
    """A 32 KiB cartridge with a program in it."""
    text = HEAD.format(lcd="" if lcd else LCD_OFF) + body
    return bytes(assemble(text, SM83, name="benchmark", size=0x8000).data)


def straight(count: int) -> bytes:
    """A cartridge that runs through `count` different instructions once, and then stays in a loop."""
    dice = random.Random(1)
    lines = ["XOR A,A"]
    choices = (
        "ADD A,B",
        "LD C,$12",
        "INC HL",
        "LD A,[DE]",
        "XOR A,E",
        "SWAP A",
        "LD B,A",
        "DEC DE",
        "SRL C",
        "LD HL,$C123",
        "PUSH BC",
        "POP BC",
    )
    lines += [dice.choice(choices) for _ in range(count)]
    lines += ["stay:", "JR stay"]
    return cartridge("\n".join(lines), False)


def speed(rom: bytes, engine: str, seconds: float) -> float:
    """Million guest instructions a second of processor time, over about so much of it, once hot loops are compiled."""
    gb = GameBoy(rom, engine=engine)
    gb.tick(WARM, render=False)
    frames, spent, before = 64, 0.0, gb.instructions
    while spent < seconds:
        start = time.thread_time()
        gb.tick(frames, render=False)
        spent += time.thread_time() - start
    return (gb.instructions - before) / spent / 1e6


def laying(count: int, runs: int) -> dict[str, float]:
    """Microseconds that laying one guest instruction costs: a run that lays, less the same run with all laid."""
    costs, laid = [], 0
    for run in range(runs):
        rom = straight(count)[:0x7FF8] + run.to_bytes(
            8, "little"
        )  # another cartridge each time, so that nothing is shared
        gb = GameBoy(rom)
        start = gb.state_bytes()
        times = []
        for _ in range(2):
            before = time.thread_time()
            gb.run(cycles=count * 12, render=False)
            times.append(time.thread_time() - before)
            gb.load_state_bytes(start)
        laid = gb._gb.translation[1].cache.instructions
        costs.append((times[0] - times[1]) / laid * 1e6)
    return {"instructions": laid, "microseconds": statistics.median(costs)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.4, help="host time for each measurement")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for lcd in (False, True):
        for name, body in PROGRAMS.items():
            rom = cartridge(body, lcd)
            runs = [
                {tier: speed(rom, engine, options.seconds) for tier, engine in TIERS.items()}
                for _ in range(options.runs)
            ]
            row: dict[str, Any] = {"program": name, "lcd": lcd}
            for tier in TIERS:
                row[tier] = statistics.median(run[tier] for run in runs)
                row[f"{tier}/t0"] = statistics.median(run[tier] / run["t0"] for run in runs)
            rows.append(row)
            if not options.json:
                shown = "  ".join(f"{tier.upper()} {row[tier]:5.0f} ({row[f'{tier}/t0']:.2f}x)" for tier in TIERS)
                print(f"{name:<12} LCD {'on ' if lcd else 'off'}  {shown}  MIPS", flush=True)
    cost = laying(12000, options.runs)
    if not options.json:
        print(f"laying {cost['instructions']:.0f} guest instructions: {cost['microseconds']:.4f} us each")
    else:
        print(json.dumps({"engines": rows, "laying": cost}, indent=1))


if __name__ == "__main__":
    main()
