"""The part of a console that is about looking into it: what it is, memory, registers, pictures, sound; and its buttons.

For:     `Views`, a base of `GameBoy`.
Not for: running (gameboy.py); how pictures and sound are made of what the machine holds (pictures.py, sound.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from tracklayer.machine.gb import build, joypad
from tracklayer.machine.gb.cartridge import Cartridge

from . import pictures
from .disassembly import LONGEST, disassemble
from .engines import Engine
from .errors import ModelError
from .memory import Memory
from .registers import FrozenRegisters, Registers
from .sound import Sound

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .crew import Crowd

CYCLES_PER_FRAME = 70_224
CYCLES_PER_SECOND = 4_194_304

BUTTONS = {
    "right": joypad.RIGHT,
    "left": joypad.LEFT,
    "up": joypad.UP,
    "down": joypad.DOWN,
    "a": joypad.A,
    "b": joypad.B,
    "select": joypad.SELECT,
    "start": joypad.START,
}


class Views:
    """Looking and touching."""

    _gb: Any
    _engine: Engine
    _model: str
    _cartridge: Cartridge
    _memory: Memory
    _registers: Registers
    _frozen: FrozenRegisters
    _in_access: int
    _sent: bytearray
    _who: memoryview
    _crowd: Crowd | None
    _sound: Sound
    _super: bool
    _held: NDArray[numpy.uint8] | None
    _paint: Callable[[int], object] | None
    _hold: Callable[[int, bool], object]
    _cycles: Callable[[], Any]

    def _here(self) -> Any:
        raise NotImplementedError

    def _coloured(self) -> NDArray[numpy.uint8]:
        raise NotImplementedError

    # ------------------------------------------------------------------ what it is, and how far it came

    @property
    def engine(self) -> str:
        """The name of what executes the guest."""
        return self._engine.name

    @property
    def model(self) -> str:
        """The console's model."""
        return self._model

    @property
    def title(self) -> str:
        """The cartridge's title, from its header."""
        return self._cartridge.title

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the cartridge's image, in words."""
        return self._cartridge.warnings

    @property
    def cycles(self) -> int:
        """T-cycles at normal speed, 4,194,304 a second, since the cartridge's first instruction."""
        return int(self._cycles())

    @property
    def frames(self) -> int:
        """Whole frames of 70,224 T-cycles since the cartridge's first instruction."""
        return self.cycles // CYCLES_PER_FRAME

    @property
    def instructions(self) -> int:
        """Instructions executed since the cartridge's first one."""
        return int(self._gb.clock.instructions)

    # ------------------------------------------------------------------ looking and touching

    @property
    def memory(self) -> Memory:
        """The guest's address space: `gb.memory[0xC000]`, `gb.memory[0xC000:0xC010]`, and assignments to these."""
        if self._who[0] or self._crowd is not None:
            self._here()
        return self._memory

    @property
    def registers(self) -> Registers:
        """The processor's registers: `gb.registers.a`, `.hl`, `.pc`, `.flag_z`, and assignments to these."""
        if self._who[0] or self._crowd is not None:
            self._here()
        return self._frozen if self._in_access else self._registers

    @property
    def cartridge_ram(self) -> bytes:
        """A copy of all of the cartridge's RAM; assign as many bytes to fill it, from a saved game for instance."""
        return bytes(build.cart_ram(self._here()).raw)

    @cartridge_ram.setter
    def cartridge_ram(self, data: bytes) -> None:
        ram = build.cart_ram(self._here())
        if len(data) != len(ram):
            raise ValueError(f"this cartridge has {len(ram):,} bytes of RAM; {len(data):,} were given")
        ram.raw = bytes(data)

    @property
    def serial(self) -> bytes:
        """Everything that the guest sent on the serial port so far."""
        if self._who[0] == get_ident():
            self._sent += build.take_sent(self._gb)
        return bytes(self._sent)

    @property
    def shades(self) -> NDArray[numpy.uint8]:
        """The last whole picture: uint8, shape (144, 160), shades 0 (lightest) to 3; a copy, safe to keep.

        On a Game Boy Color these are its colours by their lightness.
        """
        import numpy

        if self._gb.color.hardware:
            return pictures.to_shades(self.screen)
        flat = numpy.frombuffer(self.picture_bytes(), numpy.uint8)
        return flat.reshape(pictures.HEIGHT, pictures.WIDTH)

    @property
    def screen(self) -> NDArray[numpy.uint8]:
        """The last whole picture: uint8, shape (144, 160, 3), RGB, row 0 on top; a copy, safe to keep."""
        if self._super:
            return self._coloured() if self._held is None else self._held.copy()
        if self._paint is not None:
            self._here()
            return pictures.painted(self._paint)
        if self._gb.color.hardware:
            return pictures.colours_to_rgb(self.picture_bytes())
        return pictures.to_rgb(self.shades)

    @property
    def border(self) -> NDArray[numpy.uint8]:
        """Super Game Boy: the screen with the border around it: uint8, shape (224, 256, 3), RGB. Errors: ModelError."""
        if not self._super:
            raise ModelError(f"only a Super Game Boy has a border, and this is model {self._model}")
        from . import sgb

        return sgb.border(self._gb, self.screen)

    def picture_hash(self) -> str:
        """The SHA-256 of `picture_bytes()`, in hexadecimal."""
        import hashlib

        return hashlib.sha256(self.picture_bytes()).hexdigest()

    def save_screenshot(self, path: str | os.PathLike[str]) -> None:
        """Write the last whole picture as a PNG file. Errors: OSError."""
        pictures.save_png(self.screen, path)

    def picture_bytes(self) -> bytearray:
        """The last whole picture row by row; a copy. 144 * 160 bytes, shades 0 to 3.

        On a Game Boy Color twice as many: colours of 16 bits, little-endian, BGR555 with red in the low bits.
        """
        gb = self._here()
        return bytearray(build.colour_picture(gb) if gb.color.hardware else build.picture(gb))

    @property
    def sound(self) -> NDArray[numpy.int16]:
        """What the last `tick` or `run` with `sound=True` sounds like: int16, shape (n, 2), left and right."""
        return self._heard().mixed()

    @property
    def sound_channels(self) -> NDArray[numpy.int16]:
        """The same by channel: int16, shape (4, n, 2); with `separate_channels` off, shape (1, n, 2), all of it."""
        return self._heard().channels()

    def _heard(self) -> Sound:
        if not self._who[0]:
            self._sound.collect()
        return self._sound

    @property
    def sound_rate(self) -> int:
        """Samples of sound a second, 4,000 to 384,000; 48,000 if nothing else was asked for. Errors: ValueError."""
        return self._sound.rate

    @sound_rate.setter
    def sound_rate(self, rate: int) -> None:
        self._here()
        self._sound.rate = rate

    @property
    def separate_channels(self) -> bool:
        """Whether sound is made for each channel by itself, which takes longer. `sound` is their sum then."""
        return self._sound.separate

    @separate_channels.setter
    def separate_channels(self, separate: bool) -> None:
        self._here()
        self._sound.separate = separate

    # ------------------------------------------------------------------ buttons

    def button(self, name: str, down: bool = True, player: int = 0) -> None:
        """Hold a button, or let it go: right, left, up, down, a, b, select, start. Errors: ValueError.

        player: 1 to 3 for the others at a Super Game Boy.
        """
        bit = BUTTONS.get(name.lower())
        if bit is None:
            raise ValueError(f"there is no button {name!r}; there are {', '.join(BUTTONS)}")
        gb = self._here()
        if player:
            if not self._super or not 0 < player < 4:
                raise ValueError(f"there is no player {player} at model {self._model}")
            pads = gb.sgb.pads
            pads[player] = pads[player] | bit if down else pads[player] & ~bit
            return
        self._hold(bit, bool(down))

    def press(self, *names: str) -> None:
        """Hold some buttons."""
        for name in names:
            self.button(name, True)

    def release(self, *names: str) -> None:
        """Let some buttons go; without names, all."""
        for name in names or BUTTONS:
            self.button(name, False)

    def describe(self) -> str:
        """One line: the time, the next instruction, the registers."""
        pc = self._gb.cpu.pc
        code = bytes(self.memory[(pc + index) & 0xFFFF] for index in range(LONGEST))
        line = disassemble(code, pc, 1)[0]
        waiting = " (halted)" if self._gb.cpu.halted else " (locked)" if self._gb.cpu.locked else ""
        return f"{self.cycles:>10}  {line.data.hex(' ').upper():<8}  {line.text + waiting:<20}  {self.registers!r}"
