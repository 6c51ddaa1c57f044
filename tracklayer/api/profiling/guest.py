"""The Game Boy as those see it who count what its instructions take.

For:     `GameBoyCounted`; the names of reasons for boundaries.
Not for: counting (translate/tally.py).
"""

from __future__ import annotations

from tracklayer.cpu.sm83.execute import FORMS, PREFIX
from tracklayer.lang import typed, u8, u16, u32, u64
from tracklayer.machine.gb import events, hooks
from tracklayer.machine.gb.console import GB
from tracklayer.machine.gb.speed import dots, dots_at
from tracklayer.translate.counted import CountedGuest
from tracklayer.translate.tally import CALLS, JUMPS, NOTHING, RETURNS

from ..guests import GameBoyGuest

FETCH, DISPATCH = 4, 20
"""T-cycles of an opcode's fetch, and of an interrupt's dispatch."""
AT_HL = 6
"""The operand [HL] in the low three bits of an opcode behind CB."""

#   why an engine looks up between two instructions: in this order, the first that holds counts
ASKED, REWRITTEN, WAITING, TIMER, SERIAL, FRAME, STAT, DMA, HDMA, END = range(10)
REASONS = (
    "asked for: interrupts enabled or requested, maps changed",
    "translated code written over",
    "HALT or STOP",
    "timer",
    "serial port",
    "frame",
    "STAT",
    "OAM DMA",
    "VRAM DMA",
    "end of a run",
)


def _kind(opcode: int) -> int:
    """What an opcode may do to the call stack."""
    if opcode == PREFIX:
        return NOTHING
    mnemonic = FORMS[opcode].row.mnemonic
    if mnemonic in ("CALL", "RST"):
        return CALLS
    if mnemonic in ("RET", "RETI"):
        return RETURNS
    return JUMPS if mnemonic == "JP" and FORMS[opcode].row.length == 1 else NOTHING


class GameBoyCounted(GameBoyGuest, CountedGuest):
    """A Game Boy that is counted. Time is in T-cycles at normal speed."""

    prefixes = (PREFIX,)
    further = tuple(256 + opcode for opcode in range(256) if opcode & 7 == AT_HL)
    stack_kinds = bytes(map(_kind, range(256)))
    lengths = bytes(2 if opcode == PREFIX else FORMS[opcode].row.length for opcode in range(256))

    @staticmethod
    @typed
    def moment(context: GB) -> u64:
        return dots(context)

    @staticmethod
    @typed
    def before_fetch(context: GB) -> u64:
        return dots_at(context, u64(context.clock.now() - FETCH))

    @staticmethod
    @typed
    def dispatch_time(context: GB) -> u64:
        return u64(DISPATCH >> context.speed.double)

    @staticmethod
    @typed
    def sp_of(context: GB) -> u16:
        return context.cpu.sp

    @staticmethod
    @typed
    def place(context: GB, address: u16) -> u32:
        return u32(hooks.bank_at(context, address) << 16 | address)

    @staticmethod
    @typed
    def idle(context: GB) -> u8:
        cpu = context.cpu
        return u8(cpu.halted != 0 or cpu.stopped != 0 or cpu.locked != 0)

    @staticmethod
    @typed
    def reason(context: GB) -> u8:
        now = context.clock.now()
        if context.host.dirty_count:
            return REWRITTEN
        if context.cpu.halted or context.cpu.stopped:
            return WAITING
        if context.clock.at[events.TIMER] <= now:
            return TIMER
        if context.clock.at[events.SERIAL] <= now:
            return SERIAL
        if context.clock.at[events.FRAME] <= now:
            return FRAME
        if context.clock.at[events.STAT] <= now:
            return STAT
        if context.clock.at[events.DMA] <= now:
            return DMA
        if context.clock.at[events.HDMA] <= now:
            return HDMA
        return END if context.clock.limit <= now else ASKED
