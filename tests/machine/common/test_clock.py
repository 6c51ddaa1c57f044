"""machine/common/clock.py: time, the schedule, and the limits of a slice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracklayer.machine.common.clock import FURTHEST, NEVER, Clock, reset

TIMES = st.integers(0, 2**40)


def clock_at(time: int, limit: int = 2**50) -> Clock:
    clock = Clock()
    reset(clock)
    clock.deadline, clock.limit = time, limit
    return clock


@given(TIMES, st.integers(0, 10_000))
def test_spending_time_moves_now(time: int, spent: int) -> None:
    clock = clock_at(time)
    clock.left -= spent
    assert clock.now() == time + spent


@given(TIMES, st.lists(st.tuples(st.integers(0, 15), st.integers(0, 2**41)), max_size=8))
def test_retarget_keeps_the_time_and_finds_the_soonest_event(time: int, events: list[tuple[int, int]]) -> None:
    clock = clock_at(time)
    for kind, due in events:
        clock.at[kind] = due
    clock.retarget()
    assert clock.now() == time
    assert clock.deadline == max(time, min([time + FURTHEST, *clock.at]))


def test_an_earlier_event_brings_the_deadline_forward_and_a_later_one_does_not() -> None:
    clock = clock_at(100)
    clock.retarget()
    clock.schedule(3, 500)
    clock.schedule(4, 900)
    assert (clock.deadline, clock.left, clock.now()) == (500, 400, 100)


def test_a_cancelled_event_is_never_due() -> None:
    clock = clock_at(100)
    clock.schedule(3, 500)
    clock.cancel(3)
    assert clock.at[3] == NEVER


def test_attention_leaves_no_time_and_does_not_change_it() -> None:
    clock = clock_at(100)
    clock.schedule(0, 500)
    clock.attention()
    assert clock.left <= 0
    assert clock.now() == 100
