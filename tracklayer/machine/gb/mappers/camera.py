"""Pocket Camera: ROM and RAM banks, a light sensor of 128 x 112 pixels, and what makes four shades of its picture.

For:       the registers, how long a capture takes, and how the picture gets into RAM bank 0 at 0100.
Not for:   where the light comes from: `host.camera`, a byte for each pixel, which Python fills.
Invariant: while a capture runs, RAM reads as 00 and cannot be written. It ends when somebody looks after its time.

Source: Pan Docs, "Game Boy Camera" (after Antonio Niño Díaz): its registers, its timing, and its model of the sensor.
UNVERIFIED: edge modes that the Pocket Camera's own program does not use; they leave the picture as it is.
"""

from __future__ import annotations

from tracklayer.lang import ask, i8, i16, i32, typed, u8, u16, u32, u64

from ..maps import select
from .machine import Machine
from .state import Camera

WIDTH, HEIGHT = 128, 112
REGISTERS = 0x36
MATRIX = 6
"""The first of 4 x 4 x 3 thresholds."""

BASE_CYCLES, EXTRA_CYCLES, CYCLES_PER_STEP = 32446, 512, 16
"""M-cycles of a capture: always; without the N bit; for each step of exposure."""

FULL_EXPOSURE = 0x0300
"""Steps of exposure that show the light as it is."""

SWING_BITS = 3
"""The sensor's signal moves an eighth of its range about the middle."""

PICTURE = 0x100
"""Where the picture's tiles begin in RAM bank 0."""

EDGE_QUARTERS = (2, 3, 4, 5, 8, 12, 16, 20)
"""How much edges are enhanced, in quarters, by register 4."""

ONE_D, ONE_D_HORIZONTAL, TWO_D, FLAT = 0x0, 0x2, 0xE, 0x1
"""Edge modes: bit 3 is N, bits 2-1 are VH, bit 0 is E3."""


@typed
def write(gb: Machine, address: u16, value: u8) -> None:
    """A write to 0000-7FFF. RAM can always be read; its switch allows writing."""
    catch_up(gb)
    match (address >> 13) & 3:
        case 0:
            gb.mapper.ram_enable = value & 15 == 10
        case 1:
            gb.mapper.bank = value & 0x3F
        case 2:
            gb.mapper.upper = value & 15
            gb.mapper.camera.selected = (value >> 4) & 1
        case _:
            pass
    place(gb)


@typed
def place(gb: Machine) -> None:
    """RAM stands at A000 unless the registers do, or a capture runs."""
    camera = gb.mapper.camera
    select(gb, 0, gb.mapper.bank, gb.mapper.upper & 15, not camera.selected and not camera.busy)


@typed(outline=True)
def read(gb: Machine, address: u16) -> u8:
    """A000-BFFF where no RAM stands: only register 0 can be read."""
    catch_up(gb)
    camera = gb.mapper.camera
    if camera.selected:
        return camera.registers[0] & 6 | camera.busy if address & 0x7F == 0 else 0
    memory = gb.host.memory_map[address >> 8]
    if memory:
        return memory[address & 0xFF]
    return 0


@typed(outline=True)
def write_ram(gb: Machine, address: u16, value: u8) -> None:
    """A000-BFFF: a register, or RAM if it is open for writing."""
    catch_up(gb)
    camera = gb.mapper.camera
    if camera.selected:
        index = address & 0x7F
        if index == 0:
            camera.registers[0] = value & 7
            trigger(gb, value)
        elif index < REGISTERS:
            camera.registers[index] = value
    elif gb.mapper.ram_enable:
        memory = gb.host.memory_map[address >> 8]
        if memory:
            memory[address & 0xFF] = value


@typed
def trigger(gb: Machine, value: u8) -> None:
    """Bit 0 starts a capture, or goes on with the one that was stopped; without it the capture stops."""
    camera = gb.mapper.camera
    if value & 1 and not camera.busy:
        if camera.left == 0:
            for index in range(REGISTERS):
                camera.shooting[index] = camera.registers[index]
            camera.left = duration(camera)
        camera.busy = 1
        camera.since = gb.clock.now()
    elif not value & 1 and camera.busy:
        camera.left = u32(camera.left - u64(gb.clock.now() - camera.since))
        camera.busy = 0


@typed
def duration(camera: Camera) -> u32:
    """T-cycles of a capture."""
    exposure = camera.shooting[2] << 8 | camera.shooting[3]
    extra = 0 if camera.shooting[1] & 0x80 else EXTRA_CYCLES
    return 4 * (BASE_CYCLES + extra + CYCLES_PER_STEP * exposure)


