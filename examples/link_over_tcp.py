"""Two Game Boys in two processes swap a message over the link cable: a `Peer` listens, the other one connects.

    python examples/link_over_tcp.py

The guest program sends the 16 bytes at C000, one after the other, and keeps what it receives at C010. One console gives
the clock, the other waits for it; which one is decided by the byte at C020.
"""

from __future__ import annotations

import subprocess
import sys

from tracklayer import GameBoy, Listener, Peer

PROGRAM = bytes.fromhex(
    "21 00c0 11 10c0 06 10"  # LD HL,C000; LD DE,C010; LD B,16
    "2a e001"  # next: LD A,[HL+]; LDH [SB],A
    "fa 20c0 e002"  # LD A,[C020]; LDH [SC],A
    "f002 cb7f 20fa"  # wait: LDH A,[SC]; BIT 7,A; JR NZ,wait
    "f001 12 13"  # LDH A,[SB]; LD [DE],A; INC DE
    "0e00 0d 20fd"  # some time, in which the other one gets ready
    "05 20e4"  # DEC B; JR NZ,next
    "18fe"
)
GIVES_THE_CLOCK, WAITS_FOR_IT = 0x81, 0x80


def console(text: bytes, control: int) -> GameBoy:
    """A console about to send a text."""
    image = bytearray(0x8000)
    image[0x100:0x104] = b"\x00\xc3\x50\x01"
    image[0x150 : 0x150 + len(PROGRAM)] = PROGRAM
    image[0x14D] = -25 & 0xFF  # the checksum of a header of zeros
    gb = GameBoy(bytes(image))
    gb.memory[0xC000:0xC010] = text
    gb.memory[0xC020] = control
    return gb


def received(gb: GameBoy) -> str:
    """What came from the other console."""
    return bytes(gb.memory[0xC010:0xC020]).decode()


def main() -> None:
    """Without arguments: listen, and start the other process with the port to connect to."""
    if len(sys.argv) > 1:
        gb = console(b"hello from two! ", WAITS_FOR_IT)
        with Peer.connect(gb, int(sys.argv[1])):
            gb.tick(30)
        print("the second console received:", received(gb), flush=True)
        return
    gb = console(b"hello from one! ", GIVES_THE_CLOCK)
    with Listener() as listener:
        other = subprocess.Popen([sys.executable, __file__, str(listener.address[1])])
        with Peer(gb, listener.accept()):
            gb.tick(30)
    other.wait()
    print("the first console received: ", received(gb))


if __name__ == "__main__":
    main()
