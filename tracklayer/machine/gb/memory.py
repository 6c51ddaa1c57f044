"""Accesses that the page maps leave open: registers, OAM, closed or watched memory, the mapper, Python regions.

For:     the slow side of every read and write.
Not for: the quick side (console.py), and which pages are mapped (maps.py).
Source:  Pan Docs, "Memory Map", "Accessing VRAM and OAM", "OAM DMA bus conflicts".
"""

from __future__ import annotations

from tracklayer.lang import ask, typed, u8, u16, unlikely

from . import dma, hooks, mappers, oam_bug, ppu
from .host import DIRTY, REGIONS
from .maps import (
    CART_RAM,
    ECHO,
    OAM,
    READ_HOOK,
    SLOW_WRITE,
    VRAM,
    WRAM,
    WRITE_HOOK,
    open_vram,
    remap_page,
    watched_page,
)  # fmt: skip
from .registers import Machine, read_io, write_io

OAM_BYTES = 0xFE00
OAM_END = 0xFEA0
IO = 0xFF00
HRAM = 0xFF80
CPU_CGB_D, CPU_CGB_E = 3, 4
"""Revisions, as model.py counts."""


@typed(cold=True)
def read_slow(gb: Machine, address: u16) -> u8:
    """Read a byte, now, from an address whose page is not mapped."""
    if unlikely(gb.host.page_flags[address >> 8] & READ_HOOK != 0) and gb.host.telling == 0:
        return hooks.read_told(gb, address)
    if gb.host.region_count > 0:
        region = region_of(gb, address)
        if region < REGIONS:
            return ask_region(gb, region, address)
    page = u8(address >> 8)
    if gb.dma.blocking:
        ppu.before_dma(gb)
        dma.catch_up(gb)
        if gb.dma.running:
            if on_dma_bus(gb, page):
                return dma.read_over(gb)
            page = dma.diverted(gb, page)
    if address < OAM_BYTES:
        if VRAM <= page < CART_RAM:
            if gb.ppu.vram_free:
                vram_touched(gb)
            else:
                ppu.catch_up(gb)
            if gb.ppu.locks & ppu.VRAM_READ:
                return 0xFF
        memory = gb.host.memory_map[page]
        if memory:
            return memory[address & 0xFF]
        return mappers.read(gb, address)
    if address < IO:
        return read_oam(gb, address)
    if address >= HRAM:
        return gb.hram[address & 0x7F]
    return read_io(gb, address)


@typed(cold=True)
def read_slow_step(gb: Machine, address: u16) -> u8:
    """The same, where the address is counted up or down meanwhile."""
    if address >> 8 == OAM:
        oam_bug.read_step(gb)
    return read_slow(gb, address)


@typed(cold=True)
def write_slow(gb: Machine, address: u16, value: u8) -> None:
    """Write a byte, now, to an address whose page is not mapped."""
    if unlikely(gb.host.page_flags[address >> 8] & WRITE_HOOK != 0) and gb.host.telling == 0:
        hooks.write_told(gb, address, value)
        return
    if gb.host.region_count > 0:
        region = region_of(gb, address)
        if region < REGIONS:
            tell_region(gb, region, address, value)
            return
    if HRAM <= address < 0xFFFF:  # only because somebody watches: devices stay as late as they are with nobody there
        gb.hram[address & 0x7F] = value
        check_watch(gb, address)
        return
    page = u8(address >> 8)
    if gb.dma.blocking:
        ppu.before_dma(gb)
        dma.catch_up(gb)
        if gb.dma.running:
            if on_dma_bus(gb, page):
                dma.overwrite(gb, value)
                return
            page = dma.diverted(gb, page)
            address = u16(page << 8 | address & 0xFF)
    if page < VRAM:
        mappers.write(gb, address, value)
    elif page < OAM:
        if page < CART_RAM:
            ppu.catch_up(gb)
            if gb.ppu.locks & ppu.VRAM_WRITE:
                return
            if gb.ppu.vram_free:
                vram_touched(gb)
            gb.host.drawn.unsure = 1
        memory = gb.host.memory_map[page]
        if not memory or gb.host.page_flags[page] & SLOW_WRITE:
            mappers.write_ram(gb, address, value)
        else:
            memory[address & 0xFF] = value
        check_watch(gb, address)
    elif address < IO:
        write_oam(gb, address, value)
    else:
        write_io(gb, address, value)


@typed
def vram_touched(gb: Machine) -> None:
    """VRAM is accessed while it is free: there will be more of that."""
    if gb.host.vram_open == 0:
        open_vram(gb, 1)


@typed
def on_dma_bus(gb: Machine, page: u8) -> bool:
    """Whether OAM DMA uses the bus that this page is on: VRAM's own, or the one of cartridge and RAM.

    On a Color work RAM has a bus of its own too.
    """
    if page >= OAM:
        return False
    if gb.color.hardware:
        return bus_of(page) == (0 if gb.dma.source >= ECHO else bus_of(gb.dma.source))
    from_vram = VRAM <= gb.dma.source < CART_RAM
    in_vram = VRAM <= page < CART_RAM
    return from_vram == in_vram


@typed
def bus_of(page: u8) -> u8:
    """On a Color: 0 the cartridge's bus, 1 VRAM's, 2 work RAM's. Source: Pan Docs, "OAM DMA bus conflicts"."""
    if page >= WRAM:
        return 2
    return VRAM <= page < CART_RAM


