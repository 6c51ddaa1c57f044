"""Locks that a forked child never inherits locked.

For:       locks of the process's own tables (adapters, support code, debuggers).
Not for:   code memory, whose fork is more than a lock (memory.py).
Invariant: a fork waits until no other thread is inside; the child goes on with the tables whole and the locks open.
"""

from __future__ import annotations

import os
import threading
from typing import Any


def lock_over_forks() -> Any:
    """An RLock that is held over every fork. It is never forgotten: for what a process has once.

    CPython takes such locks in the reverse of the order in which they were made, so one that is taken inside another
    must be made before it: modules that are imported make theirs first."""
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
