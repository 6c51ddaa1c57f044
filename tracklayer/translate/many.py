"""Many consoles at once: one builtin that a thread calls to run them one after the other, without the GIL.

For:       `Many(engine, ...)`: the compiled loop around an engine's code, given what a console's turn is; what its
           threads sleep on (`Lock`).
Not for:   what a turn does, and the threads (api/seats.py, api/batch.py).
Invariant: a console is in one thread's hands at a time: each takes the next one of its part, then of the others'.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..compiler import many_glue
from ..compiler.asking import host_offset
from ..compiler.convention import find
from ..compiler.glue import PLACE, SLOT_API, builtin_glue, crossing
from ..lang import layout, size_of
from ..native.calls import bound, builtin
from ..native.image import make_image, place
from ..native.memory import code_memory
from .engine import Interpreter, Progress, api_addresses, sources_of
from .guest import Call

SIGNALS = {"call": many_glue.CALLED, "wake": many_glue.LISTENING, "dismiss": many_glue.DISMISSED}


class Lock:
    """What a thread of `Many` sleeps on: a lock of CPython's, held from the beginning. Errors: MemoryError.

    It is given back in the process that made it: in a forked child, one seems to sleep on it who is not there.
    """

    address = 0

    def __init__(self) -> None:
        api = ctypes.pythonapi
        allocate = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", api))
        acquire = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(("PyThread_acquire_lock", api))
        self._free = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("PyThread_free_lock", api))
        self._process = os.getpid()
        self.address = allocate() or 0
        if not self.address:
            raise MemoryError("no lock for a thread of a batch")
        acquire(self.address, 0)

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if self.address and not ending() and self._process == os.getpid():  # at the end somebody may sleep on it
            self._free(self.address)


class Many:
    """Runs consoles of one engine. Errors: RuntimeError, OSError where code cannot be compiled or placed.

    worker, job, seat: structs with the fields that `BatchPlaces` tells of. ready(worker), turn(context, worker, seat):
    typed functions, as `advance_all_glue` calls them. known: what `turn` has as known arguments besides. calls: typed
    functions of a struct, by name, that become builtins.
    """

    def __init__(
        self,
        engine: Interpreter,
        worker: type[Any],
        job: type[Any],
        seat: type[Any],
        ready: Callable[..., Any],
        turn: Callable[..., Any],
        known: Mapping[str, Any],
        calls: Mapping[str, Call],
        progress: Progress | None = None,
    ) -> None:
        guest = engine.guest
        fields, own = layout(job), layout(worker)
        places = many_glue.BatchPlaces(
            thread=find(guest.context, guest.host_path)[0] + host_offset("thread"),
            job=own["job"].offset,
            next=own["next"].offset,
            end=own["end"].offset,
            following=own["following"].offset,
            helps=own["helps"].offset,
            signal=own["signal"].offset,
            lock=own["lock"].offset,
            busy=fields["busy"].offset,
            caller=fields["caller"].offset,
            waiting=fields["waiting"].offset,
            stop=fields["stop"].offset,
            order=fields["order"].offset,
            seats=fields["seats"].offset,
            context=layout(seat)["context"].offset,
            seat_size=size_of(seat),
        )
        self._engine = engine
        name, sources = f"{guest.name}-batch", sources_of(guest)
        from ..compiler import cache

        detail = repr(sorted(known.items()))
        image = cache.find_cached(name, sources, detail)
        if image is None:
            if progress:
                progress("compiling the batch loop (once; kept on disk)", 0, 1)
            image = make_image([_compile(engine, places, ready, turn, known, calls)])
            cache.keep(name, sources, image, detail)
            if progress:
                progress("compiling the batch loop (once; kept on disk)", 1, 1)
        code = place(image, code_memory(), api_addresses(SLOT_API))
        self._advance_all: Any = builtin(code["advance_all"], "advance_all", keep=(code, engine))
        self.call, self.wake, self.dismiss = (builtin(code[name], name, keep=(code,)) for name in SIGNALS)
        """Each is given the address of a worker whose thread helps: `call`, have it run the next job; `wake`, the next
        job is about to come; `dismiss`, have it come back from `advance`. Returns: 1 if it is in there and has heard,
        and, for `wake`, had been asleep; else 0."""
        self._calls = {name: builtin(code[name], name, keep=(code,)) for name in calls}

    def calls(self, address: int) -> dict[str, Any]:
        """The `calls`, with the struct at this address."""
        return {name: bound(call, PLACE.pack(address, 0)) for name, call in self._calls.items()}

    def advance(self, worker: int) -> int:
        """Have the worker at this address run consoles. Returns: 1 where none was left, 0 where it is not ready."""
        outcome: int = self._advance_all(worker, self._engine.start)
        return outcome


def _compile(
    engine: Interpreter,
    places: many_glue.BatchPlaces,
    ready: Callable[..., Any],
    turn: Callable[..., Any],
    known: Mapping[str, Any],
    calls: Mapping[str, Call],
) -> bytes:
    from ..compiler import backend
    from ..compiler.intrinsics import CONTROL
    from ..compiler.program import Program
    from .interpreter import convention_of

    convention = convention_of(engine.guest)
    program = Program(convention, CONTROL)
    program.raw(crossing(convention), "enter")
    program.function("ready", ready)
    program.function("turn", turn, dict(known))
    program.raw(many_glue.advance_all_glue(places), "advance_all")
    for name, signal in SIGNALS.items():
        program.raw(many_glue.signal_glue(places, name, signal), name)
    for name, call in calls.items():
        program.function(f"{name}.body", call.function, context=False)
        program.raw(builtin_glue(name, f"{name}.body", call.arguments, call.returns), name)
    return backend.emit(program.render())
