"""The serial port: SB and SC, FF01-FF02, and what is at the other end of the cable.

For:       shifting bits with the own clock or a partner's, the interrupt at the eighth, a log of what was sent.
Not for:   what the partner is. A device answers bytes (`host.device`); another console is given each bit by whoever
           runs both (`host.linked`); with nothing plugged in the line is high, so ones come in.
Invariant: SB and `bits_left` are right as of `synced`, but for bits that the other console has not answered yet.
Source:    Pan Docs, "Serial Data Transfer (Link Cable)"; gb-ctr, "Serial communication".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, Host, Object, array, ask, i64, struct, typed, u1, u8, u32, u64
from tracklayer.machine.common.clock import NEVER, STOP_ASKED, Clock
from tracklayer.machine.common.registers import Reg

from . import events
from .color import Color
from .interrupts import SERIAL, Interrupts, enabled, request
from .speed import Speed, dots
from .timer import Timer

HALF_BITS = (8, 3)
"""log2 of the T-cycles per half a bit with the own clock: 8192 Hz; with SC bit 1, 262144 Hz."""

LOG_SIZE = 1024

REQUESTED, FAST, OWN_CLOCK = 0x80, 0x02, 0x01
"""Bits of SC. FAST is only for cartridges that know the Color."""
SENDING = REQUESTED | OWN_CLOCK
"""SC while a transfer runs by the own clock."""


@struct
class Serial:
    """The shift register and its control, and what has come of the partner's part."""

    synced: u64
    sb: u8
    sc: u8
    half: u1
    """The first half of a bit of the own clock has gone by."""
    bits_left: u8
    incoming: u8
    """What the line brings next, bit 7 first."""
    edge_at: u64
    """When the partner's clock ticks next; NEVER if nothing is known of it."""
    edge_period: u32
    edges: u8
    """How many ticks of it are known."""
    granted: u8
    """Linked: how many bits of the partner's are there, in `incoming`, for the own clock."""
    owed: u8
    """Linked: ticks of the own clock that wait for the partner's bits."""
    last_sb: u8
    """SB before the program wrote it last."""
    written_at: u64
    """When that was."""
    requested_at: u64
    """When SC was written last."""


@struct
class SentLog:
    """The last bytes that the guest sent: `data[n % LOG_SIZE]` is the n-th; `count` of them were sent so far."""

    count: u32
    data: Array[u8] = array(LOG_SIZE)


class SerialHost(Protocol):
    """Where the bytes go."""

    ports: Host
    sent: SentLog
    linked: u8
    plugged: u8
    device: Object


class Machine(Protocol):
    """What the serial port reaches of its machine."""

    @property
    def host(self) -> SerialHost: ...

    clock: Clock
    interrupts: Interrupts
    hram: Array[u8]
    timer: Timer
    speed: Speed
    serial: Serial
    color: Color


@typed
def half_bits(gb: Machine) -> u8:
    """log2 of the T-cycles per half a bit with the own clock."""
    return HALF_BITS[1] if gb.serial.sc & FAST else HALF_BITS[0]


@typed
def halves(gb: Machine, time: u64) -> u64:
    """Half bits since the divider was zero. SC starts a transfer with a first half: its first bit takes two from there.

    Proof: gambatte serial/nopx1_start_wait_read_if_* and nopx2_*.
    """
    return u64(time - gb.timer.origin) >> half_bits(gb)


@typed(outline=True)
def catch_up(gb: Machine) -> None:
    """Shift the bits that are due."""
    now = gb.clock.now()
    serial = gb.serial
    if serial.sc & SENDING == SENDING:
        passed = min(u64(halves(gb, now) - halves(gb, serial.synced)), 16)
        own_clock(gb, passed)
    if serial.edges > 0:
        partner_clock(gb, now)
    serial.synced = now


@typed(outline=True)
def own_clock(gb: Machine, passed: u8) -> None:
    """The own clock goes on by half bits. Linked to another console, it waits for the bits that come from there."""
    serial = gb.serial
    edges = (passed + serial.half) >> 1
    serial.half = (passed + serial.half) & 1
    if gb.host.linked:
        owed = serial.owed + edges
        ready = min(owed, serial.granted)
        serial.owed = owed - ready
        serial.granted -= ready
        shift_bits(gb, min(ready, 8))
        if serial.owed:
            gb.clock.stop = STOP_ASKED
            gb.clock.attention()
    else:
        shift_bits(gb, edges)


