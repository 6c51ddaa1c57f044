"""Random programs full of loops, the same on all engines: `python -m tests.loop_programs [--count 300] [--seed N]`.

Loops that count, copy, fill, add up, go in steps, wait for memory that an interrupt's handler changes, wait for a
register, or only pass the time; with ways that part and meet, routines, and loops inside; over page ends, into video
RAM, HRAM, registers and closed memory; routines that call themselves and each other, on a stack that crosses pages, is
moved, written over or next to code, and return to where they were not called from; with quick timers, the screen on and
off, DMA, and at either speed. Their starting values change from one time to the next, so that they end at any place.
Blocks and regions are held against the interpreter. Every difference is printed with the program's seed; the exit
status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import sys
from random import Random

from tests.api.images import signed
from tests.random_programs import check_all
from tracklayer import GameBoy
from tracklayer.api.lockstep import Report, lockstep
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble

INSTRUCTIONS = 400_000
LENGTHS = (60, 600, 6_000, 60_000, 300_000)
TEXT = """
    org $40
    {handlers}
    org $100
    JP start
    org $150
{routines}
start:
    DI
    LD SP,{stack}
    LD A,{lcdc}
    LDH [$FF40],A
    {speed}
    LD A,{tma}
    LDH [$FF06],A
    LD A,{tac}
    LDH [$FF07],A
    LD A,{stat}
    LDH [$FF41],A
    LD A,{enable}
    LDH [$FFFF],A
    {interrupts}
again:
{loops}
    JP again
