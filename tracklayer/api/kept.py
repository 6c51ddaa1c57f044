"""The part of a console that is about what is kept of it: states, snapshots, and battery saves.

For:     `Kept`, a base of `GameBoy`.
Not for: what a state is made of (saving.py, container.py), what a save file is (battery.py).
"""

from __future__ import annotations

import os
import weakref
from typing import IO, TYPE_CHECKING, Any, Self, cast

from tracklayer.lang import size_of
from tracklayer.machine.common.clock import NEVER
from tracklayer.machine.gb import build
from tracklayer.machine.gb.cartridge import Cartridge
from tracklayer.machine.gb.console import GB

from . import state
from .battery import Battery, beside, decode, encode
from .engines import Engine
from .errors import StateError
from .files import get, put
from .rewind import Snapshot
from .sound import Sound

if TYPE_CHECKING:
    from .gameboy import GameBoy
    from .link import Cable


class Kept:
    """States and saves."""

    _gb: Any
    _engine: Engine
    _model: str
    _cartridge: Cartridge
    _attached: bool
    _sound: Sound
    _battery: Battery | None
    _link: Cable | None
    _end: weakref.finalize[[], Any]

    @property
    def cycles(self) -> int:
        raise NotImplementedError

    def _here(self) -> Any:
        raise NotImplementedError

    def _enter(self) -> None:
        raise NotImplementedError

    def _leave(self) -> None:
        raise NotImplementedError

    def _find_way(self) -> None:
        raise NotImplementedError

    # ------------------------------------------------------------------ states

    def state_bytes(self) -> bytes:
        """All of the guest's state. The same program at the same time gives the same bytes on every engine."""
        return build.save(self._here())

    def load_state_bytes(self, data: bytes) -> None:
        """Bring back a state of a console with this cartridge. Hooks and regions stay, and `serial` as it is.

        Errors: StateError where the bytes are no such state, BusyError in a hook.
        """
        self._enter()
        try:
            self._put(bytes(data))
        except ValueError as error:
            raise StateError(str(error)) from None
        finally:
            self._leave()

    def _put(self, state: bytes) -> None:
        """Bring back a state. Errors: ValueError where its length is not right."""
        code = self._engine.code_bytes(self._gb) if self._attached else None
        build.restore(self._gb, state)
        if self._attached:
            self._engine.restored(self._gb, code)
        self._sound.listen(False)
        self._gb.host.passed_time = NEVER
        if self._battery is not None:
            self._battery.forget_time()
        if self._link is not None:
            self._link.moved(cast("GameBoy", self))

    def save_state(self, file: str | os.PathLike[str] | IO[bytes] | None = None, *, bess: bool = False) -> bytes:
        """All of the guest's state, in a form that later versions read too.

        file: where to write it as well: a path (the file is replaced in one go) or an open binary file.
        bess: also in the form that other emulators read (BESS), as nearly as that holds it; some 50 KB more.
        The same program at the same time gives the same bytes on every engine.
        Errors: OSError.
        """
        from .saving import save_state

        data = save_state(self._here(), self._model)
        if bess:
            from .bess import append

            data = append(data, self._here(), self._model)
        put(file, data)
        return data

    def load_state(self, source: bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]) -> None:
        """Bring back a state: the bytes that `save_state` gave, a path, an open binary file.

        Those of other emulators are read where they hold BESS; what that leaves out is as in a new console.
        Hooks, regions, `serial`, and what is plugged in stay as they are.
        Errors: StateError where it is damaged or of another cartridge or model: the console is as it was then;
                OSError; BusyError in a hook.
        """
        from . import saving

        data = get(source)
        self._enter()
        try:
            loaded = saving.load_state(self._gb, self._model, data)
            self._put(loaded.state)
            if loaded.pictures is not None:
                build.set_pictures(self._gb, loaded.pictures)
        finally:
            self._leave()

    def snapshot(self) -> Snapshot:
        """All of the console at this moment, pictures too, for `restore` in this process. Takes microseconds."""
        gb = self._here()
        return Snapshot(build.save(gb), build.pictures(gb), self._cartridge, self._model, self.cycles)

    def restore(self, snapshot: Snapshot) -> None:
        """Bring the console to where a snapshot was taken, from it or from another one with the same cartridge.

        Errors: StateError where the snapshot is of another cartridge or model, BusyError in a hook.
        """
        self._check_snapshot(snapshot)
        self._enter()
        try:
            self._put(snapshot.state)
            build.set_pictures(self._gb, snapshot.pictures)
        finally:
            self._leave()

    def _check_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.cartridge is not self._cartridge or snapshot.model != self._model:
            raise StateError("the snapshot is of a console with another cartridge, or of another model")

    def differences(self, other: Kept) -> list[state.Difference]:
        """The fields in which the states of two consoles with the same cartridge differ, by name."""
        size = size_of(GB) - build.HOST_SIZE
        left, right = self.state_bytes(), other.state_bytes()
        found = state.differences(GB, left[:size], right[:size], build.HOST_SIZE)
        for index, (one, two) in enumerate(zip(left[size:], right[size:], strict=True)):
            if one != two:
                found.append(state.Difference(f"cartridge RAM[{index:#x}]", build.SIZE + index, one, two))
        return found

    # ------------------------------------------------------------------ battery saves

    def _use_save_file(self, rom: object, save: str | os.PathLike[str]) -> None:
        if not self._cartridge.battery:
            return
        if save == "auto":
            if not isinstance(rom, str | os.PathLike):
                raise ValueError('save="auto" is the file beside the ROM, and the ROM is no file: give a path')
            save = beside(rom)
        self._battery = Battery(self._gb, os.path.abspath(save))
        self._find_way()
        self._end = weakref.finalize(self, self._battery.flush)

    @property
    def save_path(self) -> str | None:
        """The battery save's file; None where none was asked for, or the cartridge keeps nothing."""
        return None if self._battery is None else self._battery.path

    @property
    def battery(self) -> bytes:
        """What the cartridge keeps without power, as save files hold it. Assign the bytes of a save file to load it.

        Errors: SaveError where they cannot be of this cartridge.
        """
        return encode(self._here())

    @battery.setter
    def battery(self, data: bytes) -> None:
        decode(self._here(), bytes(data))

    def save(self) -> None:
        """Write the battery save now, if there is a file for it and anything changed. Errors: OSError."""
        self._here()
        if self._battery is not None:
            self._battery.flush()

    def close(self) -> None:
        """Write the battery save. The console can go on; it does not write any more by itself.

        Errors: OSError.
        """
        battery, self._battery = self._battery, None
        self._find_way()
        if battery is not None:
            self._end.detach()
            battery.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
