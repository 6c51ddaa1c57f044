"""The console object: time, registers, pictures, buttons, serial bytes, states, on every engine."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy
import pytest

from tracklayer import BusyError, EngineError, GameBoy, ModelError, RomError, StateError
from tracklayer.api import BUTTONS, CYCLES_PER_FRAME
from tracklayer.api.pictures import load_picture

from .images import cartridge, sender

LOOP = 12  # T-cycles of JR to itself
COUNTER = bytes.fromhex("3c ea00c0 18fa")  # INC A; LD [$C000],A; JR back
JOYPAD = bytes.fromhex("3e20 e000 f000 ea00c0 3e10 e000 f000 ea01c0 18ec")  # directions to C000, buttons to C001, again


def test_a_console_stands_before_its_first_instruction(engine: str) -> None:
    gb = GameBoy(cartridge(), engine=engine)
    assert gb.registers.pc == 0x100
    assert (gb.cycles, gb.frames, gb.instructions) == (0, 0, 0)
    assert (gb.engine, gb.model, gb.title) == (engine, "dmg", "TEST")
    assert gb.serial == b""


def test_a_frame_is_an_amount_of_time(engine: str) -> None:
    gb = GameBoy(cartridge(), engine=engine)
    for frame in range(1, 4):
        assert gb.tick() is True
        assert frame * CYCLES_PER_FRAME <= gb.cycles < frame * CYCLES_PER_FRAME + LOOP
        assert gb.frames == frame
    gb.run(cycles=1000)
    gb.tick()
    assert gb.frames == 4
    assert gb.cycles < 4 * CYCLES_PER_FRAME + LOOP


def test_many_frames_at_once_are_the_same_as_one_after_the_other(engine: str) -> None:
    one, other = (GameBoy(cartridge(COUNTER), engine=engine) for _ in range(2))
    one.tick(11)
    for _ in range(11):
        other.tick()
    assert one.state_bytes() == other.state_bytes()
    assert one.instructions == other.instructions > 0


def test_no_frames_are_no_time_and_less_is_an_error(engine: str) -> None:
    gb = GameBoy(cartridge(), engine=engine)
    gb.tick(0)
    gb.run(cycles=0)
    assert gb.cycles == 0
    with pytest.raises(ValueError, match="negative"):
        gb.tick(-1)
    with pytest.raises(ValueError, match="negative"):
        gb.run(cycles=-1)


def test_a_time_that_is_no_integer_is_refused_and_the_console_stays_usable(engine: str) -> None:
    gb = GameBoy(cartridge(), engine=engine)
    for frames in (1.5, 3.5, "1", None):
        with pytest.raises(TypeError):
            gb.tick(frames)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        gb.run(cycles=100.5)  # type: ignore[arg-type]
    assert gb.cycles == 0
    gb.tick(numpy.int64(1))
    assert gb.frames == 1


def test_a_run_ends_at_the_first_boundary_at_or_after_its_time(engine: str) -> None:
    gb = GameBoy(cartridge(), engine=engine)
    gb.run(cycles=1)
    assert gb.cycles == 4  # NOP
    gb.run(cycles=1)
    assert gb.cycles == 20  # JP
    gb.run(cycles=12)
    assert gb.cycles == 32


def test_a_breakpoint_ends_a_run_that_asked_for_it(engine: str) -> None:
    program = bytes.fromhex("3e05 40 3e06 40 18fe")
    gb = GameBoy(cartridge(program), engine=engine)
    assert gb.run(cycles=1000, breakpoint=True)
    assert (gb.registers.a, gb.registers.pc) == (5, 0x153)
    assert gb.run(cycles=1000, breakpoint=True)
    assert gb.registers.a == 6
    assert not gb.run(cycles=1000, breakpoint=True)
    other = GameBoy(cartridge(program), engine=engine)
    assert not other.run(cycles=1000)


def test_serial_bytes_are_collected(engine: str) -> None:
    gb = GameBoy(cartridge(sender(b"Hello, world")), engine=engine)
    assert gb.run_until_serial(b"Hello", cycles=60 * CYCLES_PER_FRAME)
    assert gb.serial.startswith(b"Hello")
    assert gb.run_until_serial(b"world", cycles=60 * CYCLES_PER_FRAME)
    assert gb.serial == b"Hello, world"
    assert gb.run_until_serial(b"Hello", cycles=0)
    assert not gb.run_until_serial(b"never", cycles=2 * CYCLES_PER_FRAME)


def test_registers_are_read_and_written(engine: str) -> None:
    gb = GameBoy(cartridge(), engine=engine)
    registers = gb.registers
    for name, value in (("af", 0x12F0), ("bc", 0x3456), ("de", 0x789A), ("hl", 0xBCDE), ("sp", 0xD000), ("pc", 0x150)):
        setattr(registers, name, value)
        assert getattr(registers, name) == value
    assert [getattr(registers, name) for name in "afbcdehl"] == [0x12, 0xF0, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE]
    for name in "abcdehl":
        setattr(registers, name, 0x5A)
        assert getattr(registers, name) == 0x5A
    registers.f = 0xFF
    assert registers.f == 0xF0
    assert registers.flag_z and registers.flag_n and registers.flag_h and registers.flag_c
    registers.flag_n = False
    assert registers.f == 0xB0
    gb.run(cycles=12)
    assert (registers.pc, registers.a, registers.bc) == (0x150, 0x5A, 0x5A5A)
    assert "PC=0150" in repr(registers)


@pytest.mark.parametrize(("name", "value"), [("a", 256), ("b", -1), ("hl", 0x10000), ("pc", -2), ("f", 1000)])
def test_a_register_takes_only_what_fits(name: str, value: int) -> None:
    gb = GameBoy(cartridge(), engine="reference")
    with pytest.raises(ValueError, match="takes 0 to"):
        setattr(gb.registers, name, value)
    with pytest.raises(TypeError):
        setattr(gb.registers, name, "1")


def test_the_screen_is_an_array_of_colours_that_is_safe_to_keep(engine: str, tmp_path: Path) -> None:
    gb = GameBoy(cartridge(bytes.fromhex("3eff e047 18fe")), engine=engine)  # BGP = FF: all black
    gb.tick(2)
    screen = gb.screen
    assert (screen.shape, screen.dtype) == ((144, 160, 3), numpy.uint8)
    assert (screen == 0).all()
    assert (gb.shades.shape, gb.shades.dtype) == ((144, 160), numpy.uint8)
    assert (gb.shades == 3).all()
    screen[:] = 7
    assert (gb.screen == 0).all()
    gb.save_screenshot(tmp_path / "black.png")
    assert (load_picture(tmp_path / "black.png") == gb.screen).all()
    assert len(gb.picture_hash()) == 64


def test_without_rendering_the_guest_runs_the_same_and_the_picture_stays(engine: str) -> None:
    drawn, blind = (GameBoy(cartridge(COUNTER), engine=engine) for _ in range(2))
    drawn.tick(5)
    blind.tick(5, render=False)
    assert drawn.state_bytes() == blind.state_bytes()
    before = blind.picture_hash()
    blind.memory[0xFF47] = 0xFF
    blind.tick(2, render=False)
    assert blind.picture_hash() == before
    blind.tick(2)
    assert blind.picture_hash() != before


@pytest.mark.parametrize("name", BUTTONS)
def test_the_guest_sees_each_button_held_and_let_go(engine: str, name: str) -> None:
    gb = GameBoy(cartridge(JOYPAD), engine=engine)
    gb.tick()
    assert [value & 15 for value in gb.memory[0xC000:0xC002]] == [15, 15]
    gb.button(name)
    gb.tick()
    bit = list(BUTTONS).index(name)
    expected = [15, 15]
    expected[bit // 4] = 15 ^ 1 << bit % 4
    assert [value & 15 for value in gb.memory[0xC000:0xC002]] == expected
    gb.button(name.upper(), down=False)
    gb.tick()
    assert [value & 15 for value in gb.memory[0xC000:0xC002]] == [15, 15]


def test_several_buttons_are_pressed_and_released_together(engine: str) -> None:
    gb = GameBoy(cartridge(JOYPAD), engine=engine)
    gb.press("a", "up")
    gb.tick()
    assert [value & 15 for value in gb.memory[0xC000:0xC002]] == [0b1011, 0b1110]
    gb.release()
    gb.tick()
    assert [value & 15 for value in gb.memory[0xC000:0xC002]] == [15, 15]
    with pytest.raises(ValueError, match="there is no button 'fire'"):
        gb.button("fire")


def test_a_state_brought_back_goes_on_as_the_first_time(engine: str) -> None:
    gb = GameBoy(cartridge(COUNTER, type_code=3, ram_code=2), engine=engine)
    gb.tick(3)
    gb.cartridge_ram = bytes(range(256)) * 32
    before = gb.state_bytes()
    gb.tick(4)
    after = gb.state_bytes()
    gb.cartridge_ram = bytes(0x2000)
    gb.load_state_bytes(before)
    assert gb.state_bytes() == before
    assert gb.frames == 3
    gb.tick(4)
    assert gb.state_bytes() == after
    fresh = GameBoy(cartridge(COUNTER, type_code=3, ram_code=2), engine=engine)
    fresh.load_state_bytes(before)
    fresh.tick(4)
    assert fresh.state_bytes() == after


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes(100_000)])
def test_bytes_that_are_no_state_are_refused_and_change_nothing(data: bytes) -> None:
    gb = GameBoy(cartridge(), engine="reference")
    gb.tick()
    before = gb.state_bytes()
    with pytest.raises(StateError, match="bytes"):
        gb.load_state_bytes(data)
    assert gb.state_bytes() == before


def test_a_clone_is_wired_to_its_engine_once(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gb = GameBoy("demo", engine=engine)
    other = gb.clone()
    wired: list[object] = []
    attach = type(gb._engine).attach
    monkeypatch.setattr(type(gb._engine), "attach", lambda *arguments: wired.append(arguments[1]) or attach(*arguments))
    other.run(cycles=100)
    other.tick(0 if engine == "reference" else 20)  # several slices, and room for translated code in between
    assert len(wired) == 1


def test_a_clone_goes_its_own_way(engine: str) -> None:
    gb = GameBoy(cartridge(COUNTER), engine=engine)
    gb.tick(2)
    other = gb.clone()
    assert other.state_bytes() == gb.state_bytes()
    other.memory[0xC123] = 99
    other.tick()
    assert gb.memory[0xC123] == 0
    assert gb.frames == 2
    gb.memory[0xC123] = 99
    gb.tick()
    assert gb.state_bytes() == other.state_bytes()


def test_cartridge_ram_can_be_given_where_the_header_has_none() -> None:
    assert GameBoy(cartridge(), engine="reference").cartridge_ram == b""
    gb = GameBoy(cartridge(), engine="reference", cartridge_ram=0x2000)
    gb.memory[0xA000] = 0x80
    assert gb.cartridge_ram[0] == 0x80
    with pytest.raises(ValueError, match="has 8,192 bytes of RAM; 3 were given"):
        gb.cartridge_ram = b"abc"


def test_two_consoles_share_nothing(engine: str) -> None:
    one, other = GameBoy(cartridge(COUNTER), engine=engine), GameBoy(cartridge(sender(b"x")), engine=engine)
    one.tick(2)
    assert other.cycles == 0
    other.tick(3)
    assert (one.serial, other.serial) == (b"", b"x")
    assert one.frames == 2


def test_one_console_in_two_threads_at_once_is_an_error(engine: str) -> None:
    gb = GameBoy(cartridge(COUNTER), engine=engine)
    errors: list[BaseException] = []

    def intrude() -> None:
        for attempt in (gb.tick, lambda: gb.memory[0], lambda: gb.registers.a, gb.state_bytes):
            try:
                attempt()
            except BaseException as error:
                errors.append(error)

    def from_hook(console: GameBoy) -> None:
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()

    hook = gb.hook(0x150, lambda console: (hook.remove(), from_hook(console)))
    gb.tick()
    assert len(errors) == 4
    assert all(isinstance(error, BusyError) and "another thread" in str(error) for error in errors)
    gb.tick()
    assert gb.frames == 2


def test_a_tick_takes_whatever_has_a_truth(engine: str) -> None:
    gb = GameBoy(cartridge(COUNTER), engine=engine)
    for render in (None, "", [0], numpy.bool_(True)):
        gb.tick(numpy.int64(1), render)  # type: ignore[arg-type]
    assert gb.frames == 4

    class Undecided:
        def __bool__(self) -> bool:
            raise ArithmeticError("neither")

    with pytest.raises(ArithmeticError):
        gb.tick(1, Undecided())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        gb.tick(1.5)  # type: ignore[arg-type]
    assert gb.frames == 4
    gb.tick()
    assert gb.frames == 5


def test_what_does_not_exist_is_refused_in_words() -> None:
    with pytest.raises(EngineError, match="no engine 'warp'"):
        GameBoy(cartridge(), engine="warp")
    with pytest.raises(ModelError, match="model 'n64' is not built"):
        GameBoy(cartridge(), engine="reference", model="n64")
    with pytest.raises(RomError, match="cannot read"):
        GameBoy("/nowhere/at/all.gb", engine="reference")


def test_the_next_instruction_is_described() -> None:
    gb = GameBoy(cartridge(), engine="reference")
    gb.run(cycles=4)
    assert "C3 50 01  JP $0150" in gb.describe()
    gb.registers.pc = 0xFFFF
    assert "FFFF" in gb.describe()
    assert "reference engine" in repr(gb)


@pytest.mark.parametrize("model", ["dmg", "cgb"])
def test_the_screen_is_the_picture_in_colours(engine: str, model: str) -> None:
    gb = GameBoy(cartridge(), engine=engine, model=model)
    dice = numpy.random.default_rng(3)
    bytes_of = numpy.frombuffer(gb._gb.host.picture, numpy.uint8), numpy.frombuffer(gb._gb.host.colours, "<u2")
    bytes_of[0][:] = dice.integers(0, 4, bytes_of[0].size)
    bytes_of[1][:] = dice.integers(0, 1 << 15, bytes_of[1].size)
    for shown in range(2):
        gb._gb.host.shown = shown
        if model == "dmg":
            expected = numpy.array([255, 170, 85, 0], numpy.uint8)[gb.shades][..., None].repeat(3, 2)
        else:
            words = numpy.frombuffer(gb.picture_bytes(), "<u2").reshape(144, 160, 1).astype(int)
            fives = words >> numpy.array([0, 5, 10]) & 31
            expected = (fives << 3 | fives >> 2).astype(numpy.uint8)
        assert gb.screen.shape == (144, 160, 3)
        assert (gb.screen == expected).all()
    assert gb.screen is not gb.screen
