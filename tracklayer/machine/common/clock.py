"""The clock of a machine: what time it is, what is due when, and why an engine must stop.

For:       time in T-cycles, the schedule of a machine's events, the limits of a slice.
Not for:   what happens when an event is due: a kind is only an index, its machine knows the meaning.
Invariant: `now() == deadline - left`. Spending time is `left -= cycles`; `left <= 0` at an instruction boundary means
           that the machine's `boundary()` runs before the next instruction. Everything here is plain data.
"""

from __future__ import annotations

from tracklayer.lang import Array, array, i32, struct, typed, u8, u64

NEVER = (1 << 63) - 1
"""The time of an event that is not scheduled."""

KINDS = 16
"""How many kinds of events a machine may have."""

FURTHEST = 1 << 30
"""No deadline lies further ahead than this, so that `left` fits its field."""

STOP_NONE = 0
STOP_LIMIT = 1
"""The time that the engine was asked to run is over."""
STOP_FRAME = 2
"""The wanted number of frames is done."""
STOP_ERROR = 3
"""A Python callable raised; the exception is in the host's `error`."""
STOP_BREAKPOINT = 4
"""A watched LD B,B was executed."""
STOP_ASKED = 5
"""Somebody outside the machine asked for it."""


@struct
class Clock:
    """Time, schedule and limits of one machine."""

    deadline: u64
    """Absolute time of the next thing to do at an instruction boundary."""
    left: i32
    """T-cycles until then."""
    stop: u8
    """0 while the machine runs; else one of the STOP_ constants."""
    limit: u64
    """End of the slice that the engine was asked to run."""
    instructions: u64
    """Guest instructions finished; the engines count."""
    at: Array[u64] = array(KINDS)
    """Absolute time of each kind of event."""

    @typed
    def now(self) -> u64:
        """Absolute time in T-cycles since power-on."""
        return u64(self.deadline - self.left)

    @typed
    def schedule(self, kind: u8, time: u64) -> None:
        """Event `kind` is due at `time`, and at no other time."""
        self.at[kind & (KINDS - 1)] = time
        if time < self.deadline:
            self.retarget()

    @typed
    def cancel(self, kind: u8) -> None:
        """Event `kind` is not due any more. A deadline set for it stays: a boundary too many changes nothing."""
        self.at[kind & (KINDS - 1)] = NEVER

    @typed(outline=True)
    def retarget(self) -> None:
        """Make the soonest event, or the slice's end, the deadline. Time does not change."""
        now = self.now()
        even, odd = self.limit, u64(now + FURTHEST)  # two chains of comparisons, so that each is half as long
        for kind in range(0, KINDS, 2):
            even = min(even, self.at[kind])
            odd = min(odd, self.at[kind + 1])
        soonest = max(min(even, odd), now)
        self.deadline = soonest
        self.left = i32(soonest - now)

    @typed
    def attention(self) -> None:
        """Have `boundary()` run before the next instruction. Time does not change."""
        if self.left > 0:
            self.deadline = self.now()
            self.left = 0


def reset(clock: Clock) -> None:
    """Cancel every event. A new clock stands at time 0."""
    for kind in range(KINDS):
        clock.at[kind] = NEVER