@typed
def partner_clock(gb: Machine, now: u64) -> None:
    """The partner's clock ticks, as far as it is known. A port that waits for it shifts; another does not feel it."""
    serial = gb.serial
    while serial.edges > 0 and serial.edge_at <= now:
        serial.edges -= 1
        if serial.sc & SENDING == REQUESTED and serial.edge_at >= serial.requested_at:
            shift_bits(gb, 1)
        else:
            serial.incoming = u8(serial.incoming << 1 | 1)
        serial.edge_at = u64(serial.edge_at + serial.edge_period) if serial.edges > 0 else NEVER


@typed(outline=True)
def shift_bits(gb: Machine, count: u8) -> None:
    """Shift up to `count` bits in; after the eighth the transfer is over."""
    serial = gb.serial
    bits = min(count, serial.bits_left & 15, 8)
    serial.sb = u8(serial.sb << bits | serial.incoming >> (8 - bits))
    serial.incoming = u8(serial.incoming << bits | (1 << bits) - 1)
    serial.bits_left -= bits
    if bits > 0 and serial.bits_left == 0:
        serial.sc &= ~REQUESTED & 0xFF
        serial.owed = 0
        request(gb, SERIAL)


@typed(outline=True)
def reschedule(gb: Machine) -> None:
    """Plan the end of the transfer if the CPU can feel it; linked, every tick. The port must be right as of now."""
    serial = gb.serial
    time: u64 = NEVER
    if gb.host.linked or enabled(gb, SERIAL):
        if serial.sc & SENDING == SENDING:
            ticks = 1 if gb.host.linked else serial.bits_left
            last = u64(halves(gb, gb.clock.now()) + 2 * ticks - serial.half)
            time = u64(gb.timer.origin + u64(last << half_bits(gb)))
        if serial.edges > 0:
            time = min(time, serial.edge_at)
    gb.clock.schedule(events.SERIAL, time)


@typed
def due(gb: Machine) -> None:
    """The event: a tick, or the end of the transfer."""
    catch_up(gb)
    reschedule(gb)


@typed
def divider_cleared(gb: Machine, old_origin: u64) -> None:
    """DIV was written: the divider starts anew; that ends a half bit if the watched bit was high. All has caught up."""
    was_high = (u64(gb.clock.now() - old_origin) >> (half_bits(gb) - 1)) & 1
    if was_high and gb.serial.sc & SENDING == SENDING:
        own_clock(gb, 1)
    reschedule(gb)


@typed
def read_sb(gb: Machine) -> u8:
    """SB, the shift register, even in the middle of a transfer."""
    catch_up(gb)
    return gb.serial.sb


@typed
def write_sb(gb: Machine, value: u8) -> None:
    """Set the shift register."""
    catch_up(gb)
    gb.serial.last_sb = gb.serial.sb
    gb.serial.written_at = gb.clock.now()
    gb.serial.sb = value
    tell_link(gb)


@typed
def read_sc(gb: Machine) -> u8:
    """SC: bit 7 transfer requested, bit 1 fast clock, bit 0 own clock."""
    catch_up(gb)
    return gb.serial.sc | (0 if gb.color.functions else FAST)


@typed
def write_sc(gb: Machine, value: u8) -> None:
    """Start or abandon a transfer. By the partner's clock it goes on when the partner wants."""
    catch_up(gb)
    serial = gb.serial
    serial.sc = value & (SENDING | (FAST if gb.color.functions else 0))
    serial.half = 0
    serial.bits_left = 8
    serial.granted = 0
    serial.owed = 0
    serial.requested_at = gb.clock.now()
    if value & SENDING == SENDING:
        log_sent(gb)
        serial.incoming = 0xFF
        if gb.host.plugged:
            serial.incoming = u8(ask(gb.host.ports, gb.host.device, 0xFF, serial.sb, i64(dots(gb))))
            if gb.host.ports.failed:
                gb.clock.attention()
    reschedule(gb)
    tell_link(gb)


@typed
def tell_link(gb: Machine) -> None:
    """Whoever runs both consoles wants to know at once."""
    if gb.host.linked:
        gb.clock.stop = STOP_ASKED
        gb.clock.attention()


@typed
def log_sent(gb: Machine) -> None:
    """Keep the byte for the host, which sees it when the transfer begins."""
    gb.host.sent.data[gb.host.sent.count & (LOG_SIZE - 1)] = gb.serial.sb
    gb.host.sent.count += 1


REGISTERS = (
    #   address name  reads as 1  on read  on write
    Reg(0xFF01, "SB", 0x00,       read_sb, write_sb),
    Reg(0xFF02, "SC", 0x7C,       read_sc, write_sc),
)  # fmt: skip
