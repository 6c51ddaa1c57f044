"""The layer: finds blocks of guest code, and lays their machine code from stencils. Typed Python, compiled like the
rest.

For:       `lookup` and `make`, the handlers that enter translated code; `drop`, when code was written over.
Not for:   what a stencil does (stencils.py), where caches come from (translator.py).
Invariant: a block's slot holds its code, `short` or `rough` (the interpreter runs it) or `make`, never anything else,
           and its cell jumps there. Dropped code is unreachable from the moment that its cell leads to `make` again:
           to other blocks code that may be dropped is known by its cell only. Code of a shared cache is never dropped.

A block begins at any address that control reaches, and ends behind an instruction that never falls through, before a
hook, at the end of a window (addresses whose mapping may change apart from their neighbours'), after MOST
instructions, or where ROOM bytes of code are full.
"""

from __future__ import annotations

from typing import Any

from ..compiler.program import Program
from ..isa.engine import place_of
from ..lang import (
    Ptr,
    acquire,
    address_of,
    go,
    i8,
    pointer,
    pointer_at,
    publish,
    release,
    typed,
    u6,
    u8,
    u16,
    u32,
    u64,
    unlikely,
)  # fmt: skip
from . import structs
from .guest import Guest
from .stencils import jump
from .structs import (
    ABSOLUTE,
    BUDGET,
    BYTE,
    CELL,
    CONTINUE,
    COUNT,
    EDGES,
    EXIT,
    FALLS,
    HANDLER,
    HEAD,
    HERE,
    INTERPRET,
    JUMP_BYTES,
    LATE,
    LATER,
    LEAVES,
    LINES,
    MOST,
    MOST_LINES,
    NEXT,
    ON,
    OPERAND,
    RELATIVE,
    REST,
    ROOM,
    SAMPLES,
    SHORT,
    SPENT,
    STUB,
    TARGET,
    THRASH,
    WAIT,
    WHOLE,
    WORD,
    Cache,
    Stencil,
    Translator,
)  # fmt: skip
from .waits import add_waits, waits


@typed
def translator(context: Any, guest: Any) -> Translator:
    """The console's translator."""
    return pointer_at(address_of(guest.engine(context).translator), Translator)[0]  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------ handlers


@typed
def redispatch(context: Any, guest: Any) -> None:
    """In place of each of the interpreter's handlers: back to translated code, the opcode not fetched after all."""
    guest.unfetch(context)
    jump(context, guest)


@typed
def lookup(context: Any, guest: Any) -> None:
    """Enter the block at PC."""
    pc = guest.pc_of(context)
    page = guest.code_memory(context, pc)
    it = translator(context, guest)
    if page:
        offset = u64(address_of(page) - it.shared[0].base)
        if offset < it.shared[0].size:
            enter(context, guest, it.shared, offset, pc)
        else:
            mine = u64(address_of(page) - it.own[0].base)
            if mine < it.own[0].size:
                enter(context, guest, it.own, mine, pc)
            else:
                go(pointer_at(it.short, u8))
    else:
        go(pointer_at(it.short, u8))


@typed
def enter(context: Any, guest: Any, cache: Ptr[Cache], offset: u64, pc: u16) -> None:
    """Enter the block at a place of the cache's memory, and remember the way."""
    engine = guest.engine(context)
    number = cache[0].places[u64(offset + (pc & 0xFF))]
    make = translator(context, guest).make
    if number:
        code = pointer_at(cache[0].slots[number], u8)
        if cache[0].slots[number] != make:
            place = engine.jumps[place_of(pc)]
            place.tag = engine.tag(pc)
            place.code = code
        go(code)
    else:
        go(pointer_at(make, u8))


@typed
def make(context: Any, guest: Any) -> None:
    """Translate the block at PC, and enter it."""
    code = translate(context, guest)
    if code:
        go(pointer_at(code, u8))
    else:
        guest.clock(context).stop = guest.stop_for_room
        go(guest.engine(context).leave)


@typed
def short(context: Any, guest: Any) -> None:
    """Where there is no block: the boundary, if it is due already; else one instruction in the interpreter."""
    if guest.clock(context).left <= 0:
        go(guest.engine(context).boundary)
    else:
        go(guest.engine(context).single)


@typed
def hop(context: Any, guest: Any) -> None:
    """The way to a block where it may change: where it led before, or to `lookup`."""
    jump(context, guest)


