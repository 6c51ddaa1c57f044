"""What is not plain execution: interrupts, EI's delay, HALT, STOP, and the opcodes that lock the processor.

For:     the instructions that change how the processor runs, and its part of an instruction boundary (`between`).
Not for: where interrupts come from, and how time passes while nothing executes: the machine's.
Sources: Pan Docs, "Interrupts" and "halt"; "Game Boy: Complete Technical Reference", "Interrupt service routine".
"""

from __future__ import annotations

from tracklayer.lang import typed, u1, u3, u8, u16

from .state import Bus, Cpu

IE = 0xFFFF
IF = 0xFF0F


@typed
def nop(cpu: Cpu, bus: Bus) -> None:
    pass


@typed
def di(cpu: Cpu, bus: Bus) -> None:
    """Interrupts off, at once; takes back an EI just before."""
    cpu.ime = 0
    cpu.ei_delay = 0


@typed
def ei(cpu: Cpu, bus: Bus) -> None:
    """Interrupts on, after one more instruction, so that EI RET ends a handler without nesting.

    A second EI changes nothing.
    Proof: mooneye acceptance/ei_sequence, ei_timing, rapid_di_ei.
    """
    if not cpu.ime and cpu.ei_delay == 0:
        cpu.ei_delay = 2
        bus.attention()


@typed
def halt(cpu: Cpu, bus: Bus) -> None:
    """Wait until an enabled interrupt is requested, whether or not it will be dispatched.

    If one is already there while IME is off, the processor does not wait, and fails to step PC past the next opcode:
    the "halt bug". If IME is about to come on (EI HALT), that interrupt is dispatched and returns to the HALT itself.
    Source: Pan Docs, "halt", "halt bug".
    Proof:  blargg halt_bug; mooneye acceptance/halt_ime0_ei, halt_ime0_nointr_timing.
    """
    if cpu.ime or not bus.pending():
        cpu.halted = 1
    elif cpu.ei_delay:
        cpu.pc = u16(cpu.pc - 1)
    else:
        cpu.halt_bug = 1
    bus.attention()


@typed
def stop(cpu: Cpu, bus: Bus) -> None:
    """Everything stops until a button is pressed; on a Color with a switch prepared, the speed changes instead.

    Which of these, and whether PC steps over the byte behind, depends on the machine (Pan Docs, "Reducing Power
    Consumption", "Using the STOP Instruction"): its `stop` clears `stopped` again if nothing is to stop.
    """
    cpu.stopped = 1
    bus.stop()
    bus.attention()


@typed
def illegal(cpu: Cpu, bus: Bus) -> None:
    """D3 DB DD E3 E4 EB EC ED F4 FC FD: the processor hangs until it is reset. Time goes on for everyone else."""
    cpu.locked = 1
    bus.attention()


@typed
def first_requested(requests: u8) -> u3:
    """The interrupt that wins: the lowest bit. 7 if there is none."""
    for bit in range(5):
        if requests >> bit & 1:
            return bit
    return 7


@typed
def dispatch(cpu: Cpu, bus: Bus) -> None:
    """Call the handler of the interrupt that wins: five M-cycles.

    Which one wins is decided after the high byte of PC is pushed. If that push lands on IE and disables what was
    pending, PC becomes 0000 and no request is taken. The low byte's push is too late to matter: where it lands on IE
    or IF, the old value counts.
    Source: mooneye acceptance/interrupts/ie_push.
    """
    cpu.ime = 0
    bus.step(cpu.pc)
    bus.step(cpu.sp)
    cpu.sp = u16(cpu.sp - 1)
    bus.write(cpu.sp, cpu.pc >> 8)
    cpu.sp = u16(cpu.sp - 1)
    requests = bus.pending()
    bus.write(cpu.sp, cpu.pc & 0xFF)
    if cpu.sp != IE and cpu.sp != IF:
        requests = bus.pending()  # one more may have come during the last M-cycle
    winner = first_requested(requests)
    if winner < 5:
        bus.acknowledge(winner)
        cpu.pc = 0x40 + 8 * winner
    else:
        cpu.pc = 0x0000
    bus.idle(0x0000)


@typed
def between(cpu: Cpu, bus: Bus) -> u1:
    """The processor's part of an instruction boundary: EI's delay, waking from HALT, dispatching an interrupt.

    Runs at most once at each boundary: whoever stops there stops before this, not after. It need run only at
    boundaries that `bus.attention` asked for, and where an interrupt request may have become pending.
    Returns: whether an instruction follows. If not (halted, stopped, locked), let an M-cycle pass, or all up to the
             next event, and ask again.
    """
    if cpu.locked or cpu.stopped:
        return 0
    if cpu.ei_delay:
        cpu.ei_delay -= 1
        if cpu.ei_delay:
            bus.attention()
        else:
            cpu.ime = 1
    if bus.pending():
        cpu.halted = 0
        if cpu.ime:
            dispatch(cpu, bus)
    return cpu.halted == 0
