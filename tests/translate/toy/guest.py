"""The toy as the engines see it.

For:     `ToyGuest`, the description from which interpreter and translator are made.
Not for: consoles (console.py).
"""

from __future__ import annotations

import ctypes
from typing import Any

from tracklayer.lang import (
    consult,
    go,
    i64,
    null,
    typed,
    u1,
    u8,
    u16,
    u32,
    u64,
    unlikely,
)
from tracklayer.translate.guest import Guest
from tracklayer.translate.structs import BRANCHES, FALLS, LEAVES, Described

from .isa import CYCLES, FORMS, execute_form, run_meaning
from .machine import LINES, PREFIX, STOP_LIMIT, Toy


class ToyGuest(Guest):
    name = "toy"
    context = Toy
    pinned = ("clock.left", "pc", "r0", "r1", "r2", "r3", "sp", "zero", "carry")
    cached = ("saved",)
    volatile = ("zero", "carry")
    page_maps = ("host.pages", "host.write_pages")
    opcodes = 256
    handlers = 256 + 8
    pc = "pc"
    left = "clock.left"
    longest = 4
    byte_cycles = 1
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
            second = context.next_byte()
            go(context.host.engine.interpret[256 + (second & 7)])
        elif index < 256:
            execute_form(context, FORMS[index])
        elif FORMS[index].row is not None:
            run_meaning(context, FORMS[index], None)

    @staticmethod
    @typed
    def code_page(context: Any) -> Any:
        page = context.host.pages[context.pc >> 8]
        if context.host.hooked_pages[context.pc >> 8]:
            page = null(u8)
        return page

    @staticmethod
    @typed
    def fetch_from(context: Any, page: Any) -> u8:
        pc = context.pc
        context.clock.left -= 1
        context.pc = u16(pc + 1)
        return page[pc & 0xFF]

    @staticmethod
    @typed
    def fetch(context: Any) -> u8:
        return context.next_byte()

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
        stop = context.clock.stop & 63
        if stop == STOP_LIMIT and context.host.engine.tend != 0:
            stop = Guest.stop_for_room
        return i64(u32(context.clock.now()) << 8 | (context.host.ports.failed != 0) << 6 | stop)

    @staticmethod
    @typed
    def hook(context: Any) -> u1:
        pc = context.pc
        if unlikely(context.host.hooks[pc >> 3] >> (pc & 7) & 1):
            return call_hook(context, pc)
        return 0

    @staticmethod
    def describe(index: int) -> Described | None:
        form = FORMS[index]
        if form.row is None or index == PREFIX:
            return None
        row = form.row
        flow = LEAVES if row.jump == "always" or row.ends_block else BRANCHES if row.jump else FALLS
        cycles = CYCLES.get(row.mnemonic, row.length)
        calls = row.mnemonic in ("CALL", "TRAP")
        return Described(row.length, cycles, form.tail, flow, row.ends_block, form.target, flow == BRANCHES, calls)

    @staticmethod
    def opcode_length(index: int) -> int:
        return 1 if index < 256 else 2

    @staticmethod
    @typed
    def translated(context: Any, index: Any, operand: Any) -> None:
        context.clock.left -= FORMS[index].row.length
        run_meaning(context, FORMS[index], operand)

    @staticmethod
    @typed
    def decode(code: Any) -> u16:
        return 256 + (code[1] & 7) if code[0] == PREFIX else code[0]

    @staticmethod
    @typed
    def pc_of(context: Any) -> u16:
        return context.pc

    @staticmethod
    @typed
    def interprets(context: Any) -> u1:
        return 0

    @staticmethod
    @typed
    def unfetch(context: Any) -> None:
        context.clock.left += 1
        context.pc = u16(context.pc - 1)

    @staticmethod
    @typed
    def code_memory(context: Any, address: u16) -> Any:
        return context.host.pages[address >> 8]

    @staticmethod
    @typed
    def window(address: u16) -> u8:
        return min(address >> 13, 2 + (address >> 15))

    @staticmethod
    @typed
    def hooked(context: Any, address: u16) -> u1:
        return context.host.hooks[address >> 3] >> (address & 7) & 1

    @staticmethod
    @typed
    def watch(context: Any, first: u16, last: u16) -> None:
        line: u16 = first >> 4
        while line <= last >> 4:
            context.host.watched[line >> 4 & 0xFF] |= 1 << (line & 15)
            context.host.write_pages[line >> 4 & 0xFF] = null(u8)
            line = u16(line + 1)

    @staticmethod
    def unwatch(console: Any) -> None:
        for page in range(0x40, 0xC0):
            console.host.watched[page] = 0
            console.host.write_pages[page] = console.host.pages[page]
        console.host.written_count = 0

    @staticmethod
    @typed
    def written_lines(context: Any) -> u8:
        return min(context.host.written_count, LINES + 1)

    @staticmethod
    @typed
    def written_line(context: Any, index: u8) -> u16:
        return context.host.written[index & (LINES - 1)]

    @staticmethod
    @typed
    def forget_written(context: Any) -> None:
        context.host.written_count = 0

    @staticmethod
    def rom_of(console: Any) -> tuple[int, int]:
        return ctypes.addressof(console.rom), len(console.rom)

    @staticmethod
    def has_hooks(console: Any) -> bool:
        return any(console.host.hooks)


@typed(cold=True)
def call_hook(t: Toy, address: u16) -> u1:
    return consult(t.host.ports, t.host.engine.on_hook, 1, address) != 0
