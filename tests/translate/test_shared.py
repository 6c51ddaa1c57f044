"""translate/shared.py: handlers that are put together from stencils."""

from __future__ import annotations

import pytest

from tracklayer.api.guests import GameBoyGuest
from tracklayer.native.image import Piece
from tracklayer.native.loader import Function, Relocation
from tracklayer.translate.guest import Guest
from tracklayer.translate.shared import Shared, join_handlers, shared_handlers
from tracklayer.translate.stencils import StencilCompiler

from .toy import ToyGuest

SHARED = {5: Shared(0, False)}
END = {"behind.0": Function("behind.0", ".text", 0, 16, b"\xff\xe0", ())}


def stencil(code: bytes, *holes: tuple[int, str]) -> dict[str, Function]:
    """The stencil of opcode 5, with these places where an address of 32 bits is wanted."""
    relocations = tuple(Relocation(at, "R_X86_64_PLT32", name, -4, None, 0) for at, name in holes)
    return {"op.5": Function("op.5", ".text", 0, 16, code, relocations)}


def test_a_jump_to_what_follows_is_left_out() -> None:
    code = stencil(b"\xff\xc7\xe9\0\0\0\0", (3, "hole.continue"))
    assert join_handlers(SHARED, code, END) == {"op.5": Piece(b"\xff\xc7\xff\xe0")}


def test_jumps_from_the_middle_lead_to_what_stands_behind() -> None:
    code = stencil(b"\x0f\x84\0\0\0\0\xff\xc7\xe9\0\0\0\0", (2, "hole.continue"), (9, "hole.continue"))
    assert join_handlers(SHARED, code, END) == {"op.5": Piece(b"\x0f\x84\x02\0\0\0\xff\xc7\xff\xe0")}


def test_the_slow_side_is_a_handler_of_its_own() -> None:
    code = stencil(b"\x0f\x84\0\0\0\0\xe9\0\0\0\0", (2, "hole.interpret.1"), (7, "hole.continue"))
    made = join_handlers(SHARED, code, END)
    assert made == {"op.5": Piece(b"\x0f\x84\0\0\0\0\xff\xe0", ((2, "slow.5", -4),))}


def test_code_that_needs_addresses_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"op\.5 refers to hole\.next"):
        join_handlers(SHARED, stencil(b"\xbe\0\0\0\0", (1, "hole.next")), END)
    loose = {
        "behind.0": Function("behind.0", ".text", 0, 16, bytes(4), (Relocation(0, "R_X86_64_PC32", "x", 0, None, 0),))
    }
    with pytest.raises(RuntimeError, match=r"behind\.0 refers to x"):
        join_handlers(SHARED, stencil(b"\xff\xc7"), loose)


@pytest.mark.parametrize("guest", [GameBoyGuest, ToyGuest], ids=["gb", "toy"])
def test_only_instructions_without_operand_that_fall_through_share(guest: type[Guest]) -> None:
    compiler = StencilCompiler(guest)
    functions = compiler.build().render().split("\ndefine ")
    texts = {text.partition("@")[2].partition("(")[0]: text for text in functions}
    shared = shared_handlers(guest, compiler.uses)
    assert shared
    for index, (time, leaves) in shared.items():
        described, text = guest.describe(index), texts[f"op.{index}"]
        assert described is not None and described.length == guest.opcode_length(index) and not described.ends
        assert time == described.cycles - described.length * guest.byte_cycles >= 0
        assert ("@hole.interpret." in text) == leaves and "@hole.next" not in text and "@hole.operand" not in text
    if guest is GameBoyGuest:
        ld_b_c, inc_at_hl, ld_hl_word, add_hl_bc, ld_a_at_hl, swap_a = 0x41, 0x34, 0x21, 0x09, 0x7E, 0x137
        assert shared[ld_b_c] == shared[swap_a] == (0, False)
        assert shared[add_hl_bc] == (4, False) and shared[inc_at_hl] == (8, True)
        assert ld_hl_word not in shared  # it has an operand
        assert guest.has_full(ld_a_at_hl) and ld_a_at_hl not in shared
