"""An assembler for arm64 (A64) whose source text is Python: the interface of assembler.py, the encodings of LLVM.

For:       instructions, labels, data, imported addresses, frames with unwinding tables; a listing; code in memory.
Not for:   encoding (mc.py asks LLVM); placing and relocations (loader.py); builtins and callbacks, whose adapters are
           x86-64 code: on an arm64 host, call `load().address` through ctypes.
Invariant: an error is raised, or names, at the line of Python that caused it.

    from tracklayer.native import Arm64Assembler
    from tracklayer.native.arm64_operands import mem, x0, x1

    a = Arm64Assembler("add")
    a.ldr(x1, mem[x1, 8])
    a.add(x0, x0, x1)
    a.ret()
    print(a.listing)

Every mnemonic is a method; a dot in it is an underscore (`b_ne`), and those that are Python words end in one (`and_`).
A label's name can be used before it is placed. `ldr` takes numbers and imported addresses too, and loads them from a
constant behind the code. What LLVM has to say of an instruction it says when the code is put together: the error names
the line that wrote it.
"""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from tracklayer.native import arm64_operands as operands
from tracklayer.native import mc, unwind
from tracklayer.native.arm64_operands import Register, fp, lr, mem, sp
from tracklayer.native.loader import ObjectFile, load, parse
from tracklayer.native.memory import CodeMemory, code_memory
from tracklayer.native.operands import Label, OperandError, Symbol
from tracklayer.native.source import Assembled, AssemblyError, Code, Distance, Line, Listing, Origin, Source, bytes_of

TRIPLE = "aarch64-linux-gnu"

_MNEMONIC = re.compile(r"[a-z][a-z0-9_]*\Z")
_WORD = re.compile(r"(:[a-z0-9_]+:)?[A-Za-z_.$][A-Za-z0-9_.$]*\Z")
_IMPORT = ".import{}"
_C_FUNCTION: Any = ctypes.CFUNCTYPE(None).__mro__[1]
_ELSEWHERE = frozenset(["function", "callback", "poll"])


@dataclass(frozen=True, slots=True)
class _Piece:
    """One line of the text for LLVM, and how a listing shows it. `kind`: code, data, label, align, pool, or directive
    (which has no place of its own)."""

    text: str
    kind: str
    origin: Origin
    shown: str = ""


@dataclass(frozen=True, slots=True)
class _Frame:
    """The frame that is being written: its size, what it keeps and where."""

    saves: tuple[Register, ...]
    locals: int
    size: int

    def slot(self, i: int) -> operands.Memory:
        """The i-th word above the frame record."""
        return mem[fp, 16 + 8 * i]


