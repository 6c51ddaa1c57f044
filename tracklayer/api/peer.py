"""A console in another process, or on another machine, at the other end of the link cable.

For:       `Peer.listen(gb, port)` in one process, `Peer.connect(gb, port)` in the other: their serial ports are joined
           as `Link` joins two in one process, bit for bit.
Not for:   the socket (wire.py); two consoles of one process, and infrared light (link.py).
Invariant: that of link.py: a console executes exactly the instructions that begin before a tick of the other's clock,
           and is then told of that tick. What happens depends on the guests' time alone, never on when bytes arrive.

Both ends count time from when the cable was plugged in, in dots, and tell each other:

    REACHED  time: every tick of yours up to here that I did not hear of found nobody who waits, and gets a one;
             promise: no tick of mine comes before
    TICK     my clock ticked at `time`, with a bit; I wait for yours
    ANSWER   to a tick: the bit of a port that waits for the clock
    MOVED    I was brought to another state (the number-th time), which was at `time`
    LEFT     my end is unplugged: you get ones, and no ticks

So a console that neither sends nor waits for a clock runs on its own, as far ahead as it is asked to. One that waits
for the other's clock runs as far as the other one promised; one whose clock ticked waits for the answer.
"""

from __future__ import annotations

import os
import weakref
from typing import IO, TYPE_CHECKING

from tracklayer.machine.common.clock import STOP_LIMIT
from tracklayer.machine.gb import serial

from . import container, saving
from .errors import LinkError, StateError
from .files import get, put
from .link import LATER, SOON, End
from .wire import (
    ANSWER,
    LEFT,
    LINGER,
    LONGEST,
    LOOPBACK,
    MOVED,
    REACHED,
    TICK,
    TIMEOUT,
    CableError,
    Listener,
    Message,
    connect,
)

if TYPE_CHECKING:
    from .gameboy import GameBoy
    from .wire import Wire

SLICE = 16_384
"""Dots run at once: so often the other end hears how far it may go."""
OFTEN = 4_096
"""Dots between two words about that, unless there is reason for one."""


class Far:
    """What is known about the other end."""

    def __init__(self, number: int = -1, start: int = 0) -> None:
        self.number = number
        """How often it was brought to another state. What it says counts when this end was equally often."""
        self.start = start
        """How far it was asked to run in that state."""
        self.free = -1
        self.promise = 0
        self.tick: Message | None = None
        """A tick of its clock that waits for the answer."""
        self.answer: Message | None = None

    @property
    def quiet_until(self) -> int:
        """Before when no tick comes that is not answered yet."""
        return self.tick.time if self.tick else self.promise


