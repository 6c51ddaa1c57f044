"""Forms and their encodings: every form that iced-x86 knows, and what GNU as makes of the same text."""

from __future__ import annotations

import functools
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from iced_x86 import (
    Code,
    Decoder,
    DecoderOptions,
    Formatter,
    FormatterSyntax,
    MemorySizeInfo,
    Mnemonic,
    OpCodeInfo,
    OpKind,
)
from iced_x86 import OpCodeOperandKind as Kind

from tracklayer.native import encoding, forms
from tracklayer.native.encoding import encode
from tracklayer.native.forms import FormError, Options
from tracklayer.native.operands import (
    REGISTERS,
    Address,
    Memory,
    Operand,
    OperandError,
    Register,
    byte,
    dword,
    eax,
    fs,
    k2,
    mem,
    qword,
    r8,
    r12,
    r13,
    rax,
    rbp,
    rbx,
    rcx,
    rdi,
    rip,
    rsi,
    rsp,
    xmm1,
    xmm2,
    xmm3,
    xmm17,
    zmm1,
    zmm2,
    zmm3,
)

BASE = encoding.HERE
CODES = [value for value in vars(Code).values() if isinstance(value, int)]
NAMES = {value: name for name, value in vars(Code).items() if isinstance(value, int)}
MNEMONICS = {value: name.lower() for name, value in vars(Mnemonic).items() if isinstance(value, int)}
BY_NUMBER = {register.number: register for register in REGISTERS.values()}


def hexes(mnemonic: str, *operands: Operand, **options: Any) -> str:
    return encode(mnemonic, operands, Options(**options))[0].data.hex()


def a_register(want: Any, kind: str, i: int) -> Operand:
    """Some register of the wanted file, another for each operand."""
    file, size = want.register
    special = {"control": "cr4", "debug": "dr7", "segment": "fs", "st": "st2"}
    if file in special:
        return REGISTERS[special[file]]
    pool = [
        r for r in REGISTERS.values() if (r.kind, r.size) == (file, size) and r.name not in ("ah", "ch", "dh", "bh")
    ]
    if file in ("bnd", "tmm"):
        return pool[i]
    if "P3" in kind or "P1" in kind:
        return pool[4 if "P3" in kind else 2]
    return pool[2 + i if file == "k" else (2 * i + 2) % len(pool)]


def some_operands(info: Any, with_memory: bool) -> list[Operand]:
    """Operands that the form must take."""
    size = MemorySizeInfo(info.memory_size).size
    result: list[Operand] = []
    for i, kind in enumerate(info.op_kinds()):
        want = forms._wants(kind)
        assert want is not None
        if want.implicit >= 0:
            continue
        if want.fixed:
            result.append(BY_NUMBER[want.fixed])
        elif want.register and not (want.memory and with_memory):
            result.append(a_register(want, forms._KIND_NAMES[kind], i))
        elif want.memory:
            narrow = any(OpKindName == "R32_REG_MEM" for OpKindName in map(forms._KIND_NAMES.get, info.op_kinds()))
            base, index = ("ebx", "esi") if narrow else ("rbx", "rsi")
            chosen = REGISTERS[f"{want.vector}5"] if want.vector else REGISTERS[index]
            scale = 1 if kind == Kind.MEM_MIB else 4
            result.append(Memory(Address(REGISTERS[base], chosen, scale, 0x1230), size))
        elif want.absolute:
            result.append(Memory(Address(displacement=0x12_3456_789A), size))
        elif want.immediate >= 0:
            small = {Kind.IMM8_CONST_1: 1, Kind.IMM4_M2Z: 3, Kind.IMM32SEX64: 0x12345678}
            wide = {16: 0x1234, 32: 0x12345678, 64: 0x123456789ABCDEF}
            _, _, high, bits = forms.IMMEDIATES[want.immediate]
            result.append(small.get(want.immediate, wide.get(bits, 0x12) if high > 0xFF else 0x12))
        else:
            result.append(BASE + 0x20 if want.branch else 0x20)
    return result


