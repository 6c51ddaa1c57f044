"""A Game Boy as a Python object.

For:       the console: making it, and running it.
Not for:   looking into it and its buttons (views.py), states and battery saves (kept.py), hooks and regions (hooks.py),
           what is plugged in (plugs.py); what the machine does (machine/gb), what executes it (engines.py).
Invariant: all of the guest's state is whole in memory whenever Python code of a user runs: between calls, and in hooks.
"""

from __future__ import annotations

import ctypes
import functools
import operator
import os
import threading
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from tracklayer.lang import Host, layout, take_error
from tracklayer.machine.common.clock import NEVER, STOP_BREAKPOINT, STOP_FRAME, STOP_LIMIT
from tracklayer.machine.gb import build
from tracklayer.machine.gb.boot import START
from tracklayer.machine.gb.cartridge import Cartridge
from tracklayer.machine.gb.model import MODELS, automatic, fitted

from . import outside
from .battery import Battery
from .crew import Crowd
from .engines import REFUSED, STOP_ROOM, Engine, Progress, make_engine
from .errors import BusyError, LinkError, ModelError
from .hooks import FRAME, INTERRUPT, READ, WRITE, Hooked, calling
from .kept import Kept
from .memory import Memory
from .plugs import Plugs
from .registers import FrozenRegisters, Registers
from .roms import DEMO, demo_symbols, is_demo, load_cartridge, read_boot_rom, read_rom
from .sound import Sound
from .symbols import Symbols
from .symbols import beside as symbols_beside
from .views import BUTTONS as BUTTONS
from .views import CYCLES_PER_FRAME as CYCLES_PER_FRAME
from .views import CYCLES_PER_SECOND as CYCLES_PER_SECOND
from .views import Views

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .link import Cable

SLICE = outside.SLICE_FRAMES * CYCLES_PER_FRAME

SENT, FAILED, STOPPED = 1 << 7, 1 << 6, (1 << 6) - 1
SOMETHING = SENT | FAILED | STOPPED & ~STOP_LIMIT
"""The low bits of an engine's outcome. What is more than the end of a slice is looked at closely."""


class _Ticked:
    """What each tick touches, in slots: instances with as many attributes as a console has find others less quickly."""

    __slots__ = ("_claim", "_retired", "_sound", "_step", "_who")

    _who: memoryview
    """One item, `lang.Host.runner`: the thread that runs the console; 0: none."""
    _claim: Callable[[int], object]
    """A thread wants to run the console. Whether it does from now on, in one step for all threads."""
    _step: Callable[[int, object, object], int]
    """Runs whole frames, where nothing speaks against it; else it returns REFUSED."""
    _sound: Sound
    _retired: list[object]
    """What hooks left behind that the run may still use."""


def _refused(frames: int, render: object, sound: object) -> int:
    return REFUSED


def _claim_alone(lock: threading.Lock, gb: Any, thread: int) -> bool:
    """`outside.claim`, for a console that generated code does not run."""
    with lock:
        return bool(outside.claim(gb, thread))


