"""Every opcode against the SM83 vectors: registers, flags, memory, and each M-cycle on the bus."""

from __future__ import annotations

import pytest

from .vectors import Engine, failures, folder, reference

ENGINES = {"reference": reference}


@pytest.mark.parametrize("name", ENGINES)
def test_every_vector_ends_in_the_same_state_by_the_same_m_cycles(name: str) -> None:
    if not folder().is_dir():
        pytest.skip(f"no vectors at {folder()}: set TRACKLAYER_ROMS to the folder of test programs")
    engine: Engine = ENGINES[name]
    count, wrong = failures(engine)
    assert not wrong, "\n".join([f"{len(wrong)} of {count} cases fail:", *wrong[:20]])
    assert count >= 50_000 - 100
