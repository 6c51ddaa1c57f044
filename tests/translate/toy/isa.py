"""The toy's instructions: what each means, how it is encoded, and the forms that handlers are made of.

For:     `TOY`, `FORMS`, `run_meaning`, `execute_form`.
Not for: memory (machine.py); what a translator wants to know (guest.py).

A unit is two bytes, low byte first: the low byte says what, the high byte is an operand or does not matter; a second
unit is a 16-bit operand. Each byte that is fetched, read or written takes one cycle, a taken branch one more. Every
`period` cycles a timer interrupts at an instruction boundary.
"""

from __future__ import annotations

from typing import Any

from tracklayer.isa import InstructionSet, Names, Number, Relative, Row, Scaled
from tracklayer.lang import (
    typed,
    u1,
    u2,
    u8,
    u16,
)
from tracklayer.translate.structs import ABSOLUTE, BYTE, NO_OPERAND, RELATIVE, WORD

from .machine import PREFIX, Toy


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
