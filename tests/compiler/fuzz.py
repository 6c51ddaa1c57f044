"""Compiled runs of made-up functions against CPython's: results, and every byte of the struct that they work on.

For:     `check(text, folder)`, one program.
Not for: making programs up (generate.py).
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from tracklayer.compiler.convention import Convention
from tracklayer.compiler.errors import CompileError
from tracklayer.compiler.glue import crossing
from tracklayer.compiler.intrinsics import CONTROL
from tracklayer.compiler.program import Program
from tracklayer.lang import layout

from .harness import Code, _handle, module_of
from .shapes import CACHED, PINNED, PLAIN, Inner, Shape, contents, new_shape

SEEDS = range(6)


class Mismatch(AssertionError):
    """A compiled program did something else than CPython."""


def differences(expected: Any, got: Any) -> str:
    """The bytes of two shapes that differ, by offset."""
    pairs = enumerate(zip(contents(expected), contents(got), strict=True), PLAIN)
    lines = [f"  byte {at}: CPython {a:#x}, compiled {b:#x}" for at, (a, b) in pairs if a != b]
    names = {field.offset: name for name, field in layout(Shape).items()}
    return "\n".join(lines[:12]) + f"\n  fields by offset: {names}"


class Refused(Exception):
    """The compiler refused a program."""


def check(text: str, folder: Path, levels: tuple[int, ...] = (0, 2)) -> None:
    """Hold one program against CPython, as a C function and as a handler. Errors: Mismatch, Refused."""
    main = module_of(text, folder, Shape=Shape, Inner=Inner).main
    expected = []
    for seed in SEEDS:
        shape = new_shape(seed)
        expected.append((main(shape), shape))
    convention = Convention(Shape, PINNED, CACHED)
    program = Program(convention, CONTROL)
    program.raw(crossing(convention), "enter")
    try:
        program.function("plain", main)
        program.handler("held", _handle, {"body": main})
    except CompileError as error:
        raise Refused(error.problem) from error
    for level in levels:
        code = Code(program, level, 1)
        plain = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(code["plain"])
        enter = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code["enter"])
        for seed, (result, shape) in zip(SEEDS, expected, strict=True):
            for how in ("plain", "held"):
                mine = new_shape(seed)
                if how == "plain":
                    got = plain(ctypes.addressof(mine))
                else:
                    ctypes.c_uint64.from_buffer(mine, 0).value = code["leave"]
                    enter(ctypes.addressof(mine), code["held"])
                    got, mine.result = mine.result, 0
                if got != result or contents(mine) != contents(shape):
                    where = f"{how}, level {level}, seed {seed}: {got}, CPython {result}"
                    raise Mismatch(f"{where}\n{differences(shape, mine)}\n{text}")
