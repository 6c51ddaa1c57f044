"""Small messages to another process and back, over TCP.

For:       listening, connecting, greeting; messages of a fixed size, sent without ever waiting for a reader.
Not for:   what the messages mean (peer.py).
Invariant: nothing that arrives is taken for granted: it becomes a `Message` with every field in its range, or
           CableError.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from .errors import LinkError

LOOPBACK = "127.0.0.1"
TIMEOUT = 30.0
"""Seconds that an end waits for the other one, unless told otherwise."""
LINGER = 1.0
"""Seconds that an end which leaves waits until the other one knows."""
MOST = 1 << 24
"""Bytes that are taken in at once. All that is there, but of an end that never stops: whoever answers before having
heard a goodbye may never hear it."""
AGAIN = 0.05
"""Seconds between two tries to connect."""

MAGIC = b"TLCABLE\n"
VERSION = 1
GREETING = struct.Struct("<8sII")
"""MAGIC, VERSION, and which end: what listened, or what connected."""
LISTENED, CONNECTED = 1, 2

FRAME = struct.Struct("<BBHIQQ")
REACHED, TICK, ANSWER, MOVED, LEFT = range(1, 6)
"""Kinds of messages."""
LONGEST = 1 << 62
"""No time of a message is as late as this."""


class CableError(LinkError):
    """Nothing more can come over this cable."""


class Message(NamedTuple):
    """What one end tells the other. Which fields count depends on the kind."""

    kind: int
    bit: int = 0
    number: int = 0
    time: int = 0
    promise: int = 0


def pack(message: Message) -> bytes:
    """The bytes of a message."""
    return FRAME.pack(message.kind, message.bit, 0, message.number, message.time, message.promise)


def unpack(data: bytes) -> Message:
    """The message of so many bytes. Errors: CableError where they are none."""
    kind, bit, zero, number, first, second = FRAME.unpack(data)
    if not REACHED <= kind <= LEFT or bit > 1 or zero or first >= LONGEST or second >= LONGEST:
        raise CableError(f"the other end sent what is no message: {data.hex(' ')}")
    return Message(kind, bit, number, first, second)


class Wire:
    """A connection over which both ends have greeted each other. `who` is the other one's address, in words.

    Errors: CableError where the other one does not greet, or is no Tracklayer of this version; and from all that
    follows where it goes away.
    """

    def __init__(self, connection: socket.socket, end: int, who: str, timeout: float | None) -> None:
        self.who = who
        self.timeout = timeout
        self._socket = connection
        self._selector = selectors.DefaultSelector()
        self._received = bytearray()
        self._unsent = bytearray()
        self._latest = b""
        self._heard_all = False
        self._deaf = False
        self._hung_up = False
        self._events = selectors.EVENT_READ
        self._began: float | None = None
        self._owner = os.getpid()
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ)
            self._greet(end)
        except BaseException:
            self.close()
            raise

    def _greet(self, end: int) -> None:
        self._unsent += GREETING.pack(MAGIC, VERSION, end)
        self.flush()
        self._hear()
        while self._received[: len(MAGIC)] == MAGIC[: len(self._received)] and len(self._received) < GREETING.size:
            if self._heard_all:
                raise CableError(f"{self.who} closed the connection before it said what it is")
            self.wait()
            self.flush()
            self._hear()
        self.went_on()
        if self._received[: len(MAGIC)] != MAGIC:
            raise CableError(f"what answers at {self.who} is no Tracklayer")
        _, version, other = GREETING.unpack(self._received[: GREETING.size])
        if version != VERSION:
            raise CableError(f"{self.who} speaks version {version} of the cable's protocol, this is version {VERSION}")
        if other == end:
            raise CableError(f"{self.who} is the same end of the cable as this: one listens, the other connects")
        del self._received[: GREETING.size]

    # ------------------------------------------------------------------ messages

    def send(self, message: Message) -> None:
        """Have a message go with the next `flush`."""
        self._unsent += pack(message)

    def tell(self, message: Message) -> None:
        """The same with one that says more than the ones before. If it must wait, the next one takes its place."""
        self._latest = pack(message)

    def messages(self) -> Iterator[Message]:
        """What has come by now."""
        self._hear()
        while len(self._received) >= FRAME.size:
            data = bytes(self._received[: FRAME.size])
            del self._received[: FRAME.size]
            yield unpack(data)
        if self._heard_all:
            raise CableError(f"the other end, {self.who}, went away; nothing is on the cable any more")

    def wait(self, why: str = "") -> None:
        """Wait for something to come. Errors: CableError where the other end let nothing happen for so long."""
        self.flush()
        now = time.monotonic()
        self._began = self._began or now
        left = None if self.timeout is None else self._began + self.timeout - now
        if left is not None and left <= 0:
            raise CableError(f"the other end, {self.who}, did not go on for {self.timeout:g} seconds{why}")
        self._select(left)

    def went_on(self) -> None:
        """Something happened: the time that may be waited begins anew."""
        self._began = None

    @property
    def unsent(self) -> bool:
        """Whether something waits to be sent because the other end does not read."""
        self.flush()
        return bool(self._unsent)

    # ------------------------------------------------------------------ the socket

    def _select(self, seconds: float | None) -> None:
        events = selectors.EVENT_READ if not self._heard_all else 0
        events |= selectors.EVENT_WRITE if self._unsent else 0
        if events and events != self._events:
            self._selector.modify(self._socket, events)
            self._events = events
        if events:
            self._selector.select(seconds)

    def _hear(self) -> None:
        """Take in what has come."""
        while not self._heard_all:
            try:
                more = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                more = b""
            self._received += more
            self._heard_all = not more
            if len(self._received) > MOST:
                return

    def flush(self) -> None:
        """Send what can go now. Whether nobody takes it any more is found out when hearing."""
        while self._unsent or self._latest:
            if not self._unsent:
                self._unsent += self._latest
                self._latest = b""
            try:
                sent = len(self._unsent) if self._deaf else self._socket.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                self._deaf = True
                continue
            del self._unsent[:sent]

    def hang_up(self) -> None:
        """The other end said goodbye, and waits to hear that this one knows."""
        self._hung_up = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def leave(self, linger: float = LINGER) -> None:
        """Say goodbye and close. Again: nothing.

        What comes to a socket that is closed costs the other end all that it has not read, the goodbye too; so this
        waits some seconds for the other one to hang up.
        """
        try:
            if self._socket.fileno() >= 0 and self._owner == os.getpid():  # a fork's child says nothing for its parent
                self._say_goodbye(time.monotonic() + linger)
        finally:
            self.close()

    def _say_goodbye(self, end: float) -> None:
        self._latest = b""
        self.send(Message(LEFT))
        while not (self._hung_up or self._deaf or self._heard_all) and time.monotonic() < end:
            self.flush()
            if not self._unsent:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_WR)
            self._select(max(0.0, end - time.monotonic()))
            self._received.clear()
            self._hear()

    def close(self) -> None:
        """Close, without a word."""
        self._selector.close()
        self._socket.close()


class Listener:
    """Waits for other ends at a port of this machine; `port` 0 is any that is free, `address` says which.

    host: whom it is open to: "127.0.0.1", the default, to this machine alone; "0.0.0.0" to everybody who can reach it.
    Errors: LinkError where the port is in use, or there is no such host.
    """

    def __init__(self, port: int = 0, host: str = LOOPBACK) -> None:
        _check(port)
        self._socket = _opened(partial(_listening, host, port), f"cannot listen at {shown(host, port)}")
        self.address: tuple[str, int] = self._socket.getsockname()[:2]

    def accept(self, timeout: float | None = TIMEOUT) -> Wire:
        """Wait for another end, for `Peer(gb, wire)`. Errors: LinkError where none comes in time, or something else."""
        self._socket.settimeout(timeout)
        try:
            connection, address = self._socket.accept()
        except TimeoutError:
            raise LinkError(f"nobody connected to {shown(*self.address)} for {timeout:g} seconds") from None
        return Wire(connection, LISTENED, shown(*address[:2]), timeout)

    def close(self) -> None:
        """Listen no more. What is connected stays so."""
        self._socket.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def connect(port: int, host: str = LOOPBACK, timeout: float | None = TIMEOUT) -> Wire:
    """Connect to an end that listens; as long as nobody does, try again. Errors: LinkError."""
    _check(port)
    who = shown(host, port)
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if end is None else max(AGAIN, end - time.monotonic())
        try:
            connection = _opened(partial(socket.create_connection, (host, port), left), f"cannot connect to {who}")
            if connection.getsockname() != connection.getpeername():
                return Wire(connection, CONNECTED, who, timeout)
            connection.close()  # a port that was free was given to this very end
        except LinkError as error:
            refused = isinstance(error.__cause__, ConnectionRefusedError)
            if not refused or (end is not None and time.monotonic() >= end):
                raise
        time.sleep(AGAIN)


def _check(port: int) -> None:
    if not 0 <= port <= 0xFFFF:
        raise LinkError(f"ports have numbers up to 65535, not {port}")


def _listening(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two listen at one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1)
    except BaseException:
        listening.close()
        raise
    return listening


def _opened(opening: Callable[[], socket.socket], failing: str) -> socket.socket:
    try:
        return opening()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise LinkError(f"{failing}: {reason}") from error


def shown(host: str, port: int) -> str:
    """An address in words."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT, or PORT alone for this machine. Errors: ValueError."""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (port.isascii() and port.isdecimal()) or int(port) > 0xFFFF or ("]" in host or "[" in host):
        raise ValueError(f"{text!r} is not HOST:PORT or PORT, with a port up to 65535")
    return host or LOOPBACK, int(port)
