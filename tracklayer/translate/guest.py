"""A guest as the engines see it: a context struct, and a few typed functions over it.

For:     the one description from which the interpreter and the translator of a guest are made.
Not for: any particular guest: consoles describe themselves where the rooms meet (api/).
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..lang import comptime, typed


class Call(NamedTuple):
    """A typed function of a context and so many integers, that may return one."""

    function: Any
    arguments: int
    returns: bool = False


def seen(context: Any, kind: Any) -> Any:
    """While stencils are compiled: the context as another struct that begins with it, with methods of its own."""
    raise TypeError("seen() exists only while stencils are compiled")


class Stack(NamedTuple):
    """How a guest's stack is used. It grows down, and what is pushed has 16 bits, the low ones first.

    sp: the path of its pointer, which is pinned. read, write: typed functions of the context, an address, and of what
    is written, with which instructions pop and push. cycles: the time that either takes in plain memory.
    """

    sp: str
    read: Any
    write: Any
    cycles: int


class Guest:
    """Describe a guest by subclassing. Functions are `@staticmethod @typed`, and take the context first.

    context:  the root struct. pinned: paths of the fields that travel in registers (at most ten). cached: scalar fields
              that are held in registers within one instruction.
    volatile: paths of fields that most instructions write and few read (flags); translated code leaves out what
              nobody reads.
    opcodes:  how many first opcodes there are; handlers: how many handlers in all (opcodes behind a prefix come after).
    pc, left: paths of the program counter and of the time left until the next boundary; both are pinned.
    engine_path, host_path: of the EngineHost and of the `lang.Host` in the context.
    page_maps: paths of arrays of pointers to pages of plain memory, by the high byte of an address; they change where
              translated code is left, and nowhere else.
    stack:    how the stack is used; None where nobody says. page_maps are then one for reading and one for writing.
    longest:  bytes of the longest instruction. byte_cycles: T-cycles that fetching a byte of an opcode takes.
    calls:    what Python may have done to a context from outside, by name.
    stop_for_room: what `clock.stop` is set to where a code cache is full.
    refused:  what a call for steps returns where it did nothing.
    quick:    by outlined function of the context and integers: another, which full stencils call in its place. It does
              the same and returns 0 or more (what the function returns, if anything), or does nothing and returns -1.
              Of registers it may read and change `left` alone; whatever it does to the maps changes the generation.
    """

    name: str
    context: type[Any]
    pinned: tuple[str, ...]
    cached: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    page_maps: tuple[str, ...] = ()
    stack: Stack | None = None
    opcodes: int
    handlers: int
    pc: str
    left: str
    longest: int
    byte_cycles: int
    calls: Mapping[str, Call] = MappingProxyType({})
    quick: Mapping[Any, Any] = MappingProxyType({})
    engine_path: str
    host_path: str
    stop_for_room: int = 63
    refused: int = -1

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
    def begin(context: Any, limit: int) -> None:
        """Get ready to run to time `limit`."""
        raise NotImplementedError

    @staticmethod
    def begin_steps(context: Any, count: int, way: int) -> int:
        """Get ready to run `count` of the guest's own steps (frames, say) in one of four ways, and say 1; 0 where that
        takes more than a call of generated code. A guest may have none."""
        raise NotImplementedError

    @staticmethod
    def end_steps(context: Any) -> int:
        """How that ended: 0 where nothing but the steps did, else as `outcome` says."""
        raise NotImplementedError

    @classmethod
    def has_steps(cls) -> bool:
        """Whether the guest has steps of its own."""
        return cls.begin_steps is not Guest.begin_steps

    @staticmethod
    def outcome(context: Any) -> int:
        """How a run ended: the time << 8 | the console's own bits 7 and 6 | `clock.stop`."""
        raise NotImplementedError

    @staticmethod
    def hook(context: Any) -> Any:
        """Call the hook at PC, if there is one. Returns 1 where the engine must return before the instruction."""
        raise NotImplementedError

    # ------------------------------------------------------------------ for translated code

    @staticmethod
    def describe(index: int) -> Any:
        """What the layer must know of handler `index` (`stencils.Described`); None where it is never translated."""
        raise NotImplementedError

    @staticmethod
    def opcode_length(index: int) -> int:
        """Bytes of the opcode of handler `index`: PC stands behind these when the handler begins."""
        raise NotImplementedError

    @staticmethod
    def translated(context: Any, index: int, operand: Any) -> None:
        """Run the instruction of handler `index`, PC behind it, its operand decoded, and spend the time of fetching
        it."""
        raise NotImplementedError

    @staticmethod
    @comptime
    def has_full(index: int) -> bool:
        """Whether handler `index` has two stencils: a short one of `plain`, and a full one that also calls what is in
        `quick`."""
        return False

    @staticmethod
    @comptime
    def writes(index: int) -> bool:
        """Whether handler `index`, which has a full stencil, may change what stands where, by writing somewhere."""
        return True

    @staticmethod
    def plain(context: Any, index: int, operand: Any) -> None:
        """As `translated`, written for the commonest case: any other may be left to an outlined function."""
        raise NotImplementedError

    @staticmethod
    def full(context: Any, index: int, operand: Any) -> None:
        """As `translated`, written for the other cases."""
        raise NotImplementedError

    @staticmethod
    @typed
    def meets(code: Any) -> Any:
        """Whether the instruction at a pointer, which has a full stencil, surely needs that one."""
        return 0

    @staticmethod
    def decode(code: Any) -> Any:
        """The handler of the instruction at a pointer to guest code."""
        raise NotImplementedError

    @staticmethod
    def pc_of(context: Any) -> Any:
        """PC."""
        raise NotImplementedError

    @staticmethod
    def interprets(context: Any) -> Any:
        """At a boundary: whether only the interpreter can run the instruction that comes next."""
        raise NotImplementedError

    @staticmethod
    def unfetch(context: Any) -> None:
        """Undo `fetch_from`."""
        raise NotImplementedError

    @staticmethod
    def code_memory(context: Any, address: Any) -> Any:
        """A pointer to the 256 bytes around `address` if code there may be translated, else null.

        One place in memory must always come with the same address.
        """
        raise NotImplementedError

    @staticmethod
    def window(address: Any) -> Any:
        """A number that two addresses share if one of them being mapped somewhere means that the other is mapped next
        to it."""
        raise NotImplementedError

    @staticmethod
    def hooked(context: Any, address: Any) -> Any:
        """Whether a hook stands at `address`."""
        raise NotImplementedError

    @staticmethod
    def watch(context: Any, first: Any, last: Any) -> None:
        """Translated code was made from these addresses of writable memory: note when they are written, and ask for a
        boundary."""
        raise NotImplementedError

    @staticmethod
    def unwatch(console: Any) -> None:
        """No code was made from writable memory any more: Python's side of `watch`."""
        raise NotImplementedError

    @staticmethod
    def written_lines(context: Any) -> Any:
        """How many watched lines of 16 bytes were written since `forget_written`."""
        raise NotImplementedError

    @staticmethod
    def written_line(context: Any, index: Any) -> Any:
        """An address in the line."""
        raise NotImplementedError

    @staticmethod
    def forget_written(context: Any) -> None:
        """Begin again with no written lines."""
        raise NotImplementedError

    @staticmethod
    def is_slow(code: bytes) -> bool:
        """Whether the instruction in these bytes surely meets more than plain memory: regions end before it."""
        return False

    @staticmethod
    @typed
    def waitable(context: Any, code: Any) -> Any:
        """Whether `quiet` may know anything of what the instruction at a pointer reads."""
        return 0

    @staticmethod
    @typed
    def quiet(context: Any, code: Any, since: Any) -> Any:
        """For how much time from now the instruction at a pointer, with the registers as they are, goes on reading what
        it read at most `since` ago; 0 where that is not known."""
        return 0

    @staticmethod
    def rom_of(console: Any) -> tuple[int, int]:
        """Address and size of the console's ROM. Consoles with the same ROM have it at the same address."""
        raise NotImplementedError

    @staticmethod
    def own_memory(console: Any) -> tuple[int, int]:
        """Address and size of the console's memory that code may be translated from, besides the ROM."""
        return ctypes.addressof(console), ctypes.sizeof(console)

    @staticmethod
    def code_bytes(console: Any) -> bytes | None:
        """The watched lines of the console's own memory as they are now; None where they are too many to look at."""
        return None

    @staticmethod
    def has_hooks(console: Any) -> bool:
        """Whether any hook is set; such a console does not share translated code."""
        raise NotImplementedError
