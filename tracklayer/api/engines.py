"""The engines by name: what executes the guest.

For:     making the engine that was asked for; saying clearly why one cannot be had.
Not for: how an engine works (machine/gb/reference.py, translate/).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from tracklayer.cpu.sm83 import step
from tracklayer.lang import ask

from ..translate.guest import Guest
from .errors import EngineError

OnHook = Callable[[int], int]
"""Called with the address of a hooked instruction before that executes. Returns 0 where the instruction comes next, 1
where the engine must return at once: something else comes next. An exception also makes the engine return."""

Progress = Callable[[str, int, int], None]
"""Told how far the first build of an engine is: in words, how much is done, of how much."""

STOP_ROOM = Guest.stop_for_room
"""`clock.stop` where the engine itself needs something before the guest can go on."""

REFUSED = Guest.refused
"""What a `stepper` returns where it did nothing."""

ENGINES = ("reference", "interpreter", "translated")
VARIANTS = ("blocks", "regions")
"""Of `translated`, which runs blocks, and hot code as regions: `blocks` makes no regions; `regions` makes them soon,
and waits for each, for comparing engines."""


class Engine(Protocol):
    """What runs consoles. One serves any number of them."""

    @property
    def name(self) -> str: ...

    def attach(self, console: Any, on_hook: OnHook) -> None:
        """Get a new console ready to be run by this engine."""
        ...

    def changed(self, console: Any) -> object:
        """The console's hooks or regions, or its whole state, are others than before.

        Returns: what must be kept until nobody runs the console any more.
        """
        ...

    def runner(self, console: Any) -> Callable[[int], int]:
        """A function that runs the console to a dot, until `clock.stop` is set or `ports.failed` is, or `on_hook`
        returned 1.

        It returns the dot << 8 | 1 << 7 if bytes were sent | 1 << 6 if `ports.failed` | `clock.stop`.
        """
        ...

    def stepper(self, console: Any) -> Callable[[int, object, object], int] | None:
        """A function that runs the console to the end of the n-th frame from here, drawn or not, heard or not; None
        where there is no such short way. Meanwhile `ports.runner` is set.

        It returns 0 where the frame has ended, and nothing else is to be looked at; REFUSED where it did nothing; or as
        `runner`'s does.
        """
        ...

    def call(self, console: Any, name: str) -> Callable[..., object] | None:
        """A quick way to do something to the console while nobody runs it: `hold` (a button, and whether), `paint` (an
        address). None where there is no such way."""
        ...

    def code_bytes(self, console: Any) -> bytes | None:
        """What `restored` is to be told."""
        ...

    def restored(self, console: Any, code_before: bytes | None = None) -> None:
        """Another state was loaded into the console. Its hooks and regions are as they were, and it does not run.

        code_before: what `code_bytes` gave before that. Code of the same bytes can stay.
        """
        ...

    def make_room(self, console: Any) -> None:
        """The run ended with STOP_ROOM: get room for what is to be translated."""
        ...


class Reference:
    """Plain Python, and the oracle of the others."""

    name = "reference"

    def attach(self, console: Any, on_hook: OnHook) -> None:
        console.__dict__["on_hook"] = on_hook

    def changed(self, console: Any) -> object:
        return None

    def code_bytes(self, console: Any) -> bytes | None:
        return None

    def restored(self, console: Any, code_before: bytes | None = None) -> None:
        pass

    def make_room(self, console: Any) -> None:
        pass

    def stepper(self, console: Any) -> Callable[[int, object, object], int] | None:
        return None

    def call(self, console: Any, name: str) -> Callable[..., object] | None:
        return None

    def runner(self, console: Any) -> Callable[[int], int]:
        def run(limit: int) -> int:
            console.prepare(limit, console.host.frames_wanted)
            self.run(console)
            sent, failed = console.host.sent.count > 0, console.host.ports.failed != 0
            return int(console.dots() << 8 | sent << 7 | failed << 6 | console.clock.stop)

        return run

    def run(self, console: Any) -> None:
        """Run until `clock.stop` is set, or a hook says so."""
        clock, cpu, ports = console.clock, console.cpu, console.host.ports
        bits, on_hook = console.host.hook_bits, console.__dict__["on_hook"]
        while True:
            if clock.left <= 0:
                console.boundary()
                if clock.stop:
                    return
            pc = cpu.pc
            if bits[pc >> 3] >> (pc & 7) & 1 and ask(ports, on_hook, 1, pc):
                return
            step(cpu, console)
            clock.instructions += 1


class _Made:
    """The engines that this process has made: generated code is made once, and shared by all consoles."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engines: dict[str, Engine] = {}


_MADE = _Made()


def make_engine(name: str, progress: Progress | None = None) -> Engine:
    """The engine of this name. The first call may build it, which `progress` is told of.

    Errors: EngineError where there is no such engine, or it cannot be had on this machine.
    """
    if name not in ENGINES + VARIANTS:
        raise EngineError(f"there is no engine {name!r}; there are {', '.join(ENGINES + VARIANTS)}")
    if name == "reference":
        return Reference()
    with _MADE.lock:
        engine = _MADE.engines.get(name)
        if engine is None:
            engine = _MADE.engines[name] = _make(name, progress)
        return engine


def _make(name: str, progress: Progress | None) -> Engine:
    from .guests import GameBoyGuest

    try:
        if name == "interpreter":
            from ..translate.engine import Interpreter

            return Interpreter(GameBoyGuest, progress)
        from ..translate.hot import OFF, SOON
        from ..translate.translator import TranslatedEngine

        settings = {"blocks": OFF, "regions": SOON}.get(name)
        return TranslatedEngine(GameBoyGuest, progress, regions=settings)
    except OSError as error:
        raise EngineError(
            f"the {name} engine cannot be had here: {error}. The reference engine needs no generated code"
        ) from error
