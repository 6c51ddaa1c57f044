"""What differs from one model of the Game Boy to another.

For:     one row for each model; which of them a cartridge makes of a Game Boy Color.
Not for: what is the same everywhere.
Source:  Pan Docs, "Power-Up Sequence", "Console state after boot ROM hand-off".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

WHITE = 0x7FFF
PLAIN_BACKGROUND = (0x7FFF, 0x1BEF, 0x6180, 0x0000)
PLAIN_OBJECTS = (0x7FFF, 0x421F, 0x1CF2, 0x0000)
"""The colours that a Game Boy Color gives to plain cartridges that it does not know; BGR555."""


@dataclass(frozen=True)
class Model:
    """A model, as its boot ROM leaves it.

    a, bc, de, hl: registers when the cartridge starts. flags: F, as PUSH AF would show it; on monochrome models H and C
                   are clear where the header's checksum byte is 0.
    divider:       the 16-bit divider, in T-cycles, when the cartridge's first opcode is about to be fetched.
    line, dot:     where the PPU is then.
    color:         a Game Boy Color. functions: its cartridge may use what it has more.
    revision:      of a Game Boy Color's chip: 1 for CPU CGB and CGB B, 2 for C, 3 for D, 4 for E, 5 for an Advance's.
    commands:      a Super Game Boy.
    incremented:   an Advance: its boot ROM ends with INC B, by which cartridges know it.
    clears_wave:   its boot ROM, if it is a Color's, leaves 00 and FF in turn in wave RAM.
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
    color: bool = False
    functions: bool = False
    revision: int = 0
    incremented: bool = False
    commands: bool = False
    clears_wave: bool = True


DMG = Model("dmg", a=0x01, flags=0xB0, bc=0x0013, de=0x00D8, hl=0x014D, divider=0xABCC, line=153, dot=400)
"""DMG-CPU A, B, C. Proof: mooneye boot_regs-dmgABC, boot_div-dmgABCmgb, boot_hwio-dmgABCmgb; gbmicrotest poweron_*."""

MGB = replace(DMG, name="mgb", a=0xFF)
"""The Pocket. Proof: mooneye boot_regs-mgb, boot_div-dmgABCmgb."""

DMG_0 = replace(DMG, name="dmg-0", flags=0x00, bc=0xFF13, de=0x00C1, hl=0x8403, divider=0x1830)
"""The first Game Boys. Proof: mooneye boot_regs-dmg0, boot_div-dmg0. UNVERIFIED: where its PPU is; no test known."""

SGB = replace(DMG, name="sgb", flags=0x00, bc=0x0014, de=0x0000, hl=0xC060, divider=0xD860, commands=True)
"""The Super Game Boy. Proof: mooneye boot_regs-sgb, boot_hwio-S; boot_div-S, for the divider of one header: what it
shows depends on the header, which the boot ROM sends to the SNES bit by bit.

UNVERIFIED: where its PPU is when the cartridge starts. It runs 2.4 % faster than a Game Boy; nobody inside can tell.
"""
SGB2 = replace(SGB, name="sgb2", a=0xFF)
"""The second one, at a Game Boy's pace. Proof: mooneye boot_regs-sgb2."""

CGB_C = Model(
    "cgb-c", a=0x11, flags=0x80, bc=0x0000, de=0xFF56, hl=0x000D, divider=0x1EA0, line=144, dot=168, color=True,
    functions=True, revision=2,
)  # fmt: skip
"""Proof, of line and dot: gambatte display_startstate/stat_*_cgb04c_*, for a cartridge that knows the Color."""
CGB_0 = replace(CGB_C, name="cgb-0", revision=1, divider=0x20AC, clears_wave=False)
"""The first revision; its boot ROM takes longer, and leaves wave RAM alone, by which which.gb knows it. Proof: mooneye
misc/boot_div-cgb0, with a plain cartridge.

UNVERIFIED: that the other kind of cartridge begins as much later; and where the PPU is then.
"""
CGB_B = replace(CGB_C, name="cgb-b", revision=1)
CGB_D = replace(CGB_C, name="cgb-d", revision=3)
CGB_E = replace(CGB_C, name="cgb-e", revision=4)
CGB = replace(CGB_E, name="cgb")
"""A Game Boy Color of the last revision."""
AGB = replace(CGB_E, name="agb", flags=0x00, bc=0x0100, divider=0x1EA4, revision=5, incremented=True)
"""A Game Boy Advance, as far as a Game Boy's cartridge sees it. Proof: mooneye misc/boot_regs-A, misc/boot_div-A.

UNVERIFIED: in all else it is CPU CGB E here; SameSuite channel_1_freq_change_timing-A knows of a difference.
"""

PLAIN = Model(
    "cgb-compat", a=0x11, flags=0x80, bc=0x0000, de=0x0008, hl=0x007C, divider=0x2678, line=144, dot=64, color=True,
    revision=4,
)  # fmt: skip
"""A Game Boy Color with a plain cartridge. Proof: mooneye misc/boot_regs-cgb, misc/boot_div-cgbABCDE."""

MODELS = {
    model.name: model for model in (DMG_0, DMG, MGB, SGB, SGB2, CGB, CGB_0, CGB_B, CGB_C, CGB_D, CGB_E, AGB, PLAIN)
}  # fmt: skip


def automatic(header: bytes) -> str:
    """The model that a cartridge was made for, by its header: "cgb" where it knows the Color, else "dmg"."""
    return "cgb" if header[0x143] & 0x80 else "dmg"


def fitted(model: Model, color_cartridge: bool) -> Model:
    """The model as a cartridge finds it: one that does not know the Color finds it nearly a DMG."""
    if model.functions and not color_cartridge:
        divider = PLAIN.divider + model.divider - CGB.divider
        same = {name: getattr(model, name) for name in ("revision", "incremented", "clears_wave")}
        return replace(PLAIN, divider=divider, **same)
    return model
