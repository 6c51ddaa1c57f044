"""translate/shared.py: handlers that are put together from stencils."""

from __future__ import annotations

import pytest

from tracklayer.api.guests import GameBoyGuest
from tracklayer.native.loader import Function, Relocation
from tracklayer.translate.guest import Guest
from tracklayer.translate.shared import join_handlers, shared_handlers
from tracklayer.translate.stencils import StencilCompiler

from .toy import ToyGuest

END = {"behind.0": Function("behind.0", ".text", 0, 16, b"\xff\xe0", ())}


def stencil(code: bytes, *holes: tuple[int, str]) -> dict[str, Function]:
    """The stencil of opcode 5, with these places where an address of 32 bits is wanted."""
    relocations = tuple(Relocation(at, "R_X86_64_PLT32", name, -4, None, 0) for at, name in holes)
    return {"op.5": Function("op.5", ".text", 0, 16, code, relocations)}


def test_a_jump_to_what_follows_is_left_out() -> None:
    code = stencil(b"\xff\xc7\xe9\0\0\0\0", (3, "hole.continue"))
    assert join_handlers({5: 0}, code, END) == {"op.5": b"\xff\xc7\xff\xe0"}


def test_jumps_from_the_middle_lead_to_what_stands_behind() -> None:
    code = stencil(b"\x0f\x84\0\0\0\0\xff\xc7\xe9\0\0\0\0", (2, "hole.continue"), (9, "hole.continue"))
    assert join_handlers({5: 0}, code, END) == {"op.5": b"\x0f\x84\x02\0\0\0\xff\xc7\xff\xe0"}


def test_code_that_needs_addresses_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"op\.5 refers to hole\.next"):
        join_handlers({5: 0}, stencil(b"\xbe\0\0\0\0", (1, "hole.next")), END)
    loose = {
        "behind.0": Function("behind.0", ".text", 0, 16, bytes(4), (Relocation(0, "R_X86_64_PC32", "x", 0, None, 0),))
    }
    with pytest.raises(RuntimeError, match=r"behind\.0 refers to x"):
        join_handlers({5: 0}, stencil(b"\xff\xc7"), loose)


@pytest.mark.parametrize("guest", [GameBoyGuest, ToyGuest], ids=["gb", "toy"])
def test_only_instructions_without_operand_that_fall_through_share(guest: type[Guest]) -> None:
    compiler = StencilCompiler(guest)
    functions = compiler.build().render().split("\ndefine ")
    texts = {text.partition("@")[2].partition("(")[0]: text for text in functions}
    shared = shared_handlers(guest, compiler.uses)
    assert shared
    for index, time in shared.items():
        described, text = guest.describe(index), texts[f"op.{index}"]
        assert described is not None and described.length == guest.opcode_length(index) and not described.ends
        assert time == described.cycles - described.length * guest.byte_cycles >= 0
        assert "@hole.interpret" not in text and "@hole.next" not in text and "@hole.operand" not in text
    if guest is GameBoyGuest:
        ld_b_c, inc_at_hl, ld_hl_word, add_hl_bc, swap_a = 0x41, 0x34, 0x21, 0x09, 0x137
        assert shared[ld_b_c] == 0 and shared[add_hl_bc] == 4 and shared[swap_a] == 0
        assert inc_at_hl not in shared and ld_hl_word not in shared
