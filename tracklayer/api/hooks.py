"""Hooks and regions: Python that is called when the guest does something.

For:       setting and removing hooks on instructions, reads, writes, interrupts and frames; regions of Python.
Not for:   finding out, while the guest runs, whether one is to be called (machine/gb/hooks.py); symbols (symbols.py).
Invariant: nothing here is in the guest's memory or state: with and without hooks a program runs the same.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tracklayer.machine.gb import build, hooks
from tracklayer.machine.gb.host import ANY_BANK

from .registers import FrozenRegisters, Registers, fitting
from .symbols import Symbol, Symbols

if TYPE_CHECKING:
    from .engines import Engine
    from .gameboy import GameBoy

INTERRUPTS = ("vblank", "stat", "timer", "serial", "joypad")
EXECUTE, READ, WRITE, INTERRUPT, FRAME = "execute", "read", "write", "interrupt", "frame"


class Access(NamedTuple):
    """What the processor read or wrote."""

    kind: str
    """"read" or "write"."""
    address: int
    width: int
    """Bytes: always 1 here, for this processor does 16-bit accesses in two."""
    old: int
    """What stood there before."""
    new: int
    """What was read, or written, whatever has become of it there."""


HookFunction = Callable[["GameBoy"], object]
AccessFunction = Callable[["GameBoy", Access], object]
InterruptFunction = Callable[["GameBoy", str], object]


class Placed:
    """Something in a console, until `remove()`, or the end of a `with`."""

    __slots__ = ("_console",)

    def __init__(self, console: Hooked) -> None:
        self._console: Hooked | None = console

    @property
    def active(self) -> bool:
        """Whether it is still in place."""
        return self._console is not None

    def remove(self) -> None:
        """Take it away; in a hook's own function too. Removing it again does nothing."""
        console, self._console = self._console, None
        if console is not None:
            self._drop(console)

    def _drop(self, console: Hooked) -> None:
        """Have the console forget it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Hook(Placed):
    """A function that is called when something happens, until `remove()`.

    kind: "execute", "read", "write", "interrupt" or "frame". address, last: the addresses, where it is about such.
    bank: the bank that must stand there; None: any. name: the interrupt's; None: any.
    """

    __slots__ = ("address", "bank", "function", "kind", "last", "name")

    def __init__(
        self,
        console: Hooked,
        kind: str,
        function: Callable[..., object],
        address: int = 0,
        last: int | None = None,
        bank: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(console)
        self.kind = kind
        self.function = function
        self.address = address
        self.last = address if last is None else last
        self.bank = bank
        self.name = name

    def _drop(self, console: Hooked) -> None:
        console._drop_hook(self)

    def __repr__(self) -> str:
        if self.kind in (INTERRUPT, FRAME):
            place = f"on {self.name or 'any interrupt'}" if self.kind == INTERRUPT else "on frames"
        else:
            place = f"at {self.address:04X}" + (f"-{self.last:04X}" if self.last != self.address else "")
            place += "" if self.bank is None else f" in bank {self.bank:02X}"
            place = place if self.kind == EXECUTE else f"on {self.kind}s {place}"
        return f"<Hook {place}: {self.function!r}{'' if self.active else ', removed'}>"


class Region(Placed):
    """Addresses that Python functions answer for, until `remove()`; then what stands there otherwise does."""

    __slots__ = ("_remove", "first", "last")

    def __init__(self, console: Hooked, first: int, last: int, remove: Callable[[], None]) -> None:
        super().__init__(console)
        self._remove = remove
        self.first = first
        self.last = last

    def _drop(self, console: Hooked) -> None:
        console._drop_region(self)

    def __repr__(self) -> str:
        return f"<Region {self.first:04X}-{self.last:04X}{'' if self.active else ', removed'}>"


def calling(console: Hooked, method: str) -> Callable[..., int]:
    """A function that calls a method of a console, and does not keep the console alive."""
    reference = weakref.ref(console)

    def call(*arguments: int) -> int:
        console = reference()
        return 0 if console is None else int(getattr(console, method)(*arguments) or 0)

    return call


class Hooked:
    """The part of a `GameBoy` that is about hooks and regions. docs/hooks.md tells the rules."""

    _gb: Any
    _engine: Engine
    _hooks: dict[int, tuple[Hook, ...]]
    """Those on instructions, by address."""
    _listeners: dict[str, tuple[Hook, ...]]
    """The others, by kind."""
    _registers: Registers
    _frozen: FrozenRegisters
    _in_access: int
    _symbols: Symbols | None

    def _here(self) -> Any:
        raise NotImplementedError

    def _changed(self) -> None:
        raise NotImplementedError

    def _retire(self, *things: object) -> None:
        raise NotImplementedError

    # ------------------------------------------------------------------ setting

    def hook(self, address: int | str, function: HookFunction | None = None, *, bank: int | None = None) -> Any:
        """Have `function(gb)` called before the instruction at an address executes, whatever engine runs the guest.

        address: a number, or the name of a symbol (`symbols`), whose bank then counts too.
        bank:    call only while this bank stands there; None: whichever does.

        The function may read and write registers and memory (a new PC says what comes next), raise (the exception
        comes out of `tick` at once, before the instruction; the console can go on afterwards, with that instruction),
        run another console, and remove hooks. Several hooks at one address are called in the order in which they came.

        Returns: a `Hook`, whose `remove()` takes it away. Without a function it is a decorator that does the same.
        Errors:  KeyError where there is no such symbol.
        """
        first, bank = self._place(address, bank)
        if function is None:
            return lambda decorated: self.hook(first, decorated, bank=bank)
        self._check(function)
        hook = Hook(self, EXECUTE, function, first, bank=bank)
        self._hooks[first] = (*self._hooks.get(first, ()), hook)
        build.set_hook(self._here(), first, True)
        self._place_hooks()
        return hook

    def on_read(
        self,
        first: int | str,
        last: int | None = None,
        function: AccessFunction | None = None,
        *,
        bank: int | None = None,
    ) -> Any:
        """Have `function(gb, access)` called after the processor read data at addresses `first` to `last`.

        Fetching instructions is not reading, nor is what DMA does. The function may read everything, change memory,
        raise, and remove hooks; registers it can only read, for the instruction is not over.
        Returns: a `Hook`. Without a function it is a decorator.
        """
        return self._on_access(READ, first, last, function, bank)

    def on_write(
        self,
        first: int | str,
        last: int | None = None,
        function: AccessFunction | None = None,
        *,
        bank: int | None = None,
    ) -> Any:
        """The same after the processor wrote: `access.old` stood there, `access.new` is what it wrote."""
        return self._on_access(WRITE, first, last, function, bank)

    def on_interrupt(self, name: str | None = None, function: InterruptFunction | None = None) -> Any:
        """Have `function(gb, name)` called before the first instruction of an interrupt's handler.

        name: "vblank", "stat", "timer", "serial", "joypad"; None: any.
        The function may do what one before an instruction may.
        Returns: a `Hook`. Without a function it is a decorator.
        """
        if name is not None and name not in INTERRUPTS:
            raise ValueError(f"there is no interrupt {name!r}; there are {', '.join(INTERRUPTS)}")
        if function is None:
            return lambda decorated: self.on_interrupt(name, decorated)
        self._check(function)
        return self._listen(Hook(self, INTERRUPT, function, name=name))

    def on_frame(self, function: HookFunction | None = None) -> Any:
        """Have `function(gb)` called between two instructions whenever the PPU has finished a frame.

        That is as VBlank begins; while the LCD is off, after a frame's time. The picture is in `screen` then. The
        function may do what one before an instruction may.
        Returns: a `Hook`. Without a function it is a decorator.
        """
        if function is None:
            return lambda decorated: self.on_frame(decorated)
        self._check(function)
        return self._listen(Hook(self, FRAME, function))

    @staticmethod
    def _check(function: object) -> None:
        if not callable(function):
            raise TypeError(f"{function!r} cannot be called")

    def _place(self, address: int | str, bank: int | None) -> tuple[int, int | None]:
        if isinstance(address, str):
            symbol: Symbol = self.symbols[address]
            return symbol.address, symbol.bank if bank is None else bank
        if bank is not None:
            fitting("a bank", bank, ANY_BANK - 1)
        return fitting("a hook's address", address, 0xFFFF), bank

    def _on_access(
        self, kind: str, first: int | str, last: int | None, function: AccessFunction | None, bank: int | None
    ) -> Any:
        if function is None:
            return lambda decorated: self._on_access(kind, first, last, decorated, bank)
        self._check(function)
        start, bank = self._place(first, bank)
        end = start if last is None else fitting("a hook's last address", last, 0xFFFF)
        if end < start:
            raise ValueError(f"a hook's addresses run upwards, these are {start:04X}-{end:04X}")
        return self._listen(Hook(self, kind, function, start, end, bank))

    def _listen(self, hook: Hook) -> Hook:
        self._here()
        self._listeners[hook.kind] = (*self._listeners[hook.kind], hook)
        self._place_listeners(hook.kind)
        return hook

    # ------------------------------------------------------------------ telling machine and engine

    def _place_hooks(self) -> None:
        """The hooks on instructions, as they are now."""
        places: list[tuple[int, int, HookFunction | None]] = []
        for address, here in self._hooks.items():
            banks = {ANY_BANK if hook.bank is None else hook.bank for hook in here}
            if ANY_BANK in banks:
                banks = {ANY_BANK}
            for bank in sorted(banks):
                mine = [hook.function for hook in here if bank in (ANY_BANK, hook.bank)]
                alone = mine[0] if len(mine) == len(here) == 1 or (bank != ANY_BANK and len(mine) == 1) else None
                places.append((address, bank, alone))
        build.set_quick_hooks(self._gb, places)
        # Only while there are hooks: a console that its own machine holds has to wait for the garbage collector.
        self._gb.host.face = self if self._hooks else None
        self._changed()

    def _place_listeners(self, kind: str) -> None:
        """The other hooks of a kind, as they are now."""
        gb, listeners = self._gb, self._listeners
        if kind == INTERRUPT:
            gb.host.interrupt_hooked = bool(listeners[INTERRUPT])
            gb.host.on_interrupt = calling(self, "_on_interrupt") if listeners[INTERRUPT] else None
        elif kind == FRAME:
            gb.host.frames_told = gb.ppu.frames
            gb.host.frame_hooked = bool(listeners[FRAME])
            gb.host.on_frame = calling(self, "_on_frame") if listeners[FRAME] else None
        else:
            reads = [(hook.address, hook.last) for hook in listeners[READ]]
            writes = [(hook.address, hook.last) for hook in listeners[WRITE]]
            before = gb.__dict__["kept"].get("access_bits")
            if before is not None:
                self._retire(before)
            build.set_access_hooks(gb, reads, writes)
            gb.host.on_access = calling(self, "_on_accessed") if reads or writes else None

    def _drop_hook(self, hook: Hook) -> None:
        gb = self._here()
        self._retire(hook)
        if hook.kind != EXECUTE:
            kept = tuple(other for other in self._listeners[hook.kind] if other is not hook)
            self._listeners[hook.kind] = kept
            self._retire_callables()
            self._place_listeners(hook.kind)
            return
        left = tuple(other for other in self._hooks[hook.address] if other is not hook)
        if left:
            self._hooks[hook.address] = left
        else:
            del self._hooks[hook.address]
            build.set_hook(gb, hook.address, False)
        self._place_hooks()

    def _retire_callables(self) -> None:
        """What the machine holds may be running just now: it is kept until the run is over."""
        host = self._gb.host
        self._retire(host.on_access, host.on_interrupt, host.on_frame)

    # ------------------------------------------------------------------ called by the machine

    def _on_hook(self, address: int) -> int:
        """Call the hooks of an address. Returns 1 where another instruction than the one there comes next."""
        gb = self._gb
        cpu, host, now = gb.cpu, gb.host, gb.clock.now()
        if host.passed_time == now and host.passed_address == address:
            return 0  # it raised here before; this time its instruction executes
        here = self._hooks.get(address, ())
        called = [hook for hook in here if hook.bank is None or hook.bank == hooks.bank_at(gb, address)]
        if not called:
            return 0
        left = 1
        try:
            for hook in called:
                if hook.active:
                    hook.function(self)
            left = int(cpu.pc != address)
        except BaseException:
            host.passed_time, host.passed_address = now, address
            raise
        finally:
            # Who leaves here comes back by a boundary, and this instruction's has been: the one after EI counts once.
            if left and self._engine.name == "reference" and cpu.ei_delay == 1:
                cpu.ei_delay = 2
        return left

    def _on_accessed(self, address: int, old: int, new: int, is_write: int) -> None:
        kind = WRITE if is_write else READ
        gb = self._gb
        access = Access(kind, address, 1, old, new)
        self._in_access += 1
        try:
            for hook in self._listeners[kind]:
                here = hook.active and hook.address <= address <= hook.last
                if here and (hook.bank is None or hook.bank == hooks.bank_at(gb, address)):
                    hook.function(self, access)
        finally:
            self._in_access -= 1

    def _on_interrupt(self, bit: int) -> None:
        name = INTERRUPTS[bit]
        for hook in self._listeners[INTERRUPT]:
            if hook.active and hook.name in (None, name):
                hook.function(self, name)

    def _on_frame(self) -> None:
        for hook in self._listeners[FRAME]:
            if hook.active:
                hook.function(self)

    # ------------------------------------------------------------------ symbols

    @property
    def symbols(self) -> Symbols:
        """The program's symbols: those of the `.sym` file beside the ROM, unless others were assigned.

        Assign `Symbols`, or the path of a file. Errors: SymbolError.
        """
        if self._symbols is None:
            self._symbols = self._symbols_beside()
        return self._symbols

    @symbols.setter
    def symbols(self, source: Symbols | str | os.PathLike[str]) -> None:
        self._symbols = source if isinstance(source, Symbols) else Symbols.read(source)

    def _symbols_beside(self) -> Symbols:
        raise NotImplementedError

    # ------------------------------------------------------------------ regions

    def map_region(
        self, first: int, last: int, read: Callable[[int], int], write: Callable[[int, int], object]
    ) -> Region:
        """Let Python answer for the guest addresses `first` to `last`, within 0000-FF7F.

        `read(address)` gives a byte (an int, of which the low 8 bits count), `write(address, value)` takes one. Both
        are called in the middle of an instruction; if one raises, the instruction ends, with FF read, and the exception
        comes out of `tick`. Where regions overlap the older one answers.

        Returns: a `Region`, whose `remove()` gives the addresses back.
        Errors:  ValueError for other addresses, and where there are 16 regions already.
        """
        if not callable(read) or not callable(write):
            raise TypeError("a region takes two callables: read(address) and write(address, value)")
        gb = self._here()
        region = Region(self, first, last, build.add_region(gb, first, last, read, write))
        self._changed()
        return region

    def _drop_region(self, region: Region) -> None:
        self._here()
        self._retire(region)  # its functions may be running just now
        region._remove()
        self._changed()
