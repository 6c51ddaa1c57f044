"""An assembler for x86-64 whose source text is Python.

For:       `Assembler`: source text (source.py, instructions.py, framing.py) to bytes and a listing (placing.py), code
           in memory, builtins.
Not for:   the choice of encodings (forms.py, encoding.py), conversions between Python and native values (functions.py).
Invariant: an error is raised, or names, at the line of Python that caused it.

    from tracklayer.native.assembler import Assembler
    from tracklayer.native.operands import rax, rdi, rsi

    a = Assembler()
    a.lea(rax, mem[rdi + rsi])
    a.ret()
    add = a.function("i64(x: i64, y: i64)", name="add")
    add(2, 3)

Every mnemonic is a method; those that are Python words end in an underscore (`and_`, `or_`, `not_`, `in_`). A label's
name can be used before it is placed. Options are keywords: `lock=True`, `rep=True`, `mask=k1, zeroing=True`,
`rounding="zero"`, `sae=True`, and `form=Code.ADD_RM64_R64` for one encoding of several. Jumps take two bytes where two
will do.
"""

from __future__ import annotations

import re
import struct
import sys
from types import BuiltinFunctionType

from tracklayer.native import debug, unwind
from tracklayer.native.framing import Framing
from tracklayer.native.memory import CodeMemory, code_memory
from tracklayer.native.operands import Label
from tracklayer.native.placing import Fixup, Fragment, assembled
from tracklayer.native.source import Assembled, AssemblyError, Code, Distance, Line, Listing
from tracklayer.native.templates import SHORT


class Assembler(Framing):
    """Collects instructions and data, and makes code of them. See the module's docstring.

    name: what listings, unwinders and profilers call the code
    abi:  "sysv" or "win64"; by default that of this system. It decides what `argument` and `prologue` do."""

    def assemble(self, address: int = 0) -> Assembled:
        """The bytes for an address; code can be added afterwards, and assembled again.
        Errors: AssemblyError at the line of the label or distance that is at fault."""
        self.finish_frame()
        return assembled(self._fragments + self._pool_fragments(), address)

    def _pool_fragments(self) -> list[Fragment]:
        """The constants, the largest alignment first, then the notes for tracebacks."""
        origin = (__file__, 0)
        fragments = [Fragment(b"", ("align", 64), origin, align=max((a for _, a in self._pool), default=1))]
        for (raw, align), label in sorted(self._pool.items(), key=lambda item: -item[0][1]):
            fragments.append(Fragment(b"", ("align", align), origin, align=align))
            fragments.append(Fragment(b"", ("label", label), origin))
            fragments.append(Fragment(raw, ("data", ".pool"), origin))
        for label, name, file, line in self._notes:
            fragments.append(Fragment(b"", ("align", 8), origin, align=8))
            fragments.append(Fragment(b"", ("label", label), origin))
            fixups = (Fixup(0, 8, target, 0, False) for target in (name, file))
            fragments += [Fragment(bytes(8), ("data", ".note"), origin, fixup) for fixup in fixups]
            fragments.append(Fragment(struct.pack("<Q", line), ("data", ".note"), origin))
        return fragments

    @property
    def listing(self) -> Listing:
        """The listing, as if the code began at address 0."""
        return self.assemble().listing

    def load(self, memory: CodeMemory | None = None) -> Code:
        """Put the code into code memory.
        Errors: AssemblyError, CodeMemoryFull."""
        memory = memory or code_memory()
        self.finish_frame()
        fragments = self._fragments + self._pool_fragments()
        alignment = max(16, *(fragment.align for fragment in fragments), 16)
        longest = sum(max(len(f.data), len(f.near.data) if f.near else 0) + f.align for f in fragments)
        changes = sum(fragment.frame is not None for fragment in fragments)
        block = memory.allocate(longest + unwind.room(changes), alignment)
        made = self.assemble(block.address)
        table = (len(made.data) + 15) & -16
        block.write(0, made.data + bytes(table - len(made.data)) + made.unwinding)
        keep = [unwind.register(block.address + table, block), *self._keep]
        if debug.enabled():
            lines = [(line.address, line.file, line.line) for line in made.listing.lines if line.data]
            frames = (block.address + table, made.unwinding)
            keep.append(debug.announce(self.name, block.address, len(made.data), lines, frames))
        return Code(block, made.labels, made.listing, tuple(keep), tuple(self._uses))

    def function(
        self,
        signature: str,
        *,
        name: str | None = None,
        doc: str | None = None,
        module: str | None = None,
        entry: str | Label | None = None,
        nogil: bool = False,
        memory: CodeMemory | None = None,
    ) -> BuiltinFunctionType:
        """A builtin that checks and converts its arguments and runs the code, from its start or from the label `entry`.

        The signature is `result(name: type, ...)`; the types are in signatures.py. `module` defaults to the caller's.
        Errors: AssemblyError; SignatureError."""
        from tracklayer.native.functions import native_function

        if module is None:
            module = sys._getframe(1).f_globals.get("__name__")
        code = self.load(memory)
        address = code.address if entry is None else code.labels[str(entry)]
        return native_function(
            address,
            signature,
            name=name or (str(entry) if entry is not None else self.name),
            doc=doc,
            module=module,
            keep=(code.block, *code.keep),
            uses=code.uses,
            nogil=nogil,
            calls_back=self.calls_back,
            short=self._short() if entry is None else b"",
            memory=memory,
        )

    def _short(self) -> bytes:
        """All of the code but the return at its end, if that is little, runs anywhere, and leaves the stack alone."""
        code = [one for one in self._fragments if one.data or one.align]
        if not code or self._pool or any(not one.is_code or one.fixup or one.near or one.align for one in code):
            return b""
        *body, last = code
        text = "\n".join(f"{one.text[0]} {one.text[1]}" for one in body)
        used = re.search("^(push|pop|call|ret|iret|enter|leave|sys|int|j|loop)|sp", text, re.MULTILINE)
        data = b"".join(one.data for one in body)
        return data if last.data == b"\xc3" and not used and len(data) <= SHORT else b""


__all__ = ["Assembled", "Assembler", "AssemblyError", "Code", "Distance", "Label", "Line", "Listing"]
