"""The reference engine: a Game Boy run as plain Python.

For:     debugging, and the oracle of the other engines. Slow: a few ten thousand guest instructions a second.
Not for: speed.
"""

from __future__ import annotations

from tracklayer.cpu.sm83 import step

from .console import GB


class ReferenceEngine:
    """Runs consoles with nothing compiled."""

    name = "reference"

    def run(self, console: GB) -> None:
        """Run until `clock.stop` is set."""
        clock, cpu = console.clock, console.cpu
        while True:
            if clock.left <= 0:
                console.boundary()
                if clock.stop:
                    return
            step(cpu, console)
            clock.instructions += 1
