"""What all tests share."""

from __future__ import annotations

import contextlib
import signal

# A shell that runs the tests in the background has SIGINT ignored, for them and for what they start; Ctrl-C is tested
# all the same.
with contextlib.suppress(ValueError):
    signal.signal(signal.SIGINT, signal.default_int_handler)
