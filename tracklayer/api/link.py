"""Two consoles side by side: the link cable, and infrared light.

For:       `Link(first, second)`: running both so that each bit, and each flash, reaches the other when it should;
           states of the pair.
Not for:   the serial port itself (machine/gb/serial.py); devices that are no consoles (plugs.py, printer.py); a console
           in another process (peer.py).
Invariant: a console executes exactly the instructions that begin before a tick of the other's clock, and is then told
           of that tick; the other waits at its tick until then. So both do the same however far they are run at a time.
Source:    Pan Docs, "Serial Data Transfer (Link Cable)", "Infrared Communication".

Who may run, and how far: a console that does not wait for the other's clock runs until it writes SB or SC, or its own
clock ticks: nothing that the other does reaches it before. One that waits runs as far as no tick can have come yet. The
one that is behind goes first, so that a tick meets SB as it was, or one write later (`serial.last_sb`). While light is
in use they take turns, instruction by instruction.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from tracklayer.machine.common.clock import STOP_LIMIT
from tracklayer.machine.gb import serial
from tracklayer.machine.gb.speed import dots_at, time_of

from . import container, saving
from .errors import LinkError, StateError
from .files import put
from .rewind import Snapshot

if TYPE_CHECKING:
    from .gameboy import GameBoy

SOON, LATER = 12, 260
"""T-cycles from an instruction's begin before which no first tick of a transfer comes: the write to SC is at least 4
in, and the tick more than half a bit behind that. SOON with the fast clock, which only programs for the Color have."""
INFRARED = (0xFE, 0xFF)
"""Types of cartridges with a diode of their own: HuC-3, HuC1."""


class PairSnapshot(NamedTuple):
    """Both consoles at a moment, for `Link.restore` in this process."""

    consoles: tuple[Snapshot, Snapshot]
    times: Times


Times = tuple[tuple[int, int], tuple[int, int]]
"""For each console: the time on the cable, and how far it was asked to run."""


class Cable(Protocol):
    """What joins a console to another one: whoever runs them both, or waits for the other."""

    def asked(self, console: GameBoy) -> int:
        """How far a console was asked to run, in dots."""
        ...

    def moved(self, console: GameBoy) -> None:
        """A console was brought to another state: its time on the cable goes on."""
        ...

    def advance(self, console: GameBoy, limit: int, render: bool) -> None:
        """Run a console to dot `limit`."""
        ...


class End:
    """One console of a link. Times are dots since the cable was plugged in."""

    def __init__(self, console: GameBoy) -> None:
        self.console = console
        self.gb: Any = console._here()
        self.shines = bool(self.gb.color.functions) or console._cartridge.header[0x147] in INFRARED
        self.lit = self.was_lit = self.changed = 0
        self.stand_at(0, 0)

    def stand_at(self, time: int, asked: int) -> None:
        """It is that time here, and it was asked to run to another."""
        self.start = int(self.gb.dots()) - time
        self.asked = self.start + asked
        self.stood = time

    @property
    def times(self) -> tuple[int, int]:
        """The time here, and how far it was asked to run."""
        return self.time, self.asked - self.start

    @property
    def time(self) -> int:
        return int(self.gb.dots()) - self.start

    @property
    def waits(self) -> bool:
        """Whether a transfer is to be clocked from the other end."""
        return bool(self.gb.serial.sc & serial.SENDING == serial.REQUESTED)

    @property
    def owed(self) -> bool:
        """Whether the own clock has ticked and waits for the other end's bit."""
        return bool(self.gb.serial.owed)

    @property
    def tick(self) -> int:
        """The time of the first tick that waits."""
        gb, port = self.gb, self.gb.serial
        first = max(0, serial.halves(gb, port.synced) - port.half - 2 * (port.owed - 1))
        return self._time_of(gb.timer.origin + (first << serial.half_bits(gb)))

    def _time_of(self, clock: int) -> int:
        return int(dots_at(self.gb, clock)) - self.start

    def sb_at(self, time: int) -> int:
        """SB as it was at a time since the write before the last one."""
        port = self.gb.serial
        return int(port.last_sb if self._time_of(port.written_at) > time else port.sb)

    def line_at(self, time: int) -> int:
        """The bit that the other end reads. UNVERIFIED: that one that waits for no clock sends ones."""
        ready = self.waits and self._time_of(self.gb.serial.requested_at) <= time
        return self.sb_at(time) >> 7 if ready else 1

    def feel_tick(self, time: int, bit: int) -> None:
        """The other end's clock ticked, with its bit."""
        gb, port = self.gb, self.gb.serial
        serial.catch_up(gb)
        port.incoming, port.edges = bit << 7 | 0x7F, 1
        port.edge_at = min(time_of(gb, max(time + self.start, gb.speed.dots)), gb.clock.now())
        serial.catch_up(gb)
        serial.reschedule(gb)

    def take_bit(self, bit: int) -> None:
        """The bit that the own clock waited for."""
        gb, port = self.gb, self.gb.serial
        port.incoming, port.granted = bit << 7 | 0x7F, 1
        serial.catch_up(gb)
        serial.reschedule(gb)

    def plug(self, link: Cable | None) -> None:
        """Put the cable in, or pull it out: then ones come in, and no light."""
        gb, port = self.gb, self.gb.serial
        serial.catch_up(gb)
        gb.host.linked = link is not None
        owed, port.owed, port.granted, port.edges, port.incoming = port.owed, 0, 0, 0, 0xFF
        serial.shift_bits(gb, min(owed, 8))
        serial.reschedule(gb)
        if link is None:
            gb.color.light.seen = gb.mapper.infrared.seen = 0
        self.console._link = link
        self.console._find_way()

    @property
    def uses_light(self) -> bool:
        return bool(self.gb.color.light.control or self.lit)

    def look_at_light(self) -> None:
        """Note whether the own diode shines, and since when."""
        lit = self.gb.color.light.control & 1 | self.gb.mapper.infrared.lit
        if lit != self.lit:
            self.was_lit, self.lit, self.changed = self.lit, lit, self.time

    def see(self, other: End) -> None:
        """Have the other's light fall on the own sensor, as it was when it is now here."""
        lit = other.lit if self.time >= other.changed else other.was_lit
        self.gb.color.light.seen = self.gb.mapper.infrared.seen = lit


