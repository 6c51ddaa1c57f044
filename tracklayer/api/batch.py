"""Many consoles in one call: `Batch`.

For:       N Game Boys stepped on all cores without the GIL, buttons in and pictures, memory and flags out as arrays.
Not for:   what a thread does with a console (seats.py); the loop without the GIL (translate/many.py).
Invariant: a console's results are those that it would have alone, to the bit, however many threads there are. One that
           Python has a part in (hooks, regions, a device, sound) is ticked as a lone one is, and so is any of the
           reference engine.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tracklayer.lang import i64, pointer_at, take_error, u8, u32
from tracklayer.machine.gb import build
from tracklayer.machine.gb.memory import HRAM

from . import arguments, seats
from .arguments import Where
from .crew import Crew, Crowd
from .engines import STOP_ROOM, Progress
from .errors import BusyError, StateError
from .gameboy import BUTTONS, CYCLES_PER_FRAME, GameBoy
from .pictures import HEIGHT, WIDTH
from .rewind import Snapshot
from .threads import Threads, loop

if TYPE_CHECKING:
    import numpy
    from numpy.typing import ArrayLike, NDArray

    Bytes = NDArray[numpy.uint8]

Rom = str | os.PathLike[str] | bytes | bytearray | memoryview
State = Snapshot | bytes | bytearray | memoryview

PICTURES = {"rgb": seats.RGB, "shades": seats.SHADES, None: seats.NO_PICTURES}

QUOTA = 4096 * CYCLES_PER_FRAME
"""Dots that a thread runs before it looks for Ctrl-C: a fraction of a second."""

LONGEST = 1 << 31
"""A step has fewer frames."""


class Batch:
    """N consoles, stepped together.

    roms:     what `GameBoy` takes, or a sequence of such: console i gets the i-th, and they are used in turn if there
              are fewer than `count`. Consoles with the same ROM share it, and what is translated from it.
    count:    how many consoles; as many as there are ROMs if not given.
    threads:  how many threads run them; None: one for each core that this process may use.
    pictures: "rgb", "shades", or None: what `step` fills in, `screens` or `shades`.
    memory:   addresses (an int, or a slice of neighbours) whose bytes `step` fills in: a sequence, or a mapping from
              names. `batch.memory` has an array for each, by the same names or by number.
    engine, model, boot_rom, cartridge_ram, clock, progress: as for `GameBoy`.

        batch = Batch("game.gb", 1000, memory={"score": slice(0xC0A0, 0xC0A2)})
        batch.step(buttons, frames=4)          # buttons: uint8, shape (1000,), bits as in Batch.BUTTONS
        batch.screens                          # uint8, shape (1000, 144, 160, 3)
        batch.memory["score"]                  # uint8, shape (1000, 2)
        batch[17].hook(0x0150, function)       # each one is a GameBoy
        batch.reset(batch.memory["lives"] == 0)

    The arrays are the same ones after each step, with other contents: copy what is to be kept.
    Errors: those of `GameBoy`; ValueError, TypeError, IndexError for what makes no sense.
    """

    BUTTONS: Mapping[str, int] = MappingProxyType(BUTTONS)
    """The bit of each button."""

    SENT, FAILED, HALTED, STOPPED = seats.SENT, seats.FAILED, seats.HALTED, seats.STOPPED
    LOCKED, LCD, DOUBLE, RUMBLE = seats.LOCKED, seats.LCD, seats.DOUBLE, seats.RUMBLE

    def __init__(
        self,
        roms: Rom | Sequence[Rom],
        count: int | None = None,
        *,
        threads: int | None = None,
        pictures: str | None = "rgb",
        memory: Mapping[str, Where] | Sequence[Where] = (),
        engine: str = "translated",
        model: str = "auto",
        boot_rom: str | os.PathLike[str] | bytes | None = None,
        cartridge_ram: int | None = None,
        clock: str = "guest",
        progress: Progress | None = None,
    ) -> None:
        if pictures not in PICTURES:
            raise ValueError(f'pictures are "rgb", "shades" or None, not {pictures!r}')
        listed = [roms] if isinstance(roms, str | os.PathLike | bytes | bytearray | memoryview) else list(roms)
        if not listed:
            raise ValueError("a batch needs a ROM")
        count = arguments.positive("count", len(listed) if count is None else count)
        threads = arguments.positive("threads", arguments.cores() if threads is None else threads)
        places = arguments.places(memory)
        made: dict[Any, GameBoy] = {}
        self._consoles: list[GameBoy] = []
        self._crowd = Crowd()
        for index in range(count):
            rom = listed[index % len(listed)]
            key = bytes(rom) if isinstance(rom, bytearray | memoryview) else rom
            first = made.get(key)
            if first is None:
                gb = made[key] = GameBoy(
                    key, engine=engine, model=model, boot_rom=boot_rom, cartridge_ram=cartridge_ram, clock=clock,
                    progress=progress,
                )  # fmt: skip
            else:
                gb = first.clone()
                gb._attach()
                gb._symbols, gb._symbols_path = first._symbols, first._symbols_path
                if clock != "guest":
                    gb.clock = clock
            gb._crowd = self._crowd
            gb._find_way()
            self._consoles.append(gb)
        self._starts = {id(gb._cartridge): gb.snapshot() for gb in made.values()}
        with_registers = any(addresses.start < HRAM and addresses.stop > seats.IO for _, addresses, _ in places)
        self._loop = None if engine == "reference" else loop(self._consoles[0]._engine, with_registers, progress)
        self._kind = pictures
        self._places = places
        self._make_arrays(min(threads, count))

    def _make_arrays(self, threads: int) -> None:
        import numpy

        count = len(self._consoles)
        channels = (3,) if self._kind == "rgb" else ()
        self._pictures: Bytes | None = None
        if self._kind is not None:
            self._pictures = numpy.zeros((count, HEIGHT, WIDTH, *channels), numpy.uint8)
        lengths = [len(addresses) for _, addresses, _ in self._places]
        self._rows: Bytes = numpy.zeros((count, max(1, sum(lengths))), numpy.uint8)
        self._buttons: Bytes = numpy.zeros(count, numpy.uint8)
        self._frames: NDArray[numpy.uint32] = numpy.zeros(count, numpy.uint32)
        self._render: Bytes = numpy.ones(count, numpy.uint8)
        self._flags: Bytes = numpy.zeros(count, numpy.uint8)
        self._cycles: NDArray[numpy.int64] = numpy.zeros(count, numpy.int64)
        self._seats: NDArray[Any] = numpy.zeros(count, arguments.dtype(seats.Seat))
        self._seats["context"] = [ctypes.addressof(gb._gb) for gb in self._consoles]
        self._seats["lone"] = [bool(gb._super) for gb in self._consoles]
        self._seats["index"] = numpy.arange(count)
        span_type: Any = seats.Span
        self._spans = (span_type * max(1, len(self._places)))()
        arrays: dict[Any, Bytes] = {}
        at = 0
        for item, (name, addresses, single) in zip(self._spans, self._places, strict=False):
            item.first, item.length, item.to = addresses.start, len(addresses), at
            arrays[name] = self._rows[:, at] if single else self._rows[:, at : at + len(addresses)]
            at += len(addresses)
        self._memory = MappingProxyType(arrays)
        self._job: Any = seats.Job()
        self._job.seats = pointer_at(self._seats.ctypes.data, u8)
        self._job.buttons = pointer_at(self._buttons.ctypes.data, u8)
        self._job.frames = pointer_at(self._frames.ctypes.data, u32)
        self._job.render = pointer_at(self._render.ctypes.data, u8)
        self._job.flags = pointer_at(self._flags.ctypes.data, u8)
        self._job.cycles = pointer_at(self._cycles.ctypes.data, i64)
        self._job.pictures = PICTURES[self._kind]
        if self._pictures is not None:
            self._job.picture, self._job.picture_size = self._pictures.ctypes.data, self._pictures.nbytes // count
        self._job.memory, self._job.memory_size = self._rows.ctypes.data, self._rows.shape[1]
        self._job.spans = len(self._places)
        self._job.span = pointer_at(ctypes.addressof(self._spans), seats.Span)
        job: Any = ctypes.addressof(self._job)  # type: ignore[arg-type]
        self._workers: list[Any] = [seats.Worker() for _ in range(threads)]
        places = [ctypes.addressof(worker) for worker in self._workers]
        self._job.threads = threads
        self._job.caller = places[0]
        for number, worker in enumerate(self._workers):
            worker.job = pointer_at(job, seats.Job)
            worker.quota = QUOTA
            worker.following = places[(number + 1) % threads]
            worker.helps = number > 0
        self._threads = None if self._loop is None else Threads(self._loop, self._job, self._workers)
        self._crew = Crew(threads - 1, self._threads)
        self._filled: dict[str, int] = {}
        first: dict[int, int] = {}
        alike = [first.setdefault(id(gb._cartridge), index) for index, gb in enumerate(self._consoles)]
        # Those with the same ROM one after the other, for they share translated code.
        self._everyone: NDArray[numpy.uint32] = numpy.argsort(alike, kind="stable").astype(numpy.uint32)
        self._everyone_at: int = self._everyone.ctypes.data
        for index, other in enumerate(alike):
            self._collect_like(index, other)

    # ------------------------------------------------------------------ running

    def step(
        self,
        buttons: ArrayLike | None = None,
        frames: ArrayLike = 1,
        render: ArrayLike = True,
        sound: bool = False,
    ) -> None:
        """Run every console as its `tick(frames, render, sound)` does, and fill in the arrays.

        buttons: who holds what from now on, bits as in `BUTTONS`: one number for all, or shape (n,). None: as before.
        frames:  how many, one number for all or shape (n,); 0 leaves a console where it is. None waits for another.
        render:  whether the picture is drawn, for all or shape (n,). Without, its row stays as it was.
        sound:   whether `batch[i].sound` is to hold what these frames sound like; then Python has a part in each.
        Errors:  BusyError where a console is running already; what hooks and the like raise, with a note which console
                 it was, after all others have gone their way: an ExceptionGroup if there are several.
        """
        pressed = None if buttons is None else arguments.numbers(len(self), "buttons", buttons, 0xFF)
        wanted = arguments.numbers(len(self), "frames", frames, LONGEST - 1)
        drawn = arguments.truths(len(self), "render", render)
        self._enter()
        errors: dict[int, Exception] = {}
        attended: list[int] = []
        try:
            together = self._threads is not None and not sound
            if together:
                self._open(pressed is not None)
            if pressed is not None:
                self._fill("buttons", self._buttons, pressed)
            self._fill("frames", self._frames, wanted)
            self._fill("render", self._render, drawn)
            if together:
                self._run(attended, errors)
            else:
                self._job.press, self._job.stop = pressed is not None, 0
                attended.extend(range(len(self)))
        finally:
            self._leave()
        if attended:
            self._tick(attended, sound, errors)
        for index in errors:
            self._flags[index] |= seats.FAILED
        if len(errors) == 1:
            raise next(iter(errors.values()))
        if errors:
            raise ExceptionGroup(f"{len(errors)} consoles of the batch raised", list(errors.values()))

    def _fill(self, name: str, array: NDArray[Any], given: NDArray[Any] | int) -> None:
        """What is wanted of each into an array, if that does not hold it already: a step of many consoles leaves
        little of NumPy in the cache."""
        if type(given) is not int and type(given) is not bool:
            self._filled.pop(name, None)
        elif self._filled.get(name) == given:
            return
        else:
            self._filled[name] = given
        array[:] = given

    def _open(self, press: bool) -> None:
        """A step of the threads begins."""
        assert self._threads is not None
        self._threads.calls["open_step"](press)
        self._threads.wake()

    def _run(self, attended: list[int], errors: dict[int, Exception]) -> None:
        """Without the GIL, again and again until all are done but those that Python has to tick."""
        threads = self._threads
        assert threads is not None
        order, at = self._everyone, self._everyone_at
        while len(order):
            threads.calls["open_round"](at, len(order), -(-len(order) // len(self._workers)))
            self._crew.run(threads.work, self._stop, threads.call, threads.over)
            if not threads.calls["left"]():
                return
            import numpy

            states = self._seats["state"]
            again = []
            for place in (states[order] != seats.DONE).nonzero()[0]:
                index = int(order[place])
                state = states[index]
                if state == seats.PYTHON:
                    attended.append(index)
                elif state == seats.COLLECT:
                    self._collect(index, bool(self._seats["sent"][index]))
                elif state == seats.HELP and not self._help(index, errors):
                    self._collect(index, bool(self._seats["sent"][index]))
                else:
                    again.append(index)
            order = numpy.array(again, numpy.uint32)
            at = order.ctypes.data

    def _stop(self) -> None:
        self._job.stop = 1

    def _help(self, index: int, errors: dict[int, Exception]) -> bool:
        """Do what a console's turn needs of Python. Returns whether it goes on."""
        gb = self._consoles[index]
        if gb._gb.host.sent.count:
            gb._sent += build.take_sent(gb._gb)
            self._seats["sent"][index] = 1
        error = take_error(gb._gb.host.ports) if gb._gb.host.ports.failed else None
        if error is not None:
            self._note(index, error, errors)
            return False
        if gb._gb.clock.stop == STOP_ROOM:
            gb._engine.make_room(gb._gb)
        self._seats["state"][index] = seats.RUNNING
        return True

    def _tick(self, attended: Sequence[int], sound: bool, errors: dict[int, Exception]) -> None:
        """Run some consoles as lone ones: who is linked runs another one too, so those go one after the other."""
        linked = deque(index for index in attended if self._consoles[index]._link is not None)
        left = deque(index for index in attended if self._consoles[index]._link is None)

        def work(number: int) -> None:
            while not self._job.stop:
                try:
                    index = linked.popleft() if number == 0 and linked else left.popleft()
                except IndexError:
                    return
                gb = self._consoles[index]
                before = len(gb._sent)
                try:
                    if self._job.press:
                        gb._here().press(int(self._buttons[index]))
                    gb.tick(int(self._frames[index]), bool(self._render[index]), sound)
                except Exception as error:
                    self._note(index, error, errors)
                self._collect(index, len(gb._sent) > before)

        self._crew.run(work, self._stop)

    def _note(self, index: int, error: BaseException, errors: dict[int, Exception]) -> None:
        if not isinstance(error, Exception):
            raise error
        error.add_note(f"in console {index} of the batch, {self._consoles[index]!r}")
        errors[index] = error

    def _collect(self, index: int, sent: bool) -> None:
        """Python's way of filling in a console's rows."""
        gb = self._consoles[index]
        if self._pictures is not None and self._render[index]:
            self._pictures[index] = gb.screen if self._kind == "rgb" else gb.shades
        at = 0
        for _, addresses, _ in self._places:
            data = gb.memory[addresses.start : addresses.stop]
            self._rows[index, at : at + len(addresses)] = tuple(data)
            at += len(addresses)
        self._cycles[index] = gb.cycles
        self._flags[index] = seats.flags_of(gb._gb, u8(sent))

    def _collect_like(self, index: int, other: int) -> None:
        """Fill in a console's rows where another one, whose rows are right, is in the same state."""
        if index == other or self._consoles[index]._gb.host.region_count:
            self._collect(index, False)
            return
        for array in (self._pictures, self._rows, self._cycles, self._flags):
            if array is not None:
                array[index] = array[other]

    def _enter(self) -> None:
        crowd = self._crowd
        if not crowd.lock.acquire(False):
            raise BusyError("console 0 of the batch is running already, and all others")
        crowd.runner = threading.get_ident()
        alone = list(crowd.alone)
        if alone:
            self._leave()
            index = min(self._consoles.index(gb) for gb in alone)
            raise BusyError(f"console {index} of the batch is running already")

    def _leave(self) -> None:
        self._crowd.runner = 0
        self._crowd.lock.release()

    # ------------------------------------------------------------------ what came out

    @property
    def screens(self) -> Bytes:
        """The last whole pictures: uint8, shape (n, 144, 160, 3), RGB. The next step writes over them."""
        return self._of_kind("rgb")

    @property
    def shades(self) -> Bytes:
        """The last whole pictures: uint8, shape (n, 144, 160), shades 0 (lightest) to 3. The next step writes over
        them."""
        return self._of_kind("shades")

    def _of_kind(self, kind: str) -> Bytes:
        if self._pictures is None or self._kind != kind:
            raise ValueError(f'this batch was made with pictures={self._kind!r}; make it with pictures="{kind}"')
        return self._pictures

    @property
    def memory(self) -> Mapping[Any, Bytes]:
        """The chosen memory, by name or number: uint8, shape (n,) for an address, (n, length) for a slice. The next
        step writes over it."""
        return self._memory

    @property
    def flags(self) -> Bytes:
        """How each console is: uint8, shape (n,), a copy. SENT: it sent bytes on the serial port in the last step.
        FAILED: it raised. HALTED, STOPPED, LOCKED: its processor waits for an interrupt, for a button, or for ever.
        LCD: the screen is on. DOUBLE: double speed. RUMBLE: the motor runs."""
        return self._flags.copy()

    @property
    def cycles(self) -> NDArray[numpy.int64]:
        """T-cycles at normal speed since each cartridge's first instruction, as of the last step: int64, shape (n,), a
        copy."""
        return self._cycles.copy()

    @property
    def threads(self) -> int:
        """How many threads run the consoles."""
        return len(self._workers)

    def __len__(self) -> int:
        return len(self._consoles)

    def __getitem__(self, index: int) -> GameBoy:
        return self._consoles[index]

    def __iter__(self) -> Iterator[GameBoy]:
        return iter(self._consoles)

    def __repr__(self) -> str:
        return f"<Batch of {len(self)} consoles, {self._consoles[0].engine} engine, {self.threads} threads>"

    # ------------------------------------------------------------------ states

    def reset(self, mask: ArrayLike | None = None, state: State | Sequence[State] | None = None) -> None:
        """Bring consoles to where they were when the batch was made, or to a state, and fill in their rows.

        mask:  which: bool, shape (n,), or their numbers. None: all.
        state: a snapshot, or what `save_state` gave; or a sequence with one for each of these consoles.
        Errors: StateError where a state does not fit its console: those before it are reset then. BusyError.
        """
        chosen = arguments.chosen(len(self), mask)
        if state is None or isinstance(state, Snapshot | bytes | bytearray | memoryview):
            states: Sequence[State | None] = [state] * len(chosen)
        else:
            states = list(state)
            for one in states:
                if not isinstance(one, Snapshot | bytes | bytearray | memoryview):
                    raise TypeError(f"a state is a Snapshot or bytes, not {type(one).__name__}")
            if len(states) != len(chosen):
                raise ValueError(f"these are {len(chosen)} consoles: give as many states, not {len(states)}")
        self._render[chosen] = True
        self._filled.pop("render", None)
        first: dict[tuple[int, int], int] = {}
        read: dict[tuple[int, int], Snapshot] = {}
        for index, given in zip(chosen, states, strict=True):
            gb = self._consoles[index]
            key = id(given), id(gb._cartridge)
            try:
                if isinstance(given, bytes | bytearray | memoryview) and key not in read:
                    gb.load_state(given)
                    read[key] = gb.snapshot()
                else:
                    known = self._starts[id(gb._cartridge)] if given is None else read.get(key, given)
                    assert isinstance(known, Snapshot)
                    gb.restore(known)
            except StateError as error:
                error.add_note(f"in console {index} of the batch, {gb!r}")
                raise
            self._collect_like(index, first.setdefault(key, index))

    def snapshots(self) -> list[Snapshot]:
        """The state of each console, for `reset` in this process."""
        return [gb.snapshot() for gb in self._consoles]

    def save_states(self) -> list[bytes]:
        """The state of each console, as its `save_state` gives it."""
        return [gb.save_state() for gb in self._consoles]

    def load_states(self, states: Sequence[State]) -> None:
        """Bring back what `save_states` or `snapshots` gave: one for each console. Errors: as of `reset`."""
        self.reset(None, list(states))

    def close(self) -> None:
        """End the threads. A later step starts others."""
        self._crew.close()

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
