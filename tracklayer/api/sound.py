"""What a console sounds like, as arrays: the Python side of listening.

For:     giving the sound chip's listener its memory, and fetching the samples that it made.
Not for: making them (machine/gb/apu).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from tracklayer.machine.gb import apu

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

DEFAULT_RATE = 48_000
LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000
CYCLES_PER_SECOND = 4_194_304
SPARE = 256
"""Samples of room beyond a slice: it ends a few instructions late."""

CHARGE_FACTORS = {"dmg": 0.999958}
OTHER_CHARGE_FACTOR = 0.998943
"""What the capacitor behind the mixer keeps of its charge in a T-cycle. Source: Pan Docs, "Obscure Behavior"."""


class Sound:
    """One console's listener. `slice_cycles` is the longest time between two calls of `collect`."""

    def __init__(self, gb: Any, model: str, slice_cycles: int) -> None:
        self._gb = gb
        self._model = model
        self._slice_cycles = slice_cycles
        self.listening = False
        self._rate = DEFAULT_RATE
        self._separate = False
        self._buffers: tuple[Any, Any] | None = None
        self._chunks: list[list[bytes]] = [[]]

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self._rate

    @rate.setter
    def rate(self, rate: int) -> None:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f"a sampling rate lies within {LOWEST_RATE:,} and {HIGHEST_RATE:,}, this is {rate:,}")
        self.listen(False)
        self._rate = rate

    @property
    def separate(self) -> bool:
        """Whether each channel is kept by itself."""
        return self._separate

    @separate.setter
    def separate(self, separate: bool) -> None:
        self.listen(False)
        self._separate = separate
        self.forget()

    def forget(self) -> None:
        """What was heard so far is not wanted any more."""
        self._chunks = [[] for _ in range(apu.CHANNELS if self._separate else 1)]

    def listen(self, on: bool) -> None:
        """Listen from now on, or no more. What was heard stays."""
        listener = self._gb.host.listener
        self.listening = on
        listener.on = 0
        if not on:
            return
        lanes = apu.CHANNELS if self._separate else 1
        capacity = self._slice_cycles * self._rate // CYCLES_PER_SECOND + SPARE
        ctypes.memset(ctypes.addressof(listener), 0, ctypes.sizeof(listener))
        steps = (ctypes.c_uint64 * (lanes * (capacity + SPARE)))()
        samples = (ctypes.c_int16 * (2 * lanes * capacity))()
        self._buffers = steps, samples
        listener.steps = ctypes.cast(steps, type(listener.steps))
        listener.samples = ctypes.cast(samples, type(listener.samples))
        listener.capacity = capacity
        listener.rate = self._rate
        listener.separate = self._separate
        kept = CHARGE_FACTORS.get(self._model, OTHER_CHARGE_FACTOR) ** (CYCLES_PER_SECOND / self._rate)
        listener.leak = round((1 - kept) * (1 << apu.CHARGE_BITS))
        listener.base = apu.ticks(self._gb)
        ctypes.memmove(ctypes.addressof(listener.apu), ctypes.addressof(self._gb.apu), ctypes.sizeof(self._gb.apu))
        listener.on = 1

    @property
    def heard(self) -> int:
        """The dot up to which sound was made: an engine may return before its time, and then makes none."""
        return 2 * int(self._gb.host.listener.base)

    def collect(self) -> None:
        """Fetch the samples that are ready."""
        listener = self._gb.host.listener
        count = listener.count
        if count and self._buffers is not None:
            listener.count = 0
            start = ctypes.addressof(self._buffers[1])
            for lane, chunks in enumerate(self._chunks):
                chunks.append(ctypes.string_at(start + 4 * lane * listener.capacity, 4 * count))

    def channels(self) -> NDArray[numpy.int16]:
        """int16, shape (4, n, 2): what each channel contributed since `forget`."""
        import numpy

        lanes = [numpy.frombuffer(b"".join(chunks), numpy.int16).reshape(-1, 2) for chunks in self._chunks]
        return numpy.stack(lanes)

    def mixed(self) -> NDArray[numpy.int16]:
        """int16, shape (n, 2): what was heard since `forget`."""
        import numpy

        channels = self.channels()
        if len(channels) == 1:
            return numpy.array(channels[0])
        total: NDArray[numpy.int32] = channels.sum(axis=0, dtype=numpy.int32)
        return total.clip(-32768, 32767).astype(numpy.int16)