@typed
def read_oam(gb: Machine, address: u16) -> u8:
    """FE00-FEFF. Behind OAM a DMG reads 00, a Color from revision E on what is in the address.

    Source: Pan Docs, "FEA0-FEFF range".
    """
    ppu.catch_up(gb)
    if gb.dma.running or gb.ppu.locks & ppu.OAM_READ:
        oam_bug.read(gb)
        return 0xFF
    index = address & 0xFF
    if index < 160:
        return gb.oam[index]
    if 0 < gb.color.revision < CPU_CGB_E:
        return gb.color.behind[place_behind(gb, index)]
    return u8((index >> 4) * 0x11) if gb.color.hardware else 0


@typed
def write_oam(gb: Machine, address: u16, value: u8) -> None:
    """FE00-FEFF. Behind OAM there is RAM on a Color before revision E, else nothing to write to."""
    oam_bug.step(gb)
    index = address & 0xFF
    if not gb.dma.running and gb.ppu.locks & ppu.OAM_WRITE == 0:
        if index < 160:
            gb.oam[index] = value
        elif 0 < gb.color.revision < CPU_CGB_E:
            gb.color.behind[place_behind(gb, index)] = value


@typed
def place_behind(gb: Machine, index: u8) -> u8:
    """Where an address behind OAM leads: up to CPU CGB C bits 4-3 do not count, on D FEC0-FEFF repeat 16 bytes.

    Proof: gambatte oamdma/oamdma_src*_busypushFEA1_*, for FEA0 and FEA1 on CPU CGB C. UNVERIFIED: the rest of it.
    """
    if gb.color.revision < CPU_CGB_D:
        at = (index & 0xE7) - 160
    else:
        at = index - 160 if index < 0xC0 else 0x20 + (index & 15)
    return u8(min(max(at, 0), 95))


@typed
def region_of(gb: Machine, address: u16) -> u8:
    """The Python region that covers this address; REGIONS if there is none."""
    found: u8 = REGIONS
    index: u8 = 0
    while index < REGIONS and index < gb.host.region_count:
        if gb.host.regions[index].first <= address <= gb.host.regions[index].last and found == REGIONS:
            found = index
        index = u8(index + 1)
    return found


@typed
def ask_region(gb: Machine, region: u8, address: u16) -> u8:
    """What Python says that this address holds. If it raises, FF, and the engine stops at the next boundary."""
    value = u8(ask(gb.host.ports, gb.host.regions[region].read, 0xFF, address))
    if gb.host.ports.failed:
        gb.clock.attention()
    return value


@typed
def tell_region(gb: Machine, region: u8, address: u16, value: u8) -> None:
    """Tell Python what was written. If it raises, the engine stops at the next boundary."""
    ask(gb.host.ports, gb.host.regions[region].write, 0, address, value)
    if gb.host.ports.failed:
        gb.clock.attention()


@typed
def check_watch(gb: Machine, address: u16) -> None:
    """After a write: was translated code made from this byte?"""
    page = watched_page(u8(address >> 8))
    if gb.host.watch[page] >> (address >> 4 & 15) & 1 and is_code(gb, address):
        code_written(gb, address)


@typed
def is_code(gb: Machine, address: u16) -> bool:
    """Whether translated code was made from this byte of a watched line."""
    return gb.host.code_bits[watched_page(u8(address >> 8)) << 5 | address >> 3 & 31] >> (address & 7) & 1 != 0


@typed
def watch(gb: Machine, address: u16) -> None:
    """Translated code is made from this byte: its line of 16 bytes is watched."""
    page = watched_page(u8(address >> 8))
    gb.host.code_bits[page << 5 | address >> 3 & 31] |= 1 << (address & 7)
    if gb.host.watch[page] >> (address >> 4 & 15) & 1 == 0:
        gb.host.watch[page] |= 1 << (address >> 4 & 15)
        remap_watched(gb, u8(address >> 8))


@typed(outline=True)
def code_written(gb: Machine, address: u16) -> None:
    """Code in a watched line of 16 bytes was written: it is watched no more, listed for the translator, which is told
    of it."""
    page = watched_page(u8(address >> 8))
    gb.host.watch[page] &= ~(1 << (address >> 4 & 15))
    gb.host.code_bits[page << 5 | address >> 3 & 30] = 0
    gb.host.code_bits[page << 5 | address >> 3 & 30 | 1] = 0
    gb.host.code_dirty = 1
    if gb.host.dirty_count < DIRTY:
        gb.host.dirty[gb.host.dirty_count & (DIRTY - 1)] = (page | 0x80) << 8 | address & 0xF0  # not its echo's
    gb.host.dirty_count += 1
    if gb.host.watch[page] == 0:
        remap_watched(gb, u8(address >> 8))
    gb.clock.attention()


@typed(outline=True)
def remap_watched(gb: Machine, page: u8) -> None:
    """Derive the maps of a page anew, and of its echo or of what it echoes."""
    remap_page(gb, page)
    if 0xC0 <= page < 0xDE:
        remap_page(gb, page + 0x20)
    elif ECHO <= page < OAM:
        remap_page(gb, page - 0x20)
