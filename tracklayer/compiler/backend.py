"""LLVM: IR text to an optimised relocatable object.

For:     `emit(ir)`. llvmlite is imported here and nowhere else, and only when something must be compiled.
Not for: writing IR (program.py), loading objects (native/loader.py).
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


@functools.cache
def _machine(opt: int, cpu: str, features: str) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    return target.create_target_machine(cpu=cpu, features=features, opt=opt, reloc="pic", codemodel="small")


@functools.cache
def host_cpu() -> tuple[str, str]:
    """The name and the features of this host's CPU, as LLVM knows them."""
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def emit(ir: str, level: int = 2, opt: int = 2) -> bytes:
    """Optimise a module and emit a relocatable object.

    level: of the IR passes, 0 to 3. opt: of code generation, 0 to 3.
    Errors: RuntimeError with LLVM's message, which means a bug of this compiler.
    """
    import llvmlite.binding as llvm

    machine = _machine(opt, *host_cpu())
    module = llvm.parse_assembly(ir)
    module.verify()
    if level:
        options = llvm.create_pipeline_tuning_options(speed_level=level)
        builder = llvm.create_pass_builder(machine, options)
        passes = builder.getModulePassManager()
        passes.run(module, builder)
    return bytes(machine.emit_object(module))


class Job(NamedTuple):
    """One object to make: IR text, and how hard to try."""

    ir: str
    level: int = 2
    opt: int = 2


class HelperGone(Exception):
    """The helping process ended, or is no process of ours."""


class Helper:
    """A process that emits objects, so that two are made at a time: LLVM as llvmlite has it runs in one thread only."""

    def __init__(self) -> None:
        # Straight to this file, not by `-m`: the package need not be imported there. -P: nor found beside this file.
        self.process = subprocess.Popen([sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def emit(self, job: Job) -> bytes:
        """`emit`, in the process. Errors: HelperGone; RuntimeError as there."""
        into, out = self.process.stdin, self.process.stdout
        assert into is not None and out is not None
        try:
            pickle.dump(tuple(job), into)
            into.flush()
            answer = pickle.load(out)
        except Exception as error:  # what comes from something that is no helper can be anything
            raise HelperGone from error
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return bytes(answer)

    def close(self) -> None:
        """End the process."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process.wait()


def helper() -> Helper | None:
    """A helping process, or None where this Python cannot start one, or has only one core."""
    if not sys.executable or (os.cpu_count() or 1) < 2:
        return None
    try:
        return Helper()
    except OSError:
        return None


def emit_all(jobs: Sequence[Job], helping: Helper | None, done: Callable[[], None] = lambda: None) -> list[bytes]:
    """The objects of several modules, two at a time where a helper is at hand. `done` is called after each."""
    waiting = sorted(range(len(jobs)), key=lambda index: len(jobs[index].ir))
    objects: dict[int, bytes] = {}
    failed: list[BaseException] = []

    def work(emit_one: Callable[[Job], bytes]) -> None:
        while waiting and not failed:
            try:
                index = waiting.pop()
            except IndexError:
                return
            try:
                objects[index] = emit_one(jobs[index])
            except HelperGone:  # its job is done here
                waiting.append(index)
                return
            except BaseException as error:
                failed.append(error)
                return
            done()

    other = threading.Thread(target=work, args=(helping.emit,)) if helping else None
    if other:
        other.start()
    work(lambda job: emit(*job))
    if other:
        other.join()
        work(lambda job: emit(*job))
    if failed:
        raise failed[0]
    return [objects[index] for index in range(len(jobs))]


def _serve() -> None:
    """The helping process: jobs in, objects out, until the pipe closes."""
    into, out = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            job = pickle.load(into)
        except EOFError:
            return
        try:
            answer: object = emit(*job)
        except RuntimeError as error:
            answer = str(error)
        pickle.dump(answer, out)
        out.flush()


if __name__ == "__main__":
    _serve()
