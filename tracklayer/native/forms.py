"""Forms: the encodings that a mnemonic has, and which of them fit given operands.

For:       `matching(mnemonic, operands)`, the forms that fit; `candidates`, all of a mnemonic; errors where none fits.
Not for:   the bytes (encoding.py). Which encodings there are is iced-x86's knowledge; nothing is listed here.
Invariant: knowledge only: what was found out of a form, or of a mnemonic, never changes.

iced-x86 knows about 4,700 instruction forms of 64-bit mode, each with the kinds of its operands. A form fits if every
operand is of the kind that it wants. `penalty` says which of those that fit are a last resort: the ones of an unasked
16-bit operand size or 32-bit address size, and those that few processors have.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import iced_x86
from iced_x86 import Code, MemorySizeInfo, Mnemonic, OpCodeInfo, OpKind
from iced_x86 import OpCodeOperandKind as Kind
from iced_x86 import Register as IcedRegister

from tracklayer.native.operands import Label, Memory, Operand, Register, Symbol


class FormError(ValueError):
    """No encoding of the mnemonic has these operands. The message says which there are."""


class Options(NamedTuple):
    """What can be said of an instruction besides its operands."""

    lock: bool = False
    rep: bool = False
    repne: bool = False
    xacquire: bool = False
    xrelease: bool = False
    mask: Register | None = None
    zeroing: bool = False
    rounding: str | None = None
    sae: bool = False
    segment: Register | None = None
    form: int | None = None


NO_OPTIONS = Options()

form_info: Any = OpCodeInfo
"""What iced-x86 knows of a form, by its code."""

# ----------------------------------------------------------------------------------------- what a kind of operand wants

# Kinds that take a register of one file and size; "+" allows memory as well.
_REGISTER_KINDS: Mapping[str, tuple[str, int]] = {
    "R8": ("gp", 1),
    "R16": ("gp", 2),
    "R32": ("gp", 4),
    "R64": ("gp", 8),
    "XMM": ("xmm", 16),
    "YMM": ("ymm", 32),
    "ZMM": ("zmm", 64),
    "XMMP3": ("xmm", 16),
    "ZMMP3": ("zmm", 64),
    "MM": ("mm", 8),
    "K": ("k", 8),
    "KP1": ("k", 8),
    "TMM": ("tmm", 1024),
    "BND": ("bnd", 16),
    "STI": ("st", 10),
    "SEG": ("segment", 2),
    "CR": ("control", 8),
    "DR": ("debug", 8),
}
_FIXED = {"AL", "AX", "EAX", "RAX", "CL", "DX", "ST0", "ES", "CS", "SS", "DS", "FS", "GS"}
_IMPLICIT: Mapping[int, int] = {
    Kind.ES_RDI: OpKind.MEMORY_ESRDI,
    Kind.SEG_RSI: OpKind.MEMORY_SEG_RSI,
    Kind.SEG_RDI: OpKind.MEMORY_SEG_RDI,
    Kind.SEG_RBX_AL: OpKind.MEMORY,
}
_VECTOR_INDEX: Mapping[int, str] = {
    Kind.MEM_VSIB32X: "xmm",
    Kind.MEM_VSIB64X: "xmm",
    Kind.MEM_VSIB32Y: "ymm",
    Kind.MEM_VSIB64Y: "ymm",
    Kind.MEM_VSIB32Z: "zmm",
    Kind.MEM_VSIB64Z: "zmm",
}
_MEMORY_ONLY = {Kind.MEM, Kind.MEM_MPX, Kind.MEM_MIB, Kind.SIBMEM, *_VECTOR_INDEX}
# Immediates: how iced holds them, the range that fits, and the width at which a larger unsigned number means a
# negative one.
IMMEDIATES: Mapping[int, tuple[int, int, int, int]] = {
    Kind.IMM8: (OpKind.IMMEDIATE8, -0x80, 0xFF, 8),
    Kind.IMM16: (OpKind.IMMEDIATE16, -0x8000, 0xFFFF, 16),
    Kind.IMM32: (OpKind.IMMEDIATE32, -0x80000000, 0xFFFFFFFF, 32),
    Kind.IMM64: (OpKind.IMMEDIATE64, -0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 64),
    Kind.IMM8SEX16: (OpKind.IMMEDIATE8TO16, -0x80, 0x7F, 16),
    Kind.IMM8SEX32: (OpKind.IMMEDIATE8TO32, -0x80, 0x7F, 32),
    Kind.IMM8SEX64: (OpKind.IMMEDIATE8TO64, -0x80, 0x7F, 64),
    Kind.IMM32SEX64: (OpKind.IMMEDIATE32TO64, -0x80000000, 0x7FFFFFFF, 64),
    Kind.IMM8_CONST_1: (OpKind.IMMEDIATE8, 1, 1, 8),
    Kind.IMM4_M2Z: (OpKind.IMMEDIATE8, 0, 15, 8),
}
_BRANCHES: Mapping[int, int] = {Kind.BR64_1: 1, Kind.BR64_4: 4, Kind.XBEGIN_2: 2, Kind.XBEGIN_4: 4}
# Branches to the low 64 KiB, which AMD's processors have in 64-bit mode: for who asks for the form by name.
_LOW_BRANCHES: Mapping[int, int] = {
    Kind.BR16_1: OpKind.NEAR_BRANCH16,
    Kind.BR16_2: OpKind.NEAR_BRANCH16,
}
_KIND_NAMES: Mapping[int, str] = {int(value): name for name, value in vars(Kind).items() if isinstance(value, int)}


class _Wants(NamedTuple):
    """What one operand of a form may be."""

    register: tuple[str, int] | None = None
    fixed: int = IcedRegister.NONE
    memory: bool = False
    vector: str = ""
    absolute: bool = False
    immediate: int = -1
    branch: int = 0
    low_branch: int = -1
    implicit: int = -1


@functools.cache
def _wants(kind: int) -> _Wants | None:
    """What an operand of that kind may be, or None for kinds that 64-bit mode has no use for."""
    name = _KIND_NAMES[kind]
    if kind in _IMPLICIT:
        return _Wants(implicit=_IMPLICIT[kind])
    if kind in IMMEDIATES:
        return _Wants(immediate=kind)
    if kind in _BRANCHES:
        return _Wants(branch=_BRANCHES[kind])
    if kind in _LOW_BRANCHES:
        return _Wants(low_branch=_LOW_BRANCHES[kind])
    if kind == Kind.MEM_OFFS:
        return _Wants(absolute=True)
    if kind in _MEMORY_ONLY:
        return _Wants(memory=True, vector=_VECTOR_INDEX.get(kind, ""))
    if name in _FIXED:
        return _Wants(fixed=getattr(IcedRegister, name))
    file = _REGISTER_KINDS.get(name.partition("_")[0])
    if file is None:
        return None
    return _Wants(register=file, memory="_OR_MEM" in name)


@dataclass(frozen=True, slots=True)
class Form:
    """One encoding: its code, what its operands may be, and the sizes of the memory it touches."""

    code: int
    wants: tuple[_Wants, ...]
    memory_size: int
    broadcast_size: int
    penalty: int
    maskable: bool
    lane: int = field(default=0)

    @property
    def explicit(self) -> tuple[_Wants, ...]:
        """The operands that are written, not implied."""
        return tuple(want for want in self.wants if want.implicit < 0)


_ALIASES = {
    f"{prefix}{alias}": f"{prefix}{name}"
    for prefix in ("j", "set", "cmov")
    for alias, name in {
        "z": "e", "nz": "ne", "c": "b", "nc": "ae", "nae": "b", "nb": "ae", "na": "be", "nbe": "a", "nge": "l",
        "nl": "ge", "ng": "le", "nle": "g", "pe": "p", "po": "np",
    }.items()
} | {"movabs": "mov", "retn": "ret", "retfar": "retf", "wait": "wait", "repz": "repe"}  # fmt: skip

SWAPPABLE = {"test", "xchg"}
"""Mnemonics whose two operands may be written either way, though an encoding has one order."""


_UNUSUAL = 8
"""The penalty of forms that few processors ever had (Knights Corner, Cyrix, MPX): chosen where nothing else fits."""


@functools.cache
def forms() -> Mapping[str, tuple[Form, ...]]:
    """Every form of 64-bit mode, by mnemonic."""
    names = {value: name.lower() for name, value in vars(Mnemonic).items() if isinstance(value, int)}
    table: dict[str, list[Form]] = {}
    codes = [value for value in vars(Code).values() if isinstance(value, int)]
    for code in sorted(codes):
        info = form_info(code)
        if not info.mode64 or not info.is_instruction:
            continue
        wants = tuple(_wants(kind) for kind in info.op_kinds())
        if None in wants:
            continue
        size = MemorySizeInfo(info.memory_size).size
        penalty = 4 * (info.operand_size == 16) + 2 * (info.address_size == 32)
        # AVX-512 forms can be shorter than AVX ones (compressed displacements), but fewer processors have them.
        penalty += info.encoding == iced_x86.EncodingKind.EVEX
        if info.decoder_option or info.encoding == iced_x86.EncodingKind.MVEX:
            penalty += _UNUSUAL
        form = Form(
            code,
            tuple(want for want in wants if want is not None),
            size,
            MemorySizeInfo(info.broadcast_memory_size).size if info.can_broadcast else 0,
            penalty,
            info.can_use_op_mask_register,
        )
        table.setdefault(names[info.mnemonic], []).append(form)
    return {name: tuple(found) for name, found in table.items()}


def candidates(mnemonic: str) -> tuple[Form, ...]:
    """The forms of a mnemonic, by any of its names.
    Errors: FormError, with names that are close."""
    name = mnemonic.lower().rstrip("_")
    found = forms().get(_ALIASES.get(name, name))
    if found is None:
        import difflib

        near = difflib.get_close_matches(name, [*forms(), *_ALIASES], 3)
        raise FormError(f"no instruction is called {mnemonic!r}" + (f"; there are {', '.join(near)}" if near else ""))
    return found


# -------------------------------------------------------------------------------------------------------------- fitting


def _in_range(value: int, low: int, high: int, bits: int) -> bool:
    return low <= value <= high or (bits > 8 and low <= value - (1 << bits) < 0 and value < 1 << bits)


def _fits_memory(want: _Wants, form: Form, operand: Memory) -> bool:
    index = operand.address.index
    if (index.kind if index is not None and index.kind in ("xmm", "ymm", "zmm") else "") != want.vector:
        return False
    size = form.memory_size
    if operand.is_broadcast:
        if not form.broadcast_size:
            return False
        size = form.broadcast_size
    return not operand.size or not size or operand.size == size


def _fits(want: _Wants, form: Form, operand: Operand) -> bool:
    match operand:
        case Register():
            if want.fixed != IcedRegister.NONE:
                return operand.number == want.fixed
            return want.register is not None and (operand.kind, operand.size) == want.register
        case Memory():
            if want.absolute:
                address = operand.address
                plain = address.base is None and address.index is None and address.label is None
                wide = not -(1 << 31) <= address.displacement < 1 << 31
                return plain and wide and (not operand.size or operand.size == form.memory_size)
            return want.memory and _fits_memory(want, form, operand)
        case int():
            if want.immediate >= 0:
                _, low, high, bits = IMMEDIATES[want.immediate]
                return _in_range(operand, low, high, bits)
            return want.branch > 0 or want.low_branch >= 0
        case Label() | str():
            return want.branch > 0
        case Symbol():
            return want.immediate == Kind.IMM64
    return False


def matching(mnemonic: str, operands: Sequence[Operand], options: Options = NO_OPTIONS) -> list[Form]:
    """All forms that fit, the preferred first where that can be told before encoding.
    Errors: FormError."""
    found = []
    for form in candidates(mnemonic):
        if options.form is not None and form.code != options.form:
            continue
        wants = form.explicit
        if len(operands) != len(wants):
            # String instructions: `stosb` is as good as `stosb al`.
            implied = not operands and len(wants) < len(form.wants)
            if not (implied and all(want.fixed != IcedRegister.NONE for want in wants)):
                continue
        elif not all(_fits(want, form, operand) for want, operand in zip(wants, operands, strict=True)):
            continue
        if options.mask is not None and not form.maskable:
            continue
        if form.code == Code.XCHG_R32_EAX and operands[0] == operands[1] and options.form is None:
            continue  # 90 is a no-operation: it does not clear the upper half of RAX
        if options.form is None and any(want.low_branch >= 0 for want in wants):
            continue
        found.append(form)
    usual = [form for form in found if form.penalty < _UNUSUAL]
    return usual or found


def complaint(mnemonic: str, operands: Sequence[Operand]) -> FormError:
    """The error for operands that no form fits: it says which there are."""
    known = candidates(mnemonic)
    near = [form for form in known if len(form.explicit) == len(operands)] or known
    shown = dict.fromkeys(form_info(form.code).instruction_string for form in near)
    some = "; ".join(list(shown)[:8]) + ("; ..." if len(shown) > 8 else "")
    return FormError(f"no encoding of `{written(mnemonic, operands)}`; there are: {some}")


def check_sizes(mnemonic: str, operands: Sequence[Operand], found: list[Form]) -> None:
    """`mov [rax], 5` could be four things: the size has to be written. Sizes that have no name, of the floating-point
    unit's environments, are left to the penalty: it prefers those of 32-bit (and 64-bit) code."""
    unsized = [operand for operand in operands if isinstance(operand, Memory) and not operand.size]
    if not unsized:
        return
    sizes = {form.broadcast_size if unsized[0].is_broadcast else form.memory_size for form in found} - {0}
    names = {1: "byte", 2: "word", 4: "dword", 6: "fword", 8: "qword", 10: "tbyte"}
    names |= {16: "xmmword", 32: "ymmword", 64: "zmmword"}
    if len(sizes) > 1 and any(size in names for size in sizes):
        choice = ", ".join(f"{names.get(size, size)}[...]" for size in sorted(sizes))
        raise FormError(f"`{written(mnemonic, operands)}`: write the size of the memory: {choice}")


def written(mnemonic: str, operands: Sequence[Operand]) -> str:
    """An instruction as text, for messages."""
    return f"{mnemonic.rstrip('_')} {', '.join(map(str, operands))}".strip()
