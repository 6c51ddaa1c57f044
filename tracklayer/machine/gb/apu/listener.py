"""Who hears the chip: a second chip on the same bus, whose output is turned into samples.

For:       playing the channels edge by edge, at any sampling rate, band-limited.
Not for:   what needs no edges (average.py, ultrasonic.py); the sum of all, without the constant part (mixing.py); what
           the guest can read: that is the first chip's, which never knows whether anybody listens.
Invariant: the second chip is in the state that the first would be in if it were brought as far; `steps` holds the
           differences between samples that are not made yet. All of it is integers, so every engine hears the same,
           and linear, so that it does not matter how often `finish` is called.
Source:    Pan Docs, "Mixer", "DACs".
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import (
    Array,
    Ptr,
    array,
    i16,
    i64,
    struct,
    typed,
    u1,
    u2,
    u8,
    u16,
    u32,
    u64,
)  # fmt: skip

from . import average, channels, mixing, noise, pulse, registers, sequencer, ultrasonic, wave
from .kernel import PHASES, PHASES_BITS, TAPS, TAPS_BITS, UNIT_BITS, kernel
from .pairs import left, right
from .state import CHANNELS, NOISE, NR30, NR32, NR43, NR50, NR51, PULSES, RATE_BITS, WAVE, Apu
from .ultrasonic import PARTS_BITS

ROWS = PHASES - 1 << TAPS_BITS
"""The bits of a row's place in the kernel."""


@struct
class Listener:
    """The second chip, and the sound that it makes. A stereo pair is one word: left << 32 plus right, both signed."""

    on: u8
    separate: u1
    """Each channel has its own samples."""
    begun: u1
    rate: u32
    """Samples a second."""
    leak: u32
    """How much of the signal a sample adds to the high-pass filter's charge, << mixing.CHARGE_BITS."""
    base: u64
    """The tick that `lead` is the time of."""
    lead: u64
    """Time in samples since the first of `steps`, with RATE_BITS behind the point."""
    capacity: u32
    """How many samples `steps`, and `samples`, have room for, for each lane."""
    count: u32
    """Samples ready."""
    steps: Ptr[u64]
    """Pairs: `capacity` + TAPS for each lane. There is a lane for each channel, or one for all."""
    touched: u1
    """There is something in `steps`."""
    areas: Ptr[u64]
    """Pairs: `capacity` + TAPS, as `steps`, but what noise that is averaged adds (average.py), << RATE_BITS."""
    averaging: u1
    """There is something in `areas`."""
    area: u64
    """A pair: the sum of all `areas` before those that are there."""
    samples: Ptr[i16]
    """Left, right, left, ...: `capacity` pairs for each lane."""
    levels: Array[u64] = array(CHANNELS)
    """Pairs: what each channel gives now, in sixteenths."""
    sums: Array[u64] = array(CHANNELS)
    """Pairs, by lane: the last sample before the high-pass filter, << UNIT_BITS."""
    charges: Array[i64] = array(2 * CHANNELS)
    """By lane and side: what the high-pass filter takes off, << mixing.CHARGE_BITS."""
    apu: Apu


@typed
def gain(apu: Apu, channel: Any) -> u64:
    """A pair: by how much NR51 and NR50 amplify the channel, 0 to 8."""
    panning = apu.registers[NR51]
    volume = apu.registers[NR50]
    left = (volume >> 4 & 7) + 1 if panning >> (4 + channel) & 1 else 0
    right = (volume & 7) + 1 if panning >> channel & 1 else 0
    return left << 32 | right


@typed
def analog(digital: u8, amplification: u64) -> u64:
    """A pair: what a DAC makes of four bits. 0 is the highest level. Source: Pan Docs, "DACs"."""
    return u64((15 - 2 * digital) * amplification)


