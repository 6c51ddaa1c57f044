"""Two consoles on a cable: every bit counts, in any pattern of ticks, on every engine."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tracklayer import GameBoy, Link, LinkError, StateError
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


def noise(source: Random, color: bool) -> bytes:
    """Uses the port at random: as either end, with interrupts, changes of mind, and DIV cleared in between."""
    code = bytearray(bytes.fromhex("31fedf 3e08 e0ff fb"))
    while len(code) < 0x900:
        match source.randrange(8):
            case 0 | 1:
                control = source.choice((0x80, 0x80, 0x81, 0x81, 0x83 if color else 0x81, 0x01, 0x00))
                code += bytes((0x3E, control, 0xE0, 0x02))
            case 2:
                code += bytes((0x3E, source.randrange(256), 0xE0, 0x01))
            case 3:
                code += bytes.fromhex("f001 80 47 f002 a8 4f")  # into B and C
            case 4:
                code += bytes((0x16, source.randrange(1, 60), 0x15, 0x20, 0xFD))  # a while
            case 5:
                code += b"\xe0\x04" if source.random() < 0.3 else b"\xc5\xc1"
            case 6:
                code += bytes((0x16, source.choice((100, 250)), 0x15, 0x20, 0xFD)) * 3
            case _:
                code += bytes.fromhex("f002cb7f2803") + bytes((0x3E, 0x80, 0x47))
    code += bytes((0xC3, 0x50, 0x01))
    image = bytearray(cartridge(bytes(code)))
    image[0x58:0x60] = bytes.fromhex("f5 f001 82 57 f1 d9")[:8].ljust(8, b"\0")  # D += SB
    image[0x143] = 0x80 if color else 0
    return signed(image)


def run_in_pieces(consoles: list[GameBoy], until: int, source: Random) -> None:
    """Ask one or the other to run, for random times."""
    left = [until, until]
    while any(left):
        which = source.randrange(2)
        cycles = min(left[which], source.choice((1, 4, 50, 700, 9_000, 60_000)))
        consoles[which].run(cycles=cycles, render=False)
        left[which] -= cycles


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("models", [("dmg", "dmg"), ("cgb", "dmg"), ("cgb", "cgb")])
def test_whatever_two_programs_do_they_do_it_in_any_pattern_and_on_any_engine(models: list[str], seed: int) -> None:
    random = Random(seed)
    roms = [noise(random, model == "cgb") for model in models]
    found = []
    for engines in (("interpreter", "interpreter"), ("translated", "interpreter"), ("translated", "translated")):
        settings = zip(roms, engines, models, strict=True)
        consoles = [GameBoy(rom, engine=engine, model=model) for rom, engine, model in settings]
        link = Link(*consoles)
        if engines != ("interpreter", "interpreter"):
            run_in_pieces(consoles, 600_000, Random(f"{seed} {engines}"))
            link.run(cycles=100_000)
        else:
            link.run(cycles=700_000)
        found.append([(gb.cycles, repr(gb.registers), bytes(gb.memory[0xFF01:0xFF03])) for gb in consoles])
    assert found[1:] == found[:1] * 2


def outcome(consoles: tuple[GameBoy, GameBoy]) -> list[tuple[int, str, bytes]]:
    return [(gb.cycles, repr(gb.registers), bytes(gb.memory[0xC000:0xE000])) for gb in consoles]


def test_a_state_of_a_pair_comes_back_in_the_middle_of_a_byte(engine: str) -> None:
    one, other = pair(engine), pair("interpreter")
    with Link(*one) as link, Link(*other) as twin:
        link.run(cycles=2_000)
        state, snapshot = link.save_state(), link.snapshot()
        link.run(cycles=50_000)
        later = outcome(one)
        twin.load_state(state)
        assert twin.save_state() == state
        link.restore(snapshot)
        assert link.save_state() == state
        for again in (link, twin):
            again.run(cycles=50_000)
        assert outcome(one) == outcome(other) == later


def test_wrong_states_of_pairs_are_refused_and_change_nothing() -> None:
    consoles = pair("interpreter")
    with Link(*consoles) as link:
        link.run(cycles=2_000)
        before = link.save_state()
        with pytest.raises(StateError, match="not of a pair"):
            link.load_state(consoles[0].save_state())
        with pytest.raises(StateError, match="not of one console"):
            consoles[0].load_state(before)
        with Link(*pair("interpreter")[::-1]) as swapped:
            wrong = [swapped.save_state(), before[:-1], before[:-40] + bytes(40)]
        for state in wrong:
            with pytest.raises(StateError):
                link.load_state(state)
        assert link.save_state() == before
    with pytest.raises(LinkError, match="pulled out"):
        link.save_state()
