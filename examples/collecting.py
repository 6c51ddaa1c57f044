"""A callback collects garbage while generated code holds the only reference to an object.

Generated code that keeps a reference has counted it, like C code; the collector can run at any moment and finds nothing
to take. What generated code drops is gone at once.
"""

from __future__ import annotations

import ctypes
import gc
import weakref

from tracklayer.native import Assembler
from tracklayer.native.operands import rax, rbx, rdi


class Thing:
    """Something that can be watched."""


watched: list[weakref.ref[Thing]] = []


def create() -> Thing:
    """A new object that nobody else knows."""
    thing = Thing()
    watched.append(weakref.ref(thing))
    return thing


def collect() -> None:
    """Collect everything that can be collected."""
    gc.collect()
    print("while generated code holds it:", "alive" if watched[-1]() else "gone")


def main() -> None:
    """Create, collect, drop."""
    a = Assembler("holder")
    a.prologue(rbx)
    a.call(a.callback(create, "object()"))
    a.mov(rbx, rax)  # the only reference is in a register
    a.call(a.callback(collect, "void()"))
    a.mov(rdi, rbx)
    a.call(a.c_function(ctypes.pythonapi.Py_DecRef))
    a.epilogue()
    holder = a.function("void()")
    holder()
    print("after it was dropped:", "alive" if watched[-1]() else "gone")


if __name__ == "__main__":
    main()
