"""What differs from one model of the Game Boy to another.

For:     one row for each model.
Not for: what is the same everywhere.
Source:  Pan Docs, "Power-Up Sequence", "Console state after boot ROM hand-off".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A model, as its boot ROM leaves it.

    a, bc, de, hl: registers when the cartridge starts. flags: F, as PUSH AF would show it; where the header's
                   checksum byte is 0, H and C are clear.
    divider:       the 16-bit divider, in T-cycles, when the cartridge's first opcode is about to be fetched.
    line, dot:     where the PPU is then.
    """

    name: str
    a: int
    flags: int
    bc: int
    de: int
    hl: int
    divider: int
    line: int
    dot: int


DMG = Model("dmg", a=0x01, flags=0xB0, bc=0x0013, de=0x00D8, hl=0x014D, divider=0xABCC, line=153, dot=400)
"""DMG-CPU A, B, C. Proof: mooneye boot_regs-dmgABC, boot_div-dmgABCmgb, boot_hwio-dmgABCmgb; gbmicrotest poweron_*."""

MODELS = {model.name: model for model in (DMG,)}
