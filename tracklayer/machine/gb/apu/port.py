"""Where the sound chip meets its console: addresses, and time.

For:     reads and writes of FF10 to FF3F, the divider being cleared, the state that a boot ROM leaves; who listens.
Not for: what the registers do (registers.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tracklayer.lang import typed, u8, u16, u64
from tracklayer.machine.common.clock import NEVER, Clock

from ..speed import Speed, dots
from . import listener, pulse, registers, sequencer
from .state import CGB_E, DMG, REGISTERS, Apu

if TYPE_CHECKING:
    from ..host import GbHost

FIRST = 0xFF10
COUNT = REGISTERS


class Machine(Protocol):
    """What the sound chip reaches of its machine."""

    host: GbHost
    clock: Clock
    speed: Speed
    apu: Apu


@typed
def ticks(gb: Machine) -> u64:
    """The sound chip's time now. The one place where T-cycles become its ticks."""
    return dots(gb) >> 1


@typed
def cycle(gb: Machine) -> u8:
    """The chip's ticks in an M-cycle."""
    return 2 >> gb.speed.double


@typed
def read(gb: Machine, address: u16) -> u8:
    """A register FF10-FF3F as the CPU sees it."""
    return registers.read(gb.apu, (address - FIRST) & 0x3F, ticks(gb))


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """The CPU writes FF10-FF3F."""
    now = ticks(gb)
    end = u64(now + cycle(gb))
    registers.write(gb.apu, (address - FIRST) & 0x3F, value, now, end)
    if gb.host.listener.on:
        listener.write(gb.host.listener, (address - FIRST) & 0x3F, value, now, end)


@typed
def pcm(gb: Machine, low: Any) -> u8:
    """PCM12 (`low` is 0) or PCM34 (2)."""
    return registers.pcm(gb.apu, low, ticks(gb))


@typed
def divider_cleared(gb: Machine) -> None:
    """The divider is zero now: the sequencer's clock comes from it."""
    now = ticks(gb)
    sequencer.catch_up(gb.apu, now)
    sequencer.divider_cleared(gb.apu, now)
    if gb.host.listener.on:
        gb.host.listener.apu.late = gb.apu.late
        listener.divider_cleared(gb.host.listener, now)


@typed
def speed_changed(gb: Machine) -> None:
    """The speed is another one; the divider will be cleared.

    Every other change to double speed since power came on, the first among them, has the sequencer a tick late until
    the next change.
    Source: age speed-switch/spsw-ch2-lc-delay-cgbBCE, whose comments tell what was measured; why, nobody has told.
    """
    if gb.speed.double:
        gb.apu.switches = 1 - gb.apu.switches
    gb.apu.late = gb.speed.double & gb.apu.switches


@typed
def hear(gb: Machine) -> None:
    """The engine is about to return: whoever listens gets the sound up to now."""
    if gb.host.listener.on:
        listener.finish(gb.host.listener, ticks(gb))


BOOT = {0x11: 0x80, 0x12: 0xF3, 0x13: 0xC1, 0x14: 0x87, 0x24: 0x77, 0x25: 0xF3}
"""What a boot ROM wrote last; the rest stands as power left it. Its second note sounds on, at volume 0."""

REVISIONS = {
    #        chip   sequencer  step of channel 1, ticks to its next
    "dmg":  (DMG,   1,         2,                 12),
    "cgb":  (CGB_E, 0,         6,                 74),
}  # fmt: skip
"""By model: the chip, and how far it is when the cartridge starts.

The sequencer, DMG: the boot ROM turns power on after clearing VRAM, which takes 28 steps' time of the divider to within
a few cycles, and ends when the divider, counted from the start, has stepped 5 times modulo 8: 5 - 28 = 1 modulo 8.
Proof: gambatte sound/ch2_init_env_counter_timing_* for the sequencer, ch1_init_pos_* for channel 1.
UNVERIFIED: a Game Boy Color with a plain cartridge, whose boot ROM takes longer.
"""


def power_up(gb: Any, revision: int) -> None:
    """The chip as power finds it: off."""
    gb.apu.revision = revision
    gb.apu.origin = gb.timer.origin >> 1
    sequencer.power_off(gb.apu)


def boot(gb: Any, revision: int) -> None:
    """The chip as a boot ROM leaves it. The clock must show the time of the cartridge's first instruction."""
    apu = gb.apu
    now = ticks(gb)
    apu.revision, steps, apu.pulses[0].step, next_step = REVISIONS["cgb" if revision else "dmg"]
    if revision:
        apu.revision = revision
    apu.origin = gb.timer.origin >> 1
    apu.sweep.due = NEVER
    apu.power = 1
    sequencer.power_on(apu, now, now)
    apu.powered_at, apu.skip, apu.steps = 0, 0, steps
    for register, value in BOOT.items():
        apu.registers[register - (FIRST & 0xFF)] = value
    apu.running = 1
    apu.pulses[0].period = 0x7C1
    apu.pulses[0].step_at = now + next_step
    apu.pulses[0].high = pulse.duty_bit(apu, 0, apu.pulses[0].step)
    apu.envelopes[0].ended = 1
    apu.lengths[0].left = 64
