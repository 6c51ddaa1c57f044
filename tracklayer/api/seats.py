"""What a batch's threads do with each console, in typed Python: they run it without the GIL (translate/many.py).

For:       a console's turn in a step: buttons, slices of time, and then its picture, memory and flags into the arrays.
Not for:   the arrays, the threads, and what only Python can do (batch.py).
Invariant: a console's turn does what `GameBoy.tick` does, slice by slice, so that the state is the same to the bit.
           Where Python may be called, or is needed, the turn ends and says so in `seat.state`.
"""

from __future__ import annotations

from typing import Any

from tracklayer.lang import Array, Ptr, array, i64, pointer_at, struct, typed, u1, u8, u16, u32, u64
from tracklayer.machine.common.clock import NEVER
from tracklayer.machine.gb import registers
from tracklayer.machine.gb.boot import START
from tracklayer.machine.gb.console import GB
from tracklayer.machine.gb.maps import OAM
from tracklayer.machine.gb.memory import HRAM
from tracklayer.machine.gb.ppu import LCD_ENABLE
from tracklayer.machine.gb.speed import dots

from ..translate.guest import Call
from .gameboy import CYCLES_PER_FRAME, SLICE
from .guests import GameBoyGuest
from .outside import LOOKED_AT
from .painting import colours_to_rgb, copy_shades, shades_to_rgb

RUNNING, DONE, HELP, PYTHON, COLLECT = range(5)
"""How far a console is in a step. HELP: Python has to do something before it goes on (room for code, serial bytes, an
exception). PYTHON: it has hooks or the like, and is ticked as a lone one. COLLECT: it is done, but for the arrays."""

IO = 0xFF00

NO_PICTURES, SHADES, RGB = range(3)

SENT, FAILED, HALTED, STOPPED, LOCKED, LCD, DOUBLE, RUMBLE = (1 << bit for bit in range(8))
"""Flags of a console after a step."""


@struct
class Span:
    """Neighbouring addresses that are copied after each step, and where to in a console's row."""

    first: u16
    length: u32
    to: u32


@struct
class Job:
    """A step, as all threads see it. What goes in and comes out has arrays of its own, each with a place for every
    console: a column of a thousand seats is a thousand lines of the cache, most of them in another core's."""

    busy: u64
    """Threads that are not done."""
    threads: u64
    caller: u64
    """The address of the worker of the thread that called for this step: the others help it."""
    order: Ptr[u32]
    seats: Ptr[u8]
    step: u32
    """Which step it is: a seat of another one is new in it."""
    pictures: u8
    stop: u8
    """1: every thread comes back at the end of a slice."""
    waiting: u8
    """1: who is done goes back to Python."""
    press: u8
    """1: `buttons` are held from now on."""
    buttons: Ptr[u8]
    frames: Ptr[u32]
    render: Ptr[u8]
    flags: Ptr[u8]
    cycles: Ptr[i64]
    """T-cycles since the cartridge's first instruction."""
    picture: u64
    """The address of the first console's row of pixels, and the length of a row."""
    picture_size: u64
    memory: u64
    """The same of memory that was asked for."""
    memory_size: u64
    spans: u32
    span: Ptr[Span]


@struct
class Worker:
    """One thread. It comes back to Python after so many dots, to see whether anybody wants it to end.

    Its part of the order is the same in each step, so that a console stays in one core's caches.
    """

    job: Ptr[Job]
    next: u64
    end: u64
    following: u64
    """The address of the next worker, in a ring: from whom it takes when its part is done."""
    signal: u64
    lock: u64
    """What it sleeps on."""
    helps: u8
    left: u32
    """Consoles that this thread put down before they were done."""
    spent: u64
    quota: u64
    apart: Array[u64] = array(16)
    """So that no two threads write to the same line of the cache."""


@struct
class Seat:
    """One console in the batch, and what is wanted of it."""

    context: u64
    """The console's address."""
    end: u64
    undrawn: u64
    """No frame that begins before this dot is drawn."""
    now: u64
    index: u32
    """Its place in the job's arrays."""
    step: u32
    """The last step that it has begun."""
    state: u8
    entered: u8
    render: u8
    sent: u8
    lone: u8
    """1: always ticked by Python."""


@typed
def open_step(job: Job, press: u64) -> None:
    """Another step. press: 1 if the buttons are others now."""
    job.step = u32(job.step + 1)
    job.press = u8(press)
    job.stop = 0
    job.waiting = 0


@typed
def open_round(job: Job, order: u64, count: u64, share: u64) -> None:
    """So many consoles are to be run, whose numbers are at an address; `share` for each thread, less for the last."""
    job.order = pointer_at(order, u32)
    job.busy = job.threads
    job.waiting = 0
    place = job.caller
    first: u64 = 0
    number: u64 = 0
    while number < job.threads:
        worker = pointer_at(place, Worker)
        worker[0].next = first
        first = min(u64(first + share), count)
        worker[0].end = first
        worker[0].left = 0
        worker[0].spent = 0
        place = worker[0].following
        number = u64(number + 1)


@typed
def left(job: Job) -> u64:
    """How many consoles were put down before they were done."""
    place = job.caller
    found: u64 = 0
    number: u64 = 0
    while number < job.threads:
        worker = pointer_at(place, Worker)
        found = u64(found + worker[0].left)
        place = worker[0].following
        number = u64(number + 1)
    return found


CALLS = {"open_step": Call(open_step, 1), "open_round": Call(open_round, 3), "left": Call(left, 0, True)}


@typed
def ready(worker: Worker) -> u1:
    """Whether this thread takes another console."""
    return worker.spent < worker.quota and worker.job[0].stop == 0


