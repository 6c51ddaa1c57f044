"""Memory by the piece."""

from __future__ import annotations

import ctypes
import os

from tracklayer.lang import ZeroedMemory


def test_memory_is_zeroed_and_can_be_zeroed_again() -> None:
    memory = ZeroedMemory(10_000)
    view = (ctypes.c_uint8 * 10_000).from_address(memory.address)
    assert not any(view)
    view[0] = view[9_999] = 1
    assert memory.buffer[0] == memory.buffer[9_999] == 1
    memory.clear()
    assert not any(view)


def test_a_forked_child_has_its_own_copy() -> None:
    memory = ZeroedMemory(4096)
    child = os.fork()
    if child == 0:
        memory.buffer[0] = 1
        os._exit(0)
    os.waitpid(child, 0)
    assert memory.buffer[0] == 0
