"""machine/gb/cartridge.py: every byte string is played, or refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracklayer.machine.gb import build
from tracklayer.machine.gb.cartridge import CartridgeError, load
from tracklayer.machine.gb.reference import ReferenceEngine


@pytest.mark.parametrize(("data", "reason"), [(b"", "empty"), (b"some notes\nabout a game\n" * 50, "text")])
def test_what_is_no_rom_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(CartridgeError, match=reason):
        load(data)


def test_a_truncated_rom_is_padded_with_ones_and_warned_of() -> None:
    data = bytearray(0x5000)
    data[0x148] = 2
    cartridge = load(bytes(data))
    assert len(cartridge.rom) == 0x8000
    assert cartridge.rom[0x5000:] == b"\xff" * 0x3000
    assert any("20480" in warning for warning in cartridge.warnings)


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=0x200))
def test_any_bytes_run_for_a_while_or_are_refused(data: bytes) -> None:
    try:
        cartridge = load(data)
    except CartridgeError as error:
        assert str(error)
        return
    gb = build.new_console(cartridge)
    gb.prepare(gb.clock.now() + 4000, 0)
    ReferenceEngine().run(gb)
    assert gb.clock.stop
