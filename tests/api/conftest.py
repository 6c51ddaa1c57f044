"""Every test that takes `engine` runs on each engine that can be had."""

from __future__ import annotations

import pytest

from tracklayer.api.engines import ENGINES, make_engine
from tracklayer.api.errors import EngineError


def available() -> list[str]:
    names = []
    for name in ENGINES:
        try:
            make_engine(name)
        except EngineError:
            continue
        names.append(name)
    return names


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", available())