class Link:
    """A cable between two consoles, until `unplug()`; `with Link(a, b):` unplugs at the end. It carries infrared light
    too.

    `tick` runs both. A `tick` or `run` of one of them runs both as well, as far as that one was asked to: `a.tick();
    b.tick()` comes to the same as `link.tick()`. Whatever the pattern, the consoles do the same. They make no sound
    meanwhile.

    Errors: LinkError where a console is linked, or a device is plugged in, or both are the same.
    """

    def __init__(self, first: GameBoy, second: GameBoy) -> None:
        if first is second:
            raise LinkError("a console cannot be linked to itself")
        for console in (first, second):
            if console._link is not None:
                raise LinkError("a console is linked to another one already")
            if console.serial_device is not None:
                raise LinkError("a device is plugged into a console's serial port")
        self._ends = (End(first), End(second))
        self._shines = any(end.shines for end in self._ends)
        for end in self._ends:
            end.plug(self)
        self._shine()

    # ------------------------------------------------------------------ for users

    def tick(self, frames: int = 1, render: bool = True) -> bool:
        """Run both consoles for so many frames of 70,224 T-cycles. Returns: True."""
        for end in self._ends:
            end.console.tick(frames, render)
        return True

    def run(self, *, cycles: int, render: bool = True) -> None:
        """Run both for so many T-cycles."""
        for end in self._ends:
            end.console.run(cycles=cycles, render=render)

    def unplug(self) -> None:
        """Pull the cable out. A transfer that runs goes on with ones coming in. Again: nothing."""
        for end in self._ends:
            if end.console._link is self:
                end.plug(None)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *exception: object) -> None:
        self.unplug()

    # ------------------------------------------------------------------ states

    def snapshot(self) -> PairSnapshot:
        """Both consoles and what is on the cable, for `restore` in this process."""
        self._check()
        first, second = self._ends
        return PairSnapshot((first.console.snapshot(), second.console.snapshot()), (first.times, second.times))

    def restore(self, snapshot: PairSnapshot) -> None:
        """Bring both to where a snapshot was taken. Errors: StateError where it is of other cartridges or models."""
        self._check()
        for end, one in zip(self._ends, snapshot.consoles, strict=True):
            end.console._check_snapshot(one)
        with self._standing(snapshot.times):
            for end, one in zip(self._ends, snapshot.consoles, strict=True):
                end.console.restore(one)

    def save_state(self, file: str | os.PathLike[str] | IO[bytes] | None = None) -> bytes:
        """The state of the pair, in a form that later versions read too. `file` as for a console's `save_state`."""
        self._check()
        first, second = self._ends
        description = {"kind": "pair", "system": "gb", "times": [*first.times, *second.times]}
        parts = {"first": first.console.save_state(), "second": second.console.save_state()}
        data = container.pack(description, parts)
        put(file, data)
        return data

    def load_state(self, data: bytes) -> None:
        """Bring back a state of a pair. Errors: StateError where it is damaged or of others; both are as they were."""
        self._check()
        contents = container.unpack(data)
        told = contents.description
        if told.get("kind") != "pair":
            raise StateError(f"this is the state of a {told.get('kind')}, not of a pair")
        times = told.get("times")
        if not (isinstance(times, list) and len(times) == 4 and all(type(time) is int for time in times)):
            raise StateError("the state does not say how far its consoles were")
        parts = [contents.sections.get(name, b"") for name in ("first", "second")]
        for end, part in zip(self._ends, parts, strict=True):
            saving.load_state(end.gb, end.console._model, part)
        with self._standing(((times[0], times[1]), (times[2], times[3]))):
            for end, part in zip(self._ends, parts, strict=True):
                end.console.load_state(part)

    @contextlib.contextmanager
    def _standing(self, times: Times) -> Iterator[None]:
        """What both are brought to is at these times on the cable."""
        yield
        for end, (time, asked) in zip(self._ends, times, strict=True):
            end.lit = end.was_lit = end.gb.color.light.control & 1 | end.gb.mapper.infrared.lit
            end.changed = time
            end.stand_at(time, asked)

    def _check(self) -> None:
        if any(end.console._link is not self for end in self._ends):
            raise LinkError("the cable was pulled out")

    # ------------------------------------------------------------------ for the consoles

    def asked(self, console: GameBoy) -> int:
        """How far a console was asked to run, in dots."""
        return self._end(console).asked

    def moved(self, console: GameBoy) -> None:
        """A console was brought to another state: its time on the cable goes on."""
        end = self._end(console)
        end.stand_at(end.stood, end.stood)

    def advance(self, console: GameBoy, limit: int, render: bool) -> None:
        """Run both until `console` has reached dot `limit`."""
        mine = self._end(console)
        mine.asked = max(mine.asked, limit)
        entered = []
        try:
            for end in self._ends:
                end.console._enter()
                entered.append(end)
                end.gb.host.render = render
                end.gb.host.drawn_from = 0
                end.gb.host.watch_breakpoint = 0
            while self._step(limit - mine.start):
                pass
            for end in self._ends:
                end.gb.clock.stop = STOP_LIMIT
        finally:
            for end in entered:
                end.stood = end.time
                end.console._leave()

    def _end(self, console: GameBoy) -> End:
        return self._ends[0] if self._ends[0].console is console else self._ends[1]

    def _step(self, target: int) -> bool:
        """Pass a bit, or run one of the two as far as it may. Returns False where both have reached their time."""
        first, second = self._ends
        if _pass_bit(first, second) or _pass_bit(second, first):
            return True
        behind, ahead = (first, second) if first.time <= second.time else (second, first)
        light = self._shines and (first.uses_light or second.uses_light or ahead.changed > behind.time)
        for one, other in ((behind, ahead), (ahead, behind)):
            until = min(target, _limit(one, other, target), one.time + 1 if light else target)
            if one.time < until:
                one.console._slice(until + one.start)
                if self._shines:
                    self._shine()
                return True
        return False

    def _shine(self) -> None:
        """Each sees the other's light."""
        for end in self._ends:
            end.look_at_light()
        self._ends[0].see(self._ends[1])
        self._ends[1].see(self._ends[0])


def _pass_bit(sender: End, receiver: End) -> bool:
    """If the sender's clock has ticked and the receiver has come so far: each gets the other's bit."""
    if not sender.owed or receiver.time < sender.tick:
        return False
    time = sender.tick
    out, back = sender.sb_at(time) >> 7, receiver.line_at(time)
    receiver.feel_tick(time, out)
    sender.take_bit(back)
    return True


def _limit(one: End, other: End, target: int) -> int:
    """How far a console may run, as the other end stands."""
    if one.owed:
        return one.time
    if other.owed:
        return other.tick
    if one.waits:
        if other.gb.serial.sc & serial.SENDING == serial.SENDING:
            return other.time
        return other.time + (SOON >> other.gb.speed.double if other.gb.color.functions else LATER)
    return target
