"""Two consoles on a cable: every bit counts, in any pattern of ticks, on every engine."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tracklayer import GameBoy, Link, LinkError
from tracklayer.api.engines import ENGINES

from .images import cartridge, signed

# SB <- [C000++]; SC <- 81; wait for the end; [D000++] <- SB; some time later again.
MASTER = bytes.fromhex("2100c0 1100d0 2a e001 3e81 e002 f002 cb7f 20fa f001 12 13 0640 05 20fd 18e8")
# The same with SC <- 80, and without the pause: it waits for the other one's clock.
SLAVE = bytes.fromhex("2100c0 1100d0 2a e001 3e80 e002 f002 cb7f 20fa f001 12 13 18ed")
SENT_A, SENT_B = Random(1).randbytes(64), Random(2).randbytes(64)


def pair(engine: str, first: bytes = MASTER, second: bytes = SLAVE, flag: int = 0) -> tuple[GameBoy, GameBoy]:
    consoles = []
    for program, sent in ((first, SENT_A), (second, SENT_B)):
        image = bytearray(cartridge(program))
        image[0x143] = flag
        gb = GameBoy(signed(image), engine=engine)
        gb.memory[0xC000:0xC040] = sent
        consoles.append(gb)
    return consoles[0], consoles[1]


def test_bytes_are_exchanged_both_ways(engine: str) -> None:
    one, two = pair(engine)
    with Link(one, two) as link:
        link.tick(20)
    assert one.serial[:64] == SENT_A
    assert bytes(one.memory[0xD000:0xD040]) == SENT_B
    assert bytes(two.memory[0xD000:0xD040]) == SENT_A


def test_any_pattern_of_ticks_comes_to_the_same_on_every_engine() -> None:
    expected = None
    for engine in ENGINES:
        for pattern in ("together", "in turn", "one after the other", "at random"):
            if engine == "reference" and pattern != "together":
                continue
            found = guests(engine, pattern)
            expected = expected or found
            assert found == expected, (engine, pattern)


def guests(engine: str, pattern: str) -> tuple[bytes, ...]:
    """What both programs have in memory, and what their registers are, once both have stood at the same time."""
    one, two = pair(engine)
    link = Link(one, two)
    random = Random(7)
    if pattern == "together":
        link.tick(6)
    elif pattern == "in turn":
        for _ in range(6):
            one.tick()
            two.tick()
    elif pattern == "one after the other":
        two.tick(6)
        one.tick(6)
    else:
        left = [6 * 70224, 6 * 70224]
        while any(left):
            which = random.randrange(2)
            cycles = min(left[which], random.randrange(1, 5000))
            (one, two)[which].run(cycles=cycles)
            left[which] -= cycles
    return tuple(bytes(gb.memory[0xC000:0xE000]) + repr((gb.cycles, gb.registers)).encode() for gb in (one, two))


def test_a_receiver_sees_each_bit_at_its_time(engine: str) -> None:
    """The receiver looks at SB all the time: a new bit every 512 T-cycles, and its interrupt at the eighth."""
    watcher = bytes.fromhex("3eff e001 3e80 e002 2100d0 f001 22 cb6c 28f9 18fe")
    # LD A,$FF; SB; SC <- 80; LD HL,$D000; loop: LDH A,[SB]; LD [HL+],A; BIT 5,H; JR Z
    sender = bytes.fromhex("3e55 e001 3e81 e002 18fe")
    one, two = pair(engine, sender, watcher)
    with Link(one, two) as link:
        link.tick(2)
    looks = bytes(two.memory[0xD000:0xE000])
    steps = [looks[0]] + [new for old, new in pairwise(looks) if old != new]
    value, expected = 0xFF, [0xFF]
    for bit in "01010101":
        value = value << 1 & 0xFF | int(bit)
        if value != expected[-1]:
            expected.append(value)
    assert steps[: len(expected)] == expected
    runs = []
    last = 0
    for index in range(1, 400):
        if looks[index] != looks[index - 1]:
            runs.append(index - last)
            last = index
    assert all(abs(length * 40 - 512) <= 40 for length in runs[1:6])
    assert two.memory[0xFF0F] & 8


def test_without_a_receiver_that_waits_ones_come_in(engine: str) -> None:
    one, two = pair(engine, MASTER, bytes.fromhex("18fe"))
    with Link(one, two) as link:
        link.tick(2)
    assert one.memory[0xD000] == 0xFF
    assert two.memory[0xFF01] == 0


def test_unplugged_they_go_on_alone(engine: str) -> None:
    one, two = pair(engine)
    link = Link(one, two)
    link.tick()
    link.unplug()
    link.unplug()
    one.tick(4)
    assert one.memory[0xD010] == 0xFF
    assert two.frames == 1
    with Link(two, one):
        two.tick()


# RP <- C1 for a while, then C0, over and over; and a program that notes what RP shows.
FLASHING = bytes.fromhex("3ec1 e056 0600 05 20fd 3ec0 e056 0600 05 20fd 18ec")
LOOKING = bytes.fromhex("3ec0 e056 2100c0 f056 22 cb6c 28f9 18fe")


def test_infrared_light_goes_from_one_color_to_the_other(engine: str) -> None:
    one, two = pair(engine, FLASHING, LOOKING, flag=0x80)
    with Link(one, two) as link:
        link.tick(2)
    seen = [value >> 1 & 1 for value in two.memory[0xC200:0xD000]]
    assert {0, 1} == set(seen)
    edges = [index for index in range(1, len(seen)) if seen[index] != seen[index - 1]]
    gaps = {after - before for before, after in pairwise(edges)}
    assert max(gaps) - min(gaps) <= 2
    assert two.memory[0xFF56] & 2 == 2 or one._gb.color.light.control & 1
    assert one.memory[0xFF56] & 2


def test_what_cannot_be_linked_is_refused(engine: str) -> None:
    one, two = pair(engine)
    with pytest.raises(LinkError, match="itself"):
        Link(one, one)
    with Link(one, two):
        with pytest.raises(LinkError, match="already"):
            Link(one, two)
        with pytest.raises(LinkError, match="no sound"):
            one.tick(sound=True)

    class Device:
        def exchange(self, byte: int, cycle: int) -> int:
            return byte

    one.serial_device = Device()
    with pytest.raises(LinkError, match="device"):
        Link(one, two)


def test_an_exception_of_one_comes_out_and_both_go_on(engine: str) -> None:
    one, two = pair(engine)
    link = Link(one, two)

    def stop(gb: GameBoy) -> None:
        raise KeyError("here")

    with two.hook(0x150, stop), pytest.raises(KeyError):
        link.tick()
    link.tick(10)
    assert bytes(one.memory[0xD000:0xD008]) == SENT_B[:8]
