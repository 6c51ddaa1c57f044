"""Saved states: what comes back, what is refused, what a later version still reads."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tracklayer import GameBoy, StateError
from tracklayer.api import CYCLES_PER_FRAME, container, saving
from tracklayer.api.rewind import Rewind
from tracklayer.machine.gb.console import GB

from .images import cartridge

COUNTER = bytes.fromhex("21 00a0 34 fa00c0 3c ea00c0 18f5")  # HL = A000: INC [HL]; INC [C000]; again
RAM = {"type_code": 0x08, "ram_code": 2}


def counting(engine: str = "interpreter", **options: Any) -> GameBoy:
    gb = GameBoy(cartridge(COUNTER, **RAM), engine=engine, **options)
    gb.tick(3)
    return gb


def same(left: GameBoy, right: GameBoy) -> bool:
    return left.save_state() == right.save_state()


def test_a_state_comes_back(engine: str) -> None:
    gb = counting(engine)
    state = gb.save_state()
    gb.run(cycles=12_345)
    later = gb.save_state()
    assert later != state
    gb.load_state(state)
    assert gb.save_state() == state
    gb.run(cycles=12_345)
    assert gb.save_state() == later


def test_a_state_is_the_same_whatever_made_it(engine: str) -> None:
    assert counting(engine).save_state() == counting("interpreter").save_state()


def test_a_state_does_not_tell_how_far_the_console_was_asked_to_run() -> None:
    one, other = counting(), counting()
    one.run(cycles=30_000)
    while other.cycles < one.cycles:
        other.run(cycles=min(100, one.cycles - other.cycles))
    assert one.cycles == other.cycles
    assert same(one, other)


def test_a_state_goes_to_another_engine_and_on_from_there(engine: str) -> None:
    gb = counting()
    gb.run(cycles=1234)
    other = GameBoy(cartridge(COUNTER, **RAM), engine=engine)
    other.load_state(gb.save_state())
    for console in (gb, other):
        console.run(cycles=20_000)
    assert same(gb, other)


def test_states_go_to_files_and_open_files(tmp_path: Path) -> None:
    gb = counting()
    path = tmp_path / "game.state"
    state = gb.save_state(path)
    assert path.read_bytes() == state
    opened = io.BytesIO()
    gb.save_state(opened)
    assert opened.getvalue() == state
    gb.tick()
    gb.load_state(path)
    assert gb.save_state() == state
    opened.seek(0)
    gb.tick()
    gb.load_state(opened)
    assert gb.save_state() == state
    assert [file.name for file in tmp_path.iterdir()] == ["game.state"]


def test_the_picture_comes_back_too() -> None:
    gb = GameBoy("demo", engine="interpreter")
    gb.tick(60)
    gb.run(cycles=40_000)
    picture, state = gb.picture_hash(), gb.save_state()
    gb.tick(100)
    other = GameBoy("demo", engine="interpreter")
    for console in (gb, other):
        console.load_state(state)
        assert console.picture_hash() == picture
    gb.tick(1)
    other.tick(1)
    assert gb.picture_hash() == other.picture_hash()


def test_damage_is_noticed_and_changes_nothing() -> None:
    gb = counting()
    good = gb.save_state()
    gb.tick()
    before = gb.save_state()
    source = random.Random(1)
    for _ in range(1000):
        bad = bytearray(good)
        match source.randrange(4):
            case 0:
                del bad[source.randrange(len(bad)) :]
            case 1:
                bad[source.randrange(len(bad))] ^= 1 << source.randrange(8)
            case 2:
                at = source.randrange(len(bad))
                bad[at : at + 20] = source.randbytes(20)
                if bad == good:
                    continue
            case _:
                del bad[source.randrange(len(bad))]
        with pytest.raises(StateError):
            gb.load_state(bytes(bad))
    assert gb.save_state() == before
    gb.load_state(good)
    assert gb.save_state() == good


@pytest.mark.parametrize("data", [b"", b"x", b"TLSTATE\n", b"TLSTATE\n" + bytes(44), bytes(5000)])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(StateError):
        counting().load_state(data)


def test_a_state_of_another_cartridge_is_refused_by_name() -> None:
    other = GameBoy(cartridge(title=b"OTHER"), engine="reference")
    with pytest.raises(StateError, match=r"another cartridge: 'OTHER', this is 'TEST'"):
        counting().load_state(other.save_state())


def remade(whole: bytes, description: dict[str, Any] | None = None, **sections: bytes) -> bytes:
    """The same container with other contents and a right checksum."""
    contents = container.unpack(whole)
    told = {name: value for name, value in contents.description.items() if name != "sections"}
    return container.pack({**told, **(description or {})}, {**contents.sections, **sections})


def test_other_consoles_and_models_are_refused() -> None:
    gb = counting()
    state = gb.save_state()
    for change, words in (({"model": "other"}, "model"), ({"system": "nds"}, "nds"), ({"kind": "pair"}, "pair")):
        with pytest.raises(StateError, match=words):
            gb.load_state(remade(state, change))


def test_a_later_format_is_refused() -> None:
    state = bytearray(counting().save_state())
    state[8] = 2
    with pytest.raises(StateError, match="version 2"):
        counting().load_state(bytes(state))


def test_impossible_numbers_are_refused() -> None:
    gb = counting()
    state = gb.save_state()
    fields = bytearray(container.unpack(state).sections["state"])
    entry = next(entry for entry in container.state_entries(GB) if entry.path == "cpu.fz")
    fields[entry.offset] = 2
    with pytest.raises(StateError, match=r"2 in cpu\.fz"):
        gb.load_state(remade(state, state=bytes(fields)))


def other_version(state: bytes) -> bytes:
    """As another version would have saved it: fields in another order, some wider, one missing, one unknown."""
    contents = container.unpack(state)
    old = contents.sections["state"]
    rows, made = [["gone", "u32", 2, 0]], bytearray(8)
    for entry in reversed(container.state_entries(GB)):
        if entry.path == "mapper.mbc7.latched_x":
            continue
        data = old[entry.offset : entry.offset + entry.length * entry.width]
        kind = entry.type
        if entry.path in ("cpu.hl", "wram"):
            kind = "u32"
            data = b"".join(data[at : at + entry.width].ljust(4, b"\0") for at in range(0, len(data), entry.width))
        rows.append([entry.path, kind, entry.length, len(made)])
        made += data
    return remade(state, layout=json.dumps(rows).encode(), state=bytes(made))


def test_a_state_of_another_version_is_taken_over_by_name() -> None:
    gb = counting()
    state = gb.save_state()
    other = counting()
    other.tick(5)
    other.load_state(other_version(state))
    assert other.save_state() == state
    other.tick()
    gb.tick()
    assert same(gb, other)


@pytest.mark.parametrize(
    "rows", ["[]", "{", '[["cpu.a","u8",1,99999999]]', '[["cpu.a","u9",1,0]]', '[["cpu.a"]]', "[[1,2,3,4]]", "5"]
)
def test_a_wrong_table_of_fields_is_refused_or_harmless(rows: str) -> None:
    gb = counting()
    before = gb.save_state()
    if rows == "[]":
        gb.load_state(remade(before, layout=b"[]"))
        assert gb.registers.pc == 0x100
    else:
        with pytest.raises(StateError):
            gb.load_state(remade(before, layout=rows.encode()))
        assert gb.save_state() == before


def test_states_keep_hooks_and_may_not_be_loaded_in_one() -> None:
    gb = counting()
    state = gb.save_state()
    seen = []

    def hook(console: GameBoy) -> None:
        seen.append(console.registers.pc)
        console.load_state(state)

    gb.hook(0x153, hook)
    with pytest.raises(RuntimeError, match="running"):
        gb.tick()
    assert seen == [0x153]


def test_a_snapshot_comes_back(engine: str) -> None:
    gb = counting(engine)
    snapshot, state = gb.snapshot(), gb.save_state()
    gb.tick(2)
    later = gb.save_state()
    gb.restore(snapshot)
    assert gb.save_state() == state
    gb.tick(2)
    assert gb.save_state() == later
    with pytest.raises(StateError, match="another cartridge"):
        GameBoy(cartridge(), engine="reference").restore(snapshot)


def test_code_in_ram_is_what_the_restored_state_holds(engine: str) -> None:
    # Copies an instruction to C100 and calls it, for ever; the instruction is changed from outside.
    program = bytes.fromhex("3e c9 ea01c1 cd00c1 18fb")
    gb = GameBoy(cartridge(program), engine=engine)
    gb.memory[0xC100] = 0x04  # INC B
    gb.run(cycles=5_000)
    snapshot = gb.snapshot()
    gb.memory[0xC100] = 0x0C  # INC C
    gb.run(cycles=5_000)
    b, c = gb.registers.b, gb.registers.c
    gb.restore(snapshot)
    assert gb.memory[0xC100] == 0x04
    at = gb.registers.b, gb.registers.c
    gb.run(cycles=5_000)
    assert (gb.registers.b - at[0]) & 0xFF > 0
    assert gb.registers.c == at[1]
    assert (b, c) != at


@pytest.mark.parametrize("place", [0xFF80, 0xC100, 0xD100])
def test_code_in_ram_is_translated_anew_only_where_a_restored_state_holds_other_code(place: int) -> None:
    code = bytes.fromhex("2cc9")  # INC L; RET
    program = bytes((0xCD, place & 0xFF, place >> 8, 0x18, 0xFB))
    gb = GameBoy(cartridge(program), engine="translated")
    for at, byte in enumerate(code):
        gb.memory[place + at] = byte
    gb.run(cycles=5_000)
    cache = gb._gb.translation[2].cache
    laid = cache.blocks
    assert laid > 0
    snapshot = gb.snapshot()
    gb.run(cycles=5_000)
    gb.restore(snapshot)
    gb.run(cycles=5_000)
    assert cache.blocks == laid
    gb.memory[place] = 0x24  # INC H
    gb.run(cycles=5_000)
    laid, h = cache.blocks, gb.registers.h
    gb.restore(snapshot)
    gb.run(cycles=5_000)
    assert cache.blocks > laid
    assert gb.registers.h != h


def test_a_frame_goes_on_being_drawn_in_another_console(engine: str) -> None:
    gb = GameBoy("demo", engine="interpreter")
    gb.tick(60)
    gb.run(cycles=40_000)
    others = [GameBoy("demo", engine=engine) for _ in range(2)]
    for other in others:
        other.tick(1, render=False)
    others[0].restore(gb.snapshot())
    others[1].load_state(gb.save_state())
    others.append(gb.clone())
    picture = gb.picture_hash()
    gb.run(cycles=40_000)
    assert gb.picture_hash() != picture
    for other in others:
        other.run(cycles=40_000)
        assert other.picture_hash() == gb.picture_hash()


def test_banks_stand_where_the_restored_state_has_them(engine: str) -> None:
    image = bytearray(cartridge(bytes.fromhex("fe 00 18fe"), type_code=0x1B, ram_code=3, banks=8))
    for bank in range(8):
        image[bank * 0x4000 + 0x3FFF] = bank
    gb = GameBoy(bytes(image), engine=engine)
    gb.memory[0x2000] = 3
    snapshot = gb.snapshot()
    gb.memory[0x2000] = 6
    assert gb.memory[0x7FFF] == 6
    gb.restore(snapshot)
    assert gb.memory[0x7FFF] == 3
    gb.restore(snapshot)
    gb.tick()
    assert gb.memory[0x7FFF] == 3


def test_a_clone_goes_its_own_way(engine: str) -> None:
    gb = counting(engine)
    other = gb.clone()
    assert same(gb, other)
    gb.tick(2)
    assert not same(gb, other)
    other.tick(2)
    assert same(gb, other)
    assert other.picture_hash() == gb.picture_hash()
    twice = other.clone().clone()
    hook = twice.hook(0x153, lambda console: console.registers.__setattr__("b", 7))
    twice.tick()
    hook.remove()
    assert twice.registers.b == 7


def test_rewinding_goes_back_step_by_step(engine: str) -> None:
    gb = counting(engine)
    rewind = Rewind(gb, limit=10)
    states = []
    for _ in range(15):
        states.append(gb.save_state())
        rewind.push()
        gb.run(cycles=CYCLES_PER_FRAME // 10)
    assert len(rewind) == 10
    assert rewind.back(0) == 0
    assert gb.save_state() == states[14]
    assert rewind.back(3) == 3
    assert gb.save_state() == states[11]
    assert rewind.back(100) == 6
    assert gb.save_state() == states[5]
    rewind.clear()
    assert (len(rewind), rewind.size) == (0, 0)
    with pytest.raises(StateError):
        rewind.back()


def test_a_rewind_keeps_within_its_memory() -> None:
    gb = counting()
    rewind = Rewind(gb, memory=200_000)
    for _ in range(200):
        gb.tick()
        rewind.push()
    assert rewind.size <= 200_000
    assert len(rewind) > 10


def test_a_state_says_whose_it_is() -> None:
    gb = counting()
    told = container.unpack(gb.save_state()).description
    assert (told["system"], told["model"], told["title"], told["cycles"]) == ("gb", "dmg", "TEST", gb.cycles)
    assert saving.check_owner(gb._gb, "dmg", container.unpack(gb.save_state())) is None


@pytest.mark.parametrize("model", ["dmg", "cgb"])
def test_a_state_does_not_show_what_was_drawn(engine: str, model: str) -> None:
    frames = 4 if engine == "reference" else 40
    drawn, not_drawn = (GameBoy("demo", engine=engine, model=model) for _ in range(2))
    for frame in range(frames):
        for gb, render in ((drawn, True), (not_drawn, False)):
            gb.tick(1, render)
            gb.run(cycles=1_000 * frame, render=render)
        assert drawn.state_bytes() == not_drawn.state_bytes()
