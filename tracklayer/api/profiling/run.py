"""Running a program to see where its time goes.

For:     `profile`.
Not for: what is made of the runs (guest_time.py, host.py, results.py).

The same frames run several times from the same state, with the same buttons: as they are, sampled, until there are
enough samples; on the interpreter, with each instruction counted; on the translator, with each exit counted. All
engines agree to the cycle, so these are the same run; that they end in the same state is looked at.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from tracklayer.native.sampling import Sampler, available
from tracklayer.translate.counted import CountingInterpreter, CountingTranslator, tally_image
from tracklayer.translate.places import Places
from tracklayer.translate.tally import CODE as RUNNING
from tracklayer.translate.tally import DISPATCH, STALL, WAITING
from tracklayer.translate.translator import TranslatedEngine

from ..engines import make_engine
from ..errors import LinkError
from ..gameboy import GameBoy
from ..symbols import Symbols
from . import host as host_time
from .exits import exits_of
from .guest import GameBoyCounted
from .guest_time import Executed, GuestTime, Names, instruction
from .host_code import HostCode
from .memory import GuestMemory, rom_place
from .results import Block, Exits, Host, Instruction, Part, Profile, Region

if TYPE_CHECKING:
    from ..engines import Progress

INTERVAL = 0.0005
"""Seconds between samples."""
SECONDS = 1.0
"""Processor time that is sampled at least, by running the same frames again."""
PATIENCE = 4
"""Times that of real time, and it is enough."""
MOST_PASSES = 10_000
TOP_FUNCTIONS = 5
TOLD = 60
"""Frames after which the progress is told again while something is counted."""

Presses = Iterable[tuple[int, str, bool]]
"""Buttons: (frame, button, whether it goes down), frames counted from the begin of what is profiled."""


class Way(NamedTuple):
    """How the frames are run."""

    frames: int
    presses: tuple[tuple[int, str, bool], ...]
    render: bool
    sound: bool

    def play(self, gb: GameBoy, between: Callable[[int], None] | None = None) -> None:
        """Run the frames, a tick each. between: called after each with how many are done."""
        presses = self.presses
        at = 0
        for frame in range(self.frames):
            while at < len(presses) and presses[at][0] <= frame:
                gb.button(presses[at][1], presses[at][2])
                at += 1
            gb.tick(1, self.render, self.sound)
            if between is not None:
                between(frame + 1)


def profile(
    rom: GameBoy | str | os.PathLike[str] | bytes,
    frames: int = 600,
    *,
    warm_up: int = 0,
    presses: Presses = (),
    render: bool = True,
    sound: bool = False,
    engine: str = "translated",
    model: str = "auto",
    symbols: str | os.PathLike[str] | Symbols | None = None,
    top: int = 20,
    host: bool = True,
    host_code: bool = False,
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> Profile:
    """Where a program's time goes: the guest's, to the cycle, and the host's, sampled.

    rom:       what `GameBoy` takes, or a console, which is run on from where it is.
    frames:    frames that are profiled, after `warm_up` that are not.
    presses:   (frame, button, down): buttons, by the frame before which they go down or up. Those of the warm-up have
               frames below 0.
    render, sound: as of `tick`, for every frame.
    engine, model, symbols: as of `GameBoy`; with a console only `symbols` matters.
    progress:  told of what is compiled, and how far the runs are: `progress(words, done, of)`.
    top:       blocks that are told of with their instructions, and functions of the engine.
    host:      whether the host's time is sampled: the frames run again and again until they took `seconds` of the
               processor, or four times that of real time.
    host_code: whether blocks come with their machine code, and the engine's functions with what of theirs was hit.
    Errors:    ValueError; those of `GameBoy` and its `tick`.
    """
    if frames < 1 or warm_up < 0 or top < 0 or not 0 <= seconds <= 600:
        raise ValueError("a profile takes frames, 1 or more, warm_up and top, 0 or more, and up to 600 seconds")
    gb = rom if isinstance(rom, GameBoy) else GameBoy(rom, engine=engine, model=model, progress=progress)
    if symbols is not None:
        gb.symbols = symbols
    if gb._link is not None:
        raise LinkError("a linked console cannot be profiled: its frames cannot run again without the other's")
    ordered = tuple(sorted((int(frame), str(button), bool(down)) for frame, button, down in presses))
    before = tuple((frame + warm_up, button, down) for frame, button, down in ordered if frame < 0)
    way = Way(frames, tuple(one for one in ordered if one[0] >= 0), render, sound)
    run = _Run(gb, way, progress)
    run.warm_up(Way(warm_up, before, False, False))
    return run.result(top, host, host_code, seconds)


class _Run:
    """One profile on its way. The console's frames have not run yet."""

    def __init__(self, gb: GameBoy, way: Way, progress: Progress | None) -> None:
        self.gb = gb
        self.way = way
        self.progress = progress
        self.ends: set[bytes] = set()
        base: Any = make_engine("interpreter", progress) if gb.engine == "reference" else gb._engine
        tally = tally_image(GameBoyCounted, progress)
        self.counted = self._counting(CountingInterpreter(base, GameBoyCounted, tally))
        self.exiting: GameBoy | None = None
        if isinstance(base, TranslatedEngine):
            self.exiting = self._counting(CountingTranslator(base, GameBoyCounted, tally))

    def _counting(self, engine: Any) -> GameBoy:
        """A console that counts."""
        other = self.gb.clone()
        other._engine = engine
        return other

    def warm_up(self, way: Way) -> None:
        """Run some frames first, on all consoles: those that count keep in mind who called whom, and nothing else."""
        way.play(self.gb)
        self.start = self.gb.snapshot()
        self.since = self.gb.cycles, self.gb.instructions
        for one in (self.counted, self.exiting):
            if one is not None and way.frames:
                self._count("", one, way)
                one._gb.counts.forget()
                one.restore(self.start)
        self.ends.clear()

    def result(self, top: int, host: bool, host_code: bool, seconds: float) -> Profile:
        """Do all runs, and put together what they say."""
        reason = available() if host else "it was not asked for"
        samples, sampled = self._sampled(seconds if not reason else 0.0, not reason)
        gb = self.gb
        engine: Any = gb._engine
        places = Places(engine, gb._gb) if hasattr(engine, "code") else None  # the reference has none
        time_of = self._guest_time()
        memory = GuestMemory(gb)
        code = HostCode(places, samples, host_code)
        stacks, functions = time_of.stacks()
        kinds = time_of.kinds
        total = sum(kinds.values()) or 1
        blocks = time_of.blocks(memory.fetch)[:top]
        cycles, instructions = gb.cycles - self.since[0], gb.instructions - self.since[1]
        return Profile(
            title=gb.title, model=gb.model, engine=gb.engine, rendered=self.way.render, sound=self.way.sound,
            symbols=len(gb.symbols), frames=self.way.frames, cycles=cycles, instructions=instructions,
            agrees=len(self.ends) == 1, running=kinds[RUNNING], waiting=kinds[WAITING], dispatching=kinds[DISPATCH],
            stalled=kinds[STALL], uncounted=max(0, cycles - total), functions=functions,
            blocks=tuple(_block(one, total, time_of.names, memory, code) for one in blocks), stacks=stacks,
            exits=self._exits(instructions, time_of.names, memory),
            host=None if reason else _host(samples, places, sampled, time_of.names, top, host_code),
            host_missing=reason,
        )  # fmt: skip

    def _note_end(self, gb: GameBoy) -> None:
        self.ends.add(hashlib.sha256(gb.state_bytes()).digest())

    def _sampled(self, seconds: float, sampling: bool) -> tuple[list[int], Sampled]:
        """Run the console as it is, again and again; leave it at the end of the frames."""
        sampler = Sampler(INTERVAL) if sampling else None
        passes, spent = 0, 0.0
        most = 1 if self.gb._watched() else MOST_PASSES  # hooks are called once for each frame
        now = told = begun = time.perf_counter()
        while passes < most and (passes == 0 or (spent < seconds and now < begun + PATIENCE * seconds)):
            if passes:
                self.gb.restore(self.start)
            with sampler or contextlib.nullcontext():
                self.way.play(self.gb)
            spent = sampler.seconds if sampler else 0.0
            passes += 1
            if passes <= 2:
                self._note_end(self.gb)
            now = time.perf_counter()
            if now > told + 0.1:
                told = now
                self._tell("sampling the host, milliseconds", int(1000 * min(spent, seconds)), int(1000 * seconds))
        self._tell("sampling the host", 1, 1)
        return (sampler.samples, Sampled(spent, passes, sampler.lost)) if sampler else ([], Sampled(spent, passes, 0))

    def _guest_time(self) -> GuestTime:
        """Count each instruction."""
        gb = self.counted
        self._count("counting instructions, frames", gb, self.way._replace(render=False, sound=False))
        counts = gb._gb.counts
        counts.close(int(gb._gb.dots()))
        return GuestTime(counts.cells(), self.gb.symbols)

    def _exits(self, instructions: int, names: Names, memory: GuestMemory) -> Exits | None:
        """Count each exit of translated code."""
        gb = self.exiting
        if gb is None:
            return None
        self._count("counting exits, frames", gb, self.way)
        return exits_of(gb._gb.counts.cells(), instructions, self.way.frames, names, memory)

    def _count(self, what: str, gb: GameBoy, way: Way) -> None:
        """Run a console that counts."""

        def between(done: int) -> None:
            gb._gb.counts.make_room()
            if done % TOLD == 0 or done == way.frames:
                self._tell(what, done, way.frames)

        way.play(gb, between)
        self._note_end(gb)

    def _tell(self, what: str, done: int, of: int) -> None:
        if self.progress is not None and what:
            self.progress(what, done, of)


