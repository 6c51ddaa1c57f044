"""A machine that nobody built, and that is no SM83: 16-bit instruction words, four 16-bit registers, a banked ROM.

For:     running the engines on a guest that they were not written for; `ToyGuest`, `new_toy`, `Reference`.
Not for: what is tested (test_*.py).

    0000-1FFF  ROM, always the same        shared by all consoles with that ROM
    2000-3FFF  ROM, one of several banks   chosen by a write to C1xx
    4000-BFFF  RAM                         code in it is watched; at 8000 begins another window, with the devices
    C000-FFFF  devices                     slow: a counter that counts its own reads, the bank, requests to be stopped

A unit is two bytes, low byte first: the low byte says what, the high byte is an operand or does not matter; a second
unit is a 16-bit operand. Each byte that is fetched, read or written takes one cycle, a taken branch one more. Every
`period` cycles a timer interrupts at an instruction boundary.
"""

from __future__ import annotations

import ctypes
from typing import Any

from tracklayer.isa import InstructionSet, Names, Number, Relative, Row, Scaled
from tracklayer.isa.engine import EngineHost
from tracklayer.lang import (
    Array,
    Host,
    Ptr,
    address_of,
    array,
    ask,
    consult,
    go,
    i32,
    i64,
    null,
    pointer,
    pointer_at,
    struct,
    typed,
    u1,
    u2,
    u8,
    u16,
    u32,
    u64,
    unlikely,
)
from tracklayer.translate.guest import Guest
from tracklayer.translate.structs import (
    ABSOLUTE,
    BRANCHES,
    BYTE,
    FALLS,
    LEAVES,
    NO_OPERAND,
    RELATIVE,
    WORD,
    Described,
)

STOP_LIMIT, STOP_ASKED, STOP_ERROR = 1, 2, 3
PREFIX = 0x7F
BANK = 0x2000
LINES = 16


@struct
class Clock:
    deadline: u64
    left: i32
    stop: u8
    limit: u64
    instructions: u64
    timer_at: u64

    @typed
    def now(self) -> u64:
        return u64(self.deadline - self.left)

    @typed
    def retarget(self) -> None:
        now = self.now()
        self.deadline = max(now, min(self.limit, self.timer_at, u64(now + 1000000)))
        self.left = i32(self.deadline - now)

    @typed
    def attention(self) -> None:
        if self.left > 0:
            self.deadline = self.now()
            self.left = 0


@struct
class ToyHost:
    """All that is no guest state."""

    ports: Host
    engine: EngineHost
    rom: Ptr[u8]
    banks: u16
    pages: Array[Ptr[u8]] = array(256)
    """Where each page is read and fetched from; null for devices."""
    write_pages: Array[Ptr[u8]] = array(256)
    watched: Array[u16] = array(256)
    written_count: u32
    written: Array[u16] = array(LINES)
    hooks: Array[u8] = array(8192)
    hooked_pages: Array[u8] = array(256)
    """1 where a page has hooks: the interpreter looks for one before each instruction there."""
    peripheral: u8
    """1: reads of C2xx ask Python."""


@struct
class Toy:
    host: ToyHost
    clock: Clock
    pc: u16
    r0: u16
    r1: u16
    r2: u16
    r3: u16
    sp: u16
    zero: u1
    carry: u1
    enabled: u1
    saved: u16
    period: u32
    bank: u16
    counted: u16
    systems: u32
    ram: Array[u8] = array(0x8000)

    # ---------------------------------------------------------------- the bus

    @typed
    def read(self, address: u16) -> u8:
        self.clock.left -= 1
        page = self.host.pages[address >> 8]
        if page:
            return page[address & 0xFF]
        return self.read_device(address)

    @typed
    def write(self, address: u16, value: u8) -> None:
        self.clock.left -= 1
        page = self.host.write_pages[address >> 8]
        if page:
            page[address & 0xFF] = value
        else:
            self.write_slow(address, value)

    @typed(cold=True)
    def read_device(self, address: u16) -> u8:
        if address >> 8 == 0xC2 and self.host.peripheral:
            value = u8(ask(self.host.ports, self.host.engine.on_hook, 0xEE, address, i64(self.clock.now())))
            if self.host.ports.failed:
                self.clock.attention()
            return value
        if address >> 8 == 0xC0:
            self.counted += 1
            return u8(self.counted)
        return u8(address ^ 0x5A)

    @typed(cold=True)
    def write_slow(self, address: u16, value: u8) -> None:
        if 0x4000 <= address < 0xC000:
            self.ram[address - 0x4000] = value
            line = 1 << (address >> 4 & 15)
            if self.host.watched[address >> 8] & line:
                self.host.watched[address >> 8] &= ~line
                if self.host.written_count < LINES:
                    self.host.written[self.host.written_count & (LINES - 1)] = address
                self.host.written_count += 1
                if self.host.watched[address >> 8] == 0:
                    self.host.write_pages[address >> 8] = self.host.pages[address >> 8]
                self.clock.attention()
        elif address >> 8 == 0xC1:
            self.bank = value
            self.map_bank()
        elif address >> 8 == 0xC3:
            self.clock.stop = STOP_ASKED
            self.clock.attention()

    @typed(outline=True)
    def map_bank(self) -> None:
        bank = (self.bank & (self.host.banks - 1)) + 1
        for page in range(32):
            self.host.pages[0x20 + page] = pointer_into(self.host.rom, u32(bank * BANK + page * 256))
        self.host.engine.changed()

    @typed
    def next_byte(self) -> u8:
        value = self.read(self.pc)
        self.pc += 1
        return value

    # ---------------------------------------------------------------- between instructions

    @typed(outline=True)
    def boundary(self) -> None:
        if self.clock.now() >= self.clock.timer_at:
            self.clock.timer_at += self.period
            if self.enabled:
                self.enabled = 0
                self.saved = self.pc
                self.pc = 0x10
                self.clock.left -= 5
        if self.clock.now() >= self.clock.limit:
            self.clock.stop = STOP_LIMIT
        if self.host.ports.failed:
            self.clock.stop = STOP_ERROR
        self.clock.retarget()


