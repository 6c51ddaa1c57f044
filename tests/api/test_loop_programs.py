"""Programs full of loops run alike on all engines: a few of those of `python -m tests.loop_programs`."""

from __future__ import annotations

import pytest

from tests.loop_programs import check


@pytest.mark.parametrize("first", range(0, 24, 8))
def test_loops_run_alike(first: int) -> None:
    reports = {seed: check(seed, 250_000) for seed in range(first, first + 8)}
    assert {seed: found for seed, found in reports.items() if found} == {}
