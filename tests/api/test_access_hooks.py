"""Hooks on reads, writes, interrupts, frames, banks and symbols: the same calls on every engine."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tracklayer import Access, GameBoy, Hook, RegisterError, SymbolError, Symbols
from tracklayer.api.engines import ENGINES

from .images import cartridge, signed

LOOP = bytes.fromhex("18fe")
# LD HL,$C000; LD A,$55; LD [HL+],A; LD [HL],A; INC [HL]; LD A,[$C001]; PUSH AF; loop
TOUCHING = bytes.fromhex("310fd0 2100c0 3e55 22 77 34 fa01c0 f5 18fe")


def started(engine: str, program: bytes, **options: Any) -> GameBoy:
    return GameBoy(cartridge(program), engine=engine, **options)


def test_writes_tell_old_and_new(engine: str) -> None:
    gb = started(engine, TOUCHING)
    seen: list[Access] = []
    gb.on_write(0xC000, 0xC001, lambda gb, access: seen.append(access))
    gb.tick()
    assert seen == [
        ("write", 0xC000, 1, 0x00, 0x55), ("write", 0xC001, 1, 0x00, 0x55), ("write", 0xC001, 1, 0x55, 0x56),
    ]  # fmt: skip


def test_reads_tell_what_was_read_and_fetching_is_none(engine: str) -> None:
    gb = started(engine, TOUCHING)
    seen: list[tuple[int, int, int]] = []
    gb.on_read(0x0000, 0xFFFF, lambda gb, access: seen.append((access.address, access.new, access.old)))
    gb.tick()
    assert seen == [(0xC001, 0x55, 0x55), (0xC001, 0x56, 0x56)]


def test_sixteen_bits_are_two_accesses(engine: str) -> None:
    gb = started(engine, TOUCHING)
    seen = []
    gb.on_write(0xD000, 0xD00F, lambda gb, access: seen.append((access.address, access.new, access.width)))
    gb.tick()
    assert seen == [(0xD00E, 0x56, 1), (0xD00D, 0x10, 1)]


def test_registers_and_time_are_as_of_the_access_and_cannot_be_set(engine: str) -> None:
    gb = started(engine, TOUCHING)
    found: list[tuple[int, int, int, int]] = []

    def look(gb: GameBoy, access: Access) -> None:
        found.append((gb.registers.a, gb.registers.hl, gb.registers.pc, gb.cycles))
        with pytest.raises(RegisterError, match="pc cannot be set"):
            gb.registers.pc = 0

    gb.on_write(0xC000, 0xC001, look)
    gb.tick()
    reference = started("reference", TOUCHING)
    expected: list[tuple[int, int, int, int]] = []
    reference.on_write(
        0xC000, 0xC001,
        lambda gb, access: expected.append((gb.registers.a, gb.registers.hl, gb.registers.pc, gb.cycles)),
    )  # fmt: skip
    reference.tick()
    assert found == expected
    assert [(a, pc) for a, _, pc, _ in found] == [(0x55, 0x159), (0x55, 0x15A), (0x55, 0x15B)]
    gb.registers.pc = 0x150


# LD A,1; LDH [$80],A; LDH A,[$80]; LDH [IE],A; LDH A,[LY]; LD [$2000],A; LD A,[$0150]; LD HL,$FF90; INC [HL]; PUSH HL
EVERYWHERE = bytes.fromhex("31a0ff 3e01 e080 f080 e0ff f044 ea0020 fa5001 2190ff 34 e5 18fe")


def test_hram_registers_and_rom_can_be_hooked(engine: str) -> None:
    gb = started(engine, EVERYWHERE)
    seen = []
    gb.on_read(0, 0xFFFF, lambda gb, access: seen.append((access.kind, access.address, access.new)))
    gb.on_write(0, 0xFFFF, lambda gb, access: seen.append((access.kind, access.address, access.new)))
    gb.tick()
    line = next(value for kind, address, value in seen if address == 0xFF44)
    assert seen == [
        ("write", 0xFF80, 1), ("read", 0xFF80, 1), ("write", 0xFFFF, 1), ("read", 0xFF44, line),
        ("write", 0x2000, line), ("read", 0x0150, 0x31), ("read", 0xFF90, 0), ("write", 0xFF90, 1),
        ("write", 0xFF9F, 0xFF), ("write", 0xFF9E, 0x90),
    ]  # fmt: skip


def test_hooks_change_nothing_that_the_guest_does(engine: str) -> None:
    plain, hooked = started(engine, EVERYWHERE), started(engine, EVERYWHERE)
    hooked.on_read(0, 0xFFFF, lambda gb, access: None)
    hooked.on_write(0, 0xFFFF, lambda gb, access: None)
    hooked.on_interrupt(None, lambda gb, name: None)
    hooked.on_frame(lambda gb: None)
    for _ in range(3):
        plain.tick()
        hooked.tick()
    assert plain.state_bytes() == hooked.state_bytes()


def test_an_exception_comes_out_behind_the_instruction(engine: str) -> None:
    gb = started(engine, TOUCHING)

    class Stop(Exception):
        pass

    def stop(gb: GameBoy, access: Access) -> None:
        raise Stop(access.address)

    hook = gb.on_write(0xC001, function=stop)
    with pytest.raises(Stop) as caught:
        gb.tick()
    assert caught.value.args == (0xC001,)
    assert (gb.registers.pc, gb.memory[0xC001]) == (0x15A, 0x55)
    hook.remove()
    gb.tick()
    assert gb.memory[0xC001] == 0x56


def test_a_hook_may_remove_itself_and_others_and_set_more(engine: str) -> None:
    program = bytes.fromhex("2100c0 34 34 34 34 18fe")
    gb = started(engine, program)
    calls: list[str] = []

    def first(gb: GameBoy, access: Access) -> None:
        calls.append("first")
        one.remove()
        two.remove()
        gb.on_write(0xC000, function=lambda gb, access: calls.append("third"))

    one = gb.on_write(0xC000, function=first)
    two = gb.on_write(0xC000, function=lambda gb, access: calls.append("second"))
    gb.tick()
    assert calls == ["first", "third", "third", "third"]
    assert not one.active
    assert not two.active


def test_removed_hooks_leave_pages_as_quick_as_before() -> None:
    gb = started("translated", TOUCHING)
    before = [bool(gb._gb.host.read_map[page]) for page in range(256)]
    with gb.on_read(0xC000, 0xC0FF, lambda gb, access: None), gb.on_write(0xFF80, function=lambda gb, access: None):
        assert not gb._gb.host.read_map[0xC0]
        assert gb._gb.host.read_map[0xC1]
        assert gb._gb.host.hram_hooked
    assert [bool(gb._gb.host.read_map[page]) for page in range(256)] == before
    assert not gb._gb.host.hram_hooked


HANDLER = b"\xd9"  # RETI


def interrupting(engine: str) -> GameBoy:
    """VBlank's and the timer's interrupts, over and over: EI; loop with HALT."""
    image = bytearray(cartridge(bytes.fromhex("3e05 e0ff 3e05 e007 fb 76 18fd")))
    image[0x40:0x41] = image[0x50:0x51] = HANDLER
    return GameBoy(signed(image), engine=engine)


def test_interrupts_tell_their_names_before_the_handler(engine: str) -> None:
    gb = interrupting(engine)
    seen = []
    gb.on_interrupt(None, lambda gb, name: seen.append((name, gb.registers.pc)))
    only = []
    gb.on_interrupt("vblank", lambda gb, name: only.append(name))
    gb.tick(3)
    assert {("vblank", 0x40), ("timer", 0x50)} == set(seen)
    assert len(only) == sum(name == "vblank" for name, _ in seen) == 4  # one is requested from the start


def test_an_interrupt_hook_may_say_what_comes_next_and_raise(engine: str) -> None:
    gb = interrupting(engine)

    def skip(gb: GameBoy, name: str) -> None:
        gb.registers.pc = 0x200

    hook = gb.on_interrupt("vblank", skip)
    with gb.hook(0x40, lambda gb: pytest.fail("the handler runs")):
        gb.tick()
    assert gb.registers.pc >= 0x200
    hook.remove()
    gb = interrupting(engine)
    with gb.on_interrupt("timer", lambda gb, name: [][0]), pytest.raises(IndexError):  # type: ignore[call-overload]
        gb.tick()
    assert gb.registers.pc == 0x50
    gb.tick()


def test_frames_are_told_once_each_with_the_lcd_on_and_off(engine: str) -> None:
    gb = started(engine, LOOP)
    lines = []
    hook = gb.on_frame(lambda gb: lines.append((gb.memory[0xFF44], gb.cycles)))
    gb.tick(4)
    assert [line for line, _ in lines] == [144] * 4
    assert all(after - before == 70224 for (_, before), (_, after) in pairwise(lines))
    hook.remove()
    off = started(engine, bytes.fromhex("af e040 18fe"))
    count = []
    off.on_frame(lambda gb: count.append(gb.cycles))
    off.tick(5)
    assert len(count) in (4, 5)


def test_an_exception_of_a_frame_hook_comes_out_at_once(engine: str) -> None:
    gb = started(engine, LOOP)

    def stop(gb: GameBoy) -> None:
        raise KeyboardInterrupt

    with gb.on_frame(stop), pytest.raises(KeyboardInterrupt):
        gb.tick(2)
    assert gb.memory[0xFF44] == 144
    cycles = gb.cycles
    gb.tick(2)
    assert gb.cycles > cycles


# ---------------------------------------------------------------------- banks and symbols


def banked(engine: str, **options: Any) -> GameBoy:
    """Calls 4000 in banks 1, 2, 3 in turn, for ever; each adds 1 to a counter of its own at C000."""
    main = bytes.fromhex("3e01 ea0020 cd0040 3e02 ea0020 cd0040 3e03 ea0020 cd0040 18e6")
    image = bytearray(cartridge(main, type_code=0x01, size_code=1, banks=4))
    for bank in (1, 2, 3):
        image[bank * 0x4000 : bank * 0x4000 + 5] = bytes((0x21, bank, 0xC0, 0x34, 0xC9))
    return GameBoy(signed(image), engine=engine, **options)


def test_a_hook_in_a_bank_is_called_in_that_bank_only(engine: str) -> None:
    gb = banked(engine)
    banks = []
    hook = gb.hook(0x4000, lambda gb: banks.append(gb.memory[0x4001]), bank=2)
    gb.run(cycles=2000)
    assert set(banks) == {2}
    assert len(banks) == gb.memory[0xC002]
    assert repr(hook).startswith("<Hook at 4000 in bank 02")
    gb.hook(0x4000, lambda gb: banks.append(gb.memory[0x4001]))
    banks.clear()
    gb.run(cycles=2000)
    assert set(banks) == {1, 2, 3}
    assert banks.count(2) in (2 * banks.count(1), 2 * banks.count(1) + 2, 2 * banks.count(1) - 2)


def test_many_hooks_in_many_banks(engine: str) -> None:
    gb = banked(engine)
    found: dict[tuple[int, int], int] = {}

    def counting(bank: int, address: int) -> Any:
        return lambda gb: found.__setitem__((bank, address), found.get((bank, address), 0) + 1)

    for bank in range(1, 31):
        for address in (0x4000, 0x4003, 0x4004):
            gb.hook(address, counting(bank, address), bank=bank)
    gb.run(cycles=3000)
    assert {bank for bank, _ in found} == {1, 2, 3}
    assert all(found[bank, 0x4003] == gb.memory[0xC000 + bank] for bank in (1, 2, 3))


SYMBOLS = """; File generated by rgblink
00:0150 Main
02:4000 Second
02:4003 Second.count   ; a local one
00:c002 wSecond
BOOT:0000 Entry
"""


def test_symbols_come_from_the_file_beside_the_rom(engine: str, tmp_path: Path) -> None:
    rom = tmp_path / "game.gb"
    rom.write_bytes(banked("reference")._cartridge.rom)
    (tmp_path / "game.sym").write_text(SYMBOLS)
    gb = GameBoy(rom, engine=engine)
    calls = []
    hook = gb.hook("Second.count", lambda gb: calls.append(gb.registers.hl))
    writes = []
    gb.on_write("wSecond", function=lambda gb, access: writes.append(access.new))
    gb.run(cycles=2000)
    assert set(calls) == {0xC002}
    assert writes == list(range(1, len(calls) + 1))
    assert (hook.address, hook.bank) == (0x4003, 2)
    with pytest.raises(KeyError, match="Third"):
        gb.hook("Third", lambda gb: None)


def test_symbols_can_be_given_and_looked_up(tmp_path: Path) -> None:
    table = Symbols.parse(SYMBOLS)
    assert table["Main"] == ("Main", 0, 0x150)
    assert list(table) == ["Main", "Second", "Second.count", "wSecond"]
    assert table.at(2, 0x4003) == ["Second.count"]
    assert table.near(2, 0x4010) == ("Second.count", 13)
    assert table.near(1, 0x4010) is None
    assert "Entry" not in table
    gb = GameBoy("demo", engine="reference", symbols=table)
    assert gb.symbols is table
    assert len(GameBoy(cartridge(), engine="reference").symbols) == 0
    wla = Symbols.parse("[information]\nversion 3\n[labels]\n0000:0150 main\n[definitions]\n00000001 ONE\n")
    assert wla["main"] == ("main", 0, 0x150)
    bad = tmp_path / "bad.sym"
    bad.write_text("00:0150 Main\nwhat is this\n")
    with pytest.raises(SymbolError, match="line 2"):
        GameBoy("demo", engine="reference", symbols=bad)
    with pytest.raises(SymbolError, match="nowhere"):
        Symbols.read(tmp_path / "nowhere.sym")
    with pytest.raises(SymbolError, match="no place"):
        Symbols.parse("00:12345 Far\n")


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda gb: gb.on_read(0x10000, function=print), ValueError),
        (lambda gb: gb.on_read(2, 1, print), ValueError),
        (lambda gb: gb.on_write(0, 1, 5), TypeError),
        (lambda gb: gb.on_interrupt("nmi", print), ValueError),
        (lambda gb: gb.on_frame(5), TypeError),
        (lambda gb: gb.hook(0, print, bank=-1), ValueError),
    ],
)
def test_what_cannot_be_hooked_is_refused(act: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        act(GameBoy("demo", engine="reference"))


def test_decorators_give_the_hook(engine: str) -> None:
    gb = started(engine, TOUCHING)
    seen = []

    @gb.on_write(0xC000)  # type: ignore[untyped-decorator]
    def written(gb: GameBoy, access: Access) -> None:
        seen.append(access.new)

    @gb.on_frame()  # type: ignore[untyped-decorator]
    def framed(gb: GameBoy) -> None:
        seen.append(-1)

    @gb.on_interrupt("timer")  # type: ignore[untyped-decorator]
    def timed(gb: GameBoy, name: str) -> None:
        seen.append(-2)

    gb.tick()
    assert seen == [0x55, -1]
    assert all(isinstance(hook, Hook) and hook.active for hook in (written, framed, timed))
    assert repr(written).startswith("<Hook on writes at C000")


def test_two_engines_make_the_same_calls_on_random_programs() -> None:
    for seed in range(6):
        random = Random(seed)
        code = bytes(random.choice(CHOICES) for _ in range(600))
        image = bytearray(cartridge(b"\x31\x00\xd0\x21\x80\xc0\x01\x34\x12\xfb" + code + b"\xc3\x50\x01"))
        image[0x40], image[0x50] = 0xD9, 0xD9
        found = []
        for name in ENGINES:
            calls: list[tuple[Any, ...]] = []
            gb = GameBoy(signed(image), engine=name)
            gb.memory[0xFFFF], gb.memory[0xFF07] = 0x05, 0x05

            def access(gb: GameBoy, access: Access, calls: list[tuple[Any, ...]] = calls) -> None:
                calls.append((*access, gb.cycles, gb.registers.pc, gb.registers.sp))

            gb.on_write(0xC000, 0xDFFF, access)
            gb.on_read(0xC080, 0xCFFF, access)
            gb.on_read(0xFF00, 0xFFFF, access)
            gb.on_frame(lambda gb, calls=calls: calls.append(("frame", gb.cycles)))
            gb.on_interrupt(None, lambda gb, name, calls=calls: calls.append((name, gb.cycles)))
            gb.hook(0x180, lambda gb, calls=calls: calls.append((gb.cycles, gb.registers.af)))
            gb.run(cycles=120_000)
            found.append((calls, gb.state_bytes()))
        assert len(found[0][0]) > 100
        assert all(one == found[0] for one in found)


CHOICES = bytes.fromhex("3c04 0c14 1c24 2c 34 35 7e 77 22 2a 32 3a c5 c1 e5 d5 d1 f5 80 a8 b1 0b 03 23 2b 00 07 0f")
