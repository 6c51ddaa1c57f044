"""What a console needs of the outside: everything in it that is not the guest's state.

For:     pointers, page maps, Python callables, what was watched, what the guest sent.
Not for: guest state. A save state is the bytes of a console behind its `host`, and `maps.rebuild` makes the maps anew.
"""

from __future__ import annotations

from tracklayer.isa.engine import EngineHost
from tracklayer.lang import Array, Host, Object, Ptr, array, struct, u1, u8, u16, u32, u64

from .apu import Listener
from .serial import SentLog

REGIONS = 16
DIRTY = 16
"""How many written code lines are listed; if there are more, `dirty_count` says so and everything counts as written."""


@struct
class Page:
    """256 bytes that stand together in the address space."""

    data: Array[u8] = array(256)


@struct
class Region:
    """Addresses that two Python callables answer for: `read(address) -> byte`, `write(address, value) -> integer`."""

    first: u16
    last: u16
    read: Object
    write: Object


PICTURE_WORDS = 160 // 8 * 144
"""A picture is kept as words of 8 pixels, the leftmost in the low byte, row by row."""


@struct
class Picture:
    """Two pictures: one is complete, the other is being drawn. Shades 0 (lightest) to 3."""

    words: Array[u64] = array(2 * PICTURE_WORDS)


TILE_WORDS, MAP_WORDS = 0x1800 // 8, 0x800 // 8
"""A bank of VRAM, in words of 8 bytes: tile data, then both maps."""
BANK_WORDS = TILE_WORDS + MAP_WORDS
PALETTE_WORDS = 64 * 2 // 8
OAM_WORDS = 160 // 8


@struct
class Drawn:
    """What the lines of both pictures were drawn with (ppu/unchanged.py)."""

    unsure: u8
    """1: VRAM or the palettes may be others than `seen`."""
    looks: u8
    """How often that was looked at in this frame."""
    changes: u64
    """How often it was."""
    rows: Array[u64] = array(64)
    """By row of the two maps: `changes` when what it shows was last found to be another."""
    registers: Array[u64] = array(2 * 144)
    """By picture and line: the registers, and which row; 0: nothing is known."""
    when: Array[u64] = array(2 * 144)
    """`changes` then."""
    object_palettes: Array[u16] = array(2 * 144)
    """OBP0 and OBP1, where there were objects."""
    objects: u64
    """`changes` when OAM was last found to be another."""
    odd: u1
    """1: this line's objects were looked for in an odd way."""
    seen: Array[u64] = array(2 * BANK_WORDS)
    seen_palettes: Array[u64] = array(PALETTE_WORDS)
    seen_oam: Array[u64] = array(OAM_WORDS)


COLOUR_WORDS = 160 // 4 * 144
"""On a Game Boy Color, as words of 4 pixels of 16 bits."""


@struct
class ColourPicture:
    """The same two pictures on a Game Boy Color: BGR555, red in the low bits."""

    words: Array[u64] = array(2 * COLOUR_WORDS)


@struct
class LineBuffer:
    """Where a line is put together: words of 8 pixels (ppu/line.py). Objects begin 8 pixels left of the screen."""

    background: Array[u64] = array(20)
    objects: Array[u64] = array(22)


QUICK_HOOKS = 64


ANY_BANK = 0xFFFF


@struct
class QuickHook:
    """A place that has hooks. `next` is one more than the next slot, 0 at the end."""

    function: Object
    """The only hook there, called without a detour; null: `on_hook` finds out who is to be called."""
    address: u16
    bank: u16
    """The bank that must stand there; ANY_BANK: whichever does."""
    next: u8


