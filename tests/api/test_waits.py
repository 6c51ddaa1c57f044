"""Loops that wait are skipped, and nobody can tell: translated code against the interpreter."""

from __future__ import annotations

import pytest

from tracklayer import GameBoy
from tracklayer.api.lockstep import lockstep
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble

from .images import signed

PROGRAM = """
    org $40
    JP handler
    org $48
    JP handler
    org $50
    JP handler
    org $80
handler:
    PUSH AF
    LDH A,[$FF90]
    INC A
    LDH [$FF90],A
    LD [$C010],A
    {handler}
    POP AF
    RETI
    org $100
    JP start
    org $150
start:
    DI
    LD SP,$DFF0
    LD HL,$C010
    LD DE,$FF90
    LD BC,$0090
    {setup}
again:
    INC D
    {body}
    JP again
"""
VBLANK = "LD A,1\nLDH [$FFFF],A\nEI"
TIMER = "LD A,5\nLDH [$FF07],A\nLD A,{tma}\nLDH [$FF06],A\nLD A,4\nLDH [$FFFF],A\nEI"
LENGTHS = (40, 400, 4_000, 100_000)


def image(body: str, setup: str = "", handler: str = "", color: bool = False) -> bytes:
    text = PROGRAM.format(body=body, setup=setup, handler=handler)
    made = bytearray(assemble(text, SM83, name="waits", size=0x8000).data)
    made[0x143] = 0x80 if color else 0
    return signed(made)


def skipped(gb: GameBoy) -> int:
    """Instructions that were skipped: the engine `blocks` counts them here, and nothing else."""
    return int(gb._gb.translation[0].sampled_at)


def alike(rom: bytes, instructions: int = 60_000, model: str = "dmg") -> int:
    """Run the program on two engines. Returns: how many instructions were skipped."""
    left, right = (GameBoy(rom, engine=name, model=model) for name in ("interpreter", "blocks"))
    before = skipped(right)
    report = lockstep(left, right, instructions, lengths=LENGTHS, buttons=True)
    assert report.divergence is None
    assert not report.stuck
    return skipped(right) - before


REGISTER_WAITS = [
    (register, test, way)
    for register, tests in {
        "$FF44": ("CP A,$90", "CP A,3", "CP A,0", "CP A,153", "CP A,154", "CP A,B", "AND A,7", "CP A,[HL]"),
        "$FF41": ("AND A,3", "AND A,2", "BIT 1,A", "BIT 2,A", "CP A,B"),
        "$FF04": ("CP A,B", "AND A,15", "BIT 7,A"),
        "$FF05": ("CP A,B", "AND A,A", "BIT 7,A"),
        "$FF0F": ("AND A,1", "AND A,4", "BIT 1,A"),
    }.items()
    for test in tests
    for way in ("NZ", "Z")
]


@pytest.mark.parametrize(("register", "test", "way"), REGISTER_WAITS)
def test_waiting_for_a_register(register: str, test: str, way: str) -> None:
    body = f"wait:\nLDH A,[{register}]\n{test}\nJR {way},wait\nXOR A,A\nLDH [$FF0F],A\n"
    body += f"LDH A,[{register}]\nLD B,A\nLD [HL],A"
    setup = "LD A,6\nLDH [$FF07],A\nLD A,$C3\nLDH [$FF06],A\nLD A,99\nLDH [$FF45],A\nLD A,$40\nLDH [$FF41],A"
    alike(image(body, setup))
    alike(image(body, "LD A,1\nLDH [$FF4D],A\nSTOP\n" + setup, color=True), model="cgb")
    alike(image(body, "LD A,4\nLDH [$FFFF],A\nEI\n" + setup))


