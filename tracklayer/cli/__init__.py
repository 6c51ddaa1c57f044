"""The command line: `tracklayer run`, `disasm`, `info`, `judge`, `lockstep`, `profile`.

For:     reading arguments, showing progress, printing what came out, an exit status that tells success.
Not for: anything that a Python program could want as well; that lives in the api, the only room this one uses.
Each command is a module of its own, imported when it is called, because `tracklayer run` is to start at once.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line on `sys.argv`; does not return."""
    from .commands import tracklayer

    sys.exit(tracklayer(prog_name="tracklayer"))
