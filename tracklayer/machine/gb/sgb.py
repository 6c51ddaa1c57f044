"""The Super Game Boy's side of the joypad port: packets of bits from the program, and more than one player.

For:     receiving packets; MLT_REQ, the only command that the program itself can feel; the memory of all others.
Not for: what the other commands do to the picture (api/sgb.py carries them out when the engine returns).
Source:  Pan Docs, "SGB Functions", "Command Packet Transfers", "MLT_REQ".
"""

from __future__ import annotations

from typing import Protocol

from tracklayer.lang import Array, array, struct, typed, u1, u8, u16
from tracklayer.machine.common.clock import STOP_ASKED, Clock

PACKET = 16
LONGEST = 7 * PACKET
"""A command has up to seven packets."""
MLT_REQ = 0x11


@struct
class Sgb:
    """All that a Super Game Boy knows. All zero elsewhere."""

    on: u1
    """1: this is one, and the cartridge says that it knows."""
    receiving: u1
    ready: u1
    """Both lines were high since the last bit."""
    bits: u8
    """Bits of this packet so far."""
    byte: u8
    """The byte that is being received."""
    packets: u8
    """Packets that this command still has."""
    length: u8
    """Bytes of the command so far."""
    command: Array[u8] = array(LONGEST)
    waiting: u1
    """A whole command waits to be carried out."""
    players: u8
    """How many there are, less one: 0, 1, 3."""
    player: u8
    """Whose buttons the program reads."""
    pads: Array[u8] = array(4)
    """What the others hold; the first one's buttons are the joypad's own."""
    transfer: u8
    """The command that waits for a picture to take its data from; 0: none."""
    transfer_half: u8
    transfer_frames: u8
    """Frames until then."""
    mask: u8
    palettes: Array[u16] = array(16)
    """Four palettes of four colours, BGR555."""
    attributes: Array[u8] = array(360)
    """The palette of each of the screen's 20 x 18 tiles."""
    system_palettes: Array[u16] = array(2048)
    files: Array[u8] = array(4096)
    """45 files of attributes, 90 bytes each: two bits for each tile, the leftmost in the high bits."""
    border_tiles: Array[u8] = array(8192)
    border_map: Array[u16] = array(1024)
    border_palettes: Array[u16] = array(64)


class Machine(Protocol):
    """What the port reaches of its machine."""

    clock: Clock
    sgb: Sgb


@typed(cold=True)
def lines_changed(gb: Machine, before: u8, now: u8) -> None:
    """P1's bits 5-4 were written. Both low begins a packet; one low is a bit, which ends when both are high again."""
    sgb = gb.sgb
    if now == 0x00:
        sgb.receiving = 1
        sgb.ready = 0
        sgb.bits = 0
    elif now == 0x30:
        sgb.ready = 1
        if not sgb.receiving and before & 0x20 == 0:
            sgb.player = (sgb.player + 1) & sgb.players
    elif sgb.receiving and sgb.ready:
        sgb.ready = 0
        if sgb.bits < 8 * PACKET:
            sgb.byte = u8(sgb.byte >> 1 | (now == 0x10) << 7)
            sgb.bits += 1
            at = sgb.length
            if sgb.bits & 7 == 0 and at < LONGEST:
                sgb.command[at] = sgb.byte
                sgb.length = at + 1
        else:
            sgb.receiving = 0
            packet_done(gb)


@typed
def packet_done(gb: Machine) -> None:
    """The stop bit came. Behind the command's last packet it is carried out."""
    sgb = gb.sgb
    if sgb.packets == 0:
        sgb.packets = max(sgb.command[0] & 7, 1)
    sgb.packets -= 1
    if sgb.packets == 0:
        if sgb.command[0] >> 3 == MLT_REQ:
            sgb.players = sgb.command[1] & 3 if sgb.command[1] & 3 != 2 else 1
            sgb.player = 0
        sgb.waiting = 1
        sgb.length = 0
        gb.clock.stop = STOP_ASKED
        gb.clock.attention()
