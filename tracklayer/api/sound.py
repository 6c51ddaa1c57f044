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
    """One console's listener. `slice_cycles` is the longest time between two calls of `collect` or `forget`.

    Samples stay where the listener put them until somebody asks for them, or there will be more.
    """

    def __init__(self, gb: Any, model: str, slice_cycles: int) -> None:
        self._gb = gb
        self._listener = gb.host.listener
        self._model = model
        self._slice_cycles = slice_cycles
        self.listening = False
        self._rate = DEFAULT_RATE
        self._separate = False
        self._held: tuple[Any, ...] = ()
        self._lanes: list[memoryview] = []
        """The samples that the listener makes, for each lane."""
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
        self._listener.count = 0
        self._chunks = self._none()

    def forget(self) -> None:
        """What was heard so far is not wanted any more."""
        self._listener.count = 0
        self.drop()

    def drop(self) -> None:
        """What was collected so far is not wanted any more; what is ready is."""
        if self._chunks[0]:
            self._chunks = self._none()

    def _none(self) -> list[list[bytes]]:
        return [[] for _ in range(apu.CHANNELS if self._separate else 1)]

    def listen(self, on: bool) -> None:
        """Listen from now on, or no more. What was heard stays."""
        listener = self._listener
        self.listening = on
        listener.on = 0
        if not on:
            return
        self.collect()
        lanes = apu.CHANNELS if self._separate else 1
        capacity = self._slice_cycles * self._rate // CYCLES_PER_SECOND + SPARE
        ctypes.memset(ctypes.addressof(listener), 0, ctypes.sizeof(listener))
        steps = (ctypes.c_uint64 * (lanes * (capacity + SPARE)))()
        areas = (ctypes.c_uint64 * (capacity + SPARE))()
        samples = (ctypes.c_int16 * (2 * lanes * capacity))()
        everything = memoryview(samples).cast("B")
        self._lanes = [everything[4 * capacity * lane : 4 * capacity * (lane + 1)] for lane in range(lanes)]
        self._held = steps, areas, samples
        listener.steps = ctypes.cast(steps, type(listener.steps))
        listener.areas = ctypes.cast(areas, type(listener.areas))
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
        return 2 * int(self._listener.base)

    def collect(self) -> int:
        """Fetch the samples that are ready. Returns: `heard`."""
        listener = self._listener
        size = 4 * listener.count
        if size:
            listener.count = 0
            for chunks, lane in zip(self._chunks, self._lanes, strict=True):
                chunks.append(bytes(lane[:size]))
        return 2 * int(listener.base)

    def channels(self) -> NDArray[numpy.int16]:
        """int16, shape (4, n, 2): what each channel contributed since `forget`."""
        import numpy

        lanes = [numpy.frombuffer(b"".join(chunks), numpy.int16).reshape(-1, 2) for chunks in self._chunks]
        return numpy.stack(lanes)

    def mixed(self) -> NDArray[numpy.int16]:
        """int16, shape (n, 2): what was heard since `forget`."""
        import numpy

        if len(self._chunks) == 1:
            return numpy.frombuffer(bytearray().join(self._chunks[0]), numpy.int16).reshape(-1, 2)
        total: NDArray[numpy.int32] = self.channels().sum(axis=0, dtype=numpy.int32)
        return total.clip(-32768, 32767).astype(numpy.int16)
