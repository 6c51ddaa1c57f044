"""Hello, world, as raw bytes: a system call, and the address of the text patched in by hand.

Nothing here but memory that can run. The text lies behind the code; `lea rsi, [rip + ...]` needs the distance from the
end of that instruction to the text, and we write it into the instruction's last four bytes ourselves.

Source of the numbers: Linux system call table for x86-64 (write is 1); AMD64 psABI, "Linux Conventions".
"""

from __future__ import annotations

import ctypes

from tracklayer.native import CodeMemory

TEXT = b"Hello, world!\n"

CODE = bytearray(
    b"\xb8\x01\x00\x00\x00"  # mov eax, 1            write
    b"\xbf\x01\x00\x00\x00"  # mov edi, 1            to standard output
    b"\x48\x8d\x35\x00\x00\x00\x00"  # lea rsi, [rip + 0]    from here ... to be patched
    b"\xba\x0e\x00\x00\x00"  # mov edx, 14           so many bytes
    b"\x0f\x05"  # syscall
    b"\xc3"  # ret
)
LEA_ENDS = 17


def main() -> None:
    """Patch, write, run."""
    distance = len(CODE) - LEA_ENDS
    CODE[LEA_ENDS - 4 : LEA_ENDS] = distance.to_bytes(4, "little", signed=True)

    memory = CodeMemory(4 << 20)
    block = memory.allocate(len(CODE) + len(TEXT))
    block.write(0, CODE + TEXT)  # goes through the writable alias; `block.address` is where it runs

    written = ctypes.CFUNCTYPE(ctypes.c_long)(block.address)()
    print(f"the system wrote {written} bytes")


if __name__ == "__main__":
    main()
