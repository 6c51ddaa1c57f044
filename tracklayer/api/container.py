"""Saved states as files: a container with a version, a checksum, the names of all fields, and whose state it is.

For:     packing a console's state into bytes that a later Tracklayer still reads, and unpacking such bytes safely.
Not for: taking states from consoles and giving them back (gameboy.py); other programs' formats (bess.py).

    offset  size
         0     8  MAGIC
         8     4  version of the container
        12     4  size of the description
        16     4  size of the body
        20    32  SHA-256 of the 20 bytes before and of all that follows, to the end of the body
        52     -  the description, JSON: kind, system, model, ROM, cycles, and the sections' names and sizes
         -     -  the body, deflated: the sections one behind the other

Numbers are little-endian. What follows the body is somebody else's: BESS puts its blocks there.

The section `layout` names the fields of the section `state`: a JSON list of [path, type, count, offset]. A state of
another version is taken over field by field: what a field's name says counts, not where it lay. Fields that the older
version had not are what they are in a console that was just switched on.
"""

from __future__ import annotations

import functools
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tracklayer.lang import ArrayType, is_struct, layout, size_of, type_name

from .errors import StateError

MAGIC = b"TLSTATE\n"
VERSION = 1
HEAD = struct.Struct("<8sIII32s")
LARGEST = 1 << 26
"""No body inflates to more bytes than this."""

RENAMED: dict[str, str] = {}
"""Fields that have another name now: the old path, the new one."""


class Contents(NamedTuple):
    """What a container holds."""

    description: dict[str, Any]
    sections: dict[str, bytes]
    size: int
    """Bytes of the container; what follows is not ours."""


def pack(description: Mapping[str, Any], sections: Mapping[str, bytes]) -> bytes:
    """A container. The same description and sections give the same bytes."""
    full = {**description, "sections": [[name, len(data)] for name, data in sections.items()]}
    text = json.dumps(full, separators=(",", ":"), sort_keys=True).encode()
    body = zlib.compress(b"".join(sections.values()), 6)
    start = HEAD.pack(MAGIC, VERSION, len(text), len(body), b"")[:20]
    digest = hashlib.sha256(start + text + body).digest()
    return start + digest + text + body


def is_container(data: bytes) -> bool:
    """Whether these bytes begin as a container does."""
    return data[: len(MAGIC)] == MAGIC


def unpack(data: bytes) -> Contents:
    """What a container holds. Errors: StateError, with what is wrong."""
    if not is_container(data):
        raise StateError("these bytes are no Tracklayer state")
    if len(data) < HEAD.size:
        raise StateError(f"the state ends in its first {HEAD.size} bytes: it is truncated")
    _, version, text_size, body_size, digest = HEAD.unpack_from(data)
    if version > VERSION:
        raise StateError(f"the state has version {version} of the format; this Tracklayer reads up to {VERSION}")
    end = HEAD.size + text_size + body_size
    if len(data) < end:
        raise StateError(f"the state has {len(data):,} bytes of {end:,}: it is truncated")
    rest = data[HEAD.size : end]
    if hashlib.sha256(data[:20] + rest).digest() != digest:
        raise StateError("the state is damaged: its checksum is wrong")
    try:
        description = json.loads(rest[:text_size])
        inflater = zlib.decompressobj()
        body = inflater.decompress(rest[text_size:], LARGEST)
        if not inflater.eof:
            raise ValueError("the body does not end")
        sections, at = {}, 0
        for name, size in description["sections"]:
            sections[name] = body[at : at + size]
            at += size
        if at != len(body):
            raise ValueError("the sections do not fill the body")
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise StateError(f"the state cannot be read: {error}") from None
    return Contents(description, sections, end)


# ---------------------------------------------------------------------- fields


class Entry(NamedTuple):
    """A number, or an array of numbers, of a struct."""

    path: str
    type: str
    length: int
    offset: int

    @property
    def bits(self) -> int:
        return int(self.type[1:])

    @property
    def width(self) -> int:
        """Bytes of one number."""
        return 1 if self.bits <= 8 else self.bits // 8


