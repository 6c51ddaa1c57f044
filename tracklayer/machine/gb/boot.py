"""Power-on without a boot ROM: the state that the boot ROM leaves behind.

For:     registers, I/O registers, VRAM with the logo that the cartridge's header holds, the phases of divider and PPU.
Not for: running a boot ROM.
Source:  Pan Docs, "Power-Up Sequence"; mooneye acceptance/boot_hwio-dmgABCmgb.
"""

from __future__ import annotations

from typing import Any

from tracklayer.cpu.sm83 import unpack_f
from tracklayer.machine.common.clock import NEVER, reset

from . import apu, ppu
from .cartridge import Cartridge
from .interrupts import VBLANK
from .model import PLAIN_BACKGROUND, PLAIN_OBJECTS, WHITE, Model

START = 1 << 18
"""What the clock shows when the cartridge starts: more than anything here looks back."""

SGB_PALETTE = (0x67BF, 0x265B, 0x10B5, 0x2866)
"""The Super Game Boy's palette for cartridges that choose none, BGR555."""

LOGO_TILES = 24
REGISTERED = (
    "  ####  ",
    " #    # ",
    "# ###  #",
    "# #  # #",
    "# ###  #",
    "# #  # #",
    " #    # ",
    "  ####  ",
)
"""The sign behind the logo, tile 25. Test programs use it as an object: mealybug-tearoom m3_lcdc_obj_en_change."""
MAP_FIRST, MAP_SECOND = 0x1904, 0x1924
"""Where the logo's two rows of twelve tiles stand in the background map, as offsets into VRAM."""


def boot(gb: Any, cartridge: Cartridge, model: Model) -> None:
    """Bring a console whose state is all zero to the cartridge's first instruction. `gb` is a `console.GB`."""
    reset(gb.clock)
    cpu = gb.cpu
    cpu.pc, cpu.sp = 0x0100, 0xFFFE
    cpu.a, cpu.bc, cpu.de, cpu.hl = model.a, model.bc, model.de, model.hl
    unpack_f(cpu, model.flags if cartridge.header[0x14D] else model.flags & 0x80)
    if model.color:
        boot_color(gb, cartridge, model)
    gb.timer.origin = START - model.divider
    gb.timer.synced = gb.serial.synced = START
    gb.timer.reload_at = gb.serial.edge_at = gb.dma.next_start = NEVER
    gb.joypad.select = 0x30 if model.commands else 0x00
    if model.commands:
        boot_sgb(gb, cartridge)
    gb.dma.register = 0x00 if model.color else 0xFF
    if not model.functions:
        unpack_logo(gb.vram, cartridge.header[0x104:0x134])
    gb.ppu.bgp, gb.ppu.obp0, gb.ppu.obp1 = (0xFC, 0x00, 0x00) if model.color else (0xFC, 0xFF, 0xFF)
    start_lcd(gb, model.line * ppu.DOTS_PER_LINE + model.dot)
    gb.interrupts.flags = 1 << VBLANK
    apu.boot(gb, model.revision)
    if model.commands:
        gb.apu.running = 0


def boot_sgb(gb: Any, cartridge: Cartridge) -> None:
    """A Super Game Boy listens to cartridges that say that they know it. Its first palette is "1-A"."""
    header = cartridge.header
    gb.sgb.on = header[0x146] == 0x03 and header[0x14B] == 0x33
    for index in range(16):
        gb.sgb.palettes[index] = SGB_PALETTE[index & 3]


def power_up(gb: Any, model: Model) -> None:
    """Bring a console whose state is all zero to the first instruction of its boot ROM.

    UNVERIFIED: what real hardware holds then, beyond what boot ROMs rely on; memory is random there.
    """
    reset(gb.clock)
    gb.boot_rom.mapped = 1
    set_time(gb, START)
    if model.color:
        gb.color.hardware = gb.color.functions = 1
        gb.color.revision = model.revision
        gb.hdma.left = 0x7F
        gb.hdma.source = gb.hdma.target = 0xFFF0
    gb.timer.origin = gb.timer.synced = gb.serial.synced = START
    gb.timer.reload_at = gb.serial.edge_at = gb.dma.next_start = NEVER
    gb.dma.register = 0x00 if model.color else 0xFF
    ppu.power_on(gb)
    apu.power_up(gb, model.revision)


def boot_color(gb: Any, cartridge: Cartridge, model: Model) -> None:
    """What the boot ROM of a Game Boy Color leaves in the registers that only it has."""
    color = gb.color
    color.hardware = 1
    color.functions = model.functions
    color.revision = model.revision
    color.light.control = 0x00
    for index in range(64):
        color.palettes[index] = WHITE
    gb.hdma.left = 0x7F
    gb.hdma.source = gb.hdma.target = 0xFFF0
    if model.clears_wave:
        for index in range(1, 16, 2):
            gb.apu.wave.ram[index] = 0xFF
    if not model.functions:
        color.object_order = 1
        color.background_index, color.object_index = 0x88, 0x90
        for index in range(4):
            color.palettes[index] = PLAIN_BACKGROUND[index]
            color.palettes[32 + index] = color.palettes[36 + index] = PLAIN_OBJECTS[index]
        gb.cpu.bc = title_sum(cartridge.header) << 8
        if gb.cpu.bc >> 8 in (0x43, 0x58):
            gb.cpu.hl = 0x991A
        if model.incremented:
            gb.cpu.bc = gb.cpu.bc + 0x100 & 0xFF00
            unpack_f(gb.cpu, (gb.cpu.bc == 0) << 7 | (gb.cpu.bc & 0xF00 == 0) << 5)


def title_sum(header: bytes) -> int:
    """The sum by which the boot ROM of a Color looks a plain cartridge's palettes up; 0 if others licensed it.

    Source: Pan Docs, "Power-Up Sequence", "CPU registers".
    """
    licensed = header[0x14B] == 0x01 or (header[0x14B] == 0x33 and header[0x144:0x146] == b"01")
    return sum(header[0x134:0x144]) & 0xFF if licensed else 0


def start_lcd(gb: Any, dots: int) -> None:
    """Turn the LCD on so long ago that at START the PPU is `dots` into its second frame, and let that time pass."""
    set_time(gb, START - dots - ppu.DOTS_PER_FRAME + ppu.DOTS_BEFORE_ON)
    ppu.power_on(gb)
    ppu.write_lcdc(gb, 0x91)
    set_time(gb, START)
    ppu.catch_up(gb)
    gb.ppu.frames = 0


def set_time(gb: Any, time: int) -> None:
    """It is `time` now."""
    gb.clock.deadline = time
    gb.clock.left = 0


def unpack_logo(vram: Any, logo: bytes) -> None:
    """Put the header's logo into VRAM as a boot ROM does: each bit becomes 2x2 pixels of colour 1, in tiles 1 to 24.

    Source: Pan Docs, "0104-0133 - Nintendo logo".
    """
    address = 16
    for byte in logo:
        for nibble in (byte >> 4, byte & 15):
            row = sum(3 << 2 * bit for bit in range(4) if nibble >> bit & 1)
            vram[address] = vram[address + 2] = row
            address += 4
    for line in REGISTERED:
        vram[address] = int(line.replace("#", "1").replace(" ", "0"), 2)
        address += 2
    vram[MAP_FIRST + LOGO_TILES // 2] = 1 + LOGO_TILES
    for column in range(LOGO_TILES // 2):
        vram[MAP_FIRST + column] = 1 + column
        vram[MAP_SECOND + column] = 1 + LOGO_TILES // 2 + column
