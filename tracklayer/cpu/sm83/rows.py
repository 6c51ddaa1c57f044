"""The SM83's instruction set: one row for each instruction, its encoding and its meaning.

For:     the only place that knows opcodes.
Not for: what an instruction does (alu.py, load.py, jump.py, control.py); running it (execute.py).
Source:  RGBDS gbz80(7) for the spelling; Pan Docs, "CPU Instruction Set".
Proof:   tests/cpu/sm83/test_rows.py: every opcode decodes to one row; test_vectors.py: to the right one.
"""

# ruff: noqa: I001 (names of one module stay on few lines)

from __future__ import annotations

from tracklayer.isa import Displacement, InstructionSet, Names, Number, Paged, Relative, Row, Scaled

from .alu import (
    adc_a_n, adc_a_r, add_a_n, add_a_r, add_hl_rr, add_sp_e, and_a_n, and_a_r, bit_b_r, ccf, cp_a_n, cp_a_r, cpl, daa,
    dec_r, dec_rr, inc_r, inc_rr, ld_hl_sp_e, or_a_n, or_a_r, res_b_r, rl_r, rla, rlc_r, rlca, rr_r, rra, rrc_r, rrca,
    sbc_a_n, sbc_a_r, scf, set_b_r, sla_r, sra_r, srl_r, sub_a_n, sub_a_r, swap_r, xor_a_n, xor_a_r,
)  # fmt: skip
from .control import di, ei, halt, illegal, nop, stop
from .jump import call, call_cc, jp, jp_cc, jp_hl, ret, ret_cc, reti
from .load import (
    ld_a_at_hl_dec, ld_a_at_hl_inc, ld_a_at_n, ld_a_at_rr, ld_at_hl_dec_a, ld_at_hl_inc_a, ld_at_n_a, ld_at_n_sp,
    ld_at_rr_a, ld_b_b, ld_r_n, ld_r_r, ld_rr_n, ld_sp_hl, ldh_a_at_c, ldh_a_at_n, ldh_at_c_a, ldh_at_n_a, pop_qq,
    push_qq,
)  # fmt: skip

KINDS = {
    "r": Names("B", "C", "D", "E", "H", "L", "[HL]", "A"),
    "rr": Names("BC", "DE", "HL", "SP"),
    "qq": Names("BC", "DE", "HL", "AF"),
    "bd": Names("[BC]", "[DE]"),
    "cc": Names("NZ", "Z", "NC", "C"),
    "bit": Number(3, digits=0),
    "n8": Number(8),
    "n16": Number(16),
    "e8": Displacement(8),  # SP+e
    "high": Paged(8, 0xFF00),  # LDH
    "jr": Relative(8, address_bits=16),
    "jp": Number(16, is_target=True),
    "rst": Scaled(3, 8, is_target=True),
}

