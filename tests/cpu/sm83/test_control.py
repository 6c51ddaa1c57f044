"""Interrupts, EI's delay, HALT, STOP and the locking opcodes: what lies between instructions."""

from __future__ import annotations

import pytest

from tracklayer.cpu.sm83 import between, fetch_opcode, step

from .flat import READ, WRITE, Flat

NOP, HALT, EI, DI, RETI, STOP, INC_A, LD_A_N, LD_B_B = 0x00, 0x76, 0xFB, 0xF3, 0xD9, 0x10, 0x3C, 0x3E, 0x40
IE, IF = 0xFFFF, 0xFF0F


def machine_with(*code: int, enabled: int = 0, requested: int = 0) -> Flat:
    machine = Flat()
    machine.cpu.pc, machine.cpu.sp = 0x0200, 0xD000
    for offset, byte in enumerate(code):
        machine.ram[0x0200 + offset] = byte
    machine.ram[IE], machine.ram[IF] = enabled, requested
    return machine


def run(machine: Flat, boundaries: int) -> None:
    """Pass some boundaries, running the instruction behind each where one follows."""
    for _ in range(boundaries):
        if between(machine.cpu, machine):
            step(machine.cpu, machine)


def test_an_interrupt_takes_five_m_cycles_and_pushes_pc() -> None:
    machine = machine_with(enabled=0x1F, requested=0x04)
    machine.cpu.ime = 1
    assert between(machine.cpu, machine) == 1
    assert machine.cpu.pc == 0x50
    assert (machine.cpu.ime, machine.ram[IF]) == (0, 0x00)
    assert machine.trace() == [("-", 0, 0), ("-", 0, 0), ("w", 0xCFFF, 0x02), ("w", 0xCFFE, 0x00), ("-", 0, 0)]


@pytest.mark.parametrize("winner", range(5))
def test_the_lowest_requested_bit_wins(winner: int) -> None:
    requested = 0x1F << winner & 0x1F
    machine = machine_with(enabled=0xFF, requested=requested | 0xE0)
    machine.cpu.ime = 1
    between(machine.cpu, machine)
    assert machine.cpu.pc == 0x40 + 8 * winner
    assert machine.ram[IF] == (requested & requested - 1) | 0xE0


def test_nothing_is_dispatched_while_ime_is_off() -> None:
    machine = machine_with(INC_A, enabled=0x1F, requested=0x1F)
    run(machine, 1)
    assert (machine.cpu.a, machine.cpu.pc) == (1, 0x201)


def test_a_high_byte_pushed_to_ie_can_cancel_the_dispatch() -> None:
    machine = machine_with(enabled=0x04, requested=0x04)
    machine.cpu.ime, machine.cpu.sp = 1, 0x0000  # the high byte, 02, goes to FFFF and disables bit 2
    between(machine.cpu, machine)
    assert machine.cpu.pc == 0x0000
    assert (machine.ram[IF], machine.cpu.ime, machine.cpu.sp) == (0x04, 0, 0xFFFE)


def test_a_high_byte_pushed_to_ie_can_change_which_interrupt_wins() -> None:
    machine = machine_with(enabled=0x04, requested=0x06)
    machine.cpu.ime, machine.cpu.sp = 1, 0x0000  # 02 enables bit 1 instead
    between(machine.cpu, machine)
    assert machine.cpu.pc == 0x48


def test_a_low_byte_pushed_to_ie_comes_too_late() -> None:
    machine = machine_with(enabled=0x04, requested=0x04)
    machine.cpu.ime, machine.cpu.sp, machine.cpu.pc = 1, 0x0001, 0x0200
    between(machine.cpu, machine)
    assert machine.cpu.pc == 0x50
    assert machine.ram[IE] == 0x00


def test_ei_takes_effect_after_one_more_instruction() -> None:
    machine = machine_with(EI, INC_A, INC_A, enabled=1, requested=1)
    run(machine, 2)
    assert (machine.cpu.a, machine.cpu.pc, machine.cpu.ime) == (1, 0x202, 0)
    between(machine.cpu, machine)
    assert machine.cpu.pc == 0x40


def test_each_boundary_that_ei_needs_is_asked_for() -> None:
    machine = machine_with(EI, NOP)
    run(machine, 1)
    assert machine.asked == 1
    run(machine, 1)
    assert machine.asked == 2


def test_di_right_behind_ei_takes_it_back() -> None:
    machine = machine_with(EI, DI, NOP, NOP, enabled=1, requested=1)
    run(machine, 4)
    assert (machine.cpu.pc, machine.cpu.ime) == (0x204, 0)


def test_a_row_of_ei_does_not_postpone_itself() -> None:
    machine = machine_with(EI, EI, EI, enabled=1, requested=1)
    run(machine, 2)
    between(machine.cpu, machine)
    assert machine.cpu.pc == 0x40
    assert machine.ram[0xCFFE] == 0x02  # it came back behind the second EI