def differences(instruction: Any, info: Any, operands: list[Operand]) -> list[str]:
    """Where the decoded operands are not those that were asked for."""
    found = []
    given = iter(operands)
    for i, declared in enumerate(info.op_kinds()):
        want = forms._wants(declared)
        if want is None or want.implicit >= 0:
            continue
        kind = instruction.op_kind(i)
        operand = next(given)
        if isinstance(operand, Register):
            if instruction.op_register(i) != operand.number:
                found.append(f"operand {i} is another register")
        elif isinstance(operand, Memory):
            address = operand.address
            index = address.index.number if address.index else 0
            shape = instruction.memory_base, instruction.memory_index, instruction.memory_displacement
            if shape != (address.base.number if address.base else 0, index, address.displacement):
                found.append(f"operand {i} is at another address")
            if index and instruction.memory_index_scale != address.scale:
                found.append(f"operand {i} has another scale")
        elif isinstance(operand, int):
            if kind == OpKind.NEAR_BRANCH64:
                continue  # its distance is filled in when the code is placed; test_assembler.py
            value = instruction.near_branch16 if kind == OpKind.NEAR_BRANCH16 else instruction.immediate(i)
            if value != operand:
                found.append(f"operand {i} is {value}")
    return found


def decoded(data: bytes, info: Any) -> Any:
    options = info.decoder_option
    if info.amd_decoder64 and not info.intel_decoder64:
        options |= DecoderOptions.AMD
    decoder = Decoder(64, data, options, ip=BASE)
    first = decoder.decode()
    if info.fwait:  # the old FPU instructions that wait: WAIT and the instruction
        assert str(first) == "wait"
        return decoder.decode()
    return first


ALL = [code for code in CODES if OpCodeInfo(code).mode64 and OpCodeInfo(code).is_instruction]
# Encodings of which the decoder knows another meaning, or none, whatever the options.
UNDECODABLE = {
    "UD0",  # some processors take operands for it
    "MONTMUL_64",  # a VIA instruction whose address size the decoder cannot tell
    "RESERVEDNOP_RM16_R16_0F0D",  # with memory these are prefetches
    "RESERVEDNOP_RM32_R32_0F0D",
    "RESERVEDNOP_RM64_R64_0F0D",
}


def test_every_form_of_iced_is_encoded_and_decodes_to_itself() -> None:
    assert len(ALL) > 4600
    wrong = []
    checked = 0
    for code in ALL:
        info: Any = OpCodeInfo(code)
        kinds = [forms._KIND_NAMES[kind] for kind in info.op_kinds()]
        for with_memory in (False, True) if any("OR_MEM" in kind for kind in kinds) else (False,):
            operands = some_operands(info, with_memory)
            mask = REGISTERS["k3"] if info.require_op_mask_register else None
            try:
                made = encode(MNEMONICS[info.mnemonic], operands, Options(form=code, mask=mask))[0]
            except FormError as error:
                wrong.append(f"{NAMES[code]} {operands}: {error}")
                continue
            checked += 1
            instruction = decoded(made.data, info)
            name = NAMES[code]
            if (
                instruction.code != code
                and name not in UNDECODABLE
                and NAMES[instruction.code] != name[:1] + "N" + name[1:]
            ):
                wrong.append(f"{name} {operands}: {made.data.hex()} is {instruction} ({NAMES[instruction.code]})")
            elif name not in UNDECODABLE:
                wrong += [
                    f"{name} {operands}: {made.data.hex()}: {one}" for one in differences(instruction, info, operands)
                ]
    assert not wrong
    assert checked > 8000


def test_the_form_chosen_freely_means_the_same() -> None:
    """Without a form, the mnemonic and the operands decide; what comes out reads the same when decoded.

    Left out: what is named by its form alone (other operand or address sizes of one text, reserved no-operations, the
    Knights Corner's masks)."""
    formatter = Formatter(FormatterSyntax.NASM)
    sized = re.compile(
        r"(PUSH|POP|ENTER|LEAVE|RET|LOOP|NOP|MONITOR|VMRUN|VMLOAD|VMSAVE|INVLPGA|RESERVEDNOP|MVEX|VEX_KNC)"
    )
    prefix = re.compile("^o(16|64) ")  # of instructions to which it makes no difference
    wrong = []
    for code in ALL:
        info: Any = OpCodeInfo(code)
        name = NAMES[code]
        if sized.match(name) or name in UNDECODABLE or info.fwait or "REL" in name or info.address_size == 32:
            continue
        if name.startswith("SAL_"):  # written freely, it is SHL
            continue
        kinds = [forms._KIND_NAMES[kind] for kind in info.op_kinds()]
        for with_memory in (False, True) if any("OR_MEM" in kind for kind in kinds) else (False,):
            operands = some_operands(info, with_memory)
            mask = REGISTERS["k3"] if info.require_op_mask_register else None
            mnemonic = MNEMONICS[info.mnemonic]
            free = encode(mnemonic, operands, Options(mask=mask))[0]
            one = formatter.format(decoded(encode(mnemonic, operands, Options(form=code, mask=mask))[0].data, info))
            other = formatter.format(decoded(free.data, OpCodeInfo(free.code)))
            if prefix.sub("", one) != prefix.sub("", other):
                wrong.append(f"{name}: {one} | {other}")
    assert not wrong


