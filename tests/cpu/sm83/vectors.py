"""The SM83 test vectors (SingleStepTests/sm83): one instruction each, from state to state, with every M-cycle between.

Any engine that can run one instruction on a `Flat` can be judged: `failures(engine)` or, case by case, `run_case`.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tracklayer.cpu.sm83 import Cpu, pack_f, step, unpack_f

from .flat import Flat

Case = dict[str, Any]
Engine = Callable[[Flat], None]  # runs one instruction

# HALT and STOP: the vectors go on for two more M-cycles, in which the processor waits. That is not the instruction's
# time here (it would be the machine's, which lets time pass until an interrupt), so it is not compared.
WAITING = {"76": 2, "10": 2}


def folder() -> Path:
    """Where the vectors are: under TRACKLAYER_ROMS, or beside the repository."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "roms"
    return Path(os.environ.get("TRACKLAYER_ROMS", beside)) / "gb" / "sm83-vectors"


def cases() -> Iterator[Case]:
    """Every case, opcode by opcode."""
    for path in sorted(folder().glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            for line in lines:
                yield json.loads(line)


def reference(machine: Flat) -> None:
    """The engine that the others are held against: plain Python."""
    step(machine.cpu, machine)


def load(cpu: Cpu, state: Case) -> None:
    """Set the registers."""
    cpu.pc, cpu.sp, cpu.a = state["pc"], state["sp"], state["a"]
    cpu.bc = state["b"] << 8 | state["c"]
    cpu.de = state["d"] << 8 | state["e"]
    cpu.hl = state["h"] << 8 | state["l"]
    unpack_f(cpu, state["f"])
    cpu.ime = state["ime"]
    cpu.ei_delay = cpu.halted = cpu.halt_bug = cpu.stopped = cpu.locked = 0


def registers(cpu: Cpu) -> Case:
    """The registers, named as in the vectors."""
    return {
        "pc": cpu.pc, "sp": cpu.sp, "a": cpu.a, "f": pack_f(cpu), "b": cpu.bc >> 8, "c": cpu.bc & 0xFF,
        "d": cpu.de >> 8, "e": cpu.de & 0xFF, "h": cpu.hl >> 8, "l": cpu.hl & 0xFF, "ime": int(cpu.ime),
    }  # fmt: skip


def run_case(engine: Engine, case: Case, machine: Flat | None = None) -> str:
    """Run one case. Returns what went wrong, or an empty string. `machine` has zeroed memory before and after."""
    machine = machine or Flat()
    load(machine.cpu, case["initial"])
    machine.count = machine.asked = 0
    touched = [address for address, _ in case["initial"]["ram"] + case["final"]["ram"]]
    for address, value in case["initial"]["ram"]:
        machine.ram[address] = value
    engine(machine)

    wrong = []
    final = case["final"]
    expected = {name: final[name] for name in registers(machine.cpu)}
    if registers(machine.cpu) != expected:
        wrong.append(f"registers {registers(machine.cpu)}, expected {expected}")
    # The vectors also note EI where interrupts are on already; here nothing is on its way then.
    enabling = bool(final.get("ei", 0)) and not final["ime"]
    if (machine.cpu.ei_delay != 0) != enabling:
        wrong.append(f"ei_delay {machine.cpu.ei_delay}, expected {enabling}")
    for address, value in final["ram"]:
        if machine.ram[address] != value:
            wrong.append(f"memory {address:04X} is {machine.ram[address]:02X}, expected {value:02X}")
    trace = machine.trace()
    cycles = [("-", 0, 0) if pins == "---" else (pins.strip("-m"), a, v) for a, v, pins in case["cycles"]]
    cycles = cycles[: len(cycles) - WAITING.get(case["op"], 0)]
    if trace != cycles:
        wrong.append(f"M-cycles {trace}, expected {cycles}")
    for address in [*touched, *(address for kind, address, _ in trace if kind == "w")]:
        machine.ram[address] = 0
    return f"{case['name']}: " + "; ".join(wrong) if wrong else ""


def failures(engine: Engine) -> tuple[int, list[str]]:
    """Run every case. Returns how many there were, and what went wrong."""
    machine = Flat()
    count = 0
    wrong = []
    for case in cases():
        count += 1
        report = run_case(engine, case, machine)
        if report:
            wrong.append(report)
    return count, wrong
