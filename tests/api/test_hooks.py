"""Python before a guest instruction, and Python behind guest addresses, on every engine."""

from __future__ import annotations

import gc
import threading
import traceback
import weakref
from itertools import pairwise

import pytest

from tracklayer import BusyError, GameBoy, Hook

from .images import cartridge

# 0150: INC A; 0151: INC B; 0152: JR 0150
PROGRAM = bytes.fromhex("3c 04 18fc")
PASS = 20  # T-cycles of once round


def console(engine: str, program: bytes = PROGRAM) -> GameBoy:
    gb = GameBoy(cartridge(program), engine=engine)
    gb.registers.pc = 0x150
    gb.registers.a = gb.registers.b = 0
    return gb


def test_a_hook_is_called_before_each_execution_of_its_instruction(engine: str) -> None:
    gb = console(engine)
    seen = []
    hook = gb.hook(0x151, lambda gb: seen.append((gb.registers.a, gb.registers.b, gb.registers.pc, gb.cycles)))
    gb.run(cycles=5 * PASS)
    assert seen == [(n + 1, n, 0x151, 4 + n * PASS) for n in range(5)]
    hook.remove()
    gb.run(cycles=5 * PASS)
    assert len(seen) == 5
    assert not hook.active
    hook.remove()


def test_a_hook_changes_nothing_else(engine: str) -> None:
    hooked, plain = console(engine), console(engine)
    hooked.hook(0x151, lambda gb: None)
    hooked.tick(2)
    plain.tick(2)
    assert hooked.state_bytes() == plain.state_bytes()


def test_a_thread_that_a_hook_starts_runs_while_hooks_do(engine: str) -> None:
    gb = console(engine)
    began = threading.Event()
    seen: list[bool] = []

    def start(gb: GameBoy) -> None:
        if not seen:
            threading.Thread(target=began.set).start()
        seen.append(began.wait(10))

    with gb.hook(0x0151, start):
        gb.tick()
    assert seen and all(seen)
    gb.tick()


def test_a_hook_may_change_registers_and_memory(engine: str) -> None:
    gb = console(engine)

    def change(gb: GameBoy) -> None:
        gb.registers.b = 0x40
        gb.memory[0xC000] = gb.registers.a

    gb.hook(0x151, change)
    gb.run(cycles=3 * PASS)
    assert gb.registers.b == 0x41
    assert gb.memory[0xC000] == 3


def test_a_hook_may_say_what_comes_next(engine: str) -> None:
    gb = console(engine)
    places = []

    def skip(gb: GameBoy) -> None:
        places.append(gb.registers.pc)
        gb.registers.pc = 0x152

    gb.hook(0x151, skip)
    gb.hook(0x152, lambda gb: places.append(gb.registers.pc))
    gb.run(cycles=3 * (PASS - 4))
    assert (gb.registers.a, gb.registers.b) == (3, 0)
    assert places == [0x151, 0x152] * 3


def test_an_exception_comes_out_at_once_and_the_console_goes_on_afterwards(engine: str) -> None:
    gb = console(engine)

    class Stop(Exception):
        pass

    def at_three(gb: GameBoy) -> None:
        if gb.registers.a >= 3:
            raise Stop("three")

    gb.hook(0x151, at_three)
    with pytest.raises(Stop, match="three") as caught:
        gb.tick()
    assert "at_three" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert (gb.registers.a, gb.registers.b, gb.registers.pc) == (3, 2, 0x151)
    with pytest.raises(Stop):
        gb.tick()  # the instruction executes now, and the next time round it is caught again
    assert (gb.registers.a, gb.registers.b) == (4, 3)
    gb.hook(0x150, lambda gb: None)
    with pytest.raises(Stop):
        gb.tick()
    assert (gb.registers.a, gb.registers.b) == (5, 4)


def test_stopping_by_exceptions_changes_nothing_that_the_guest_does(engine: str) -> None:
    stopped, plain = console(engine), console(engine)

    def always(gb: GameBoy) -> None:
        raise KeyError

    with stopped.hook(0x150, always), stopped.hook(0x152, always):
        while stopped.cycles < 1000:
            with pytest.raises(KeyError):
                stopped.run(cycles=1000)
    end = stopped.cycles + 1000
    for gb in (stopped, plain):
        gb.run(cycles=end - gb.cycles)
    assert stopped.state_bytes() == plain.state_bytes()


