"""The address space from outside: every kind of address, no time, no effects."""

from __future__ import annotations

import random

import pytest

from tracklayer import GameBoy

from .images import cartridge, signed

LCD_ON_LOOP = bytes.fromhex("18fe")


@pytest.fixture
def gb() -> GameBoy:
    return GameBoy(cartridge(type_code=3, ram_code=3, size_code=2, banks=8), engine="reference")


def test_memory_of_every_kind_is_read_back(gb: GameBoy) -> None:
    gb.memory[0x0000] = 0x0A  # opens the cartridge's RAM
    for address in (0x8000, 0x9FFF, 0xA000, 0xBFFF, 0xC000, 0xDFFF, 0xFE00, 0xFE9F, 0xFF80, 0xFFFE):
        gb.memory[address] = 0x5A
        assert gb.memory[address] == 0x5A
    gb.memory[0xE123] = 0x77
    assert gb.memory[0xC123] == 0x77
    gb.memory[0xFEA0] = 0x77
    assert gb.memory[0xFEA0] == 0x00


def test_a_write_below_8000_reaches_the_mapper(gb: GameBoy) -> None:
    image = bytearray(cartridge(type_code=3, ram_code=3, size_code=2, banks=8))
    for bank in range(8):
        image[bank * 0x4000 + 0x20] = bank
    gb = GameBoy(bytes(image), engine="reference")
    for bank in (1, 5, 7, 2):
        gb.memory[0x2000] = bank
        assert gb.memory[0x4020] == bank
    assert gb.memory[0x0020] == 0
    assert gb.memory[0xA000] == 0xFF  # closed


def test_registers_read_as_the_cpu_reads_them(gb: GameBoy) -> None:
    assert gb.memory[0xFF0F] & 0xE0 == 0xE0
    gb.memory[0xFF06] = 0x12
    assert gb.memory[0xFF06] == 0x12
    gb.memory[0xFFFF] = 0x1F
    assert gb.memory[0xFFFF] == 0x1F
    gb.run(cycles=1000)
    before = gb.memory[0xFF04]
    gb.memory[0xFF04] = 0x99
    assert gb.memory[0xFF04] == 0 != before


def test_looking_takes_no_time_and_changes_nothing_that_follows(gb: GameBoy) -> None:
    seen, unseen = gb, gb.clone()
    for _ in range(200):
        seen.run(cycles=777)
        unseen.run(cycles=777)
        assert len(seen.memory[:]) == 0x10000
        assert seen.cycles == unseen.cycles
    # Devices have caught up where somebody looked; an access by the guest brings the others to the same point.
    for console in (seen, unseen):
        bytes(console.memory[0xFE00:0xFF80])
    assert not seen.differences(unseen)


def test_memory_is_not_closed_to_a_look_while_the_ppu_draws(gb: GameBoy) -> None:
    gb.memory[0x8000] = 0x42
    gb.memory[0xFE00] = 0x43
    modes = set()
    for _ in range(600):
        gb.run(cycles=120)
        modes.add(gb.memory[0xFF41] & 3)
        assert (gb.memory[0x8000], gb.memory[0xFE00]) == (0x42, 0x43)
        gb.memory[0x8001] = modes_seen = len(modes)
        assert gb.memory[0x8001] == modes_seen
    assert modes == {0, 1, 2, 3}


def test_slices_read_and_write_many_addresses(gb: GameBoy) -> None:
    gb.memory[0xC0F0:0xC110] = bytes(range(32))
    assert gb.memory[0xC0F0:0xC110] == bytes(range(32))
    assert gb.memory[0xC0F0:0xC110:8] == bytes((0, 8, 16, 24))
    gb.memory[0xC000:0xC004:2] = b"ab"
    assert gb.memory[0xC000:0xC003] == b"a\0b"
    assert gb.memory[0xFF7E:0xFF82][:2] == b"\xff\xff"
    everything = gb.memory[:]
    assert len(everything) == len(gb.memory) == 0x10000
    assert everything[0xC0F0:0xC110] == bytes(range(32))
    assert gb.memory[5:5] == b""


def test_a_block_is_the_same_as_its_bytes(gb: GameBoy) -> None:
    gb.memory[0x8000:0x8100] = bytes(range(256))
    for first, last in ((0x00F0, 0x0210), (0x7FF0, 0x8010), (0x9FFE, 0xA002), (0xDFFF, 0xE001), (0xFDF0, 0x10000)):
        assert gb.memory[first:last] == bytes(gb.memory[address] for address in range(first, last))