"""
ANY = (
    "ADD A,B", "ADC A,C", "XOR A,D", "OR A,E", "AND A,H", "SUB A,L", "SBC A,A", "CP A,B", "INC D", "DEC E", "INC B",
    "DEC C", "RLCA", "RRA", "SWAP A", "SRL D", "RL E", "LD D,A", "LD E,B", "LD A,C", "LD B,A", "LD H,D", "LD L,A",
    "DAA", "CPL", "SCF", "CCF", "BIT 3,A", "SET 2,E", "NOP", "ADD HL,DE", "ADD HL,BC", "INC HL", "DEC HL", "INC DE",
    "DEC BC", "LD A,[HL]", "LD A,[DE]", "LD A,[BC]", "LD [HL],A", "LD [DE],A", "LD [HL],7", "INC [HL]", "ADD A,[HL]",
    "LD A,[HL+]", "LD [HL+],A", "LD A,[HL-]", "LD [HL-],A", "PUSH DE", "POP DE", "LDH A,[$FF90]", "LDH [$FF91],A",
    "LD A,[$C123]",
    "LD [$C1FF],A", "LDH A,[$FF44]", "LDH A,[$FF04]", "LDH [$FF47],A", "LDH [$FF05],A", "LD A,D", "ADD A,3", "CP A,9",
)  # fmt: skip
QUIET = ("ADD A,B", "XOR A,D", "INC D", "SWAP A", "NOP", "AND A,H", "INC E", "LD L,A", "RLCA", "ADC A,E", "ADD HL,DE")
POINTERS = (0xC000, 0xC0F0, 0xC0FF, 0xC7F9, 0xCFFE, 0xD0FD, 0xDFF0, 0xDFFF, 0xE0F8, 0xFDF8, 0xFE9C, 0xFF7C, 0xFFF8)
MORE_POINTERS = (0x0000, 0x3FF8, 0x7FFA, 0x8000, 0x9FF8, 0xA0FC, 0xBFFE)
POLLED = (
    "$FF44", "$FF44", "$FF44", "$FF41", "$FF41", "$FF04", "$FF05", "$FF0F", "$FF0F", "$FF00", "$FF02", "$FF26", "$FF69",
    "$FF55",
)  # fmt: skip


class Writer:
    """Random loops as text."""

    def __init__(self, source: Random) -> None:
        self.source = source
        self.labels = 0
        self.routines: list[str] = []

    def label(self) -> str:
        self.labels += 1
        return f"at{self.labels}"

    def pointer(self) -> str:
        source = self.source
        place = source.choice(POINTERS) if source.random() < 0.7 else source.randrange(0xC000, 0xDF00)
        place = source.choice(MORE_POINTERS) if source.random() < 0.15 else place
        return f"${place + source.choice((0, 0, 1, 3)) & 0xFFFF:04X}"

    def some(self, kinds: tuple[str, ...], most: int) -> list[str]:
        return [self.source.choice(kinds) for _ in range(self.source.randrange(most + 1))]

    def setup(self) -> list[str]:
        """Starting values, others each time."""
        source = self.source
        lines = [f"LD HL,{self.pointer()}", f"LD DE,{self.pointer()}"]
        lines += [f"LD BC,{source.choice((1, 2, 5, 37, 256, 257, 300, 0, 0x810))}"] * (source.random() < 0.5)
        change = f"LDH A,[$FF92]\nADD A,{source.randrange(1, 256, 2)}\nLDH [$FF92],A"
        lines += [change, source.choice(("LD C,A", "LD L,A", "LD E,A", "LD B,A\nLD C,A", "LD B,A", "NOP"))]
        return lines

    def body(self, most: int, inside: int = 1) -> list[str]:
        """Instructions, with ways that part and meet again, loops and calls among them."""
        source = self.source
        lines = self.some(ANY if source.random() < 0.6 else QUIET, most)
        if source.random() < 0.3:
            over = self.label()
            way = f"JR {source.choice(('NZ', 'Z', 'NC', 'C'))},{over}"
            lines += [way, *self.some(ANY if source.random() < 0.5 else QUIET, 2), f"{over}:"]
        if inside and source.random() < 0.1:
            lines += ["PUSH BC", *self.counted(0), "POP BC"]
        if source.random() < 0.1:
            lines.append(f"CALL {source.choice(('short', 'longer', 'waits'))}")
        return lines + self.some(QUIET, 2)

    def counted(self, inside: int) -> list[str]:
        begin = self.label()
        ends = (
            "DEC B\nJR NZ,{}", "DEC C\nJR NZ,{}", "DEC BC\nLD A,B\nOR A,C\nJR NZ,{}", "INC E\nJR NZ,{}",
            "DEC E\nJP NZ,{}", "DEC A\nJR NZ,{}", "INC L\nJR NZ,{}", "INC C\nLD A,C\nCP A,200\nJR NZ,{}",
            "DEC DE\nLD A,E\nOR A,D\nJR NZ,{}", "LD A,H\nCP A,$DE\nJR C,{}", "INC HL\nLD A,L\nAND A,A\nJR NZ,{}",
        )  # fmt: skip
        return [f"{begin}:", *self.body(6, inside), self.source.choice(ends).format(begin)]

    def copying(self) -> list[str]:
        begin, source = self.label(), self.source
        read = source.choice(("LD A,[HL+]", "LD A,[HL-]", "LD A,[HL]\nINC HL", "LD A,[DE]\nINC HL", "LD A,5\nINC HL"))
        write = source.choice(("LD [DE],A\nINC DE", "LD [DE],A\nINC E", "LD [DE],A\nDEC DE", "XOR A,E\nLD E,A"))
        end = source.choice(("DEC BC\nLD A,B\nOR A,C\nJR NZ,{}", "DEC B\nJR NZ,{}", "DEC C\nJP NZ,{}")).format(begin)
        return [f"{begin}:", read, *self.some(QUIET[:5], 1), write, end]

    def striding(self) -> list[str]:
        """Through memory in steps of a register."""
        begin, source = self.label(), self.source
        pair, count = source.choice((("BC", "D"), ("DE", "B"), ("DE", "C")))
        step = source.choice((1, 2, 3, 5, 7, 12, 16, 20, 31, 32, 33, 64, 100, 255, 256, 257, 300, 0, 0xFFE0, 0x8010))
        touch = ("LD [HL],A", "LD A,[HL]", "LD [HL],7", "INC [HL]", "XOR A,[HL]", "LD A,[HL]\nINC A\nLD [HL],A",
                 "RES 3,[HL]", "LD [HL],H", "LD [HL],L")  # fmt: skip
        high = source.choice(("$C4", "$C8", "$D0", "$DE", "$E0", "$FE"))
        ends = (f"LD A,H\nCP A,{high}\nJR C,{begin}", f"DEC {count}\nJR NZ,{begin}", f"BIT 5,H\nJR Z,{begin}")
        lines = [f"LD {pair},{step}", f"{begin}:", source.choice(touch), *self.some(QUIET[:5], 1), f"ADD HL,{pair}"]
        return [*lines, *self.some(("LD E,L", "INC A", "SCF"), 1), source.choice(ends)]

    def waiting(self) -> list[str]:
        """For memory, or a register, to be something; with a count of tries, so that it ends."""
        begin, source = self.label(), self.source
        memory = source.choice(("LDH A,[$FF90]", "LD A,[$C010]", "LD HL,$C010\nLD A,[HL]", "LD A,[HL]", "LD A,[DE]"))
        ask = memory if source.random() < 0.3 else f"LDH A,[{source.choice(POLLED)}]"
        tests = (
            f"CP A,{source.randrange(160)}", f"CP A,{source.randrange(160)}", "AND A,3", "AND A,2", "AND A,A",
            "BIT 1,A", "CP A,B", "LD C,A\nCP A,C", "XOR A,D", "CP A,[HL]", "BIT 2,A", "BIT 0,A",
        )  # fmt: skip
        test = source.choice(tests)
        if source.random() < 0.5:
            return [f"{begin}:", ask, test, f"JR {source.choice(('NZ', 'Z', 'C', 'NC'))},{begin}"]
        way = source.choice(("NZ", "Z"))
        return [f"{begin}:", ask, test, f"JR {way},{begin}x", "DEC B", f"JR NZ,{begin}", f"{begin}x:"]

    def routine(self, others: list[str]) -> str:
        """A routine that calls itself, or one of others, with a smaller A each time."""
        source, name = self.source, self.label()
        pair = source.choice(("BC", "DE", "HL"))
        other = source.choice((*others, name))
        nothing = "LD HL,SP+2\nINC [HL]\nDEC [HL]"
        changes = ("LD [HL],A", "LD [DE],A", "INC [HL]", "INC HL", "ADD HL,DE", nothing, "INC DE")
        lines = [f"{name}:", source.choice(("CP A,2\nRET C", "CP A,3\nRET C", "AND A,A\nRET Z"))]
        lines += self.some(changes, 1) if source.random() < 0.3 else []
        lines += ["PUSH AF", *self.some(QUIET, 1), "POP AF"] if source.random() < 0.3 else []
        lines += ["PUSH AF", "DEC A", f"CALL {name}", *self.some(QUIET, 1), "POP AF"]
        if source.random() < 0.7:
            lines += [f"PUSH {pair}", source.choice(("SUB A,2", "SRL A", "AND A,1")), f"CALL {other}"]
            lines += [*self.some(changes, 1), f"POP {source.choice(('BC', 'DE', 'HL', pair))}"]
        lines += self.some(QUIET, 2)
        ends = ("RET", "RET", "RET", "RET NC\nRET", "POP HL\nJP HL", "POP DE\nPUSH DE\nRET", "INC SP\nDEC SP\nRET",
                "POP DE\nINC DE\nPUSH DE\nRET", "LD HL,SP+0\nINC [HL]\nRET", "JP Z,short\nJP longer")  # fmt: skip
        lines.append(source.choice(ends))
        self.routines += lines
        return name

    def recursion(self) -> list[str]:
        """Calls of routines that call themselves, with a stack that may be elsewhere, or next to code."""
        source = self.source
        names = [self.routine([])]
        names += [self.routine(names) for _ in range(source.randrange(2))]
        lines = [f"LD A,{source.randrange(2, 12)}", f"CALL {source.choice(names)}", "NOP", "NOP"]
        if source.random() < 0.3:  # a stack of its own
            there = source.choice(("$D103", "$C208", "$DF02", "$E003", "$FFF8", "$9804", "$DDFE", "$C0F1"))
            back = "LD A,[$C0E0]\nLD L,A\nLD A,[$C0E1]\nLD H,A\nLD SP,HL"
            lines = ["LD [$C0E0],SP", f"LD SP,{there}", *lines, back]
        if source.random() < 0.2:  # a routine that the stack may grow over
            place = f"${source.choice((0xDFB0, 0xDFD3, 0xDFE8, 0xCFD4, 0xCFF0)):X}"
            lines = ["LD A,$C9", f"LD [{place}],A", f"CALL {place}", *lines]
        return lines

    def loop(self) -> list[str]:
        if self.source.random() < 0.3:
            return self.recursion()
        counted = [lambda: self.counted(1)] * 2
        kind = self.source.choice((self.copying, self.waiting, self.striding, *counted))
        return ["PUSH HL", "POP HL", *self.setup(), *kind()]

    def handlers(self) -> str:
        change = "PUSH AF\nLDH A,[$FF90]\nINC A\nLDH [$FF90],A\nLD [$C010],A\nPOP AF\nRETI"
        lines = [f"org ${address:X}\nJP handler" for address in range(0x40, 0x68, 8)]
        copies = "LD A,$C1\nLDH [$FF46],A" if self.source.random() < 0.1 else ""
        return "\n".join(lines) + f"\norg $80\nhandler:\n{copies}\n{change}"


ROUTINES = """
short:
    INC E
    RET
