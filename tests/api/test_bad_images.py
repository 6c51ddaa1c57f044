"""Images that are no cartridges, and guests that do what no guest should: clear errors, or what the hardware does."""

from __future__ import annotations

import random

import pytest

from tracklayer import GameBoy, RomError

from .images import cartridge, signed

CHUNK = 50
CHUNKS = 20


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "empty"),
        (b"Dear Sir or Madam,\n", "text"),
        (b"It was a dark and stormy night.\n" * 2000, "text"),
        (cartridge(type_code=0x15), "MBC4"),
        (cartridge(type_code=0x77), "not supported"),
        (bytes(0x2000001), "no Game Boy ROM is larger"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(image: bytes, words: str) -> None:
    with pytest.raises(RomError, match=words):
        GameBoy(image, engine="reference")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (cartridge()[:0x4000], "what is missing"),
        (cartridge()[:0x101], "no whole header"),
        (b"\x00", "no whole header"),
        (cartridge(size_code=0x54), "size byte"),
        (cartridge(size_code=5), "what is missing"),
        (cartridge(banks=8), "claims"),
        (cartridge()[:0x14D] + b"\x00" + cartridge()[0x14E:], "checksum"),
        (cartridge(type_code=3, ram_code=9), "RAM size byte"),
    ],
)
def test_what_is_only_odd_runs_with_a_warning(engine: str, image: bytes, words: str) -> None:
    gb = GameBoy(image, engine=engine)
    assert any(words in warning for warning in gb.warnings)
    gb.tick(3)
    assert gb.frames == 3


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_bytes_run_for_sixty_frames(engine: str, chunk: int) -> None:
    """A thousand on the engine that has most to lose; fewer on the interpreter, and few and short on the slow one."""
    source = random.Random(chunk)
    frames = 1 if engine == "reference" else 60
    for index in range({"reference": 1, "interpreter": 10, "translated": CHUNK}[engine]):
        image = bytearray(source.randbytes(source.choice((0x400, 0x8000, 0x8000, 0x10000, 0x12345))))
        image[0x147] = source.choice((0, 1, 3, 5, 6, 0x19, 0x1B, 0x1E))
        gb = GameBoy(signed(image) if index % 2 else bytes(image), engine=engine)
        gb.tick(frames)
        assert gb.frames == frames


@pytest.mark.parametrize("opcode", [0xD3, 0xDB, 0xDD, 0xE3, 0xE4, 0xEB, 0xEC, 0xED, 0xF4, 0xFC, 0xFD])
def test_an_illegal_opcode_locks_the_processor_and_time_goes_on(engine: str, opcode: int) -> None:
    gb = GameBoy(cartridge(bytes((0x3C, opcode, 0x04))), engine=engine)
    gb.tick(2)
    assert gb.registers.locked
    assert gb.registers.b == 0
    assert gb.frames == 2
    before = gb.memory[0xFF44]
    gb.run(cycles=456 * 10)
    assert gb.memory[0xFF44] != before


@pytest.mark.parametrize(
    "place", [0x8000, 0x9FF8, 0xA000, 0xC000, 0xDFFE, 0xE000, 0xFE00, 0xFE9E, 0xFEA0, 0xFF80, 0xFFFD]
)
def test_a_guest_runs_from_wherever_it_likes(engine: str, place: int) -> None:
    """INC A, then NOPs up to the end of the address space, which runs into the cartridge and locks there at last."""
    image = bytearray(cartridge())
    image[0x0000] = 0xD3
    gb = GameBoy(bytes(image), engine=engine, cartridge_ram=0x2000)
    other = GameBoy(bytes(image), engine="reference", cartridge_ram=0x2000)
    for console in (gb, other):
        console.memory[place] = 0x3C
        console.registers.pc = place
        console.registers.sp = 0xD000
        console.run(cycles=40_000)
    assert gb.state_bytes() == other.state_bytes()


def test_a_stack_in_rom_does_no_harm(engine: str) -> None:
    gb = GameBoy(cartridge(bytes.fromhex("310040 c5 c5 d1 18fb")), engine=engine)
    other = GameBoy(cartridge(bytes.fromhex("310040 c5 c5 d1 18fb")), engine="reference")
    for console in (gb, other):
        console.run(cycles=50_000)
    assert gb.state_bytes() == other.state_bytes()


def test_a_guest_that_writes_over_itself_all_the_time(engine: str) -> None:
    """C000: LD HL,$C005; INC [HL]; LD B,n (n is what is incremented); JR back."""
    code = bytes.fromhex("2105c0 34 0600 18fb")
    gb, other = GameBoy(cartridge(), engine=engine), GameBoy(cartridge(), engine="reference")
    for console in (gb, other):
        console.memory[0xC000 : 0xC000 + len(code)] = code
        console.registers.pc = 0xC000
        console.run(cycles=100_000)
    assert gb.registers.b == gb.memory[0xC005] or gb.registers.pc != 0xC006
    assert gb.state_bytes() == other.state_bytes()
