"""Typed functions as Python callables of machine code, to be held against the same functions run by CPython.

For:     `build(...)`, which compiles functions, or handlers that hold fields of a context in registers; `agree(...)`.
Not for: what is tested (test_*.py), or making up programs (generate.py).
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tracklayer.compiler.asking import PYTHON_API, python_glue
from tracklayer.compiler.backend import emit
from tracklayer.compiler.convention import Convention, find
from tracklayer.compiler.glue import crossing
from tracklayer.compiler.intrinsics import CONTROL, from_memory, in_memory, resume
from tracklayer.compiler.program import Program
from tracklayer.compiler.sources import describe_function
from tracklayer.lang import Host, IntType, PtrType, go, is_struct, layout, typed
from tracklayer.native.loader import LoadedObject, load
from tracklayer.native.memory import code_memory

_numbers = itertools.count()


def module_of(text: str, folder: Path, **names: Any) -> ModuleType:
    """A module made of source text, in a file, where the compiler finds it. names: what it has from the start."""
    path = folder / f"made_{next(_numbers)}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(names)
    sys.modules[path.stem] = module  # where annotations of its structs are looked up
    spec.loader.exec_module(module)
    linecache.checkcache(str(path))
    return module


@typed
def _handle(context: Any, body: Any) -> None:
    """A handler around an ordinary function."""
    context.result = body(context)
    if in_memory(context):
        resume(context)
    else:
        go(context.leave)


@typed
def _resumed(context: Any) -> None:
    go(context.leave)


class Code:
    """A program in code memory."""

    def __init__(self, program: Program, level: int, opt: int) -> None:
        self.ir = program.render()
        self.object = emit(self.ir, level, opt)
        self.loaded: LoadedObject = load(self.object, code_memory(), {})

    def __getitem__(self, name: str) -> int:
        return self.loaded.symbols[name]


class Compiled:
    """A typed function as machine code. Called like the function; structs and pointers are handed on by address."""

    def __init__(self, function: Callable[..., Any], known: dict[str, Any], code: Code, name: str) -> None:
        info = describe_function(function)
        self.code = code
        self.name = name
        self.result = info.result
        self.kinds = [kind for parameter, kind in info.parameters if parameter not in known]
        native = [_native(kind) for kind in self.kinds]
        self.entry = ctypes.CFUNCTYPE(ctypes.c_int64 if info.result else None, *native)(code[name])

    def __call__(self, *arguments: Any) -> Any:
        values = [_passed(value, kind) for value, kind in zip(arguments, self.kinds, strict=True)]
        result = self.entry(*values)
        return self.result(result) if isinstance(self.result, IntType) else result


def _native(kind: Any) -> Any:
    if isinstance(kind, IntType):
        return ctypes.c_int64 if kind.bits == 64 else ctypes.c_int32
    return ctypes.c_void_p


def _passed(value: Any, kind: Any) -> Any:
    if isinstance(kind, IntType):
        assert kind.lo <= value <= kind.hi, f"{value} is no {kind}"
        return value
    if is_struct(kind):
        return ctypes.addressof(value)
    assert isinstance(kind, PtrType)
    return ctypes.cast(value, ctypes.c_void_p).value


def build(*functions: Callable[..., Any], level: int = 2, opt: int = 1, **known: Any) -> list[Compiled]:
    """Functions as machine code, all of one program. known: arguments of all of them that are known while compiling."""
    program = Program()
    for index, function in enumerate(functions):
        program.function(f"f{index}", function, known or None)
    code = Code(program, level, opt)
    return [Compiled(function, known, code, f"f{index}") for index, function in enumerate(functions)]


def compiled(function: Callable[..., Any], **known: Any) -> Compiled:
    """One function as machine code."""
    return build(function, **known)[0]


def agree(function: Callable[..., Any], *cases: tuple[Any, ...]) -> None:
    """The function gives the same results compiled, unoptimised and optimised, as it does under CPython."""
    for level in (0, 2):
        machine = build(function, level=level)[0]
        for case in cases:
            expected = function(*case)
            got = machine(*case)
            assert got == expected, f"{function.__name__}{case} at level {level}: {got}, CPython says {expected}"


class Handler:
    """A function of a context struct, compiled as a handler that holds some of the context's fields in registers.

    The context has fields `leave: Ptr[u8]` and `result: i64`. spills: its slow sides keep apart.
    """

    def __init__(
        self,
        context: type[Any],
        pinned: tuple[str, ...],
        cached: tuple[str, ...],
        functions: list[Callable[..., Any]],
        level: int = 2,
        opt: int = 1,
        spills: bool = False,
    ) -> None:
        convention = Convention(context, pinned, cached)
        program = Program(convention, CONTROL)
        program.raw(crossing(convention), "enter")
        program.handler("resume", _resumed, prepare=from_memory)
        for index, function in enumerate(functions):
            program.handler(f"h{index}", _handle, {"body": function}, spills=spills)
        self.code = Code(program, level, opt)
        self._enter = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(self.code["enter"])
        self._leave_offset = find(context, "leave")[0]

    def run(self, index: int, context: Any) -> int:
        """Run a handler; what it returned."""
        leave = ctypes.c_uint64.from_buffer(context, self._leave_offset)
        leave.value = self.code["leave"]
        self._enter(ctypes.addressof(context), self.code[f"h{index}"])
        leave.value = 0
        return int(context.result)


class PythonCaller:
    """A function `f(owner, a: i64, b: i64) -> i64` that asks Python, called with the GIL given up as engines do it."""

    def __init__(self, function: Callable[..., Any], level: int = 2) -> None:
        program = Program()
        program.function("f", function)
        enter = "call void @enter(ptr %context, ptr %handler)"
        program.raw(python_glue().replace(enter, "call void %handler(ptr %context)"))
        program.raw(
            "define void @call(ptr %box) nounwind {\n"
            "  %host = load ptr, ptr %box\n"
            + "".join(
                f"  %at.{i} = getelementptr i64, ptr %box, i64 {i}\n  %v.{i} = load i64, ptr %at.{i}\n" for i in (1, 2)
            )
            + "  %result = call i64 @f(ptr %host, i64 %v.1, i64 %v.2)\n"
            "  %at.3 = getelementptr i64, ptr %box, i64 3\n  store i64 %result, ptr %at.3\n  ret void\n}"
        )
        self.code = Code(program, level, 1)
        self._run = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(self.code["run"])
        self.table = (ctypes.c_uint64 * len(PYTHON_API))()
        for index, name in enumerate(PYTHON_API):
            found = getattr(ctypes.pythonapi, name, None)
            self.table[index] = ctypes.cast(found, ctypes.c_void_p).value if found is not None else 0

    def wire(self, host: Any) -> None:
        """Set the entries of a Host."""
        fields = layout(Host)
        for name, value in (
            ("ask_entry", self.code["ask"]),
            ("tell_entry", self.code["tell"]),
            ("python", ctypes.addressof(self.table)),
        ):
            ctypes.c_uint64.from_buffer(host, fields[name].offset).value = value

    def __call__(self, owner: Any, host: Any, a: int = 0, b: int = 0) -> int:
        """Call with the struct that holds the host."""
        self.wire(host)
        box = (ctypes.c_int64 * 4)(ctypes.addressof(owner), a, b, 0)
        self._run(ctypes.addressof(box), ctypes.addressof(host), self.code["call"])
        return box[3]
