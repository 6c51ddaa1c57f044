"""A Game Boy: everything that one console is, in one struct.

For:       the root struct GB; the bus that the CPU speaks to; what happens between two instructions.
Not for:   any device by itself; engines, which run the CPU against this.
Invariant: an access happens when its M-cycle begins, and here alone: first the access, at `clock.now()`, then
           `clock.left -= 4`. The CPU looks for interrupts when its last M-cycle is over, so it takes one that
           the same instruction could not yet read in IF. Proof: gbmicrotest hblank_int_scx0_if_a to _d.
           Between two instructions the engine calls `boundary` if `clock.left <= 0`, and returns if that sets
           `clock.stop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tracklayer.cpu.sm83 import Cpu, between
from tracklayer.lang import Array, address_of, array, pointer_at, struct, typed, u3, u8, u16, u32, u64, unlikely
from tracklayer.machine.common.clock import STOP_BREAKPOINT, STOP_ERROR, STOP_LIMIT, Clock

from . import (
    apu,
    divider,
    dma,
    events,
    hdma,
    hooks,
    interrupts,
    joypad,
    mappers,
    maps,
    memory,
    oam_bug,
    ppu,
    registers,
    serial,
    speed,
    timer,
)  # fmt: skip
from .apu import Apu
from .color import Color
from .dma import Dma
from .hdma import Hdma
from .host import GbHost
from .interrupts import Interrupts
from .joypad import Joypad
from .mappers import MapperRegisters
from .maps import Banks, BootRom
from .ppu import Ppu
from .serial import Serial
from .sgb import Sgb
from .speed import Speed
from .timer import Timer

HALT_LATENCY = (2, 4)
"""A request wakes the CPU from HALT only if it came so many T-cycles before an M-cycle's end; on a Color, four.

