"""Tables of I/O registers: the one place where an address meets what a read or a write there does.

For:       `Reg` rows, and dispatching an address over a table of them.
Not for:   any register of a particular machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reg:
    """One I/O register.

    ones:  bits that read as 1 whatever the register holds: bits that do not exist, or cannot be read.
    read:  typed function `read(machine) -> u8`; its bits of `ones` do not matter. None: all bits read as 1.
    write: typed function `write(machine, value)`; None where writes change nothing.
    which: of several that are alike: both functions have it behind the machine.
    """

    address: int
    name: str
    ones: int
    read: Callable[..., int] | None
    write: Callable[..., None] | None
    which: tuple[int, ...] = ()
