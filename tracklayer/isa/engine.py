"""What a console's host part holds for the engine that runs it.

For:     tables and addresses of generated code, reached through the context. No guest state: a save state has none of it.
Not for: making the code (compiler/, translate/), or the guest's registers.
"""

from __future__ import annotations

from tracklayer.lang import Ptr, struct, u8, u32


@struct
class EngineHost:
    """Addresses that handlers jump through. All are set by the engine before it runs a console."""

    dispatch: Ptr[Ptr[u8]]
    """Where the interpreter goes with the next opcode: its own handlers, or back to translated code."""
    interpret: Ptr[Ptr[u8]]
    """The interpreter's handlers, by opcode."""
    resume: Ptr[u8]
    """Where a run begins."""
    boundary: Ptr[u8]
    """Where an instruction boundary with no time left goes."""
    single: Ptr[u8]
    """Runs one instruction that is not in plain memory, or that a hook watches."""
    leave: Ptr[u8]
    """Writes all registers to the context, and returns to whoever entered."""
    lookup: Ptr[u8]
    """Finds or makes the translated block at the guest's PC, and enters it."""
    slots: Ptr[Ptr[u8]]
    """For each block that translated code may go to: its code, or what finds it."""
    places: Ptr[Ptr[u32]]
    """For each region of code addresses: the number of the block at each address in it, 0 where there is none."""
    translator: Ptr[u8]
    """The translator's own state (a struct of translate/)."""
