"""The intrinsics of handlers: passing control.

For:     `go`, a tail call with the context and all pinned fields in their registers.
Not for: intrinsics that every typed function has (standard.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..lang import go
from .convention import HANDLER
from .errors import Refusal
from .values import Known, Pointer, Value, describe

if TYPE_CHECKING:
    from .state import State
    from .statements import Walker


def in_memory(context: Any) -> bool:
    """While compiling a handler that spills: whether this path has the pinned fields in memory."""
    raise TypeError("in_memory() exists only while handlers are compiled")


def resume(context: Any) -> None:
    """While compiling a handler that spills: end such a path by a tail call of the program's handler `resume`, which
    reads the fields."""
    raise TypeError("resume() exists only while handlers are compiled")


def transfer(walker: Walker, state: State, target: str) -> None:
    """End a state by a tail call of the handler at `target` (an LLVM value or function)."""
    if not walker.holds or walker.convention is None:
        raise Refusal("control can be passed on only from a handler", "do not call this from an outlined function")
    walker.flush(state, "%context", {field.offset for field in walker.convention.cached})
    end(state, target, walker.handed(state, "%context"))


def end(state: State, target: str, arguments: str) -> None:
    """End a state by a tail call with these arguments."""
    state.block.lines.append(f"  musttail call {HANDLER} void {target}({arguments})")
    state.block.lines.append("  ret void")


def _in_memory(walker: Walker, state: State, context: Value) -> Value:
    return Known(state.spilled)


def _resume(walker: Walker, state: State, context: Value) -> None:
    if not state.spilled or walker.convention is None:
        raise Refusal("resume() is for paths whose registers are in memory", "ask in_memory() before")
    walker.flush(state, "%context", set(state.dirty))
    end(state, "@resume", ", ".join(["ptr %context", *(f"i{f.width} poison" for f in walker.convention.pinned)]))


def _go(walker: Walker, state: State, target: Value) -> None:
    if not isinstance(target, Pointer):
        raise Refusal(f"go() takes a pointer to code, this is {describe(target)}")
    transfer(walker, state, target.name)


def from_memory(walker: Walker, state: State) -> None:
    """Of a handler: begin with what memory holds, not with what was handed over. So begins `resume`."""
    state.fields, state.dirty = {}, set()
    walker.reload(state, "%context")


def to_memory(walker: Walker, state: State) -> None:
    """Of a handler that spills: it is a slow side from the start."""
    walker.spill(state, "%context")


Intrinsic = Callable[..., Value | None]
"""Called as `f(walker, state, *values)` while compiling; returns a value, or None where control does not come back."""

CONTROL: dict[Any, Intrinsic] = {go: _go, in_memory: _in_memory, resume: _resume}
