"""Reserving memory for code by the best way that the system grants; and where it grants none, why.

For:     `reserve`; `restrictions`, the settings that can forbid executable memory, and what to do about them.
Not for: the ways themselves (mappings.py).
"""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Callable

from tracklayer.native.mappings import AppleJit, Backing, DualMapping, ProtectFlips, WindowsFlips
from tracklayer.native.unix import PAGE, c_library

SMALLEST_SIZE = 4 << 20


class ExecutableMemoryDenied(OSError):
    """The system does not let this process have memory that it filled itself and then runs.

    The message names each way that was tried, what the system answered, and which of its settings forbids it."""


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip().strip("\0")
    except OSError:
        return ""


def restrictions() -> tuple[str, ...]:
    """The settings of this system that can forbid executable memory to this process, each with what to do about it.

    An empty tuple means that none of the known ones is active."""
    found = []
    if sys.platform.startswith("linux"):
        if _first_line("/sys/fs/selinux/enforce") == "1":
            found.append(
                f"SELinux is enforcing (this process: {_first_line('/proc/self/attr/current') or 'unknown domain'}): "
                "its policy needs `execmem` and `execute` on tmpfs files for that domain; "
                "`ausearch -m avc -ts recent` shows what was refused"
            )
        noexec = _first_line("/proc/sys/vm/memfd_noexec")
        if noexec in ("1", "2"):
            found.append(
                f"vm.memfd_noexec is {noexec}: memory files may not be executable; "
                "set it to 0 with `sysctl vm.memfd_noexec=0`"
            )
        with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                key, _, value = line.partition(":")
                value = value.strip()
                if key == "Seccomp" and value == "2":
                    found.append(
                        "a seccomp filter is active: it must allow memfd_create, or mprotect with PROT_EXEC (systemd: "
                        "MemoryDenyWriteExecute= and SystemCallFilter=; containers: the seccomp profile)"
                    )
                if key == "PaX" and "M" in value:
                    found.append(f"PaX MPROTECT is on (flags {value}): `paxctl -m` on the Python binary turns it off")
        with contextlib.suppress(OSError, AttributeError):
            if c_library().libc.prctl(66, 0, 0, 0, 0) > 0:  # PR_GET_MDWE, Linux 6.3
                found.append(
                    "PR_SET_MDWE is set: pages cannot become executable later "
                    "(a memory file still may be mapped so: allow memfd_create)"
                )
        with contextlib.suppress(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields = line.split()
                if len(fields) > 3 and fields[1] in ("/dev/shm", "/tmp") and "noexec" in fields[3].split(","):
                    found.append(f"{fields[1]} is mounted noexec: `mount -o remount,exec {fields[1]}`, or set TMPDIR")
    elif sys.platform == "darwin":
        found.append("a program with the hardened runtime needs the entitlement com.apple.security.cs.allow-jit")
    elif sys.platform == "win32":
        found.append("Arbitrary Code Guard (ProcessDynamicCodePolicy) must be off for this program")
    return tuple(found)


_Way = Callable[[int, bool], Backing]
_WAYS: dict[str, dict[str, _Way]] = {
    "linux": {"dual": DualMapping, "flip": ProtectFlips},
    "darwin-arm64": {"jit": AppleJit},
    "darwin": {"flip": ProtectFlips},
    "win32": {"flip": WindowsFlips},
}


def reserve(size: int, low: bool, mode: str | None) -> Backing:
    system = "linux" if sys.platform.startswith(("linux", "freebsd")) else sys.platform
    if system == "darwin" and platform.machine() == "arm64":
        system = "darwin-arm64"
    ways = _WAYS.get(system, {"flip": ProtectFlips})
    if mode is not None:
        if mode not in ways:
            raise ValueError(f"no code memory of mode {mode!r} on this system: it has {', '.join(ways)}")
        ways = {mode: ways[mode]}
    refusals = []
    for name, way in ways.items():
        smaller = size
        while True:
            try:
                return way(smaller, low)
            except OSError as error:
                # A limit on address space (RLIMIT_AS, a container) leaves room for less: ask for less.
                if error.errno == 12 and smaller > SMALLEST_SIZE:
                    smaller = max(SMALLEST_SIZE, smaller // 2 & ~(PAGE - 1))
                    continue
                refusals.append(f"{name}: {error.strerror or error} (errno {error.errno})")
                break
    lines = [f"this process may not have executable memory; tried {'; '.join(refusals)}"]
    lines += restrictions() or ("none of the known restrictions is active: ask who runs this machine",)
    raise ExecutableMemoryDenied("\n- ".join(lines))
