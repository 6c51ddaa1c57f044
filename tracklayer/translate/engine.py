"""Engines of generated code: load a guest's handlers, wire a console to them, run it.

For:       `Interpreter(guest)`, one for a process and kind of guest, shared by all consoles; `run(console)`.
Not for:   making translated code (translator.py), the console's Python face (api/).
"""

from __future__ import annotations

import ctypes
import gc
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler.glue import PLACE, PYTHON_API, SLOT_API
from ..native.calls import bound, builtin
from ..native.image import PlacedImage, make_image, place
from ..native.memory import code_memory
from .guest import Guest

if TYPE_CHECKING:
    from ..compiler.backend import Job

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
        made = _compile(guest, found[0] is None, progress)
        found = [before or new for before, new in zip(found, made, strict=False)]
        for name, data in zip(names, found, strict=True):
            assert data is not None
            cache.keep(name, sources, data)
    assert found[0] is not None
    return found[0], found[1] if translated else None


def _compile(guest: type[Guest], with_engine: bool, progress: Progress | None) -> tuple[bytes | None, bytes]:
    """The image of a guest's interpreter and layer if asked for, and its packed stencils, of which the image has
    parts."""
    from ..compiler import backend

    message = "compiling the engine (once; kept on disk)"
    parts_to_come = 6  # about so many: the progress is right once all jobs are known

    def done(made: int, given: int) -> None:
        if progress:
            progress(message, made, max(given, parts_to_come))

    if progress:
        progress(message, 0, parts_to_come)
    helping = backend.helper()
    emission = backend.Emission(helping, done)
    collecting = gc.isenabled()
    gc.disable()  # the walk makes a million objects, most of which stay: looking through them is a seventh of its time
    try:
        from .shared import join_handlers, shared_handlers
        from .stencils import StencilCompiler

        compiler = StencilCompiler(guest)
        emission.add(backend.Job(compiler.build().render()))  # first, because they are ready soonest
        shared = shared_handlers(guest, compiler.uses)
        if with_engine:
            for job in engine_jobs(guest, shared):
                emission.add(job)
        parts_to_come = 0
        stencils, *objects = emission.finish()
    finally:
        if collecting:
            gc.enable()
        emission.close_input()
        if helping:
            helping.close()
    from ..native.loader import parse
    from .tables import pack_tables

    file = parse(stencils)
    image = None
    if with_engine:
        pieces = {name: code for one in objects for name, code in parse(one).functions().items()}
        image = make_image(objects, join_handlers(shared, file.functions(), pieces))
    return image, pack_tables(guest, file, compiler.uses)


def engine_jobs(guest: type[Guest], shared: Mapping[int, int]) -> list[Job]:
    """The modules of a guest's interpreter and layer. shared: as `shared_handlers` gives it."""
    from ..compiler import backend
    from .interpreter import interpreter_program
    from .layer import add_layer

    program = interpreter_program(guest, shared)
    add_layer(program, guest)
    parts = program.module.parts()
    # Handlers are many and short, and gain little from the expensive passes; devices have loops.
    return [backend.Job(program.render(part), *((1, 1) if part.startswith("handlers") else (2, 2))) for part in parts]


def address(struct: Any) -> int:
    """The address of a struct."""
    return ctypes.addressof(struct)


def code_pointer(address: int) -> Any:
    """An address as the struct fields that lead to code take it."""
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