longer:
    LD A,D
    ADD A,7
    LD D,A
    RET C
    DEC D
    RET
waits:
    PUSH BC
    LD B,9
waits_on:
    DEC B
    JR NZ,waits_on
    POP BC
    RET
"""


def image(seed: int) -> bytes:
    """A cartridge with loops."""
    source = Random(seed)
    writer = Writer(source)
    loops = "\n".join(line for _ in range(source.randrange(1, 5)) for line in writer.loop())
    text = TEXT.format(
        handlers=writer.handlers(), routines="\n".join((ROUTINES, *writer.routines)),
        stack=source.choice(("$DFF0", "$FFFE", "$CFFF", "$D001", "$DF18", "$D102")),
        lcdc=source.choice((0, 0x91, 0x91, 0xF7)), tma=source.randrange(256), tac=source.choice((0, 4, 5, 5, 6, 7)),
        stat=source.choice((0, 0, 8, 0x40, 0x78)), enable=source.choice((0, 1, 4, 5, 31, 7)),
        interrupts=source.choice(("EI", "EI", "NOP")),
        speed="LD A,1\nLDH [$FF4D],A\nSTOP" if source.random() < 0.2 else "",
        loops=loops,
    )  # fmt: skip
    made = bytearray(assemble(text, SM83, name=f"loops {seed}", size=0x8000).data)
    made[0x143] = source.choice((0x00, 0x80))
    if source.random() < 0.3:
        made[0x147:0x14A] = bytes((3, 0, 2))
    return signed(made)


def check(seed: int, instructions: int = INSTRUCTIONS) -> list[tuple[str, Report]]:
    """Run a program on the engines. Returns: the reports of those that differ from the interpreter."""
    rom = image(seed)
    model = Random(seed ^ 0x5EED).choice(("dmg", "cgb"))
    found = []
    for engine in ("blocks", "regions"):
        left, right = GameBoy(rom, engine="interpreter", model=model), GameBoy(rom, engine=engine, model=model)
        report = lockstep(left, right, instructions, seed=seed, buttons=True, lengths=LENGTHS)
        if report.divergence is not None:
            found.append((engine, report))
    return found


def main() -> int:
    """Run many programs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    options = parser.parse_args()
    return check_all(check, options.seed, options.count)


if __name__ == "__main__":
    sys.exit(main())
