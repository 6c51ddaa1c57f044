"""A Game Boy as a Python object.

For:       the console: making it, running it, looking into it, pressing its buttons, hooks, regions, states.
Not for:   what the machine does (machine/gb), what executes it (engines.py).
Invariant: all of the guest's state is whole in memory whenever Python code of a user runs: between calls, and in hooks.
"""

from __future__ import annotations

import operator
import os
import weakref
from collections.abc import Callable
from threading import get_ident
from typing import IO, TYPE_CHECKING, Any, NoReturn

from tracklayer.lang import size_of, take_error
from tracklayer.machine.common.clock import NEVER, STOP_BREAKPOINT, STOP_FRAME, STOP_LIMIT
from tracklayer.machine.gb import build, joypad
from tracklayer.machine.gb.boot import START
from tracklayer.machine.gb.cartridge import Cartridge
from tracklayer.machine.gb.console import GB
from tracklayer.machine.gb.model import MODELS, automatic, fitted

from . import pictures, state
from .battery import Battery, beside, decode, encode
from .crew import Crowd
from .disassembly import LONGEST, disassemble
from .engines import STOP_ROOM, Engine, Progress, make_engine
from .errors import BusyError, LinkError, ModelError, StateError
from .files import get, put
from .hooks import FRAME, INTERRUPT, READ, WRITE, Hooked, calling
from .memory import Memory
from .plugs import Plugs
from .registers import FrozenRegisters, Registers
from .rewind import Snapshot
from .roms import DEMO, demo_symbols, is_demo, load_cartridge, read_boot_rom, read_rom
from .sound import Sound
from .symbols import Symbols
from .symbols import beside as symbols_beside

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .link import Cable

CYCLES_PER_FRAME = 70_224
CYCLES_PER_SECOND = 4_194_304

LOOKED_AT = 2
"""Frames at the end of a long tick that are drawn: the last picture was begun, and finished, in these."""

SLICE = 8 * CYCLES_PER_FRAME
"""How long an engine runs at once: then Ctrl-C is heard, and the serial log, which is short, is emptied."""

SENT, FAILED, STOPPED = 1 << 7, 1 << 6, (1 << 6) - 1
SOMETHING = SENT | FAILED | STOPPED & ~STOP_LIMIT
"""The low bits of an engine's outcome. What is more than the end of a slice is looked at closely."""

BUTTONS = {
    "right": joypad.RIGHT,
    "left": joypad.LEFT,
    "up": joypad.UP,
    "down": joypad.DOWN,
    "a": joypad.A,
    "b": joypad.B,
    "select": joypad.SELECT,
    "start": joypad.START,
}


class _Ticked:
    """What each tick touches, in slots: instances with as many attributes as a console has find others less quickly."""

    __slots__ = ("_idle", "_retired", "_runner", "_sound", "_step")

    _idle: list[None]
    """Holds one item while nobody runs the console. Taking it, and putting it back, are one step each for all
    threads: a lock that costs a third of one."""
    _runner: int
    """The thread that runs the console; 0: none."""
    _step: Callable[[int, int], int] | None
    """Runs whole frames, where nothing speaks against it."""
    _sound: Sound
    _retired: list[object]
    """What hooks left behind that the run may still use."""


