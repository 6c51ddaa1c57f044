"""Many consoles in one call: each does what it does alone."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

from tracklayer import Batch, BusyError, GameBoy, Link, RomError, StateError
from tracklayer.compiler import many_glue
from tracklayer.machine.gb import build

from .images import cartridge, sender

COUNTER = bytes.fromhex("2100C0 34 20FD 23 18FA".replace(" ", ""))  # counts in C000, then C001, and so on
HALTING = bytes.fromhex("76 18FD".replace(" ", ""))
LOCKING = b"\xfc"
MEMORY = {"ram": slice(0xC000, 0xC020), "high": 0xFF85, "oam": slice(0xFE98, 0xFEA4), "rom": slice(0x0134, 0x0144)}


def same(batch: Batch, index: int, gb: GameBoy) -> None:
    """The batch's console is in the state of a lone one, and its rows show it."""
    assert batch[index].differences(gb) == []
    assert batch[index].save_state() == gb.save_state()
    assert (batch.screens[index] == gb.screen).all()
    assert int(batch.cycles[index]) == gb.cycles
    for name, where in MEMORY.items():
        expected: Any = gb.memory[where]
        assert batch.memory[name][index].tolist() == (list(expected) if isinstance(expected, bytes) else expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("model", ["dmg", "cgb"])
def test_consoles_do_what_they_do_alone(model: str, threads: int) -> None:
    count = 7
    generator = numpy.random.default_rng(threads)
    lone = [GameBoy("demo", model=model) for _ in range(count)]
    with Batch("demo", count, model=model, threads=threads, memory=MEMORY) as batch:
        for _ in range(12):
            buttons = generator.integers(0, 256, count, dtype=numpy.uint8)
            frames = generator.integers(0, 12, count)
            batch.step(buttons, frames)
            for gb, held, ticks in zip(lone, buttons.tolist(), frames.tolist(), strict=True):
                gb._gb.press(held)  # all at once, as a batch does: a button let go and pressed again is an edge
                gb.tick(ticks)
        for index, gb in enumerate(lone):
            same(batch, index, gb)


def test_every_engine_serves(engine: str) -> None:
    gb = GameBoy(cartridge(COUNTER), engine=engine)
    batch = Batch(cartridge(COUNTER), 2, engine=engine, memory=MEMORY)
    batch.step(0, [1, 2])
    gb.tick()
    same(batch, 0, gb)
    gb.tick()
    same(batch, 1, gb)
    assert batch[0].engine == gb.engine


def test_consoles_of_several_roms_share_what_they_can() -> None:
    images = [cartridge(COUNTER), cartridge(HALTING, title=b"HALT")]
    batch = Batch(images, 5, memory=MEMORY)
    assert [gb.title for gb in batch] == ["TEST", "HALT", "TEST", "HALT", "TEST"]
    assert batch[0]._cartridge is batch[4]._cartridge
    batch.step(frames=3)
    for index in range(5):
        lone = GameBoy(images[index % 2])
        lone.tick(3)
        same(batch, index, lone)
    assert len(Batch(images)) == 2


def test_without_rendering_the_guest_is_the_same_and_the_picture_stays() -> None:
    batch = Batch("demo", 3, memory=MEMORY)
    lone = GameBoy("demo")
    batch.step(frames=30)
    lone.tick(30)
    before = batch.screens.copy()
    batch.step(frames=40, render=[True, False, True])
    assert (batch.screens[1] == before[1]).all()
    assert (batch.screens[0] == batch.screens[2]).all()
    lone.tick(40, render=False)
    assert batch[1].differences(lone) == []
    assert (batch.screens[1] == before[1]).all()


@pytest.mark.parametrize("model", ["dmg", "cgb"])
@pytest.mark.parametrize("kind", ["rgb", "shades"])
def test_any_picture_comes_out_as_of_a_lone_console(model: str, kind: str) -> None:
    batch = Batch(cartridge(), 2, model=model, pictures=kind)
    assert bool(batch[0]._gb.color.hardware) == (model == "cgb")
    generator = numpy.random.default_rng(1)
    for gb in batch:
        if model == "cgb":
            place: Any = build.colour_picture(gb._gb)
            data = generator.integers(0, 1 << 15, len(place), dtype=numpy.uint16).tobytes()
        else:
            place = build.picture(gb._gb)
            data = generator.integers(0, 4, len(place), dtype=numpy.uint8).tobytes()
        ctypes.memmove(place, data, len(data))
    batch.step(frames=0)
    for index, gb in enumerate(batch):
        if kind == "rgb":
            assert (batch.screens[index] == gb.screen).all()
        else:
            assert (batch.shades[index] == gb.shades).all()


def test_memory_by_number_and_in_registers() -> None:
    batch = Batch(cartridge(COUNTER), 3, memory=[slice(0xFF40, 0xFF50), 0xC000, slice(0x8000, 0xA000)], pictures=None)
    batch.step(frames=[1, 2, 3])
    for index, gb in enumerate(batch):
        assert bytes(batch.memory[0][index]) == gb.memory[0xFF40:0xFF50]
        assert batch.memory[1][index] == gb.memory[0xC000]
        assert bytes(batch.memory[2][index]) == gb.memory[0x8000:0xA000]
    assert batch.memory[1].shape == (3,)
    assert batch.memory[0].shape == (3, 16)


def test_memory_where_nothing_or_something_else_stands() -> None:
    image = cartridge(COUNTER, type_code=3, ram_code=2)  # its RAM is closed: what answers is the mapper
    batch = Batch(image, 2, memory=[slice(0xA000, 0xA004), slice(0xFDFE, 0xFE02), slice(0xFF7E, 0xFF82)])
    batch.step()
    for number, where in enumerate((slice(0xA000, 0xA004), slice(0xFDFE, 0xFE02), slice(0xFF7E, 0xFF82))):
        assert bytes(batch.memory[number][1]) == batch[1].memory[where]


def test_a_boot_rom_runs_first() -> None:
    boot = bytes.fromhex("3e11e0a0 1801".replace(" ", "")) + bytes(0xF8) + bytes.fromhex("e050")  # leaves at 0100
    lone = GameBoy(cartridge(COUNTER), boot_rom=boot)
    batch = Batch(cartridge(COUNTER), 3, boot_rom=boot, memory=MEMORY)
    batch.step(frames=[2, 2, 1])
    lone.tick(2)
    same(batch, 1, lone)
    batch.reset([2])
    assert batch[2].cycles == batch.cycles[2] == 0


def test_flags_say_how_a_console_is() -> None:
    batch = Batch([cartridge(HALTING), cartridge(LOCKING), cartridge(sender(b"hi")), cartridge()])
    batch.step(frames=2)
    halted, locked, sent, plain = (int(flags) for flags in batch.flags)
    assert halted == Batch.HALTED | Batch.LCD
    assert locked == Batch.LOCKED | Batch.LCD
    assert sent == Batch.SENT | Batch.LCD
    assert plain == Batch.LCD
    batch.step()
    assert not batch.flags[2] & Batch.SENT
    assert batch[2].serial == b"hi"


def test_serial_bytes_of_a_long_step_are_all_there() -> None:
    text = bytes(range(48)) * 8
    image = cartridge(sender(text), banks=4, type_code=1, size_code=1)
    lone = GameBoy(image)
    lone.tick(400)
    batch = Batch(image, 3)
    batch.step(frames=400)
    assert [gb.serial for gb in batch] == [lone.serial] * 3
    assert lone.serial.startswith(text[:64])
    assert batch[1].differences(lone) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_hooks_and_regions_are_called(threads: int) -> None:
    batch = Batch(cartridge(COUNTER), 6, threads=threads, memory={"seen": slice(0xA000, 0xA002)})
    calls: list[GameBoy] = []
    hook = batch[2].hook(0x0150, calls.append)
    batch[4].map_region(0xA000, 0xA001, lambda address: address & 0xFF | 0x80, lambda address, value: None)
    batch.step(frames=[1, 1, 1, 1, 2, 1])
    assert calls == [batch[2]]
    assert batch.memory["seen"][4].tolist() == [0x80, 0x81]
    assert batch[4].frames == 2
    hook.remove()
    batch.step()
    lone = GameBoy(cartridge(COUNTER))
    lone.tick(2)
    assert batch[0].differences(lone) == batch[2].differences(lone) == []


def test_sound_is_that_of_a_lone_console() -> None:
    batch = Batch("demo", 3, threads=2)
    lone = GameBoy("demo")
    batch.step(frames=20)
    batch.step(frames=5, sound=True)
    lone.tick(20)
    lone.tick(5, sound=True)
    assert (batch[2].sound == lone.sound).all()
    assert len(lone.sound) > 1000
    batch.step()
    lone.tick()
    assert batch[2].differences(lone) == []


def test_one_exception_comes_out_with_the_console_and_the_others_have_gone_on() -> None:
    batch = Batch(cartridge(COUNTER), 4, threads=2)

    def fail(gb: GameBoy) -> None:
        raise LookupError("here")

    batch[1].hook(0x0150, fail)
    with pytest.raises(LookupError, match="here") as caught:
        batch.step()
    assert caught.value.__notes__ == [f"in console 1 of the batch, {batch[1]!r}"]
    assert [gb.frames for gb in batch] == [1, 0, 1, 1]
    assert [bool(flags & Batch.FAILED) for flags in batch.flags] == [False, True, False, False]
    batch.step()
    assert batch[1].frames == 1
    assert not batch.flags[1] & Batch.FAILED


def test_several_exceptions_come_out_as_a_group() -> None:
    batch = Batch(cartridge(COUNTER), 4)

    def fail(gb: GameBoy) -> None:
        raise LookupError("here")

    for index in (0, 3):
        batch[index].hook(0x0150, fail)
    with pytest.raises(ExceptionGroup, match="2 consoles") as caught:
        batch.step()
    assert all(isinstance(error, LookupError) for error in caught.value.exceptions)


def test_who_is_in_the_batch_cannot_be_run_elsewhere_meanwhile() -> None:
    batch = Batch(cartridge(COUNTER), 3)
    batch[1].hook(0x0150, lambda gb: batch.step())
    with pytest.raises(BusyError, match="console 1 of the batch is running already"):
        batch.step()
    assert [gb.frames for gb in batch] == [2, 0, 2] or [gb.frames for gb in batch] == [1, 0, 1]
    batch[1]._hooks.clear()
    inside = threading.Event()
    over = threading.Event()

    def wait(gb: GameBoy) -> None:
        inside.set()
        over.wait()

    batch[2].hook(0x0153, wait)
    runner = threading.Thread(target=batch[2].tick)
    runner.start()
    inside.wait()
    with pytest.raises(BusyError, match="console 2"):
        batch.step()
    over.set()
    runner.join()
    assert not batch[0]._who[0]


def test_who_is_in_a_step_can_be_neither_run_nor_looked_at_elsewhere() -> None:
    batch = Batch(cartridge(COUNTER), 3)
    runner = threading.Thread(target=batch.step, kwargs={"frames": 5_000})
    runner.start()
    while not batch._crowd.runner:
        time.sleep(0)
    with pytest.raises(BusyError, match="in a step of its batch"):
        batch[1].tick()
    with pytest.raises(BusyError, match="in a step of its batch"):
        batch[2].screen  # noqa: B018
    with pytest.raises(BusyError, match="of the batch is running already"):
        batch.step()
    assert runner.is_alive()
    runner.join()
    batch[1].tick()
    assert [gb.frames for gb in batch] == [5_000, 5_001, 5_000]
    assert not batch._crowd.alone


def test_hooks_that_come_and_go_between_steps_leave_nothing() -> None:
    batch = Batch(cartridge(COUNTER), 2)
    for _ in range(50):
        batch[0].hook(0x0150, lambda gb: None).remove()
        batch[0].on_write(0xC000, function=lambda access: None).remove()
        batch.step()
    assert len(batch[0]._retired) < 20


@pytest.mark.parametrize("threads", [2, 3])
def test_helpers_that_listen_hear_of_every_step(threads: int) -> None:
    """Short steps one after the other, with pauses, and with steps in which Python has a part."""
    count = 4
    lone = GameBoy("demo")
    with Batch("demo", count, threads=threads, memory=MEMORY) as batch:
        calls: list[int] = []
        total = 0
        for turn in range(400):
            if turn % 50 == 20:
                hook = batch[turn % count].on_frame(lambda gb: calls.append(1))
                batch.step(0)
                hook.remove()
            else:
                batch.step(0, [turn % 3] * count, turn % 7 == 0)
            if turn % 90 == 0:
                time.sleep(0.01)
            total += 1 if turn % 50 == 20 else turn % 3
        assert len(calls) == 8
        assert batch.cycles.tolist() == [batch.cycles[0]] * count
        lone.tick(total)
        batch[0].tick(0)
        assert all(gb.differences(lone) == [] for gb in batch)


def test_a_caller_that_is_done_first_sleeps_until_the_last_helper_wakes_it() -> None:
    lone = GameBoy("demo")
    lone.tick(4000, render=False)
    with Batch("demo", 2, threads=2, pictures=None) as batch:
        for _ in range(3):
            batch.step(frames=[0, 1300], render=False)
        assert [gb.frames for gb in batch] == [0, 3900]
        batch.step(frames=[4000, 100], render=False)
        assert [gb.differences(lone) for gb in batch] == [[], []]


def opened(batch: Batch) -> Any:
    """The threads of a batch, and the first round of a step of one frame, of which nobody has been told."""
    threads = batch._threads
    assert threads is not None
    batch.step(0)
    batch.close()
    threads.calls["open_step"](0)
    threads.calls["open_round"](batch._everyone_at, len(batch), 1)
    return threads


def test_a_call_that_no_helper_has_heard_is_taken_back() -> None:
    batch = Batch("demo", 2, threads=2)
    threads = opened(batch)
    helper = batch._workers[1]
    helper.signal = many_glue.CALLED
    threads.work(0)
    assert helper.signal == many_glue.LISTENING
    assert threads.over()
    assert not batch._job.waiting
    assert [gb.frames for gb in batch] == [2, 2]


def test_a_caller_does_not_sleep_for_ever() -> None:
    batch = Batch("demo", 2, threads=2)
    threads = opened(batch)
    threads.work(0)
    assert not threads.over()  # the helper is somewhere else, and has not said that it is done
    assert batch._job.waiting
    assert [gb.frames for gb in batch] == [2, 2]
    batch.step(0)
    assert [gb.frames for gb in batch] == [3, 3]


def test_helpers_that_sleep_end_with_their_batch() -> None:
    batch = Batch("demo", 3, threads=3)
    batch.step()
    helpers = list(batch._crew._threads)
    assert len(helpers) == 2
    deadline = time.monotonic() + 10
    while any(worker.signal != many_glue.ASLEEP for worker in batch._workers[1:]) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert [worker.signal for worker in batch._workers[1:]] == [many_glue.ASLEEP] * 2
    del batch
    gc.collect()
    for helper in helpers:
        helper.join(10)
        assert not helper.is_alive()


def test_a_program_ends_while_helpers_sleep() -> None:
    program = "from tracklayer import Batch; import time; batch = Batch('demo', 4, threads=3)\n"
    program += "batch.step(); time.sleep(0.05); batch.step(); time.sleep(0.05); print(batch[3].frames)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout.split(), done.stderr) == (["2"], "")


def test_reset_brings_back_the_chosen_ones() -> None:
    batch = Batch([cartridge(COUNTER), cartridge(HALTING)], 4, memory={"first": 0xC000})
    start = [gb.state_bytes() for gb in batch]
    batch.step(frames=5)
    batch.reset([True, True, False, False])
    assert [gb.frames for gb in batch] == [0, 0, 5, 5]
    assert batch.cycles.tolist() == [gb.cycles for gb in batch]
    assert batch.memory["first"].tolist() == [gb.memory[0xC000] for gb in batch]
    batch.reset(numpy.array([2]))
    assert [gb.frames for gb in batch] == [0, 0, 0, 5]
    batch.reset(-1)
    assert [gb.state_bytes() for gb in batch] == start
    batch.reset([])
    batch.step()
    batch.reset()
    assert [gb.frames for gb in batch] == [0, 0, 0, 0]


def test_states_of_all_are_saved_and_brought_back() -> None:
    batch = Batch("demo", 3, memory=MEMORY)
    batch.step(frames=[10, 20, 30])
    before = [gb.state_bytes() for gb in batch]
    screens, rows = batch.screens.copy(), batch.memory["ram"].copy()
    for states in (batch.save_states(), batch.snapshots()):
        batch.step(frames=9)
        batch.load_states(states)
        assert [gb.frames for gb in batch] == [10, 20, 30]
        assert (batch.screens == screens).all()
        assert (batch.memory["ram"] == rows).all()
        batch.step(frames=0)
        assert (batch.screens == screens).all()
    batch.load_states(batch.snapshots()[:1] * 3)
    batch.reset(None, batch.save_states()[2])
    assert [gb.frames for gb in batch] == [10, 10, 10]
    assert len(before[0]) == len(batch[0].state_bytes())


@pytest.mark.parametrize("frames", [[1_000_000] * 4, [0, 0, 0, 2_000_000_000]], ids=["all", "a helper's"])
def test_ctrl_c_ends_a_long_step(frames: list[int]) -> None:
    """Also where the caller sleeps until a helper is done."""
    batch = Batch(cartridge(COUNTER), 4, threads=2)
    batch.step()
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            batch.step(frames=frames)
    timer.join()
    assert not batch._crew._threads
    done = [gb.frames for gb in batch]
    batch.step()
    assert [gb.frames for gb in batch] == [before + 1 for before in done]


def test_a_forked_child_steps_by_itself() -> None:
    batch = Batch("demo", 4, threads=2)
    batch.step()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            batch.step()
            code = 0 if [gb.frames for gb in batch] == [2] * 4 else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    batch.step(frames=2)
    assert [gb.frames for gb in batch] == [3] * 4


@pytest.fixture(scope="module")
def small() -> Iterator[Batch]:
    with Batch(cartridge(COUNTER), 3, threads=1) as batch:
        yield batch


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"buttons": [1, 2]}, ValueError, r"buttons: give one for all, or shape \(3,\), not \(2,\)"),
        ({"buttons": 256}, ValueError, "buttons lie within 0 and 255, not 256"),
        ({"buttons": [-1, 0, 0]}, ValueError, "not -1"),
        ({"buttons": 1.0}, TypeError, "buttons are integers, not float64"),
        ({"buttons": "a"}, TypeError, "buttons are integers"),
        ({"frames": -1}, ValueError, "frames lie within 0"),
        ({"frames": [1, 2, 1 << 40]}, ValueError, "frames lie within 0"),
        ({"frames": numpy.ones((3, 1), int)}, ValueError, "frames: give one"),
        ({"render": 1}, TypeError, "render is True or False"),
        ({"render": [True]}, ValueError, "render: give one"),
    ],
)
def test_a_wrong_step_is_refused_and_nothing_runs(
    small: Batch, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    before = [gb.frames for gb in small]
    with pytest.raises(error, match=words):
        small.step(**arguments)
    assert [gb.frames for gb in small] == before


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"count": 0}, ValueError, "count is at least 1"),
        ({"count": 2.0}, TypeError, "count is an int"),
        ({"threads": 0}, ValueError, "threads is at least 1"),
        ({"pictures": "png"}, ValueError, "pictures are"),
        ({"memory": 0xC000}, TypeError, "memory is a sequence"),
        ({"memory": ["C000"]}, TypeError, "an address is an int or a slice, not str"),
        ({"memory": [0x10000]}, IndexError, "0x10000 is not an address"),
        ({"memory": [slice(0xC000, 0xC010, 2)]}, ValueError, "no run of neighbouring"),
        ({"memory": [slice(0xC000, 0xC000)]}, ValueError, "no run of neighbouring"),
        ({"roms": []}, ValueError, "needs a ROM"),
        ({"roms": b""}, RomError, "empty"),
    ],
)
def test_a_wrong_batch_is_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Batch(**{"roms": cartridge(), "count": 2, **arguments})


