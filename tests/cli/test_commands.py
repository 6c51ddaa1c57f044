"""The commands run, info, disasm and lockstep, as somebody at a shell sees them."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import pytest
from click.testing import Result

from tests.api.images import cartridge
from tracklayer import GameBoy
from tracklayer.api.engines import Reference
from tracklayer.api.pictures import load_picture

from .conftest import Command, parsed

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ("--engine", "reference")


def failed(result: Result, *words: str) -> None:
    assert result.exit_code not in (0, None)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize("name", ["run", "info", "disasm", "judge", "lockstep"])
def test_every_command_explains_itself(command: Command, name: str) -> None:
    result = command(name, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    listing = command("--help")
    assert f"  {name} " in listing.stdout


# ---------------------------------------------------------------------- run


def test_run_writes_the_sound(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "demo.wav"
    result = command("run", "demo", "--engine", "interpreter", "--seconds", 2.5, "--wav", path, "--rate", 32000)
    assert result.exit_code == 0
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (2, 2, 32000)
        assert abs(sound.getnframes() - 2.5 * 32000) < 8
        samples = memoryview(sound.readframes(sound.getnframes())).cast("h")
    assert max(samples[32000:]) > 500


def test_run_writes_the_sound_up_to_the_text(command: Command, rom: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    result = command("run", rom, *REFERENCE, "--until-serial", "Passed", "--wav", path)
    assert result.exit_code == 0
    with wave.open(str(path)) as sound:
        assert 0 < sound.getnframes() < 48000


def test_run_says_what_came_out(command: Command, rom: Path) -> None:
    result = command("run", rom, *REFERENCE, "--frames", 3)
    assert result.exit_code == 0
    assert "3 frames" in result.stdout
    assert "reference engine" in result.stdout


def test_run_json_holds_the_whole_outcome(command: Command, rom: Path) -> None:
    result = command("run", rom, *REFERENCE, "--frames", 12, "--json")
    assert result.exit_code == 0
    out = parsed(result)
    gb = GameBoy(rom, engine="reference")
    gb.tick(12)
    assert out["frames"] == 12
    assert (out["cycles"], out["instructions"]) == (gb.cycles, gb.instructions)
    assert out["engine"] == "reference"
    assert out["serial"] == "Passed\n"
    assert out["picture"] == gb.picture_hash()
    assert out["host_seconds"] > 0


def test_run_until_serial_tells_success_by_its_status(command: Command, rom: Path) -> None:
    assert command("run", rom, *REFERENCE, "--until-serial", "Passed", "--seconds", 1).exit_code == 0
    failed(command("run", rom, *REFERENCE, "--until-serial", "Failed", "--frames", 12), "'Failed' was not sent")
    result = command("run", rom, *REFERENCE, "--until-serial", "Failed", "--frames", 12, "--json")
    assert result.exit_code == 1
    assert parsed(result)["found"] is False


def test_run_prints_serial_text_alone_on_standard_output(command: Command, rom: Path) -> None:
    result = command("run", rom, *REFERENCE, "--frames", 12, "--serial")
    assert result.stdout.strip() == "Passed"
    assert "frames" in result.stderr


def test_run_writes_the_picture_and_nothing_else(command: Command, rom: Path, tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    assert command("run", rom, *REFERENCE, "--frames", 2, "--screenshot", picture).exit_code == 0
    assert load_picture(picture).shape == (144, 160, 3)
    assert {file.name for file in tmp_path.iterdir()} == {"good.gb", "out.png"}


def test_run_presses_buttons_when_told(command: Command, tmp_path: Path) -> None:
    # Sends what P1 shows of the buttons, again and again, each one as a byte with a 0 bit where one is held.
    program = bytes.fromhex("3e10 e000 f000 e001 3e81 e002 f002 cb7f 20fa 18ec")
    file = tmp_path / "joypad.gb"
    file.write_bytes(cartridge(program))
    result = command("run", file, *REFERENCE, "--frames", 9, "--buttons", "3:start*2, 6:a", "--json")
    text = parsed(result)["serial"]
    seen = [
        part
        for part, before in zip(text.split("\\x")[1:], ["", *text.split("\\x")[1:]], strict=False)
        if part != before
    ]
    assert seen == ["df", "d7", "df", "de"]


@pytest.mark.parametrize("script", ["start", "5:fire", "x:a", "5:a*b", "-1:a"])
def test_run_refuses_a_script_that_it_does_not_understand(command: Command, rom: Path, script: str) -> None:
    failed(command("run", rom, *REFERENCE, "--frames", 1, "--buttons", script), "FRAME:BUTTON")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.gb", b"", "empty"),
        ("letter.gb", b"Dear Sir or Madam,\n" * 100, "text file"),
        ("none.gb", None, "No such file"),
        ("broken.zip", b"PK", "zip"),
    ],
)
def test_what_cannot_be_run_is_an_error_in_words(
    command: Command, tmp_path: Path, name: str, data: bytes | None, words: str
) -> None:
    file = tmp_path / name
    if data is not None:
        file.write_bytes(data)
    failed(command("run", file, *REFERENCE), "Error:", words)
    failed(command("lockstep", file, "--engines", "reference,reference"), words)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--screenshot", "no/such/folder/a.png", "there is no folder 'no/such/folder'"),
        ("--wav", "no/such/folder/a.wav", "there is no folder"),
        ("--save-state", "no/such/folder/a.state", "there is no folder"),
        ("--screenshot", ".", "it is a folder"),
        ("--seconds", "nan", "is no time"),
        ("--seconds", "inf", "is no time"),
        ("--frames", "-1", "not in the range"),
        ("--engine", "nonsense", "is not one of"),
        ("--until-serial", "", "nothing to wait for"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(
    command: Command, rom: Path, option: str, value: str, words: str
) -> None:
    failed(command("run", rom, *REFERENCE, option, value), words)


def test_what_cannot_be_written_in_the_end_is_an_error_in_words(command: Command, rom: Path, tmp_path: Path) -> None:
    """/dev/full takes no byte. A file may also go while the run lasts."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    failed(command("run", rom, *REFERENCE, "--frames", 1, "--screenshot", "/dev/full"), "No space left")


