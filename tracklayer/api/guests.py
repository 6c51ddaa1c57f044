"""The consoles as the engines see them: where a processor's meanings and a machine's memory meet the translator.

For:     `Sm83Guest`, for any context with `cpu`, `clock` and the methods of the SM83's bus; `GameBoyGuest`, the Game
         Boy.
Not for: making engines (engines.py).
"""

from __future__ import annotations

import ctypes
from types import MappingProxyType
from typing import Any

from ..cpu.sm83.execute import FORMS, FORMS_CB, NOTHING, PREFIX, execute, execute_cb, fetch_opcode
from ..cpu.sm83.operands import next_byte
from ..cpu.sm83.timing import accesses, best_cycles, worst_cycles, writes
from ..lang import (
    address_of,
    comptime,
    consult,
    go,
    i64,
    null,
    pointer,
    pointer_at,
    tell,
    typed,
    u1,
    u8,
    u16,
    u64,
    unlikely,
)
from ..machine.common.clock import STOP_LIMIT
from ..machine.gb import hooks, memory, waiting, ways
from ..machine.gb.boot import START
from ..machine.gb.console import GB
from ..machine.gb.host import QUICK_HOOKS
from ..machine.gb.maps import COVERED, ECHO, OAM, ROM_HIGH, UNSTEADY, VRAM, WRAM
from ..machine.gb.memory import HRAM
from ..machine.gb.ppu.state import DOTS_PER_FRAME
from ..machine.gb.speed import dots, time_of
from ..translate.guest import Call, Guest, Stack, seen
from ..translate.structs import ABSOLUTE, BRANCHES, BYTE, FALLS, LEAVES, NO_OPERAND, RELATIVE, WORD, Described
from . import outside
from .painting import paint

LD_A_AT_BC, LD_A_AT_DE, LDH_A_AT_N, LDH_A_AT_C, LD_A_AT_N = 0x0A, 0x1A, 0xF0, 0xF2, 0xFA
"""Of the instructions that read memory and change nothing in it, those that do not read at HL."""
LDH_AT_N_A, LD_AT_N_A = 0xE0, 0xEA
"""Of those that write it, those at a fixed address."""
LDH_AT_C_A = 0xE2
LINE = 16
"""Bytes that are watched together."""
MOST_WATCHED = 64
"""Watched lines that are compared where a state is restored. With more, translating them anew is as quick."""


def raw_of(index: int) -> tuple[int, ...]:
    """The fields of an instruction as its opcode has them."""
    form = FORMS[index] if index < 256 else FORMS_CB[index - 256]
    return form.row.extract(index if index < 256 else PREFIX | (index - 256) << 8)


@typed
def meaning(context: Any, bus: Any, form: Any, operand: Any) -> None:
    """What an instruction does whose operand is known."""
    context.clock.left -= 4 * form.row.units
    if form.tail == NOTHING:
        form.meaning(context.cpu, bus, *form.known)
    else:
        form.meaning(context.cpu, bus, *form.known, operand)


@typed
def stop_of(context: Any) -> u8:
    """Why a run ended; `stop_for_room` where it ended in time, and the engine wants to see to the console."""
    if context.clock.stop == STOP_LIMIT and context.host.engine.tend != 0:
        return Guest.stop_for_room
    return u8(context.clock.stop & 63)