@typed(outline=True)
def catch_up(gb: Machine) -> None:
    """End the capture whose time is over."""
    camera = gb.mapper.camera
    if camera.busy and gb.clock.now() >= u64(camera.since + camera.left):
        camera.busy = 0
        camera.left = 0
        shoot(gb)
        place(gb)


@typed
def shoot(gb: Machine) -> None:
    """Put the picture into RAM, tile by tile: 2 bits a pixel, as the PPU takes them."""
    if gb.host.camera_asks:
        ask(gb.host.ports, gb.host.camera_shot, 0)
        if gb.host.ports.failed:
            gb.clock.attention()
    y: u8 = 0
    while y < HEIGHT:
        x: u8 = 0
        while x < WIDTH:
            low: u8 = 0
            high: u8 = 0
            bit: u8 = 0
            while bit < 8:
                shade = shade_at(gb, x + bit, y)
                low = u8(low << 1 | shade & 1)
                high = u8(high << 1 | shade >> 1)
                bit = u8(bit + 1)
            at = PICTURE + ((y & 0x78) << 5 | (x & 0x78) << 1 | (y & 7) << 1)
            gb.host.ram[at >> 8].data[at & 0xFF] = low
            gb.host.ram[at >> 8].data[at + 1 & 0xFF] = high
            x = u8(x + 8)
        y = u8(y + 1)


@typed
def shade_at(gb: Machine, x: u8, y: u8) -> u8:
    """The shade of a pixel, 3 the darkest: the sensor's signal against the three thresholds for this place."""
    level = signal(gb, x, y) + 128
    thresholds = gb.mapper.camera.shooting
    at = MATRIX + 3 * ((y & 3) << 2 | x & 3)
    if level < thresholds[at]:
        return 3
    if level < thresholds[at + 1]:
        return 2
    return 1 if level < thresholds[at + 2] else 0


@typed(outline=True)
def signal(gb: Machine, x: u8, y: u8) -> i8:
    """What the sensor puts out for a pixel, -128 to 127, after its edge processing."""
    registers = gb.mapper.camera.shooting
    mode = (registers[1] >> 7) << 3 | (registers[1] >> 5 & 3) << 1 | registers[4] >> 7
    edge = EDGE_QUARTERS[registers[4] >> 4 & 7]
    if mode == FLAT:
        return 0
    if mode == TWO_D:
        here = light(gb, x, y)
        around = light(gb, x - 1, y) + light(gb, x + 1, y) + light(gb, x, y - 1) + light(gb, x, y + 1)
        return limited(here + ((4 * here - around) * edge >> 2))
    if mode == ONE_D:
        return one_d(registers[0] >> 1 & 3, light(gb, x, y), light(gb, x, y + 1))
    if mode == ONE_D_HORIZONTAL:
        return one_d(registers[0] >> 1 & 3, sharpened(gb, x, y, edge), sharpened(gb, x, y + 1, edge))
    return light(gb, x, y)


@typed
def one_d(kernel: u8, here: i8, below: i8) -> i8:
    """One-dimensional filtering, from a pixel and the one below: the negative, the picture itself, or its edges."""
    if kernel == 0:
        return limited(-here)
    if kernel == 1:
        return here
    return limited(here - below)


@typed
def sharpened(gb: Machine, x: i16, y: i16, edge: u8) -> i8:
    """A pixel with its horizontal edges enhanced."""
    here = light(gb, x, y)
    return limited(here + ((2 * here - light(gb, x - 1, y) - light(gb, x + 1, y)) * edge >> 2))


@typed(outline=True)
def light(gb: Machine, x: i16, y: i16) -> i8:
    """The light on a pixel as the sensor measures it, -128 to 127; beyond the rim, that on the rim."""
    registers = gb.mapper.camera.shooting
    column = min(max(x, 0), WIDTH - 1)
    row = min(max(y, 0), HEIGHT - 1)
    exposure = registers[2] << 8 | registers[3]
    value = 0
    if gb.host.camera:
        value = gb.host.camera[row * WIDTH + column] * exposure // FULL_EXPOSURE
    level = limited((value - 128) >> SWING_BITS)
    return -1 - level if registers[4] & 8 else level


@typed
def limited(value: i32) -> i8:
    """Within -128 to 127."""
    return min(max(value, -128), 127)
