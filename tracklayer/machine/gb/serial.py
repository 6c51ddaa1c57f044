"""The serial port: SB and SC, FF01-FF02, with nothing plugged in.

For:       shifting bits with the internal clock, the interrupt at the eighth, a log of what was sent for the host.
Not for:   a partner at the other end of a cable: the line is high, so ones come in.
Invariant: SB and `bits_left` are right as of `synced`.
Source:    Pan Docs, "Serial Data Transfer (Link Cable)"; gb-ctr, "Serial communication".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, array, struct, typed, u8, u32, u64
from tracklayer.machine.common.clock import Clock
from tracklayer.machine.common.registers import Reg

from . import events
from .color import Color
from .interrupts import SERIAL, Interrupts, enabled, request
from .timer import Timer

PERIOD_BITS, FAST_BITS = 9, 4
"""log2 of the T-cycles per bit with the internal clock, 8192 Hz, which comes from the divider; a Color's fast one."""

LOG_SIZE = 1024
FAST = 0x02
"""SC bit 1, only for cartridges that know the Color."""
RUNNING = 0x81
"""Transfer requested, internal clock."""


@struct
class Serial:
    """The shift register and its control."""

    synced: u64
    sb: u8
    sc: u8
    bits_left: u8


@struct
class SentLog:
    """The last bytes that the guest sent: `data[n % LOG_SIZE]` is the n-th; `count` of them were sent so far."""

    count: u32
    data: Array[u8] = array(LOG_SIZE)


class Host(Protocol):
    """Where the bytes go."""

    sent: SentLog


class Machine(Protocol):
    """What the serial port reaches of its machine."""

    @property
    def host(self) -> Host: ...

    clock: Clock
    interrupts: Interrupts
    hram: Array[u8]
    timer: Timer
    serial: Serial
    color: Color


@typed
def period_bits(gb: Machine) -> u8:
    """log2 of the T-cycles per bit."""
    return FAST_BITS if gb.serial.sc & FAST else PERIOD_BITS


@typed
def clock_edges(gb: Machine, time: u64) -> u64:
    """Falling edges of the serial clock since the divider was zero."""
    return u64(time - gb.timer.origin) >> period_bits(gb)


@typed(outline=True)
def catch_up(gb: Machine) -> None:
    """Shift the bits that are due."""
    now = gb.clock.now()
    if gb.serial.sc & RUNNING == RUNNING:
        edges = u64(clock_edges(gb, now) - clock_edges(gb, gb.serial.synced))
        shift_bits(gb, min(edges, 8))
    gb.serial.synced = now


@typed
def shift_bits(gb: Machine, count: u8) -> None:
    """Shift up to `count` ones in; after the eighth bit the transfer is over."""
    bits = min(count, gb.serial.bits_left & 15)
    gb.serial.sb = u8((gb.serial.sb << bits) | ((1 << bits) - 1))
    gb.serial.bits_left -= bits
    if bits > 0 and gb.serial.bits_left == 0:
        gb.serial.sc &= 0x7F
        request(gb, SERIAL)


@typed(outline=True)
def reschedule(gb: Machine) -> None:
    """Plan the end of the transfer if the CPU can feel it. The port must be right as of now."""
    if gb.serial.sc & RUNNING == RUNNING and enabled(gb, SERIAL):
        last = u64(clock_edges(gb, gb.clock.now()) + gb.serial.bits_left)
        gb.clock.schedule(events.SERIAL, u64(gb.timer.origin + u64(last << period_bits(gb))))
    else:
        gb.clock.cancel(events.SERIAL)


@typed
def due(gb: Machine) -> None:
    """The event: the transfer is over."""
    catch_up(gb)
    reschedule(gb)


@typed
def divider_cleared(gb: Machine, old_origin: u64) -> None:
    """DIV was written: the serial clock starts anew, with a falling edge if it was high. The port has caught up."""
    was_high = (u64(gb.clock.now() - old_origin) >> (period_bits(gb) - 1)) & 1
    if was_high and gb.serial.sc & RUNNING == RUNNING:
        shift_bits(gb, 1)
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
    gb.serial.sb = value


@typed
def read_sc(gb: Machine) -> u8:
    """SC: bit 7 transfer requested, bit 0 internal clock."""
    catch_up(gb)
    return gb.serial.sc | (0 if gb.color.functions else FAST)


@typed
def write_sc(gb: Machine, value: u8) -> None:
    """Start or abandon a transfer. With an external clock nothing ever arrives."""
    catch_up(gb)
    gb.serial.sc = value & (RUNNING | FAST if gb.color.functions else RUNNING)
    gb.serial.bits_left = 8
    if value & RUNNING == RUNNING:
        log_sent(gb)
    reschedule(gb)


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
