"""What a profile says, as plain data.

For:     programs that read a profile; `as_json`, the same as a JSON document has it.
Not for: gathering it (run.py), tables and pictures (cli/, flame.py).
All shares are between 0 and 1. Cycles are T-cycles at normal speed, 4,194,304 a second.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """A place in the guest. symbol: the last one at or before it in its bank, with the distance; "" without symbols."""

    bank: int
    address: int
    symbol: str = ""

    def __str__(self) -> str:
        return f"{self.bank:02x}:{self.address:04x}"


@dataclass(frozen=True)
class Part:
    """A part of the host's time. functions: the largest of its functions, with their share of all time."""

    name: str
    share: float
    samples: int
    functions: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class HostLine:
    """A machine instruction that was interrupted: where in its function, and its share of the host's time."""

    offset: int
    text: str
    share: float


@dataclass(frozen=True)
class HostFunction:
    """A function of the engine, or a region. lines: those instructions that samples hit, if asked for."""

    name: str
    part: str
    share: float
    lines: tuple[HostLine, ...] = ()


@dataclass(frozen=True)
class Region:
    """A region of hot code that was compiled as a whole: its heads, and its share of the host's time."""

    heads: tuple[Place, ...]
    share: float


@dataclass(frozen=True)
class Host:
    """Where the host's time went, of one thread. seconds: of the processor, in all `passes` over the same frames.

    tiers: the shares of T2, T1 and T0 (with what lies between tiers). functions: the largest of all parts.
    lost: samples that had no room.
    """

    seconds: float
    passes: int
    samples: int
    lost: int
    interval: float
    parts: tuple[Part, ...]
    tiers: dict[str, float]
    functions: tuple[HostFunction, ...]
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Instruction:
    """An instruction of a block. host_share: its machine code's share of the host's time; None where that is unknown.

    host_code: that machine code, disassembled, if asked for.
    """

    place: Place
    data: str
    text: str
    executions: int
    cycles: int
    host_share: float | None = None
    host_code: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A basic block: instructions that run one behind the other, entered at the first. share: of the guest's cycles.

    tier: "T2", "T1" or "T0", what runs it at the profile's end; "" on an engine without tiers.
    """

    place: Place
    share: float
    cycles: int
    executions: int
    tier: str
    host_share: float | None
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Function:
    """What is called, or named by a symbol. own: the share of its own code; total: with what it called, waiting too."""

    name: str
    place: Place
    calls: int
    own: float
    total: float
    own_cycles: int
    total_cycles: int


@dataclass(frozen=True)
class Stack:
    """A call stack, outermost first, and the cycles spent with just that one."""

    frames: tuple[str, ...]
    cycles: int


@dataclass(frozen=True)
class ExitPlace:
    """A place that translated code was left at, and how often."""

    place: Place
    text: str
    count: int


@dataclass(frozen=True)
class Exit:
    """Why translated code was left. per_frame: how often in a frame, on average. places: where most often."""

    reason: str
    count: int
    per_frame: float
    places: tuple[ExitPlace, ...] = ()


@dataclass(frozen=True)
class Exits:
    """All of them. interpreted: the instructions that the interpreter ran, of `instructions`."""

    instructions: int
    interpreted: int
    reasons: tuple[Exit, ...]


@dataclass(frozen=True)
class Profile:
    """Where a program's time went.

    agrees:  whether all runs over the same frames ended in the same state, as they must; where not, something outside
             (hooks, a device) behaved otherwise each time, and the parts describe different runs.
    running, waiting, dispatching, stalled: the guest's cycles: executing, in HALT or STOP, dispatching interrupts, and
             standing still for VRAM DMA. uncounted: cycles for which there was no room in the tables; 0 as a rule.
    host:    None where the host's time is not sampled: `host_missing` says why.
    exits:   None on engines that translate nothing.
    """

    title: str
    model: str
    engine: str
    rendered: bool
    sound: bool
    symbols: int
    frames: int
    cycles: int
    instructions: int
    agrees: bool
    running: int
    waiting: int
    dispatching: int
    stalled: int
    uncounted: int
    functions: tuple[Function, ...]
    blocks: tuple[Block, ...]
    stacks: tuple[Stack, ...]
    exits: Exits | None
    host: Host | None
    host_missing: str = ""

    def as_json(self) -> dict[str, Any]:
        """The profile as a JSON document has it: dictionaries, lists, numbers and text."""
        return dataclasses.asdict(self)

    def folded(self) -> str:
        """The call stacks as flame graph tools read them: a line for each, frames with semicolons between, cycles."""
        from .flame import folded

        return folded(self.stacks)

    def flame_graph(self) -> str:
        """A flame graph of the guest's cycles, as an SVG document that any browser shows and zooms."""
        from .flame import flame_graph

        title = f"{self.title or 'no title'} on {self.model}: {self.frames:,} frames, {self.cycles:,} cycles"
        return flame_graph(self.stacks, title)
