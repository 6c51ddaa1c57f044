"""What a console's host part holds for the engine that runs it.

For:     tables and addresses of generated code, reached through the context. No guest state: a save state has none of
         it.
Not for: making the code (compiler/, translate/), or the guest's registers.
"""

from __future__ import annotations

from tracklayer.lang import Array, Object, Ptr, array, struct, typed, u8, u16, u64

PLACE_BITS = 9
JUMPS = 1 << PLACE_BITS
OTHER_MAPS = 1 << 47
"""A bit of the generation that a machine flips where it closes and opens its memory as a whole: what jumps led to while
it was as it is now holds again."""
BANK_BITS = 32
"""From this bit of the generation to the one of OTHER_MAPS, the same with banks: a machine flips what has changed in
their numbers. Below is what `changed` counts."""


@struct
class Jump:
    """Where a jump to a computed address led before. tag: the address, and the generation of the maps << 16."""

    tag: u64
    code: Ptr[u8]


@typed
def place_of(address: u16) -> u16:
    """The entry of `EngineHost.jumps` for an address: its high bits over its low ones."""
    return (address ^ address >> PLACE_BITS) & (JUMPS - 1)


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
    generation: u64
    """It is another one whenever code may stand at other addresses than before."""
    jumps: Array[Jump] = array(JUMPS)
    """Where computed jumps led, by `place_of` their address."""
    tend: u8
    """1 where the engine wants to see to the console when its run ends."""
    on_hook: Object
    """Called with a hooked instruction's address before that executes; returns 1 where the engine must return first."""
    translator: Ptr[u8]
    """What the translator keeps for this console (a struct of translate/)."""

    @typed
    def changed(self) -> None:
        """Code may stand at other addresses than ever before. Once in 4 billion times old jumps are forgotten."""
        self.generation = u64(self.generation + 1)
        if self.generation & ((1 << BANK_BITS) - 1) == 0:
            for index in range(JUMPS):
                self.jumps[index].tag = 0
                self.jumps[index].code = self.lookup
