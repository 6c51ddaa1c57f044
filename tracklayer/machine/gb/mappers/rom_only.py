"""Cartridges without a mapper: 32 KiB of ROM, perhaps 8 KiB of RAM that is always there."""

from __future__ import annotations

from tracklayer.lang import typed, u8, u16

from .machine import Machine


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """Nothing listens."""
