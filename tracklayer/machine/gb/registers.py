"""Every I/O register of a Game Boy in one table, FF00-FF7F, and IE.

For:     dispatching an address to its device.
Not for: what a register does, except IF, IE and FF46, which look at several devices.
Source:  Pan Docs, "Hardware Registers", "Interrupts".  Proof: mooneye bits/unused_hwio-GS, boot_hwio-dmgABCmgb.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import typed, u8, u16
from tracklayer.machine.common.registers import Reg

from . import apu, boot_rom, color_registers, divider, dma, hdma, joypad, ppu, serial, timer
from .interrupts import IE


class Machine(hdma.Machine, divider.Machine, joypad.Machine, apu.Machine, dma.Machine, Protocol):
    """The whole Game Boy, as far as its devices are concerned."""


@typed(outline=True)
def catch_up_requests(gb: Machine) -> None:
    """Let every device that may have requested an interrupt catch up: IF is right as of now."""
    timer.catch_up(gb)
    serial.catch_up(gb)
    ppu.catch_up(gb)


@typed(outline=True)
def catch_up_requests_ahead(gb: Machine, cycles: u8) -> None:
    """Let IF be right as of some T-cycles from now: the CPU can do nothing until then."""
    gb.clock.left -= cycles
    catch_up_requests(gb)
    gb.clock.left += cycles


@typed
def read_if(gb: Machine) -> u8:
    """IF: the requests."""
    catch_up_requests(gb)
    return gb.interrupts.flags


@typed
def write_if(gb: Machine, value: u8) -> None:
    """Make or withdraw requests. One that comes in the same M-cycle is overwritten.

    Proof: gambatte m2int_m0irq/m2int_m0irq_scx3_ifw_2.
    """
    catch_up_requests_ahead(gb, 1)
    gb.interrupts.flags = value & 0x1F
    gb.clock.attention()


@typed
def write_ie(gb: Machine, value: u8) -> None:
    """Another choice of interrupts: what the CPU cannot feel by itself need not be scheduled.

    It asks for a boundary whatever is requested, as IF does: a dispatch may push PC here, looks again behind that, and
    is to find devices as late as they are in every run.
    """
    catch_up_requests(gb)
    gb.hram[IE] = value
    timer.reschedule(gb)
    serial.reschedule(gb)
    ppu.reschedule(gb)
    gb.clock.attention()


@typed
def read_pcm12(gb: Machine) -> u8:
    """PCM12: what the first two channels give to their DACs."""
    return apu.pcm(gb, 0) if gb.color.hardware else 0xFF


@typed
def read_pcm34(gb: Machine) -> u8:
    """PCM34: the other two."""
    return apu.pcm(gb, 2) if gb.color.hardware else 0xFF


@typed
def write_dma(gb: Machine, value: u8) -> None:
    """Start OAM DMA. What the PPU has to read from OAM as it was, it reads now."""
    ppu.before_dma(gb)
    if gb.dma.blocking == 0:
        ppu.disturb(gb)
    dma.request(gb, value)


@typed
def dma_due(gb: Machine) -> None:
    """The event: OAM DMA is over, and the PPU has seen what it was to see of it."""
    ppu.before_dma(gb)
    dma.due(gb)


REGISTERS = (
    *joypad.REGISTERS,
    *serial.REGISTERS,
    *divider.REGISTERS,
    *timer.REGISTERS,
    *ppu.REGISTERS,
    *color_registers.REGISTERS,
    *hdma.REGISTERS,
    *boot_rom.REGISTERS,
    Reg(0xFF76, "PCM12", 0x00, read_pcm12, None),
    Reg(0xFF77, "PCM34", 0x00, read_pcm34, None),
    Reg(0xFF0F, "IF", 0xE0, read_if, write_if),
    Reg(0xFF46, "DMA", 0x00, dma.read_dma, write_dma),
)


@typed(outline=True)
def read_io(gb: Machine, address: u16) -> u8:
    """Read FF00-FF7F. What does not exist reads as FF."""
    for reg in REGISTERS:
        if address == reg.address:
            if reg.read is None:
                return 0xFF
            return reg.read(gb, *reg.which) | reg.ones
    if apu.FIRST <= address < apu.FIRST + apu.COUNT:
        return apu.read(gb, address)
    return 0xFF


@typed(outline=True)
def write_io(gb: Machine, address: u16, value: u8) -> None:
    """Write FF00-FF7F, or IE."""
    for reg in REGISTERS:
        if address == reg.address:
            if reg.write is not None:
                reg.write(gb, *reg.which, value)
            return
    if address == 0xFFFF:
        write_ie(gb, value)
    elif apu.FIRST <= address < apu.FIRST + apu.COUNT:
        apu.write(gb, address, value)
