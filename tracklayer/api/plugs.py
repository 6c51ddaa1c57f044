"""What is in the cartridge besides memory, and what is plugged into the console: sensors, motors, lights, devices.

For:     rumble, tilt, the camera's picture, infrared light, which time clocks follow, a device on the serial port.
Not for: what they do in the machine (machine/gb/mappers, machine/gb/serial.py); another console on the cable (link.py).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tracklayer.machine.gb import mappers
from tracklayer.machine.gb.boot import START
from tracklayer.machine.gb.mappers import camera, mbc7

from .battery import world_time

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Picture = NDArray[numpy.generic]

CLOCKS = ("guest", "world")


@runtime_checkable
class SerialDevice(Protocol):
    """Something on the other end of the serial cable that answers while the console gives the clock."""

    def exchange(self, byte: int, cycle: int) -> int:
        """The console begins to send `byte` at T-cycle `cycle`. Returns: the byte that it receives meanwhile."""
        ...


class Plugs:
    """The part of a `GameBoy` that is about what is plugged in."""

    _gb: Any
    _device: SerialDevice | None
    _camera: Any
    _light: Any

    def _here(self) -> Any:
        raise NotImplementedError

    # ------------------------------------------------------------------ motors and sensors

    @property
    def rumble(self) -> bool:
        """Whether the cartridge's motor runs now. Always False where there is none."""
        return bool(self._here().mapper.motor)

    @property
    def rumble_cycles(self) -> int:
        """T-cycles that the motor has run so far. Games set how strong it feels by how much of the time it runs."""
        gb = self._here()
        running = gb.dots() - gb.mapper.motor_since if gb.mapper.motor else 0
        return int(gb.mapper.motor_time + running)

    @property
    def tilt(self) -> tuple[float, float]:
        """How the cartridge's sensor is accelerated, in g: to the left, and upwards. (0, 0) lies flat on a table."""
        chip = self._here().mapper.mbc7
        return (chip.tilt_x - mbc7.CENTRE) / mbc7.GRAVITY, (chip.tilt_y - mbc7.CENTRE) / mbc7.GRAVITY

    @tilt.setter
    def tilt(self, value: tuple[float, float]) -> None:
        x, y = (mbc7.CENTRE + round(g * mbc7.GRAVITY) for g in value)
        if not (0 <= x <= 0xFFFF and 0 <= y <= 0xFFFF):
            raise ValueError(f"the sensor does not measure {value[0]:g} g, {value[1]:g} g")
        chip = self._here().mapper.mbc7
        chip.tilt_x, chip.tilt_y = x, y

    @property
    def infrared_light(self) -> bool:
        """Whether the infrared diode shines: that of the cartridge, where it has one."""
        return bool(self._here().mapper.infrared.lit)

    @property
    def infrared_seen(self) -> bool:
        """Whether the infrared sensor sees light. Assign to shine at it."""
        return bool(self._here().mapper.infrared.seen)

    @infrared_seen.setter
    def infrared_seen(self, seen: bool) -> None:
        self._here().mapper.infrared.seen = bool(seen)

    # ------------------------------------------------------------------ the camera

    @property
    def camera(self) -> Any:
        """What the Pocket Camera sees: what was assigned, or None for darkness.

        Assign an array, shape (height, width) grey or (height, width, 3) RGB, of numbers 0 to 255 (or floats 0 to 1);
        or a function without arguments that returns one, called when a picture is taken. Another size than 112 x 128 is
        scaled to fill that, and cut at the sides that are too long.
        """
        return self._camera

    @camera.setter
    def camera(self, source: Any) -> None:
        gb = self._here()
        picture = source() if callable(source) else source
        frame = None if picture is None else _grey(picture)
        host = gb.host
        if frame is None:
            self._light = None
            host.camera = type(host.camera)()
        else:
            self._light = (ctypes.c_uint8 * (camera.WIDTH * camera.HEIGHT)).from_buffer(bytearray(frame))
            host.camera = ctypes.cast(self._light, type(host.camera))
        host.camera_asks = callable(source)
        host.camera_shot = _shooting(source, self._light) if callable(source) else None
        self._camera = source

    # ------------------------------------------------------------------ clocks

    @property
    def clock(self) -> str:
        """What a clock in the cartridge follows: "guest", the guest's own time, or "world", the time of day."""
        return "world" if self._here().host.wall else "guest"

    @clock.setter
    def clock(self, name: str) -> None:
        if name not in CLOCKS:
            raise ValueError(f"a clock follows {' or '.join(CLOCKS)}, not {name!r}")
        gb = self._here()
        mappers.catch_up(gb)
        gb.host.wall = name == "world"
        gb.host.wall_clock = world_time if gb.host.wall else None
        gb.mapper.seconds.synced = world_time() if gb.host.wall else gb.dots()

    # ------------------------------------------------------------------ the serial port

    @property
    def serial_device(self) -> SerialDevice | None:
        """What is plugged into the serial port, if it is a Python object with `exchange(byte, cycle)`; None:
        nothing."""
        return self._device

    @serial_device.setter
    def serial_device(self, device: SerialDevice | None) -> None:
        host = self._here().host
        if device is not None:
            if not isinstance(device, SerialDevice):
                raise TypeError(f"{device!r} has no exchange(byte, cycle)")
            if host.linked:
                raise ValueError("the serial port is linked to another console")
        host.device = None if device is None else _exchanging(device)
        host.plugged = device is not None
        self._device = device


def _exchanging(device: SerialDevice) -> Callable[[int, int], int]:
    """What the machine calls: the device with time as users see it."""

    def exchange(byte: int, time: int) -> int:
        return int(device.exchange(byte, time - START)) & 0xFF

    return exchange


def _shooting(source: Callable[[], Any], light: Any) -> Callable[[], int]:
    """What the machine calls before a picture is taken: the light is what the source shows then."""

    def shoot() -> int:
        picture = source()
        light[:] = bytes(len(light)) if picture is None else _grey(picture)
        return 0

    return shoot


def _grey(picture: Any) -> bytes:
    """A picture as the sensor takes it: 112 rows of 128 bytes."""
    import numpy
    from PIL import Image

    array = numpy.asarray(picture)
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(f"a picture has shape (height, width) or (height, width, 3), not {array.shape}")
    values = array.astype(numpy.float64) * (255.0 if array.dtype.kind == "f" else 1.0)
    if array.ndim == 3:
        values = values[:, :, 0] if array.shape[2] == 1 else values[:, :, :3] @ (0.299, 0.587, 0.114)
    grey = numpy.clip(numpy.rint(values), 0, 255).astype(numpy.uint8)
    if grey.shape != (camera.HEIGHT, camera.WIDTH):
        image = Image.fromarray(grey)
        scale = max(camera.WIDTH / image.width, camera.HEIGHT / image.height)
        size = (max(camera.WIDTH, round(image.width * scale)), max(camera.HEIGHT, round(image.height * scale)))
        left, top = (size[0] - camera.WIDTH) // 2, (size[1] - camera.HEIGHT) // 2
        box = (left, top, left + camera.WIDTH, top + camera.HEIGHT)
        grey = numpy.asarray(image.resize(size, Image.Resampling.BILINEAR).crop(box))
    return grey.tobytes()