@typed
def near(context: Any, guest: Any) -> None:
    """Where a block may not fit: the interpreter runs what is left until the boundary.

    The guest is noted to be here: the boundary comes anywhere in a loop, this at its heads.
    """
    sample(context, guest)
    engine = guest.engine(context)
    engine.dispatch = pointer_at(address_of(engine.interpret), Ptr[u8])
    engine.unmapped = engine.single
    short(context, guest)


@typed
def rough(context: Any, guest: Any) -> None:
    """Where code is written over all the time: the interpreter runs it, up to a jump that leads elsewhere for sure."""
    guest.engine(context).dispatch = pointer_at(translator(context, guest).straight, Ptr[u8])
    short(context, guest)


@typed
def straight_end(context: Any, guest: Any) -> None:
    """In place of the handler of such a jump: translated code may go on behind it."""
    guest.engine(context).dispatch = pointer_at(translator(context, guest).redirects, Ptr[u8])
    guest.unfetch(context)
    go(guest.engine(context).again)


@typed
def again(context: Any, guest: Any) -> None:
    """Run the instruction at PC in the interpreter. It may have run on to where no code is translated."""
    page = guest.code_memory(context, guest.pc_of(context))
    if page:
        go(guest.engine(context).interpret[guest.fetch_from(context, page)])
    else:
        go(guest.engine(context).interpret[guest.fetch(context)])


@typed
def cold(context: Any, guest: Any) -> None:
    """From a region: run the instruction at PC, and note that it was left for that."""
    it = translator(context, guest)
    it.colds = u32(it.colds + 1)
    it.cold_pc = guest.pc_of(context)
    it.cold_memory = address_of(guest.code_memory(context, guest.pc_of(context)))
    again(context, guest)


@typed
def boundary(context: Any, guest: Any) -> None:
    """The boundary of a console with translated code: what was written over is dropped first."""
    translator(context, guest).waiting = 0
    sample(context, guest)
    guest.boundary(context)
    guest.engine(context).dispatch = pointer_at(translator(context, guest).redirects, Ptr[u8])
    guest.engine(context).unmapped = guest.engine(context).lookup
    if guest.written_lines(context):
        drop(context, guest)
    if guest.clock(context).stop:
        go(guest.engine(context).leave)
    elif guest.clock(context).left > 0 and not guest.interprets(context):
        jump(context, guest)
    else:
        go(guest.engine(context).single)


@typed
def sample(context: Any, guest: Any) -> None:
    """Note where the guest is, if it ran long enough since it was looked at."""
    it = translator(context, guest)
    instructions = guest.clock(context).instructions
    passed = u64(instructions - it.sampled_at)
    if unlikely(passed >= it.step):
        at = it.sampled & (SAMPLES - 1)
        it.samples[at].pc = guest.pc_of(context)
        it.samples[at].memory = address_of(guest.code_page(context))
        it.samples[at].instructions = passed
        it.sampled_at = instructions
        it.sampled = u32(it.sampled + 1)
        if it.sampled & (SAMPLES - 1) == 0:
            guest.engine(context).tend = 1


def add_layer(program: Program, guest: type[Guest]) -> None:
    """Add the handlers of this module to a guest's program."""
    for function in (redispatch, lookup, hop, make, short, near, rough, straight_end, cold):
        program.handler(function.__name__, function, {"guest": guest})
    program.handler("layer.boundary", boundary, {"guest": guest})
    add_waits(program, guest)


# ------------------------------------------------------------------------------------------------ blocks


@typed(outline=True)
def translate(context: Any, guest: Any) -> u64:
    """The code of the block at PC, laid now if need be. 0 where the cache has no room left."""
    it = translator(context, guest)
    pc = guest.pc_of(context)
    page = guest.code_memory(context, pc)
    result: u64 = it.short
    if page:
        offset = u64(address_of(page) - it.shared[0].base)
        if offset < it.shared[0].size:
            acquire(pointer(it.shared[0].lock))
            result = find_or_lay(context, guest, it.shared, u64(offset + (pc & 0xFF)), pc)
            release(pointer(it.shared[0].lock))
        else:
            mine = u64(address_of(page) - it.own[0].base)
            if mine < it.own[0].size:
                result = find_or_lay(context, guest, it.own, u64(mine + (pc & 0xFF)), pc)
    return result


@typed(outline=True)
def number_at(cache: Ptr[Cache], offset: u64, make: u64) -> u32:
    """The number of the block at a place of the memory; 0 where all numbers are given. A new one leads to `make`."""
    found = cache[0].places[offset]
    if found == 0 and cache[0].count < cache[0].capacity:
        found = cache[0].count
        add_cell(cache, found, make)
        cache[0].count += 1
        cache[0].places[offset] = found
    return found


