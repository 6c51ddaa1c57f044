"""LLVM: IR text to an optimised relocatable object.

For:     `emit(ir)`. llvmlite is imported here and nowhere else, and only when something must be compiled.
Not for: writing IR (program.py), loading objects (native/loader.py).
"""

from __future__ import annotations

import functools
from typing import Any

# Enough of LLVM's own -O2 for code that is already specialised: scalars, branches and loads are cleaned, loops are kept simple,
# and long straight-line loops of drawing code are vectorised where `vectorise` asks for it.


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

    level: of the IR passes, 0 to 3. opt: of code generation. Errors: RuntimeError with LLVM's message, which means a bug of this compiler.
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
