"""T1, the translator: code caches, and the engine that runs consoles on translated code.

For:       `TranslatedEngine(guest)`: one for a process and kind of guest; it shares a cache among consoles with the
           same ROM.
Not for:   finding and laying blocks (layer.py).
Invariant: a cache lives as long as any console that is attached to it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import weakref
from typing import Any

from ..lang import Ptr, ZeroedMemory, pointer_at, u8, u16, u32, u64
from ..native.memory import CodeMemoryFull, code_memory
from .engine import Interpreter, Progress, address, code_pointer
from .guest import Guest
from .hot import NAMES, OFF, Hot, Settings
from .structs import LEAVES, QUICK, Cache, StencilTable, Translator
from .tables import Tables

CHUNK = 1 << 18
"""Bytes of code memory that a shared cache asks for at a time."""
OWN_CHUNK = 3 << 14
"""Bytes for a console's own cache, asked for when its first block is laid; when they are used up it begins anew."""


def _allocate(size: int) -> Any:
    """Code memory. Consoles refer to themselves, so what dead ones had may wait for the garbage collector."""
    try:
        return code_memory().allocate(size)
    except CodeMemoryFull:
        gc.collect()
        return code_memory().allocate(size)


WAYS = ("make", "short", "rough", "hop")
"""What a block's slot may hold instead of its code."""


class CodeCache:
    """Translated code made from one piece of memory. Not thread-safe by itself: the layer takes its lock."""

    def __init__(self, base: int, size: int, capacity: int, chunk: int, own: bool) -> None:
        # The layer looks at any byte of a page that begins within the memory.
        self.tables = ZeroedMemory(4 * (size + 256) + (8 + 8 + 2 + 2) * capacity)
        self.chunk = chunk
        self.blocks: list[Any] = []
        self.hot: Hot | None = None
        cache = self.cache = Cache()
        cache.base, cache.size = base, size
        at = self.tables.address
        cache.slots, at = pointer_at(at, u64), at + 8 * capacity
        cache.cells, at = pointer_at(at, u64), at + 8 * capacity
        cache.first, at = pointer_at(at, u16), at + 2 * capacity
        cache.last, at = pointer_at(at, u16), at + 2 * capacity
        cache.places = pointer_at(at, u32)
        cache.count, cache.capacity = 1, capacity
        cache.own = own

    def grow(self) -> None:
        """Have room for more blocks: more code memory; a console's own cache begins anew.

        Other consoles may run, and lay blocks, meanwhile: the layer takes the spare memory under its own lock.
        """
        cache = self.cache
        cache.wants_room = 0
        if cache.spare:
            return
        if not self.blocks or not cache.own:
            self.blocks.append(_allocate(self.chunk))
        else:
            self.forget()
            cache.next = cache.limit = 0
        cache.delta = code_memory().writable_delta & (1 << 64) - 1
        cache.spare_size = self.chunk
        cache.spare = self.blocks[-1].address

    def holds(self, code: int) -> bool:
        """Whether an address lies in this cache's blocks, and not in the engine's own code."""
        return any(block.address <= code < block.address + block.size for block in self.blocks)

    def forget(self) -> None:
        """Forget every block. Nobody may be inside: whoever calls this owns all consoles of the cache, and none
        runs."""
        self.tables.clear()
        self.cache.count = 1


