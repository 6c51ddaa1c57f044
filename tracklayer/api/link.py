"""Two consoles side by side: the link cable, and infrared light.

For:       `Link(a, b)`: running both so that each bit, and each flash, reaches the other when it should.
Not for:   the serial port itself (machine/gb/serial.py); devices that are no consoles (plugs.py).
Invariant: neither console is further ahead of the other than it takes a bit that the other may begin to send to get
           there, or an instruction more. A transfer's clock ticks are planned for the console that receives them, so
           that its port is right to the T-cycle; the sender waits at each tick for the bit that comes back.
Source:    Pan Docs, "Serial Data Transfer (Link Cable)", "Infrared Communication".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracklayer.machine.common.clock import NEVER
from tracklayer.machine.gb import serial, speed

from .errors import BusyError, LinkError

if TYPE_CHECKING:
    from .gameboy import GameBoy

AHEAD, AHEAD_HURRIED = 224, 4
"""How many dots a console may be ahead. The half of a bit that every transfer begins with takes 256, less an
instruction; with the fast clock of a Color 8 T-cycles. The first bit of the first fast transfer may come late."""
BITS = 8
INFRARED = (0xFE, 0xFF)
"""Types of cartridges with a diode of their own: HuC-3, HuC1."""


class End:
    """One console of a link."""

    def __init__(self, console: GameBoy) -> None:
        self.console = console
        self.gb: Any = console._here()
        self.start = int(self.gb.dots())
        """The dot at which the cable was plugged in."""
        self.asked = self.start
        """How far somebody wanted it to run."""
        self.transfer = -1
        """When the transfer that it clocks was begun; -1: it clocks none."""
        self.taken = 0
        """Ticks of that transfer that the other console has had."""
        self.answers: list[int] = []
        """Bits that came back for ticks which this console has not shifted yet."""
        self.time = 0
        """Dots since the cable was plugged in."""
        self.shines = bool(self.gb.color.functions) or console._cartridge.header[0x147] in INFRARED

    @property
    def hurried(self) -> bool:
        """Whether what it does may reach the other console at once: the fast clock was chosen, or light is in use."""
        return bool(self.gb.serial.sc & serial.FAST or (self.shines and self.gb.color.light.control))

    @property
    def clocks(self) -> bool:
        """Whether a transfer runs by its clock."""
        return bool(self.gb.serial.sc & serial.SENDING == serial.SENDING)


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
            end.gb.host.linked = 1
            serial.catch_up(end.gb)
            serial.reschedule(end.gb)
            end.console._link = self
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
                end.console._link = None
                end.gb.host.linked = 0
                end.gb.serial.edges = 0
                end.gb.serial.edge_at = NEVER
                end.gb.serial.incoming = 0xFF
                end.gb.color.light.seen = end.gb.mapper.infrared.seen = 0
                serial.catch_up(end.gb)
                serial.reschedule(end.gb)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *exception: object) -> None:
        self.unplug()

    # ------------------------------------------------------------------ for the consoles

    def asked(self, console: GameBoy) -> int:
        """How far a console was asked to run, in dots."""
        return self._end(console).asked

    def advance(self, console: GameBoy, limit: int, render: bool) -> None:
        """Run both until `console` has reached dot `limit`."""
        mine = self._end(console)
        mine.asked = max(mine.asked, limit)
        target = limit - mine.start
        entered = []
        try:
            for end in self._ends:
                end.console._enter()
                entered.append(end)
                end.gb.host.render = render
                end.gb.host.watch_breakpoint = 0
                end.time = int(end.gb.dots()) - end.start
            while min(end.time for end in self._ends) < target:
                self._step(target)
        finally:
            for end in entered:
                end.console._leave()

    def _end(self, console: GameBoy) -> End:
        return self._ends[0] if self._ends[0].console is console else self._ends[1]

    def _step(self, target: int) -> None:
        """Run the console that is behind, for a little."""
        one, two = self._ends
        behind, ahead = (one, two) if one.time <= two.time else (two, one)
        if behind.gb.serial.owed:
            # It waits for a bit, and the other one is past that time: the tick was planned too late to be seen.
            self._plan(behind, ahead)
            self._answer(behind)
            if behind.gb.serial.owed:
                raise BusyError("the link is in disorder: a bit is missing")
        self._plan(ahead, behind)
        lead = AHEAD_HURRIED if one.hurried or two.hurried else AHEAD
        self._run(behind, ahead, min(target, ahead.time + lead))
        self._plan(behind, ahead)
        self._answer(one)
        self._answer(two)
        if self._shines:
            self._shine()

    def _run(self, end: End, other: End, limit: int) -> None:
        """Run one console to a time, or until it wants to be looked at, and keep the bits that it answered with."""
        port = end.gb.serial
        before, out, waits, bits = port.edges, port.sb, port.sc & serial.SENDING == serial.REQUESTED, port.bits_left
        end.time = end.console._slice(end.start + max(limit, end.time + 1)) - end.start
        self._keep(other, before - port.edges, out, bits if waits else 0)

    def _keep(self, sender: End, ticks: int, out: int, bits: int) -> None:
        """A receiver had some ticks: the bits that it sent back, of `out` as long as its own transfer had bits left.

        UNVERIFIED: that one that waits for no clock sends ones.
        """
        for tick in range(ticks):
            sender.answers.append(out >> (7 - tick & 7) & 1 if tick < bits else 1)
        sender.taken += ticks

    def _plan(self, sender: End, receiver: End) -> None:
        """Tell a receiver when the sender's clock will tick, as far as that is known."""
        port, gb = receiver.gb.serial, sender.gb
        if not sender.clocks:
            if sender.transfer >= 0:
                sender.transfer = -1
                port.edges, port.edge_at = 0, NEVER
            return
        if sender.transfer != gb.serial.requested_at:
            sender.transfer = gb.serial.requested_at
            sender.taken, sender.answers = BITS - gb.serial.bits_left, []
        serial.catch_up(gb)
        lead = sender.taken - (BITS - gb.serial.bits_left)
        half = serial.half_bits(gb)
        now = gb.clock.now()
        first = serial.halves(gb, now) - gb.serial.half + 2 - 2 * gb.serial.owed + 2 * lead
        tick = speed.dots_at(gb, gb.timer.origin + (first << half)) - sender.start + receiver.start
        port.edges = gb.serial.bits_left - lead
        port.edge_at = max(speed.time_of(receiver.gb, max(tick, receiver.gb.speed.dots)), 0)
        port.edge_period = (2 << half >> gb.speed.double) << receiver.gb.speed.double
        port.incoming = gb.serial.sb << lead & 0xFF
        if port.edges == 0:
            port.edge_at = NEVER
        before, out = port.edges, port.sb
        bits = port.bits_left if port.sc & serial.SENDING == serial.REQUESTED else 0
        serial.catch_up(receiver.gb)
        self._keep(sender, before - port.edges, out, bits)
        serial.reschedule(receiver.gb)

    def _answer(self, sender: End) -> None:
        """Give the sender the bits that it waits for."""
        port = sender.gb.serial
        while port.owed and sender.answers:
            port.incoming = port.incoming & 0x7F | sender.answers.pop(0) << 7
            port.granted = 1
            serial.catch_up(sender.gb)
            serial.reschedule(sender.gb)

    def _shine(self) -> None:
        """Each sees the other's light."""
        for end, other in (self._ends, self._ends[::-1]):
            lit = other.gb.color.light.control & 1 | other.gb.mapper.infrared.lit
            end.gb.color.light.seen = end.gb.mapper.infrared.seen = lit
