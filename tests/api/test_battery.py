"""Battery saves: the bytes of the file, other programs' variants of it, and that it is whole whatever happens."""

from __future__ import annotations

import gc
import os
import random
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tracklayer import GameBoy, SaveError
from tracklayer.api import CYCLES_PER_SECOND, battery
from tracklayer.api.battery import beside

from .images import cartridge

MBC2, MBC3_CLOCK, MBC5, MBC6, MBC7, TAMA5, HUC3 = 0x06, 0x10, 0x1B, 0x20, 0x22, 0xFD, 0xFE
SAVE_LOOP = bytes.fromhex("3e0a ea0000 21 00a0 34 18fd")  # open the RAM; HL = A000; INC [HL] for ever
KINDS = (
    #  type        ram    bytes that the cartridge keeps, and the clock's
    (0x03,         3,     0x8000,                          0),
    (MBC2,         0,     512,                             0),
    (MBC3_CLOCK,   3,     0x8000,                          48),
    (MBC5,         4,     0x20000,                         0),
    (MBC6,         3,     0x8000 + 0x100000 + 0x100,       0),
    (MBC7,         0,     256,                             0),
    (0xFC,         4,     0x20000,                         0),
    (TAMA5,        0,     32,                              40),
    (HUC3,         3,     0x8000,                          136),
    (0xFF,         3,     0x8000,                          0),
)  # fmt: skip


def console(type_code: int = MBC5, ram_code: int = 3, program: bytes = b"\x18\xfe", **options: object) -> GameBoy:
    banks = 32 if type_code == MBC6 else 4
    image = cartridge(program, type_code=type_code, ram_code=ram_code, banks=banks, size_code=4 if banks == 32 else 1)
    return GameBoy(image, engine="interpreter", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("type_code", "ram_code", "size", "clock"), KINDS)
def test_what_was_saved_is_loaded(type_code: int, ram_code: int, size: int, clock: int) -> None:
    gb = console(type_code, ram_code)
    assert len(gb.battery) == size + clock
    data = random.Random(size).randbytes(size)
    if type_code == MBC2:
        data = bytes(byte | 0xF0 for byte in data)
    gb.cartridge_ram = data
    gb.tick(200)
    other = console(type_code, ram_code)
    other.battery = gb.battery
    assert other.cartridge_ram == data
    assert other.battery[:-8] == gb.battery[:-8]


