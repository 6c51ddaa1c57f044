"""Random guest programs, the same on all engines: `python -m tests.random_programs [--count 10000] [--seed N]`.

A program modifies itself in work RAM, HRAM and video RAM, writes anything to any register, switches banks of ROM, RAM
and work RAM, starts DMA over its own code, changes its speed, halts and stops, has its stack anywhere, and is
interrupted at any cycle. The translated engine is held against the interpreter, and for some programs' beginnings
against plain Python. `--engines regions` does it with programs that are random loops, hot enough for regions. Every
difference is printed with the program's seed; the exit status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from random import Random

from tests.api.images import signed
from tracklayer import GameBoy
from tracklayer.api import CYCLES_PER_FRAME
from tracklayer.api.lockstep import Report, lockstep

BANK = 0x4000
#        type, banks, RAM size code: none, MBC1, MBC3, MBC5, MBC5 with rumble
KINDS = ((0x00, 2, 0), (0x03, 4, 2), (0x10, 4, 3), (0x1B, 8, 3), (0x1E, 4, 3))
LOCKING = (0xD3, 0xDB, 0xDD, 0xE3, 0xE4, 0xEB, 0xEC, 0xED, 0xF4, 0xFC, 0xFD)
"""Opcodes that stop the processor for good."""
MADE = 1_500
"""Bytes of a bank that are made; they fill it again and again."""
PLAIN = tuple({*range(0x01, 0xC0), 0xCB} - {0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x76})
"""Opcodes of instructions that go on behind themselves."""
INSTRUCTIONS = 6_000
LENGTHS = (40, 400, 4_000, 30_000)
GIVE_UP = 4 * CYCLES_PER_FRAME
REFERENCE_INSTRUCTIONS = 400
REFERENCE_EVERY = 25
REGIONS_INSTRUCTIONS = 160_000
"""Regions come after the first 100,000."""
START, SUBROUTINE, RECURSIVE = 0x150, 0x800, 0x840
ENGINES = ("translated", "reference")

REGISTERS = (
    *range(0x10), *range(0x10, 0x40), *range(0x40, 0x4C), 0x4D, 0x4F, *range(0x51, 0x57), *range(0x68, 0x6C),
    0x70, 0xFF,
)  # fmt: skip
QUICK = (0x04, 0x05, 0x06, 0x07, 0x0F, 0x40, 0x41, 0x44, 0x45, 0x46, 0x4D, 0x55, 0x70, 0xFF)
"""Registers that make things happen."""
PLACES = (0xC000, 0xC0F0, 0xCFF8, 0xD000, 0xDFF0, 0xFF80, 0xFFF0, 0x8000, 0x9FF8, 0xA000, 0xE000, 0xFE00, 0xFE98)


class Writer:
    """Random code, piece by piece."""

    def __init__(self, source: Random) -> None:
        self.source = source

    def byte(self) -> int:
        """Any but those that, executed, end the program."""
        found = self.source.randrange(256)
        return 0 if found in LOCKING or found in (0x10, 0x76) else found

    def address(self) -> int:
        """Anywhere, mostly where things happen."""
        source = self.source
        return (
            source.choice(
                (
                    source.choice(PLACES) + source.randrange(16),
                    source.randrange(0xC000, 0xE000),
                    0xFF00 + source.randrange(256),
                    0xFF00 + source.choice(REGISTERS),
                    source.randrange(0x10000),
                    source.randrange(0x2000, 0x6000),
                )
            )
            & 0xFFFF
        )

    def place(self) -> int:
        """Where code is, or may be."""
        source = self.source
        return source.choice(
            (source.randrange(0x150, 0x8000), source.randrange(0x150, 0x8000), source.choice(PLACES), self.address())
        )

    def word(self, value: int) -> bytes:
        return bytes((value & 0xFF, value >> 8))

    def plain(self) -> bytes:
        """Any instruction that goes on behind itself, but HALT and STOP."""
        source = self.source
        opcode = source.choice(PLAIN)
        if opcode & 0xCF == 0x01:
            return bytes((opcode,)) + self.word(self.address())
        size = 2 if opcode & 0xC7 == 0x06 or opcode == 0xCB else 3 if opcode == 0x08 else 1
        return bytes((opcode, *(self.byte() for _ in range(size - 1))))

    def piece(self) -> bytes:
        """A few instructions that belong together."""
        source = self.source
        low = bytes((self.byte(),))
        match source.randrange(24):
            case 0 | 1 | 2 | 3 | 4 | 5:
                return b"".join(self.plain() for _ in range(source.randrange(1, 6)))
            case 6 | 7:  # LD A,n; LDH [register],A
                return b"\x3e" + low + bytes((0xE0, source.choice(REGISTERS)))
            case 8:
                return b"\x3e" + low + bytes((0xE0, source.choice(QUICK)))
            case 9:  # LDH A,[register], and one that depends on it
                return bytes((0xF0, source.choice(REGISTERS), source.choice((0x80, 0xA8, 0x47, 0x22, 0xB7))))
            case 10:  # LD A,n; LD [address],A: banks, code, registers
                return b"\x3e" + low + b"\xea" + self.word(self.address())
            case 11:  # LD HL,place; LD [HL],opcode; sometimes a call there
                place = source.choice(PLACES) + source.randrange(12)
                code = b"\x21" + self.word(place) + b"\x36" + self.plain()[:1]
                return code + (b"\xcd" + self.word(place - source.randrange(4)) if source.random() < 0.3 else b"")
            case 12:  # a loop that copies code from here to a place, and a call of it
                place, count = source.choice(PLACES), source.randrange(4, 40)
                copy = b"\x11" + self.word(source.randrange(0x150, 0x7F00)) + b"\x21" + self.word(place)
                copy += bytes((0x06, count, 0x1A, 0x22, 0x13, 0x05, 0x20, 0xFA))
                return copy + b"\x3e\xc9\x77" + b"\xcd" + self.word(place)
            case 13:  # interrupts on: EI, IE, and a timer that is quick
                rate, enabled = source.choice((5, 5, 6, 7)), source.randrange(32)
                return bytes((0x3E, rate, 0xE0, 0x07, 0x3E, enabled, 0xE0, 0xFF, 0xFB))
            case 14:
                return bytes((source.choice((0xFB, 0xFB, 0xF3, 0x76, 0x00)),))
            case 15:  # HALT, woken by something that is sure to come
                return bytes.fromhex("3e05 e007 3e04 e0ff") + bytes((source.choice((0xFB, 0xF3)), 0x76))
            case 16:  # STOP, or a change of speed
                return bytes((0x3E, source.randrange(2), 0xE0, 0x4D, 0x10, 0x00)) if source.random() < 0.2 else b"\x00"
            case 17:  # the stack is elsewhere
                return b"\x31" + self.word(self.address()) + bytes((source.choice((0xC5, 0xF5, 0xE5, 0xC1, 0xF1)),))
            case 18:
                return bytes((source.choice((0xC4, 0xCC, 0xCD, 0xD4, 0xDC)),)) + self.word(self.place())
            case 19:
                return bytes((source.choice((0xC2, 0xCA, 0xD2, 0xDA, 0xC3)),)) + self.word(self.place())
            case 20:  # JR there and back, RET, RST
                return bytes((source.choice((0x18, 0x20, 0x28, 0x30, 0x38)), self.byte()))
            case 21:  # wait: LDH A,[DIV, TIMA, or LY]; AND n; JR NZ or Z, back
                register = 0x04 if source.random() < 0.9 else source.choice((0x05, 0x44))  # which may never end
                way = 0x20 if register == 0x04 else source.choice((0x20, 0x28))
                return bytes((0xF0, register, 0xE6, 1 << source.randrange(8), way, 0xFA))
            case 22:  # pass the time, or fill: LD B,n; LD [HL+],A or NOP; DEC B; JR NZ
                return b"\x06" + low + bytes((source.choice((0x22, 0x00, 0x1C)), 0x05, 0x20, 0xFC))
            case _:
                return bytes((source.choice((0xC0, 0xC8, 0xD0, 0xD8, 0xC9, 0xD9, 0xE9, 0xC7, 0xCF, 0xD7, 0xDF, 0xE7)),))

    def straight(self, start: int, size: int) -> bytes:
        """A part of a loop at an address: pieces that fall through, or skip some of those that follow, or call."""
        source = self.source
        code = bytearray()
        while len(code) < size:
            match source.randrange(12):
                case 0 | 1:
                    code += self.piece_that_stays()
                case 2:
                    skipped = b"".join(self.plain() for _ in range(source.randrange(1, 5)))
                    code += bytes((source.choice((0x18, 0x20, 0x28, 0x30, 0x38)), len(skipped))) + skipped
                case 3:
                    skipped = self.plain() + self.piece_that_stays()
                    opcode = source.choice((0xC2, 0xCA, 0xD2, 0xDA))
                    code += bytes((opcode,)) + self.word(start + len(code) + 3 + len(skipped)) + skipped
                case 4:
                    routine = source.choice((SUBROUTINE, RECURSIVE))
                    code += bytes((source.choice((0xC4, 0xCC, 0xCD, 0xD4, 0xDC)),)) + self.word(routine)
                case 5:  # counts down in a loop of its own
                    body = bytes((source.choice(range(0x80, 0xC0)), 0xCB, source.randrange(0x40)))
                    body += bytes((0x0D, 0x20, -(len(body) + 3) & 0xFF))
                    code += bytes((0x0E, source.randrange(1, 9))) + body if source.random() < 0.5 else body[:3]
                case _:
                    code += self.plain()
        return bytes(code).replace(b"\x40", b"\x41")  # LD B,B ends a block

    def piece_that_stays(self) -> bytes:
        """A few instructions behind which it goes on, however rough."""
        source = self.source
        low = bytes((self.byte(),))
        match source.randrange(6):
            case 0:
                return b"\x3e" + low + bytes((0xE0, source.choice((*REGISTERS, *QUICK))))
            case 1:
                return bytes((0xF0, source.choice(REGISTERS), source.choice((0x80, 0xA8, 0x47, 0x22, 0xB7))))
            case 2:
                return b"\x3e" + low + b"\xea" + self.word(self.address())
            case 3:
                return bytes((0x3E, source.choice((5, 6, 7)), 0xE0, 0x07, 0x3E, source.randrange(32), 0xE0, 0xFF))
            case 4:
                return b"\x21" + self.word(self.address()) + bytes((source.choice((0x34, 0x35, 0x70, 0x7E)),))
            case _:  # the stack is elsewhere: in the middle of a page, near its ends, anywhere
                edge = 0xC100 + source.randrange(0x1F) * 0x100 + source.randrange(8)
                place = source.choice((0xD000 + source.randrange(0xF00), 0xD000 + source.randrange(0xF00), edge))
                place = self.address() if source.random() < 0.1 else place
                return b"\x31" + self.word(place) + bytes((source.choice((0xC5, 0xC1)),))

    def recursive(self) -> bytes:
        """A routine that calls itself until SUB A,n carries, whatever else happens to A; returns may go elsewhere."""
        source = self.source
        code = bytes((0xD6, source.choice((0x08, 0x20, 0x70)), 0xD8))
        pushed = source.choice((0xC5, 0xD5, 0xE5, 0xF5))
        for _ in range(source.choice((1, 1, 2))):
            code += self.plain() if source.random() < 0.3 else b""
            code += bytes((pushed, 0xCD)) + self.word(RECURSIVE) + (self.plain() if source.random() < 0.5 else b"")
            code += bytes((source.choice((pushed & 0xF1, pushed & 0xF1, 0xC1, 0xE1)),))
        ends = (b"\xc9", b"\xc9", b"\xd0\xc9", b"\xd1\xd5\xc9", b"\xe1\xe9", b"\xf8\x00\x34\xc9", b"\x33\x3b\xc9")
        return code + source.choice(ends)

    def fill(self, size: int) -> bytes:
        """So many bytes of pieces, or of anything."""
        anything = self.source.random() < 0.1
        code = bytearray()
        while len(code) < MADE:
            code += bytes((self.byte(),)) if anything else self.piece()
        return bytes(code * (size // len(code) + 1))[:size]


def image(seed: int) -> bytes:
    """A cartridge full of random code."""
    source = Random(seed)
    writer = Writer(source)
    kind, banks, ram = source.choice(KINDS)
    made = bytearray()
    for _ in range(banks):
        made += writer.fill(BANK)
    for vector in range(0x00, 0x68, 8):  # short, and on to somewhere
        ending = source.choice((b"\xc9", b"\xd9", b"\xd9", b"\xfb\xc9", b"\xc3" + writer.word(writer.place())))
        code = (writer.plain() if source.random() < 0.7 else b"\x3c") + ending
        made[vector : vector + 8] = code[:8].ljust(8, b"\xc9")
    made[0x100:0x150] = bytes(0x50)
    made[0x100:0x104] = b"\x00\xc3" + writer.word(0x150)
    made[0x143] = source.choice((0x00, 0x80, 0xC0))
    made[0x147:0x14A] = bytes((kind, banks.bit_length() - 2, ram))
    return signed(made)


def loop_image(seed: int) -> bytes:
    """A cartridge that runs random loops, one for a while and then the next; from anywhere else it comes back."""
    source = Random(seed)
    writer = Writer(source)
    kind, banks, ram = source.choice(KINDS)
    made = bytearray(b"\xff" * BANK * banks)
    for vector in range(0x00, 0x68, 8):
        code = writer.plain() + source.choice((b"\xc9", b"\xd9", b"\xd9", b"\xfb\xc9"))
        made[vector : vector + 8] = code.ljust(8, b"\xc9")
    for lost in (0x00, 0x38):
        made[lost : lost + 3] = b"\xc3" + writer.word(START)
    made[0x100:START] = bytes(START - 0x100)
    made[0x100:0x104] = b"\x00\xc3" + writer.word(START)
    made[SUBROUTINE : SUBROUTINE + 0x40] = (writer.straight(SUBROUTINE, 8)[:16] + b"\xc9" * 0x40)[:0x40]
    made[RECURSIVE : RECURSIVE + 0x40] = writer.recursive().ljust(0x40, b"\xc9")
    code = bytearray(b"\x31\xf0\xdf\xfb")
    starts = (START + len(code), 0x1000, 0x4100 + source.randrange(0x100), 0x7E00 + source.randrange(0x100))
    for index, start in enumerate(source.sample(starts[1:], 2)):
        loop = bytearray(writer.straight(start, source.randrange(10, 120)))
        if source.random() < 0.5:  # a counter in HRAM, and on to the next loop when it is zero
            loop += bytes.fromhex("f08f3de08f") + b"\xca" + writer.word(START)
        loop += b"\xc3" + writer.word(start)
        for bank in range(banks if start >= BANK else 1):
            at = start % BANK + (bank * BANK if start >= BANK else 0)
            made[at : at + len(loop)] = loop
        code += bytes.fromhex("3e00e08f") if index == 0 else b""
        code += bytes((0xF0, 0x04, 0x1F, 0xDA)) + writer.word(start) if index == 0 else b"\xc3" + writer.word(start)
    made[START : START + len(code)] = code
    made[0x143] = source.choice((0x00, 0x80, 0xC0))
    made[0x147:0x14A] = bytes((kind, banks.bit_length() - 2, ram))
    return signed(made)


def check(seed: int, engines: Sequence[str] = ENGINES) -> list[tuple[str, Report]]:
    """Run a program on the engines. Returns: the reports of those that differ from the interpreter."""
    model = Random(seed ^ 0x5EED).choice(("dmg", "mgb", "cgb", "cgb", "agb"))
    found = []
    for engine in engines:
        if engine == "reference" and seed % REFERENCE_EVERY:
            continue
        rom = loop_image(seed) if engine == "regions" else image(seed)
        left, right = GameBoy(rom, engine="interpreter", model=model), GameBoy(rom, engine=engine, model=model)
        count = {"reference": REFERENCE_INSTRUCTIONS, "regions": REGIONS_INSTRUCTIONS}.get(engine, INSTRUCTIONS)
        report = lockstep(left, right, count, seed=seed, buttons=True, lengths=LENGTHS, give_up=GIVE_UP)
        if report.divergence is not None:
            found.append((engine, report))
    return found


def check_all(check: Callable[[int], list[tuple[str, Report]]], first: int, count: int) -> int:
    """Check the programs of many seeds, and print every difference. Returns: the exit status, 1 if there was any."""
    start, wrong = time.monotonic(), 0
    for seed in range(first, first + count):
        for engine, report in check(seed):
            wrong += 1
            assert report.divergence is not None
            fields = ", ".join(str(field) for field in report.divergence.fields[:6])
            print(f"seed {seed}: {engine} differs from the interpreter at cycle {report.divergence.shown}: {fields}")
            print("\n".join(report.divergence.trace[-12:]), flush=True)
    print(f"{count} programs from seed {first} in {time.monotonic() - start:.0f} s, {wrong} differences")
    return 1 if wrong else 0


def main() -> int:
    """Run many programs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--engines", default=",".join(ENGINES), help="held against the interpreter")
    options = parser.parse_args()
    return check_all(lambda seed: check(seed, options.engines.split(",")), options.seed, options.count)


if __name__ == "__main__":
    sys.exit(main())