def test_a_wrong_reset_is_refused(small: Batch) -> None:
    with pytest.raises(ValueError, match=r"a mask has shape \(3,\)"):
        small.reset([True, False])
    with pytest.raises(IndexError, match="there is no console 3"):
        small.reset([3])
    with pytest.raises(TypeError, match="a mask is"):
        small.reset([1.5])
    with pytest.raises(ValueError, match="give as many states, not 1"):
        small.reset(None, [small.snapshots()[0]])
    with pytest.raises(TypeError, match="a state is a Snapshot or bytes, not str"):
        small.reset([0], ["state"])  # type: ignore[list-item]
    with pytest.raises(StateError) as caught:
        small.reset([1], GameBoy("demo").snapshot())
    assert "in console 1 of the batch" in caught.value.__notes__[0]
    with pytest.raises(StateError):
        small.reset([1], b"nothing")


def test_only_what_was_asked_for_is_there(small: Batch) -> None:
    with pytest.raises(ValueError, match=r"made with pictures='rgb'; make it with pictures=.shades"):
        _ = small.shades
    with pytest.raises(ValueError, match="made with pictures=None"):
        _ = Batch(cartridge(), pictures=None).screens
    with pytest.raises(KeyError):
        _ = small.memory["score"]


def test_linked_consoles_and_super_game_boys_are_served() -> None:
    batch = Batch([cartridge(sender(b"x")), cartridge(COUNTER)], 4, threads=2)
    lone = [GameBoy(cartridge(sender(b"x"))), GameBoy(cartridge(COUNTER))]
    with Link(batch[0], batch[1]), Link(*lone):
        for _ in range(3):
            batch.step()
            for gb in lone:
                gb.tick()
        assert batch[0].differences(lone[0]) == batch[1].differences(lone[1]) == []
    assert [gb.frames for gb in batch] == [3] * 4
    batch.step()
    alone = GameBoy("demo", model="sgb")
    alone.tick(3)
    batch = Batch("demo", 2, model="sgb")
    batch.step(frames=3)
    assert batch[1].differences(alone) == []
    assert (batch.screens[1] == alone.screen).all()
