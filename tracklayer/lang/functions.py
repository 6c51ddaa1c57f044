"""Typed functions, and the few operations of the subset that Python has no word for.

For:     marking a function as belonging to the subset; asking Python objects from inside it.
Not for: compiling. A typed function is the plain Python function it was; the mark is only read by the compiler.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable
from typing import Any, TypeVar, overload

from .integers import i64, u8, u64
from .structs import Object, Ptr, struct

F = TypeVar("F", bound=Callable[..., Any])


class Typed:
    """How the compiler treats a typed function.

    outline: compiled once per set of known arguments and called; otherwise it is inlined where it is called.
    cold:    outlined, and the caller keeps its registers: for the slow side of a fast path.
    shared:  outlined, and compiled once for all places that its structs can have in the context: for what a machine
             has several of, all alike.
    rare:    outlined, and compiled in less time to code that takes more: for what hardly any program uses, or seldom.
    apart:   inlined, but not on the slow side of an interpreter's handler: there it is called.
    """

    __slots__ = ("apart", "cold", "outline", "rare", "shared")

    def __init__(
        self, outline: bool = False, cold: bool = False, shared: bool = False, rare: bool = False, apart: bool = False
    ) -> None:
        self.outline = outline or cold or shared or rare
        self.cold = cold
        self.shared = shared
        self.rare = rare
        self.apart = apart


@overload
def typed(function: F, /) -> F: ...
@overload
def typed(
    *, outline: bool = False, cold: bool = False, shared: bool = False, rare: bool = False, apart: bool = False
) -> Callable[[F], F]: ...
def typed(
    function: Any = None,
    /,
    *,
    outline: bool = False,
    cold: bool = False,
    shared: bool = False,
    rare: bool = False,
    apart: bool = False,
) -> Any:
    """Mark a function as typed: `@typed`, or with one of what `Typed` tells of, as `@typed(outline=True)`. It runs as
    plain Python as before."""

    def mark(function: Any) -> Any:
        function.__typed__ = Typed(outline, cold, shared, rare, apart)
        return function

    return mark if function is None else mark(function)


def comptime(function: F) -> F:
    """Mark a plain Python function that the compiler may call while compiling, when all its arguments are known."""
    function.__comptime__ = True  # type: ignore[attr-defined]
    return function


def unlikely(condition: Any) -> bool:
    """The condition, with a hint to the compiler that it is nearly always false."""
    return bool(condition)


@struct
class Host:
    """What a typed program needs to talk to Python. `error` holds the first exception that `ask` met and nobody took.

    The entries are addresses of generated glue; only compiled code uses them, and whoever runs it has set them.
    `runner` is the thread that runs the program, as `threading.get_ident` says; 0: none. It changes with the GIL held.
    """

    error: Object
    failed: u8
    ask_entry: Ptr[u8]
    tell_entry: Ptr[u8]
    python: Ptr[u64]
    thread: Ptr[u8]
    runner: u64


def ask(host: Host, function: Any, default: int, *arguments: int) -> i64:
    """Call a Python callable with exact integers; the integer it returns.

    The callable may look at everything, but of the context it may change memory only, not registers: see `consult`.
    An exception does not pass through: it is kept in `host.error`, `host.failed` becomes 1, and `default` is the
    result;
    until somebody takes the error, further calls return their `default` and call nothing. So a guest instruction
    always ends whole, and whoever runs the program raises the error between two instructions.
    Errors kept: whatever the callable raises; TypeError where it does not return an integer; OverflowError past 64
    bits.
    """
    if host.failed:
        return default
    try:
        result = operator.index(function(*arguments))
        if not i64.lo <= result <= i64.hi:  # type: ignore[attr-defined]
            raise OverflowError(f"{function!r} returned {result}, which does not fit 64 bits")
        return result
    except BaseException as error:
        host.error = error
        host.failed = 1
        return default


def consult(host: Host, function: Any, default: int, *arguments: int) -> i64:
    """`ask`, of a callable that may change anything in the context while it runs: registers too."""
    return ask(host, function, default, *arguments)


def tell(host: Host, function: Any, *objects: Any) -> None:
    """Call a Python callable with Python objects (Object fields) and drop its result. Exceptions are kept as by `ask`.

    The callable may change anything in the context.
    """
    if host.failed:
        return
    try:
        function(*objects)
    except BaseException as error:
        host.error = error
        host.failed = 1


def go(target: Ptr[u8]) -> None:
    """Pass control to generated code at `target`, with the context and all registers; never comes back.

    Only in tail position, and only when compiled: plain Python has no such thing.
    """
    raise TypeError("go() exists only in compiled code; the reference engine runs instructions in a Python loop")


def take_error(host: Host) -> BaseException | None:
    """The exception that `ask` or `tell` kept, which is then forgotten; None where there is none."""
    error: BaseException | None = host.error
    if error is None:
        return None
    kept = host.__dict__.pop("_error_kept", None)
    if kept is None:  # generated glue stored it, with a reference of its own
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(error))
    host.error = None
    host.failed = 0
    return error