@pytest.mark.parametrize("where", [-1, 0x10000, slice(-4, 4), slice(0, 0x10001), slice(9, 3, -1), slice(0, 9, 0)])
def test_what_is_no_address_is_refused(gb: GameBoy, where: int | slice) -> None:
    with pytest.raises(IndexError):
        gb.memory[where]


@pytest.mark.parametrize(
    ("where", "value", "error"),
    [
        (0xC000, 256, ValueError),
        (0xC000, -1, ValueError),
        (0xC000, b"a", TypeError),
        (slice(0xC000, 0xC004), b"abc", ValueError),
        (slice(0xC000, 0xC004), 7, ValueError),
        (0x10000, 1, IndexError),
    ],
)
def test_what_does_not_fit_is_refused(gb: GameBoy, where: int | slice, value: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        gb.memory[where] = value
    assert gb.memory[0xC000] == 0


@pytest.mark.parametrize("kind", [0x00, 0x03, 0x06, 0x10, 0x1B])
def test_quick_ways_read_and_write_what_slow_ones_do(engine: str, kind: int) -> None:
    image = bytearray(cartridge())
    image[0x147], image[0x149] = kind, 0 if kind == 0x06 else 3
    rom = signed(image)
    quick, slow = GameBoy(rom, engine=engine), GameBoy(rom, engine="reference")
    dice = random.Random(kind)
    for gb in (quick, slow):
        gb.memory[0x0000] = 0x0A  # the cartridge's RAM answers
        gb.map_region(0xC123, 0xC125, lambda address: address & 0xFF, lambda address, value: None)
        gb.map_region(0xFF30, 0xFF33, lambda address: address & 0xF0, lambda address, value: None)
    for _ in range(400):
        first, end = dice.choice(((0x0000, 0x10000), (0xFE00, 0x10000), (0xFF00, 0xFF80)))
        address = dice.randrange(first, end)
        value = dice.randrange(256)
        for gb in (quick, slow):
            gb.memory[address] = value
            gb.run(cycles=value)
        assert quick.memory[address] == slow.memory[address], f"{address:04X}"
    everything = slow.memory[:]
    assert quick.memory[:] == everything
    for address in dice.sample(range(0x10000), 2000):
        assert quick.memory[address] == everything[address]
    assert quick.state_bytes() == slow.state_bytes()
    for bad in (-1, 0x10000, 1 << 70):
        with pytest.raises(IndexError):
            quick.memory[bad]
        with pytest.raises(IndexError):
            quick.memory[bad] = 0
    for odd in (256, -1):
        with pytest.raises(ValueError, match="byte"):
            quick.memory[0xC000] = odd
    for wrong in ("C000", 1.5, None):
        with pytest.raises(TypeError):
            quick.memory[wrong]  # type: ignore[call-overload]
    assert quick.state_bytes() == slow.state_bytes()


class Echo:
    """A device that answers with what it is sent, and looks at the console meanwhile."""

    def __init__(self, gb: GameBoy) -> None:
        self.gb = gb
        self.seen: list[int] = []

    def exchange(self, byte: int, cycle: int) -> int:
        self.seen += [self.gb.memory[0xFF01], self.gb.memory[0xFF44], self.gb.memory[0xA000]]
        if byte == 0xEE:
            raise LookupError("no such byte")
        return byte


def test_looks_and_writes_may_end_in_python(engine: str) -> None:
    """A write to SC asks a device, a look at a clock asks for the time of day, and either may look in turn."""
    image = bytearray(cartridge())
    image[0x147], image[0x149] = 0x10, 3  # MBC3 with a clock
    gb = GameBoy(signed(image), engine=engine)
    gb.clock = "world"
    gb.memory[0x0000], gb.memory[0x4000] = 0x0A, 0x08
    gb.memory[0x6000], gb.memory[0x6000] = 0, 1
    seconds = gb.memory[0xA000]
    assert seconds < 60
    device = gb.serial_device = Echo(gb)
    gb.memory[0xFF01], gb.memory[0xFF02] = 0x5A, 0x81
    assert device.seen == [0x5A, gb.memory[0xFF44], seconds]
    gb.tick()
    assert gb.memory[0xFF01] == 0x5A
    inside: list[int] = []
    with gb.hook(gb.registers.pc, lambda gb: inside.append(gb.memory[0xFF02])) as _:
        gb.memory[0xFF02] = 0x81
        gb.tick()
    assert inside[0] == 0xFF
    gb.memory[0xFF01], gb.memory[0xFF02] = 0xEE, 0x81
    with pytest.raises(LookupError, match="no such byte"):
        gb.tick()
    gb.tick()