@typed
def pointer_into(base: Ptr[u8], offset: u32) -> Ptr[u8]:
    return pointer_at(u64(address_of(base) + offset), u8)  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------------------------------- meanings


@typed
def get(t: Toy, r: u2) -> u16:
    match r:
        case 0:
            return t.r0
        case 1:
            return t.r1
        case 2:
            return t.r2
        case _:
            return t.r3


@typed
def put(t: Toy, r: u2, value: u16) -> None:
    match r:
        case 0:
            t.r0 = value
        case 1:
            t.r1 = value
        case 2:
            t.r2 = value
        case _:
            t.r3 = value


@typed
def push(t: Toy, value: u16) -> None:
    t.sp -= 2
    t.write(u16(t.sp + 1), u8(value >> 8))
    t.write(t.sp, u8(value))


@typed
def pop(t: Toy) -> u16:
    low = t.read(t.sp)
    high = t.read(u16(t.sp + 1))
    t.sp += 2
    return low | high << 8


@typed
def result(t: Toy, r: u2, value: u16, carry: u1) -> None:
    t.zero = value == 0
    t.carry = carry
    put(t, r, value)


@typed
def nop(t: Toy) -> None:
    pass


@typed
def set_byte(t: Toy, r: u2, n: u8) -> None:
    put(t, r, n)


@typed
def mov(t: Toy, d: u2, s: u2) -> None:
    put(t, d, get(t, s))


@typed
def set_word(t: Toy, r: u2, w: u16) -> None:
    put(t, r, w)


@typed
def add_byte(t: Toy, r: u2, n: u8) -> None:
    total = get(t, r) + n
    result(t, r, u16(total), total > 0xFFFF)


@typed
def add(t: Toy, d: u2, s: u2) -> None:
    total = get(t, d) + get(t, s)
    result(t, d, u16(total), total > 0xFFFF)


@typed
def sub(t: Toy, r: u2) -> None:
    total = t.r0 - get(t, r)
    result(t, 0, u16(total), total < 0)


@typed
def adc(t: Toy, r: u2) -> None:
    total = t.r0 + get(t, r) + t.carry
    result(t, 0, u16(total), total > 0xFFFF)


@typed
def xor_byte(t: Toy, r: u2, n: u8) -> None:
    """Sets zero, keeps carry."""
    value = get(t, r) ^ n
    t.zero = value == 0
    put(t, r, value)


@typed
def compare_some(t: Toy, r: u2) -> None:
    """Changes carry on some ways only."""
    if get(t, r) & 1:
        t.carry = not t.carry


@typed
def load(t: Toy, r: u2, w: u16) -> None:
    low = t.read(w)
    put(t, r, low | t.read(u16(w + 1)) << 8)


@typed
def store(t: Toy, r: u2, w: u16) -> None:
    value = get(t, r)
    t.write(w, u8(value))
    t.write(u16(w + 1), u8(value >> 8))


@typed
def load_x(t: Toy, r: u2) -> None:
    put(t, r, t.read(t.r3))


@typed
def store_x(t: Toy, r: u2) -> None:
    t.write(t.r3, u8(get(t, r)))
    t.r3 += 1


@typed
def push_r(t: Toy, r: u2) -> None:
    push(t, get(t, r))


@typed
def pop_r(t: Toy, r: u2) -> None:
    put(t, r, pop(t))


@typed
def jump(t: Toy, target: u16) -> None:
    t.pc = target


