"""Forms: which encoding of a mnemonic fits given operands.

For:       turning a mnemonic and operands into the bytes of one instruction, the shortest of all encodings that mean
           it.
Not for:   labels and places (assembler.py). Which encodings there are is iced-x86's knowledge; nothing is listed here.
Invariant: what is encoded decodes to the mnemonic and the operands that were asked for.

iced-x86 knows about 4,700 instruction forms of 64-bit mode, each with the kinds of its operands. A form fits if every
operand is of the kind that it wants; of those that fit, the ones of an unasked 16-bit operand size or 32-bit address
size come last, then the shorter comes first, then the one that Intel's manual names first.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import iced_x86
from iced_x86 import Code, Encoder, Instruction, MemorySizeInfo, Mnemonic, OpCodeInfo, OpKind, RoundingControl
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


_info: Any = OpCodeInfo

_ROUNDING = {
    "nearest": RoundingControl.ROUND_TO_NEAREST,
    "down": RoundingControl.ROUND_DOWN,
    "up": RoundingControl.ROUND_UP,
    "zero": RoundingControl.ROUND_TOWARD_ZERO,
}

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
_IMMEDIATES: Mapping[int, tuple[int, int, int, int]] = {
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
    if kind in _IMMEDIATES:
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

_SWAPPABLE = {"test", "xchg"}
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
        info = _info(code)
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
                _, low, high, bits = _IMMEDIATES[want.immediate]
                return _in_range(operand, low, high, bits)
            return want.branch > 0 or want.low_branch >= 0
        case Label() | str():
            return want.branch > 0
        case Symbol():
            return want.immediate == Kind.IMM64
    return False


def matching(mnemonic: str, operands: Sequence[Operand], options: Options = Options()) -> list[Form]:  # noqa: B008
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


def _complain(mnemonic: str, operands: Sequence[Operand]) -> FormError:
    written = _text(mnemonic, operands)
    known = candidates(mnemonic)
    near = [form for form in known if len(form.explicit) == len(operands)] or known
    shown = dict.fromkeys(_info(form.code).instruction_string for form in near)
    some = "; ".join(list(shown)[:8]) + ("; ..." if len(shown) > 8 else "")
    return FormError(f"no encoding of `{written}`; there are: {some}")


def _check_sizes(mnemonic: str, operands: Sequence[Operand], found: list[Form]) -> None:
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
        raise FormError(f"`{_text(mnemonic, operands)}`: write the size of the memory: {choice}")


# ------------------------------------------------------------------------------------------------------------- encoding


class Encoded(NamedTuple):
    """One instruction. `displacement` and `immediate` are where those fields begin in the bytes, or -1.

    relative: the width of a field, at the end of the bytes, that holds the distance to a label; 0 if there is none"""

    data: bytes
    code: int
    displacement: int
    immediate: int
    relative: int


_HERE = 0x10000
"""Where instructions are encoded first; distances to labels are filled in when the places are known."""


def _build(form: Form, operands: Sequence[Operand], options: Options) -> Any:
    instruction: Any = Instruction()
    instruction.code = form.code
    given = iter(operands)
    second = False
    for i, want in enumerate(form.wants):
        if want.implicit >= 0:
            instruction.set_op_kind(i, want.implicit)
            if want.implicit == OpKind.MEMORY:  # xlatb: [rbx + al]
                instruction.memory_base, instruction.memory_index = IcedRegister.RBX, IcedRegister.AL
            continue
        operand = next(given, None)
        if operand is None:
            instruction.set_op_kind(i, OpKind.REGISTER)
            instruction.set_op_register(i, want.fixed)
        elif isinstance(operand, Register):
            instruction.set_op_kind(i, OpKind.REGISTER)
            instruction.set_op_register(i, operand.number)
        elif isinstance(operand, Memory):
            instruction.set_op_kind(i, OpKind.MEMORY)
            _set_memory(instruction, operand)
        elif want.low_branch >= 0:
            instruction.set_op_kind(i, want.low_branch)
            instruction.near_branch16 = operand
        elif want.branch:
            instruction.set_op_kind(i, OpKind.NEAR_BRANCH64)
            instruction.near_branch64 = _HERE  # the distance is filled in when the places are known
        else:
            kind = _IMMEDIATES[want.immediate][0]
            value = operand.address if isinstance(operand, Symbol) else operand
            assert isinstance(value, int)
            if kind == OpKind.IMMEDIATE8 and second:
                kind = OpKind.IMMEDIATE8_2ND
            instruction.set_op_kind(i, kind)
            _set_immediate(instruction, kind, value)
            second = True
    _set_options(instruction, options)
    return instruction


def _set_immediate(instruction: Any, kind: int, value: int) -> None:
    def signed(bits: int) -> int:
        value_in = value & ((1 << bits) - 1)
        return value_in - (1 << bits) if value_in >> (bits - 1) else value_in

    match kind:
        case OpKind.IMMEDIATE8:
            instruction.immediate8 = value & 0xFF
        case OpKind.IMMEDIATE8_2ND:
            instruction.immediate8_2nd = value & 0xFF
        case OpKind.IMMEDIATE16:
            instruction.immediate16 = value & 0xFFFF
        case OpKind.IMMEDIATE32:
            instruction.immediate32 = value & 0xFFFFFFFF
        case OpKind.IMMEDIATE64:
            instruction.immediate64 = value & 0xFFFFFFFFFFFFFFFF
        case OpKind.IMMEDIATE8TO16:
            instruction.immediate8to16 = signed(16)
        case OpKind.IMMEDIATE8TO32:
            instruction.immediate8to32 = signed(32)
        case OpKind.IMMEDIATE8TO64:
            instruction.immediate8to64 = signed(64)
        case _:
            instruction.immediate32to64 = signed(64)


def _set_memory(instruction: Any, operand: Memory) -> None:
    address = operand.address
    if address.label is not None:
        if address.base is not None or address.index is not None:
            raise FormError(f"[{address}]: an address relative to RIP has no other register; load it by lea first")
        instruction.memory_base = IcedRegister.RIP
        instruction.memory_displ_size = 8
        instruction.memory_displacement = _HERE
    else:
        displacement = address.displacement
        base, index = address.base, address.index
        wide = [register for register in (base, index) if register is not None and register.kind == "gp"]
        if any(register.size not in (4, 8) for register in wide) or len({r.size for r in wide}) > 1:
            raise FormError(f"[{address}]: address registers are all 64 or all 32 bits wide")
        if index is not None and index.kind == "gp" and index.name in ("rsp", "esp"):
            if address.scale != 1 or base is None or base.name in ("rsp", "esp"):
                raise FormError(f"[{address}]: {index} cannot be an index")
            base, index = index, base
        if base is None and index is not None and index.kind == "gp" and address.scale == 1:
            base, index = index, None
        if base is not None and base.kind == "ip":
            displacement += _HERE
        instruction.memory_base = base.number if base else IcedRegister.NONE
        instruction.memory_index = index.number if index else IcedRegister.NONE
        instruction.memory_index_scale = address.scale if index else 1
        small = -(1 << 31) <= displacement < 1 << 31
        if base is None:
            # Always 32 bits, never compressed: said outright, because iced would compress it where it may compress 8.
            if index is not None and not small:
                raise FormError(f"[{address}]: a displacement beside registers has 32 bits")
            instruction.memory_displ_size = 4 if wide and wide[0].size == 4 else 8
        elif small or (wide and wide[0].size == 4 and displacement < 1 << 32):
            instruction.memory_displ_size = 1 if displacement else 0  # iced takes more bytes where it must
        else:
            raise FormError(f"[{address}]: a displacement beside registers has 32 bits")
        bits = 0xFFFFFFFF if wide and wide[0].size == 4 else 0xFFFFFFFFFFFFFFFF
        instruction.memory_displacement = displacement & bits
    if operand.segment is not None:
        instruction.segment_prefix = operand.segment.number
    instruction.is_broadcast = operand.is_broadcast


def _set_options(instruction: Any, options: Options) -> None:
    if options == _NO_OPTIONS:
        return
    info = _info(instruction.code)
    for name, prefix, can in (
        ("lock", "has_lock_prefix", info.can_use_lock_prefix),
        ("rep", "has_rep_prefix", info.can_use_rep_prefix),
        ("repne", "has_repne_prefix", info.can_use_repne_prefix),
        ("xacquire", "has_xacquire_prefix", info.can_use_xacquire_prefix),
        ("xrelease", "has_xrelease_prefix", info.can_use_xrelease_prefix),
        ("zeroing", "zeroing_masking", info.can_use_zeroing_masking),
        ("sae", "suppress_all_exceptions", info.can_suppress_all_exceptions),
    ):
        if getattr(options, name):
            if not can:
                raise FormError(f"`{info.instruction_string}` takes no {name}")
            setattr(instruction, prefix, True)
    if options.mask is not None:
        instruction.op_mask = options.mask.number
    if options.rounding is not None:
        if not info.can_use_rounding_control:
            raise FormError(f"`{info.instruction_string}` takes no rounding")
        if options.rounding not in _ROUNDING:
            raise FormError(f"rounding is one of {', '.join(_ROUNDING)}, not {options.rounding!r}")
        instruction.rounding_control = _ROUNDING[options.rounding]
    if options.segment is not None:
        instruction.segment_prefix = options.segment.number


_NO_OPTIONS = Options()


def _try(form: Form, operands: Sequence[Operand], options: Options) -> Encoded:
    """Encode one form. Errors: ValueError from iced where the form cannot hold an operand after all."""
    encoder = Encoder(64)
    instruction = _build(form, operands, options)
    encoder.encode(instruction, _HERE)
    offsets = encoder.get_constant_offsets()
    data = encoder.take_buffer()
    for operand in operands:
        if isinstance(operand, Memory) and operand.address.base is not None and operand.address.base.kind == "ip":
            at = offsets.displacement_offset
            distance = operand.address.displacement.to_bytes(4, "little", signed=True)
            data = data[:at] + distance + data[at + 4 :]
    relative = next((want.branch for want in form.wants if want.branch), 0)
    return Encoded(
        data,
        form.code,
        offsets.displacement_offset if offsets.has_displacement else -1,
        offsets.immediate_offset if offsets.has_immediate else -1,
        relative,
    )


def _shape(operand: Operand) -> object:
    """What the choice of a form depends on: operands of equal shapes are encoded by the same form."""
    match operand:
        case Register():
            return operand
        case Memory():
            address = operand.address
            index = address.index.kind if address.index is not None else ""
            wide = not -(1 << 31) <= address.displacement < 1 << 31
            here = address.label is not None, address.base is None, wide
            return operand.size, operand.is_broadcast, operand.segment is None, index, here
        case bool() | int():
            # Between these bounds the same immediates fit; 1 is special for shifts, 0 to 15 for one AMD instruction.
            return bisect.bisect_right(_BOUNDS, operand)
        case Symbol():
            return Symbol
    return Label


_BOUNDS = sorted(
    {
        bound
        for _, low, high, bits in _IMMEDIATES.values()
        for bound in (low, high + 1, low + (1 << bits), high + 1 + (1 << bits), 1 << bits)
    }
)
_CACHE: dict[tuple[object, ...], tuple[Form, ...]] = {}
"""What was found out before; knowledge that never changes, so it is shared by all assemblers."""


def _text(mnemonic: str, operands: Sequence[Operand]) -> str:
    return f"{mnemonic.rstrip('_')} {', '.join(map(str, operands))}".strip()


def encode(mnemonic: str, operands: Sequence[Operand], options: Options = _NO_OPTIONS) -> list[Encoded]:
    """Encode an instruction: its best form first. A jump has its short form first and its near form after it.

    Distances to labels are not filled in; they count from the end of the instruction. SAL is another name of SHL; its
    own encoding (Intel SDM, "Opcode Extensions": Group 2, /6) is what iced calls SAL, reserved in AMD's manual, and
    taken only if it is asked for as a form.
    Errors: FormError."""
    if mnemonic == "sal" and options.form is None:
        mnemonic = "shl"
    shape = (mnemonic, options, *map(_shape, operands))
    known = _CACHE.get(shape)
    if known is not None:
        try:
            return [_try(form, operands, options) for form in known]
        except ValueError:
            pass  # the long way, which tries all forms and knows what to say
    found = [(form, operands) for form in matching(mnemonic, operands, options)]
    if len(operands) == 2 and mnemonic in _SWAPPABLE:
        found += [(form, operands[::-1]) for form in matching(mnemonic, operands[::-1], options)]
    if not found:
        raise _complain(mnemonic, operands)
    _check_sizes(mnemonic, operands, [form for form, _ in found])
    best: list[tuple[int, int, int, Encoded]] = []
    refusal: ValueError | None = None
    for order, (form, given) in enumerate(found):
        try:
            one = _try(form, given, options)
        except ValueError as error:
            refusal = refusal or error
            continue
        best.append((form.penalty, len(one.data), order, one))
    if not best:
        raise refusal if isinstance(refusal, FormError) else FormError(f"`{_text(mnemonic, operands)}`: {refusal}")
    best.sort(key=lambda entry: entry[:3])
    chosen = [best[0][3]]
    if chosen[0].relative == 1:
        chosen += [entry[3] for entry in best if entry[3].relative == 4][:1]
    if mnemonic not in _SWAPPABLE:
        _CACHE[shape] = tuple(found[next(e[2] for e in best if e[3] is one)][0] for one in chosen)
    return chosen