def test_a_truncated_image_runs_with_a_warning(command: Command, rom: Path) -> None:
    rom.write_bytes(rom.read_bytes()[:0x1000])
    result = command("run", rom, *REFERENCE, "--frames", 12, "--serial")
    assert result.exit_code == 0
    assert "the header claims" in result.stderr
    assert "Passed" in result.stdout


def test_options_that_exclude_each_other_are_refused(command: Command, rom: Path) -> None:
    failed(command("run", rom, "--frames", 1, "--seconds", 1), "not both")
    failed(command("run", rom, "--frames", -1), "--frames")
    failed(command("run", rom, "--engine", "warp"), "warp")
    failed(command("run", rom, *REFERENCE, "--model", "n64"), "is not one of")


def test_the_demo_runs(command: Command) -> None:
    result = command("run", "demo", "--frames", 30, *REFERENCE, "--json")
    assert result.exit_code == 0
    assert parsed(result)["frames"] == 30


# ---------------------------------------------------------------------- info, disasm


def test_info_shows_the_header(command: Command, rom: Path) -> None:
    result = command("info", rom)
    assert result.exit_code == 0
    assert "TEST" in result.stdout
    assert "ROM ONLY" in result.stdout
    out = parsed(command("info", rom, "--json"))
    assert (out["title"], out["bytes"], out["rom_size"], out["checksum_right"]) == ("TEST", 0x8000, 0x8000, True)
    assert (out["odd"], out["problem"]) == ([], None)


def test_info_tells_what_is_wrong(command: Command, rom: Path) -> None:
    data = bytearray(rom.read_bytes())
    data[0x147] = 0x77
    rom.write_bytes(data)
    result = command("info", rom)
    assert result.exit_code == 1
    assert "cannot be run" in result.stderr
    assert "77" in parsed(command("info", rom, "--json"))["problem"]
    rom.write_bytes(b"short")
    failed(command("info", rom), "no header")


def test_disasm_shows_instructions(command: Command, rom: Path) -> None:
    result = command("disasm", rom, "--count", 2)
    assert result.stdout.splitlines() == ["0100  00        NOP", "0101  C3 50 01  JP $0150"]
    result = command("disasm", rom, "--start", "$0150", "--count", 1, "--json")
    assert parsed(result) == [{"address": 0x150, "bytes": "3e50", "text": "LD A,$50"}]


