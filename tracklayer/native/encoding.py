"""Encoding: the bytes of one instruction, the shortest of all encodings that mean it.

For:       `encode(mnemonic, operands, options)`.
Not for:   which forms fit (forms.py), labels and places (assembler.py).
Invariant: what is encoded decodes to the mnemonic and the operands that were asked for.

Of the forms that fit, those with a penalty come last, then the shorter comes first, then the one that Intel's manual
names first. What was found out for operands of one shape is kept: encoding costs iced-x86's encoder, and a look.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any, NamedTuple

from iced_x86 import Encoder, Instruction, OpKind, RoundingControl
from iced_x86 import Register as IcedRegister

from tracklayer.native.forms import (
    IMMEDIATES,
    NO_OPTIONS,
    SWAPPABLE,
    Form,
    FormError,
    Options,
    check_sizes,
    complaint,
    form_info,
    matching,
    written,
)
from tracklayer.native.operands import Label, Memory, Operand, Register, Symbol

_ROUNDING = {
    "nearest": RoundingControl.ROUND_TO_NEAREST,
    "down": RoundingControl.ROUND_DOWN,
    "up": RoundingControl.ROUND_UP,
    "zero": RoundingControl.ROUND_TOWARD_ZERO,
}


class Encoded(NamedTuple):
    """One instruction. `displacement` and `immediate` are where those fields begin in the bytes, or -1.

    relative: the width of a field, at the end of the bytes, that holds the distance to a label; 0 if there is none"""

    data: bytes
    code: int
    displacement: int
    immediate: int
    relative: int


HERE = 0x10000
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
            instruction.near_branch64 = HERE  # the distance is filled in when the places are known
        else:
            kind = IMMEDIATES[want.immediate][0]
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
        instruction.memory_displacement = HERE
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
            displacement += HERE
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
    if options == NO_OPTIONS:
        return
    info = form_info(instruction.code)
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


def _try(form: Form, operands: Sequence[Operand], options: Options) -> Encoded:
    """Encode one form. Errors: ValueError from iced where the form cannot hold an operand after all."""
    encoder = Encoder(64)
    instruction = _build(form, operands, options)
    encoder.encode(instruction, HERE)
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
        for _, low, high, bits in IMMEDIATES.values()
        for bound in (low, high + 1, low + (1 << bits), high + 1 + (1 << bits), 1 << bits)
    }
)
_CACHE: dict[tuple[object, ...], tuple[Form, ...]] = {}
"""What was found out before; knowledge that never changes, so it is shared by all assemblers."""


def encode(mnemonic: str, operands: Sequence[Operand], options: Options = NO_OPTIONS) -> list[Encoded]:
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
    if len(operands) == 2 and mnemonic in SWAPPABLE:
        found += [(form, operands[::-1]) for form in matching(mnemonic, operands[::-1], options)]
    if not found:
        raise complaint(mnemonic, operands)
    check_sizes(mnemonic, operands, [form for form, _ in found])
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
        raise refusal if isinstance(refusal, FormError) else FormError(f"`{written(mnemonic, operands)}`: {refusal}")
    best.sort(key=lambda entry: entry[:3])
    chosen = [best[0][3]]
    if chosen[0].relative == 1:
        chosen += [entry[3] for entry in best if entry[3].relative == 4][:1]
    if mnemonic not in SWAPPABLE:
        _CACHE[shape] = tuple(found[next(e[2] for e in best if e[3] is one)][0] for one in chosen)
    return chosen
