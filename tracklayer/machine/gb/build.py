"""Putting consoles together, and what Python does to them from outside.

For:     making a console from a cartridge; save states; hooks; Python regions; reading pictures and sent bytes.
Not for: anything that runs while the guest does.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from tracklayer.lang import PtrType, ZeroedMemory, layout, size_of, storage

from . import mappers, maps
from .boot import boot, power_up
from .cartridge import Cartridge
from .console import GB
from .host import COLOUR_WORDS, PICTURE_WORDS, QUICK_HOOKS, REGIONS, GbHost, Page
from .model import DMG, Model, fitted
from .serial import LOG_SIZE

HOST_SIZE = layout(GB)["cpu"].offset
"""A console's bytes before this belong to the host, those behind it are guest state."""

SIZE = -(-size_of(GB) // 64) * 64


def console_size(cartridge: Cartridge) -> int:
    """Bytes that a console with this cartridge takes: the struct, and behind it the cartridge's RAM."""
    return SIZE + cartridge.storage_size


def new_console(
    cartridge: Cartridge, model: Model = DMG, memory: Any = None, offset: int = 0, boot_rom: bytes | None = None
) -> GB:
    """A console with this cartridge in it, about to fetch the first opcode at 0100; with a boot ROM, that at 0000.

    memory: a writable buffer, zeroed, to place it in at `offset`, so that many consoles can lie side by side; else it
            makes its own.
    """
    gb: Any = _place(cartridge, memory, offset)
    if boot_rom is None:
        boot(gb, cartridge, fitted(model, cartridge.color))
    else:
        place_boot_rom(gb, boot_rom)
        power_up(gb, model)
    mappers.power_on(gb, cartridge.kind)
    gb.rebuild()
    return gb  # type: ignore[no-any-return]


def place_boot_rom(gb: Any, image: bytes) -> None:
    """Give a console its boot ROM, of whole pages."""
    buffer = (ctypes.c_uint8 * len(image)).from_buffer_copy(image)
    gb.__dict__["boot_image"] = buffer
    gb.host.boot_rom = _pages(ctypes.addressof(buffer))
    gb.host.boot_pages = len(image) // 256


def copy_console(gb: Any) -> GB:
    """Another console with the same cartridge in the same state, pictures too. Nothing is plugged into it."""
    other: Any = _place(gb.__dict__["cartridge"], None, 0)
    first, count = ctypes.addressof(gb), SIZE - HOST_SIZE + gb.__dict__["cartridge"].storage_size
    ctypes.memmove(ctypes.addressof(other) + HOST_SIZE, first + HOST_SIZE, count)
    set_pictures(other, pictures(gb))
    mappers.plug_in(other, gb.__dict__["cartridge"].kind)
    if "boot_image" in gb.__dict__:
        place_boot_rom(other, bytes(gb.__dict__["boot_image"]))
    other.host.stale = 1
    return other  # type: ignore[no-any-return]


def _place(cartridge: Cartridge, memory: Any, offset: int) -> Any:
    """A console in some memory, with the cartridge in it but without power."""
    if memory is None:
        memory, offset = ZeroedMemory(console_size(cartridge)).buffer, 0
    gb: Any = GB.from_buffer(memory, offset)  # type: ignore[attr-defined]
    gb.__dict__["memory"] = memory
    gb.__dict__["offset"] = offset
    gb.__dict__["cartridge"] = cartridge
    gb.__dict__["kept"] = {}
    host: GbHost = gb.host
    host.rom = _pages(ctypes.addressof(cartridge.buffer))
    host.rom_banks = len(cartridge.rom) // 0x4000
    host.mapper = cartridge.mapper
    host.render = 1
    if cartridge.storage_size:
        host.ram = _pages(ctypes.addressof(gb) + SIZE)
        host.ram_pages = cartridge.ram_size // 256
    return gb


def _pages(address: int) -> Any:
    """A pointer to memory at an address, for a `Ptr[Page]` field."""
    return ctypes.cast(address, storage(PtrType(Page)))


def save(gb: Any) -> bytes:
    """The console's whole state."""
    return ctypes.string_at(ctypes.addressof(gb) + HOST_SIZE, size_of(GB) - HOST_SIZE) + bytes(cart_ram(gb).raw)


def restore(gb: Any, state: bytes) -> None:
    """Bring back a state that `save` gave for the same cartridge.

    Errors: ValueError where the length is not right.
    """
    ram = cart_ram(gb)
    split = size_of(GB) - HOST_SIZE
    if len(state) != split + len(ram):
        raise ValueError(f"a state of this console has {split + len(ram)} bytes, this has {len(state)}")
    ctypes.memmove(ctypes.addressof(gb) + HOST_SIZE, state[:split], split)
    ctypes.memmove(ram, state[split:], len(ram))
    gb.host.stale = 1


def pictures(gb: Any) -> bytes:
    """The picture that is shown and the one that may be being drawn, which is which, and whether it is."""
    picture = _drawn(gb)
    which = gb.host.shown | gb.host.drawing << 1
    return ctypes.string_at(ctypes.addressof(picture), ctypes.sizeof(picture)) + bytes((which,))


def _drawn(gb: Any) -> Any:
    """Where the console's pictures lie."""
    return gb.host.colours if gb.color.hardware else gb.host.picture


def set_pictures(gb: Any, data: bytes) -> None:
    """Bring back what `pictures` gave. Errors: ValueError where the length is not right."""
    picture = _drawn(gb)
    size = ctypes.sizeof(picture)
    if len(data) != size + 1 or data[size] > 3:
        raise ValueError(f"pictures have {size + 1} bytes, these are {len(data)}")
    ctypes.memmove(ctypes.addressof(picture), data, size)
    ctypes.memset(ctypes.addressof(gb.host.drawn.registers), 0, ctypes.sizeof(gb.host.drawn.registers))
    gb.host.shown = data[size] & 1
    gb.host.drawing = data[size] >> 1


def cart_ram(gb: Any) -> Any:
    """All that the cartridge keeps, RAM or EEPROM and then flash, as a ctypes array; shares memory with the console.

    Writing it is fine between runs.
    """
    return (ctypes.c_char * gb.__dict__["cartridge"].storage_size).from_address(ctypes.addressof(gb) + SIZE)


def picture(gb: Any) -> Any:
    """The last complete picture: 144 * 160 shades 0 (lightest) to 3; shares memory with the console."""
    start = ctypes.addressof(gb.host.picture) + 8 * PICTURE_WORDS * gb.host.shown
    return (ctypes.c_uint8 * (8 * PICTURE_WORDS)).from_address(start)


def colour_picture(gb: Any) -> Any:
    """The last complete picture of a Game Boy Color: 144 * 160 colours, BGR555; shares memory with the console."""
    start = ctypes.addressof(gb.host.colours) + 8 * COLOUR_WORDS * gb.host.shown
    return (ctypes.c_uint16 * (4 * COLOUR_WORDS)).from_address(start)


def take_sent(gb: Any) -> bytes:
    """The bytes that the guest sent on the serial port since the last call; only the last if there were very many."""
    sent = gb.host.sent
    count = min(sent.count, LOG_SIZE)
    first = sent.count - count
    data = bytes(sent.data[index % LOG_SIZE] for index in range(first, first + count))
    sent.count = 0
    return data


def set_hook(gb: Any, address: int, on: bool) -> None:
    """Have engines ask before the instruction at a guest address. What they do then is theirs."""
    bits = gb.host.hook_bits
    if on:
        bits[address >> 3] |= 1 << (address & 7)
    else:
        bits[address >> 3] &= ~(1 << (address & 7)) & 0xFF
    page = address >> 8
    hooked = any(bits[page * 32 + index] for index in range(32))
    flags = gb.host.page_flags[page] & ~maps.HOOKED
    gb.host.page_flags[page] = flags | (maps.HOOKED if hooked else 0)
    maps.remap(gb, page, 1)


def set_quick_hooks(gb: Any, places: Iterable[tuple[int, int, Any]]) -> None:
    """The places that have hooks, as many as there is room for: address, bank or ANY_BANK, and the function that is
    alone there or None. Whoever calls this keeps the functions alive."""
    host = gb.host
    for index in range(256):
        host.quick_first[index] = 0
    for index, (address, bank, function) in enumerate(itertools.islice(places, QUICK_HOOKS)):
        slot = host.quick[index]
        slot.function, slot.address, slot.bank = function, address, bank
        slot.next = host.quick_first[address & 0xFF]
        host.quick_first[address & 0xFF] = index + 1


def set_access_hooks(gb: Any, reads: Iterable[tuple[int, int]], writes: Iterable[tuple[int, int]]) -> None:
    """The ranges of addresses, first and last, at which reads and writes are told of."""
    host = gb.host
    bits = (ctypes.c_uint8 * 0x4000)()
    flags = [host.page_flags[page] & ~(maps.READ_HOOK | maps.WRITE_HOOK) for page in range(256)]
    for ranges, start, flag in ((reads, 0, maps.READ_HOOK), (writes, 0x2000, maps.WRITE_HOOK)):
        for first, last in ranges:
            for address in range(first, last + 1):
                bits[start + (address >> 3)] |= 1 << (address & 7)
            for page in range(first >> 8, (last >> 8) + 1):
                flags[page] |= flag
    changed = [page for page in range(256) if host.page_flags[page] != flags[page]]
    host.hram_hooked = any(bits[0x1FF0:0x2000]) or any(bits[0x3FF0:0x4000])
    host.access_bits = ctypes.cast(bits, type(host.access_bits))
    gb.__dict__["kept"]["access_bits"] = bits
    for page in changed:
        host.page_flags[page] = flags[page]
        maps.remap(gb, page, 1)


def add_region(
    gb: Any, first: int, last: int, read: Callable[[int], int], write: Callable[[int, int], object]
) -> Callable[[], None]:
    """Let Python answer for guest addresses `first` to `last`: `read(address)` gives, `write(address, value)` takes.

    Where regions overlap the older one answers.
    Returns: a function that removes the region.
    Errors:  ValueError for a range outside 0000-FF7F (HRAM and IE stay quick), or where there are 16 regions already.
    """
    if not 0 <= first <= last < 0xFF80:
        raise ValueError(f"a region lies within 0000-FF7F, this is {first:04X}-{last:04X}")

    def write_int(address: int, value: int) -> int:
        write(address, value)
        return 0

    row = (first, last, read, write_int)
    rows: list[tuple[int, int, Any, Any]] = gb.__dict__["kept"].setdefault("regions", [])
    if len(rows) >= REGIONS:
        raise ValueError(f"a console has at most {REGIONS} regions")
    rows.append(row)
    _place_regions(gb, rows)

    def remove() -> None:
        if row in rows:
            rows.remove(row)
            _place_regions(gb, rows)

    return remove


def _place_regions(gb: Any, rows: list[tuple[int, int, Any, Any]]) -> None:
    host = gb.host
    covered = {page for first, last, _, _ in rows for page in range(first >> 8, (last >> 8) + 1)}
    for page in range(256):
        flags = host.page_flags[page] & ~maps.COVERED
        host.page_flags[page] = flags | (maps.COVERED if page in covered else 0)
    for index, (first, last, read, write) in enumerate(rows):
        region = host.regions[index]
        region.first, region.last, region.read, region.write = first, last, read, write
    host.region_count = len(rows)
    gb.rebuild()