@pytest.mark.parametrize(("type_code", "ram_code", "size", "clock"), KINDS)
def test_files_of_wrong_sizes_are_refused(type_code: int, ram_code: int, size: int, clock: int) -> None:
    gb = console(type_code, ram_code)
    before = gb.save_state()
    for wrong in (0, 1, 100, size + 1, size + clock + 3, size - 1 if size > 300 else 7):
        with pytest.raises(SaveError, match=f"{wrong:,} bytes"):
            gb.battery = bytes(wrong)
    assert gb.save_state() == before


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A save file that something happened to: bytes changed, most of them in the clock; cut off, or grown."""
    spoilt = bytearray(data)
    for _ in range(dice.randint(1, 12)):
        back = dice.randint(1, min(len(spoilt), 64 if dice.random() < 0.7 else len(spoilt)))
        spoilt[-back] = dice.choice((0, 0xFF, 0x80, dice.randrange(256)))
    if dice.random() < 0.4:
        spoilt = spoilt[: dice.randrange(len(spoilt) + 1)] + dice.randbytes(dice.choice((0, 0, 1, 17, 44, 48)))
    return bytes(spoilt)


@pytest.mark.parametrize(("type_code", "ram_code", "size", "clock"), KINDS)
def test_a_spoilt_file_is_refused_or_loaded_whole(type_code: int, ram_code: int, size: int, clock: int) -> None:
    """A thousand in all: each is refused with the console as it was, or in the cartridge, which runs on."""
    dice = random.Random(type_code)
    gb = console(type_code, ram_code)
    gb.cartridge_ram = dice.randbytes(size)
    data = gb.battery
    refused = 0
    count = 110 if size <= 0x20000 else 20
    for _ in range(count):
        spoilt = mutated(data, dice)
        before = gb.save_state()
        try:
            gb.battery = spoilt
        except SaveError as error:
            assert "bytes" in str(error)
            assert gb.save_state() == before
            refused += 1
        else:
            shown = min(size, 256)
            assert gb.cartridge_ram[:shown] == spoilt[:shown] or type_code == MBC2
            if dice.random() < 0.2:
                gb.tick(1, False)
    assert 0 < refused < count


def test_longer_and_shorter_files_of_other_programs_are_read() -> None:
    gb = console(MBC2)
    gb.battery = bytes(range(256)) * 32  # 8 KiB, as some wrote
    assert gb.cartridge_ram == bytes(0xF0 | n & 15 for n in range(256)) * 2
    gb.battery = bytes(0x21 for _ in range(256))  # two half bytes to a byte
    assert gb.cartridge_ram == b"\xf1\xf2" * 256
    gb = console(MBC5, 3)
    gb.battery = b"\x55" * 0x2000
    assert gb.cartridge_ram == b"\x55" * 0x2000 + bytes(0x6000)
    gb.battery = b"\x66" * 0x10000
    assert gb.cartridge_ram == b"\x66" * 0x8000


def clock_of(gb: GameBoy) -> tuple[int, ...]:
    return battery.mbc3_registers(gb._gb.mapper.mbc3)


@pytest.mark.parametrize("tail", ["<10IQ", "<10II"])
def test_the_clock_of_an_mbc3_is_read_from_both_trailers(tail: str) -> None:
    gb = console(MBC3_CLOCK)
    trailer = struct.pack(tail, 1, 2, 3, 4, 0x81, 5, 6, 7, 8, 0x40, 1_000_000_000)
    gb.battery = b"\xaa" * 0x8000 + trailer
    assert clock_of(gb) == (1, 2, 3, 4, 0x81)
    assert list(gb._gb.mapper.mbc3.latched) == [5, 6, 7, 8, 0x40]
    assert gb.battery[0x8000:-8] == trailer[:40]
    assert abs(int.from_bytes(gb.battery[-8:], "little") - time.time()) < 5


def test_a_clock_that_follows_the_world_has_gone_on_meanwhile() -> None:
    written = int(time.time()) - (86400 + 3600 + 60 + 5)
    data = bytes(0x8000) + struct.pack("<10IQ", 50, 59, 22, 0xFF, 1, *[0] * 5, written)
    gb = console(MBC3_CLOCK, clock="world")
    gb.battery = data
    seconds, *rest = clock_of(gb)
    assert 55 <= seconds <= 58 or seconds < 3
    assert rest[1:] == [0, 1, 0x80]
    gb = console(MBC3_CLOCK)
    gb.battery = data
    assert clock_of(gb) == (50, 59, 22, 0xFF, 1)


def test_a_file_from_the_future_does_not_move_the_clock() -> None:
    gb = console(MBC3_CLOCK, clock="world")
    gb.battery = bytes(0x8000) + struct.pack("<10IQ", 50, 59, 22, 0, 0, *[0] * 5, 0x7FFFFFFF7FFFFFFF)
    assert clock_of(gb)[1:] == (59, 22, 0, 0)


def test_clocks_follow_what_they_are_told_to() -> None:
    gb = console(MBC3_CLOCK)
    assert gb.clock == "guest"
    gb.run(cycles=3 * CYCLES_PER_SECOND)
    gb.clock = "world"
    gb.run(cycles=50 * CYCLES_PER_SECOND)
    gb.clock = "guest"
    gb.run(cycles=2 * CYCLES_PER_SECOND)
    gb.battery = gb.battery
    assert 5 <= clock_of(gb)[0] <= 8
    with pytest.raises(ValueError, match="guest or world"):
        gb.clock = "moon"


def test_huc3_reads_the_short_trailer() -> None:
    gb = console(HUC3)
    gb.battery = bytes(0x8000) + struct.pack("<QHHHHB", 1_000_000_000, 1000, 0x123, 1001, 0x124, 1)
    chip = gb._gb.mapper.huc3
    assert bytes(chip.memory[0x10:0x17]) == bytes((8, 14, 3, 3, 2, 1, 0))
    assert battery.huc3_short(chip, 0)[8:16] == struct.pack("<HHHH", 1000, 0x123, 1001, 0x124)


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("rom", "save"),
    [("a/b.gb", "a/b.sav"), ("b.x.gbc", "b.x.sav"), ("a/z.zip::deep/b.gb", "a/b.sav"), ("a/z.zip", "a/z.sav")],
)
def test_the_save_file_stands_beside_the_rom(rom: str, save: str) -> None:
    assert beside(rom) == save


def rom_file(folder: Path, type_code: int = MBC5) -> Path:
    path = folder / "game.gb"
    path.write_bytes(cartridge(SAVE_LOOP, type_code=type_code, ram_code=3, banks=4, size_code=1))
    return path


def test_no_file_is_made_unless_asked_for(tmp_path: Path) -> None:
    gb = GameBoy(rom_file(tmp_path), engine="interpreter")
    gb.tick(300)
    gb.save()
    gb.close()
    assert [path.name for path in tmp_path.iterdir()] == ["game.gb"]
    assert gb.save_path is None


def test_the_file_is_written_at_the_end_and_read_at_the_start(tmp_path: Path) -> None:
    rom = rom_file(tmp_path)
    with GameBoy(rom, engine="interpreter", save="auto") as gb:
        assert gb.save_path == str(tmp_path / "game.sav")
        gb.run(cycles=1000)
        kept = gb.cartridge_ram
    assert kept[0] > 0
    assert (tmp_path / "game.sav").read_bytes() == kept
    again = GameBoy(rom, engine="interpreter", save=tmp_path / "game.sav")
    assert again.cartridge_ram == kept
    (tmp_path / "game.sav").unlink()
    again.close()
    assert not (tmp_path / "game.sav").exists()  # nothing had changed


def test_the_file_is_written_when_a_console_is_dropped(tmp_path: Path) -> None:
    gb = GameBoy(rom_file(tmp_path), engine="interpreter", save="auto")
    gb.run(cycles=1000)
    kept = gb.cartridge_ram
    del gb
    gc.collect()
    assert (tmp_path / "game.sav").read_bytes() == kept


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_the_file_is_written_when_an_exception_leaves_a_run(tmp_path: Path, error: type[BaseException]) -> None:
    gb = GameBoy(rom_file(tmp_path), engine="interpreter", save="auto")
    count = 0

    def hook(console: GameBoy) -> None:
        nonlocal count
        count += 1
        if count == 100:
            raise error

    gb.hook(0x158, hook)
    with pytest.raises(error):
        gb.tick()
    assert (tmp_path / "game.sav").read_bytes() == gb.cartridge_ram
    assert gb.cartridge_ram[0] == 99


def test_memory_that_rests_is_written_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(battery, "PAUSE", 0.0)
    gb = GameBoy(rom_file(tmp_path), engine="interpreter", save="auto")
    gb.tick(300)
    assert not (tmp_path / "game.sav").exists()  # it never rests
    gb.memory[0x158] = 0
    gb.registers.pc = 0x100
    rest = gb.map_region(0xA000, 0xA000, lambda address: 0, lambda address, value: None)
    for _ in range(5):
        gb.tick(60)
    rest.remove()
    assert (tmp_path / "game.sav").read_bytes() == gb.cartridge_ram


def test_a_file_that_does_not_fit_is_an_error_with_its_name(tmp_path: Path) -> None:
    rom = rom_file(tmp_path)
    (tmp_path / "game.sav").write_bytes(b"hello")
    with pytest.raises(SaveError, match=r"game\.sav: the save file has 5 bytes; this cartridge keeps 32,768"):
        GameBoy(rom, engine="interpreter", save="auto")
    assert (tmp_path / "game.sav").read_bytes() == b"hello"


def test_a_cartridge_that_keeps_nothing_has_no_file(tmp_path: Path) -> None:
    with GameBoy(rom_file(tmp_path, 0x19), engine="interpreter", save="auto") as gb:
        gb.tick()
        assert gb.save_path is None
    assert not (tmp_path / "game.sav").exists()


def test_auto_needs_a_file() -> None:
    with pytest.raises(ValueError, match="give a path"):
        console(save="auto")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gb = GameBoy(rom_file(tmp_path), engine="interpreter", save="auto")
    gb.run(cycles=1000)
    gb.save()
    old = (tmp_path / "game.sav").read_bytes()
    gb.run(cycles=1000)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        gb.save()
    monkeypatch.undo()
    assert (tmp_path / "game.sav").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["game.gb", "game.sav"]
    gb.close()
    assert (tmp_path / "game.sav").read_bytes() == gb.cartridge_ram


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    rom = rom_file(tmp_path)
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "kept.bin"
    real.write_bytes(bytes(0x8000))
    real.chmod(0o640)
    (tmp_path / "game.sav").symlink_to(real)
    with GameBoy(rom, engine="interpreter", save="auto") as gb:
        gb.run(cycles=1000)
    assert (tmp_path / "game.sav").is_symlink()
    assert real.read_bytes() == gb.cartridge_ram
    assert real.stat().st_mode & 0o777 == 0o640


KILLER = """
    import os, random, signal, sys, time
    from tracklayer import GameBoy

    rom, save, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
    gb = GameBoy(rom, engine="reference", save=save)
    size = len(gb.cartridge_ram)
    source = random.Random(4)
    seen = set()
    for kill in range(kills):
        child = os.fork()
        if child == 0:
            number = kill
            while True:
                number = (number + 1) % 256
                gb.cartridge_ram = bytes([number]) * size
                gb.save()
        time.sleep(source.random() * 0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if os.path.exists(save):
            data = open(save, "rb").read()
            assert len(data) == size and data == data[:1] * size, f"torn after kill {kill}"
            seen.add(data[0])
    gb.cartridge_ram = open(save, "rb").read()
    gb._battery._written = gb.cartridge_ram
    print(len(seen))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    rom = rom_file(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLER), str(rom), str(tmp_path / "game.sav"), "200"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    with GameBoy(rom, engine="reference", save="auto") as gb:
        for path in tmp_path.glob(".game.sav.*"):
            os.utime(path, (0, 0))
        gb.cartridge_ram = bytes(0x8000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["game.gb", "game.sav"]


def test_ctrl_c_in_the_middle_of_a_run_saves(tmp_path: Path) -> None:
    rom = rom_file(tmp_path)
    script = """
        import _thread, sys, threading
        from tracklayer import GameBoy
        gb = GameBoy(sys.argv[1], engine="interpreter", save="auto")
        threading.Timer(0.5, _thread.interrupt_main).start()
        try:
            gb.tick(10_000_000)
        except KeyboardInterrupt:
            saved = open(gb.save_path, "rb").read()
            print(saved == gb.cartridge_ram and saved[0] != 0 or gb.cycles)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(rom)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2], timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
