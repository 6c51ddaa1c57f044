"""What a console's host part holds for the engine that runs it.

For:     tables and addresses of generated code, reached through the context. No guest state: a save state has none of
         it.
Not for: making the code (compiler/, translate/), or the guest's registers.
"""

from __future__ import annotations

from tracklayer.lang import Array, Object, Ptr, array, struct, typed, u8, u16, u64

PLACE_BITS = 10
JUMPS = 1 << PLACE_BITS
WINDOW_BITS = 13
WINDOWS = 1 << 16 - WINDOW_BITS
"""Code in each of so many equal parts of the address space has a generation of its own."""
OTHER_MAPS = 1 << 63
"""A bit of a generation that a machine flips where it closes and opens memory as a whole: what jumps led to while it
was as it is now holds again."""
BANK_BITS = 48
"""From this bit of a generation to the one of OTHER_MAPS, the same with banks: a machine flips what has changed in
their numbers. Below, down to bit 16, is what `changed` counts."""


@struct
class Jump:
    """Where a jump to a computed address led before. tag: the address, and its generation."""

    tag: u64
    code: Ptr[u8]


@typed
def place_of(address: u16) -> u16:
    """The entry of `EngineHost.jumps` for an address: multiplied by the golden ratio, neighbours lie far apart."""
    return u16(address * 0x9E37) >> 16 - PLACE_BITS


@struct
class EngineHost:
    """Addresses that handlers jump through. All are set by the engine before it runs a console."""

    dispatch: Ptr[Ptr[u8]]
    """Where the interpreter goes with the next opcode: its own handlers, or back to translated code."""
    interpret: Ptr[Ptr[u8]]
    """The interpreter's handlers, by opcode."""
    boundary: Ptr[u8]
    """Where an instruction boundary with no time left goes."""
    unmapped: Ptr[u8]
    """Where an instruction goes that does not lie in plain memory."""
    single: Ptr[u8]
    """Runs one instruction in the interpreter, from wherever it must be fetched, after its hook."""
    short: Ptr[u8]
    """From a block that may not fit in the time left: runs what is left, and the boundary that is due."""
    again: Ptr[u8]
    """Runs the instruction that translated code could not finish."""
    back: Ptr[u8]
    """To whatever stands at PC, unless something is due first."""
    leave: Ptr[u8]
    """Writes all registers to the context, and returns to whoever entered."""
    lookup: Ptr[u8]
    """Finds or makes the translated block at PC, and enters it."""
    wait: Ptr[u8]
    """From the end of a loop that may be waiting, back to its begin at PC: skips what passes nothing can come of."""
    generations: Array[u64] = array(WINDOWS)
    """By the highest bits of an address: it is another one whenever other code may stand there than before. Bits 15 to
    0 are clear."""
    jumps: Array[Jump] = array(JUMPS)
    """Where computed jumps led, by `place_of` their address."""
    tend: u8
    """1 where the engine wants to see to the console when its run ends."""
    on_hook: Object
    """Called with a hooked instruction's address before that executes; returns 1 where the engine must return first."""
    translator: Ptr[u8]
    """What the translator keeps for this console (a struct of translate/)."""

    @typed
    def tag(self, address: u16) -> u64:
        """The tag of a jump to an address now."""
        return self.generations[address >> WINDOW_BITS] | address

    @typed
    def changed(self) -> None:
        """Code may stand at other addresses than ever before. Once in 4 billion times old jumps are forgotten."""
        for window in range(WINDOWS):
            self.generations[window] = u64(self.generations[window] + 0x10000)
        if self.generations[0] & ((1 << BANK_BITS) - 1) == 0:
            for index in range(JUMPS):
                self.jumps[index].tag = 0
                self.jumps[index].code = self.lookup
