"""Engines of generated code: load a guest's handlers, wire a console to them, run it.

For:       `Interpreter(guest)`, one for a process and kind of guest, shared by all consoles; `run(console)`.
Not for:   making translated code (translator.py), the console's Python face (api/).
"""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..compiler.asking import PYTHON_API
from ..compiler.glue import PLACE, SLOT_API
from ..native.calls import bound, builtin
from ..native.image import PlacedImage, place
from ..native.memory import code_memory
from .guest import Guest

PACKAGE = Path(__file__).resolve().parent.parent
SOURCES = tuple(PACKAGE / room for room in ("lang", "native", "compiler", "isa", "cpu", "machine", "translate", "api"))

Progress = Callable[[str, int, int], None]


def api_addresses(names: Iterable[str]) -> list[int]:
    """The addresses of functions of the C API; 0 for what this CPython has not."""
    found = []
    for name in names:
        function = getattr(ctypes.pythonapi, name, None)
        found.append((ctypes.cast(function, ctypes.c_void_p).value or 0) if function is not None else 0)
    return found


def sources_of(guest: type[Guest]) -> tuple[Path, ...]:
    """What an engine depends on: this package, and where the guest lies elsewhere, its module, with those beside it if
    they are a package."""
    own = Path(inspect.getfile(guest)).resolve()
    if own.is_relative_to(PACKAGE):
        return SOURCES
    return (*SOURCES, own.parent if "." in guest.__module__ else own)


class Interpreter:
    """T0 for one guest. Errors: RuntimeError, OSError where code cannot be compiled or placed."""

    name = "interpreter"
    with_stencils = False

    def __init__(self, guest: type[Guest], progress: Progress | None = None) -> None:
        self.guest = guest
        image, self.stencils = built(guest, self.with_stencils, progress)
        self.code: PlacedImage = place(image, code_memory(), api_addresses(SLOT_API))
        handlers = [self.code[f"op.{index}"] for index in range(guest.handlers)]
        self.table = (ctypes.c_uint64 * len(handlers))(*handlers)
        self.api = (ctypes.c_uint64 * len(PYTHON_API))(*api_addresses(PYTHON_API))
        self._advance: Any = builtin(self.code["advance"], "advance", keep=(self.code, self.table, self.api))
        self._step: Any = None
        if guest.has_steps():
            self._step = builtin(self.code["step"], "step", keep=(self.code, self.table, self.api))
        self._calls = {name: builtin(self.code[name], name, keep=(self.code,)) for name in guest.calls}
        self.start = self.code["dispatch"]
        self._run = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(self.code["run"])

    def attach(self, console: Any, on_hook: Any = None) -> None:
        """Wire a console to this engine's code. on_hook: called with the address of a hooked instruction."""
        console.address = ctypes.addressof(console)
        engine = self.guest.engine(console)
        host = self.guest.host(console)
        table = ctypes.cast(self.table, type(engine.interpret))
        engine.interpret = table
        engine.dispatch = table
        for name in ("boundary", "single", "leave"):
            setattr(engine, name, code_pointer(self.code[name]))
        engine.unmapped = engine.single
        engine.back = code_pointer(self.code["dispatch"])
        engine.on_hook = on_hook
        host.ask_entry = code_pointer(self.code["ask"])
        host.tell_entry = code_pointer(self.code["tell"])
        host.python = ctypes.cast(self.api, ctypes.POINTER(ctypes.c_uint64))

    def runner(self, console: Any) -> Callable[[int], int]:
        """A function that runs a console to a time, or until something else stops it. The GIL is given up meanwhile.

        It returns the outcome, as `Guest.outcome` packs it.
        """
        return bound(self._advance, self._place(console))

    def stepper(self, console: Any) -> Callable[[int, object, object], int] | None:
        """A function that runs the console for so many of the guest's own steps, in a way that depends on the truth of
        two objects as the guest knows; None where the guest has no steps.

        It returns 0 where they are done, and nothing else was; `Guest.refused` where it did nothing, because a step
        cannot be had so, or somebody runs the console; or the outcome.
        """
        return bound(self._step, self._place(console)) if self._step else None

    def call(self, console: Any, name: str) -> Callable[..., object]:
        """A function that does one of the guest's `calls` to the console, while nobody runs it."""
        return bound(self._calls[name], self._place(console))

    def _place(self, console: Any) -> bytes:
        return PLACE.pack(console.address, self.start)

    def make_room(self, console: Any) -> None:
        """A run ended with `stop_for_room`: get room for what is to be translated."""

    def changed(self, console: Any) -> object:
        """The console's hooks or regions, or its whole state, are others than before.

        Returns: what must be kept until nobody runs the console any more.
        """
        return None

    def code_bytes(self, console: Any) -> bytes | None:
        """What `restored` is to be told."""
        return None

    def restored(self, console: Any, code_before: bytes | None = None) -> None:
        """Another state was loaded into the console. Its hooks and regions are as they were, and it does not run.

        code_before: what `code_bytes` gave before that.
        """
        self.guest.engine(console).changed()

    def run(self, console: Any) -> None:
        """Run until `clock.stop` is set. The GIL is given up meanwhile."""
        self._run(ctypes.addressof(console), ctypes.addressof(self.guest.host(console)), self.code["dispatch"])


def built(guest: type[Guest], translated: bool, progress: Progress | None) -> tuple[bytes, bytes | None]:
    """The image of a guest's interpreter and layer, and its packed stencils if `translated`: from the disk cache, or
    compiled.

    What is missing is compiled side by side, by a helping process too.
    """
    from ..compiler import cache

    names = [f"{guest.name}-engine"] + [f"{guest.name}-stencils"] * translated
    sources = sources_of(guest)
    found = [cache.find_cached(name, sources) for name in names]
    if None in found:
        from ..compiler import backend

        helping = backend.helper()
        try:
            from .building import compile_engine  # while the helper imports what it needs

            made = compile_engine(guest, found[0] is None, helping, progress)
        finally:
            if helping:
                helping.close()
        found = [before or new for before, new in zip(found, made, strict=False)]
        for name, data in zip(names, found, strict=True):
            assert data is not None
            cache.keep(name, sources, data)
    assert found[0] is not None
    return found[0], found[1] if translated else None


def address(struct: Any) -> int:
    """The address of a struct."""
    return ctypes.addressof(struct)


def code_pointer(address: int) -> Any:
    """An address as the struct fields that lead to code take it."""
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
