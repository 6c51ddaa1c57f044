"""The state of the sound chip: what a saved state holds of it.

For:       the structs, and the names of registers by their distance from FF10.
Not for:   what changes them.
Invariant: time is counted in ticks of 2,097,152 Hz, two dots each: the rate of the chip's quickest part. `running`,
           lengths, envelopes, the sweep and the sequencer are right up to the next of `edge_at` and `sweep.due`; the
           waves may lag behind: `step_at`, `fetch_at` and `count_at` say when each moves next.
Source:    Pan Docs, "Audio Registers", "Audio Details".
"""

from __future__ import annotations

from tracklayer.lang import Array, array, struct, u1, u8, u16, u64

RATE_BITS = 21
"""Ticks are 2**21 in a second: ticks times rate is time in samples, with so many bits behind the point."""

CHANNELS = 4
PULSES = (0, 1)
WAVE = 2
NOISE = 3
ENVELOPES = (0, 1, 3)
"""The channels that have one."""

NR10, NR12, NR13, NR14 = 0x00, 0x02, 0x03, 0x04
NR30, NR32, NR33, NR34 = 0x0A, 0x0C, 0x0D, 0x0E
NR42, NR43, NR44 = 0x11, 0x12, 0x13
NR50, NR51, NR52 = 0x14, 0x15, 0x16
WAVE_RAM = 0x20
REGISTERS = 0x30

# Revisions of the chip, in order of age: what an older one does, the next may not do any more.
DMG, CGB_B, CGB_C, CGB_D, CGB_E = range(5)


@struct
class Pulse:
    """A square wave of eight steps, four of them duties."""

    period: u16
    """NRx3 and the low bits of NRx4: a step takes 2 * (2048 - period) ticks."""
    step: u8
    high: u1
    """The duty's bit of this step: decided when the step began."""
    step_at: u64
    stepped_at: u64


@struct
class Wave:
    """32 samples of four bits, from wave RAM."""

    period: u16
    """NR33 and the low bits of NR34: a sample takes 2048 - period ticks."""
    index: u8
    buffer: u8
    """The byte fetched last; bit 0 of `index` selects the nibble that is heard."""
    fetch_at: u64
    fetched_at: u64
    ram: Array[u8] = array(16)


@struct
class Noise:
    """A shift register, shifted when a bit of a 14-bit counter rises."""

    lfsr: u16
    counter: u16
    count_at: u64
    counted_at: u64


@struct
class Envelope:
    """What moves a volume by itself, at 64 Hz."""

    volume: u8
    countdown: u8
    armed: u1
    """The volume moves at the sequencer's next step."""
    ended: u1
    """It came to its end and moves no more."""


@struct
class Length:
    """What turns a channel off by itself: clocks of 256 Hz left."""

    left: u16
    enabled: u1


@struct
class Sweep:
    """What moves the first channel's period by itself."""

    shadow: u16
    """The period that it reckons from."""
    addend: u16
    """What it adds or subtracts, shifted when that was last reckoned."""
    counter: u8
    """Counts up at 128 Hz; at 7 the period moves."""
    enabled: u1
    """Pace or shift were not 0 at the last trigger."""
    subtracted: u1
    """It has subtracted since the last trigger."""
    due: u64
    """When the check whether the next period would pass 11 bits is done; NEVER if none is going on."""
    triggered_at: u64


@struct
class Apu:
    """The sound chip."""

    revision: u8
    power: u1
    running: u8
    """Bits 3-0: the channels that NR52 shows as on."""
    steps: u8
    """Steps of the sequencer since power came on, modulo 8."""
    skip: u8
    """Steps that do not count, because power came on while the divider's bit was high."""
    powered_at: u64
    """The clocks of the channels are divided from then on."""
    origin: u64
    """When the divider was zero."""
    late: u1
    """1: what the divider does reaches the sequencer a tick late (port.py, `speed_changed`)."""
    switches: u1
    """Changes to double speed since power came on, modulo 2."""
    edge_at: u64
    """When the divider's bit for the sequencer changes next; NEVER without power."""
    sweep: Sweep
    wave: Wave
    noise: Noise
    pulses: Array[Pulse] = array(2)
    envelopes: Array[Envelope] = array(CHANNELS)
    lengths: Array[Length] = array(CHANNELS)
    registers: Array[u8] = array(WAVE_RAM)
    """FF10 to FF2F as written."""
