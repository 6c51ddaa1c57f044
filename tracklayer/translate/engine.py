"""Engines of generated code: load a guest's handlers, wire a console to them, run it.

For:       `Interpreter(guest)`, one for a process and kind of guest, shared by all consoles; `run(console)`.
Not for:   making translated code (translator.py), the console's Python face (api/).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..compiler.cache import cached
from ..compiler.glue import EXTERNALS, PYTHON_API
from ..native.calls import builtin, python_api
from ..native.loader import LoadedObject, load
from ..native.memory import code_memory
from .guest import Guest

PACKAGE = Path(__file__).resolve().parent.parent
SOURCES = tuple(PACKAGE / room for room in ("lang", "compiler", "isa", "cpu", "machine", "translate", "api"))

Progress = Callable[[str, int, int], None]


def python_table() -> Any:
    """The addresses of the C API's functions that glue calls; 0 for what this CPython has not."""
    table = (ctypes.c_uint64 * len(PYTHON_API))()
    for index, name in enumerate(PYTHON_API):
        function = getattr(ctypes.pythonapi, name, None)
        if function is not None:
            table[index] = ctypes.cast(function, ctypes.c_void_p).value or 0
    return table


class Interpreter:
    """T0 for one guest. Errors: RuntimeError, OSError where code cannot be compiled or placed."""

    name = "interpreter"
    parts = 1

    def __init__(self, guest: type[Guest], progress: Progress | None = None) -> None:
        self.guest = guest
        data = cached(f"{guest.name}-t0", SOURCES, lambda: self._build(progress))
        self.code: LoadedObject = load(data, code_memory(), {name: python_api()[name] for name in EXTERNALS})
        handlers = [self.code[f"op.{index}"] for index in range(guest.handlers)]
        self.table = (ctypes.c_uint64 * len(handlers))(*handlers)
        self.api = python_table()
        self._advance: Any = builtin(self.code["advance"], "advance", keep=(self.code, self.table, self.api))
        self._start = self.code["dispatch"]
        self._run = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(self.code["run"])

    def _build(self, progress: Progress | None) -> bytes:
        from ..compiler.backend import emit
        from .interpreter import interpreter_program

        if progress:
            progress("compiling the interpreter", 0, self.parts)
        return emit(interpreter_program(self.guest).render())

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

    def changed(self, console: Any) -> None:
        """The console's hooks or regions, or its whole state, are others than before."""

    def advance(self, console: Any, limit: int) -> int:
        """Run to time `limit`, or until something else stops the console. The GIL is given up meanwhile.

        Returns: the outcome, as `Guest.outcome` packs it.
        """
        outcome: int = self._advance(console.address, limit, self._start)
        return outcome

    def run(self, console: Any) -> None:
        """Run until `clock.stop` is set. The GIL is given up meanwhile."""
        self._run(ctypes.addressof(console), ctypes.addressof(self.guest.host(console)), self.code["dispatch"])


def code_pointer(address: int) -> Any:
    """An address as the struct fields that lead to code take it."""
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