@struct
class GbHost:
    """The host's part of a console. `ports` holds the first exception that a callable raised."""

    ports: Host
    engine: EngineHost
    """What the engine keeps for itself."""
    read_map: Array[Ptr[u8]] = array(256)
    """By page: where reads find their byte; null where they must ask `memory.read_slow`."""
    write_map: Array[Ptr[u8]] = array(256)
    fetch_map: Array[Ptr[u8]] = array(256)
    memory_map: Array[Ptr[u8]] = array(256)
    """By page: the memory that stands there, whatever may forbid touching it; null where there is none."""
    open_maps: Array[Ptr[u8]] = array(768)
    """What read_map, write_map and fetch_map are again when OAM DMA, which closes all pages, is over."""
    vram_open: u8
    """1: VRAM's pages are in the maps, because it is free and was accessed since it is."""
    stale: u8
    """1: another state was loaded: the maps are made anew before the next instruction."""
    page_flags: Array[u8] = array(256)
    rom: Ptr[Page]
    boot_rom: Ptr[Page]
    boot_pages: u8
    """256-byte pages of the boot ROM; 0: there is none."""
    ram: Ptr[Page]
    rom_banks: u16
    """16 KiB banks of ROM, a power of two, at least 2."""
    ram_pages: u16
    """256-byte pages of cartridge RAM: 0 or a power of two."""
    mapper: u8
    """Index into `mappers.MAPPERS`."""
    render: u8
    """0: frames that begin now are not drawn. Nothing that the guest can feel changes."""
    watch_breakpoint: u8
    """1: LD B,B stops the engine."""
    until: u64
    """The dot to which frames are being run."""
    frames_wanted: u32
    """Frames until the engine stops; 0: it does not stop for frames."""
    hook_bits: Array[u8] = array(8192)
    """One bit per guest address: engines ask `hooked` before they run the instruction there."""
    quick_first: Array[u8] = array(256)
    """By the low byte of an address: one more than the first slot of `quick` to look in, 0 for none."""
    quick: Array[QuickHook] = array(QUICK_HOOKS)
    face: Object
    """The console as hooks see it: their argument."""
    access_bits: Ptr[u8]
    """One bit per guest address that has hooks on reads, then one per address with hooks on writes; null: none has."""
    on_access: Object
    """`on_access(address, old, new, is_write)`, after such an access."""
    telling: u8
    """1 while such an access is done."""
    hram_hooked: u8
    """1: some of FF80-FFFF has such hooks, so that none of it is quick."""
    interrupt_hooked: u8
    """1: `on_interrupt(bit)` is called before the first instruction of an interrupt's handler."""
    dispatched: u8
    """One more than the interrupt that was just dispatched, where that is to be told; else 0."""
    on_interrupt: Object
    frame_hooked: u8
    """1: `on_frame()` is called between two instructions once a frame is done."""
    frames_told: u64
    on_frame: Object
    passed_address: u16
    """A hook raised at this address and time: the next run begins with the instruction, not with the hook."""
    passed_time: u64
    watch: Array[u16] = array(128)
    """By page from 8000 on, one bit per 16 bytes: translated code was made from them. Echo RAM has its original's."""
    code_bits: Array[u8] = array(0x1000)
    """One bit per byte from 8000 on, in the same way: which bytes of these lines the code was made from."""
    code_dirty: u8
    """1 if such a byte was written since somebody cleared it."""
    dirty_count: u32
    dirty: Array[u16] = array(DIRTY)
    """The lines of the first such bytes."""
    linked: u8
    """1: somebody runs this console and one at the other end of its cable, and is told of writes to SB and SC."""
    plugged: u8
    """1: a device is at the other end: `device(byte, time)` gives the byte that it sends meanwhile."""
    device: Object
    wall: u8
    """1: clocks in cartridges count the world's time, `wall_clock()` in 4,194,304ths of a second."""
    wall_clock: Object
    camera: Ptr[u8]
    """128 x 112 bytes of light for the Pocket Camera, 255 the brightest; null is darkness."""
    camera_asks: u8
    """1: `camera_shot()` is called before a picture is taken."""
    camera_shot: Object
    region_count: u8
    regions: Array[Region] = array(REGIONS)
    sent: SentLog
    line: LineBuffer
    drawn_from: u64
    """No frame that begins before this dot is drawn, whatever `render` says."""
    watched: u1
    """1: Python may look at any picture while the guest runs, from hooks or regions."""
    drawing: u1
    """1 if this frame is being drawn."""
    shown: u1
    """Which half of `picture` holds the last complete frame."""
    picture: Picture
    drawn: Drawn
    """On a Game Boy Color what stands here means nothing."""
    colours: ColourPicture
    listener: Listener
