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
from collections.abc import Callable
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


FOLDING = -1
"""The level of IR passes that only fold and merge: for code without loops that is all of what they gain most from."""


def emit(ir: str, level: int = 2, opt: int = 2) -> bytes:
    """Optimise a module and emit a relocatable object.

    level: of the IR passes, 0 to 3, or FOLDING. opt: of code generation, 0 to 3.
    Errors: RuntimeError with LLVM's message, which means a bug of this compiler.
    """
    import llvmlite.binding as llvm

    machine = _machine(opt, *host_cpu())
    module = llvm.parse_assembly(ir)
    module.verify()
    if level:
        options = llvm.create_pipeline_tuning_options(speed_level=max(1, level))
        builder = llvm.create_pass_builder(machine, options)
        if level == FOLDING:
            passes = llvm.create_new_module_pass_manager()
            passes.add_instruction_combine_pass()
            passes.add_simplify_cfg_pass()
        else:
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

    def dismiss(self) -> None:
        """There is no job for the process any more: it ends by itself."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def close(self) -> None:
        """End the process."""
        self.dismiss()
        self.process.wait()


def helper() -> Helper | None:
    """A helping process, or None where this Python cannot start one, or has only one core."""
    if not sys.executable or (os.cpu_count() or 1) < 2:
        return None
    try:
        return Helper()
    except OSError:
        return None


class Emission:
    """Objects of several modules, two made at a time where a helper is at hand: it begins with the first job given,
    while this process still writes the next.

    `add` every job, then `finish`. done: called after each object, with how many there are, and how many jobs.
    """

    def __init__(self, helping: Helper | None, done: Callable[[int, int], None] = lambda made, given: None) -> None:
        self.helping = helping
        self.done = done
        self.jobs: list[Job] = []
        self.waiting: list[int] = []  # those nobody works on yet, the longest last
        self.objects: dict[int, bytes] = {}
        self.failed: list[BaseException] = []
        self.whole = False  # nothing is added any more
        self.changed = threading.Condition()
        self.other: threading.Thread | None = None
        if helping:
            self.other = threading.Thread(target=self._work, args=(helping.emit, True))
            self.other.start()

    def add(self, job: Job) -> int:
        """Have an object made of a module; its place among those that `finish` gives."""
        with self.changed:
            self.waiting.append(len(self.jobs))
            self.jobs.append(job)
            self.waiting.sort(key=lambda index: len(self.jobs[index].ir))
            self.changed.notify()
            return len(self.jobs) - 1

    def finish(self) -> list[bytes]:
        """The objects, in the order of their jobs. Errors: the first that happened, as of `emit`."""
        self.close_input()
        self._work(emit_job, False)
        if self.other:
            self.other.join()
            self._work(emit_job, False)  # what a helper gave back that went away
        if self.failed:
            raise self.failed[0]
        return [self.objects[index] for index in range(len(self.jobs))]

    def close_input(self) -> None:
        """No job will be added: the helper's thread ends when all are done."""
        with self.changed:
            self.whole = True
            self.changed.notify()

    def _next(self, wait: bool) -> int | None:
        with self.changed:
            while wait and not (self.waiting or self.whole or self.failed):
                self.changed.wait()
            return self.waiting.pop() if self.waiting and not self.failed else None

    def _work(self, emit_one: Callable[[Job], bytes], wait: bool) -> None:
        while (index := self._next(wait)) is not None:
            try:
                made = emit_one(self.jobs[index])
            except HelperGone:  # its job is done here
                with self.changed:
                    self.waiting.append(index)
                return
            except BaseException as error:
                self.failed.append(error)
                return
            with self.changed:
                self.objects[index] = made
                self.done(len(self.objects), len(self.jobs))


def emit_job(job: Job) -> bytes:
    """`emit`, of a job."""
    return emit(*job)


def _serve() -> None:
    """The helping process: jobs in, objects out, until the pipe closes."""
    into, out = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(ImportError, RuntimeError):  # which the first job will tell of
        _machine(2, *host_cpu())
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