class Sm83Guest(Guest):
    """An SM83 whose context is its own bus. Handlers 0 to 255 are the opcodes, 256 to 511 those behind CB."""

    pinned = (
        "clock.left",
        "cpu.pc",
        "cpu.a",
        "cpu.fz",
        "cpu.fh",
        "cpu.fc",
        "cpu.bc",
        "cpu.de",
        "cpu.hl",
        "cpu.sp",
    )
    cached = ("cpu.fn",)
    volatile = ("cpu.fz", "cpu.fn", "cpu.fh", "cpu.fc")
    opcodes = 256
    handlers = 512
    pc = "cpu.pc"
    left = "clock.left"
    longest = 3
    byte_cycles = 4
    engine_path = "host.engine"
    host_path = "host.ports"

    @staticmethod
    @typed
    def host(context: Any) -> Any:
        return context.host.ports

    @staticmethod
    @typed
    def engine(context: Any) -> Any:
        return context.host.engine

    @staticmethod
    @typed
    def clock(context: Any) -> Any:
        return context.clock

    @staticmethod
    @typed
    def execute(context: Any, index: Any) -> None:
        if index == PREFIX:
            second = next_byte(context.cpu, context)
            go(context.host.engine.interpret[256 + second])
        elif index < 256:
            execute(context.cpu, context, index)
        else:
            execute_cb(context.cpu, context, index - 256)

    @staticmethod
    @typed
    def code_page(context: Any) -> Any:
        return context.host.fetch_map[context.cpu.pc >> 8]

    @staticmethod
    @typed
    def fetch_from(context: Any, page: Any) -> u8:
        pc = context.cpu.pc
        context.clock.left -= 4
        context.cpu.pc = u16(pc + 1)
        return u8(page[pc & 0xFF])

    @staticmethod
    @typed
    def fetch(context: Any) -> u8:
        return fetch_opcode(context.cpu, context)

    @staticmethod
    @typed
    def boundary(context: Any) -> None:
        context.boundary()

    @staticmethod
    @typed
    def begin(context: Any, limit: u64) -> None:
        context.clock.limit = limit
        context.clock.stop = 0
        context.clock.attention()

    @staticmethod
    @typed
    def outcome(context: Any) -> i64:
        return i64(context.clock.now() << 8 | (context.host.ports.failed != 0) << 6 | stop_of(context))

    @staticmethod
    def describe(index: int) -> Described | None:
        if index == PREFIX:
            return None
        form = FORMS[index] if index < 256 else FORMS_CB[index - 256]
        row = form.row
        raw = raw_of(index)
        tail = (NO_OPERAND, BYTE, ABSOLUTE if row.target is not None else WORD, RELATIVE)[form.tail]
        flow = LEAVES if row.jump == "always" or row.ends_block else BRANCHES if row.jump else FALLS
        target = form.known[row.target] if row.target is not None and form.tail == NOTHING else None
        calls = row.mnemonic in ("CALL", "RST") and flow == LEAVES
        best = best_cycles(row, raw)
        extra = worst_cycles(row, raw) - best
        return Described(row.length, 4 * best, tail, flow, row.ends_block, target, 4 * extra, calls)

    @staticmethod
    def opcode_length(index: int) -> int:
        return 1 if index < 256 else 2

    @staticmethod
    @typed
    def translated(context: Any, index: Any, operand: Any) -> None:
        meaning(context, context, FORMS[index] if index < 256 else FORMS_CB[index - 256], operand)

    @staticmethod
    @typed
    def decode(code: Any) -> u16:
        opcode = code[0]
        return u16(256 + code[1] if opcode == PREFIX else opcode)

    @staticmethod
    @typed
    def pc_of(context: Any) -> u16:
        return u16(context.cpu.pc)

    @staticmethod
    @typed
    def interprets(context: Any) -> u1:
        return u1(context.cpu.halt_bug)

    @staticmethod
    @typed
    def unfetch(context: Any) -> None:
        context.clock.left += 4
        context.cpu.pc = u16(context.cpu.pc - 1)