@typed
def call(t: Toy, target: u16) -> None:
    push(t, t.pc)
    t.pc = target


@typed
def ret(t: Toy) -> None:
    t.pc = pop(t)


@typed
def jump_r(t: Toy, r: u2) -> None:
    t.pc = get(t, r)


@typed
def branch(t: Toy, taken: u1, target: u16) -> None:
    if taken:
        t.clock.left -= 1
        t.pc = target


@typed
def branch_zero(t: Toy, target: u16) -> None:
    branch(t, t.zero, target)


@typed
def branch_not_zero(t: Toy, target: u16) -> None:
    branch(t, not t.zero, target)


@typed
def branch_carry(t: Toy, target: u16) -> None:
    branch(t, t.carry, target)


@typed
def trap(t: Toy, target: u16) -> None:
    push(t, t.pc)
    t.pc = target


@typed
def wait(t: Toy) -> None:
    """Asks for a boundary."""
    t.clock.attention()


@typed
def system(t: Toy) -> None:
    count_system(t)


@typed(outline=True)
def count_system(t: Toy) -> None:
    """What is done elsewhere, with registers in memory."""
    t.systems += t.r0
    t.r1 ^= u16(t.systems)
    t.clock.left -= 3


@typed
def interrupts(t: Toy, on: u1) -> None:
    t.enabled = on
    t.clock.attention()


@typed
def back(t: Toy) -> None:
    t.enabled = 1
    t.pc = t.saved
    t.clock.attention()


@typed
def rotate(t: Toy, r: u2) -> None:
    value = get(t, r)
    t.carry = value >> 15
    put(t, r, u16(value << 1 | value >> 15))


@typed
def increment(t: Toy, r: u2) -> None:
    value = u16(get(t, r) + 1)
    t.zero = value == 0
    put(t, r, value)


@typed
def no_flags(t: Toy) -> None:
    t.zero = 0
    t.carry = 0


KINDS = {
    "reg": Names("R0", "R1", "R2", "R3"),
    "imm": Number(8),
    "word": Number(16, is_target=True),
    "data": Number(16),
    "rel": Relative(8, address_bits=16),
    "vec": Scaled(2, 16, base=0x40, is_target=True),
    "bit": Number(1),
}

ROWS = (
    Row("NOP", "--------00000000", nop),
    Row("SET  {reg:r},{imm:n}", "nnnnnnnn000001rr", set_byte),
    Row("SETW {reg:r},{data:w}", "--------000010rr wwwwwwwwwwwwwwww", set_word),
    Row("MOV  {reg:d},{reg:s}", "--------0001ddss", mov),
    Row("ADDI {reg:r},{imm:n}", "nnnnnnnn001000rr", add_byte),
    Row("SUB  R0,{reg:r}", "--------001001rr", sub),
    Row("ADC  R0,{reg:r}", "--------001010rr", adc),
    Row("XOR  {reg:r},{imm:n}", "nnnnnnnn001011rr", xor_byte),
    Row("ADD  {reg:d},{reg:s}", "--------0011ddss", add),
    Row("LOAD {reg:r},[{data:w}]", "--------010000rr wwwwwwwwwwwwwwww", load),
    Row("STOR {reg:r},[{data:w}]", "--------010001rr wwwwwwwwwwwwwwww", store),
    Row("LDX  {reg:r}", "--------010010rr", load_x),
    Row("STX  {reg:r}", "--------010011rr", store_x),
    Row("PUSH {reg:r}", "--------010100rr", push_r),
    Row("POP  {reg:r}", "--------010101rr", pop_r),
    Row("SOME {reg:r}", "--------010110rr", compare_some),
    Row("CLR", "--------01011100", no_flags),
    Row("JMP  {word:t}", "--------01100000 tttttttttttttttt", jump, jump="always"),
    Row("CALL {word:t}", "--------01100001 tttttttttttttttt", call, jump="always"),
    Row("RET", "--------01100010", ret, jump="always"),
    Row("RTI", "--------01100011", back, jump="always", ends_block=True),
    Row("BZ   {rel:a}", "aaaaaaaa01100100", branch_zero, jump="maybe"),
    Row("BNZ  {rel:a}", "aaaaaaaa01100101", branch_not_zero, jump="maybe"),
    Row("BC   {rel:a}", "aaaaaaaa01100110", branch_carry, jump="maybe"),
    Row("TRAP {vec:v}", "--------011010vv", trap, jump="always"),
    Row("JMPR {reg:r}", "--------011011rr", jump_r, jump="always"),
    Row("WAIT", "--------01110000", wait, ends_block=True),
    Row("SYS", "--------01110001", system),
    Row("INT  {bit:b}", "--------0111001b", interrupts, ends_block=True),
    Row("ROL  {reg:r}", "-----0rr01111111", rotate),
    Row("INC  {reg:r}", "-----1rr01111111", increment),
)
TOY = InstructionSet("toy", ROWS, KINDS, address_bits=16)