class GameBoy(_Ticked, Hooked, Plugs):
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
        self._step = None
        self._press: Callable[[int], object] = self._gb.press
        self._paint: Callable[[int], object] | None = None
        self._attached = False
        self._memory = Memory(self._gb)
        self._registers = Registers(self._gb.cpu)
        self._sent = bytearray()
        self._sound = Sound(self._gb, model, SLICE)
        self._idle = [None]
        self._runner = 0
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
        self._press = self._engine.call(self._gb, "press") or self._gb.press
        self._paint = self._engine.call(self._gb, "paint")
        self._find_way()

    def _find_way(self) -> None:
        """Whether a frame is one call of generated code: not where somebody else has a say in when it ends, or is to
        hear of it."""
        plain = self._attached and self._link is None and not self._super and self._battery is None
        plain = plain and self._crowd is None
        self._step = self._engine.stepper(self._gb) if plain else None

    def _first_run(self, limit: int) -> int:
        """The first run of a clone, which may enter the engine several times by this way."""
        if not self._attached:
            self._attach()
        return self._run(limit)

    def _changed(self) -> None:
        """Hooks or regions are others than before."""
        if not self._attached:
            self._attach()
        self._retire(self._engine.changed(self._gb))

    def _retire(self, *things: object) -> None:
        """Keep what a run that is going on may need, until it is over."""
        if self._idle and not (self._crowd is not None and self._crowd.runner):
            self._retired.clear()
        self._retired += things

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
        if frames < 0:
            raise ValueError(f"frames must not be negative: {frames}")
        if self._step is not None and 0 < frames <= LOOKED_AT and sound == self._sound.listening:
            # The way of most ticks, written out: a call of generated code, and nothing that could be spared around it.
            try:
                self._idle.pop()
            except IndexError:
                self._refuse()
            self._runner = get_ident()
            try:
                if sound:
                    self._sound.forget()
                outcome = self._step(frames, 1 if render else 0)
                if outcome:
                    self._go_on(outcome, self._gb.host.until, sound)
                elif sound:
                    self._sound.collect()
            finally:
                if self._retired:
                    self._retired.clear()
                self._runner = 0
                self._idle.append(None)
        elif frames:
            frames = operator.index(frames)
            now = self._gb.dots() if self._link is None else self._link.asked(self)
            end = ((now - START) // CYCLES_PER_FRAME + frames) * CYCLES_PER_FRAME
            if sound:
                self._sound.forget()
            if frames > LOOKED_AT and render and not self._watched():
                self._advance(end - LOOKED_AT * CYCLES_PER_FRAME, False, False, sound)
            self._advance(end, False, render, sound)
        return True

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

    def _advance(self, end: int, breakpoint: bool, render: bool, sound: bool) -> bool:
        """Run to a time. Returns whether an LD B,B ended the run."""
        if self._link is not None:
            if sound or breakpoint:
                raise LinkError("a linked console makes no sound, and does not stop at LD B,B")
            try:
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
        render = host.render
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
                    host.render = render
            if not more:
                return outcome
            if self._super:
                self._await_transfer()
            outcome = self._run(min(end, heard + SLICE))

    def _await_transfer(self) -> None:
        """Super Game Boy: a picture that data is to be taken from must be drawn, and stopped at."""
        host, program = self._gb.host, self._gb.sgb
        if program.transfer:
            host.render = 1
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
        try:
            self._idle.pop()
        except IndexError:
            self._refuse()
        self._runner = get_ident()
        crowd = self._crowd
        if crowd is not None:
            crowd.alone.add(self)
            if crowd.runner:
                self._leave()
                raise BusyError("this console is running in a step of its batch")

    def _refuse(self) -> NoReturn:
        if self._runner == get_ident():
            raise BusyError("this console is running: its own hooks and regions cannot run it further")
        raise BusyError("this console is running in another thread")

    def _leave(self) -> None:
        if self._retired:
            self._retired.clear()
        self._runner = 0
        if self._crowd is not None:
            self._crowd.alone.discard(self)
        self._idle.append(None)

    def _here(self) -> Any:
        """The machine, for a look at it. Errors: BusyError where another thread runs it."""
        if self._runner and self._runner != get_ident():
            raise BusyError("this console is running in another thread")
        crowd = self._crowd
        if crowd is not None and crowd.runner and crowd.runner != get_ident():
            raise BusyError("this console is running in a step of its batch")
        return self._gb

    # ------------------------------------------------------------------ what it is, and how far it came

    @property
    def engine(self) -> str:
        """The name of what executes the guest."""
        return self._engine.name

    @property
    def model(self) -> str:
        """The console's model."""
        return self._model

    @property
    def title(self) -> str:
        """The cartridge's title, from its header."""
        return self._cartridge.title

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the cartridge's image, in words."""
        return self._cartridge.warnings

    @property
    def cycles(self) -> int:
        """T-cycles at normal speed, 4,194,304 a second, since the cartridge's first instruction."""
        return int(self._gb.dots()) - START

    @property
    def frames(self) -> int:
        """Whole frames of 70,224 T-cycles since the cartridge's first instruction."""
        return self.cycles // CYCLES_PER_FRAME

    @property
    def instructions(self) -> int:
        """Instructions executed since the cartridge's first one."""
        return int(self._gb.clock.instructions)

    # ------------------------------------------------------------------ looking and touching

    @property
    def memory(self) -> Memory:
        """The guest's address space: `gb.memory[0xC000]`, `gb.memory[0xC000:0xC010]`, and assignments to these."""
        self._here()
        return self._memory

    @property
    def registers(self) -> Registers:
        """The processor's registers: `gb.registers.a`, `.hl`, `.pc`, `.flag_z`, and assignments to these."""
        self._here()
        return self._frozen if self._in_access else self._registers

    @property
    def cartridge_ram(self) -> bytes:
        """A copy of all of the cartridge's RAM; assign as many bytes to fill it, from a saved game for instance."""
        return bytes(build.cart_ram(self._here()).raw)

    @cartridge_ram.setter
    def cartridge_ram(self, data: bytes) -> None:
        ram = build.cart_ram(self._here())
        if len(data) != len(ram):
            raise ValueError(f"this cartridge has {len(ram):,} bytes of RAM; {len(data):,} were given")
        ram.raw = bytes(data)

    @property
    def serial(self) -> bytes:
        """Everything that the guest sent on the serial port so far."""
        if self._runner == get_ident():
            self._sent += build.take_sent(self._gb)
        return bytes(self._sent)

    @property
    def shades(self) -> NDArray[numpy.uint8]:
        """The last whole picture: uint8, shape (144, 160), shades 0 (lightest) to 3; a copy, safe to keep.

        On a Game Boy Color these are its colours by their lightness.
        """
        import numpy

        if self._gb.color.hardware:
            return pictures.to_shades(self.screen)
        flat = numpy.frombuffer(self.picture_bytes(), numpy.uint8)
        return flat.reshape(pictures.HEIGHT, pictures.WIDTH)

    @property
    def screen(self) -> NDArray[numpy.uint8]:
        """The last whole picture: uint8, shape (144, 160, 3), RGB, row 0 on top; a copy, safe to keep."""
        if self._super:
            return self._coloured() if self._held is None else self._held.copy()
        if self._paint is not None:
            self._here()
            return pictures.painted(self._paint)
        if self._gb.color.hardware:
            return pictures.colours_to_rgb(self.picture_bytes())
        return pictures.to_rgb(self.shades)

    @property
    def border(self) -> NDArray[numpy.uint8]:
        """Super Game Boy: the screen with the border around it: uint8, shape (224, 256, 3), RGB. Errors: ModelError."""
        if not self._super:
            raise ModelError(f"only a Super Game Boy has a border, and this is model {self._model}")
        from . import sgb

        return sgb.border(self._gb, self.screen)

    def picture_hash(self) -> str:
        """The SHA-256 of `picture_bytes()`, in hexadecimal."""
        import hashlib

        return hashlib.sha256(self.picture_bytes()).hexdigest()

    def save_screenshot(self, path: str | os.PathLike[str]) -> None:
        """Write the last whole picture as a PNG file. Errors: OSError."""
        pictures.save_png(self.screen, path)

    def picture_bytes(self) -> bytearray:
        """The last whole picture row by row; a copy. 144 * 160 bytes, shades 0 to 3.

        On a Game Boy Color twice as many: colours of 16 bits, little-endian, BGR555 with red in the low bits.
        """
        gb = self._here()
        return bytearray(build.colour_picture(gb) if gb.color.hardware else build.picture(gb))

    @property
    def sound(self) -> NDArray[numpy.int16]:
        """What the last `tick` or `run` with `sound=True` sounds like: int16, shape (n, 2), left and right."""
        return self._sound.mixed()

    @property
    def sound_channels(self) -> NDArray[numpy.int16]:
        """The same by channel: int16, shape (4, n, 2); with `separate_channels` off, shape (1, n, 2), all of it."""
        return self._sound.channels()

    @property
    def sound_rate(self) -> int:
        """Samples of sound a second, 4,000 to 384,000; 48,000 if nothing else was asked for. Errors: ValueError."""
        return self._sound.rate

    @sound_rate.setter
    def sound_rate(self, rate: int) -> None:
        self._here()
        self._sound.rate = rate

    @property
    def separate_channels(self) -> bool:
        """Whether sound is made for each channel by itself, which takes longer. `sound` is their sum then."""
        return self._sound.separate

    @separate_channels.setter
    def separate_channels(self, separate: bool) -> None:
        self._here()
        self._sound.separate = separate

    # ------------------------------------------------------------------ buttons

    def button(self, name: str, down: bool = True, player: int = 0) -> None:
        """Hold a button, or let it go: right, left, up, down, a, b, select, start. Errors: ValueError.

        player: 1 to 3 for the others at a Super Game Boy.
        """
        bit = BUTTONS.get(name.lower())
        if bit is None:
            raise ValueError(f"there is no button {name!r}; there are {', '.join(BUTTONS)}")
        gb = self._here()
        if player:
            if not self._super or not 0 < player < 4:
                raise ValueError(f"there is no player {player} at model {self._model}")
            pads = gb.sgb.pads
            pads[player] = pads[player] | bit if down else pads[player] & ~bit
            return
        held = gb.joypad.pressed
        self._press(held | bit if down else held & ~bit)

    def press(self, *names: str) -> None:
        """Hold some buttons."""
        for name in names:
            self.button(name, True)

    def release(self, *names: str) -> None:
        """Let some buttons go; without names, all."""
        for name in names or BUTTONS:
            self.button(name, False)

    # ------------------------------------------------------------------ states

    def state_bytes(self) -> bytes:
        """All of the guest's state. The same program at the same time gives the same bytes on every engine."""
        return build.save(self._here())

    def load_state_bytes(self, data: bytes) -> None:
        """Bring back a state of a console with this cartridge. Hooks and regions stay, and `serial` as it is.

        Errors: StateError where the bytes are no such state, BusyError in a hook.
        """
        self._enter()
        try:
            self._put(bytes(data))
        except ValueError as error:
            raise StateError(str(error)) from None
        finally:
            self._leave()

    def _put(self, state: bytes) -> None:
        """Bring back a state. Errors: ValueError where its length is not right."""
        code = self._engine.code_bytes(self._gb) if self._attached else None
        build.restore(self._gb, state)
        if self._attached:
            self._engine.restored(self._gb, code)
        self._sound.listen(False)
        self._gb.host.passed_time = NEVER
        if self._battery is not None:
            self._battery.forget_time()
        if self._link is not None:
            self._link.moved(self)

    def save_state(self, file: str | os.PathLike[str] | IO[bytes] | None = None, *, bess: bool = False) -> bytes:
        """All of the guest's state, in a form that later versions read too.

        file: where to write it as well: a path (the file is replaced in one go) or an open binary file.
        bess: also in the form that other emulators read (BESS), as nearly as that holds it; some 50 KB more.
        The same program at the same time gives the same bytes on every engine.
        Errors: OSError.
        """
        from .saving import save_state

        data = save_state(self._here(), self._model)
        if bess:
            from .bess import append

            data = append(data, self._here(), self._model)
        put(file, data)
        return data

    def load_state(self, source: bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]) -> None:
        """Bring back a state: the bytes that `save_state` gave, a path, an open binary file.

        Those of other emulators are read where they hold BESS; what that leaves out is as in a new console.
        Hooks, regions, `serial`, and what is plugged in stay as they are.
        Errors: StateError where it is damaged or of another cartridge or model: the console is as it was then;
                OSError; BusyError in a hook.
        """
        from . import saving

        data = get(source)
        self._enter()
        try:
            loaded = saving.load_state(self._gb, self._model, data)
            self._put(loaded.state)
            if loaded.pictures is not None:
                build.set_pictures(self._gb, loaded.pictures)
        finally:
            self._leave()

    def snapshot(self) -> Snapshot:
        """All of the console at this moment, pictures too, for `restore` in this process. Takes microseconds."""
        gb = self._here()
        return Snapshot(build.save(gb), build.pictures(gb), self._cartridge, self._model, self.cycles)

    def restore(self, snapshot: Snapshot) -> None:
        """Bring the console to where a snapshot was taken, from it or from another one with the same cartridge.

        Errors: StateError where the snapshot is of another cartridge or model, BusyError in a hook.
        """
        self._check_snapshot(snapshot)
        self._enter()
        try:
            self._put(snapshot.state)
            build.set_pictures(self._gb, snapshot.pictures)
        finally:
            self._leave()

    def _check_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.cartridge is not self._cartridge or snapshot.model != self._model:
            raise StateError("the snapshot is of a console with another cartridge, or of another model")

    def clone(self) -> GameBoy:
        """Another console with the same cartridge in the same state.

        It has no hooks, no regions, nothing plugged in and no save file. What its engine needs is made when it runs.
        """
        other = GameBoy.__new__(GameBoy)
        other._set_up(self._engine, self._asked, build.copy_console(self._here()))
        other._sent += self._sent
        return other

    # ------------------------------------------------------------------ battery saves

    def _use_save_file(self, rom: object, save: str | os.PathLike[str]) -> None:
        if not self._cartridge.battery:
            return
        if save == "auto":
            if not isinstance(rom, str | os.PathLike):
                raise ValueError('save="auto" is the file beside the ROM, and the ROM is no file: give a path')
            save = beside(rom)
        self._battery = Battery(self._gb, os.path.abspath(save))
        self._find_way()
        self._end = weakref.finalize(self, self._battery.flush)

    @property
    def save_path(self) -> str | None:
        """The battery save's file; None where none was asked for, or the cartridge keeps nothing."""
        return None if self._battery is None else self._battery.path

    @property
    def battery(self) -> bytes:
        """What the cartridge keeps without power, as save files hold it. Assign the bytes of a save file to load it.

        Errors: SaveError where they cannot be of this cartridge.
        """
        return encode(self._here())

    @battery.setter
    def battery(self, data: bytes) -> None:
        decode(self._here(), bytes(data))

    def save(self) -> None:
        """Write the battery save now, if there is a file for it and anything changed. Errors: OSError."""
        self._here()
        if self._battery is not None:
            self._battery.flush()

    def close(self) -> None:
        """Write the battery save. The console can go on; it does not write any more by itself.

        Errors: OSError.
        """
        battery, self._battery = self._battery, None
        self._find_way()
        if battery is not None:
            self._end.detach()
            battery.flush()

    def __enter__(self) -> GameBoy:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def differences(self, other: GameBoy) -> list[state.Difference]:
        """The fields in which the states of two consoles with the same cartridge differ, by name."""
        size = size_of(GB) - build.HOST_SIZE
        left, right = self.state_bytes(), other.state_bytes()
        found = state.differences(GB, left[:size], right[:size], build.HOST_SIZE)
        for index, (one, two) in enumerate(zip(left[size:], right[size:], strict=True)):
            if one != two:
                found.append(state.Difference(f"cartridge RAM[{index:#x}]", build.SIZE + index, one, two))
        return found

    def describe(self) -> str:
        """One line: the time, the next instruction, the registers."""
        pc = self._gb.cpu.pc
        code = bytes(self.memory[(pc + index) & 0xFFFF] for index in range(LONGEST))
        line = disassemble(code, pc, 1)[0]
        waiting = " (halted)" if self._gb.cpu.halted else " (locked)" if self._gb.cpu.locked else ""
        return f"{self.cycles:>10}  {line.data.hex(' ').upper():<8}  {line.text + waiting:<20}  {self.registers!r}"

    def __repr__(self) -> str:
        return f"<GameBoy {self.title!r}, {self.engine} engine, cycle {self.cycles:,}>"