@typed
def add_cell(cache: Ptr[Cache], number: u32, target: u64) -> None:
    """A cell for a number, from the end of the room for blocks, which has some."""
    cache[0].limit = u64(cache[0].limit - CELL)
    cache[0].cells[number] = cache[0].limit
    lead(cache, number, target)


@typed(outline=True)
def lead(cache: Ptr[Cache], number: u32, target: u64) -> None:
    """Have a block's slot and cell lead to other code. Others may jump through the cell meanwhile, to either."""
    cell = cache[0].cells[number]
    publish(pointer_at(u64(address_of(cache[0].slots) + 8 * number), u64), target)
    publish(pointer_at(u64(cell + cache[0].delta), u64), structs.jump(cell, target))


@typed(outline=True)
def find_or_lay(context: Any, guest: Any, cache: Ptr[Cache], offset: u64, pc: u16) -> u64:
    """The code of a block: what its slot leads to, or newly laid. 0 where there is no room."""
    it = translator(context, guest)
    if u64(cache[0].limit - cache[0].next) < ROOM:
        if cache[0].spare == 0:
            cache[0].wants_room = 1
            return 0
        cache[0].next = cache[0].spare
        cache[0].limit = u64(cache[0].spare + cache[0].spare_size)
        cache[0].spare = 0
        add_cell(cache, 0, it.hop)
    number = number_at(cache, offset, it.make)
    if number == 0:
        if cache[0].own == 0:
            return it.short  # others may be inside, so a shared cache never begins anew: the interpreter runs the rest
        cache[0].wants_room = 1
        return 0
    found = cache[0].slots[number]
    if found != it.make:
        return found
    return lay(context, guest, cache, offset, pc, number)


@typed
def untouchable(context: Any, guest: Any, own: u8, pc: u16) -> u8:
    """Whether no translated block may hold the instruction at `pc`."""
    if own:
        line = (pc >> 4) & (LINES - 1)
        if translator(context, guest).drops[line] >= THRASH:
            return 1
    return u8(guest.hooked(context, pc))