def test_reti_asks_for_no_boundary_where_nothing_is_requested() -> None:
    machine = machine_with(RETI, enabled=1, requested=2)
    machine.cpu.sp, machine.ram[0xCF00], machine.ram[0xCF01] = 0xCF00, 0x00, 0x03
    run(machine, 1)
    assert (machine.cpu.pc, machine.cpu.ime, machine.asked) == (0x300, 1, 0)


def test_reti_enables_at_once() -> None:
    machine = machine_with(RETI, enabled=1, requested=1)
    machine.cpu.sp, machine.ram[0xCF00], machine.ram[0xCF01] = 0xCF00, 0x00, 0x03
    run(machine, 1)
    assert (machine.cpu.pc, machine.cpu.ime, machine.asked) == (0x300, 1, 1)
    between(machine.cpu, machine)
    assert machine.cpu.pc == 0x40
    assert (machine.ram[0xCF01], machine.ram[0xCF00]) == (0x03, 0x00)


def test_halt_waits_for_a_request_even_with_ime_off() -> None:
    machine = machine_with(HALT, INC_A, enabled=2)
    run(machine, 5)
    assert (machine.cpu.halted, machine.cpu.pc, machine.cpu.a) == (1, 0x201, 0)
    machine.ram[IF] = 1  # not enabled
    assert between(machine.cpu, machine) == 0
    machine.ram[IF] = 2
    run(machine, 1)
    assert (machine.cpu.halted, machine.cpu.pc, machine.cpu.a) == (0, 0x202, 1)
    assert machine.ram[IF] == 2


def test_halt_with_ime_returns_behind_itself() -> None:
    machine = machine_with(HALT, enabled=2)
    machine.cpu.ime = 1
    run(machine, 1)
    machine.ram[IF] = 2
    between(machine.cpu, machine)
    assert (machine.cpu.pc, machine.ram[0xCFFE], machine.cpu.halted) == (0x48, 0x01, 0)


@pytest.mark.parametrize("by_fetch_opcode", [False, True])
def test_the_halt_bug_fetches_the_next_byte_twice(by_fetch_opcode: bool) -> None:
    machine = machine_with(HALT, LD_A_N, INC_A, enabled=1, requested=1)
    run(machine, 1)
    assert (machine.cpu.halted, machine.cpu.halt_bug, machine.asked) == (0, 1, 1)
    if by_fetch_opcode:
        assert fetch_opcode(machine.cpu, machine) == LD_A_N
        assert (machine.cpu.pc, machine.cpu.halt_bug) == (0x201, 0)
        return
    run(machine, 1)  # LD A,n with its own opcode as the operand
    assert (machine.cpu.a, machine.cpu.pc) == (LD_A_N, 0x202)
    run(machine, 1)
    assert (machine.cpu.a, machine.cpu.pc) == (LD_A_N + 1, 0x203)


def test_ei_halt_with_a_request_returns_to_the_halt() -> None:
    machine = machine_with(EI, HALT, NOP, enabled=1, requested=1)
    run(machine, 2)
    between(machine.cpu, machine)
    assert (machine.cpu.pc, machine.cpu.halted, machine.cpu.halt_bug) == (0x40, 0, 0)
    assert (machine.ram[0xCFFF], machine.ram[0xCFFE]) == (0x02, 0x01)


def test_ei_halt_without_a_request_waits_with_ime_on() -> None:
    machine = machine_with(EI, HALT, enabled=1)
    run(machine, 3)
    assert (machine.cpu.halted, machine.cpu.ime) == (1, 1)


def test_an_illegal_opcode_locks_for_good() -> None:
    machine = machine_with(0xD3, INC_A, enabled=1)
    run(machine, 1)
    machine.cpu.ime, machine.ram[IF] = 1, 1
    count = machine.count
    run(machine, 3)
    assert (machine.cpu.locked, machine.cpu.pc, machine.count) == (1, 0x201, count)


def test_stop_reaches_the_machine_and_waits_for_it() -> None:
    machine = machine_with(STOP, 0x00, INC_A)
    run(machine, 3)
    assert (machine.stops, machine.cpu.stopped, machine.cpu.pc) == (1, 1, 0x201)
    machine.cpu.stopped = 0
    run(machine, 2)
    assert machine.cpu.a == 1


def test_ld_b_b_is_a_breakpoint_and_the_other_moves_are_not() -> None:
    machine = machine_with(LD_B_B, 0x49, 0x7F)
    run(machine, 3)
    assert machine.breakpoints == 1


def test_operands_wrap_around_the_end_of_memory() -> None:
    machine = machine_with()
    machine.cpu.pc = 0xFFFF
    machine.ram[0xFFFF], machine.ram[0x0000] = LD_A_N, 0x55
    step(machine.cpu, machine)
    assert (machine.cpu.a, machine.cpu.pc) == (0x55, 0x0001)


def test_a_read_modify_write_reads_before_it_writes() -> None:
    machine = machine_with(0x34)  # INC [HL]
    machine.cpu.hl = 0xC000
    step(machine.cpu, machine)
    assert [machine.kinds[index] for index in range(1, machine.count)] == [READ, WRITE]
