"""A guest as the engines see it: a context struct, and a few typed functions over it.

For:     the one description from which the interpreter and the translator of a guest are made.
Not for: any particular guest: consoles describe themselves where the rooms meet (api/).
"""

from __future__ import annotations

from typing import Any


class Guest:
    """Describe a guest by subclassing. Functions are `@staticmethod @typed`, and take the context first.

    context:  the root struct. pinned: paths of the fields that travel in registers (at most ten). cached: scalar fields
              that are held in registers within one instruction.
    opcodes:  how many first opcodes there are; handlers: how many handlers in all (opcodes behind a prefix come after).
    pc, left: paths of the program counter and of the time left until the next boundary; both are pinned.
    """

    name: str
    context: type[Any]
    pinned: tuple[str, ...]
    cached: tuple[str, ...] = ()
    opcodes: int
    handlers: int
    pc: str
    left: str

    @staticmethod
    def host(context: Any) -> Any:
        """The `lang.Host` of the context."""
        raise NotImplementedError

    @staticmethod
    def engine(context: Any) -> Any:
        """The `isa.engine.EngineHost` of the context."""
        raise NotImplementedError

    @staticmethod
    def clock(context: Any) -> Any:
        """A struct with the fields `left`, `stop` and `instructions`."""
        raise NotImplementedError

    @staticmethod
    def execute(context: Any, index: int) -> None:
        """Run the instruction of handler `index` (known), with PC behind its opcode; or `go` to a further handler."""
        raise NotImplementedError

    @staticmethod
    def code_page(context: Any) -> Any:
        """A pointer to the plain memory that PC lies in; null where fetching needs more than a load."""
        raise NotImplementedError

    @staticmethod
    def fetch_from(context: Any, page: Any) -> Any:
        """Fetch the opcode at PC from plain memory, spend its time, step PC."""
        raise NotImplementedError

    @staticmethod
    def fetch(context: Any) -> Any:
        """Fetch the opcode at PC from wherever it lies, with everything that may happen on the way."""
        raise NotImplementedError

    @staticmethod
    def boundary(context: Any) -> None:
        """Do what is due between two instructions; set `clock.stop` where the engine must return."""
        raise NotImplementedError

    @staticmethod
    def hook(context: Any) -> Any:
        """Call the hook at PC, if there is one. Returns 1 where the engine must return before the instruction."""
        raise NotImplementedError
