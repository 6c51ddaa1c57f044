"""machine/gb/timer.py and divider.py, against a timer that steps one T-cycle at a time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from .bench import console, read, wait, write

DIV, TIMA, TMA, TAC, IF = 0xFF04, 0xFF05, 0xFF06, 0xFF07, 0xFF0F
WATCHED = (9, 3, 5, 7)


class SlowTimer:
    """The circuit, one T-cycle at a time. Source: Pan Docs, "Timer Obscure Behaviour"."""

    def __init__(self, tac: int, tima: int, tma: int) -> None:
        self.tac, self.tima, self.tma = tac, tima, tma
        self.counter = self.pending = self.requests = 0

    def run(self, cycles: int) -> None:
        for _ in range(cycles):
            before = self.counter >> WATCHED[self.tac & 3] & 1
            self.counter += 1
            if self.pending:
                self.pending -= 1
                if not self.pending:
                    self.tima = self.tma
                    self.requests += 1
            if self.tac & 4 and before and not self.counter >> WATCHED[self.tac & 3] & 1:
                self.tima = (self.tima + 1) & 0xFF
                if not self.tima:
                    self.pending = 4


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 7), st.integers(0, 255), st.integers(0, 255), st.lists(st.integers(1, 700), min_size=1, max_size=6)
)
def test_tima_is_what_the_circuit_shows_however_rarely_it_is_read(
    tac: int, tima: int, tma: int, gaps: list[int]
) -> None:
    gb = console()
    for address, value in ((TAC, 0), (TMA, tma), (TIMA, tima), (IF, 0), (DIV, 0)):
        write(gb, address, value)
    write(gb, TAC, tac)
    slow = SlowTimer(0, tima, tma)
    slow.run(4)
    slow.tac = tac
    slow.run(4)
    for gap in gaps:
        wait(gb, 4 * gap)
        slow.run(4 * gap)
        assert read(gb, TIMA) == slow.tima
        slow.run(4)
    assert read(gb, IF) >> 2 & 1 == (slow.requests > 0)


def test_div_counts_256_cycles_and_any_write_clears_it() -> None:
    gb = console()
    write(gb, DIV, 0x55)
    wait(gb, 248)
    assert read(gb, DIV) == 0
    assert read(gb, DIV) == 1


def test_div_write_steps_tima_on_a_falling_edge() -> None:
    gb = console()
    write(gb, DIV, 0)
    write(gb, TIMA, 7)
    write(gb, TAC, 5)
    wait(gb, 0)
    write(gb, DIV, 0)  # the watched bit 3 is set: 12 cycles after the clear
    assert read(gb, TIMA) == 8


def test_the_event_is_scheduled_only_while_ie_lets_the_cpu_feel_it() -> None:
    gb = console()
    write(gb, TAC, 5)
    assert gb.clock.at[0] == 2**63 - 1
    write(gb, 0xFFFF, 4)
    assert gb.clock.at[0] < gb.clock.now() + 256 * 16 + 8
