"""The timer: TIMA TMA TAC, FF05-FF07, and the divider it counts by.

For:       TIMA's steps, overflows and interrupt requests, at any time somebody looks.
Not for:   DIV (divider.py); the serial clock, which comes from the same divider (serial.py).
Invariant: TIMA is right as of `synced`; between `synced` and now nothing wrote to the timer.
Source:    Pan Docs, "Timer and Divider Registers", "Timer Obscure Behaviour"; gb-ctr, "Timer".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, struct, typed, u8, u64
from tracklayer.machine.common.clock import NEVER, Clock
from tracklayer.machine.common.registers import Reg

from . import events
from .interrupts import TIMER, Interrupts, enabled, request

PERIOD_BITS = (10, 4, 6, 8)
"""log2 of the T-cycles per TIMA step, by TAC bits 1-0: 4096, 262144, 65536, 16384 Hz.

The watched divider bit is one lower."""

RELOAD_DELAY = 4
"""T-cycles that TIMA stays 0 after an overflow, before TMA is loaded and the interrupt requested."""


@struct
class Timer:
    """The 16-bit divider counts T-cycles and is never stored: it is the time since `origin`. DIV is its high byte."""

    origin: u64
    synced: u64
    reload_at: u64
    """When TIMA, 0 after an overflow, is loaded from TMA; NEVER if no overflow is pending."""
    reloaded_at: u64
    """When that happened last: in that M-cycle TIMA cannot be written, and a write to TMA reaches TIMA too."""
    tima: u8
    tma: u8
    tac: u8


class Machine(Protocol):
    """What the timer reaches of its machine."""

    clock: Clock
    interrupts: Interrupts
    hram: Array[u8]
    timer: Timer


@typed(shared=True)
def catch_up(gb: Machine) -> None:
    """Step TIMA for every falling edge of the watched divider bit since the last look."""
    now = gb.clock.now()
    timer = gb.timer
    if timer.reload_at <= now:
        finish_reload(gb, timer.reload_at)
    if timer.tac & 4:
        bits = PERIOD_BITS[timer.tac & 3]
        counter = u64(now - timer.origin)
        edges: u64 = u64((counter >> bits) - (u64(timer.synced - timer.origin) >> bits))
        to_overflow: u64 = 256 - timer.tima
        if edges >= to_overflow:
            while edges >= to_overflow:
                edges = u64(edges - to_overflow)
                to_overflow = 256 - timer.tma
            since = counter & ((1 << bits) - 1)
            if edges == 0 and since < RELOAD_DELAY:
                timer.tima = 0
                timer.reload_at = u64(now - since + RELOAD_DELAY)
            else:
                # An edge before the last reload needs no thought: steps are at least 16 cycles apart, the delay is 4.
                finish_reload(gb, now if edges == 0 and since == RELOAD_DELAY else 0)
        timer.tima = u8(timer.tima + edges)
    timer.synced = now


@typed
def finish_reload(gb: Machine, time: u64) -> None:
    """TMA is loaded into TIMA, and the interrupt is requested."""
    gb.timer.tima = gb.timer.tma
    gb.timer.reloaded_at = time
    gb.timer.reload_at = NEVER
    request(gb, TIMER)


@typed(shared=True)
def reschedule(gb: Machine) -> None:
    """Plan the next interrupt request if the CPU can feel it. TIMA must be right as of now."""
    timer = gb.timer
    due: u64 = timer.reload_at
    if due == NEVER and timer.tac & 4:
        bits = PERIOD_BITS[timer.tac & 3]
        counter = u64(gb.clock.now() - timer.origin)
        overflow = u64((counter >> bits) + 256 - timer.tima)
        due = u64(timer.origin + (overflow << bits) + RELOAD_DELAY)
    if enabled(gb, TIMER):
        gb.clock.schedule(events.TIMER, due)
    else:
        gb.clock.cancel(events.TIMER)


@typed
def due(gb: Machine) -> None:
    """The event: the interrupt is requested, and the next one planned."""
    catch_up(gb)
    reschedule(gb)


@typed
def line(gb: Machine) -> u8:
    """The signal whose falling edge steps TIMA: enable AND the watched divider bit."""
    counter = u64(gb.clock.now() - gb.timer.origin)
    return (gb.timer.tac >> 2) & (counter >> (PERIOD_BITS[gb.timer.tac & 3] - 1)) & 1


@typed
def step(gb: Machine) -> None:
    """One step of TIMA out of turn: a write made the watched signal fall."""
    if gb.timer.tima == 0xFF:
        gb.timer.reload_at = u64(gb.clock.now() + RELOAD_DELAY)
    gb.timer.tima = u8(gb.timer.tima + 1)


@typed
def divider_cleared(gb: Machine, was_high: u8) -> None:
    """DIV was written: if that dropped the watched signal, TIMA steps. Called when TIMA is right as of now.

    Source: Pan Docs, "Timer Obscure Behaviour".  Proof: mooneye timer/tim00_div_trigger to tim11_div_trigger.
    """
    if was_high:
        step(gb)
    reschedule(gb)


@typed
def read_tima(gb: Machine) -> u8:
    """TIMA, the counter."""
    catch_up(gb)
    return gb.timer.tima


@typed
def write_tima(gb: Machine, value: u8) -> None:
    """A write while an overflow is pending cancels the reload; a write in the M-cycle of the reload is lost.

    Proof: mooneye timer/tima_write_reloading.
    """
    catch_up(gb)
    if gb.timer.reloaded_at != gb.clock.now():
        gb.timer.tima = value
        gb.timer.reload_at = NEVER
    reschedule(gb)


@typed
def read_tma(gb: Machine) -> u8:
    """TMA, what TIMA is loaded with after an overflow."""
    return gb.timer.tma


@typed
def write_tma(gb: Machine, value: u8) -> None:
    """A write in the M-cycle of the reload reaches TIMA too. Proof: mooneye timer/tma_write_reloading."""
    catch_up(gb)
    gb.timer.tma = value
    if gb.timer.reloaded_at == gb.clock.now():
        gb.timer.tima = value
    reschedule(gb)


@typed
def read_tac(gb: Machine) -> u8:
    """TAC: bit 2 enables, bits 1-0 select the rate."""
    return gb.timer.tac


@typed
def write_tac(gb: Machine, value: u8) -> None:
    """Another rate, on or off; if that drops the watched signal, TIMA steps. Proof: mooneye timer/rapid_toggle."""
    catch_up(gb)
    was_high = line(gb)
    gb.timer.tac = value & 7
    if was_high and not line(gb):
        step(gb)
    reschedule(gb)


REGISTERS = (
    #   address name    reads as 1  on read    on write
    Reg(0xFF05, "TIMA", 0x00,       read_tima, write_tima),
    Reg(0xFF06, "TMA",  0x00,       read_tma,  write_tma),
    Reg(0xFF07, "TAC",  0xF8,       read_tac,  write_tac),
)  # fmt: skip