ROWS = (
    #   mnemonic                encoding                        meaning
    Row("NOP",                 "00000000",                     nop),
    Row("STOP",                "00010000",                     stop, ends_block=True),
    Row("JR   {jr:e}",         "00011000 eeeeeeee",            jp, jump="always"),
    Row("JR   {cc:c},{jr:e}",  "001cc000 eeeeeeee",            jp_cc, jump="maybe"),
    Row("LD   [{n16:n}],SP",   "00001000 nnnnnnnn nnnnnnnn",   ld_at_n_sp),
    Row("LD   {rr:d},{n16:n}", "00dd0001 nnnnnnnn nnnnnnnn",   ld_rr_n),
    Row("ADD  HL,{rr:s}",      "00ss1001",                     add_hl_rr),
    Row("LD   {bd:d},A",       "000d0010",                     ld_at_rr_a),
    Row("LD   [HL+],A",        "00100010",                     ld_at_hl_inc_a),
    Row("LD   [HL-],A",        "00110010",                     ld_at_hl_dec_a),
    Row("LD   A,{bd:s}",       "000s1010",                     ld_a_at_rr),
    Row("LD   A,[HL+]",        "00101010",                     ld_a_at_hl_inc),
    Row("LD   A,[HL-]",        "00111010",                     ld_a_at_hl_dec),
    Row("INC  {rr:d}",         "00dd0011",                     inc_rr),
    Row("DEC  {rr:d}",         "00dd1011",                     dec_rr),
    Row("INC  {r:d}",          "00ddd100",                     inc_r),
    Row("DEC  {r:d}",          "00ddd101",                     dec_r),
    Row("LD   {r:d},{n8:n}",   "00ddd110 nnnnnnnn",            ld_r_n),
    Row("RLCA",                "00000111",                     rlca),
    Row("RRCA",                "00001111",                     rrca),
    Row("RLA",                 "00010111",                     rla),
    Row("RRA",                 "00011111",                     rra),
    Row("DAA",                 "00100111",                     daa),
    Row("CPL",                 "00101111",                     cpl),
    Row("SCF",                 "00110111",                     scf),
    Row("CCF",                 "00111111",                     ccf),

    Row("LD   {r:d},{r:s}",    "01dddsss",                     ld_r_r),
    Row("LD   B,B",            "01000000",                     ld_b_b, ends_block=True),
    Row("HALT",                "01110110",                     halt, ends_block=True),  # the hole in LD [HL],[HL]

    Row("ADD  A,{r:s}",        "10000sss",                     add_a_r),
    Row("ADC  A,{r:s}",        "10001sss",                     adc_a_r),
    Row("SUB  A,{r:s}",        "10010sss",                     sub_a_r),
    Row("SBC  A,{r:s}",        "10011sss",                     sbc_a_r),
    Row("AND  A,{r:s}",        "10100sss",                     and_a_r),
    Row("XOR  A,{r:s}",        "10101sss",                     xor_a_r),
    Row("OR   A,{r:s}",        "10110sss",                     or_a_r),
    Row("CP   A,{r:s}",        "10111sss",                     cp_a_r),
    Row("ADD  A,{n8:n}",       "11000110 nnnnnnnn",            add_a_n),
    Row("ADC  A,{n8:n}",       "11001110 nnnnnnnn",            adc_a_n),
    Row("SUB  A,{n8:n}",       "11010110 nnnnnnnn",            sub_a_n),
    Row("SBC  A,{n8:n}",       "11011110 nnnnnnnn",            sbc_a_n),
    Row("AND  A,{n8:n}",       "11100110 nnnnnnnn",            and_a_n),
    Row("XOR  A,{n8:n}",       "11101110 nnnnnnnn",            xor_a_n),
    Row("OR   A,{n8:n}",       "11110110 nnnnnnnn",            or_a_n),
    Row("CP   A,{n8:n}",       "11111110 nnnnnnnn",            cp_a_n),

    Row("RET  {cc:c}",         "110cc000",                     ret_cc, jump="maybe"),
    Row("RET",                 "11001001",                     ret, jump="always"),
    Row("RETI",                "11011001",                     reti, jump="always", ends_block=True),
    Row("JP   HL",             "11101001",                     jp_hl, jump="always"),
    Row("JP   {jp:n}",         "11000011 nnnnnnnn nnnnnnnn",   jp, jump="always"),
    Row("JP   {cc:c},{jp:n}",  "110cc010 nnnnnnnn nnnnnnnn",   jp_cc, jump="maybe"),
    Row("CALL {jp:n}",         "11001101 nnnnnnnn nnnnnnnn",   call, jump="always"),
    Row("CALL {cc:c},{jp:n}",  "110cc100 nnnnnnnn nnnnnnnn",   call_cc, jump="maybe"),
    Row("RST  {rst:v}",        "11vvv111",                     call, jump="always"),
    Row("POP  {qq:d}",         "11dd0001",                     pop_qq),
    Row("PUSH {qq:s}",         "11ss0101",                     push_qq),
    Row("LDH  [{high:n}],A",   "11100000 nnnnnnnn",            ldh_at_n_a),
    Row("LDH  A,[{high:n}]",   "11110000 nnnnnnnn",            ldh_a_at_n),
    Row("LDH  [C],A",          "11100010",                     ldh_at_c_a),
    Row("LDH  A,[C]",          "11110010",                     ldh_a_at_c),
    Row("LD   [{n16:n}],A",    "11101010 nnnnnnnn nnnnnnnn",   ld_at_n_a),
    Row("LD   A,[{n16:n}]",    "11111010 nnnnnnnn nnnnnnnn",   ld_a_at_n),
    Row("ADD  SP,{e8:e}",      "11101000 eeeeeeee",            add_sp_e),
    Row("LD   HL,SP{e8:e}",    "11111000 eeeeeeee",            ld_hl_sp_e),
    Row("LD   SP,HL",          "11111001",                     ld_sp_hl),
    Row("DI",                  "11110011",                     di),
    Row("EI",                  "11111011",                     ei, ends_block=True),

    Row("RLC  {r:d}",          "11001011 00000ddd",            rlc_r),
    Row("RRC  {r:d}",          "11001011 00001ddd",            rrc_r),
    Row("RL   {r:d}",          "11001011 00010ddd",            rl_r),
    Row("RR   {r:d}",          "11001011 00011ddd",            rr_r),
    Row("SLA  {r:d}",          "11001011 00100ddd",            sla_r),
    Row("SRA  {r:d}",          "11001011 00101ddd",            sra_r),
    Row("SWAP {r:d}",          "11001011 00110ddd",            swap_r),
    Row("SRL  {r:d}",          "11001011 00111ddd",            srl_r),
    Row("BIT  {bit:b},{r:s}",  "11001011 01bbbsss",            bit_b_r),
    Row("RES  {bit:b},{r:d}",  "11001011 10bbbddd",            res_b_r),
    Row("SET  {bit:b},{r:d}",  "11001011 11bbbddd",            set_b_r),

    Row("ILLEGAL $D3",         "11010011",                     illegal, ends_block=True),
    Row("ILLEGAL $DB",         "11011011",                     illegal, ends_block=True),
    Row("ILLEGAL $DD",         "11011101",                     illegal, ends_block=True),
    Row("ILLEGAL $E3",         "11100011",                     illegal, ends_block=True),
    Row("ILLEGAL $E4",         "11100100",                     illegal, ends_block=True),
    Row("ILLEGAL $EB",         "11101011",                     illegal, ends_block=True),
    Row("ILLEGAL $EC",         "11101100",                     illegal, ends_block=True),
    Row("ILLEGAL $ED",         "11101101",                     illegal, ends_block=True),
    Row("ILLEGAL $F4",         "11110100",                     illegal, ends_block=True),
    Row("ILLEGAL $FC",         "11111100",                     illegal, ends_block=True),
    Row("ILLEGAL $FD",         "11111101",                     illegal, ends_block=True),
)  # fmt: skip

SM83 = InstructionSet("SM83", ROWS, KINDS, address_bits=16)