Proof: gbmicrotest int_hblank_halt_scx0 to _scx7, against int_hblank_nops_scx0 to _scx7; gambatte
halt/m0irq_m0stat_scx*; daid ppu_scanline_bgp; cgb-acid-hell."""


FRESHLY_HALTED, HALTED = 1, 2
"""`cpu.halted`: HALT was just executed; it has been waited for."""


@dataclass(frozen=True)
class Event:
    """What to do when an event of this kind is due."""

    kind: int
    due: Callable[[Any], None]


EVENTS = (
    Event(events.TIMER, timer.due),
    Event(events.SERIAL, serial.due),
    Event(events.FRAME, ppu.frame_due),
    Event(events.STAT, ppu.stat_due),
    Event(events.DMA, registers.dma_due),
)


@struct
class GB:
    """One Game Boy. The bytes behind `host`, with the cartridge's RAM, are its whole state."""

    host: GbHost
    cpu: Cpu
    clock: Clock
    interrupts: Interrupts
    timer: Timer
    serial: Serial
    joypad: Joypad
    sgb: Sgb
    dma: Dma
    ppu: Ppu
    apu: Apu
    mapper: MapperRegisters
    banks: Banks
    boot_rom: BootRom
    speed: Speed
    color: Color
    hdma: Hdma
    hram: Array[u8] = array(0x80)
    """FF80-FFFF: HRAM, and in its last byte IE."""
    oam: Array[u8] = array(0xA0)
    wram: Array[u8] = array(0x8000)
    """Bank 0, and the seven that D000 may show; a DMG has the first two."""
    vram: Array[u8] = array(0x4000)
    """Two banks; a DMG has the first."""

    # ------------------------------------------------------------------ the bus

    @typed(apart=True)
    def read(self, address: u16) -> u8:
        """One M-cycle: read a byte of data."""
        return self.read_by(address, memory.read_slow)

    @typed(apart=True)
    def write(self, address: u16, value: u8) -> None:
        """One M-cycle: write a byte."""
        page = self.host.write_map[address >> 8]
        if page:
            page[address & 0xFF] = value
        elif 0xFF80 <= address < 0xFFFF and self.quick_hram(address, 1):
            self.hram[address & 0x7F] = value
        else:
            memory.write_slow(self, address, value)
        self.clock.left -= 4

    @typed(apart=True)
    def read_pair(self, address: u16) -> u16:
        """Two M-cycles: read two bytes, the low one first; at once where both lie in the same plain memory."""
        page = self.host.read_map[address >> 8]
        if page:
            at = address & 0xFF
            if at != 0xFF:
                self.clock.left -= 8
                return page[at + 1] << 8 | page[at]
        elif 0xFF80 <= address < 0xFFFE and self.host.hram_hooked == 0:
            self.clock.left -= 8
            return self.hram[address + 1 & 0x7F] << 8 | self.hram[address & 0x7F]
        return self.read_apart(address)

    @typed(apart=True)
    def write_pair(self, address: u16, value: u16) -> None:
        """Two M-cycles: write two bytes, the high one first; at once where both lie in the same plain memory."""
        page = self.host.write_map[address >> 8]
        at = address & 0xFF
        if page and at != 0xFF:
            # One store: a load of both bytes would wait for two.
            pointer_at(u64(address_of(page) + at), u16)[0] = value
            self.clock.left -= 8
        elif 0xFF80 <= address < 0xFFFE and self.quick_hram(address, 3):
            self.hram[address & 0x7F] = value & 0xFF
            self.hram[address + 1 & 0x7F] = value >> 8
            self.clock.left -= 8
        else:
            self.write_apart(address, value)

    @typed(cold=True)
    def read_apart(self, address: u16) -> u16:
        """The bytes of a pair, each by itself."""
        low = self.read_step(address)
        return self.read(u16(address + 1)) << 8 | low

    @typed(cold=True)
    def write_apart(self, address: u16, value: u16) -> None:
        """The bytes of a pair, each by itself."""
        self.write(u16(address + 1), value >> 8)
        self.write(address, value & 0xFF)

    @typed
    def quick_hram(self, address: u16, lines: u8) -> bool:
        """Whether nobody is to hear of a write to HRAM: to this address's line, and with `lines` 3 to the next one."""
        return self.host.watch[0x7F] >> (address >> 4 & 15) & lines == 0 and self.host.hram_hooked == 0

    @typed(apart=True)
    def fetch(self, address: u16) -> u8:
        """One M-cycle: read a byte of code."""
        page = self.host.fetch_map[address >> 8]
        if page:
            self.clock.left -= 4
            return page[address & 0xFF]
        if address >= 0xFF80:
            self.clock.left -= 4
            return self.hram[address & 0x7F]
        value = memory.read_slow_step(self, address)
        self.clock.left -= 4
        return value

    @typed
    def idle(self, address: u16) -> None:
        """One M-cycle without an access."""
        self.clock.left -= 4

    @typed(apart=True)
    def step(self, address: u16) -> None:
        """One M-cycle in which the CPU's address unit counts an address up or down."""
        if address >> 8 != maps.OAM:
            pass
        else:
            oam_bug.step(self)
        self.clock.left -= 4

    @typed(apart=True)
    def read_step(self, address: u16) -> u8:
        """One M-cycle: read a byte of data, while the address unit counts its address up or down."""
        return self.read_by(address, memory.read_slow_step)

    @typed
    def read_by(self, address: u16, slow: Any) -> u8:
        """One M-cycle: read a byte of data, by `slow` where it does not lie in plain memory."""
        page = self.host.read_map[address >> 8]
        if page:
            self.clock.left -= 4
            return page[address & 0xFF]
        if address >= 0xFF80 and self.host.hram_hooked == 0:
            self.clock.left -= 4
            return self.hram[address & 0x7F]
        value = slow(self, address)
        self.clock.left -= 4
        return u8(value)

    @typed
    def pending(self) -> u8:
        """The interrupts that are both requested and enabled, as of now. In HALT the boundary has seen to that."""
        if self.clock.left <= 0 and self.cpu.halted == 0:
            registers.catch_up_requests(self)
        return interrupts.felt(self)

    @typed
    def requested(self) -> u8:
        """The same, as of when devices were last looked at; where they should be, a boundary is due."""
        return interrupts.felt(self)

    @typed
    def acknowledge(self, bit: u3) -> None:
        """The CPU takes a request. It goes two T-cycles later, and one that comes until then with it.

        Proof: gambatte irq_precedence/late_m0irq_retrigger_*.
        """
        registers.catch_up_requests_ahead(self, 2)
        self.interrupts.flags &= ~(1 << bit)
        if self.host.interrupt_hooked:
            self.host.dispatched = bit + 1

    @typed
    def attention(self) -> None:
        """Have `boundary` run before the next instruction."""
        self.clock.attention()

    @typed
    def stop(self) -> None:
        """STOP. The divider is cleared and the CPU waits for a button; with one held it is a HALT instead.

        On a Color with a change of speed prepared the speed changes, and the CPU goes on.

        With an interrupt pending the byte behind STOP is not skipped, and a held button makes it a NOP.
        Source: Pan Docs, "Using the STOP Instruction", the chart. UNVERIFIED: no test known.
        """
        if self.speed.armed:
            self.change_speed()
            return
        if self.pending() == 0:
            self.cpu.pc = u16(self.cpu.pc + 1)
            if joypad.lines(self) != 15:
                self.cpu.halted = 1
        if joypad.lines(self) != 15:
            self.cpu.stopped = 0
        else:
            divider.clear(self)

    @typed(rare=True)
    def change_speed(self) -> None:
        """The divider is cleared twice, the speed is the other one, and the CPU stands still for a while.

        UNVERIFIED: that the PPU goes on drawing as if nothing were; an interrupt while the CPU stands still.
        """
        if self.pending() == 0:
            self.cpu.pc = u16(self.cpu.pc + 1)
        self.cpu.stopped = 0
        if self.hdma.active:
            hdma.halts(self)
        if divider.stops_early(self):
            divider.clear(self)
        self.clock.left -= speed.CLEAR
        ppu.catch_up(self)
        speed.change(self)
        apu.speed_changed(self)
        divider.clear(self)
        if self.dma.blocking:
            ppu.before_dma(self)
            dma.catch_up(self)
        self.clock.left -= speed.PAUSE
        if self.dma.blocking:
            dma.hold(self, speed.PAUSE)
        ppu.catch_up(self)
        ppu.speed_changed(self)
        timer.catch_up(self)  # an overflow in the pause asks for its interrupt now
        timer.reschedule(self)
        serial.catch_up(self)
        serial.reschedule(self)
        if self.hdma.active | self.hdma.requested:
            hdma.speed_changed(self)

    @typed
    def breakpoint(self) -> None:
        """LD B,B was executed: if somebody waits for that, the engine stops before the next instruction."""
        if self.host.watch_breakpoint:
            self.clock.stop = STOP_BREAKPOINT
            self.clock.attention()

    # ------------------------------------------------------------------ between two instructions

    @typed(outline=True)
    def boundary(self) -> None:
        """Do what is due. Sets `clock.stop` if the engine must return, before the CPU's part of the boundary."""
        if unlikely(self.host.stale != 0):
            self.rebuild()
        self.run_events()
        ready: u8 = 0
        while ready == 0 and self.clock.stop == 0:
            self.clock.retarget()
            if unlikely(self.hdma.active | self.hdma.requested != 0) and self.cpu.halted != 0 and self.pending() != 0:
                hdma.wakes(self)
            if self.cpu.halted == FRESHLY_HALTED and self.cpu.ime != 0 and self.pending() != 0:
                # It came while HALT was fetched: HALT is taken back. Proof: gambatte late_m0int_halt_m0stat_scx2_3a.
                self.cpu.halted = 0
                self.cpu.pc = u16(self.cpu.pc - 1)
            if between(self.cpu, self):
                ready = 1
                if unlikely(self.host.dispatched != 0):
                    hooks.tell_interrupt(self)
            else:
                self.wait()
                self.run_events()
        if self.clock.stop:
            apu.hear(self)
            # Whoever looks at the state is not to see when somebody asked for this boundary, nor how long a run was
            # to be, which rounds by what the engine stopped for meanwhile.
            self.clock.deadline = self.clock.now()
            self.clock.left = 0
            self.clock.limit = self.clock.deadline

    @typed(outline=True)
    def run_events(self) -> None:
        """Run the events that are due, and see whether the engine must stop. VRAM DMA comes first: it takes time."""
        if self.clock.at[events.HDMA] <= self.clock.now():
            hdma.due(self)
        now = self.clock.now()
        seen = u64(now - HALT_LATENCY[self.color.hardware]) if self.cpu.halted == HALTED else now
        for event in EVENTS:
            if self.clock.at[event.kind] <= seen:
                event.due(self)
        if unlikely(self.host.frame_hooked != 0) and self.host.frames_told != self.ppu.frames:
            hooks.tell_frame(self)
        if self.host.ports.failed:
            self.clock.stop = STOP_ERROR
        elif self.clock.stop == 0 and now >= self.clock.limit:
            self.clock.stop = STOP_LIMIT

    @typed
    def wait(self) -> None:
        """The CPU does not run (HALT, STOP, or locked): let whole M-cycles pass until it can see the next event."""
        if self.dma.blocking:
            ppu.before_dma(self)
            dma.catch_up(self)
            self.clock.cancel(events.DMA)
            self.clock.retarget()
        ahead = self.clock.left + HALT_LATENCY[self.color.hardware]
        copying: u8 = 0
        if self.cpu.halted == FRESHLY_HALTED:
            # HALT looks first after two M-cycles. Proof: gambatte halt/late_m0irq_halt_m0stat_scx3_2b.
            self.cpu.halted = HALTED
            if unlikely(self.hdma.active | self.hdma.requested != 0):
                hdma.halts(self)
            copying = 4  # OAM DMA stops with the CPU's clock, an M-cycle later
            ahead = max(ahead, 8)
        if ahead > 0:
            passing = (ahead + 3) & ~3
            self.clock.left -= passing
            if self.dma.blocking:
                dma.hold(self, u64(passing - copying))
        if self.cpu.stopped != 0 and joypad.lines(self) != 15:
            self.cpu.stopped = 0
            divider.clear(self)

    # ------------------------------------------------------------------ for engines and their callers

    @typed(outline=True)
    def prepare(self, limit: u64, frames: u32) -> None:
        """Let the next run end at dot `limit`, or after `frames` frames if that is not 0."""
        self.clock.limit = speed.time_of(self, limit)
        self.clock.stop = 0
        self.host.frames_wanted = frames
        self.clock.attention()

    @typed
    def dots(self) -> u64:
        """Dots since power-on, 4,194,304 a second at either speed."""
        return speed.dots(self)

    @typed
    def hooked(self, address: u16) -> bool:
        """Whether Python wants to be asked before the instruction at this address."""
        if self.host.hook_bits[address >> 3] >> (address & 7) & 1 == 0:
            return False
        return hooks.place(self, address) != hooks.NOBODY

    @typed
    def translatable(self, address: u16) -> bool:
        """Whether code at this address may be run translated: it is fetched from plain memory."""
        if self.host.fetch_map[address >> 8]:
            return True
        return 0xFF80 <= address < 0xFFFF

    @typed(outline=True)
    def watch(self, first: u16, last: u16) -> None:
        """Code was translated from these bytes: say so when they are written. ROM needs none."""
        address: u32 = first
        while address <= last:
            if address >= 0x8000:
                memory.watch(self, u16(address))
            address = u32(address + 1)

    @typed(outline=True)
    def press(self, buttons: u8) -> None:
        """The player now holds exactly these buttons (joypad.py names the bits)."""
        joypad.press(self, buttons)

    @typed(outline=True)
    def rebuild(self) -> None:
        """Make what is derived from the state anew: after a state was loaded, or hooks or regions changed."""
        maps.rebuild(self)
        mappers.place(self)
        self.host.stale = 0
