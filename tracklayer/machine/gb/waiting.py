"""How long a program that waits would go on reading the same: for skipping loops that only look.

For:       `waitable`, `quiet`.
Not for:   finding such loops (translate/waits.py).
Invariant: what `quiet` says is exact or too little. A device's state is as of the last look at it; a change that is due
           and not yet made means that nothing is known.
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import typed, u8, u16, u32, u64
from tracklayer.machine.common.clock import FURTHEST, NEVER

from . import divider, joypad, ppu, serial, speed, timer
from .host import GbHost
from .maps import READ_HOOK
from .ppu.state import DRAW_BEGIN, OAM_SCAN, SCAN_END

P1, DIV, TIMA, IF, STAT, LY = 0xFF00, 0xFF04, 0xFF05, 0xFF0F, 0xFF41, 0xFF44
WAITABLE = (P1, DIV, TIMA, IF, STAT, LY)
HRAM = 0xFF80
CP_N, JR_NZ, JP_NZ = 0xFE, 0x20, 0xC2
AND_2, AND_3, BIT_1_A = 0x02E6, 0x03E6, 0x4FCB
"""Tests of STAT's mode behind which NZ means mode 2 or 3 (or, for one, 1), low byte first."""
LAST_LINE = 153
SOONEST_HBLANK = 248
"""No line's mode 3 is over before. Source: Pan Docs, "PPU modes": 80 dots of mode 2, 172 or more of mode 3."""


class Machine(divider.Machine, joypad.Machine, Protocol):
    """What this reaches of its machine."""

    host: GbHost
    ppu: ppu.Ppu


@typed
def waitable(address: u16) -> bool:
    """Whether anything is known of how reads of this address change."""
    if 0xFF00 <= address < HRAM:
        found = False
        for one in WAITABLE:
            if address == one:
                found = True
        return found
    return True


@typed(outline=True)
def quiet(gb: Machine, address: u16, since: u64, behind: u32) -> u64:
    """For how many T-cycles from now reads of an address give what one gave at most `since` cycles ago; 0: not known.

    behind: the three bytes behind the reading instruction. Where these go on unless LY is a certain line, other lines
    are all the same.
    """
    if gb.host.read_map[address >> 8]:
        return FURTHEST
    if address >= HRAM:
        return 0 if gb.host.hram_hooked else FURTHEST
    if address < 0xFF00 or gb.host.page_flags[0xFF] & READ_HOOK != 0 or gb.host.region_count > 0:
        return 0
    now = gb.clock.now()
    if address == LY:
        return until(gb, now, ly_changes(gb, behind))
    if address == STAT:
        return until(gb, now, stat_changes(gb, behind))
    if address == DIV:
        before = u64(now - gb.timer.origin - since) >> 8
        after = u64(now - gb.timer.origin) >> 8
        return u64(gb.timer.origin + u64(u64(after + 1) << 8) - now) if before == after else 0
    if address == TIMA:
        return after_now(now, tima_changes(gb))
    if address == IF:
        return if_quiet(gb, now)
    return FURTHEST if address == P1 else 0


@typed
def after_now(now: u64, time: u64) -> u64:
    """From now until a time; 0 where it has come."""
    return u64(time - now) if time > now else 0


@typed
def until(gb: Machine, now: u64, dot: u64) -> u64:
    """From now until a dot; 0 where it has come."""
    return after_now(now, speed.time_of(gb, dot)) if dot > speed.dots(gb) else 0


@typed
def ly_changes(gb: Machine, behind: u32) -> u64:
    """The dot at which LY next changes, or, where the program waits for one line, comes to that one."""
    if gb.ppu.next == NEVER or gb.ppu.line >= LAST_LINE:
        return gb.ppu.next
    goal = u8(gb.ppu.line + 1)
    if behind & 0xFF == CP_N and behind >> 16 in (JR_NZ, JP_NZ):
        wanted = behind >> 8 & 0xFF
        goal = u8(wanted) if gb.ppu.line < wanted <= LAST_LINE else LAST_LINE
    return u64(gb.ppu.line_start + u64(ppu.DOTS_PER_LINE * u64(goal - gb.ppu.line)))


@typed
def stat_changes(gb: Machine, behind: u32) -> u64:
    """The dot at which STAT next changes; where the program waits for modes 2 and 3 to be over, a dot before that."""
    test, again = behind & 0xFFFF, behind >> 16 in (JR_NZ, JP_NZ)
    scanning = gb.ppu.mode == OAM_SCAN and gb.ppu.phase in (SCAN_END, DRAW_BEGIN)
    if again and scanning and test in (AND_2, AND_3, BIT_1_A):
        return max(gb.ppu.next, u64(gb.ppu.line_start + SOONEST_HBLANK))
    return gb.ppu.next


@typed
def tima_changes(gb: Machine) -> u64:
    """The time at which TIMA next changes."""
    if gb.timer.reload_at != NEVER:
        return gb.timer.reload_at
    if gb.timer.tac & 4 == 0:
        return NEVER
    bits = timer.PERIOD_BITS[gb.timer.tac & 3]
    return u64(gb.timer.origin + u64(u64((u64(gb.timer.synced - gb.timer.origin) >> bits) + 1) << bits))


@typed
def if_quiet(gb: Machine, now: u64) -> u64:
    """From now until the next request that may come. 0 with a transfer on the serial port."""
    if gb.serial.sc & serial.SENDING == serial.SENDING or gb.serial.edges > 0 or gb.host.linked != 0:
        return 0
    soonest: u64 = gb.timer.reload_at
    if soonest == NEVER and gb.timer.tac & 4:
        bits = timer.PERIOD_BITS[gb.timer.tac & 3]
        overflow = u64((u64(gb.timer.synced - gb.timer.origin) >> bits) + 256 - gb.timer.tima)
        soonest = u64(gb.timer.origin + u64(overflow << bits) + timer.RELOAD_DELAY)
    picture = gb.ppu.frame_next if gb.ppu.stat & 0x78 == 0 else min(gb.ppu.next, gb.ppu.frame_next)
    return min(after_now(now, soonest), until(gb, now, picture))
