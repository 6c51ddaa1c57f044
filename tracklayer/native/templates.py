"""Templates: the code of adapters, assembled once for each shape of signature, and copied for each function.

For:       `TEMPLATES`, those that were made or learned so far; `Template.copy`, one more function's adapter.
Not for:   the code itself (adapters.py), what is made of it (functions.py).
Invariant: a template runs at any address and in any process of the same Python once its slots are filled in.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracklayer.native import debug, runtime, unwind
from tracklayer.native.capi import python_api
from tracklayer.native.forks import lock_over_forks
from tracklayer.native.memory import CodeMemory

if TYPE_CHECKING:
    from tracklayer.native.adapters import Adapter

SMALL_INTS = (-5, 256)
"""CPython keeps these integers ready, one after the other. Source: Include/internal/pycore_global_objects.h."""


@functools.cache
def small_ints() -> int:
    """The address of the integer 0 among those that are kept ready; 0 if they do not lie as they should."""
    low, high = SMALL_INTS
    zero = id(0)
    return zero if all(id(value) == zero + 32 * value for value in range(low, high + 1)) else 0


def _common(name: str) -> int:
    """What a slot holds that is the same for all adapters of this process."""
    kind, _, what = name.partition(" ")
    match kind:
        case "api":
            return python_api()[what]
        case "small":
            return small_ints() + 32 * int(what.rpartition(" ")[2])
    return runtime.stack_slow() if what == "slow" else runtime.stack_cell()


SHORT = 16
"""A body of at most so many bytes, that does nothing with the stack, is copied into its adapter instead of called."""


def _nothing(size: int) -> bytes:
    """No-operations. Source: Intel SDM, "NOP"."""
    most = bytes.fromhex("0f1f840000000000")
    return most * (size // 8) + b"\x66" * max(0, size % 8 - 1) + b"\x90" * (size % 8 > 0)


@dataclass(frozen=True, slots=True)
class Template:
    """An adapter's code for address 0, which runs anywhere and in any process once its slots (offset by name) are
    filled in. `structs` names the slots of the structures among its parameters."""

    data: bytes
    unwinding: bytes
    slots: dict[str, int]
    entries: dict[str, int]
    structs: list[str]

    def copy(
        self, what: str, memory: CodeMemory, values: dict[str, int], entries: Iterable[str], short: bytes = b""
    ) -> tuple[tuple[object, ...], list[int]]:
        """A copy with its slots filled in: what keeps it, and the addresses of entries. `what` is its name in tools.

        short: a body that is copied along"""
        data = bytearray(self.data)
        table = (len(data) + 15) & -16
        data += bytes(table - len(data)) + self.unwinding
        for name, offset in self.slots.items():
            value = values[name] if name in values else _common(name)
            data[offset : offset + 8] = value.to_bytes(8, "little")
        block = memory.allocate(len(data), 64)
        near = self.entries.get("near body")
        if near is not None:
            distance = values["body"] - (block.address + near + 5)
            data[near + 1 : near + 5] = distance.to_bytes(4, "little", signed=True)
        if "short body" in self.entries:
            start = self.entries["short body"]
            data[start : start + SHORT] = short + _nothing(SHORT - len(short))
        block.write(0, data)
        keep: tuple[object, ...] = (block, unwind.register(block.address + table, block))
        if debug.enabled():
            frames = (block.address + table, self.unwinding)
            keep += (debug.announce(what, block.address, len(self.data), (), frames),)
        return keep, [block.address + self.entries[name] for name in entries]

    def pack(self) -> bytes:
        """As bytes, to be kept for another process of the same Python on the same machine."""
        return json.dumps(
            [self.data.hex(), self.unwinding.hex(), self.slots, self.entries, self.structs], separators=(",", ":")
        ).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> Template:
        """What `pack` made. Errors: ValueError."""
        data, unwinding, slots, entries, structs = json.loads(packed)
        return cls(bytes.fromhex(data), bytes.fromhex(unwinding), slots, entries, structs)


class Templates:
    """The adapters that were made so far, by what they depend on. Knowledge only: a template never changes."""

    def __init__(self) -> None:
        self._lock = lock_over_forks()
        self._known: dict[tuple[object, ...], Template] = {}

    def get(self, key: tuple[object, ...], make: Callable[[], Adapter]) -> Template:
        found = self._known.get(key)
        if found is None:
            with self._lock:
                adapter = make()
                adapter.finish()
                made = adapter.assemble(0)
                slots = {name: made.labels[f"slot {name}"] for name in adapter.filled}
                entries = {name: place for name, place in made.labels.items() if name in _ENTRIES}
                found = Template(bytes(made.data), bytes(made.unwinding), slots, entries, adapter.structs)
                self._known[key] = found
        return found

    def learn(self, key: tuple[object, ...], packed: bytes) -> None:
        """Have a template that another process packed."""
        if key not in self._known:
            self._known[key] = Template.unpack(packed)


_ENTRIES = ("entry", "near body", "short body", "checked", "unchecked")
"""The labels of templates that copies are asked for."""
TEMPLATES = Templates()
