"""The bare processor against vectors, on every engine."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tracklayer import RomError
from tracklayer.api.vectors import run_vectors


def case(
    name: str, code: str, before: dict[str, int], after: dict[str, int], cycles: list[list[Any]]
) -> dict[str, Any]:
    initial = {"pc": 0x4000, "sp": 0xD000, "ime": 0, "ie": 0, **dict.fromkeys("abcdefhl", 0)}
    ram = [[0x4000 + index, byte] for index, byte in enumerate(bytes.fromhex(code))]
    ram += [[0xC000, before.pop("memory")]] if "memory" in before else []
    final = {**initial, **before, "pc": 0x4000 + len(bytes.fromhex(code)), **after}
    written = [[0xC000, final.pop("memory")]] if "memory" in final else []
    del final["ie"]
    return {
        "op": code[:5] if code.startswith("cb") else code[:2],
        "name": name,
        "initial": {**initial, **before, "ram": ram},
        "final": {**final, "ram": written},
        "cycles": cycles,
    }


def inc_b(b: int) -> dict[str, Any]:
    return case("inc b", "04", {"b": 0x0F}, {"b": b, "f": 0x20}, [[0x4000, 0x04, "r-m"]])


def load(value: int = 0x99, address: int = 0xC000) -> dict[str, Any]:
    return case(
        "ld (nn),a",
        "ea 00 c0",
        {"a": 0x99, "memory": 0x11},
        {"memory": value},
        [[0x4000, 0xEA, "r-m"], [0x4001, 0x00, "r-m"], [0x4002, 0xC0, "r-m"], [address, 0x99, "-wm"]],
    )


def push() -> dict[str, Any]:
    cycles = [[0x4000, 0xC5, "r-m"], [0, 0, "---"], [0xCFFF, 0x12, "-wm"], [0xCFFE, 0x34, "-wm"]]
    return case("push bc", "c5", {"b": 0x12, "c": 0x34}, {"sp": 0xCFFE}, cycles)


def set_bit() -> dict[str, Any]:
    cycles = [[0x4000, 0xCB, "r-m"], [0x4001, 0xFE, "r-m"], [0xC000, 0x11, "r-m"], [0xC000, 0x91, "-wm"]]
    return case("set 7,(hl)", "cb fe", {"h": 0xC0, "l": 0, "memory": 0x11}, {"memory": 0x91}, cycles)


def packed(*cases: dict[str, Any]) -> bytes:
    return gzip.compress("\n".join(json.dumps(one) for one in cases).encode())


def test_right_cases_pass(engine: str) -> None:
    assert run_vectors(packed(inc_b(0x10), load(), push(), set_bit(), inc_b(0x10)), engine) == (5, [])


def test_wrong_cases_are_told_apart(engine: str) -> None:
    too_short = push()
    too_short["cycles"] = too_short["cycles"][:-1]
    count, wrong = run_vectors(packed(inc_b(0x11), load(value=0x98), load(address=0xC001), too_short), engine)
    assert count == 4
    assert [text.split(":")[0] for text in wrong] == ["inc b", "ld (nn),a", "ld (nn),a", "push bc"]
    assert "b=10, expected 11" in wrong[0]
    assert "[C000]=99, expected 98" in wrong[1]
    assert "write C000=99" in wrong[2]
    assert "bus cycles" in wrong[3]


NONSENSE = {
    "empty": b"",
    "text": b"text",
    "incomplete": gzip.compress(b"{}"),
    "number": gzip.compress(b"\n1"),
    "cut": packed(inc_b(1))[:-9],
}


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
def test_what_is_no_file_of_vectors_is_refused(data: bytes) -> None:
    with pytest.raises(RomError, match="not a file of processor vectors"):
        run_vectors(data, "reference")