def test_the_shortest_encoding_is_taken() -> None:
    assert hexes("mov", rax, 5) == "48c7c005000000"
    assert hexes("mov", rax, 1 << 40) == "48b80000000000010000"
    assert hexes("mov", eax, 0xFFFFFFFF) == "b8ffffffff"
    assert hexes("add", rax, 5) == "4883c005"
    assert hexes("add", rax, 0x1000) == "480500100000"
    assert hexes("and_", rax, 0xFFFFFFFFFFFFFFFF) == "4883e0ff"
    assert hexes("shl", rax, 1) == "48d1e0"
    assert hexes("push", 5) == "6a05"
    assert hexes("push", 0x8000) == "6800800000"
    assert hexes("lea", rsp, mem[rbp - 8]) == "488d65f8"
    assert [one.data.hex() for one in encode("jz", ("x",))] == ["74fe", "0f84faffffff"]


def test_avx_is_preferred_to_avx512_even_where_that_is_shorter() -> None:
    assert hexes("vaddps", xmm1, xmm2, mem[rax + 0x400]).startswith("c5")
    assert hexes("vaddps", xmm1, xmm2, xmm17).startswith("62")


def test_sal_is_shl_unless_its_form_is_asked_for() -> None:
    assert hexes("sal", rax, 3) == hexes("shl", rax, 3) == "48c1e003"
    assert hexes("sal", rax, 3, form=Code.SAL_RM64_IMM8) == "48c1f003"


def test_environments_whose_size_has_no_name_are_those_of_this_mode() -> None:
    assert hexes("fldenv", mem[rax]) == "d920"
    assert hexes("fnsave", mem[rax]) == "dd30"


def test_addresses_of_every_shape() -> None:
    assert hexes("mov", rax, qword[rsp]) == "488b0424"
    assert hexes("mov", rax, qword[r12]) == "498b0424"
    assert hexes("mov", rax, qword[r13]) == "498b4500"
    assert hexes("mov", rax, qword[rbp + rcx * 8]) == "488b44cd00"
    assert hexes("mov", rax, qword[rcx * 8 + 0x10]) == "488b04cd10000000"
    assert hexes("mov", rax, qword[rbp + rsp]) == "488b042c"
    assert hexes("mov", rax, qword[0x1000]) == "488b042500100000"
    assert hexes("mov", rax, qword[1 << 40]) == "48a10000000000010000"
    assert hexes("mov", rax, qword[fs, 0x28]) == "64488b042528000000"
    assert hexes("mov", eax, dword[REGISTERS["ebx"] + 4]) == "678b4304"
    assert hexes("mov", rax, qword[rip + 0x10]) == "488b0510000000"
    assert hexes("vgatherdps", xmm1, mem[rax + xmm2 * 4], xmm3) == "c4e261920c90"


def test_prefixes_masks_and_rounding() -> None:
    assert hexes("add", dword[rdi], 1, lock=True) == "f0830701"
    assert hexes("movsq", rep=True) == "f348a5"
    assert hexes("stosb") == "aa"
    assert hexes("vaddps", zmm1, zmm2, zmm3, mask=k2, zeroing=True, rounding="up") == "62f16cda58cb"
    assert hexes("vaddpd", zmm1, zmm2, qword[rax].broadcast) == "62f1ed585808"
    with pytest.raises(FormError, match="takes no lock"):
        encode("mov", (rax, rbx), Options(lock=True))
    with pytest.raises(FormError, match="rounding is one of nearest, down, up, zero"):
        encode("vaddps", (zmm1, zmm2, zmm3), Options(rounding="away"))


def test_exchanging_eax_with_itself_is_not_a_no_operation() -> None:
    assert hexes("xchg", eax, eax) == "87c0"
    assert hexes("xchg", eax, REGISTERS["ecx"]) == "91"


def test_operands_that_can_be_written_either_way() -> None:
    assert hexes("test", rax, qword[rdi]) == hexes("test", qword[rdi], rax)
    assert hexes("xchg", rax, qword[rdi]) == hexes("xchg", qword[rdi], rax)


