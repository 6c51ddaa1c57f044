"""Placing: fragments of code and data, and what becomes of them at an address.

For:       `Fragment` and `Fixup`, the pieces that source text leaves behind; `assembled`, their bytes for an address:
           the length of each jump, distances and addresses filled in, alignments, the listing, the frame table.
Not for:   instructions and their encodings (instructions.py, encoding.py).
Invariant: fragments never change, so the same ones can be placed again elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracklayer.native import unwind
from tracklayer.native.operands import Label
from tracklayer.native.source import Assembled, AssemblyError, Line, Listing, Origin


@dataclass(frozen=True, slots=True)
class Fixup:
    """A field that waits for a place: `width` bytes at `at` of the fragment.

    If `relative`, what is stored is the distance from the end of the fragment; else the address itself, or if
    `start` is given the distance from there."""

    at: int
    width: int
    target: Label | str | int
    addend: int
    relative: bool
    start: Label | str | None = None


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch of bytes with a place in the code: an instruction, data, a label (no bytes), an alignment.

    near:  what to use instead where the distance does not fit the short jump in `data`
    align: the multiple of which the next address shall be
    frame: what changes for the unwinder at this place"""

    data: bytes
    text: tuple[object, ...]
    origin: Origin
    fixup: Fixup | None = None
    near: Fragment | None = None
    align: int = 0
    is_code: bool = False
    frame: unwind.Change | None = None


def assembled(fragments: list[Fragment], address: int) -> Assembled:
    """The bytes of fragments for an address.
    Errors: AssemblyError at the line of the label or distance that is at fault."""
    places, chosen = _place(fragments, address)
    labels = {str(f.text[1]): place for f, place in zip(fragments, places, strict=True) if f.text[0] == "label"}
    out = bytearray()
    lines: list[Line] = []
    changes = []
    for fragment, place, one in zip(fragments, places, chosen, strict=True):
        start = place - address
        if fragment.align:
            out += _padding(start - len(out), _is_code_before(lines))
        if fragment.frame is not None:
            changes.append((start, fragment.frame))
        if fragment.align or (not one.data and fragment.text[0] != "label"):
            continue
        raw = _patched(one, place, labels)
        out += raw
        if not str(fragment.text[1] if len(fragment.text) > 1 else "").startswith("."):
            text = _text(fragment, raw)
            lines.append(Line(place, raw, text, *fragment.origin))
    table = unwind.frame_table(changes, len(out))
    shown = {name: where for name, where in labels.items() if not name.startswith(".")}
    return Assembled(address, bytes(out), shown, Listing(tuple(lines)), table)


def _is_code_before(lines: list[Line]) -> bool:
    return bool(lines) and not lines[-1].text.startswith(".data")


def _place(fragments: list[Fragment], address: int) -> tuple[list[int], list[Fragment]]:
    """Choose short or near for each jump: all short at first, and those that do not reach grow, until all reach."""
    chosen = list(fragments)
    while True:
        places, labels, at = [], {}, address
        for fragment, one in zip(fragments, chosen, strict=True):
            if fragment.align:
                at = (at + fragment.align - 1) & -fragment.align
            places.append(at)
            if fragment.text[0] == "label":
                labels[str(fragment.text[1])] = at
            at += len(one.data)
        grown = False
        for i, one in enumerate(chosen):
            if one.near is None or one.fixup is None:
                continue
            target = _target(one.fixup.target, labels, one.origin)
            if not -128 <= target - places[i] - len(one.data) < 128:
                chosen[i] = one.near
                grown = True
        if not grown:
            return places, chosen


def _target(target: Label | str | int, labels: Mapping[str, int], origin: Origin) -> int:
    if isinstance(target, int):
        return target
    place = labels.get(str(target))
    if place is None:
        raise AssemblyError(f"the label {str(target)!r} is used and never placed", origin)
    return place


def _patched(one: Fragment, place: int, labels: Mapping[str, int]) -> bytes:
    fixup = one.fixup
    if fixup is None:
        return one.data
    value = _target(fixup.target, labels, one.origin) + fixup.addend
    if fixup.relative:
        value -= place + len(one.data)
    elif fixup.start is not None:
        value -= _target(fixup.start, labels, one.origin)
    bits = 8 * fixup.width
    low, high = -(1 << (bits - 1)), 1 << (bits - 1 if fixup.relative or fixup.start is not None else bits)
    if not low <= value < high:
        message = f"the distance to {fixup.target} is {value}, which does not fit {bits} bits"
        raise AssemblyError(message, one.origin)
    field_bytes = (value & ((1 << bits) - 1)).to_bytes(fixup.width, "little")
    return one.data[: fixup.at] + field_bytes + one.data[fixup.at + fixup.width :]


# Multi-byte no-operations. Source: Intel SDM, "NOP", Recommended Multi-Byte Sequence of NOP Instruction.
_NOPS = tuple(
    bytes.fromhex(text)
    for text in (
        "",
        "90",
        "6690",
        "0f1f00",
        "0f1f4000",
        "0f1f440000",
        "660f1f440000",
        "0f1f8000000000",
        "0f1f840000000000",
        "660f1f840000000000",
    )
)


def _padding(size: int, is_code: bool) -> bytes:
    if not is_code:
        return bytes(size)
    return _NOPS[9] * (size // 9) + _NOPS[size % 9]


def _text(fragment: Fragment, raw: bytes) -> str:
    match fragment.text[0]:
        case "label":
            return f"{fragment.text[1]}:"
        case "data":
            return f".data {len(raw)}"
        case mnemonic:
            operands: Any = fragment.text[1]
            options: Any = fragment.text[2]
            shown = ", ".join(map(str, operands))
            words = "".join(f" {{{key}{'' if value is True else f' {value}'}}}" for key, value in options.items())
            return f"{mnemonic} {shown}".strip() + words