class GameBoyGuest(Sm83Guest):
    """The Game Boy. Code in ROM, work RAM and HRAM is translated; the interpreter runs what lies anywhere else."""

    name = "gb"
    context = GB
    calls = MappingProxyType({
        "hold": Call(outside.hold, 2),
        "paint": Call(paint, 1),
        "claim": Call(outside.claim, 1, True),
        "cycles": Call(outside.cycles, 0, True),
        "peek": Call(outside.peek, 1, True),
        "poke": Call(outside.poke, 2, True),
        "copy": Call(outside.copy, 3, True),
    })  # fmt: skip
    page_maps = ("host.read_map", "host.write_map")
    quick = MappingProxyType({
        memory.read_slow: ways.quick_read,
        memory.read_slow_step: ways.quick_read,
        memory.write_slow: ways.quick_write,
    })  # fmt: skip
    stack = Stack("cpu.sp", GB.read_pair, GB.write_pair, 8)

    @staticmethod
    @typed
    def begin(context: GB, limit: u64) -> None:
        context.clock.limit = time_of(context, limit)
        context.clock.stop = 0
        context.clock.attention()

    @staticmethod
    @typed
    def begin_steps(context: GB, frames: u64, way: u64) -> i64:
        """A step is a frame; way: bit 0 where the last picture is wanted, bit 1 where all is heard."""
        if frames == 0 or frames > outside.SLICE_FRAMES or way >> 1 != context.host.listener.on:
            return 0
        context.host.render = way & 1
        context.host.watch_breakpoint = 0
        if way >> 1:
            context.host.listener.count = 0
        done = u64(dots(context) - START) // DOTS_PER_FRAME
        context.host.until = u64((done + (frames & 0xFF)) * DOTS_PER_FRAME + START)
        GameBoyGuest.begin(context, context.host.until)
        context.host.drawn_from = 0
        if frames > outside.LOOKED_AT and context.host.watched == 0:
            context.host.drawn_from = u64(context.host.until - outside.LOOKED_AT * DOTS_PER_FRAME)
        return 1

    @staticmethod
    @typed
    def end_steps(context: GB) -> i64:
        outcome = GameBoyGuest.outcome(context)
        return 0 if outcome & 0xFF == STOP_LIMIT else outcome

    @staticmethod
    @typed
    def outcome(context: GB) -> i64:
        sent = context.host.sent.count > 0
        failed = context.host.ports.failed != 0
        return i64(dots(context) << 8 | sent << 7 | failed << 6 | stop_of(context))

    @staticmethod
    @typed
    def hook(context: GB) -> u1:
        pc = context.cpu.pc
        if unlikely(context.hooked(pc)):
            return call_hook(context, pc)
        return 0

    @staticmethod
    @typed
    def hooked(context: GB, address: u16) -> u1:
        return context.hooked(address)

    @staticmethod
    @typed
    def code_memory(context: GB, address: u16) -> Any:
        page = address >> 8
        memory = context.host.memory_map[page]
        if page < VRAM:
            # Bank 0 may stand in the upper half too, or another in the lower; translated code knows one address of
            # itself.
            low = u64(address_of(memory) - address_of(context.host.rom)) < 0x4000
            if low != (page < ROM_HIGH) or (context.boot_rom.mapped != 0 and page < ROM_HIGH):
                memory = null(u8)
        elif page < WRAM or page >= ECHO:
            memory = null(u8)
        if context.dma.blocking or context.host.page_flags[page] & (COVERED | UNSTEADY):
            memory = null(u8)
        if HRAM <= address < 0xFFFF:
            memory = pointer_at(u64(address_of(pointer(context.hram)) - 0x80), u8)
        return memory

    @staticmethod
    @comptime
    def has_full(index: int) -> bool:
        """Whether it has one access to data: a restart after a quick one would do that again."""
        if index >= 256 or index == PREFIX or (FORMS[index].row.ends_block and FORMS[index].row.jump != "always"):
            return False
        return accesses(FORMS[index].row, raw_of(index)) == 1

    @staticmethod
    @comptime
    def writes(index: int) -> bool:
        return writes(FORMS[index].row, raw_of(index))

    @staticmethod
    @typed
    def plain(context: GB, index: Any, operand: Any) -> None:
        if index in (LDH_A_AT_N, LDH_AT_N_A):  # elsewhere than in HRAM they meet more
            meaning(context, seen(context, ways.High), FORMS[index], operand)
        elif index in (LDH_A_AT_C, LDH_AT_C_A):
            meaning(context, seen(context, ways.Unmapped), FORMS[index], operand)
        else:
            meaning(context, seen(context, ways.Mapped), FORMS[index], operand)

    @staticmethod
    @typed
    def full(context: GB, index: Any, operand: Any) -> None:
        meaning(context, seen(context, ways.Unmapped), FORMS[index], operand)

    @staticmethod
    @typed
    def meets(code: Any) -> u1:
        opcode = code[0]
        if opcode == LDH_A_AT_N or opcode == LDH_AT_N_A:
            return u1(code[1] < HRAM & 0xFF or code[1] == 0xFF)
        page = code[2]
        return u1((opcode == LD_A_AT_N and page >= OAM) or (opcode == LD_AT_N_A and not VRAM <= page < OAM))

    @staticmethod
    @typed
    def window(address: u16) -> u8:
        if 0xD000 <= address < 0xE000:  # a bank of its own on a Color
            return 5
        return 4 if address >= HRAM else address >> 14

    @staticmethod
    def is_slow(code: bytes) -> bool:
        if code[0] in (LDH_A_AT_N, LDH_AT_N_A):
            return code[1] < HRAM & 0xFF
        address = code[1] | code[2] << 8
        return (code[0] == LD_A_AT_N and 0xFE00 <= address < HRAM) or (
            code[0] == LD_AT_N_A and (address < 0x8000 or 0xFE00 <= address < HRAM)
        )

    @staticmethod
    @typed
    def waitable(context: GB, code: Any) -> u1:
        opcode = code[0]
        return opcode != LDH_A_AT_N or waiting.waitable(u16(0xFF00 | code[1]))

    @staticmethod
    @typed
    def quiet(context: GB, code: Any, since: u64) -> u64:
        opcode = code[0]
        address: u16 = context.cpu.hl
        length: u8 = 1
        if opcode == LDH_A_AT_N:
            address = 0xFF00 | code[1]
            length = 2
        elif opcode == LD_A_AT_N:
            address = code[1] | code[2] << 8
            length = 3
        elif opcode == LD_A_AT_BC:
            address = context.cpu.bc
        elif opcode == LD_A_AT_DE:
            address = context.cpu.de
        elif opcode == LDH_A_AT_C:
            address = 0xFF00 | context.cpu.bc & 0xFF
        behind = code[length] | code[length + 1] << 8 | code[length + 2] << 16
        return waiting.quiet(context, address, since, behind)

    @staticmethod
    @typed
    def watch(context: GB, first: u16, last: u16) -> None:
        context.watch(first, last)

    @staticmethod
    @typed
    def written_lines(context: GB) -> u8:
        return u8(min(context.host.dirty_count, len(context.host.dirty) + 1))

    @staticmethod
    @typed
    def written_line(context: GB, index: u8) -> u16:
        return context.host.dirty[index & 15]

    @staticmethod
    @typed
    def forget_written(context: GB) -> None:
        context.host.dirty_count = 0
        context.host.code_dirty = 0

    @staticmethod
    def unwatch(console: Any) -> None:
        for watched in (console.host.watch, console.host.code_bits):
            ctypes.memset(ctypes.addressof(watched), 0, ctypes.sizeof(watched))
        console.host.dirty_count = console.host.code_dirty = 0
        console.host.stale = 1

    @staticmethod
    def rom_of(console: Any) -> tuple[int, int]:
        cartridge = console.__dict__["cartridge"]
        return ctypes.addressof(cartridge.buffer), len(cartridge.rom)

    @staticmethod
    def own_memory(console: Any) -> tuple[int, int]:
        first = ctypes.addressof(console.hram) - (HRAM & 0xFF)  # its page begins before it
        return first, ctypes.addressof(console.wram) + ctypes.sizeof(console.wram) - first

    @staticmethod
    def code_bytes(console: Any) -> bytes | None:
        lines = int.from_bytes(bytes(console.host.watch), "little")
        if lines.bit_count() > MOST_WATCHED:
            return None
        found = []
        while lines:
            address = LINE * (lines & -lines).bit_length() + 0x8000 - LINE
            lines &= lines - 1
            if address >= HRAM:
                at = address - HRAM
                found.append(bytes(console.hram[at : at + LINE]))
            elif 0xC000 <= address < 0xE000:  # from D000 on in whatever bank
                places = range(address - 0xC000, len(console.wram), 0x1000 if address >= 0xD000 else 0x8000)
                found.extend(bytes(console.wram[at : at + LINE]) for at in places)
        return b"".join(found)

    @staticmethod
    def has_hooks(console: Any) -> bool:
        bits = bytes(console.host.hook_bits)
        return bits.count(0) < len(bits) or console.host.region_count > 0


@typed(cold=True)
def call_hook(gb: GB, address: u16) -> u1:
    """Ask Python before the instruction at `address`. Returns 1 where the engine must return first."""
    host = gb.host
    if host.passed_time == gb.clock.now() and host.passed_address == address:
        return 0
    slot = hooks.place(gb, address)
    left = False
    if slot == hooks.NOBODY:
        return 0
    entry = host.quick[(slot - 1) & (QUICK_HOOKS - 1)]
    if slot != hooks.UNKNOWN and entry.function:
        tell(host.ports, entry.function, host.face)
        left = gb.cpu.pc != address
    else:
        left = consult(host.ports, host.engine.on_hook, 1, address) != 0
    if host.ports.failed:
        host.passed_address = address
        host.passed_time = gb.clock.now()
        left = True
    # Who leaves here comes back by a boundary, and this instruction's has been: the one after EI counts once.
    if left and gb.cpu.ei_delay == 1:
        gb.cpu.ei_delay = 2
    return left
