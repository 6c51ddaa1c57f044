"""What all tests share."""

from __future__ import annotations

import contextlib
import gc
import signal
from collections.abc import Iterator

import pytest

# A shell that runs the tests in the background has SIGINT ignored, for them and for what they start; Ctrl-C is tested
# all the same.
with contextlib.suppress(ValueError):
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def little_garbage() -> Iterator[None]:
    """Collections look at what comes from here on only: what all tests have made together takes 20 ms each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
