"""The kinds of relocations of x86-64 and arm64: how each is computed, and where in an instruction it goes.

For:     one row for each kind.
Not for: applying them (linking.py).
Sources: "System V Application Binary Interface, AMD64 Architecture Processor Supplement", Relocation; "ELF for the Arm
64-bit Architecture", Relocation.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """How one relocation kind is computed and stored.

    value: S symbol, A addend, P place, G offset of the symbol's slot in the table, GOT the table, Page() = & ~0xFFF
    store: bytes of a plain field ("1" "2" "4" "8"), or the name of an instruction field
    check: what the value must fit: "signed" or "unsigned" or "either" `bits`, or "" for no check"""

    name: str
    value: str
    store: str
    check: str = ""
    bits: int = 64


_X86 = {
    0: Kind("R_X86_64_NONE", "", ""),
    1: Kind("R_X86_64_64", "S+A", "8"),
    2: Kind("R_X86_64_PC32", "S+A-P", "4", "signed", 32),
    4: Kind("R_X86_64_PLT32", "L+A-P", "4", "signed", 32),
    9: Kind("R_X86_64_GOTPCREL", "GOT+G+A-P", "4", "signed", 32),
    10: Kind("R_X86_64_32", "S+A", "4", "unsigned", 32),
    11: Kind("R_X86_64_32S", "S+A", "4", "signed", 32),
    12: Kind("R_X86_64_16", "S+A", "2", "either", 16),
    13: Kind("R_X86_64_PC16", "S+A-P", "2", "signed", 16),
    14: Kind("R_X86_64_8", "S+A", "1", "either", 8),
    15: Kind("R_X86_64_PC8", "S+A-P", "1", "signed", 8),
    24: Kind("R_X86_64_PC64", "S+A-P", "8"),
    25: Kind("R_X86_64_GOTOFF64", "S+A-GOT", "8"),
    26: Kind("R_X86_64_GOTPC32", "GOT+A-P", "4", "signed", 32),
    27: Kind("R_X86_64_GOT64", "G+A", "8"),
    28: Kind("R_X86_64_GOTPCREL64", "GOT+G+A-P", "8"),
    29: Kind("R_X86_64_GOTPC64", "GOT+A-P", "8"),
    31: Kind("R_X86_64_PLTOFF64", "S+A-GOT", "8"),
    41: Kind("R_X86_64_GOTPCRELX", "GOT+G+A-P", "relaxed", "signed", 32),
    42: Kind("R_X86_64_REX_GOTPCRELX", "GOT+G+A-P", "relaxed", "signed", 32),
}

_ARM64 = {
    0: Kind("R_AARCH64_NONE", "", ""),
    256: Kind("R_AARCH64_NONE", "", ""),
    257: Kind("R_AARCH64_ABS64", "S+A", "8"),
    258: Kind("R_AARCH64_ABS32", "S+A", "4", "either", 32),
    259: Kind("R_AARCH64_ABS16", "S+A", "2", "either", 16),
    260: Kind("R_AARCH64_PREL64", "S+A-P", "8"),
    261: Kind("R_AARCH64_PREL32", "S+A-P", "4", "either", 32),
    262: Kind("R_AARCH64_PREL16", "S+A-P", "2", "either", 16),
    263: Kind("R_AARCH64_MOVW_UABS_G0", "S+A", "movw 0", "unsigned", 16),
    264: Kind("R_AARCH64_MOVW_UABS_G0_NC", "S+A", "movw 0"),
    265: Kind("R_AARCH64_MOVW_UABS_G1", "S+A", "movw 16", "unsigned", 32),
    266: Kind("R_AARCH64_MOVW_UABS_G1_NC", "S+A", "movw 16"),
    267: Kind("R_AARCH64_MOVW_UABS_G2", "S+A", "movw 32", "unsigned", 48),
    268: Kind("R_AARCH64_MOVW_UABS_G2_NC", "S+A", "movw 32"),
    269: Kind("R_AARCH64_MOVW_UABS_G3", "S+A", "movw 48"),
    273: Kind("R_AARCH64_LD_PREL_LO19", "S+A-P", "imm19", "signed", 21),
    274: Kind("R_AARCH64_ADR_PREL_LO21", "S+A-P", "adr", "signed", 21),
    275: Kind("R_AARCH64_ADR_PREL_PG_HI21", "Page(S+A)-Page(P)", "adrp", "signed", 33),
    276: Kind("R_AARCH64_ADR_PREL_PG_HI21_NC", "Page(S+A)-Page(P)", "adrp"),
    277: Kind("R_AARCH64_ADD_ABS_LO12_NC", "S+A", "lo12 0"),
    278: Kind("R_AARCH64_LDST8_ABS_LO12_NC", "S+A", "lo12 0"),
    279: Kind("R_AARCH64_TSTBR14", "S+A-P", "imm14", "signed", 16),
    280: Kind("R_AARCH64_CONDBR19", "S+A-P", "imm19", "signed", 21),
    282: Kind("R_AARCH64_JUMP26", "L+A-P", "imm26", "signed", 28),
    283: Kind("R_AARCH64_CALL26", "L+A-P", "imm26", "signed", 28),
    284: Kind("R_AARCH64_LDST16_ABS_LO12_NC", "S+A", "lo12 1"),
    285: Kind("R_AARCH64_LDST32_ABS_LO12_NC", "S+A", "lo12 2"),
    286: Kind("R_AARCH64_LDST64_ABS_LO12_NC", "S+A", "lo12 3"),
    299: Kind("R_AARCH64_LDST128_ABS_LO12_NC", "S+A", "lo12 4"),
    311: Kind("R_AARCH64_ADR_GOT_PAGE", "Page(GOT+G+A)-Page(P)", "adrp", "signed", 33),
    312: Kind("R_AARCH64_LD64_GOT_LO12_NC", "GOT+G+A", "lo12 3"),
}
KINDS = {"x86-64": _X86, "aarch64": _ARM64}
STUB_SIZE = {"x86-64": 8, "aarch64": 16}


def kind_name(machine: str, number: int) -> str:
    kind = KINDS[machine].get(number)
    return kind.name if kind else f"{machine} relocation kind {number}"
