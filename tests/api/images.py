"""Little cartridges for the tests, assembled by hand."""

from __future__ import annotations


def cartridge(
    program: bytes = b"\x18\xfe",
    *,
    at: int = 0x150,
    type_code: int = 0,
    size_code: int = 0,
    ram_code: int = 0,
    banks: int = 2,
    title: bytes = b"TEST",
) -> bytes:
    """A cartridge whose entry jumps to `program`, with a right header. The program is an endless loop unless given."""
    image = bytearray(banks * 0x4000)
    image[0x100:0x104] = bytes((0x00, 0xC3, at & 0xFF, at >> 8))  # NOP; JP at
    image[0x134 : 0x134 + len(title)] = title
    image[0x147:0x14A] = bytes((type_code, size_code, ram_code))
    image[at : at + len(program)] = program
    return signed(image)


def signed(image: bytearray) -> bytes:
    """The same image with the checksum of its header made right."""
    total = 0
    for byte in image[0x134:0x14D]:
        total = (total - byte - 1) & 0xFF
    image[0x14D] = total
    return bytes(image)


def sender(text: bytes) -> bytes:
    """A program that sends a text on the serial port, then loops."""
    code = bytearray()
    for byte in text:
        code += bytes((0x3E, byte, 0xE0, 0x01, 0x3E, 0x81, 0xE0, 0x02))  # LD A,byte; LDH [SB],A; LD A,$81; LDH [SC],A
        code += bytes((0xF0, 0x02, 0xCB, 0x7F, 0x20, 0xFA))  # wait: LDH A,[SC]; BIT 7,A; JR NZ,wait
    return bytes(code) + b"\x18\xfe"
