"""Two consoles on a cable over TCP do what two on a `Link` do; whatever else is at the other end does no harm."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tracklayer import GameBoy, Link, LinkError, Listener, Peer, StateError
from tracklayer.api.wire import (
    ANSWER,
    FRAME,
    GREETING,
    LEFT,
    MAGIC,
    MOVED,
    REACHED,
    TICK,
    VERSION,
    Wire,
    connect,
    parse_address,
)

from .images import cartridge
from .test_link import SENT_B, SLAVE, noise, outcome, pair

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
Work = Callable[[GameBoy, Peer], object]


def joined(consoles: tuple[GameBoy, GameBoy], first: Work, second: Work) -> None:
    """Each console in a thread of its own, with a cable between them."""
    errors: list[BaseException] = []

    def end(console: GameBoy, work: Work, make: Callable[[], Peer]) -> None:
        try:
            with make() as peer:
                work(console, peer)
        except BaseException as error:
            errors.append(error)

    with Listener() as listener:
        port = listener.address[1]
        ends = (
            (consoles[0], first, lambda: Peer(consoles[0], listener.accept(PATIENCE))),
            (consoles[1], second, lambda: Peer.connect(consoles[1], port, timeout=PATIENCE)),
        )
        threads = [threading.Thread(target=end, args=each) for each in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def in_pieces(cycles: int, source: Random) -> Work:
    def work(console: GameBoy, peer: Peer) -> None:
        left = cycles
        while left:
            now = min(left, source.choice((1, 4, 50, 700, 9_000, 60_000, 300_000)))
            console.run(cycles=now, render=False)
            left -= now

    return work


def at_once(cycles: int) -> Work:
    return lambda console, peer: console.run(cycles=cycles, render=False)


def test_bytes_are_exchanged_as_on_a_link(engine: str) -> None:
    cycles = 40_000 if engine == "reference" else 400_000
    one, two = pair(engine)
    with Link(one, two) as link:
        link.run(cycles=cycles)
    expected = outcome((one, two))
    consoles = pair(engine)
    joined(consoles, at_once(cycles), in_pieces(cycles, Random(3)))
    assert outcome(consoles) == expected
    assert bytes(consoles[0].memory[0xD000:0xD004]) == SENT_B[:4]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("models", [("dmg", "dmg"), ("cgb", "dmg"), ("cgb", "cgb")])
def test_whatever_two_programs_do_they_do_as_on_a_link(models: tuple[str, str], seed: int) -> None:
    random = Random(f"{models} {seed}")
    roms = [noise(random, model == "cgb") for model in models]
    found = []
    for engines in (("interpreter", "interpreter"), ("translated", "interpreter"), ("interpreter", "translated")):
        settings = zip(roms, engines, models, strict=True)
        one, two = (GameBoy(rom, engine=engine, model=model) for rom, engine, model in settings)
        if engines == ("interpreter", "interpreter"):
            with Link(one, two) as link:
                link.run(cycles=400_000)
        else:
            joined((one, two), in_pieces(400_000, Random(f"{seed} {engines}")), in_pieces(400_000, random))
        found.append([(gb.cycles, repr(gb.registers)) for gb in (one, two)])
    assert found[1:] == found[:1] * 2


def test_one_may_run_further_than_the_other_and_gets_ones_then() -> None:
    one, two = pair("interpreter")
    joined((one, two), at_once(600_000), at_once(100_000))
    received = bytes(one.memory[0xD000:0xD020])
    last = received.index(0xFF) - 1
    assert received[:last] == SENT_B[:last]
    assert received[last] | SENT_B[last] == received[last]  # ones from somewhere in that byte on
    assert set(received[last + 1 : last + 10]) == {0xFF}
    assert one.cycles >= 600_000


def test_unplugged_both_can_be_plugged_in_elsewhere() -> None:
    one, two = pair("interpreter")
    peers: list[Peer] = []
    joined((one, two), lambda gb, peer: (gb.tick(), peers.append(peer)), lambda gb, peer: gb.tick())
    assert not peers[0].connected
    peers[0].unplug()
    with Link(one, two) as link:
        link.tick()
    one.tick(sound=True)


def test_states_of_both_ends_come_back(engine: str) -> None:
    """Saved in the middle of a byte, both go on from there, and again, with other consoles."""
    states: dict[int, bytes] = {}
    later = 30_000

    def save(number: int) -> Work:
        def work(console: GameBoy, peer: Peer) -> None:
            console.run(cycles=3_000 + 1_000 * number)
            console.run(cycles=1_000 - 1_000 * number)
            states[number] = peer.save_state()
            console.run(cycles=later)

        return work

    def load(number: int) -> Work:
        def work(console: GameBoy, peer: Peer) -> None:
            console.run(cycles=5_000)
            peer.load_state(states[number])
            console.run(cycles=later)

        return work

    consoles = pair(engine)
    joined(consoles, save(0), save(1))
    others = pair("interpreter")
    joined(others, load(0), load(1))
    assert outcome(others) == outcome(consoles)
    lone = pair("interpreter")
    with Link(*lone) as link:
        link.run(cycles=4_000 + later)
    assert outcome(lone) == outcome(consoles)


def test_wrong_states_of_an_end_are_refused() -> None:
    states: list[bytes] = []

    def save(console: GameBoy, peer: Peer) -> None:
        console.run(cycles=2_000)
        states.append(peer.save_state())

    def load(console: GameBoy, peer: Peer) -> None:
        console.run(cycles=2_000)
        before = console.save_state()
        mine = peer.save_state()
        with pytest.raises(StateError, match="of a console, not"):
            peer.load_state(before)
        for wrong in (mine[:-1], mine[:-30] + bytes(30), b""):
            with pytest.raises(StateError):
                peer.load_state(wrong)
        with pytest.raises(StateError, match="not of one console"):
            console.load_state(mine)
        assert console.save_state() == before

    joined(pair("interpreter"), save, load)
    with pytest.raises(StateError, match="another cartridge"):
        joined(pair("interpreter")[::-1], lambda gb, peer: peer.load_state(states[0]), lambda gb, peer: None)


def test_states_of_different_moments_are_refused() -> None:
    states: list[bytes] = []

    def save(console: GameBoy, peer: Peer) -> None:
        for _ in range(2):
            console.run(cycles=2_000)
            states.append(peer.save_state())

    def load(index: int) -> Work:
        def work(console: GameBoy, peer: Peer) -> None:
            peer.load_state(states[index])
            with pytest.raises(LinkError, match=r"different moments|went away"):
                console.run(cycles=100)

        return work

    joined(pair("interpreter", SLAVE), save, lambda gb, peer: gb.run(cycles=4_000))
    (one, _), (two, _) = pair("interpreter", SLAVE), pair("interpreter", SLAVE)
    joined((one, two), load(0), load(1))


def test_a_run_cannot_go_on_while_only_the_other_end_has_loaded_a_state() -> None:
    loaded = threading.Event()
    states: dict[int, bytes] = {}

    def load(console: GameBoy, peer: Peer) -> None:
        console.run(cycles=1_000)
        states[0] = peer.save_state()
        console.run(cycles=1_000)
        peer.load_state(states[0])
        loaded.set()
        console.run(cycles=2_000)

    def wait(console: GameBoy, peer: Peer) -> None:
        console.run(cycles=1_000)
        states[1] = peer.save_state()
        console.run(cycles=1_000)
        loaded.wait(PATIENCE)
        with pytest.raises(LinkError, match="load the one that goes with it"):
            console.run(cycles=100_000)
        peer.load_state(states[1])
        console.run(cycles=2_000)

    consoles, expected = pair("interpreter"), pair("interpreter")
    joined(consoles, load, wait)
    with Link(*expected) as link:
        link.run(cycles=3_000)
    assert outcome(consoles) == outcome(expected)


# ---------------------------------------------------------------------- other ends that are none, or not any more


def test_a_port_in_use_is_named() -> None:
    with Listener() as listener:
        port = listener.address[1]
        with pytest.raises(LinkError, match=rf"127\.0\.0\.1:{port}: .*in use"):
            Peer.listen(GameBoy(cartridge(), engine="interpreter"), port)
    with pytest.raises(LinkError, match=r"no\.such\.host"):
        Listener(1, "no.such.host.invalid")
    for wrong in (-1, 1 << 16):
        with pytest.raises(LinkError, match="up to 65535"):
            Listener(wrong)


def test_listening_is_open_to_this_machine_alone_unless_told_otherwise() -> None:
    with Listener() as listener:
        assert listener.address[0] == "127.0.0.1"


def test_nobody_there_is_said_in_time() -> None:
    gb = GameBoy(cartridge(), engine="interpreter")
    with Listener() as listener, pytest.raises(LinkError, match=r"nobody connected .* 0\.05 seconds"):
        Peer(gb, listener.accept(0.05))
    with pytest.raises(LinkError, match="refused"):
        Peer.connect(gb, listener.address[1], timeout=0.1)
    gb.tick()


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"", "closed the connection"),
        (b"GET / HTTP/1.1\r\n\r\n", "no Tracklayer"),
        (GREETING.pack(MAGIC, VERSION + 1, 1), f"version {VERSION + 1}"),
        (GREETING.pack(MAGIC, VERSION, 2), "same end"),
        (MAGIC, "closed the connection"),
    ],
)
def test_a_wrong_greeting_is_refused(greeting: bytes, words: str) -> None:
    gb = GameBoy(cartridge(), engine="interpreter")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(100):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LinkError, match=words):
            Peer.connect(gb, server.getsockname()[1], timeout=PATIENCE)
        thread.join()
    gb.tick()
    assert gb._link is None


def test_what_is_plugged_in_already_is_refused() -> None:
    one, two = pair("interpreter")

    def check(console: GameBoy, peer: Peer) -> None:
        with Listener() as listener, pytest.raises(LinkError, match="already"):
            near = threading.Thread(target=lambda: connect(listener.address[1]).close())
            near.start()
            try:
                Peer(console, listener.accept())
            finally:
                near.join()
        with pytest.raises(LinkError, match="no sound"):
            console.tick(sound=True)
        with pytest.raises(ValueError, match="linked"):
            console.serial_device = type("Device", (), {"exchange": lambda self, byte, cycle: 0})()

    joined((one, two), check, lambda gb, peer: None)


class Puppet:
    """An end that says what it is told to say."""

    def __init__(self, listener: Listener, buffer: int = 1 << 16) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect(listener.address)
        self.socket.sendall(GREETING.pack(MAGIC, VERSION, 2))

    def say(self, kind: int, bit: int = 0, number: int = 0, time: int = 0, promise: int = 0) -> None:
        self.socket.sendall(FRAME.pack(kind, bit, 0, number, time, promise))


def with_puppet(console: GameBoy, timeout: float = PATIENCE) -> tuple[Peer, Puppet]:
    with Listener() as listener:
        puppet = Puppet(listener)
        return Peer(console, listener.accept(timeout)), puppet


@pytest.mark.parametrize("program", [SLAVE, SLAVE.replace(b"\x80", b"\x81")])
def test_an_end_that_goes_away_is_an_error_and_the_console_goes_on_alone(program: bytes) -> None:
    gb = GameBoy(cartridge(program), engine="interpreter")
    peer, puppet = with_puppet(gb)
    puppet.say(MOVED)
    puppet.socket.close()
    with pytest.raises(LinkError, match="went away"):
        gb.tick(10)
    assert not peer.connected
    gb.tick(10)
    assert gb.frames == 10


@pytest.mark.parametrize("hello", [True, False])
def test_an_end_that_is_silent_is_an_error_in_time(hello: bool) -> None:
    gb = GameBoy(cartridge(SLAVE), engine="interpreter")
    _, puppet = with_puppet(gb, 0.05)
    with puppet.socket:
        if hello:
            puppet.say(MOVED)
        with pytest.raises(LinkError, match=r"did not go on for 0\.05 seconds"):
            gb.tick()
    gb.tick()


def test_an_end_that_never_reads_is_an_error_in_time() -> None:
    with Listener() as listener:
        puppet = Puppet(listener, 2048)
        wire = listener.accept(0.2)
    gb = GameBoy(cartridge(), engine="translated")
    wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    peer = Peer(gb, wire)
    puppet.say(MOVED)
    with puppet.socket, pytest.raises(LinkError, match="did not go on"):
        for _ in range(1_000):
            gb.tick(100, render=False)
    assert not peer.connected


def test_an_end_that_leaves_in_an_orderly_way_is_no_error() -> None:
    gb = GameBoy(cartridge(SLAVE), engine="interpreter")
    peer, puppet = with_puppet(gb)
    with puppet.socket:
        puppet.say(MOVED)
        puppet.say(LEFT)
        gb.tick(2)
        assert not peer.connected
    peer.unplug()
    gb.tick(sound=True)


def test_the_goodbye_of_an_end_that_was_far_ahead_is_heard() -> None:
    """What it said before fills the connection, for the other end did not run meanwhile."""
    one, two = (GameBoy(cartridge(), engine="translated") for _ in range(2))
    with Listener() as listener:
        wires: list[Wire] = []
        near = threading.Thread(target=lambda: wires.append(connect(listener.address[1])))
        near.start()
        first = Peer(one, listener.accept(PATIENCE))
        near.join()
    second = Peer(two, wires[0])
    one.tick(3_000, render=False)
    first.unplug()
    two.tick(3_000, render=False)
    assert not second.connected
    second.unplug()


@pytest.mark.parametrize("seed", range(60))
def test_nonsense_from_the_other_end_does_no_harm(seed: int) -> None:
    """Bytes at random, or messages with anything in them: the console runs to its end, or says what is wrong."""
    random = Random(seed)
    one, _ = pair("translated" if seed % 2 else "interpreter", random.choice((SLAVE, SLAVE.replace(b"\x80", b"\x81"))))
    peer, puppet = with_puppet(one, 0.05)
    stream = bytearray()
    if random.random() < 0.8:
        stream += FRAME.pack(MOVED, 0, 0, 0, 0, 0)
    for _ in range(random.randrange(200)):
        if random.random() < 0.02:
            stream += random.randbytes(random.randrange(1, 80))
        numbers = [random.choice((0, 1, random.randrange(1 << 18), (1 << 62) - 1, random.randrange(1 << 62)))] * 2
        numbers[1] = random.choice((numbers[0], random.randrange(1 << 18)))
        kind = random.choice((REACHED, REACHED, TICK, TICK, ANSWER, MOVED if random.random() < 0.05 else TICK))
        stream += FRAME.pack(kind, random.randrange(2), 0, random.randrange(1 << random.randrange(1, 32)), *numbers)
    puppet.socket.sendall(stream)
    if random.random() < 0.5:
        puppet.socket.shutdown(socket.SHUT_WR)
    with puppet.socket:
        for _ in range(4):
            try:
                one.run(cycles=random.randrange(1, 200_000))
            except LinkError:
                break
    peer.unplug()
    before = one.frames
    one.tick(2)
    assert one.frames == before + 2


def test_an_exception_of_a_hook_comes_out_and_both_go_on() -> None:
    expected = pair("interpreter")
    with Link(*expected) as link:
        link.run(cycles=60_000)
    consoles = pair("interpreter")

    def interrupted(console: GameBoy, peer: Peer) -> None:
        def stop(gb: GameBoy) -> None:
            raise KeyError("here")

        with console.hook(0x159, stop), pytest.raises(KeyError):
            console.run(cycles=60_000)
        with pytest.raises(LinkError, match="exception"):
            peer.save_state()
        console.run(cycles=0)
        peer.save_state()

    joined(consoles, interrupted, at_once(60_000))
    assert outcome(consoles) == outcome(expected)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_ends_the_waiting() -> None:
    program = (
        "import sys; from tracklayer import GameBoy, Peer; from tests.api.images import cartridge\n"
        "from tests.api.test_link import SLAVE\n"
        "gb = GameBoy(cartridge(SLAVE), engine='interpreter')\n"
        "with Peer.connect(gb, int(sys.argv[1]), timeout=None):\n"
        "    gb.tick(1)\n"
    )
    with Listener() as listener:
        command = [sys.executable, "-c", program, str(listener.address[1])]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            wire = listener.accept(PATIENCE)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE)
            wire.close()
    assert "KeyboardInterrupt" in errors


def test_addresses_are_read_as_they_are_written() -> None:
    assert parse_address("5000") == ("127.0.0.1", 5000)
    assert parse_address("example.org:1") == ("example.org", 1)
    assert parse_address("[::1]:65535") == ("::1", 65535)
    for wrong in ("", "host", "host:", "host:65536", ":-1", "[::1:5", "a:b:٣"):
        with pytest.raises(ValueError, match="HOST:PORT"):
            parse_address(wrong)


def test_frames_have_the_size_that_is_documented() -> None:
    assert (FRAME.size, GREETING.size) == (24, 16)
    assert struct.calcsize("<BBHIQQ") == FRAME.size