def test_errors_say_what_there_is() -> None:
    with pytest.raises(FormError, match=r"no instruction is called 'mvo'; there are .*mov"):
        encode("mvo", (rax, 1))
    with pytest.raises(FormError, match=r"no encoding of `mov rax, xmm1`; there are: MOV r/m8, r8"):
        encode("mov", (rax, xmm1))
    with pytest.raises(FormError, match=r"`mov \[rax\], 5`: write the size of the memory: byte\[...\], word"):
        encode("mov", (mem[rax], 5))
    with pytest.raises(FormError, match="no encoding of `add rax, byte"):
        encode("add", (rax, byte[rdi]))
    with pytest.raises(FormError, match="rsp cannot be an index"):
        encode("mov", (rax, qword[rax + rsp * 2]))
    with pytest.raises(FormError, match="all 64 or all 32 bits"):
        encode("mov", (rax, qword[rax + REGISTERS["ecx"]]))
    with pytest.raises(OperandError, match="scaled by 1, 2, 4 or 8"):
        rax * 3
    with pytest.raises(OperandError, match="one base and one index"):
        mem[rax + rbx + rcx]
    assert repr(qword[fs, rax + rcx * 8 - 16]) == "qword fs:[rax+rcx*8-0x10]"


# --------------------------------------------------------------------------------------------------------------- GNU as


@functools.cache
def gnu_as() -> str | None:
    return shutil.which("as")


def gnu_text(mnemonic: str, operands: list[Operand]) -> str:
    """An instruction as GNU as reads it, in Intel's syntax."""
    shown = [re.sub(r"^(\w+) (?=\w*:?\[)", r"\1 ptr ", str(operand)) for operand in operands]
    shown = [re.sub(r"^st(\d)$", r"st(\1)", text) for text in shown]
    return f"{mnemonic} {', '.join(shown)}"