def test_disasm_shows_another_bank(command: Command, tmp_path: Path) -> None:
    image = bytearray(cartridge(banks=4, type_code=1, size_code=1))
    image[0x4000 * 3] = 0x3C
    file = tmp_path / "banks.gb"
    file.write_bytes(image)
    assert "INC A" in command("disasm", file, "--start", "4000", "--bank", 3, "--count", 1).stdout
    assert "NOP" in command("disasm", file, "--start", "4000", "--count", 1).stdout
    failed(command("disasm", file, "--bank", 4), "banks 0 to 3")
    failed(command("disasm", file, "--start", "9000"), "7FFF")
    failed(command("disasm", file, "--start", "xyz"), "hexadecimal")


def test_disasm_of_an_empty_file_is_an_error(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "empty.gb"
    file.write_bytes(b"")
    assert command("disasm", file, "--start", "7FFF").exit_code == 1


# ---------------------------------------------------------------------- lockstep


def test_lockstep_of_an_engine_with_itself_finds_nothing(command: Command, rom: Path) -> None:
    result = command("lockstep", rom, "--engines", "reference,reference", "--instructions", 3000, "--buttons")
    assert result.exit_code == 0
    assert "no difference" in result.stdout
    out = parsed(command("lockstep", rom, "--engines", "reference,reference", "--instructions", 3000, "--json"))
    assert out["difference"] is None
    assert out["instructions"] >= 3000
    assert out["engines"] == ["reference", "reference"]


def test_lockstep_shows_the_difference(command: Command, rom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Faulty(Reference):
        def run(self, console: object) -> None:
            super().run(console)
            gb: GameBoy = console  # type: ignore[assignment]
            if gb.clock.now() > 300_000:  # type: ignore[attr-defined]
                gb.wram[5] = 1  # type: ignore[attr-defined]

    monkeypatch.setattr(
        "tracklayer.api.gameboy.make_engine", lambda name, progress: Faulty() if name == "interpreter" else Reference()
    )
    result = command("lockstep", rom, "--engines", "reference,interpreter", "--instructions", 30_000)
    assert result.exit_code == 1
    assert "wram[0x5]" in result.stdout
    assert "JR $" in result.stdout
    out = parsed(command("lockstep", rom, "--engines", "reference,interpreter", "--instructions", 30_000, "--json"))
    assert [field["name"] for field in out["difference"]["fields"]] == ["wram[0x5]"]


@pytest.mark.parametrize("engines", ["reference", "reference,warp", "a,b,c"])
def test_lockstep_wants_two_engines(command: Command, rom: Path, engines: str) -> None:
    failed(command("lockstep", rom, "--engines", engines), "is not two of")


# ---------------------------------------------------------------------- the process


def test_the_module_is_the_command(rom: Path) -> None:
    line = [sys.executable, "-m", "tracklayer", "run", str(rom), *REFERENCE, "--until-serial", "Passed"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*line[:-1], "Never", "--frames", "5"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1


def test_a_run_imports_nothing_that_it_does_not_need(rom: Path) -> None:
    """What starts a program late is imports: no pictures, tables or compiler where none is asked for."""
    program = (
        "import sys\nfrom tracklayer.cli.commands import tracklayer\n"
        f"tracklayer(['run', {str(rom)!r}, '--engine', 'reference', '--frames', '1'], standalone_mode=False)\n"
        "print(*sorted({'numpy', 'llvmlite', 'rich', 'PIL', 'iced_x86'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


def test_run_saves_and_goes_on_from_a_state(command: Command, tmp_path: Path) -> None:
    rom = tmp_path / "game.gb"
    loop = bytes.fromhex("3e0a ea0000 21 00a0 34 18fd")  # open the RAM; HL = A000; INC [HL] for ever
    rom.write_bytes(cartridge(loop, type_code=0x1B, ram_code=3, banks=4, size_code=1))
    state, other = tmp_path / "a", tmp_path / "x"
    assert command("run", rom, *REFERENCE, "--frames", 2, "--save", "--save-state", state).exit_code == 0
    first = (tmp_path / "game.sav").read_bytes()
    assert len(first) == 0x8000
    result = command("run", rom, *REFERENCE, "--frames", 3, "--load-state", state, "--save", other)
    assert result.exit_code == 0
    assert "5 frames" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "game.gb", "game.sav", "x"]
    assert (tmp_path / "game.sav").read_bytes() == first
    (tmp_path / "game.sav").write_bytes(b"short")
    failed(command("run", rom, *REFERENCE, "--frames", 1, "--save"), "game.sav", "cartridge keeps")