class Sampled(NamedTuple):
    """How sampling went."""

    seconds: float
    passes: int
    lost: int


def _block(block: tuple[Executed, ...], total: int, names: Names, memory: GuestMemory, code: HostCode) -> Block:
    first = block[0].place
    cycles = sum(one.cycles for one in block)
    shown = []
    for one in block:
        line = instruction(one, memory.fetch)
        shown.append(
            Instruction(
                names.place(one.place), line.data.hex(), line.text, one.times, one.cycles, code.share(one.place),
                code.text(one.place),
            )
        )  # fmt: skip
    known = [one.host_share for one in shown if one.host_share is not None]
    return Block(
        names.place(first), cycles / total, cycles, block[0].times, code.tier(first), sum(known) if known else None,
        tuple(shown),
    )  # fmt: skip


def _host(
    samples: list[int], places: Places | None, sampled: Sampled, names: Names, top: int, host_code: bool
) -> Host:  # fmt: skip
    shares = host_time.shares(samples, places)
    total = shares.total or 1

    def part(name: str) -> Part:
        inside = [(what, count) for (where, what), count in shares.functions.most_common() if where == name]
        functions = tuple((what, count / total) for what, count in inside[:TOP_FUNCTIONS])
        return Part(name, shares.parts[name] / total, shares.parts[name], functions)

    parts = sorted((part(name) for name in host_time.PARTS if shares.parts[name]), key=lambda one: -one.samples)
    tiers = {
        "T2": shares.parts[host_time.T2] / total,
        "T1": shares.parts[host_time.T1] / total,
        "T0": (shares.parts[host_time.T0] + shares.parts[host_time.BETWEEN]) / total,
    }
    regions = []
    for number, heads in enumerate(places.regions if places else ()):
        count = sum(count for origin, count in shares.origins.items() if origin.region == number)
        regions.append(Region(tuple(names.place(rom_place(head)) for head in sorted(heads)), count / total))
    return Host(
        sampled.seconds, sampled.passes, shares.total, sampled.lost, INTERVAL, tuple(parts), tiers,
        host_time.functions(samples, places, top, host_code), tuple(sorted(regions, key=lambda one: -one.share)),
    )  # fmt: skip