def test_stopping_right_behind_ei_leaves_its_delay_as_it_is(engine: str) -> None:
    program = bytes.fromhex("fb 00 3c 18fe")  # EI; NOP; INC A; loop
    results = []
    for stop in (False, True):
        gb = console(engine, program)
        gb.memory[0xFFFF] = 0x04
        gb.memory[0xFF0F] = 0x04
        gb.registers.sp = 0xD000

        def raising(gb: GameBoy) -> None:
            raise KeyError

        if stop:
            hook = gb.hook(0x151, raising)
            with pytest.raises(KeyError):
                gb.run(cycles=8)
            hook.remove()
        gb.run(cycles=28 - gb.cycles)
        results.append(gb.state_bytes())
        assert gb.memory[0xCFFE:0xD000] == b"\x52\x01"  # one instruction behind EI, then the interrupt
    assert results[0] == results[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_any_exception_passes(engine: str, error: type[BaseException]) -> None:
    gb = console(engine)

    def raising(gb: GameBoy) -> None:
        raise error

    with gb.hook(0x150, raising), pytest.raises(error):
        gb.tick()
    gb.tick()
    assert gb.frames >= 1


def test_hooks_at_one_address_are_called_in_order(engine: str) -> None:
    gb = console(engine)
    order = []
    first = gb.hook(0x150, lambda gb: order.append(1))
    gb.hook(0x150, lambda gb: order.append(2))
    gb.run(cycles=PASS)
    assert order == [1, 2]
    first.remove()
    gb.run(cycles=PASS)
    assert order == [1, 2, 2]


def test_a_hook_may_remove_itself_and_others(engine: str) -> None:
    gb = console(engine)
    calls = []

    def once(gb: GameBoy) -> None:
        calls.append("once")
        mine.remove()
        other.remove()
        gc.collect()

    mine = gb.hook(0x150, once)
    other = gb.hook(0x150, lambda gb: calls.append("other"))
    gb.run(cycles=4 * PASS)
    assert calls == ["once"]
    assert gb.registers.a == 4


def test_a_hook_may_set_another(engine: str) -> None:
    gb = console(engine)
    calls = []

    def chain(gb: GameBoy) -> None:
        if not calls:
            gb.hook(0x151, lambda gb: calls.append(gb.registers.b))

    gb.hook(0x150, chain)
    gb.run(cycles=3 * PASS)
    assert calls == [0, 1, 2]


def test_the_decorator_gives_the_hook(engine: str) -> None:
    gb = console(engine)

    @gb.hook(0x150)
    def arrived(gb: GameBoy) -> None:
        gb.registers.a = 0x20

    assert isinstance(arrived, Hook)
    assert arrived.address == 0x150
    gb.run(cycles=4)
    assert gb.registers.a == 0x21
    arrived.remove()
    assert "removed" in repr(arrived)


def test_a_hook_may_run_another_console_but_not_its_own(engine: str) -> None:
    gb, other = console(engine), console(engine)

    def run_both(gb: GameBoy) -> None:
        other.run(cycles=PASS)
        with pytest.raises(BusyError, match="its own hooks"):
            gb.tick()
        with pytest.raises(RuntimeError):
            gb.run(cycles=1)
        with pytest.raises(BusyError):
            gb.load_state_bytes(gb.state_bytes())

    gb.hook(0x150, run_both)
    gb.run(cycles=3 * PASS)
    assert other.registers.a == 3
    assert gb.registers.a == 3


def test_consoles_may_run_each_other_several_deep(engine: str) -> None:
    consoles = [console(engine) for _ in range(5)]
    for outer, inner in pairwise(consoles):
        outer.hook(0x150, lambda gb, inner=inner: inner.run(cycles=PASS))  # type: ignore[misc]
    consoles[0].run(cycles=2 * PASS)
    assert [gb.registers.a for gb in consoles] == [2] * 5


def test_a_hook_in_ram_fires_and_survives_the_code_changing(engine: str) -> None:
    gb = console(engine)
    gb.memory[0xC000:0xC004] = PROGRAM
    gb.registers.pc = 0xC000
    calls = []
    gb.hook(0xC001, lambda gb: calls.append(gb.registers.b))
    gb.run(cycles=2 * PASS)
    gb.memory[0xC001] = 0x05  # DEC B
    gb.run(cycles=2 * PASS)
    assert calls == [0, 1, 2, 1]


def test_a_hook_may_rewrite_its_own_instruction(engine: str) -> None:
    gb = console(engine)
    gb.memory[0xC000:0xC004] = PROGRAM
    gb.registers.pc = 0xC000

    def rewrite(gb: GameBoy) -> None:
        gb.memory[0xC001] = 0x05

    gb.hook(0xC001, rewrite)
    gb.run(cycles=3 * PASS)
    assert gb.registers.b == 0xFD


def test_what_cannot_be_hooked_is_refused() -> None:
    gb = console("reference")
    with pytest.raises(ValueError, match="address"):
        gb.hook(0x10000, print)
    with pytest.raises(TypeError, match="cannot be called"):
        gb.hook(0x150, 5)  # type: ignore[arg-type]


def test_a_console_with_hooks_can_be_collected(engine: str) -> None:
    gb = console(engine)
    gb.hook(0x150, lambda gb: None)
    gb.map_region(0xA000, 0xA0FF, lambda address: 0, lambda address, value: None)
    gb.tick()
    gone = weakref.ref(gb)
    del gb
    gc.collect()
    assert gone() is None


def test_a_console_without_hooks_needs_no_collector(engine: str) -> None:
    gb = console(engine)
    with gb.hook(0x150, lambda gb: None):
        gb.tick()
    gb.tick()
    gone = weakref.ref(gb)
    gc.collect()
    gc.disable()
    try:
        del gb
        assert gone() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------------- regions

# 0150: LD A,[$A012]; INC A; LD [$A013],A; JR 0150
TOUCH = bytes.fromhex("fa12a0 3c ea13a0 18f7")
ONCE = 48


def test_python_answers_for_a_region(engine: str) -> None:
    gb = console(engine, TOUCH)
    written: list[tuple[int, int]] = []
    region = gb.map_region(
        0xA010, 0xA01F, lambda address: address & 0xF0 | len(written), lambda *write: written.append(write)
    )
    gb.run(cycles=3 * ONCE)
    assert written == [(0xA013, 0x11), (0xA013, 0x12), (0xA013, 0x13)]
    assert gb.memory[0xA010] == 0x13
    gb.memory[0xA01F] = 0x77
    assert written[-1] == (0xA01F, 0x77)
    region.remove()
    gb.run(cycles=ONCE)
    assert len(written) == 4
    assert gb.memory[0xA010] == 0xFF
    assert not region.active


def test_addresses_beside_a_region_stay_what_they_are(engine: str) -> None:
    gb = console(engine)
    gb.memory[0xC000:0xC100] = bytes(range(256))
    with gb.map_region(0xC010, 0xC01F, lambda address: 0xEE, lambda address, value: None):
        assert gb.memory[0xC00F:0xC021] == b"\x0f" + b"\xee" * 16 + b"\x20"
    assert gb.memory[0xC00F:0xC021] == bytes(range(0x0F, 0x21))


def test_only_the_low_bits_of_a_byte_count(engine: str) -> None:
    gb = console(engine, TOUCH)
    written: list[int] = []
    gb.map_region(0xA000, 0xA0FF, lambda address: 0x1234, lambda address, value: written.append(value))
    gb.run(cycles=ONCE)
    assert written == [0x35]
    assert gb.memory[0xA000] == 0x34


def test_an_exception_in_a_region_comes_out_and_the_instruction_is_whole(engine: str) -> None:
    gb = console(engine, TOUCH)

    def refuse(address: int) -> int:
        raise LookupError(f"{address:04X}")

    with gb.map_region(0xA012, 0xA012, refuse, lambda address, value: None):
        with pytest.raises(LookupError, match="A012") as caught:
            gb.tick()
        assert "refuse" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert (gb.registers.a, gb.registers.pc) == (0xFF, 0x153)
    gb.tick()
    assert gb.frames == 1


def test_a_region_that_answers_nonsense_is_an_error_in_words(engine: str) -> None:
    gb = console(engine, TOUCH)
    with (
        gb.map_region(0xA012, 0xA012, lambda address: "no", lambda address, value: None),  # type: ignore[arg-type, return-value]
        pytest.raises(TypeError, match="int"),
    ):
        gb.tick()
    gb.tick()


def test_a_region_may_remove_itself_while_it_answers(engine: str) -> None:
    gb = console(engine, TOUCH)

    def last(address: int) -> int:
        region.remove()
        gc.collect()
        return 0x44

    region = gb.map_region(0xA012, 0xA012, last, lambda address, value: None)
    gb.run(cycles=20)
    assert gb.registers.a == 0x45
    gb.run(cycles=ONCE)
    assert gb.registers.a == 0x00


def test_the_guest_may_run_from_a_region(engine: str) -> None:
    gb = console(engine)
    gb.map_region(0xA000, 0xA0FF, lambda address: PROGRAM[address & 3], lambda address, value: None)
    gb.registers.pc = 0xA000
    gb.run(cycles=5 * PASS)
    assert (gb.registers.a, gb.registers.b) == (5, 5)


@pytest.mark.parametrize(("first", "last"), [(-1, 4), (5, 4), (0xFF00, 0xFF80), (0xC000, 0x10000)])
def test_a_region_elsewhere_is_refused(first: int, last: int) -> None:
    gb = console("reference")
    with pytest.raises(ValueError, match="region"):
        gb.map_region(first, last, lambda address: 0, lambda address, value: None)


def test_sixteen_regions_are_enough() -> None:
    gb = console("reference")
    for index in range(16):
        gb.map_region(0xC000 + index, 0xC000 + index, lambda address: address & 0xFF, lambda address, value: None)
    with pytest.raises(ValueError, match="at most 16"):
        gb.map_region(0xD000, 0xD000, lambda address: 0, lambda address, value: None)
    with pytest.raises(TypeError, match="two callables"):
        gb.map_region(0xD000, 0xD000, 1, 2)  # type: ignore[arg-type]
    assert gb.memory[0xC000:0xC011] == bytes(range(16)) + b"\0"
