"""OAM DMA: 160 bytes copied to OAM, one each M-cycle, while the bus belongs to the copy.

For:       FF46; which byte is on the bus at a given time; when OAM and memory are the CPU's again.
Not for:   what the CPU reads meanwhile (memory.py); what the PPU sees of it (ppu/oam.py).
Invariant: `position` bytes of the current transfer are in OAM. Between FF46 and the event at the end, `blocking` keeps
           every page out of the maps, so each access comes by memory.py and lets the copy catch up first.
Source:    Pan Docs, "OAM DMA Transfer"; gb-ctr, "OAM DMA".
Proof:     mooneye acceptance/oam_dma_start, oam_dma_timing, oam_dma_restart, oam_dma/*.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, struct, typed, u1, u8, u64
from tracklayer.machine.common.clock import NEVER, Clock

from . import events, maps
from .color import Color
from .host import GbHost
from .maps import Banks, BootRom, close_all, open_all

LENGTH = 160
DELAY = 8
"""T-cycles from the write to FF46 until the first byte is copied."""
DURATION = 4 * LENGTH


@struct
class Dma:
    """The transfer that runs, and the one that will replace it."""

    started: u64
    """When the first byte of the current transfer was copied."""
    next_start: u64
    """When the requested transfer begins; NEVER if none is requested."""
    register: u8
    source: u8
    """Page that is copied from."""
    position: u8
    running: u1
    blocking: u1
    """1 from the request to the event after the end: nothing is accessed directly."""


class Machine(Protocol):
    """What OAM DMA reaches of its machine."""

    host: GbHost
    clock: Clock
    dma: Dma
    banks: Banks
    boot_rom: BootRom
    color: Color
    vram: Array[u8]
    wram: Array[u8]
    oam: Array[u8]


@typed
def catch_up(gb: Machine) -> None:
    """Copy what is due. The PPU must have read before what it was to see of OAM as it was (`ppu.before_dma`)."""
    advance(gb, gb.clock.now())


@typed(outline=True)
def advance(gb: Machine, time: u64) -> None:
    """Copy what is due at a time: the PPU goes on beside the copy, dot by dot."""
    if gb.dma.next_start <= time:
        if gb.dma.running:
            copy_until(gb, u64(gb.dma.next_start - 4))
        gb.dma.started = gb.dma.next_start
        gb.dma.source = gb.dma.register
        gb.dma.position = 0
        gb.dma.running = 1
        gb.dma.next_start = NEVER
    if gb.dma.running:
        copy_until(gb, time)
        if time >= u64(gb.dma.started + DURATION):
            gb.dma.running = 0


@typed
def copy_until(gb: Machine, time: u64) -> None:
    """Copy the bytes whose M-cycle lies at or before `time`."""
    due = min((u64(time - gb.dma.started) >> 2) + 1, LENGTH) if time >= gb.dma.started else 0
    memory = gb.host.memory_map[source_page(gb)]
    index: u8 = gb.dma.position
    if gb.dma.position == 0 and due == LENGTH and memory:
        for at in range(LENGTH):  # all of it at once
            gb.oam[at] = memory[at]
        index = LENGTH
    while index < due:
        gb.oam[index] = memory[index] if memory else 0xFF
        index = u8(index + 1)
    gb.dma.position = index


@typed
def source_page(gb: Machine) -> u8:
    """E0 to FF, where OAM and registers lie for the CPU, are read as C0 to DF: the copy sees only RAM there.

    On a Color they are on the cartridge's bus, and nothing answers.
    Proof: mooneye acceptance/oam_dma/sources-GS; gambatte oamdma/oamdma_src[EF]*_cgb04c_*.
    """
    if gb.color.hardware and gb.dma.source >= maps.ECHO:
        return 0xFF
    return u8(gb.dma.source - 0x20) if gb.dma.source >= maps.ECHO else gb.dma.source


@typed
def source_byte(gb: Machine, page: u8, index: u8) -> u8:
    """What memory holds there, whoever is busy with it."""
    memory = gb.host.memory_map[page]
    if memory:
        return memory[index]
    return 0xFF


@typed
def word_at(gb: Machine) -> u8:
    """Where in OAM the word lies of whose two bytes the copy is at one."""
    return min(max(gb.dma.position, 1) - 1, LENGTH - 1) & 0xFE


@typed
def byte_on_bus(gb: Machine) -> u8:
    """The byte that is being copied now. The copy must be right as of now, and running."""
    return source_byte(gb, source_page(gb), u8(max(gb.dma.position, 1) - 1))


@typed
def overwrite(gb: Machine, value: u8) -> None:
    """The CPU wrote `value` on the bus that the copy uses: the copy takes that, and nothing else gets it.

    WRAM drives the bus at the same time as the CPU, and zeros win. Proof: gambatte oamdma/oamdma_src*_busypush*.
    """
    index = u8(max(gb.dma.position, 1) - 1)
    if gb.color.hardware:
        # Work RAM's bus lets nobody else drive it; on VRAM's nobody does then.
        if index < LENGTH and not maps.WRAM <= gb.dma.source < maps.ECHO:
            gb.oam[index] = 0 if maps.VRAM <= gb.dma.source < maps.CART_RAM else value
    elif index < LENGTH:
        page = source_page(gb)
        if page >= maps.WRAM:
            value = value & source_byte(gb, page, index)
        gb.oam[index] = value


@typed
def read_over(gb: Machine) -> u8:
    """The CPU reads on the bus that the copy uses: it gets the copy's byte. On a Color, from VRAM, OAM gets 00 then.

    Proof: gambatte oamdma/oamdma_src8000_busypop*.
    """
    value = byte_on_bus(gb)
    index = u8(max(gb.dma.position, 1) - 1)
    if gb.color.hardware != 0 and maps.VRAM <= gb.dma.source < maps.CART_RAM and index < LENGTH:
        gb.oam[index] = 0
    return value


@typed
def diverted(gb: Machine, page: u8) -> u8:
    """On a Color, while the copy runs from the cartridge's bus, bit 12 of its address selects the half of work RAM.

    Proof: gambatte oamdma/oamdma_src*_busypopDFFF_*, busypushC001, busypushF001; mooneye acceptance/call_timing.
    """
    source = gb.dma.source
    from_cartridge = source < maps.VRAM or maps.CART_RAM <= source < maps.WRAM or source >= maps.ECHO
    if gb.color.hardware != 0 and maps.WRAM <= page < maps.OAM and from_cartridge:
        return maps.WRAM | gb.dma.source & 0x10 | page & 0x0F
    return page


@typed(outline=True)
def hold(gb: Machine, time: u64) -> None:
    """The CPU's clock stood still for `time` until now (HALT, a change of speed), and with it the copy, if not over.

    It had caught up before. Proof: gambatte oamdma/oamdmasrc80_halt_lycirq_read8000, oamdma_late_halt_stat_*,
    oamdma_late_speedchange_stat_*.
    """
    if u64(gb.clock.now() - time) < u64(gb.dma.started + DURATION):
        gb.dma.started = u64(gb.dma.started + time)
    if gb.dma.next_start != NEVER:
        gb.dma.next_start = u64(gb.dma.next_start + time)
    gb.clock.schedule(events.DMA, end(gb))


@typed
def due(gb: Machine) -> None:
    """The event: if the transfer is over, memory is the CPU's again."""
    catch_up(gb)
    if gb.dma.running or gb.dma.next_start != NEVER:
        gb.clock.schedule(events.DMA, end(gb))
    else:
        gb.dma.blocking = 0
        gb.clock.cancel(events.DMA)
        open_all(gb)


@typed
def read_dma(gb: Machine) -> u8:
    """FF46 as written. Proof: mooneye acceptance/oam_dma/reg_read."""
    return gb.dma.register


@typed
def request(gb: Machine, source: u8) -> None:
    """FF46 was written: a transfer begins after the delay; one that runs goes on until then. The PPU has caught up."""
    catch_up(gb)
    gb.dma.register = source
    gb.dma.next_start = u64(gb.clock.now() + DELAY)
    if not gb.dma.blocking:
        gb.dma.blocking = 1
        close_all(gb)
        gb.clock.schedule(events.DMA, end(gb))


@typed
def end(gb: Machine) -> u64:
    """When the last transfer that is known of will be over; one is running or requested."""
    return u64((gb.dma.started if gb.dma.next_start == NEVER else gb.dma.next_start) + DURATION)
