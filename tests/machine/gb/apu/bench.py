"""A bare sound chip on a clock of M-cycles, run as plain Python, with a listener beside it if wanted."""

from __future__ import annotations

import ctypes
from typing import Any

from tracklayer.machine.common.clock import NEVER
from tracklayer.machine.gb.apu import channels, listener, registers, sequencer
from tracklayer.machine.gb.apu.state import CHANNELS, Apu

NR10, NR11, NR12, NR13, NR14 = range(0x05)
NR21, NR22, NR23, NR24 = range(0x06, 0x0A)
NR30, NR31, NR32, NR33, NR34 = range(0x0A, 0x0F)
NR41, NR42, NR43, NR44 = range(0x10, 0x14)
NR50, NR51, NR52 = range(0x14, 0x17)
WAVE = 0x20
STEP = 2048
"""M-cycles between two steps of the sequencer."""


class Chip:
    """A chip whose divider has just been cleared. `double`: an M-cycle is one tick instead of two."""

    def __init__(self, revision: int, power: bool = True, double: bool = False) -> None:
        self.apu: Any = Apu()
        self.apu.revision = revision
        self.apu.edge_at = self.apu.sweep.due = NEVER
        self.now = self.apu.origin = 1 << 16
        self.cycle = 1 if double else 2
        self.listener: Any = None
        if power:
            self.write(NR52, 0x80)

    def wait(self, cycles: int) -> Chip:
        """Let M-cycles pass."""
        self.now += cycles * self.cycle
        return self

    def write(self, register: int, value: int) -> Chip:
        """Write, without letting time pass."""
        registers.write(self.apu, register, value, self.now, self.now + self.cycle)
        if self.listener is not None:
            listener.write(self.listener, register, value, self.now, self.now + self.cycle)
        return self

    def read(self, register: int) -> int:
        return int(registers.read(self.apu, register, self.now))

    def pcm(self, channel: int) -> int:
        """The four bits that a channel gives now."""
        pair = registers.pcm(self.apu, channel & 2, self.now)
        return int(pair >> 4 if channel & 1 else pair & 15)

    @property
    def running(self) -> int:
        return self.read(NR52) & 15

    def clear_divider(self) -> Chip:
        sequencer.catch_up(self.apu, self.now)
        sequencer.divider_cleared(self.apu, self.now)
        if self.listener is not None:
            listener.divider_cleared(self.listener, self.now)
        return self

    def settle(self) -> bytes:
        """Bring everything up to date, and give the state."""
        return settle(self.apu, self.now)

    def listen(self, rate: int, seconds: float, separate: bool = False) -> None:
        """Put a listener beside the chip, with room for so much sound, and without a high-pass filter."""
        lanes = CHANNELS if separate else 1
        made: Any = listener.Listener()
        made.capacity = int(rate * seconds) + 64
        self.steps = (ctypes.c_uint64 * (lanes * (made.capacity + 64)))()
        self.samples = (ctypes.c_int16 * (2 * lanes * made.capacity))()
        self.areas = (ctypes.c_uint64 * (made.capacity + 64))()
        made.areas = ctypes.cast(self.areas, type(made.areas))
        made.steps = ctypes.cast(self.steps, type(made.steps))
        made.samples = ctypes.cast(self.samples, type(made.samples))
        made.rate = rate
        made.separate = separate
        made.base = self.now
        ctypes.memmove(ctypes.addressof(made.apu), ctypes.addressof(self.apu), ctypes.sizeof(self.apu))
        made.on = 1
        self.listener = made

    def heard(self) -> Any:
        """All samples so far: shape (lanes, n, 2)."""
        import numpy

        listener.finish(self.listener, self.now)
        samples = numpy.ctypeslib.as_array(self.samples).reshape(-1, self.listener.capacity, 2)
        return samples[:, : self.listener.count].astype(int)


def settle(apu: Any, now: int) -> bytes:
    """Bring a chip up to date, and give its state."""
    sequencer.catch_up(apu, now)
    for channel in range(CHANNELS):
        channels.advance(apu, channel, now)
    return ctypes.string_at(ctypes.addressof(apu), ctypes.sizeof(apu))
