"""Making an engine: a guest's stencils, interpreter and layer, walked and compiled side by side.

For:       `compile_engine`, where the disk cache has not what is wanted.
Not for:   what is compiled (stencils.py, interpreter.py, layer.py), keeping and loading it (engine.py).
Invariant: LLVM works while the walk goes on: a part of a program is handed over as soon as it is whole.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from ..compiler.backend import FOLDING, Emission, Helper, Job
from ..compiler.errors import CompileError
from ..compiler.outlining import LOOPS, RARE, STRAIGHT
from ..compiler.program import OWN, Program
from ..compiler.sources import forget_functions
from ..native.image import make_image
from .guest import Guest
from .interpreter import HANDLERS, add_interpreter, interpreter_program
from .layer import add_layer
from .shared import join_handlers, shared_handlers
from .stencils import STENCILS, StencilCompiler
from .tables import pack_tables

if TYPE_CHECKING:
    from .engine import Progress

CHUNK = 200_000
"""Characters of IR in a part: some tenths of a second for LLVM."""
EFFORT = {
    OWN: (2, 2), LOOPS: (2, 2), STRAIGHT: (2, 2), RARE: (FOLDING, 1), HANDLERS: (FOLDING, 1), STENCILS: (FOLDING, 2),
}  # fmt: skip
"""How hard LLVM tries, by the kind of part: IR passes, code generation. Handlers and stencils are many and short: they
gain nothing from the expensive passes. Devices do."""


def compile_engine(
    guest: type[Guest], with_engine: bool, helping: Helper | None, progress: Progress | None
) -> tuple[bytes | None, bytes]:
    """The image of a guest's interpreter and layer if asked for, and its packed stencils, of which the image has
    parts."""
    message = "compiling the engine (once; kept on disk)"
    parts_to_come = 20  # about so many: the progress is right once all jobs are known

    def done(made: int, given: int) -> None:
        if progress:
            progress(message, made, max(given, parts_to_come))

    if progress:
        progress(message, 0, parts_to_come)
    emission = Emission(helping, done)
    collecting = gc.isenabled()
    gc.disable()  # the walk makes a million objects, most of which stay: looking through them is a seventh of its time
    try:
        compiler = StencilCompiler(guest)
        stencils = Stream(emission, compiler.program)
        compiler.build()
        stencils.end()
        shared = shared_handlers(guest, compiler.uses)
        if with_engine:
            program = interpreter_program(guest)
            engine = Stream(emission, program)
            add_interpreter(program, guest, shared)
            add_layer(program, guest)
            engine.end()
        parts_to_come = 0
        from ..native.loader import parse  # and NumPy, while the helper works

        objects = emission.finish()
        if helping:
            helping.dismiss()
    except CompileError as error:
        raise error.with_traceback(None) from None  # it says where in the guest; where in the compiler is no help
    finally:
        forget_functions()
        if collecting:
            gc.enable()
        emission.close_input()
    functions = {name: one for at in stencils.jobs.values() for name, one in parse(objects[at]).functions().items()}
    image = None
    if with_engine:
        pieces = parse(objects[engine.jobs[f"{OWN}.0"]]).functions()
        image = make_image([objects[at] for at in engine.jobs.values()], join_handlers(shared, functions, pieces))
    return image, pack_tables(guest, functions, compiler.uses)


class Stream:
    """The parts of a program on their way to objects: each begins it as soon as it is whole.

    jobs: which of the emission's jobs each part is.
    """

    def __init__(self, emission: Emission, program: Program) -> None:
        self.jobs: dict[str, int] = {}
        self._emission = emission
        self._program = program
        program.module.chunk = CHUNK
        program.module.whole = self._add

    def end(self) -> None:
        """The program is whole."""
        for part in self._program.module.rest():
            self._add(part)

    def _add(self, part: str) -> None:
        self.jobs[part] = self._emission.add(Job(self._program.render(part), *EFFORT[part.partition(".")[0]]))
