"""OAM DMA and a CPU whose clock stands still.

Source: gambatte-core, test/hwtests/oamdma: oamdma_late_halt_stat_*, oamdma_late_speedchange_stat_*.
"""

from __future__ import annotations

from typing import Any

import pytest

from tracklayer.machine.common.clock import NEVER
from tracklayer.machine.gb import build, cartridge, dma

STOOD = 10_000


def copying(left: int) -> Any:
    """A console whose copy, which has caught up, has some T-cycles left."""
    gb: Any = build.new_console(cartridge.load(bytes(0x8000)))
    gb.dma.source = gb.dma.register = 0xC0
    gb.dma.blocking = gb.dma.running = 1
    gb.dma.next_start = NEVER
    gb.dma.started = gb.clock.now() + left - dma.DURATION
    dma.catch_up(gb)
    return gb


@pytest.mark.parametrize(("left", "goes_on"), [(300, 1), (4, 1), (1, 1), (0, 0)])
def test_a_copy_stands_still_with_the_cpus_clock_unless_it_is_over(left: int, goes_on: int) -> None:
    gb = copying(left)
    before = gb.dma.position
    gb.clock.deadline += STOOD
    dma.hold(gb, STOOD)
    dma.catch_up(gb)
    assert gb.dma.running == goes_on
    assert gb.dma.position == before
    gb.clock.deadline += left
    dma.catch_up(gb)
    assert (gb.dma.running, gb.dma.position) == (0, dma.LENGTH)