@typed(outline=True)
def level(listener: Listener, channel: Any) -> u64:
    """A pair, in sixteenths: what the channel gives, when it is up to date. A DAC that is off gives nothing."""
    apu = listener.apu
    if not channels.dac(apu, channel):
        return 0
    amplification = gain(apu, channel)
    if channel != NOISE and ultrasonic.averaged(listener, channel):
        return ultrasonic.level(apu, channel, amplification)
    return parts(analog(channels.output(apu, channel), amplification))


@typed
def parts(whole: u64) -> u64:
    """A pair in sixteenths."""
    return u64(whole << PARTS_BITS)


@typed
def place_of(listener: Listener, channel: u2, at: u64) -> tuple[u32, u32, u32]:
    """Where a step at a tick belongs: its sample, the place of that in `steps`, and its row in the kernel."""
    position = u64(listener.lead + u64(u64(at - listener.base) * listener.rate))
    index: u32 = u32(position >> RATE_BITS)
    lane = channel if listener.separate else 0
    row = (position >> (RATE_BITS - PHASES_BITS) & (PHASES - 1)) << TAPS_BITS
    return index, u32(index + lane * (listener.capacity + TAPS)), u32(row)


@typed(shared=True)
def change(listener: Listener, channel: u2, now: u64, at: u64) -> None:
    """The channel gives another level from tick `at` on: a pair, in sixteenths."""
    difference = u64(now - listener.levels[channel])
    if difference != 0:
        listener.levels[channel] = now
        if (left(difference) | right(difference)) & (1 << PARTS_BITS) - 1:
            step_parts(listener, channel, difference, at)
        else:
            step(listener, channel, u64(i64(difference) >> PARTS_BITS), at)


@typed(shared=True)
def step_parts(listener: Listener, channel: u2, difference: u64, at: u64) -> None:
    """`step`, by sixteenths. What rounding took off the row comes with its last, so that its sum is right."""
    sample, place, row = place_of(listener, channel, at)
    if sample < listener.capacity:
        listener.touched = 1
        shape = kernel()
        rest: u64 = u64(difference << UNIT_BITS - PARTS_BITS)
        tap: u8 = 0
        while tap < TAPS:
            height = shape[(row & ROWS) + (tap & TAPS - 1)]
            now = u64(u64(left(difference) * height >> PARTS_BITS << 32) + (right(difference) * height >> PARTS_BITS))
            rest = u64(rest - now)
            if tap == TAPS - 1:
                now = u64(now + rest)
            listener.steps[place + tap] = u64(listener.steps[place + tap] + now)
            tap = u8(tap + 1)


@typed(shared=True)
def step(listener: Listener, channel: u2, change: u64, at: u64) -> None:
    """The channel's level changes by a pair, at tick `at`."""
    sample, place, row = place_of(listener, channel, at)
    if sample < listener.capacity:
        listener.touched = 1
        shape = kernel()
        for tap in range(TAPS):
            listener.steps[place + tap] = u64(listener.steps[place + tap] + u64(change * shape[(row & ROWS) + tap]))


@typed
def audible(apu: Apu, channel: Any) -> bool:
    """Whether the channel's own movement can be heard. Where it cannot, the channel may lag behind."""
    if apu.running >> channel & 1 == 0 or gain(apu, channel) == 0:
        return False
    if channel == WAVE:
        return apu.registers[NR32] & 0x60 != 0 and apu.registers[NR30] & 0x80 != 0
    return apu.envelopes[channel].volume & 15 != 0


@typed(shared=True)
def relevel(listener: Listener, at: u64) -> None:
    """Something changed at tick `at`."""
    apu = listener.apu
    for channel in range(CHANNELS):
        if audible(apu, channel):
            channels.advance(apu, channel, at)
        change(listener, channel, level(listener, channel), at)