class GameBoy(_Ticked, Views, Kept, Hooked, Plugs):
    """One console with a cartridge in it, about to execute the cartridge's first instruction at 0100.

    rom:           the image's bytes, a path, `file.zip::member`, or "demo".
    engine:        "translated", "interpreter" or "reference". All give the same results; the last one is slow. Two
                   more are "translated" without regions of hot code ("blocks") and with them made early ("regions").
    model:         "auto": "cgb" for a cartridge that knows the Color, "dmg" for others. Or one by name: "dmg", "mgb",
                   "sgb", "sgb2", "cgb", "agb"; "dmg-0", "cgb-0", "cgb-b" to "cgb-e" for a revision. A cartridge that
                   does not know the Color makes "cgb-compat" of these.
    boot_rom:      a boot ROM, as bytes or a path, that runs before the cartridge: 256 bytes, or a Color's 2,304. None:
                   the console begins with what one leaves behind.
    cartridge_ram: bytes of RAM in the cartridge, where the header is not to decide.
    save:          the battery save: "auto" for the file beside the ROM with the ending .sav, or a path. It is read now
                   if it is there, and written by `close()`, at the end of a `with`, when an exception leaves a run,
                   when the program ends, and from time to time while the game leaves the memory alone. None: no file.
    clock:         what a clock in the cartridge follows: "guest", the guest's own time, or "world", the time of day.
    symbols:       the program's symbols: a path, or `Symbols`; None: those of the file beside the ROM with the ending
                   .sym, if there is one, or the demo's own.
    progress:      told of the engine's first build on this machine, `progress(words, done, of)`.

    Consoles share nothing that changes: use as many as you like, each in one thread at a time.
    Errors: RomError, EngineError, ModelError, SaveError.
    """

    def __init__(
        self,
        rom: str | os.PathLike[str] | bytes | bytearray | memoryview,
        *,
        engine: str = "translated",
        model: str = "auto",
        boot_rom: str | os.PathLike[str] | bytes | None = None,
        cartridge_ram: int | None = None,
        save: str | os.PathLike[str] | None = None,
        clock: str = "guest",
        symbols: str | os.PathLike[str] | Symbols | None = None,
        progress: Progress | None = None,
    ) -> None:
        if model != "auto" and model not in MODELS:
            raise ModelError(f"model {model!r} is not built; there is auto, {', '.join(MODELS)}")
        _, image = read_rom(rom)
        cartridge = load_cartridge(image, cartridge_ram)
        if model == "auto":
            model = automatic(cartridge.header)
        first = None if boot_rom is None else read_boot_rom(boot_rom, MODELS[model].color)
        gb = build.new_console(cartridge, MODELS[model], boot_rom=first)
        self._set_up(make_engine(engine, progress), model, gb)
        self._attach()
        if symbols is not None:
            self.symbols = symbols
        elif isinstance(rom, str | os.PathLike):
            self._symbols_path = symbols_beside(rom)
        if clock != "guest":
            self.clock = clock
        if save is not None:
            self._use_save_file(rom, save)

    def _set_up(self, engine: Engine, model: str, gb: Any) -> None:
        self._cartridge: Cartridge = gb.__dict__["cartridge"]
        self._engine = engine
        self._asked = model
        self._model = fitted(MODELS[model], self._cartridge.color).name
        self._gb: Any = gb
        self._run: Callable[[int], int] = self._first_run
        self._step = _refused
        word = (ctypes.c_uint64 * 1).from_buffer(gb.host.ports, layout(Host)["runner"].offset)
        self._who = memoryview(word).cast("B").cast("Q")
        self._claim = functools.partial(_claim_alone, threading.Lock(), gb)
        self._hold: Callable[[int, bool], object] = functools.partial(outside.hold, self._gb)
        self._paint: Callable[[int], object] | None = None
        self._cycles: Callable[[], Any] = functools.partial(outside.cycles, self._gb)
        self._attached = False
        self._memory = Memory(self._gb)
        self._registers = Registers(self._gb.cpu)
        self._sent = bytearray()
        self._sound = Sound(self._gb, model, SLICE)
        self._crowd: Crowd | None = None
        self._frozen = FrozenRegisters(self._gb.cpu)
        self._in_access = 0
        self._hooks = {}
        self._listeners = dict.fromkeys((READ, WRITE, INTERRUPT, FRAME), ())
        self._symbols = None
        self._symbols_path = ""
        self._gb.host.passed_time = NEVER
        self._retired: list[object] = []
        self._battery: Battery | None = None
        self._super = MODELS[self._model].commands
        self._held: NDArray[numpy.uint8] | None = None
        self._device = None
        self._link: Cable | None = None
        self._camera = self._light = None

    def _attach(self) -> None:
        """Wire the machine to its engine."""
        self._attached = True
        self._engine.attach(self._gb, calling(self, "_on_hook"))
        self._run = self._engine.runner(self._gb)
        self._hold = self._engine.call(self._gb, "hold") or self._hold
        self._paint = self._engine.call(self._gb, "paint")
        self._cycles = self._engine.call(self._gb, "cycles") or self._cycles
        self._claim = self._engine.call(self._gb, "claim") or self._claim
        self._memory.wire(functools.partial(self._engine.call, self._gb))
        self._find_way()

    def _find_way(self) -> None:
        """Whether a frame is one call of generated code: not where somebody else has a say in when it ends, or is to
        hear of it."""
        plain = self._attached and self._link is None and not self._super and self._battery is None
        plain = plain and self._crowd is None
        self._step = (self._engine.stepper(self._gb) if plain else None) or _refused

    def _first_run(self, limit: int) -> int:
        """The first run of a clone, which may enter the engine several times by this way."""
        if not self._attached:
            self._attach()
        return self._run(limit)

    def _changed(self) -> None:
        """Hooks or regions are others than before."""
        if not self._attached:
            self._attach()
        self._gb.host.watched = self._watched()
        self._retire(self._engine.changed(self._gb))

    def _retire(self, *things: object) -> None:
        """Keep what a run that is going on may need, until it is over."""
        if not self._who[0] and not (self._crowd is not None and self._crowd.runner):
            self._retired.clear()
        self._retired += things
        self._step = _refused  # the long way clears

    # ------------------------------------------------------------------ running

    def tick(self, frames: int = 1, render: bool = True, sound: bool = False) -> bool:
        """Run to the end of this frame, or of the `frames`-th from here.

        A frame is an amount of time: they end at every multiple of 70,224 T-cycles since the start, and a run at the
        first instruction boundary from there on.
        render: whether the last frame's picture is drawn (all are where hooks or regions may look at them). Without,
                the guest runs the same, and `screen` keeps the last one drawn.
        sound:  whether `sound` is to hold what these frames sound like. The guest runs the same either way.
        Returns: True.
        Errors:  BusyError where the console is running already; whatever a hook or a region's function raises.
        """
        outcome = self._step(frames, render, sound)
        if outcome:
            self._tick_on(outcome, frames, render, sound)
        elif sound:
            self._sound.drop()
        return True

    def _tick_on(self, outcome: int, frames: int, render: bool, sound: bool) -> None:
        """What more there is to do for a tick than a call of generated code, with that outcome, did."""
        if outcome != REFUSED:
            self._enter()
            try:
                if sound:
                    self._sound.drop()
                self._go_on(outcome, self._gb.host.until, sound)
            finally:
                self._leave()
        elif frames < 0:
            raise ValueError(f"frames must not be negative: {frames}")
        elif frames:
            frames, render, sound = operator.index(frames), bool(render), bool(sound)
            now = self._gb.dots() if self._link is None else self._link.asked(self)
            end = ((now - START) // CYCLES_PER_FRAME + frames) * CYCLES_PER_FRAME
            if sound:
                self._sound.forget()
            drawn_from = 0
            if render and frames > outside.LOOKED_AT and not self._watched():
                drawn_from = end - outside.LOOKED_AT * CYCLES_PER_FRAME + START
            self._advance(end, False, render, sound, drawn_from)

    def run(self, *, cycles: int, breakpoint: bool = False, render: bool = True, sound: bool = False) -> bool:
        """Run for so many T-cycles, to the first instruction boundary at or after their end.

        breakpoint: also stop right after an LD B,B, by which test programs say that they are done.
        Returns: whether an LD B,B ended the run.
        Errors:  as for `tick`.
        """
        if cycles < 0:
            raise ValueError(f"cycles must not be negative: {cycles}")
        if sound:
            self._sound.forget()
        start = self.cycles if self._link is None else self._link.asked(self) - START
        return self._advance(start + operator.index(cycles), breakpoint, render, sound)

    def run_until_serial(self, text: bytes, *, cycles: int, render: bool = True) -> bool:
        """Run until `text` was sent on the serial port, or so many T-cycles are over. Looks once in each frame.

        Returns: whether it was sent, now or before.
        Errors:  as for `tick`.
        """
        end = self.cycles + cycles
        while text not in self.serial:
            if self.cycles >= end:
                return False
            self._advance(min(end, self.cycles + CYCLES_PER_FRAME), False, render, False)
        return True

    def _advance(self, end: int, breakpoint: bool, render: bool, sound: bool, drawn_from: int = 0) -> bool:
        """Run to a time. No frame that begins before dot `drawn_from` is drawn, and none without `render`.

        Returns: whether an LD B,B ended the run.
        """
        if self._link is not None:
            if sound or breakpoint:
                raise LinkError("a linked console makes no sound, and does not stop at LD B,B")
            try:
                if drawn_from:
                    self._link.advance(self, drawn_from, False)
                self._link.advance(self, end + START, render)
            except BaseException:
                if self._battery is not None:
                    self._battery.flush()
                raise
            if self._battery is not None:
                self._battery.ran(int(self._gb.dots()))
            return False
        self._enter()
        try:
            gb, host = self._gb, self._gb.host
            host.render = render
            host.drawn_from = drawn_from
            host.watch_breakpoint = breakpoint
            if sound != self._sound.listening:
                self._sound.listen(sound)
            end += START
            now = outcome = gb.dots()
            if now < end:
                if self._super:
                    self._await_transfer()
                heard = self._sound.heard if sound else now
                outcome = self._go_on(self._run(min(end, heard + SLICE)), end, sound)
                now = outcome >> 8
            if self._battery is not None:
                self._battery.ran(now)
            return outcome & STOPPED == STOP_BREAKPOINT and breakpoint
        except BaseException:
            if self._battery is not None:
                self._battery.flush()
            raise
        finally:
            self._leave()

    def _go_on(self, outcome: int, end: int, sound: bool) -> int:
        """Look at the outcome of a run to a time or an earlier one, and run on. Returns: the last outcome."""
        gb, host = self._gb, self._gb.host
        render, drawn_from = host.render, host.drawn_from
        while True:
            heard = self._sound.collect() if sound else outcome >> 8
            more = outcome >> 8 < end
            if outcome & SOMETHING:
                if outcome & SENT:
                    self._sent += build.take_sent(gb)
                if outcome & FAILED:
                    error = take_error(host.ports)
                    if error is not None:
                        raise error
                if outcome & STOPPED == STOP_BREAKPOINT:
                    return outcome
                if outcome & STOPPED == STOP_ROOM:
                    self._engine.make_room(gb)
                    more = True  # what is due by now is not done yet
                elif self._super:
                    self._serve_program(outcome & STOPPED)
                    host.render, host.drawn_from = render, drawn_from
            if not more:
                return outcome
            if self._super:
                self._await_transfer()
            outcome = self._run(min(end, heard + SLICE))

    def _await_transfer(self) -> None:
        """Super Game Boy: a picture that data is to be taken from must be drawn, and stopped at."""
        host, program = self._gb.host, self._gb.sgb
        if program.transfer:
            host.render, host.drawn_from = 1, 0
            if not host.frames_wanted:
                host.frames_wanted = program.transfer_frames

    def _serve_program(self, stop: int) -> None:
        """Super Game Boy: do what the program asked for."""
        from . import sgb

        if stop == STOP_FRAME and self._gb.sgb.transfer:
            sgb.take_transfer(self._gb)
        if self._gb.sgb.waiting:
            before = self._gb.sgb.mask
            sgb.work(self._gb)
            if self._gb.sgb.mask != before:
                self._held = self._coloured() if self._gb.sgb.mask == sgb.FROZEN else None

    def _coloured(self) -> NDArray[numpy.uint8]:
        from . import sgb

        return sgb.screen(self._gb, self.shades)

    def _slice(self, limit: int) -> int:
        """Run to dot `limit`, or until something else stops the machine. For whoever runs several consoles at once.

        Returns: the dot that was reached.
        """
        if self._super:
            self._await_transfer()
        outcome = self._run(limit)
        while outcome & STOPPED == STOP_ROOM:
            self._engine.make_room(self._gb)
            outcome = self._run(limit)  # what is due by now is not done yet
        if outcome & SOMETHING:
            if outcome & SENT:
                self._sent += build.take_sent(self._gb)
            if outcome & FAILED:
                error = take_error(self._gb.host.ports)
                if error is not None:
                    raise error
            if self._super:
                self._serve_program(outcome & STOPPED)
        return outcome >> 8

    def _watched(self) -> bool:
        """Whether Python may look at the screen while the guest runs."""
        return bool(self._hooks or any(self._listeners.values()) or self._gb.host.region_count)

    def _symbols_beside(self) -> Symbols:
        path = self._symbols_path
        if path and os.path.exists(path):
            return Symbols.read(path)
        return Symbols.parse(demo_symbols()) if path == symbols_beside(DEMO) and is_demo(DEMO) else Symbols()

    def _enter(self) -> None:
        own = get_ident()
        if self._who[0] == own:
            raise BusyError("this console is running: its own hooks and regions cannot run it further")
        try:
            if not self._claim(own):
                raise BusyError("this console is running in another thread")
        except BaseException:
            if self._who[0] == own:  # Ctrl-C, right behind the claim
                self._who[0] = 0
            raise
        crowd = self._crowd
        if crowd is not None:
            crowd.alone.add(self)
            if crowd.runner:
                self._leave()
                raise BusyError("this console is running in a step of its batch")

    def _leave(self) -> None:
        try:
            if self._retired:
                self._retired.clear()
                self._find_way()
            if self._crowd is not None:
                self._crowd.alone.discard(self)
        finally:
            self._who[0] = 0

    def _here(self) -> Any:
        """The machine, for a look at it. Errors: BusyError where another thread runs it."""
        runner = self._who[0]
        if runner and runner != get_ident():
            raise BusyError("this console is running in another thread")
        crowd = self._crowd
        if crowd is not None and crowd.runner and crowd.runner != get_ident():
            raise BusyError("this console is running in a step of its batch")
        return self._gb

    def clone(self) -> GameBoy:
        """Another console with the same cartridge in the same state.

        It has no hooks, no regions, nothing plugged in and no save file. What its engine needs is made when it runs.
        """
        other = GameBoy.__new__(GameBoy)
        other._set_up(self._engine, self._asked, build.copy_console(self._here()))
        other._sent += self._sent
        return other

    def __repr__(self) -> str:
        return f"<GameBoy {self.title!r}, {self.engine} engine, cycle {self.cycles:,}>"