@typed(outline=True)
def lay(context: Any, guest: Any, cache: Ptr[Cache], offset: u64, pc: u16, number: u32) -> u64:
    """Lay the block at `pc`: decode it, then copy a stencil for each instruction and fill its holes."""
    it = translator(context, guest)
    stencils = it.table[0].stencils
    window = guest.window(pc)
    page = guest.code_memory(context, pc)
    count: u6 = 0
    at: u16 = pc
    cycles: u32 = 0
    budget: u32 = 0
    size: u32 = 0
    stub_size = stencils[guest.handlers + STUB].size
    late_size = stencils[guest.handlers + LATER].size + JUMP_BYTES
    flow: u8 = FALLS
    while count < MOST:
        if guest.window(at) != window or untouchable(context, guest, cache[0].own, at):
            break
        page = guest.code_memory(context, at)
        if not page:
            break
        code = pointer_at(u64(address_of(page) + (at & 0xFF)), u8)
        if (at & 0xFF) >= 0x100 - guest.longest:  # it may reach into the next page, or into what ends this one
            last = u16(at + guest.longest - 1)
            if guest.window(last) != window:
                break
            last_page = u64(address_of(guest.code_memory(context, last)))
            if last_page != u64(address_of(page) + ((last >> 8) - (at >> 8)) * 0x100):
                break
        index = guest.decode(code)
        needed = stencils[index].size + stencils[index].has_stub * stub_size
        full = stencils[index].full
        if full:
            needed = needed + stencils[full].size + late_size
        if stencils[index].length == 0 or size + needed > ROOM - EDGES:
            break
        size = u32(size + needed)
        it.opcodes[count] = chosen(guest, stencils[index], index, code)
        budget = cycles
        cycles = u32(cycles + stencils[index].cycles)
        flow = stencils[index].flow
        count = u6(count + 1)
        at = u16(at + stencils[index].length)
        if flow == LEAVES:
            break
    if count == 0:
        if cache[0].own and it.drops[(pc >> 4) & (LINES - 1)] >= THRASH:
            lead(cache, number, it.rough)
            return it.rough
        if cache[0].own:  # other instructions may be written here
            cache[0].first[number] = pc
            cache[0].last[number] = u16(min(pc + guest.longest - 1, 0xFFFF))
            guest.watch(context, pc, cache[0].last[number])
        lead(cache, number, it.short)
        return it.short
    start = cache[0].next
    size = leave_out(context, guest, it, count)
    if flow != LEAVES:
        size = u32(size + stencils[guest.handlers + ON].size)
    stubs = u64(start + size + 8)  # copying goes by eight bytes, and may reach into what follows
    it.fill[BUDGET] = budget
    it.fill[LATE] = stubs
    here = put(it, u16(guest.handlers + HEAD), cache, start)
    stubs = put(it, u16(guest.handlers + SHORT), cache, stubs)
    position: u16 = pc
    done: u6 = 0
    cycles = 0
    while done < count:
        index = it.opcodes[done]
        fill_operand(context, guest, it, stencils[index], position)
        behind = u16(position + stencils[index].length)
        it.fill[NEXT] = behind
        it.fill[COUNT] = done + 1
        it.fill[SPENT] = u64(0 - (cycles + stencils[index].cycles))
        it.fill[INTERPRET] = stubs
        it.fill[REST] = budget - min(budget, cycles + stencils[index].cycles)
        if stencils[index].has_target:
            target = u16(it.fill[TARGET])
            if waits(context, guest, cache[0].own, target, position):
                it.fill[HERE] = target
                it.fill[EXIT] = stubs
                if target == pc:
                    spent = it.fill[SPENT]
                    it.fill[SPENT] = u64(spent - stencils[index].extra)
                    stubs = put(it, u16(guest.handlers + WHOLE), cache, stubs)
                    it.fill[SPENT] = spent
                else:
                    stubs = put(it, u16(guest.handlers + WAIT), cache, stubs)
            else:
                it.fill[EXIT] = exit_of(context, guest, cache, offset, pc, start, target)
        full = stencils[index].full
        if stencils[index].is_full:
            it.fill[LATE] = stubs
            it.fill[INTERPRET] = stubs + stencils[guest.handlers + LATER].size
        here = put(it, index, cache, here)
        if full:
            # The full one comes behind the block; at its end it goes back to where the short one ends.
            back = u64(stubs + stencils[full].size)
            it.fill[LATE] = back + JUMP_BYTES
            it.fill[INTERPRET] = back + late_size
            put(it, full, cache, stubs)
            pointer_at(u64(back + cache[0].delta), u64)[0] = structs.jump(back, here)
            stubs = u64(back + JUMP_BYTES)
        if full != 0 or stencils[index].is_full != 0:
            it.fill[HERE] = behind
            it.fill[EXIT] = it.hop
            stubs = put(it, u16(guest.handlers + LATER), cache, stubs)
        if stencils[index].has_stub:
            it.fill[COUNT] = done
            it.fill[SPENT] = u64(0 - (cycles + stencils[index].opcode_cycles))
            it.fill[HERE] = u16(position + stencils[index].opcode_length)
            it.fill[HANDLER] = address_of(guest.engine(context).interpret[stencils[index].handler])
            stubs = put(it, u16(guest.handlers + STUB), cache, stubs)
        position = behind
        cycles = u32(cycles + stencils[index].cycles)
        done = u6(done + 1)
    if flow != LEAVES:
        it.fill[COUNT] = count
        it.fill[SPENT] = u64(0 - cycles)
        it.fill[HERE] = at
        it.fill[EXIT] = exit_of(context, guest, cache, offset, pc, start, at)
        put(it, u16(guest.handlers + ON), cache, here)
    cache[0].next = u64((stubs + 15) & ~15)
    cache[0].first[number] = pc
    cache[0].last[number] = u16(at - 1)
    cache[0].blocks += 1
    cache[0].instructions += count
    if cache[0].own:
        guest.watch(context, pc, u16(at - 1))
    lead(cache, number, start)
    return start


@typed
def chosen(guest: Any, stencil: Stencil, index: u16, code: Ptr[u8]) -> u16:
    """The stencil for the instruction at `code`."""
    if stencil.full != 0 and guest.meets(code):
        return stencil.full
    return index