@typed(shared=True)
def play_pulse(listener: Listener, channel: Any, to: u64) -> None:
    """A square wave's edges."""
    apu = listener.apu
    own = apu.pulses[channel]
    if not audible(apu, channel):
        return
    if ultrasonic.pulse_is(listener, channel):
        settle(listener, channel, own.step_at, to)
        return
    amplification = gain(apu, channel)
    low, high = analog(0, amplification), analog(apu.envelopes[channel].volume & 15, amplification)
    length = pulse.step_length(own.period)
    at: u64 = own.step_at
    place: u8 = own.step
    was: u8 = own.high
    if at <= to:
        while at <= to:
            place = (place + 1) & 7
            bit = pulse.duty_bit(apu, channel, place)
            if bit != was:
                step(listener, channel, u64(high - low) if bit else u64(low - high), at)
            was = bit
            at = u64(at + length)
        own.step = place
        own.high = was & 1
        own.step_at = at
        own.stepped_at = u64(at - length)
        listener.levels[channel] = parts(high if was else low)


@typed
def settle(listener: Listener, channel: Any, first: u64, to: u64) -> None:
    """What is beyond hearing: from its first short step on there is only an average."""
    if first <= to:
        channels.advance(listener.apu, channel, to)
        change(listener, channel, level(listener, channel), first)


@typed(shared=True)
def play_wave(listener: Listener, to: u64) -> None:
    """The samples of wave RAM."""
    apu = listener.apu
    if not audible(apu, WAVE):
        return
    own = apu.wave
    if ultrasonic.wave_is(listener):
        settle(listener, WAVE, own.fetch_at, to)
        return
    amplification = gain(apu, WAVE)
    length = wave.sample_length(own.period)
    at: u64 = own.fetch_at
    index: u8 = own.index
    was: u64 = u64(i64(listener.levels[WAVE]) >> PARTS_BITS)
    if at <= to:
        while at <= to:
            index = (index + 1) & 31
            buffer = own.ram[index >> 1]
            now = analog(wave.sample(apu, index, buffer), amplification)
            if now != was:
                step(listener, WAVE, u64(now - was), at)
            was = now
            at = u64(at + length)
        own.index = index
        own.buffer = own.ram[index >> 1 & 15]
        own.fetch_at = at
        own.fetched_at = u64(at - length)
        listener.levels[WAVE] = parts(was)


@typed(shared=True)
def play_noise(listener: Listener, to: u64) -> None:
    """The shift register's bit; the counts that clock nothing are taken together."""
    apu = listener.apu
    own = apu.noise
    nr43 = apu.registers[NR43]
    bit = nr43 >> 4
    if not audible(apu, NOISE) or bit > 13:
        return
    amplification = gain(apu, NOISE)
    low, high = analog(0, amplification), analog(apu.envelopes[NOISE].volume & 15, amplification)
    length = noise.count_length(nr43)
    half = 1 << bit
    round_trip = u64(length) << (bit + 1)
    counts = (half - own.counter - 1) & (half << 1) - 1
    at: u64 = u64(own.count_at + u64(counts) * length)
    if at <= to:
        lfsr: u16 = own.lfsr
        if nr43 & 8 == 0:
            if average.worthwhile(listener, round_trip):
                lfsr = average.play(listener, u64(high - low), at, round_trip, to)
            else:
                lfsr = play_white(listener, u64(high - low), at, round_trip, to)
        else:
            while at <= to:
                was = lfsr & 1
                lfsr = noise.shifted(lfsr, 8)
                if lfsr & 1 != was:
                    step(listener, NOISE, u64(low - high) if was else u64(high - low), at)
                at = u64(at + round_trip)
        listener.levels[NOISE] = parts(high if lfsr & 1 else low)
        noise.count(apu, to)
        own.lfsr = lfsr


