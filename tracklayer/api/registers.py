"""The processor's registers as attributes.

For:     reading and writing them from outside and in hooks, where all of the guest's state is whole in memory.
Not for: what a register means (cpu/sm83/state.py).
"""

from __future__ import annotations

from tracklayer.cpu.sm83 import Cpu, pack_f, unpack_f

from .errors import RegisterError


def fitting(name: str, value: int, largest: int) -> int:
    """The value, if it lies between 0 and `largest`. Errors: ValueError, TypeError."""
    if not isinstance(value, int):
        raise TypeError(f"{name} takes an int, not {type(value).__name__}")
    if not 0 <= value <= largest:
        raise ValueError(f"{name} takes 0 to {largest:#x}, not {value:#x}")
    return value


class Whole:
    """A register that is a field of its own."""

    def __init__(self, field: str, largest: int) -> None:
        self.field = field
        self.largest = largest

    def __get__(self, registers: Registers, owner: type[Registers]) -> int:
        return int(getattr(registers._cpu, self.field))

    def __set__(self, registers: Registers, value: int) -> None:
        setattr(registers._cpu, self.field, fitting(self.field, value, self.largest))


class Half:
    """A register that is one half of a pair: the high one at shift 8, the low one at shift 0."""

    def __init__(self, pair: str, shift: int) -> None:
        self.pair = pair
        self.shift = shift

    def __get__(self, registers: Registers, owner: type[Registers]) -> int:
        return int(getattr(registers._cpu, self.pair)) >> self.shift & 0xFF

    def __set__(self, registers: Registers, value: int) -> None:
        kept = int(getattr(registers._cpu, self.pair)) & (0xFF00 >> self.shift)
        setattr(registers._cpu, self.pair, kept | fitting(f"half of {self.pair}", value, 0xFF) << self.shift)


class Flag:
    """A register of one bit, true or false."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __get__(self, registers: Registers, owner: type[Registers]) -> bool:
        return bool(getattr(registers._cpu, self.field))

    def __set__(self, registers: Registers, value: bool) -> None:
        setattr(registers._cpu, self.field, bool(value))


class Registers:
    """The registers of one console. What is stored must fit: 8 bits in `a f b c d e h l`, 16 in `af bc de hl sp pc`.

    `flag_z flag_n flag_h flag_c` are the flags and `ime` whether interrupts are dispatched: true or false. Writing `pc`
    says which instruction comes next. `halted` and `locked` (by an illegal opcode) can only be read.
    Errors: ValueError where a number does not fit.
    """

    __slots__ = ("_cpu",)

    a = Whole("a", 0xFF)
    b = Half("bc", 8)
    c = Half("bc", 0)
    d = Half("de", 8)
    e = Half("de", 0)
    h = Half("hl", 8)
    l = Half("hl", 0)
    bc = Whole("bc", 0xFFFF)
    de = Whole("de", 0xFFFF)
    hl = Whole("hl", 0xFFFF)
    sp = Whole("sp", 0xFFFF)
    pc = Whole("pc", 0xFFFF)
    flag_z = Flag("fz")
    flag_n = Flag("fn")
    flag_h = Flag("fh")
    flag_c = Flag("fc")
    ime = Flag("ime")

    def __init__(self, cpu: Cpu) -> None:
        self._cpu = cpu

    @property
    def f(self) -> int:
        return pack_f(self._cpu)

    @f.setter
    def f(self, value: int) -> None:
        unpack_f(self._cpu, fitting("f", value, 0xFF))

    @property
    def af(self) -> int:
        return self._cpu.a << 8 | pack_f(self._cpu)

    @af.setter
    def af(self, value: int) -> None:
        self._cpu.a = fitting("af", value, 0xFFFF) >> 8
        unpack_f(self._cpu, value & 0xFF)

    @property
    def halted(self) -> bool:
        """Whether the processor waits for an interrupt."""
        return bool(self._cpu.halted)

    @property
    def locked(self) -> bool:
        """Whether an illegal opcode has stopped the processor for good."""
        return bool(self._cpu.locked)

    def __repr__(self) -> str:
        cpu = self._cpu
        flags = "".join(n if on else "-" for n, on in zip("ZNHC", (cpu.fz, cpu.fn, cpu.fh, cpu.fc), strict=True))
        return (
            f"PC={cpu.pc:04X} A={cpu.a:02X} F={flags} BC={cpu.bc:04X} DE={cpu.de:04X} HL={cpu.hl:04X}"
            f" SP={cpu.sp:04X} IME={int(cpu.ime)}"
        )


class FrozenRegisters(Registers):
    """The registers in the middle of an instruction: to be read only."""

    __slots__ = ()

    def __init__(self, cpu: Cpu) -> None:
        object.__setattr__(self, "_cpu", cpu)

    def __setattr__(self, name: str, value: object) -> None:
        raise RegisterError(
            f"{name} cannot be set while the processor reads or writes: the instruction is not over. A hook on an "
            "instruction, an interrupt or a frame can"
        )
