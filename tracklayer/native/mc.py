"""LLVM's assembler: text in, a relocatable object out, or the lines that are wrong and why.

For:       processors that our own encoder (encoding.py) does not know.
Not for:   loading what comes out (loader.py).
Invariant: bad text is an `AssemblerErrors`; it never ends this process. LLVM's library does end the process in which
           its inline assembler finds an error, so it always runs in another one.

Which one does the work: where this machine's own processor is meant, llvmlite, which is always installed but assembles
for its own machine only (this file is the other process then); else the first that is found of `llvm-mc` and `clang` on
PATH and the Python package `ziglang`, which carries a whole LLVM.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile


class AssemblerErrors(ValueError):
    """What LLVM says of the text: `errors` are pairs of a line number, from 1, and a message."""

    def __init__(self, errors: list[tuple[int, str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"line {line}: {message}" for line, message in errors))


class NoAssembler(RuntimeError):
    """No LLVM assembler for this processor is installed. The message says how to get one."""


_SAME = {"arm64": "aarch64", "amd64": "x86_64"}


def _is_host(triple: str) -> bool:
    machine = platform.machine().lower()
    return triple.partition("-")[0] == _SAME.get(machine, machine)


@functools.cache
def command(triple: str) -> tuple[str, ...]:
    """The program that assembles for a triple, up to the names of its files.
    Errors: NoAssembler."""
    if _is_host(triple):
        return sys.executable, __file__, triple
    found = shutil.which("llvm-mc")
    if found:
        return found, f"--triple={triple}", "-filetype=obj"
    found = shutil.which("clang")
    if found:
        return found, "-target", triple, "-c", "-x", "assembler"
    if importlib.util.find_spec("ziglang") is not None:
        return sys.executable, "-m", "ziglang", "cc", "-target", triple, "-c"
    raise NoAssembler(
        f"there is no LLVM assembler for {triple} here: install Debian's package llvm (llvm-mc), or clang, or "
        "`pip install ziglang`"
    )


_ERROR = re.compile(r"^(?:error: )?[^\n]*?:(\d+):\d+: (?:error: )(.*)$|^error: [^\n]*?:(\d+):\d+: (.*)$", re.MULTILINE)


@functools.lru_cache(maxsize=64)
def assemble(text: str, triple: str) -> bytes:
    """The object that LLVM makes of the text, in GNU syntax.
    Errors: AssemblerErrors with the lines at fault; NoAssembler."""
    program = command(triple)
    with tempfile.TemporaryDirectory(prefix="tracklayer-") as folder:
        source, made = os.path.join(folder, "code.s"), os.path.join(folder, "code.o")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        arguments = [*program, source, "-o", made]
        done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
        if done.returncode == 0:
            with open(made, "rb") as result:
                return result.read()
    errors = [(int(a or c), b or d) for a, b, c, d in _ERROR.findall(done.stderr)]
    if not errors:
        raise RuntimeError(f"{program[0]} ended with status {done.returncode}: {done.stderr.strip()[-500:]}")
    raise AssemblerErrors(errors)


def main(triple: str, source: str, made: str) -> None:
    """Assemble a file by llvmlite, for the machine that this is. An error ends the process, with LLVM's message."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    with open(source, encoding="utf-8") as file:
        lines = file.read().splitlines()
    quoted = (line.replace("\\", "\\5C").replace('"', "\\22") for line in lines)
    module = f'target triple = "{triple}"\n' + "".join(f'module asm "{line}"\n' for line in quoted)
    machine = llvm.Target.from_triple(triple).create_target_machine(reloc="pic")
    data = machine.emit_object(llvm.parse_assembly(module))
    with open(made, "wb") as out:
        out.write(data)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[4])
