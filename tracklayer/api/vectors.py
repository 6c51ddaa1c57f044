"""Processor vectors: single instructions from given states, held against the final state and every bus cycle.

For:     the vectors of SingleStepTests/sm83, one JSON object a line, gzipped.
Not for: anything but the bare processor: here it sits on 64 KiB of plain memory.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

from tracklayer.cpu.sm83 import SM83, Cpu, pack_f, step, unpack_f
from tracklayer.isa.engine import EngineHost
from tracklayer.lang import Array, Host, Ptr, array, pointer, struct, typed, u1, u3, u8, u16, u32
from tracklayer.machine.common.clock import STOP_LIMIT, Clock

from .engines import ENGINES, make_engine
from .errors import EngineError, RomError

LOG = 64
BEGIN = 1
"""T-cycles left when an instruction begins, so that none follows it."""
READ, WRITE, IDLE, FETCH = range(4)
PINS = {"r-m": READ, "-wm": WRITE, "---": IDLE}

# HALT and STOP: the vectors go on for two more M-cycles, in which the processor waits. Letting time pass until
# something happens is a machine's part, and there is none here.
WAITING = {"76": 2, "10": 2}


@struct
class BenchHost:
    """What the engines of generated code need of their console."""

    ports: Host
    engine: EngineHost
    fetch_map: Array[Ptr[u8]] = array(256)


@struct
class Bench:
    """The bare processor, 64 KiB of memory, and the bus cycles of the last instruction."""

    host: BenchHost
    cpu: Cpu
    clock: Clock
    start: u16
    """The one address whose instruction is to be executed."""
    ram: Array[u8] = array(0x10000)
    count: u32
    kinds: Array[u8] = array(LOG)
    addresses: Array[u16] = array(LOG)
    values: Array[u8] = array(LOG)

    @typed
    def note(self, kind: u8, address: u16, value: u8) -> None:
        """Spend a bus cycle and remember it."""
        self.clock.left -= 4
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
    def read_pair(self, address: u16) -> u16:
        low = self.read_step(address)
        return self.read(u16(address + 1)) << 8 | low

    @typed
    def write_pair(self, address: u16, value: u16) -> None:
        self.write(u16(address + 1), value >> 8)
        self.write(address, value & 0xFF)

    @typed
    def fetch(self, address: u16) -> u8:
        value = self.ram[address]
        self.note(FETCH, address, value)
        return value

    @typed
    def idle(self, address: u16) -> None:
        self.note(IDLE, 0, 0)

    @typed
    def step(self, address: u16) -> None:
        self.idle(address)

    @typed
    def read_step(self, address: u16) -> u8:
        return self.read(address)

    @typed
    def pending(self) -> u8:
        return self.ram[0xFFFF] & self.ram[0xFF0F] & 0x1F

    @typed
    def requested(self) -> u8:
        return self.pending()

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

    @typed(outline=True)
    def boundary(self) -> None:
        """Behind the one instruction: that is all."""
        self.clock.stop = STOP_LIMIT


def stepper(name: str) -> tuple[Callable[[Bench], None], bool]:
    """A function that runs one instruction of a bench on an engine, and whether it fetches all code by the bus.

    Generated code reads code from memory as such, and spends the time of it.

    Errors: EngineError where the engine cannot be had.
    """
    if name == "reference":
        return lambda bench: step(bench.cpu, bench), True
    if name not in ENGINES:
        make_engine(name)
    return _generated(name), False


def _generated(name: str) -> Callable[[Bench], None]:
    from tracklayer.translate.engine import Interpreter
    from tracklayer.translate.translator import TranslatedEngine

    from .guests import Sm83Guest

    class BenchGuest(Sm83Guest):
        """The bench for the engines of generated code: translated blocks hold one instruction each."""

        name = "bench"
        context = Bench

        @staticmethod
        @typed
        def hook(context: Bench) -> u1:
            return 0

        @staticmethod
        @typed
        def hooked(context: Bench, address: u16) -> u1:
            return address != context.start

        @staticmethod
        @typed
        def code_memory(context: Bench, address: u16) -> Ptr[u8]:
            return context.host.fetch_map[address >> 8]

        @staticmethod
        @typed
        def window(address: u16) -> u8:
            return 0

        @staticmethod
        @typed
        def watch(context: Bench, first: u16, last: u16) -> None:
            pass

        @staticmethod
        @typed
        def written_lines(context: Bench) -> u8:
            return 0

        @staticmethod
        @typed
        def written_line(context: Bench, index: u8) -> u16:
            return 0

        @staticmethod
        @typed
        def forget_written(context: Bench) -> None:
            pass

        @staticmethod
        def rom_of(console: Bench) -> tuple[int, int]:
            return 8, 1

        @staticmethod
        def has_hooks(console: Bench) -> bool:
            return False

    try:
        engine = (Interpreter if name == "interpreter" else TranslatedEngine)(BenchGuest)
    except OSError as error:
        raise EngineError(f"the {name} engine cannot be had here: {error}") from error
    attached: list[Bench] = []

    def run(bench: Bench) -> None:
        if bench not in attached:
            for page in range(256):
                bench.host.fetch_map[page] = pointer(bench.ram, page << 8)
            engine.attach(bench)
            attached.append(bench)
        engine.changed(bench)
        bench.start = bench.cpu.pc
        bench.clock.stop = 0
        engine.run(bench)

    return run


def run_vectors(packed: bytes, engine: str) -> tuple[int, list[str]]:
    """Run every case of a gzipped file on an engine. Returns how many there were, and what went wrong with which.

    Errors: RomError where the file is not such a file; EngineError where the engine cannot be had.
    """
    run, by_bus = stepper(engine)
    bench = Bench()
    wrong = []
    count = 0
    try:
        lines = gzip.decompress(packed).splitlines()
        for line in lines:
            count += 1
            case = json.loads(line)
            _load(bench, case["initial"])
            bench.clock.left = BEGIN
            run(bench)
            complaint = _compare(bench, case, by_bus)
            if complaint:
                wrong.append(f"{case['name']}: {complaint}")
            _clear(bench, case)
        if not count:
            raise ValueError("there are no cases")
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
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


def _compare(bench: Bench, case: dict[str, Any], by_bus: bool) -> str:
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
    if BEGIN - bench.clock.left != 4 * len(cycles):
        wrong.append(f"{(BEGIN - bench.clock.left) // 4} bus cycles, expected {len(cycles)}")
    count = min(bench.count, LOG)
    kinds = [READ if bench.kinds[i] == FETCH and by_bus else bench.kinds[i] for i in range(count)]
    taken = [(kind, bench.addresses[i], bench.values[i]) for i, kind in enumerate(kinds) if kind != FETCH]
    if not by_bus:
        cycles = cycles[_length(case["op"]) :]
    if taken != cycles:
        wrong.append(f"bus cycles {_shown(taken)}, expected {_shown(cycles)}")
    return "; ".join(wrong)


def _length(opcode: str) -> int:
    """Bytes of an instruction, by the name that the vectors give it: `3e`, `cb 7c`."""
    return SM83.decode_at(bytes.fromhex(opcode) + bytes(2)).row.length


def _shown(cycles: list[tuple[int, int, int]]) -> str:
    names = ("read {:04X}={:02X}", "write {:04X}={:02X}", "idle")
    return ", ".join(names[kind].format(address, value) for kind, address, value in cycles)