class Peer:
    """The other end of a console's link cable, over TCP, until `unplug()`; `with Peer.connect(gb, port):` unplugs at
    the end.

    The two consoles do what two on a `Link` do, whatever is asked of them in which pieces: a `tick` or `run` of this
    console waits for the other one where it needs it, and only there. Time begins for both when they are joined; run
    both equally far. A linked console makes no sound. Infrared light does not go over this cable.

    timeout: seconds that the other end may keep this one waiting; None: for ever (Ctrl-C ends it).
    Once the other end has unplugged, this one gets ones.
    Errors: LinkError from `tick` and `run` where the other end goes away without that, says what makes no sense, or
    lets this one wait for too long: the cable is unplugged then, and the console can go on alone.
    """

    def __init__(self, console: GameBoy, wire: Wire) -> None:
        self._wire = wire
        self._farewell = weakref.finalize(self, wire.leave)
        try:
            if console._link is not None:
                raise LinkError("the console is linked to another one already")
            if console.serial_device is not None:
                raise LinkError("a device is plugged into the console's serial port")
            self._end = End(console)
        except BaseException:
            self._farewell()
            raise
        self._ahead: Message | None = None
        """The other end has loaded a state, and this end has not loaded the one that goes with it."""
        self._left = False
        self._asking = 0
        """The number of the tick that waits for an answer; 0: none."""
        self._numbers = 0
        self._moved = -1
        self._end.plug(self)
        self._move(0)

    @classmethod
    def listen(cls, console: GameBoy, port: int, host: str = LOOPBACK, *, timeout: float | None = TIMEOUT) -> Peer:
        """Wait at a port for the other end to connect. By default only this machine can. Errors: LinkError."""
        with Listener(port, host) as listener:
            return cls(console, listener.accept(timeout))

    @classmethod
    def connect(cls, console: GameBoy, port: int, host: str = LOOPBACK, *, timeout: float | None = TIMEOUT) -> Peer:
        """Connect to an end that listens, or soon will. Errors: LinkError."""
        return cls(console, connect(port, host, timeout))

    @property
    def connected(self) -> bool:
        """Whether the cable is plugged in at both ends, as far as is known here."""
        return self._plugged and not self._left

    @property
    def _plugged(self) -> bool:
        return self._end.console._link is self

    def unplug(self, linger: float = LINGER) -> None:
        """Pull the cable out. A transfer that runs goes on with ones coming in. Again: nothing.

        linger: seconds to wait until the other end, which may be behind, has heard of it. One that has not by then may
                take it for an error.
        """
        self._end.console._here()
        self._farewell.detach()
        self._wire.leave(linger)
        if self._plugged:
            self._end.plug(None)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.unplug()

    # ------------------------------------------------------------------ states

    def save_state(self, file: str | os.PathLike[str] | IO[bytes] | None = None) -> bytes:
        """The state of this console and of its end of the cable; `file` as for a console's `save_state`.

        It goes with the state of the other end that was saved when that one was asked to run equally far.
        Errors: LinkError where an exception ended a run before its end, and it was not run on since.
        """
        self._check()
        time, asked = self._end.times
        if time < asked:
            raise LinkError("an exception ended the run; run(cycles=0) goes on to where it was asked to go")
        description = {"kind": "end", "system": "gb", "times": [time, asked]}
        data = container.pack(description, {"console": self._end.console.save_state()})
        put(file, data)
        return data

    def load_state(self, source: bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]) -> None:
        """Bring back a state of an end: bytes, a path, an open file. The other end has to load the one that goes with
        it before they go on.

        Errors: StateError where it is damaged or of others; the console is as it was.
        """
        self._check()
        contents = container.unpack(get(source))
        told = contents.description
        if told.get("kind") != "end":
            raise StateError(f"this is the state of a {told.get('kind')}, not of an end of a cable")
        times = told.get("times")
        if not (isinstance(times, list) and len(times) == 2 and all(type(time) is int for time in times)):
            raise StateError("the state does not say how far its console was")
        time, asked = times
        if not 0 <= asked <= time < LONGEST:
            raise StateError("the state's console was nowhere")
        part = contents.sections.get("console", b"")
        saving.load_state(self._end.gb, self._end.console._model, part)
        self._end.console.load_state(part)
        self._end.stand_at(time, asked)
        self._move(asked)

    def _move(self, asked: int) -> None:
        """This end stands elsewhere: what was said before does not count any more."""
        self._moved += 1
        self._start = asked
        self._far = Far()
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._hear_of_move(ahead)
        self._asking = self._told = 0
        self._told_free = -1
        self._last_word: Message | None = None
        self._wire.send(Message(MOVED, 0, self._moved, asked))
        self._wire.flush()

    def _check(self) -> None:
        if not self._plugged:
            raise LinkError("the cable was pulled out")

    # ------------------------------------------------------------------ for the console

    def asked(self, console: GameBoy) -> int:
        """How far the console was asked to run, in dots."""
        return self._end.asked

    def moved(self, console: GameBoy) -> None:
        """The console was brought to another state by itself: its time on the cable goes on."""
        self._end.stand_at(self._end.stood, self._end.stood)
        self._asking = 0

    def advance(self, console: GameBoy, limit: int, render: bool) -> None:
        """Run the console to dot `limit`."""
        end = self._end
        console._enter()
        try:
            end.asked = max(end.asked, limit)
            end.gb.host.render = render
            end.gb.host.drawn_from = 0
            end.gb.host.watch_breakpoint = 0
            while self._step(end.asked - end.start):
                pass
            end.gb.clock.stop = STOP_LIMIT
            self._tell()
            while self._wire.unsent and not self._left:
                self._wire.wait()
                self._listen()
        except CableError:
            self._wire.close()  # without a goodbye: the other end is to know that something is wrong
            end.plug(None)
            raise
        finally:
            self._wire.went_on()
            self._wire.flush()
            end.stood = end.time
            console._leave()

    # ------------------------------------------------------------------ running

    def _step(self, target: int) -> bool:
        """Answer a tick, take an answer, or run a bit. Returns False where the console has reached its time."""
        end = self._end
        self._listen()
        if not self._left and self._far.number != self._moved:
            self._wire.wait("; it has not loaded the state that goes with the one loaded here")
            return True
        if not self._left and self._far.start != self._start:
            raise CableError(
                f"the states of the two ends are of different moments: {self._start:,} here, {self._far.start:,} there"
            )
        if self._answer(target):
            return True
        if end.owed:
            tick = end.tick
            if not self._asking and not self._left:
                self._ask(tick)
            if tick >= target:
                return False
            bit = self._bit_at(tick)
            if bit is None:
                self._await()
            else:
                self._asking = 0
                end.take_bit(bit)
                self._wire.went_on()
            return True
        time = end.time
        quiet = LONGEST if self._left else self._far.quiet_until
        until = min(target, time + SLICE)
        if end.waits or self._far.tick:
            until = min(until, quiet)
        if time < until:
            self._wire.flush()
            end.console._slice(until + end.start)
            self._wire.went_on()
            if not end.owed and end.time - self._told >= OFTEN and not self._due(end.time):
                self._tell()
            return True
        if time >= target and (not end.waits or quiet >= target):
            return False
        self._await()
        return True

    def _due(self, time: int) -> bool:
        """Whether a tick is to be answered first."""
        return self._far.tick is not None and self._far.tick.time <= time

    def _answer(self, target: int) -> bool:
        """Answer the other's tick, if this console has come so far."""
        tick, end = self._far.tick, self._end
        if tick is None or not self._due(end.time) or self._left:
            return False
        if tick.time > self._told_free:
            if tick.time >= target:
                return False
            bit = end.line_at(tick.time)
            end.feel_tick(tick.time, tick.bit)
            self._wire.send(Message(ANSWER, bit, tick.number))
        self._far.tick = None
        self._wire.went_on()
        return True

    def _ask(self, tick: int) -> None:
        """The own clock has ticked: tell the other end, unless it is known already that nobody waits there."""
        self._numbers = self._numbers % 0xFFFFFFFF + 1
        self._asking = self._numbers
        if self._far.free < tick:
            self._wire.send(Message(TICK, self._end.sb_at(tick) >> 7, self._asking, max(0, tick)))

    def _bit_at(self, tick: int) -> int | None:
        """The other's bit at an own tick; None where it is not known yet."""
        answer = self._far.answer
        if answer is not None and answer.number == self._asking:
            return answer.bit
        return 1 if self._left or self._far.free >= tick else None

    def _await(self) -> None:
        """Wait for a word of the other end; it may wait for one of this."""
        if self._ahead is not None:
            raise LinkError("the other end has loaded a state: load the one that goes with it here")
        self._tell()
        self._wire.wait()

    def _tell(self) -> None:
        """Say how far this console is, and how far the other one may go."""
        end = self._end
        time, gb = end.time, end.gb
        if not end.waits and not self._due(time):
            self._told_free = max(self._told_free, time)
        if end.owed:
            promise = end.tick
        elif gb.serial.sc & serial.SENDING == serial.SENDING:
            promise = time
        else:
            promise = time + (SOON >> gb.speed.double if gb.color.functions else LATER)
        self._told = time
        word = Message(REACHED, 0, 0, max(0, self._told_free), max(0, promise))
        if not self._left and word != self._last_word:
            self._last_word = word
            self._wire.tell(word)

    # ------------------------------------------------------------------ listening

    def _listen(self) -> None:
        """Take in what the other end said. Errors: CableError."""
        if self._left:
            return
        for message in self._wire.messages():
            if message.kind == LEFT:
                self._left = True
                self._far.tick = None
                self._wire.hang_up()
                return
            if message.kind == MOVED:
                self._hear_of_move(message)
            elif self._far.number == self._moved and self._ahead is None:
                self._hear(message)

    def _hear_of_move(self, message: Message) -> None:
        """The other end stands elsewhere. What it said before counts as long as this end stands where it did."""
        if message.number <= (self._ahead or self._far).number:
            raise CableError("the other end says that it went back to a state that it left")
        if message.number > self._moved:
            self._ahead = message
        else:
            self._far = Far(message.number, message.time)

    def _hear(self, message: Message) -> None:
        far = self._far
        if message.kind == TICK:
            if far.tick is not None and far.tick.time > self._told_free:
                raise CableError("the other end does not wait for answers")
            far.tick = message
        elif message.kind == ANSWER:
            far.answer = message
        else:
            if message.time > far.free or message.promise > far.promise:
                self._wire.went_on()
            far.free, far.promise = max(far.free, message.time), max(far.promise, message.promise)
