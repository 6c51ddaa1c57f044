"""The intrinsics of handlers: passing control.

For:     `go`, a tail call with the context and all pinned fields in their registers.
Not for: intrinsics that every typed function has (calls.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..lang import go
from .errors import Refusal
from .values import Pointer, Value, describe

if TYPE_CHECKING:
    from .state import State
    from .statements import Walker


def transfer(walker: Walker, state: State, target: str) -> None:
    """End a state by a tail call of the handler at `target` (an LLVM value or function)."""
    if not walker.holds or walker.convention is None:
        raise Refusal("control can be passed on only from a handler", "do not call this from an outlined function")
    walker.flush(state, "%context", {field.offset for field in walker.convention.cached})
    arguments = ["ptr %context"]
    arguments += [
        f"i{field.width} {walker.arith.operand(state.block, state.fields[field.offset], field.width)}"
        for field in walker.convention.pinned
    ]
    state.block.lines.append(f"  musttail call preserve_nonecc void {target}({', '.join(arguments)})")
    state.block.lines.append("  ret void")


def _go(walker: Walker, state: State, target: Value) -> None:
    if not isinstance(target, Pointer):
        raise Refusal(f"go() takes a pointer to code, this is {describe(target)}")
    transfer(walker, state, target.name)


Intrinsic = Callable[..., Value | None]
"""Called as `f(walker, state, *values)` while compiling; returns a value, or None where control does not come back."""

CONTROL: dict[Any, Intrinsic] = {go: _go}