TYPES = frozenset(f"u{bits}" for bits in (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64)) | {"i8", "i16", "i32", "i64"}


def entries(kind: Any, path: str, offset: int) -> Iterator[Entry]:
    """The numbers of a type, arrays of them in one piece."""
    if is_struct(kind):
        for field in layout(kind).values():
            yield from entries(field.type, f"{path}.{field.name}" if path else field.name, offset + field.offset)
    elif isinstance(kind, ArrayType):
        if is_struct(kind.element) or isinstance(kind.element, ArrayType):
            for index in range(kind.length):
                yield from entries(kind.element, f"{path}[{index}]", offset + index * size_of(kind.element))
        else:
            yield Entry(path, type_name(kind.element), kind.length, offset)
    else:
        yield Entry(path, type_name(kind), 1, offset)


@functools.cache
def state_entries(root: Any) -> tuple[Entry, ...]:
    """The fields of a root struct behind its host, offsets counted from there."""
    start = next(field.offset for field in layout(root).values() if field.name != "host")
    found: list[Entry] = []
    for field in layout(root).values():
        if field.name != "host":
            found += entries(field.type, field.name, field.offset - start)
    return tuple(found)


@functools.cache
def layout_section(root: Any) -> bytes:
    """The section that names the fields of a root struct."""
    return json.dumps([list(entry) for entry in state_entries(root)], separators=(",", ":")).encode()


def take_over(root: Any, sections: Mapping[str, bytes], fresh: bytes) -> bytes:
    """The state of a container as struct `root` has it now. `fresh` is one that was just switched on.

    Errors: StateError where the state does not hold what its layout says, or a number is impossible.
    """
    old, text = sections.get("state"), sections.get("layout")
    if old is None or text is None:
        raise StateError("the state lacks a section")
    if text == layout_section(root):
        if len(old) != len(fresh):
            raise StateError(f"the state has {len(old)} bytes of fields, not {len(fresh)}")
        taken = old
    else:
        taken = _by_name(root, _read_layout(text, len(old)), old, fresh)
    _check(root, taken)
    return taken


def _read_layout(text: bytes, size: int) -> dict[str, Entry]:
    try:
        found = {}
        for row in json.loads(text):
            entry = Entry(*row)
            if entry.type not in TYPES or entry.length < 0 or entry.offset < 0:
                raise ValueError(f"{entry.path} is {entry.length} of {entry.type}")
            if entry.offset + entry.length * entry.width > size:
                raise ValueError(f"{entry.path} lies outside")
            found[RENAMED.get(entry.path, entry.path)] = entry
        return found
    except (ValueError, TypeError) as error:
        raise StateError(f"the state's table of fields cannot be read: {error}") from None


def _by_name(root: Any, old: Mapping[str, Entry], data: bytes, fresh: bytes) -> bytes:
    """The fields that both know, in their new places, as wide as they are now."""
    made = bytearray(fresh)
    for entry in state_entries(root):
        was = old.get(entry.path)
        if was is None:
            continue
        signed = was.type[0] == "i"
        mask = (1 << 8 * entry.width) - 1
        count = min(entry.length, was.length)
        if (was.width, was.type[0]) == (entry.width, entry.type[0]):
            size = count * entry.width
            made[entry.offset : entry.offset + size] = data[was.offset : was.offset + size]
            continue
        for index in range(count):
            at = was.offset + index * was.width
            number = int.from_bytes(data[at : at + was.width], "little", signed=signed)
            at = entry.offset + index * entry.width
            made[at : at + entry.width] = (number & mask).to_bytes(entry.width, "little")
    return bytes(made)


def _check(root: Any, state: bytes) -> None:
    """Numbers of one to seven bits are kept in a byte each: what does not fit them was never stored by a console."""
    for entry in state_entries(root):
        if entry.bits < 8 and state[entry.offset] >> entry.bits:
            raise StateError(f"the state has {state[entry.offset]} in {entry.path}, which takes {entry.type}")
