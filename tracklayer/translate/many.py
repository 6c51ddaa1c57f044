"""Many consoles at once: one builtin that a thread calls to run them one after the other, without the GIL.

For:       `Many(engine, ...)`: the compiled loop around an engine's code, given what a console's turn is.
Not for:   what a turn does, and the threads (api/seats.py, api/batch.py).
Invariant: a console is in one thread's hands at a time: each takes the next one of its part, then of the others'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..compiler.convention import find
from ..compiler.glue import SLOT_API, BatchPlaces, advance_all_glue, call_glue, crossing, host_offset
from ..lang import layout, size_of
from ..native.calls import builtin
from ..native.image import make_image, place
from ..native.memory import code_memory
from .engine import Interpreter, Progress, api_addresses, sources_of


class Many:
    """Runs consoles of one engine. Errors: RuntimeError, OSError where code cannot be compiled or placed.

    worker, job, seat: structs with the fields that `BatchPlaces` tells of. ready(worker), turn(context, worker, seat):
    typed functions, as `advance_all_glue` calls them. known: what `turn` has as known arguments besides.
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
        progress: Progress | None = None,
    ) -> None:
        guest = engine.guest
        fields, own = layout(job), layout(worker)
        places = BatchPlaces(
            thread=find(guest.context, guest.host_path)[0] + host_offset("thread"),
            job=own["job"].offset,
            next=own["next"].offset,
            end=own["end"].offset,
            following=own["following"].offset,
            helps=own["helps"].offset,
            signal=own["signal"].offset,
            busy=fields["busy"].offset,
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
            image = make_image([_compile(engine, places, ready, turn, known)])
            cache.keep(name, sources, image, detail)
            if progress:
                progress("compiling the batch loop (once; kept on disk)", 1, 1)
        code = place(image, code_memory(), api_addresses(SLOT_API))
        self._advance_all: Any = builtin(code["advance_all"], "advance_all", keep=(code, engine))
        self.call: Any = builtin(code["call"], "call", keep=(code,))
        """`call(worker)`: have the worker at this address, whose thread may still be in `advance`, run the next job.
        Returns: 1 if its thread has heard, 0 if it has to be sent."""

    def advance(self, worker: int) -> int:
        """Have the worker at this address run consoles. Returns: 1 where none was left, 0 where it is not ready."""
        outcome: int = self._advance_all(worker, self._engine.start)
        return outcome


def _compile(
    engine: Interpreter,
    places: BatchPlaces,
    ready: Callable[..., Any],
    turn: Callable[..., Any],
    known: Mapping[str, Any],
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
    program.raw(advance_all_glue(places), "advance_all")
    program.raw(call_glue(places), "call")
    return backend.emit(program.render())
