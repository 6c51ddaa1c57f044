"""Sampling: where in the process one thread's time goes, by the address at which a timer interrupts it.

For:       `Sampler`: in a `with`, notes the interrupted instruction's address at regular times.
Not for:   what lies at an address: whoever placed the code knows (translate/places.py), and /proc knows the libraries.
Invariant: what runs in the signal is machine code of ours that adds one address to a buffer: it calls nothing, takes no
           lock and leaves `errno` alone; where the buffer is full it only counts. When the `with` ends the process has
           the handler that it had before, and no signal is under way.

The timer counts real time at a high resolution, and its signal goes to the thread that made it, whatever other threads
there are. So a thread that waits is sampled where it waits, and one that the system set aside is sampled once for all
that time when it goes on. Timers of processor time count in ticks of the kernel (4 ms as a rule), which is too coarse.

Only Linux on x86-64 is known. Sources: timer_create(2), signal(7), sigaction(2); "System V Application Binary
Interface, AMD64 Architecture Processor Supplement"; <sys/ucontext.h> of the GNU C library for the places in a context.
"""

from __future__ import annotations

import ctypes
import os
import platform
import random
import signal
import struct
import sys
import threading
import time
from types import TracebackType
from typing import Any

from .memory import Block, code_memory

MOST = 1 << 20
"""Samples that a buffer holds."""

# handler(signal, info, context): takes the next place in the buffer, whose address stands behind the code, and stores
# the context's RIP there. The buffer begins with how many samples came and how many fit.
#
#   mov rcx, [buffer]; mov eax, 1; lock xadd [rcx], rax; cmp rax, [rcx+8]; jae full
#   mov rdx, [rdx+168]; mov [rcx+rax*8+16], rdx
#   full: ret
_HANDLER = bytes.fromhex("488b0d21000000b801000000f0480fc101483b4108730c488b92a8000000488954c110")
_PLACE_OF_BUFFER = 40

_SIGEV_THREAD_ID = 4
_CLOCK_MONOTONIC = 1
_SA_SIGINFO, _SA_RESTART = 0x4, 0x10000000
_SIG_IGNORE = 1


class SamplingUnavailable(OSError):
    """This system has no way of sampling that is known here. The message says what is missing."""


def available() -> str:
    """Why there is no sampling here; empty where there is."""
    if not sys.platform.startswith("linux") or platform.machine().lower() not in ("x86_64", "amd64"):
        return f"only Linux on x86-64 is known, and this is {platform.system()} on {platform.machine()}"
    if not all(hasattr(ctypes.CDLL(None), name) for name in ("timer_create", "timer_settime", "timer_delete")):
        return "this C library has no timers"
    return ""


class _Sigaction(ctypes.Structure):
    """struct sigaction of the C library: handler, mask, flags, and a field of its own."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint64 * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class Sampler:
    """Samples the thread that enters the `with`, which must be the one that leaves it.

    One may be entered again: what comes is kept together.

    interval: seconds from one sample to the next; shorter than 50 microseconds would mostly measure the sampling. The
              first one comes after some random part of it, so that short stretches have their share as well.
    Errors: SamplingUnavailable. One at a time: BlockingIOError where another one runs in the process.
    """

    def __init__(self, interval: float = 0.0005, most: int = MOST) -> None:
        reason = available()
        if reason:
            raise SamplingUnavailable(f"host time cannot be sampled: {reason}")
        if not 50e-6 <= interval <= 1 or most < 1:
            raise ValueError(f"an interval of 50 microseconds to a second and room for samples, not {interval}, {most}")
        self.interval = interval
        self._most = most
        self._buffer = (ctypes.c_uint64 * (most + 2))(0, most)
        self._old = _Sigaction()
        self._timer = ctypes.c_void_p()
        self._code: Block | None = None
        self._thread = self._process = 0
        self._begun = 0.0
        self.seconds = 0.0
        """How much of the processor's time was sampled. Who asks for that within a `with` is likely to be set aside by
        the system just there, which makes samples of its own."""
        self._libc: Any = ctypes.CDLL(None, use_errno=True)

    @property
    def samples(self) -> list[int]:
        """The addresses, in the order in which they came."""
        return self._buffer[2 : 2 + min(self._buffer[0], self._most)]

    @property
    def lost(self) -> int:
        """Samples that had no room."""
        return max(0, self._buffer[0] - self._most)

    def __enter__(self) -> Sampler:
        if not _ONE.acquire(blocking=False):
            raise BlockingIOError("another sampler runs in this process")
        try:
            self._start()
        except BaseException:
            _ONE.release()
            raise
        return self

    def _start(self) -> None:
        code = _HANDLER.ljust(_PLACE_OF_BUFFER, b"\xc3") + struct.pack("<Q", ctypes.addressof(self._buffer))
        self._code = code_memory().allocate(len(code))
        self._code.write(0, code)
        self._thread, self._process = threading.get_ident(), os.getpid()
        action = _Sigaction(handler=self._code.address, flags=_SA_SIGINFO | _SA_RESTART)
        self._call("sigaction", signal.SIGPROF, ctypes.byref(action), ctypes.byref(self._old))
        try:
            # struct sigevent: value, signal, kind, thread.
            event = ctypes.create_string_buffer(
                struct.pack("<QiiI", 0, signal.SIGPROF, _SIGEV_THREAD_ID, threading.get_native_id()), 64
            )
            self._call("timer_create", _CLOCK_MONOTONIC, event, ctypes.byref(self._timer))
            self._begun = time.thread_time()
            self._set(self.interval)
        except BaseException:
            self._call("sigaction", signal.SIGPROF, ctypes.byref(self._old), None)
            raise

    def _set(self, interval: float) -> None:
        nanoseconds = round(interval * 1e9)
        first = 1 + random.randrange(nanoseconds)
        spec = (ctypes.c_long * 4)(*divmod(nanoseconds, 10**9), *divmod(first, 10**9))
        self._call("timer_settime", self._timer, 0, spec, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("a sampler ends in the thread in which it began")
        try:
            if os.getpid() == self._process:  # a fork's child has no timer
                self._call("timer_delete", self._timer)
                self.seconds += time.thread_time() - self._begun
            # Ignoring a signal also throws away one that is under way, which the old handler must not get.
            ignore = _Sigaction(handler=_SIG_IGNORE)
            self._call("sigaction", signal.SIGPROF, ctypes.byref(ignore), None)
            self._call("sigaction", signal.SIGPROF, ctypes.byref(self._old), None)
            self._code = None
        finally:
            _ONE.release()

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._libc, name)(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")


_ONE = threading.Lock()
"""Held while a sampler runs: there is one handler of the signal in a process."""