@pytest.mark.parametrize("ask", ["LDH A,[$FF90]", "LD A,[$C010]", "LD A,[HL]", "LDH A,[C]"])
@pytest.mark.parametrize("tma", [0, 97, 201, 250])
def test_waiting_for_a_handler(ask: str, tma: int) -> None:
    body = f"wait:\n{ask}\nBIT 1,A\nJR Z,wait\nXOR A,A\nLDH [$FF90],A\nLD [HL],A\nCALL more\n" + "NOP\n" * (tma & 3)
    body += "JP again\nmore:\nINC E\nRET"
    skip = alike(image(body, TIMER.format(tma=tma)))
    assert skip > 10_000 or tma == 250


def test_waiting_for_nothing() -> None:
    assert alike(image("stay:\nJR stay", VBLANK)) > 50_000
    assert alike(image("stay:\nLDH A,[$FF00]\nCPL\nAND A,15\nJR Z,stay")) > 0


def test_a_loop_that_is_entered_in_its_middle() -> None:
    body = "go:\nXOR A,A\nJR middle\nwait:\nLDH A,[$FF90]\nmiddle:\nAND A,A\nJR Z,wait\nJR go"
    assert alike(image(body, "LD A,1\nLDH [$FF90],A")) == 0


def test_what_a_loop_reads_through_is_what_it_reads() -> None:
    body = "XOR A,A\nLDH [$FF90],A\nwait:\nLD L,$10\nLD A,[HL]\nLD L,$00\nOR A,[HL]\nAND A,A\nJR Z,wait\nLD [HL],0"
    alike(image(body, VBLANK))


def test_loops_that_change_something_are_run() -> None:
    for body in ("INC C", "LD [HL],A", "INC [HL]", "PUSH BC\nPOP BC", "LD A,[HL+]", "ADD A,[HL]", "LDH [$FF47],A"):
        assert alike(image(f"wait:\n{body}\nLDH A,[$FF44]\nJR wait"), 20_000) == 0


@pytest.mark.parametrize("length", range(5_000, 5_032, 4))
def test_memory_that_changes_between_two_runs(length: int) -> None:
    rom = image("wait:\nLDH A,[$FF90]\nNOP\nAND A,A\nJR Z,wait\nXOR A,A\nLDH [$FF90],A", VBLANK)
    states = []
    for engine in ("interpreter", "blocks"):
        gb = GameBoy(rom, engine=engine)
        gb.run(cycles=length)
        gb.memory[0xFF90] = 1
        gb.run(cycles=50_000)
        states.append(gb.state_bytes())
    assert states[0] == states[1]


def test_dma_and_closed_memory() -> None:
    body = "LD A,$C0\nLDH [$FF46],A\nwait:\nLD A,[$C010]\nCP A,B\nJR Z,wait\nINC B"
    alike(image(body, TIMER.format(tma=201), handler="LD A,$C1\nLDH [$FF46],A"))
    alike(image("wait:\nLD A,[$8000]\nAND A,A\nJR NZ,wait\nINC B", VBLANK))
    alike(image("wait:\nLD A,[$FE00]\nCP A,$FF\nJR Z,wait\nINC B"))


def test_a_hook_in_a_loop_is_called_each_time() -> None:
    rom = image("wait:\nLDH A,[$FF90]\nAND A,A\nJR Z,wait\nXOR A,A\nLDH [$FF90],A", VBLANK)
    counts = []
    for engine in ("interpreter", "blocks"):
        gb, calls = GameBoy(rom, engine=engine), []
        gb.hook(0x167, lambda gb, calls=calls: calls.append(gb.cycles))
        gb.run(cycles=100_000)
        counts.append(calls)
    assert counts[0] == counts[1]


def test_code_in_ram_waits_too() -> None:
    loop = bytes.fromhex("F090 A7 28FB AF E090 C9")  # LDH A,[$FF90]; AND A; JR Z; XOR A; LDH [$FF90],A; RET
    setup = "LD HL,$C100\n" + "\n".join(f"LD [HL],{byte}\nINC HL" for byte in loop) + "\n" + VBLANK
    assert alike(image("CALL $C100", setup)) > 10_000
