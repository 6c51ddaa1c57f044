"""Programs whose times can be told by hand, with their symbols."""

from __future__ import annotations

from tests.api.images import cartridge
from tracklayer.api.symbols import Symbols
from tracklayer.cpu.sm83 import SM83
from tracklayer.isa import assemble


def assembled(text: str, type_code: int = 0, banks: int = 2) -> tuple[bytes, Symbols]:
    """A cartridge of a program that stands from 0150 on (and wherever `org` says), and its labels in bank 0.

    It may hold `org` for other places below 8000; the header is made right.
    """
    program = assemble(text, SM83, size=0x8000)
    plain = cartridge(b"", type_code=type_code, banks=banks)
    image = bytearray(plain)
    for at, byte in enumerate(program.data):
        if byte:
            image[at] = byte
    symbols = "".join(f"{address >= 0x4000 and address < 0x8000:02x}:{address:04x} {name}\n"
                      for name, address in program.labels.items())  # fmt: skip
    return bytes(image), Symbols.parse(symbols)


TURNS = """
 org $150
main:
 call long
 call short
 jr main
long:
 ld b,60
.turn:
 dec b
 jr nz,.turn
 ret
short:
 ld b,20
.turn:
 dec b
 jr nz,.turn
 ret
"""


def turns(count: int) -> int:
    """T-cycles of a call of `long` or `short`, from its first instruction to its RET."""
    return 8 + 16 * count - 4 + 16


CALLING = 24 + 24 + 12
"""T-cycles of `main` for each turn."""

NESTED = """
 org $150
main:
 call outer
 jr main
outer:
 call inner
 call inner
 jp tail
inner:
 nop
 ret
tail:
 call inner
 ret
"""

STACK_GAMES = """
 org $150
main:
 ld sp,$d000
 call dropped
back:
 call inline
 db 1,2,3
 call computed
 call pointer
 call twice
 jr main
dropped:                ; throws its return address away
 pop hl
 jp back
inline:                 ; its arguments stand behind the call
 pop hl
 inc hl
 inc hl
 inc hl
 jp hl
computed:               ; goes on by a return
 ld hl,goal
 push hl
 ret
goal:
 nop
 ret
pointer:                ; reads data by the stack pointer, above and below its own stack
 ld [$c000],sp
 ld sp,main
 pop bc
 pop de
 ld sp,$df00
 pop bc
 ld sp,$cffe - 2
 ld sp,$cffe
 ret
twice:
 call leaf
leaf:                   ; falls into what it called
 nop
 ret
"""

INTERRUPTED = """
 org $40
 inc a
 reti
 org $150
main:
 ld a,1
 ldh [$ffff],a
 ld a,0
 ldh [$ff0f],a
 ei
wait:
 halt
 nop
 jr wait
"""

STORING = """
 org $150
main:
 ld [$fe00],a
 inc b
 jr main
"""

PREFIXED = """
 org $150
main:
 ld hl,$ff47
loop:
 set 0,[hl]
 swap b
 jr loop
"""

POLLING = """
 org $150
main:
 ldh a,[$ff44]
 cp a,90
 jr nz,main
 jr main
"""

COPYING = """
 org $150
main:
 ld hl,$c000
 ld de,$c800
 ld b,0
.copy:
 ld a,[hl+]
 add a,b
 ld [de],a
 inc de
 dec b
 jr nz,.copy
 jr main
"""

CALLED_ONCE = """
 org $150
main:
 call forever
forever:
 call leaf
 jr forever
leaf:
 nop
 ret
"""