def assembled_by_gnu(folder: Path, texts: list[str]) -> tuple[dict[int, bytes], set[int]]:
    """The bytes of each text, followed by no-operations; and which of them GNU as does not know."""
    from tracklayer.native.loader import parse

    refused: set[int] = set()
    source, made = folder / "source.s", folder / "object"
    for _ in range(2):
        kept = [i for i in range(len(texts)) if i not in refused]
        source.write_text(".text\n.intel_syntax noprefix\n" + "".join(f".balign 16\n{texts[i]}\n" for i in kept))
        done = subprocess.run(["as", "--64", "-o", str(made), str(source)], capture_output=True, text=True)
        lines = re.findall(r"^[^:]*:(\d+): (?:Error|Warning)", done.stderr, re.MULTILINE)
        refused |= {kept[(int(line) - 4) // 2] for line in lines}
        if done.returncode == 0 and not lines:
            break
    assert done.returncode == 0, done.stderr
    data = bytes(parse(made.read_bytes()).section(".text").data)
    return {i: data[16 * at : 16 * at + 16] for at, i in enumerate(kept)}, refused


@pytest.mark.skipif(gnu_as() is None, reason="needs GNU as")
def test_every_form_that_gnu_as_knows_means_the_same_to_it(tmp_path: Path) -> None:
    """Each form of iced, chosen freely, with registers and with memory. Left out: branches, whose distances are
    filled in later, and what GNU as gives another size without a difference in what is done."""
    apart = re.compile(
        r"_REL|XBEGIN|PUSHFW|POPFW|M14BYTE|M94BYTE|SREG|(SLDT|STR)_R64"
        r"|(MOVMSKP[SD]|PMOVMSKB|PINSR[BW]|PEXTR[BW]|EXTRACTPS)_.*R64"
    )
    formatter = Formatter(FormatterSyntax.GAS)
    rows = []
    for code in ALL:
        info: Any = OpCodeInfo(code)
        if apart.search(NAMES[code]) or info.require_op_mask_register:
            continue
        kinds = [forms._KIND_NAMES[kind] for kind in info.op_kinds()]
        for with_memory in (False, True) if any("OR_MEM" in kind for kind in kinds) else (False,):
            operands = some_operands(info, with_memory)
            made = encode(MNEMONICS[info.mnemonic], operands)[0]
            rows.append((made, gnu_text(MNEMONICS[info.mnemonic], operands)))
    theirs, refused = assembled_by_gnu(tmp_path, [text for _, text in rows])
    same, wrong = 0, []
    for i, raw in theirs.items():
        made, text = rows[i]
        if raw.startswith(made.data):
            same += 1
            continue
        one, other = (formatter.format(decoded(data, OpCodeInfo(made.code))) for data in (made.data, raw))
        if one != other:
            wrong.append(f"{text}: {made.data.hex()} here, {raw.hex()} there")
    assert not wrong
    assert same > 6500 and len(refused) < 900


@pytest.mark.skipif(gnu_as() is None, reason="needs GNU as")
def test_two_thousand_random_instructions_agree_with_gnu_as(tmp_path: Path) -> None:
    """The text of each, in Intel's syntax, is assembled by GNU as; the bytes agree, or both decode to the same text."""
    chooser = random.Random(2)
    common = re.compile(
        r"(ADD|ADC|AND|OR|XOR|SUB|SBB|CMP|TEST|MOV|MOVZX|MOVSX|MOVSXD|LEA|SHL|SHR|SAR|ROL|ROR|SHLD|SHRD|IMUL|MUL|DIV|IDIV"
        r"|NEG|NOT|INC|DEC|BT|BTS|BTR|BSF|BSR|POPCNT|TZCNT|LZCNT|ANDN|BLSR|SARX|SHRX|MULX|XCHG|XADD|CMPXCHG|BSWAP|CMOV\w+"
        r"|SET\w+|ADDPS|MULSD|PADDD|PSHUFB|PSHUFD|CVT\w+|SQRTSD|UCOMISD|MOVAPS|MOVUPS|MOVDQU|MOVQ|MOVD|PEXTR\w|PINSR\w"
        r"|VEX_VADDPS|VEX_VFMADD213PD|VEX_VPADDD|VEX_VPERM\w+|VEX_VPSHUFB|VEX_VBROADCAST\w+|EVEX_VADDPS|EVEX_VPADDQ"
        r"|EVEX_VPTERNLOG\w|EVEX_VPCOMPRESSD|CRC32|PUSH|POP|FLD|FADD|FSTP)_"
    )
    unknown = {"MOVSXD_R16_RM16", "BSWAP_R16"}  # of no use, and GNU as has no text for them
    unknown |= {
        name for name in NAMES.values() if re.search("MOFFS|R64M16|SREG|PEXTR._R64|PINSR._XMM_R64|PEXTRB_R64", name)
    }  # the same by another name
    codes = [c for c in ALL if common.match(NAMES[c]) and NAMES[c] not in unknown]
    formatter = Formatter(FormatterSyntax.GAS)
    rows = []
    registers: dict[str, list[Operand]] = {}
    for register in REGISTERS.values():
        registers.setdefault(f"{register.kind}{register.size}", []).append(register)
    while len(rows) < 2000:
        code = chooser.choice(codes)
        info: Any = OpCodeInfo(code)
        operands = some_operands(info, chooser.random() < 0.5)
        for i, operand in enumerate(operands):
            if isinstance(operand, Memory):
                base = chooser.choice([rax, rbx, rsp, rbp, r8, r12, r13, rdi, None])
                index = chooser.choice([rcx, rsi, r13, None]) if base is not None else rcx
                displacement = chooser.choice([0, 8, -8, 0x1234, -0x12345678])
                operands[i] = Memory(Address(base, index, chooser.choice([1, 2, 4, 8]), displacement), operand.size)
            elif hasattr(operand, "kind") and forms._wants(info.op_kinds()[i]).fixed == 0:  # type: ignore[union-attr]
                pool = registers[f"{operand.kind}{operand.size}"]  # type: ignore[union-attr]
                if operand.kind in ("gp", "xmm", "ymm", "zmm"):  # type: ignore[union-attr]
                    operands[i] = chooser.choice(pool[:8] + pool[12:16])
        try:
            made = encode(MNEMONICS[info.mnemonic], operands)[0]
        except FormError:
            continue
        if NAMES[code].startswith("XCHG") and operands[0] == operands[1]:
            continue  # no-operations, of which GNU as takes another
        rows.append((made.data, gnu_text(MNEMONICS[info.mnemonic], operands), NAMES[made.code]))
    theirs, refused = assembled_by_gnu(tmp_path, [text for _, text, _ in rows])
    assert not refused, [rows[i][1] for i in refused][:20]
    same = 0
    for i, (data, text, name) in enumerate(rows):
        if theirs[i].startswith(data):
            same += 1
            continue
        one, other = (formatter.format(decoded(raw, OpCodeInfo(CODES[0]))) for raw in (data, theirs[i]))
        assert one == other, f"{name} {text}: {data.hex()} here, {theirs[i].hex()} there"
    assert same > 1700