CYCLES = {"LOAD": 6, "STOR": 6, "LDX": 3, "STX": 3, "PUSH": 4, "POP": 4, "SYS": 5}
"""Of those that take longer than their bytes."""


class Form:
    """What a handler's index says by itself: the row, its known operands, and what stands behind the opcode."""

    def __init__(self, index: int) -> None:
        word = index if index < 256 else PREFIX | (index - 256) << 8
        self.row: Row | None = None
        self.known: tuple[int, ...] = ()
        self.tail, self.place = NO_OPERAND, -1
        self.target: int | None = None
        try:
            row, raw = TOY.decode(word)
        except LookupError:
            return
        self.row = row
        known = list(row.operands(raw, 0))
        for number, field in enumerate(row.fields):
            shift = field.parts[0].shift
            if index < 256 and shift >= 8:
                self.place = number
                relative = row.kinds[number] is KINDS["rel"]
                self.tail = RELATIVE if relative else BYTE if shift < 16 else ABSOLUTE if row.target == number else WORD
        if self.place >= 0:
            del known[self.place]
        self.known = tuple(known)
        if row.target is not None and self.place < 0:
            self.target = self.known[row.target]


FORMS = tuple(Form(index) for index in range(256 + 8))


@typed
def run_meaning(t: Toy, form: Any, operand: Any) -> None:
    """Call a form's meaning: registers come before what stands behind the opcode."""
    if form.tail == NO_OPERAND:
        form.row.meaning(t, *form.known)
    else:
        form.row.meaning(t, *form.known, operand)


@typed
def execute_form(t: Toy, form: Any) -> None:
    """Fetch the rest of an instruction, PC behind its low byte, and run it."""
    high = t.next_byte()
    if form.row is None:
        pass  # no such instruction: nothing happens
    elif form.tail == NO_OPERAND:
        run_meaning(t, form, None)
    elif form.tail == BYTE:
        run_meaning(t, form, high)
    elif form.tail == RELATIVE:
        run_meaning(t, form, u16(t.pc + (high ^ 0x80) - 0x80))
    else:
        low = t.next_byte()
        run_meaning(t, form, low | t.next_byte() << 8)


# ----------------------------------------------------------------------------------------------------------- the guest


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
        return Described(row.length, cycles, form.tail, flow, row.ends_block, form.target, calls)

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


# ----------------------------------------------------------------------------------------------------------- consoles

STATE = Toy.__layout__["clock"].offset  # type: ignore[attr-defined]
"""Where guest state begins."""


def new_rom(data: bytes) -> Any:
    """A ROM of whole banks, to be shared by consoles."""
    size = max(2 * BANK, -(-len(data) // BANK) * BANK)
    return (ctypes.c_uint8 * size).from_buffer_copy(data.ljust(size, b"\0"))


def new_toy(rom: Any, period: int = 1000) -> Any:
    """A console that is about to run from address 0."""
    toy: Any = Toy()
    toy.rom = rom
    toy.host.rom = pointer(rom)
    banks = len(rom) // BANK - 1
    toy.host.banks = 1 << (banks.bit_length() - 1)
    for page in range(32):
        toy.host.pages[page] = pointer(rom, page << 8)
    for page in range(0x40, 0xC0):
        toy.host.pages[page] = toy.host.write_pages[page] = pointer(toy.ram, (page - 0x40) << 8)
    toy.map_bank()
    toy.sp = 0xC000
    toy.period = toy.clock.timer_at = period
    return toy


def set_hooks(toy: Any, bits: bytes) -> None:
    """Hook addresses: a bit for each, from address 0 on."""
    toy.host.hooks[:] = bits
    for page in range(256):
        toy.host.hooked_pages[page] = any(bits[page * 32 : page * 32 + 32])


def state(toy: Any) -> bytes:
    """The guest's state."""
    return ctypes.string_at(ctypes.addressof(toy) + STATE, ctypes.sizeof(toy) - STATE)


class Reference:
    """Plain Python, with the same face as an engine."""

    name = "reference"

    def attach(self, toy: Any, on_hook: Any = None) -> None:
        toy.host.engine.on_hook = on_hook

    def changed(self, toy: Any) -> None:
        pass

    def advance(self, toy: Any, limit: int) -> int:
        guest = ToyGuest
        guest.begin(toy, limit)
        while True:
            if toy.clock.left <= 0:
                guest.boundary(toy)
                if toy.clock.stop:
                    break
            if guest.hook(toy):
                break
            opcode = guest.fetch(toy)
            if opcode == PREFIX:
                opcode = 256 + (toy.next_byte() & 7)
            guest.execute(toy, opcode)
            toy.clock.instructions += 1
        return int(guest.outcome(toy))