@typed
def leave_out(context: Any, guest: Any, it: Translator, count: u6) -> u32:
    """Take bare stencils where the volatile fields that an instruction writes are written again before anybody can
    read them.

    Somebody can wherever translated code may be left: at instructions that are not pure, and at the end.
    Returns: the bytes of the block's instructions and its head.
    """
    stencils = it.table[0].stencils
    size: u32 = stencils[guest.handlers + HEAD].size
    live: u8 = 0xFF
    left: u6 = count
    while left > 0:
        left = u6(left - 1)
        index: u16 = it.opcodes[left]
        if stencils[index].pure:
            writes = stencils[index].writes
            reads = stencils[index].reads
            if writes & live == 0 and stencils[index].bare != 0:
                index = stencils[index].bare
                it.opcodes[left] = index
            live = (live & ~writes) | reads
        else:
            live = 0xFF
        size = u32(size + stencils[index].size)
    return size


@typed
def fill_operand(context: Any, guest: Any, it: Translator, stencil: Stencil, position: u16) -> None:
    """What the operand and target holes of the instruction at `position` get."""
    page = guest.code_memory(context, position)
    code = pointer_at(u64(address_of(page) + (position & 0xFF)), u8)
    length = stencil.length
    tail = stencil.tail
    it.fill[TARGET] = stencil.target
    if tail == BYTE:
        it.fill[OPERAND] = code[length - 1]
    elif tail == WORD:
        it.fill[OPERAND] = code[length - 2] | code[length - 1] << 8
    elif tail == RELATIVE:
        it.fill[TARGET] = u16(position + length + i8(code[length - 1]))
    elif tail == ABSOLUTE:
        it.fill[TARGET] = code[length - 2] | code[length - 1] << 8


@typed
def exit_of(context: Any, guest: Any, cache: Ptr[Cache], offset: u64, pc: u16, start: u64, target: u16) -> u64:
    """Where the block at `pc` goes on its way to `target`: to the cell of `hop` where the way may change.

    Straight to its own beginning, and to blocks of a shared cache, which are never dropped; else to the block's cell. A
    target beyond the cache's memory (a device behind RAM, say) has no number.
    """
    if target == pc:
        return start
    number: u32 = 0
    place = u64(offset + target - pc)
    if guest.window(target) == guest.window(pc) and place < cache[0].size:
        it = translator(context, guest)
        number = number_at(cache, place, it.make)
        found = cache[0].slots[number]
        if cache[0].own == 0 and number != 0 and found != it.make and found != it.short:
            return found
    return cache[0].cells[number]


@typed(outline=True)
def put(it: Translator, number: u16, cache: Ptr[Cache], at: u64) -> u64:
    """Copy a stencil to `at` and fill its holes; the address behind it."""
    stencil = it.table[0].stencils[number]
    delta = cache[0].delta
    source = pointer_at(u64(address_of(it.table[0].pool) + stencil.code), u64)
    target = pointer_at(u64(at + delta), u64)
    words = (stencil.size + 7) >> 3
    word: u32 = 0
    while word < words:
        target[word] = source[word]
        word = u32(word + 1)
    behind = u64(at + stencil.size)
    it.fill[CONTINUE] = behind
    done: u32 = 0
    while done < stencil.holes:
        hole = it.table[0].holes[u32(stencil.first_hole + done)]
        value = u64(it.fill[hole.kind & 15] + hole.addend)
        place = u64(at + hole.at)
        if hole.relative:
            value = u64(value - place)
        where = u64(place + delta)
        if hole.size == 4:
            pointer_at(where, u32)[0] = u32(value)
        elif hole.size == 1:
            pointer_at(where, u8)[0] = u8(value)
        elif hole.size == 2:
            pointer_at(where, u16)[0] = u16(value)
        else:
            pointer_at(where, u64)[0] = value
        done = u32(done + 1)
    return behind


@typed(outline=True)
def drop(context: Any, guest: Any) -> None:
    """Make the blocks unreachable whose guest code was written over."""
    it = translator(context, guest)
    cache = it.own
    lines = guest.written_lines(context)
    number: u32 = 1
    while number < cache[0].count:
        first, last = cache[0].first[number], cache[0].last[number]
        if lines > MOST_LINES:
            lead(cache, number, it.make)
            first = 0xFFFF
        line: u8 = 0
        while line < lines and line < MOST_LINES:
            written = guest.written_line(context, line)
            if first <= (written | 15) and last >= (written & 0xFFF0):
                lead(cache, number, it.make)
            line = u8(line + 1)
        number = u32(number + 1)
    line = 0
    while line < lines and line < MOST_LINES:
        at = (guest.written_line(context, line) >> 4) & (LINES - 1)
        if it.drops[at] < THRASH:
            it.drops[at] += 1
        line = u8(line + 1)
    guest.engine(context).changed()
    guest.forget_written(context)