class TranslatedEngine(Interpreter):
    """T0 and T1 for one guest."""

    name = "translated"
    with_stencils = True

    def __init__(
        self, guest: type[Guest], progress: Progress | None = None, *, regions: Settings | None = None
    ) -> None:
        """regions: when hot code is compiled as a whole (`hot.OFF`: never); by default as TRACKLAYER_REGIONS says."""
        if not code_memory().writable_delta:
            raise OSError(
                "blocks are laid while others run, which needs code memory that is mapped twice, and this system "
                "maps it once; the interpreter needs no such memory"
            )
        super().__init__(guest, progress)
        assert self.stencils is not None
        self.tables = Tables(self.stencils)
        redirect = self.code["redispatch"]
        self.redirects = (ctypes.c_uint64 * guest.opcodes)(*[redirect] * guest.opcodes)
        handlers = list(self.table)[: guest.opcodes]
        for index in range(guest.opcodes):
            described = guest.describe(index)
            if described is not None and described.flow == LEAVES:
                handlers[index] = self.code["straight_end"]
        self.straight = (ctypes.c_uint64 * guest.opcodes)(*handlers)
        self._shared: weakref.WeakValueDictionary[int, CodeCache] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()
        if regions is None:
            regions = OFF if os.environ.get("TRACKLAYER_REGIONS") == "off" else Settings()
        self.regions = regions
        if regions in NAMES:
            self.name = NAMES[regions]

    def attach(self, console: Any, on_hook: Any = None) -> None:
        super().attach(console, on_hook)
        engine = self.guest.engine(console)
        for name, code in (("lookup", "lookup"), ("short", "near"), ("again", "cold"), ("wait", "wait")):
            setattr(engine, name, code_pointer(self.code[code]))
        engine.boundary = code_pointer(self.code["layer.boundary"])
        engine.unmapped = code_pointer(self.code["lookup"])
        self._wire(console)

    def changed(self, console: Any) -> object:
        """Translated code is made anew. What was in use stays until the run ends: this may be called from a hook."""
        before: object = console.translation
        self._wire(console)
        return before

    def code_bytes(self, console: Any) -> bytes | None:
        return self.guest.code_bytes(console) if console.translation[2].cache.count > 1 else None

    def restored(self, console: Any, code_before: bytes | None = None) -> None:
        """Code made from the console's own memory is forgotten if other things stand there now. That of ROM stays."""
        super().restored(console)
        own = console.translation[2]
        if own.cache.count > 1 and (code_before is None or self.guest.code_bytes(console) != code_before):
            own.grow()
            self.guest.unwatch(console)

    def _wire(self, console: Any) -> None:
        engine = self.guest.engine(console)
        state = Translator()
        state.table = pointer_at(address(self.tables.table), StencilTable)
        shared = self._cache_for(console)
        own = CodeCache(*self.guest.own_memory(console), 4096, OWN_CHUNK, True)
        state.shared = pointer_at(address(shared.cache), Cache)
        state.own = pointer_at(address(own.cache), Cache)
        state.redirects = ctypes.addressof(self.redirects)
        engine.dispatch = pointer_at(state.redirects, Ptr[u8])
        state.straight = ctypes.addressof(self.straight)
        state.make, state.short, state.rough, state.hop = (self.code[name] for name in WAYS)
        for number in range(len(set(self.guest.quick.values()))):
            state.fill[QUICK + number] = self.code[f"quick.{number}"]
        state.step = self.regions.step
        state.sampled_at = self.guest.clock(console).instructions
        engine.translator = pointer_at(address(state), u8)
        engine.changed()
        console.translation = (state, shared, own)

    def _cache_for(self, console: Any) -> CodeCache:
        """The cache of the console's ROM: shared, unless the console has hooks."""
        base, size = self.guest.rom_of(console)
        if self.guest.has_hooks(console):
            return CodeCache(base, size, min(size, 1 << 17) + 1, CHUNK, False)
        with self._lock:
            found = self._shared.get(base)
            if found is None:
                found = self._shared[base] = CodeCache(base, size, min(size, 1 << 17) + 1, CHUNK, False)
                found.hot = Hot(self.guest, found, self.regions)
            return found

    def run(self, console: Any) -> None:
        """Run until `clock.stop` is set. The GIL is given up meanwhile."""
        clock = self.guest.clock(console)
        while True:
            super().run(console)
            if clock.stop != self.guest.stop_for_room:
                return
            clock.stop = 0
            self.make_room(console)

    def make_room(self, console: Any) -> None:
        state, shared, own = console.translation
        engine = self.guest.engine(console)
        if engine.tend:
            engine.tend = 0
            if shared.hot:
                shared.hot.tend(state)
            else:
                state.step = OFF.step
        with self._lock:
            for cache in (shared, own):
                if cache.cache.wants_room:
                    cache.grow()
        engine.changed()
