"""The engines by name: what executes the guest.

For:     making the engine that was asked for; saying clearly why one cannot be had.
Not for: how an engine works (machine/gb/reference.py, translate/).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tracklayer.cpu.sm83 import step
from tracklayer.lang import ask

from .errors import EngineError

OnHook = Callable[[int], int]
"""Called with the address of a hooked instruction before that executes. Returns 0 where the instruction comes next, 1
where the engine must return at once: something else comes next. An exception also makes the engine return."""

Progress = Callable[[str, int, int], None]
"""Told how far the first build of an engine is: in words, how much is done, of how much."""

ENGINES = ("reference", "interpreter", "translated")


class Engine(Protocol):
    """What runs consoles. One serves any number of them."""

    @property
    def name(self) -> str: ...

    def attach(self, console: Any, on_hook: OnHook) -> None:
        """Get a new console ready to be run by this engine."""
        ...

    def run(self, console: Any) -> None:
        """Run until `clock.stop` is set, `ports.failed` is, or `on_hook` returned 1."""
        ...


class Reference:
    """Plain Python, and the oracle of the others."""

    name = "reference"

    def attach(self, console: Any, on_hook: OnHook) -> None:
        console.__dict__["on_hook"] = on_hook

    def run(self, console: Any) -> None:
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


def make_engine(name: str, progress: Progress | None = None) -> Engine:
    """The engine of this name. The first call may build it, which `progress` is told of.

    Errors: EngineError where there is no such engine, or it cannot be had on this machine.
    """
    if name not in ENGINES:
        raise EngineError(f"there is no engine {name!r}; there are {', '.join(ENGINES)}")
    if name == "reference":
        return Reference()
    raise EngineError(f"the {name} engine is not built yet; reference is")


def make_stepper(name: str, context: type[Any]) -> Callable[[Any], None]:
    """A function that runs one instruction on a struct `context` that has a `cpu` and the methods of the SM83's bus.

    Errors: EngineError, as above.
    """
    if make_engine(name).name == "reference":
        return lambda bench: step(bench.cpu, bench)
    raise EngineError(f"the {name} engine cannot run single instructions")
