"""The 8-bit arithmetic of the SM83, all inputs, on every engine of generated code.

A loop in a cartridge applies an operation to every operand and pushes AF; what it pushed is held against definitions
that share nothing with the processor's. Plain Python is held against others in tests/cpu/sm83/test_alu.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest
from numpy.typing import NDArray

from tracklayer import GameBoy

from .images import cartridge

Numbers = NDArray[numpy.int64]
Result = tuple[Numbers, Numbers | int, Numbers | int, Numbers | int, Numbers | int]
"""A, and Z, N, H, C."""

SIZE = 32
"""Bytes between two loops in the cartridge."""
TOP = 0x2000
"""Where in work RAM the results end: the stack begins there."""
TURN = 60_000
"""More T-cycles than a loop takes."""


def add(a: Numbers, n: Numbers, carry: Numbers | int) -> Result:
    total = a + n + carry
    return total % 256, total % 256 == 0, 0, a % 16 + n % 16 + carry > 15, total > 255


def subtract(a: Numbers, n: Numbers, carry: Numbers | int) -> Result:
    total = a - n - carry
    return total % 256, total % 256 == 0, 1, a % 16 - n % 16 - carry < 0, total < 0


def logic(result: Numbers, half: int) -> Result:
    return result, result == 0, 0, half, 0


def shifted(result: Numbers, carry: Numbers) -> Result:
    return result % 256, result % 256 == 0, 0, 0, carry


def plain(result: Result) -> Result:
    """As RLCA and its like do: Z is 0."""
    return result[0], 0, *result[2:]


def daa(a: Numbers, f: int) -> Result:
    n, h, c = f >> 6 & 1, f >> 5 & 1, f >> 4 & 1
    if n:
        made = a - 6 * h - 0x60 * c
        return made % 256, made % 256 == 0, 1, 0, c
    high = (a > 0x99) | (c == 1)
    made = a + 6 * ((a % 16 > 9) | (h == 1)) + 0x60 * high
    return made % 256, made % 256 == 0, 0, 0, high


BINARY: dict[int, Callable[[Numbers, Numbers, int], Result]] = {
    0x80: lambda a, n, f: add(a, n, 0),
    0x88: lambda a, n, f: add(a, n, f >> 4 & 1),
    0x90: lambda a, n, f: subtract(a, n, 0),
    0x98: lambda a, n, f: subtract(a, n, f >> 4 & 1),
    0xA0: lambda a, n, f: logic(a & n, 1),
    0xA8: lambda a, n, f: logic(a ^ n, 0),
    0xB0: lambda a, n, f: logic(a | n, 0),
    0xB8: lambda a, n, f: (a + 0 * n, *subtract(a, n, 0)[1:]),
}
"""OP A,B by opcode."""

UNARY: dict[bytes, Callable[[Numbers, int], Result]] = {
    b"\x3c": lambda a, f: (*add(a, a * 0 + 1, 0)[:4], f >> 4 & 1),
    b"\x3d": lambda a, f: (*subtract(a, a * 0 + 1, 0)[:4], f >> 4 & 1),
    b"\x27": daa,
    b"\x2f": lambda a, f: (255 - a, f >> 7 & 1, 1, 1, f >> 4 & 1),
    b"\x37": lambda a, f: (a, f >> 7 & 1, 0, 0, 1),
    b"\x3f": lambda a, f: (a, f >> 7 & 1, 0, 0, 1 - (f >> 4 & 1)),
    b"\x07": lambda a, f: plain(shifted(a * 2 + a // 128, a // 128)),
    b"\x0f": lambda a, f: plain(shifted(a // 2 + a % 2 * 128, a % 2)),
    b"\x17": lambda a, f: plain(shifted(a * 2 + (f >> 4 & 1), a // 128)),
    b"\x1f": lambda a, f: plain(shifted(a // 2 + (f >> 4 & 1) * 128, a % 2)),
    b"\xcb\x07": lambda a, f: shifted(a * 2 + a // 128, a // 128),
    b"\xcb\x0f": lambda a, f: shifted(a // 2 + a % 2 * 128, a % 2),
    b"\xcb\x17": lambda a, f: shifted(a * 2 + (f >> 4 & 1), a // 128),
    b"\xcb\x1f": lambda a, f: shifted(a // 2 + (f >> 4 & 1) * 128, a % 2),
    b"\xcb\x27": lambda a, f: shifted(a * 2, a // 128),
    b"\xcb\x2f": lambda a, f: shifted(a // 2 + a // 128 * 128, a % 2),
    b"\xcb\x37": lambda a, f: shifted(a % 16 * 16 + a // 16, a * 0),
    b"\xcb\x3f": lambda a, f: shifted(a // 2, a % 2),
}
for bit in range(8):
    UNARY[bytes((0xCB, 0x47 | bit << 3))] = lambda a, f, bit=bit: (a, a >> bit & 1 == 0, 0, 1, f >> 4 & 1)  # type: ignore
    UNARY[bytes((0xCB, 0x87 | bit << 3))] = lambda a, f, bit=bit: (a & ~(1 << bit), *(f >> i & 1 for i in (7, 6, 5, 4)))  # type: ignore
    UNARY[bytes((0xCB, 0xC7 | bit << 3))] = lambda a, f, bit=bit: (a | 1 << bit, *(f >> i & 1 for i in (7, 6, 5, 4)))  # type: ignore


def loop(operation: bytes) -> bytes:
    """Apply an operation 256 times, to B = 0 to 255; then LD B,B, and the same with the next D."""
    body = b"\xd5\xf1" + operation + b"\xf5\x04"  # PUSH DE; POP AF; the operation; PUSH AF; INC B
    code = b"\x31\x00\xe0\x06\x00" + body + bytes((0x20, -len(body) - 2 & 0xFF))  # LD SP,E000; LD B,0; ...; JR NZ
    code += b"\x40\x14"  # LD B,B; INC D
    return (code + bytes((0x18, -len(code) - 2 & 0xFF))).ljust(SIZE, b"\0")


def pushed(gb: GameBoy) -> bytes:
    """What one turn of the loop pushed, the last first: F and A for B = 255 to 0."""
    assert gb.run(cycles=TURN, breakpoint=True)
    return bytes(gb.memory[0xC000 + TOP - 512 : 0xC000 + TOP])


def check(turns: list[bytes], expected: Result, what: object) -> None:
    """Hold what some turns pushed against what they should have; a row for each turn, a column for each B."""
    found = numpy.frombuffer(b"".join(turns), numpy.uint8).reshape(len(turns), 256, 2)[:, ::-1]
    wanted, z, n, h, c = expected
    zero = numpy.zeros((len(turns), 256), numpy.int64)
    flags = (zero + z) << 7 | (zero + n) << 6 | (zero + h) << 5 | (zero + c) << 4
    wrong = numpy.argwhere((found[:, :, 1] != wanted) | (found[:, :, 0] != flags))
    assert not len(wrong), (what, wrong[:4])


def console(operations: list[bytes], engine: str) -> GameBoy:
    program = b"".join(loop(operation) for operation in operations)
    return GameBoy(cartridge(program), engine=engine)


@pytest.mark.parametrize("compiled", ["interpreter", "translated"])
def test_every_sum_difference_and_combination(compiled: str) -> None:
    gb = console([bytes((opcode,)) for opcode in BINARY], compiled)
    every = numpy.arange(256)
    for index, (opcode, expected) in enumerate(BINARY.items()):
        for f in range(0, 256, 16):
            gb.registers.pc, gb.registers.d, gb.registers.e = 0x150 + index * SIZE, 0, f
            check([pushed(gb) for _ in range(256)], expected(every[:, None], every[None, :], f), (opcode, f))


@pytest.mark.parametrize("compiled", ["interpreter", "translated"])
def test_every_operation_on_one_number(compiled: str) -> None:
    gb = console([b"\x78" + operation for operation in UNARY], compiled)  # LD A,B before it
    every = numpy.arange(256)
    for index, (operation, expected) in enumerate(UNARY.items()):
        for f in range(0, 256, 16):
            gb.registers.pc, gb.registers.d, gb.registers.e = 0x150 + index * SIZE, 0, f
            check([pushed(gb)], expected(every[None, :], f), (operation, f))
