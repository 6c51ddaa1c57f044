"""Framing: the frame of a function, how it is left, and how a loop in it lets Python do what is due.

For:       `prologue`, `local`, `epilogue`, `poll`, and what they leave for unwinders.
Not for:   the frames of adapters, which call what is written here (frames.py); the frame table's format (unwind.py).
Invariant: a callback or poll that failed leaves its frame at once, and gives back every register that the frame saved.
"""

from __future__ import annotations

from tracklayer.native import runtime, unwind
from tracklayer.native.instructions import Frame, Instructions
from tracklayer.native.operands import Memory, Register, Symbol, dword, eax, mem, r11, r11d, rbp, rsp
from tracklayer.native.placing import Fragment
from tracklayer.native.source import AssemblyError


class Framing(Instructions):
    """Instructions, and the frame that they are in. `Assembler` is the whole of it."""

    def prologue(self, *saves: Register, locals: int = 0, polls: bool = False) -> None:
        """Begin a frame: RBP points to it, `saves` are kept, RSP is aligned for calls, and unwinders can follow.

        `locals` slots of 8 bytes are `a.local(0)` and on. A callback that fails leaves the frame at once. `polls`
        reserves what `poll` needs."""
        origin = self._origin()
        if any(r.kind != "gp" or r.size != 8 or r in (rsp, rbp) for r in saves):
            raise AssemblyError(f"a frame saves 64-bit registers, not {', '.join(map(str, saves))}", origin)
        self.finish_frame()
        frame = Frame(saves, locals, self.forward(f".failed{self._next()}"), polls=polls)
        self._mark(unwind.Change("begin"))
        self.push(rbp)
        self._mark(unwind.Change("pushed"))
        self.mov(rbp, rsp)
        self._mark(unwind.Change("based"))
        for i, register in enumerate(saves):
            self.push(register)
            self._mark(unwind.Change("saved", register.name, 24 + 8 * i))
        shadow = 32 if self.abi == "win64" else 0
        size = 8 * (locals + 2 * polls) + shadow
        size += (size + 8 * len(saves)) % 16
        if size:
            self.sub(rsp, size)
        self._frame = frame
        if polls:
            for slot in frame.poll_slots:
                self.mov(slot, 0)

    def poll(self, *, nogil: bool = False) -> None:
        """At the back edge of a loop: let Python do what is due (Ctrl-C, other threads, pending calls), and leave the
        frame at once if that raised an exception. R11 and the flags are lost. Costs about a nanosecond.

        nogil: in a function that runs without the GIL. Needs a frame made with `prologue(polls=True)`."""
        frame = self._frame
        if frame is None or not frame.polls:
            raise AssemblyError("poll() needs a frame: write prologue(polls=True) first", self._origin())
        frame.used = self.calls_back = True
        place = runtime.attention()
        timed = place is None or (nogil and not place.in_thread)
        way = "timed" if timed else "nogil" if nogil else "gil"
        slow = Symbol("poll_slow", runtime.poll_slow(way))
        again, run, back = self.forward(), self.forward(), self.forward()
        self.label(again)
        if place is None or timed:  # look at the clock every 4,096th time
            self.inc(frame.poll_slots[0])
            self.test(Memory(frame.poll_slots[0].address, 2), 0xFFF)
            self.jz(run)
        elif place.in_thread:
            self.mov(r11, frame.poll_slots[0])
            self.test(r11, r11)
            find = self.forward()
            self.jz(find)
            self.test(dword[r11 + place.place], place.mask)
            self.jnz(run)
            frame.cold.append(("find", find, again, slow))
        else:
            self.mov(r11, place.place)
            self.cmp(dword[r11], 0)
            self.jne(run)
        self.label(back)
        frame.cold.append(("timed" if timed else "run", run, back, slow))

    def _write_cold(self, frame: Frame) -> None:
        """What polls do when it is their time, out of the way of the loop."""
        for what, start, back, slow in frame.cold:
            self.label(start)
            if what == "find":
                self.lea(r11, Memory(frame.poll_slots[0].address))
            elif what == "timed":
                self.lea(r11, Memory(frame.poll_slots[1].address))
            else:
                self.xor(r11d, r11d)
            self.call(slow)
            self.jb(frame.failed)
            self.jmp(back)

    def local(self, i: int, size: int = 8) -> Memory:
        """The i-th local slot of the frame, from 0."""
        frame = self._frame
        if frame is None or not 0 <= i < frame.locals:
            raise AssemblyError(f"there is no local {i} here", self._origin())
        return Memory(rbp - 8 * (len(frame.saves) + 1 + i), size)

    def epilogue(self) -> None:
        """Leave the frame and return. A frame may have several."""
        if self._frame is None:
            raise AssemblyError("there is no frame to leave: write prologue() first", self._origin())
        self._leave(self._frame)

    def _leave(self, frame: Frame) -> None:
        if frame.saves:
            self.lea(rsp, mem[rbp - 8 * len(frame.saves)])
            for register in reversed(frame.saves):
                self.pop(register)
            self.pop(rbp)
        else:
            self.leave()
        self._mark(unwind.Change("left", "", len(frame.saves)))
        self.ret()
        self._mark(unwind.Change("resumed"))

    def finish_frame(self) -> None:
        """End the function whose frame it is, so that code after it has none. `prologue` and the end do it as well."""
        frame, self._frame = self._frame, None
        if frame is not None:
            self._write_cold(frame)
            if frame.used:
                self.label(frame.failed)
                self.xor(eax, eax)
                self._leave(frame)
            else:
                del self._labels[frame.failed.name]
            self._mark(unwind.Change("begin"))

    def _mark(self, change: unwind.Change) -> None:
        self._fragments.append(Fragment(b"", ("frame",), self._origin(), frame=change))