class Arm64Assembler(Source):
    """Collects instructions and data, and makes code of them. See the module's docstring.

    name: what the code is called
    arch: the architecture whose instructions are known, in LLVM's words: "armv8-a", "armv8-a+lse"; a word says
          as much as the LLVM that is installed makes of it"""

    _HIDDEN = ".label{}"

    def __init__(self, name: str = "code", *, arch: str = "armv8-a") -> None:
        super().__init__(name)
        origin = self._origin()
        if not re.fullmatch(r"[a-z0-9.+-]+", arch):
            raise AssemblyError(f"{arch!r} is no architecture", origin)
        self._pieces = [_Piece(f".arch {arch}", "directive", origin), _Piece(".text", "directive", origin)]
        self._pieces.append(_Piece(".cfi_startproc", "directive", origin))
        self._imports: dict[str, int] = {}
        self._frame: _Frame | None = None
        self._made: tuple[str, ObjectFile] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {len(self._pieces)} lines>"

    # ------------------------------------------------------------------------------------------------ instructions

    def __getattr__(self, mnemonic: str) -> Callable[..., None]:
        if mnemonic.startswith("_"):
            raise AttributeError(mnemonic)
        if mnemonic in _ELSEWHERE:
            raise AttributeError(f"{mnemonic}: builtins, callbacks and polls are made of x86-64 code, so not for arm64")
        return functools.partial(self.emit, mnemonic)

    def emit(self, mnemonic: str, *given: Any) -> None:
        """Add one instruction; `a.emit("add", x0, x0, 5)` is `a.add(x0, x0, 5)`."""
        origin = self._origin()
        given = tuple(self.c_function(one) if isinstance(one, _C_FUNCTION) else one for one in given)
        word = mnemonic.rstrip("_")
        if not _MNEMONIC.match(word):
            raise AssemblyError(f"{mnemonic!r} is no mnemonic", origin)
        word = word.replace("_", ".")
        try:
            texts = [self._operand(word, i, operand) for i, operand in enumerate(given)]
        except OperandError as error:
            raise AssemblyError(str(error), origin) from None
        shown = [
            str(operand) if isinstance(operand, Symbol) else text for operand, text in zip(given, texts, strict=True)
        ]
        self._add(f"{word} {', '.join(texts)}".strip(), "code", origin, f"{word} {', '.join(shown)}".strip())

    def _add(self, text: str, kind: str, origin: Origin, shown: str = "") -> None:
        self._pieces.append(_Piece(text, kind, origin, shown or text))

    def _operand(self, mnemonic: str, i: int, operand: object) -> str:
        """An operand as LLVM reads it."""
        loads = mnemonic == "ldr" and i == 1
        match operand:
            case bool():
                pass
            case Register() | operands.Modified() | operands.Vector() | operands.Vectors() | operands.Memory():
                return repr(operand)
            case Label():
                return operand.name
            case int() if loads:
                return f"={operand}"
            case int() | float():
                return f"#{operand!r}"
            case str() if _WORD.match(operand):
                return operand
            case str():
                raise OperandError(f"{operand!r} is neither a label nor a word of arm64's")
            case Symbol() if loads:
                return self._constant(bytes_of(operand.address, 8), 8).name
            case Symbol():
                if mnemonic not in ("b", "bl"):
                    raise OperandError(f"{mnemonic} reaches no address outside: ldr it into a register first")
                name = _IMPORT.format(len(self._imports))
                self._imports[name] = operand.address
                return name
        raise OperandError(f"{operand!r} ({type(operand).__name__}) is no operand")

    # --------------------------------------------------------------------------------------------- labels and data

    def forward(self, name: str | None = None) -> Label:
        """A label to be placed later."""
        if name is not None and (not _WORD.match(name) or name in operands.REGISTERS or name in ("fp", "lr")):
            raise AssemblyError(f"a label cannot be called {name!r}", self._origin())
        return super().forward(name)

    def _place_label(self, label: Label, origin: Origin) -> None:
        label.fragment = len(self._pieces)
        self._add(f"{label.name}:", "label", origin)

    def _put(self, raw: bytes, origin: Origin) -> None:
        if raw:
            self._add(f".byte {','.join(map(str, raw))}", "data", origin)

    def _name(self, label: Label | str, origin: Origin) -> str:
        name = str(label)
        if not _WORD.match(name):
            raise AssemblyError(f"{name!r} is no label", origin)
        return name

    def _put_address(self, target: Label | str, origin: Origin) -> None:
        self._add(f".xword {self._name(target, origin)}", "data", origin)

    def _put_distance(self, distance: Distance, width: int, origin: Origin) -> None:
        kind = {1: ".byte", 2: ".hword", 4: ".word", 8: ".xword"}[width]
        to, start = (self._name(label, origin) for label in (distance.to, distance.start))
        self._add(f"{kind} {to} - {start}", "data", origin)

    def align(self, multiple: int) -> None:
        """Go on at the next multiple of a power of two, with no-operations between."""
        if multiple <= 0 or multiple & (multiple - 1) or multiple > 4096:
            raise AssemblyError(f"cannot align to {multiple}: a power of two up to 4096", self._origin())
        self._add(f".p2align {multiple.bit_length() - 1}", "align", self._origin())

    def constant(self, value: bytes | int | float, size: int = 8) -> Label:
        """The place of a value kept behind the code, for `ldr` and `adr`; equal constants are one."""
        raw = bytes_of(value, size)
        return self._constant(raw, len(raw) if len(raw) in (1, 2, 4, 8, 16) else 1)

    # ------------------------------------------------------------------------------------------------------- frames

    def argument(self, i: int) -> Register:
        """The register in which the i-th integer argument arrives (and is passed to others), from 0.
        Source: "Procedure Call Standard for the Arm 64-bit Architecture", Parameter passing."""
        if not 0 <= i < 8:
            raise AssemblyError(f"argument {i} is on the stack: 8 are in registers", self._origin())
        return operands.REGISTERS[f"x{i}"]

    def _cfi(self, text: str) -> None:
        self._add(f".cfi_{text}", "directive", self._origin())

    def prologue(self, *saves: Register, locals: int = 0) -> None:
        """Begin a frame: X29 points to the frame record at its low end, `saves` are kept, unwinders can follow.

        `locals` slots of 8 bytes are `a.local(0)` and on."""
        kept = {"x": range(19, 29), "d": range(8, 16)}
        wrong = [register for register in saves if register.number not in kept.get(register.kind, ())]
        if wrong:
            message = f"a frame saves x19 to x28 and d8 to d15, not {', '.join(map(str, wrong))}"
            raise AssemblyError(message, self._origin())
        size = (16 + 8 * (locals + len(saves)) + 15) & -16
        if size > 4080:
            raise AssemblyError(f"a frame of {size} bytes is too large: 4080 at most", self._origin())
        if self._frame is not None or any(piece.kind in ("code", "data") for piece in self._pieces):
            self._cfi("endproc")
            self._cfi("startproc")
        self._frame = frame = _Frame(saves, locals, size)
        self.sub(sp, sp, size)
        self._cfi(f"def_cfa_offset {size}")
        self.stp(fp, lr, mem[sp])
        self._cfi(f"offset {fp}, {-size}")
        self._cfi(f"offset {lr}, {8 - size}")
        self.mov(fp, sp)
        self._cfi(f"def_cfa {fp}, {size}")
        for i, register in enumerate(saves):
            self.str(register, frame.slot(locals + i))
            self._cfi(f"offset {register}, {16 + 8 * (locals + i) - size}")

    def local(self, i: int) -> operands.Memory:
        """The i-th local slot of the frame, from 0."""
        if self._frame is None or not 0 <= i < self._frame.locals:
            raise AssemblyError(f"there is no local {i} here", self._origin())
        return self._frame.slot(i)

    def epilogue(self) -> None:
        """Leave the frame and return. A frame may have several."""
        frame = self._frame
        if frame is None:
            raise AssemblyError("there is no frame to leave: write prologue() first", self._origin())
        self._cfi("remember_state")
        for i, register in enumerate(frame.saves):
            self.ldr(register, frame.slot(frame.locals + i))
        self.mov(sp, fp)
        self.ldp(fp, lr, mem[sp])
        self.add(sp, sp, frame.size)
        self._cfi(f"def_cfa {sp}, 0")
        self.ret()
        self._cfi("restore_state")

    # ---------------------------------------------------------------------------------------------------- finishing

    def _all_pieces(self) -> list[_Piece]:
        """What was written, and the constants behind it, the largest alignment first."""
        origin = (__file__, 0)
        pieces = [*self._pieces, _Piece(".cfi_endproc", "directive", origin)]
        for (raw, align), label in sorted(self._pool.items(), key=lambda item: -item[0][1]):
            pieces.append(_Piece(f".p2align {align.bit_length() - 1}", "align", origin))
            pieces.append(_Piece(f"{label.name}: .byte {','.join(map(str, raw))}", "pool", origin))
        return pieces

    @property
    def text(self) -> str:
        """All that is written, as LLVM (or GNU as) reads it."""
        return self._text(self._all_pieces())

    @staticmethod
    def _text(pieces: list[_Piece]) -> str:
        """One line for each piece. Those with a place have a symbol, so that we learn where they came to lie."""
        lines = (p.text if p.kind == "directive" else f".at{i}: {p.text}" for i, p in enumerate(pieces))
        return "\n".join(lines) + "\n.end:\n"

    def _object(self, pieces: list[_Piece]) -> ObjectFile:
        """The object of all that is written."""
        text = self._text(pieces)
        if self._made is not None and self._made[0] == text:
            return self._made[1]
        try:
            file = parse(mc.assemble(text, TRIPLE))
        except mc.AssemblerErrors as error:
            line, message = error.errors[0]
            piece = pieces[min(line, len(pieces)) - 1]
            raise AssemblyError(f"`{piece.shown or piece.text}`: {message}", piece.origin) from None
        for name in file.undefined:
            if name not in self._imports:
                self._complain(name, pieces)
        self._made = text, file
        return file

    @staticmethod
    def _complain(name: str, pieces: list[_Piece]) -> NoReturn:
        used = re.compile(rf"(?<![\w.$]){re.escape(name)}(?![\w.$])")
        piece = next(piece for piece in pieces if used.search(piece.text.partition(" ")[2]))
        raise AssemblyError(f"the label {name!r} is used and never placed", piece.origin)

    def assemble(self, address: int = 0) -> Assembled:
        """The bytes for an address; code can be added afterwards, and assembled again. Behind the code come its
        constants, the unwinding table, and stubs for calls of what lies far away.
        Errors: AssemblyError at the line at fault; mc.NoAssembler."""
        pieces = self._all_pieces()
        layout = self._object(pieces).layout()
        if address % layout.align:
            raise ValueError(f"{address:#x} is no multiple of {layout.align}, as this code needs")
        image = bytes(layout.link(address, self._imports))
        made = self._described(pieces, address, image, layout.symbols(address))
        return replace(made, unwinding=b"".join(image[start : start + size] for start, size in layout.eh_frames))

    def _described(self, pieces: list[_Piece], address: int, image: bytes, symbols: dict[str, int]) -> Assembled:
        shown = [(i, piece) for i, piece in enumerate(pieces) if piece.kind != "directive"]
        places = [symbols[f".at{i}"] for i, _ in shown] + [symbols[".end"]]
        lines = []
        for (_, piece), start, end in zip(shown, places[:-1], places[1:], strict=True):
            if piece.kind in ("pool", "align") or (piece.kind == "label" and piece.text.startswith(".")):
                continue
            size = 4 if piece.kind == "code" else end - start
            raw = image[start - address : start - address + size] if piece.kind != "label" else b""
            lines.append(Line(start, raw, f".data {size}" if piece.kind == "data" else piece.shown, *piece.origin))
        labels = {name: where for name, where in symbols.items() if name in self._labels and not name.startswith(".")}
        return Assembled(address, image, labels, Listing(tuple(lines)), b"")

    @property
    def listing(self) -> Listing:
        """The listing, as if the code began at address 0."""
        return self.assemble().listing

    def load(self, memory: CodeMemory | None = None) -> Code:
        """Put the code into code memory.
        Errors: AssemblyError; CodeMemoryFull; ObjectError where the host is no arm64 machine; mc.NoAssembler."""
        pieces = self._all_pieces()
        loaded = load(self._object(pieces), memory or code_memory(), self._imports)
        block = loaded.block
        keep = [unwind.register(address, block) for address, _ in loaded.eh_frames]
        image = block.read(0, block.size)
        made = self._described(pieces, block.address, image, dict(loaded.symbols))
        return Code(block, made.labels, made.listing, (*keep, *self._keep), tuple(self._uses))
