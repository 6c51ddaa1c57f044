"""Processor vectors: single instructions from given states, held against the final state and every bus cycle.

For:     the vectors of SingleStepTests/sm83, one JSON object a line, gzipped.
Not for: anything but the bare processor: here it sits on 64 KiB of plain memory.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from tracklayer.cpu.sm83 import Cpu, pack_f, unpack_f
from tracklayer.lang import Array, array, struct, typed, u3, u8, u16, u32

from .engines import make_stepper
from .errors import RomError

LOG = 64
READ, WRITE, IDLE = range(3)
PINS = {"r-m": READ, "-wm": WRITE, "---": IDLE}

# HALT and STOP: the vectors go on for two more M-cycles, in which the processor waits. Letting time pass until
# something happens is a machine's part, and there is none here.
WAITING = {"76": 2, "10": 2}


@struct
class Bench:
    """The bare processor, 64 KiB of memory, and the bus cycles of the last instruction."""

    cpu: Cpu
    ram: Array[u8] = array(0x10000)
    count: u32
    kinds: Array[u8] = array(LOG)
    addresses: Array[u16] = array(LOG)
    values: Array[u8] = array(LOG)

    @typed
    def note(self, kind: u8, address: u16, value: u8) -> None:
        """Remember a bus cycle."""
        at = self.count & (LOG - 1)
        self.kinds[at] = kind
        self.addresses[at] = address
        self.values[at] = value
        self.count += 1

    @typed
    def read(self, address: u16) -> u8:
        value = self.ram[address]
        self.note(READ, address, value)
        return value

    @typed
    def write(self, address: u16, value: u8) -> None:
        self.ram[address] = value
        self.note(WRITE, address, value)

    @typed
    def fetch(self, address: u16) -> u8:
        return self.read(address)

    @typed
    def idle(self, address: u16) -> None:
        self.note(IDLE, 0, 0)

    @typed
    def pending(self) -> u8:
        return self.ram[0xFFFF] & self.ram[0xFF0F] & 0x1F

    @typed
    def acknowledge(self, bit: u3) -> None:
        self.ram[0xFF0F] = self.ram[0xFF0F] & ~(1 << bit) & 0xFF

    @typed
    def attention(self) -> None:
        pass

    @typed
    def stop(self) -> None:
        pass

    @typed
    def breakpoint(self) -> None:
        pass


def run_vectors(packed: bytes, engine: str) -> tuple[int, list[str]]:
    """Run every case of a gzipped file on an engine. Returns how many there were, and what went wrong with which.

    Errors: RomError where the file is not such a file; EngineError where the engine cannot be had.
    """
    step = make_stepper(engine, Bench)
    bench = Bench()
    wrong = []
    count = 0
    try:
        lines = gzip.decompress(packed).splitlines()
        for line in lines:
            count += 1
            case = json.loads(line)
            _load(bench, case["initial"])
            step(bench)
            complaint = _compare(bench, case)
            if complaint:
                wrong.append(f"{case['name']}: {complaint}")
            _clear(bench, case)
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise RomError(f"not a file of processor vectors: case {count}: {error!r}") from None
    return count, wrong


def _load(bench: Bench, state: dict[str, Any]) -> None:
    cpu = bench.cpu
    cpu.pc, cpu.sp, cpu.a = state["pc"], state["sp"], state["a"]
    cpu.bc = state["b"] << 8 | state["c"]
    cpu.de = state["d"] << 8 | state["e"]
    cpu.hl = state["h"] << 8 | state["l"]
    unpack_f(cpu, state["f"])
    cpu.ime = state["ime"]
    cpu.ei_delay = cpu.halted = cpu.halt_bug = cpu.stopped = cpu.locked = 0
    bench.count = 0
    for address, value in state["ram"]:
        bench.ram[address] = value


def _clear(bench: Bench, case: dict[str, Any]) -> None:
    for address, _ in case["initial"]["ram"] + case["final"]["ram"]:
        bench.ram[address] = 0
    for index in range(min(bench.count, LOG)):
        if bench.kinds[index] == WRITE:
            bench.ram[bench.addresses[index]] = 0


def _compare(bench: Bench, case: dict[str, Any]) -> str:
    """What differs from how a case should end; empty if nothing does."""
    cpu = bench.cpu
    final = case["final"]
    found = {
        "pc": cpu.pc, "sp": cpu.sp, "a": cpu.a, "f": pack_f(cpu), "b": cpu.bc >> 8, "c": cpu.bc & 0xFF,
        "d": cpu.de >> 8, "e": cpu.de & 0xFF, "h": cpu.hl >> 8, "l": cpu.hl & 0xFF, "ime": int(cpu.ime),
    }  # fmt: skip
    wrong = [f"{name}={value:X}, expected {final[name]:X}" for name, value in found.items() if value != final[name]]
    for address, value in final["ram"]:
        if bench.ram[address] != value:
            wrong.append(f"[{address:04X}]={bench.ram[address]:02X}, expected {value:02X}")
    cycles: list[tuple[int, int, int]] = []
    for address, value, pins in case["cycles"][: len(case["cycles"]) - WAITING.get(case["op"], 0)]:
        cycles.append((PINS[pins], address, value) if pins != "---" else (IDLE, 0, 0))
    taken = [(bench.kinds[i], bench.addresses[i], bench.values[i]) for i in range(min(bench.count, LOG))]
    if taken != cycles:
        wrong.append(f"bus cycles {_shown(taken)}, expected {_shown(cycles)}")
    return "; ".join(wrong)


def _shown(cycles: list[tuple[int, int, int]]) -> str:
    names = ("read {:04X}={:02X}", "write {:04X}={:02X}", "idle")
    return ", ".join(names[kind].format(address, value) for kind, address, value in cycles)
