"""Made-up functions give the same results and the same memory compiled as under CPython.

The long form: `python -m tests.fuzz_compiler --minutes 10`.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import fuzz, generate

FIXED = range(60)


@pytest.mark.parametrize("first", FIXED[::20])
def test_made_up_programs_agree_with_cpython(first: int, tmp_path: Path) -> None:
    refused = 0
    for seed in range(first, first + 20):
        try:
            fuzz.check(generate.program(random.Random(seed)), tmp_path)
        except fuzz.Refused:
            refused += 1
    assert refused <= 3


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(dice=st.randoms(use_true_random=False))
def test_programs_that_hypothesis_makes_up_agree_with_cpython(
    tmp_path_factory: pytest.TempPathFactory, dice: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("made")
    with contextlib.suppress(fuzz.Refused):
        fuzz.check(generate.program(dice), folder)