@typed(shared=True)
def play_white(listener: Listener, height: u64, at: u64, period: u64, to: u64) -> u16:
    """White noise's edges: the register's clocks from `at` to `to`, `period` ticks apart. 1 is `height` above 0.

    As many clocks at once as the register knows beforehand: whether there is an edge or not cannot be foreseen by the
    host, so it looks for the next one instead of asking at each clock.
    Returns: the register after that.
    """
    lfsr: u16 = listener.apu.noise.lfsr & 0x7FFF
    first: u64 = at
    while first <= to:
        clocks: u8 = 1
        next_at: u64 = u64(first + period)
        while next_at <= to and clocks < noise.FORESEEN:
            next_at = u64(next_at + period)
            clocks = u8(clocks + 1)
        bits = noise.foreseen(lfsr)
        edges: u16 = (bits ^ bits >> 1) & (1 << (clocks & 15)) - 1
        change: u64 = u64(0 - height) if lfsr & 1 else height
        while edges:
            step(listener, NOISE, change, u64(first + noise.lowest(edges) * period))
            change = u64(0 - change)
            edges = edges & u16(edges - 1)
        lfsr = bits >> (clocks & 15) & 0x7FFF
        first = next_at
    return lfsr


@typed
def play_channels(listener: Listener, to: u64) -> None:
    """All edges up to tick `to`, where nothing else happens until then."""
    for channel in PULSES:
        play_pulse(listener, channel, to)
    play_wave(listener, to)
    play_noise(listener, to)


@typed(shared=True)
def play(listener: Listener, to: u64) -> None:
    """Everything up to tick `to`."""
    apu = listener.apu
    if not listener.begun:
        begin(listener)
    while min(apu.edge_at, apu.sweep.due) <= to:
        at = min(apu.edge_at, apu.sweep.due)
        play_channels(listener, at)
        sequencer.next_event(apu)
        relevel(listener, at)
    play_channels(listener, to)


@typed
def begin(listener: Listener) -> None:
    """The second chip was just made a copy of the first. Wherever its levels stand counts as silence."""
    apu = listener.apu
    sequencer.catch_up(apu, listener.base)
    for channel in range(CHANNELS):
        channels.advance(apu, channel, listener.base)
        listener.levels[channel] = level(listener, channel)
        listener.sums[channel] = 0
    for channel in range(CHANNELS):
        lane = channel if listener.separate else 0
        listener.sums[lane] = u64(listener.sums[lane] + u64(listener.levels[channel] << UNIT_BITS - PARTS_BITS))
    for lane in range(CHANNELS):
        listener.charges[2 * lane] = i64(left(listener.sums[lane]) << mixing.CHARGE_BITS)
        listener.charges[2 * lane + 1] = i64(right(listener.sums[lane]) << mixing.CHARGE_BITS)
    listener.begun = 1


@typed(shared=True)
def write(listener: Listener, index: u8, value: u8, now: u64, end: u64) -> None:
    """The CPU writes a register."""
    play(listener, now)
    registers.write(listener.apu, index, value, now, end)
    relevel(listener, now)


@typed(shared=True)
def divider_cleared(listener: Listener, now: u64) -> None:
    """The divider is zero now."""
    play(listener, now)
    sequencer.divider_cleared(listener.apu, now)
    relevel(listener, now)


@typed(shared=True)
def finish(listener: Listener, now: u64) -> None:
    """Make the samples up to tick `now`. Where nobody fetched the ones before in time, they are lost."""
    play(listener, now)
    total = u64(listener.lead + u64(u64(now - listener.base) * listener.rate))
    listener.base = now
    listener.lead = total & ((1 << RATE_BITS) - 1)
    made = u32(min(total >> RATE_BITS, listener.capacity))
    if made > 0:
        if listener.count + made > listener.capacity:
            listener.count = 0
        if listener.averaging:
            average.finish(listener, made)
        kept: u64 = 0
        for lane in range(CHANNELS):
            if lane == 0 or listener.separate:
                if listener.touched or not mixing.silent(listener, lane):
                    kept = kept | mixing.mix(listener, lane, made)
                else:
                    mixing.hush(listener, lane, made)
        listener.touched = kept != 0
        listener.count += made