@typed
def turn(gb: GB, worker: Worker, seat: Seat, with_registers: Any) -> u1:
    """What comes next for a console. Returns 1 where its engine is to be entered, 0 where this thread is done with
    it.

    with_registers: known; whether spans may have registers in them. What reads these is most of a machine.
    """
    if seat.step != worker.job[0].step:
        seat.step = worker.job[0].step
        if seat.lone != 0 or attended(gb) or (worker.job[0].frames[seat.index] == 0 and gb.host.stale != 0):
            return put_down(worker, seat, PYTHON)
        begin(gb, worker.job[0], seat)
    now = dots(gb)
    if seat.entered:
        seat.entered = 0
        worker.spent = u64(worker.spent + u64(now - seat.now))
        if gb.host.sent.count > 0 or gb.host.ports.failed != 0 or gb.clock.stop == GameBoyGuest.stop_for_room:
            return put_down(worker, seat, HELP)
    if now < seat.end:
        if not ready(worker):
            return put_down(worker, seat, RUNNING)
        gb.host.render = seat.render
        gb.host.drawn_from = seat.undrawn
        seat.now = now
        seat.entered = 1
        left = u64(seat.end - now)
        GameBoyGuest.begin(gb, seat.end if left < SLICE else u64(now + SLICE))
        return 1
    seat.state = DONE
    finish(gb, worker.job[0], seat, with_registers)
    if seat.state != DONE:
        return put_down(worker, seat, COLLECT)
    return 0


@typed
def put_down(worker: Worker, seat: Seat, state: u8) -> u1:
    """This thread is done with a console that is not done itself."""
    seat.state = state
    worker.left = u32(worker.left + 1)
    return 0


@typed
def attended(gb: GB) -> bool:
    """Whether Python may be called, or listens, while the console runs."""
    host = gb.host
    if host.face:
        return True
    if host.access_bits:
        return True
    asking = host.interrupt_hooked | host.frame_hooked | host.linked | host.plugged | host.wall | host.camera_asks
    return asking != 0 or host.region_count != 0 or host.listener.on != 0


@typed
def begin(gb: GB, job: Job, seat: Seat) -> None:
    """The buttons, and how far to go."""
    if job.press:
        gb.press(job.buttons[seat.index])
    frames = job.frames[seat.index]
    seat.render = job.render[seat.index]
    seat.state = RUNNING
    seat.entered = 0
    seat.sent = 0
    seat.undrawn = 0
    seat.end = 0
    if frames:
        gb.host.watch_breakpoint = 0
        done = u64(dots(gb) - START) // CYCLES_PER_FRAME
        seat.end = u64(u64(done + frames) * CYCLES_PER_FRAME + START)
        if frames > LOOKED_AT and seat.render != 0:
            seat.undrawn = u64(seat.end - LOOKED_AT * CYCLES_PER_FRAME)


@typed
def finish(gb: GB, job: Job, seat: Seat, with_registers: Any) -> None:
    """Everything that is wanted of a console into the arrays. `seat.state` becomes COLLECT if Python has to do so."""
    job.cycles[seat.index] = i64(dots(gb) - START)
    job.flags[seat.index] = flags_of(gb, seat.sent)
    if seat.render:
        picture = u64(job.picture + u64(seat.index * job.picture_size))
        if job.pictures == RGB:
            if gb.color.hardware:
                colours_to_rgb(gb, pointer_at(picture, u8))
            else:
                shades_to_rgb(gb, pointer_at(picture, u8))
        elif job.pictures == SHADES:
            if gb.color.hardware:
                seat.state = COLLECT
            else:
                copy_shades(gb, pointer_at(picture, u64))
    row = pointer_at(u64(job.memory + u64(seat.index * job.memory_size)), u8)
    index: u32 = 0
    while index < job.spans:
        copy_span(gb, job.span[index], row, seat, with_registers)
        index = u32(index + 1)


@typed
def flags_of(gb: GB, sent: u8) -> u8:
    """The flags of a console that did not fail."""
    cpu = (gb.cpu.halted != 0) << 2 | (gb.cpu.stopped != 0) << 3 | (gb.cpu.locked != 0) << 4
    screen = (gb.ppu.lcdc & LCD_ENABLE != 0) << 5
    return u8((sent != 0) | cpu | screen | (gb.speed.double != 0) << 6 | (gb.mapper.motor != 0) << 7)


# ------------------------------------------------------------------------------------------------ memory


@typed(outline=True)
def copy_span(gb: GB, span: Span, row: Ptr[u8], seat: Seat, with_registers: Any) -> None:
    """A span of memory into the console's row; what more than memory stands at is left to Python."""
    address: u16 = span.first
    left: u32 = span.length
    to: u32 = span.to
    while left > 0:
        page = gb.host.memory_map[address >> 8]
        at: u16 = address & 0xFF
        count = u16(min(left, 0x100 - at))
        done: u16 = 0
        if page:
            while done < count:
                row[u32(to + done)] = page[at + done]
                done = u16(done + 1)
        elif address >= HRAM:
            while done < count:
                row[u32(to + done)] = gb.hram[(at + done) & 0x7F]
                done = u16(done + 1)
        elif address >> 8 == OAM and gb.dma.running == 0 and gb.dma.next_start == NEVER:
            while done < count:
                place = u16(at + done)
                row[u32(to + done)] = gb.oam[place] if place < 0xA0 else 0
                done = u16(done + 1)
        elif with_registers and address >= IO:
            count = u16(min(count, HRAM - address))
            while done < count:
                row[u32(to + done)] = registers.read_io(gb, u16(address + done))
                done = u16(done + 1)
        else:
            seat.state = COLLECT
        left = u32(left - count)
        to = u32(to + count)
        address = u16(address + count)
