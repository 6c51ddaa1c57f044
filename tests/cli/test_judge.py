"""Judging: every way, on little cartridges made for the purpose, and the command around them."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.api.images import cartridge, sender
from tests.api.test_vectors import inc_b
from tracklayer.api.pictures import save_png
from tracklayer.cli.manifest import Library, Task
from tracklayer.cli.ways import WAYS, Program, Verdict, read_digits

from .conftest import Command, parsed

LOOP = bytes.fromhex("18fe")
BLACK = bytes.fromhex("3eff e047 18fe")  # BGP = FF
TONE = bytes.fromhex("3ef0 e012 3e87 e014 18fe")  # channel 1, full volume
BREAK = bytes.fromhex("40 18fe")
FIBONACCI = bytes.fromhex("0603 0e05 1608 1e0d 2615 2e22")  # B C D E H L = 3 5 8 13 21 34
GLYPHS = {
    "0": ["########"] * 8,
    "1": ["........"] * 8,
    "7": ["####...."] * 8,
}


def judged(tmp_path: Path, image: bytes, how: dict[str, Any], model: str = "dmg", **more: Any) -> Verdict:
    (tmp_path / "x.gb").write_bytes(image)
    task = Task("x.gb", "s", "gb", model, how, more.get("truth", True), str(tmp_path))
    return WAYS[how["how"]](Program(task, "reference", Library(str(tmp_path))))


# ---------------------------------------------------------------------- each way

SERIAL = {"how": "serial-text", "contains": "Passed", "fail_contains": "Failed", "seconds": 0.5}


@pytest.mark.parametrize(
    ("text", "verdict", "words"),
    [
        (b"Passed", "pass", ""),
        (b"Failed #3", "fail", "Failed #3"),
        (b"Maybe", "fail", "after 0.5 s no 'Passed'; sent: Maybe"),
        (b"", "fail", "sent: nothing"),
    ],
)
def test_serial_text(tmp_path: Path, text: bytes, verdict: str, words: str) -> None:
    found = judged(tmp_path, cartridge(sender(text)), SERIAL)
    assert found.verdict == verdict
    assert words in found.reason


BLARGG = {
    "how": "blargg-memory", "status_address": "0xA000", "running": "0x80", "pass": "0x00", "text_address": "0xA004",
    "signature": {"address": "0xA001", "bytes": "DE B0 61"}, "seconds": 0.2,
}  # fmt: skip


def blargg(status: int, text: bytes = b"", signature: bytes = b"\xde\xb0\x61") -> bytes:
    code = bytearray(bytes.fromhex("2100a0"))
    for byte in bytes((status,)) + signature + text + b"\0":
        code += bytes((0x3E, byte, 0x22))  # LD A,byte; LD [HL+],A
    return cartridge(bytes(code) + LOOP)


@pytest.mark.parametrize(
    ("image", "verdict", "words"),
    [
        (blargg(0), "pass", ""),
        (blargg(3, b"Test\nfailed"), "fail", "status 03: Test failed"),
        (blargg(0x80), "fail", "still running after 0.2 s"),
        (blargg(0, signature=b"abc"), "fail", "no signature in cartridge RAM after 0.2 s; PC="),
    ],
)
def test_blargg_memory(tmp_path: Path, image: bytes, verdict: str, words: str) -> None:
    found = judged(tmp_path, image, BLARGG)
    assert found.verdict == verdict
    assert words in found.reason


MOONEYE = {
    "how": "mooneye-registers", "registers": {"B": 3, "C": 5, "D": 8, "E": 13, "H": 21, "L": 34}, "seconds": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("program", "verdict", "words"),
    [
        (FIBONACCI + BREAK, "pass", ""),
        (FIBONACCI + b"\x04" + BREAK, "fail", "B=04 C=05 D=08 E=0D H=15 L=22"),
        (FIBONACCI + LOOP, "fail", "no LD B,B within 0.1 s; PC=015C"),
    ],
)
def test_mooneye_registers(tmp_path: Path, program: bytes, verdict: str, words: str) -> None:
    found = judged(tmp_path, cartridge(program), MOONEYE)
    assert found.verdict == verdict
    assert words in found.reason


def test_the_text_of_a_failure_is_read_from_the_map(tmp_path: Path) -> None:
    program = bytes.fromhex("af e040 210098 3e4f 22 3e68 22 40 18fe")  # LCD off; "Oh" into the map
    assert "screen: Oh" in judged(tmp_path, cartridge(program), MOONEYE).reason


MICRO = {
    "how": "gbmicrotest-memory", "result": "0xFF80", "expected": "0xFF81", "verdict": "0xFF82", "pass": "0x01",
    "fail": "0xFF", "frames": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("bytes_", "verdict", "words"),
    [
        ((5, 5, 1), "pass", ""),
        ((5, 6, 0xFF), "fail", "got 05, expected 06"),
        ((0, 0, 0), "fail", "no verdict after 3 frames: FF82 holds 00"),
    ],
)
def test_gbmicrotest_memory(tmp_path: Path, bytes_: tuple[int, int, int], verdict: str, words: str) -> None:
    code = b"".join(bytes((0x3E, byte, 0xE0, 0x80 + index)) for index, byte in enumerate(bytes_))
    found = judged(tmp_path, cartridge(code + LOOP), MICRO)
    assert found.verdict == verdict
    assert words in found.reason


def test_gbmicrotest_without_a_verdict_of_its_own_is_unjudged(tmp_path: Path) -> None:
    assert judged(tmp_path, cartridge(LOOP), MICRO).verdict == "unjudged"


def gambatte(expected: dict[str, str]) -> dict[str, Any]:
    return {"how": "gambatte-name", "expected": expected, "frames": 3, "glyphs": "glyphs.json"}


@pytest.mark.parametrize(
    ("program", "expected", "verdict", "words"),
    [
        (LOOP, "11", "pass", ""),
        (BLACK, "00", "pass", ""),
        (BLACK, "01", "fail", "shows 00, expected 01"),
        (BLACK, "audio0", "pass", ""),
        (BLACK, "audio1", "fail", "audio0, expected audio1"),
        (TONE, "audio1", "pass", ""),
        (TONE, "audio0", "fail", "audio1, expected audio0"),
    ],
)
def test_gambatte_name(tmp_path: Path, program: bytes, expected: str, verdict: str, words: str) -> None:
    (tmp_path / "glyphs.json").write_text(json.dumps(GLYPHS))
    found = judged(tmp_path, cartridge(program), gambatte({"dmg": expected}))
    assert found.verdict == verdict
    assert words in found.reason
    assert judged(tmp_path, cartridge(program), gambatte({"cgb": expected})).verdict == "unjudged"


def test_digits_are_read_tile_by_tile() -> None:
    shades = numpy.zeros((144, 160), numpy.uint8)
    shades[:8, :8] = 3
    shades[:8, 8:12] = 2
    shades[0, 24] = 3
    assert read_digits(shades, 4, GLYPHS) == "071?"


def picture(tmp_path: Path, name: str, grey: int, width: int = 160) -> str:
    save_png(numpy.full((144, width, 3), grey, numpy.uint8), tmp_path / name)
    return name


def test_screenshots_are_compared_pixel_by_pixel(tmp_path: Path) -> None:
    black, white = picture(tmp_path, "black.png", 0), picture(tmp_path, "white.png", 255)
    shot = {"how": "screenshot", "seconds": 0.1}
    assert judged(tmp_path, cartridge(BLACK), {**shot, "reference": black}).verdict == "pass"
    found = judged(tmp_path, cartridge(BLACK), {**shot, "reference": white})
    assert (found.verdict, found.reason) == ("fail", "23,040 pixels differ from white.png, everywhere")
    found = judged(tmp_path, cartridge(BLACK), {**shot, "reference": white}, truth=False)
    assert "another emulator" in found.reason


def test_one_of_several_pictures_for_the_model_is_enough(tmp_path: Path) -> None:
    names = [
        picture(tmp_path, name, grey) for name, grey in (("a_0.dmg.png", 255), ("a_1.dmg.png", 0), ("a.gbc.png", 85))
    ]
    shot = {"how": "screenshot", "frames": 3, "reference": names}
    assert judged(tmp_path, cartridge(BLACK), shot).verdict == "pass"
    found = judged(tmp_path, cartridge(BLACK), {**shot, "reference": ["a.gbc.png", "b_cgb.png"]})
    assert (found.verdict, found.reason) == ("unjudged", "none of the pictures is for model dmg")


def test_a_screenshot_is_taken_where_the_program_stops(tmp_path: Path) -> None:
    black = picture(tmp_path, "black.png", 0)
    # Black; 40 ms later LD B,B; another 60 ms later white.
    wait = bytes.fromhex("010020 0b 78 b1 20fb")
    program = bytes.fromhex("3eff e047") + wait + b"\x40" + wait + bytes.fromhex("af e047 18fe")
    shot = {"how": "screenshot", "seconds": 1, "reference": black}
    assert judged(tmp_path, cartridge(program), {**shot, "stop_opcode": "0x40 (LD B,B)"}).verdict == "pass"
    assert judged(tmp_path, cartridge(program), shot).verdict == "fail"


def test_a_picture_of_another_size_is_a_failure_in_words(tmp_path: Path) -> None:
    wide = picture(tmp_path, "wide.png", 0, width=256)
    found = judged(tmp_path, cartridge(BLACK), {"how": "screenshot", "frames": 2, "reference": wide})
    assert "wide.png is 256x144, the screen 160x144" in found.reason


def test_a_picture_of_a_window_is_compared_by_what_is_drawn(tmp_path: Path) -> None:
    # LCD off; the boot ROM's sign goes; a tile with one row of colour 3 somewhere; LCD on.
    code = bytes.fromhex("af e040 ea1099 210082 3eff 22 22 212198 3e20 77 3ee4 e047 3e91 e040 18fe")
    window = numpy.full((320, 330, 3), 255, numpy.uint8)
    window[40:42, 30:46] = (0, 0, 200)
    save_png(window, tmp_path / "window.png")
    how = {"how": "screenshot", "frames": 4, "reference": "window.png"}
    assert judged(tmp_path, cartridge(code), how).verdict == "pass"
    window[40, 30] = 255
    save_png(window, tmp_path / "window.png")
    assert "window.png is 330x320" in judged(tmp_path, cartridge(code), how).reason


def test_screen_colour(tmp_path: Path) -> None:
    words = "whole screen green (white on dmg); red or blue is a failure"
    how = {"how": "screen-colour", "what": words, "frames": 3}
    white = bytes.fromhex("af e047 18fe")
    assert judged(tmp_path, cartridge(white), how).verdict == "pass"
    assert judged(tmp_path, cartridge(BLACK), how).reason == "not all white: 23040 pixels of shade 3"
    assert judged(tmp_path, cartridge(white), {**how, "what": "something pretty"}).verdict == "unjudged"


@pytest.mark.parametrize(
    ("colour", "reason"),
    [("e003", ""), ("1f00", "not green: red 255, green 0, blue 0"), ("007c", "not green: red 0, green 0, blue 255")],
)
def test_screen_colour_of_a_color(tmp_path: Path, colour: str, reason: str) -> None:
    image = bytearray(cartridge(bytes.fromhex(f"3e80 e068 3e{colour[:2]} e069 3e{colour[2:]} e069 18fe")))
    image[0x143] = 0x80
    words = "whole screen green (white on dmg); red or blue is a failure"
    how = {"how": "screen-colour", "what": words, "frames": 3}
    assert judged(tmp_path, bytes(image), how, model="cgb").reason == reason


def test_vectors_and_nothing(tmp_path: Path) -> None:
    good = gzip.compress(json.dumps(inc_b(0x10)).encode())
    bad = gzip.compress(json.dumps(inc_b(0x11)).encode())
    assert judged(tmp_path, good, {"how": "cpu-vectors"}, model="sm83").verdict == "pass"
    assert "1 of 1 cases" in judged(tmp_path, bad, {"how": "cpu-vectors"}, model="sm83").reason
    assert judged(tmp_path, b"", {"how": "none", "what": "a game"}) == ("unjudged", "nothing automatic: a game")


# ---------------------------------------------------------------------- the command


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Programs that pass, fail, are missing, are damaged, or cannot be judged."""
    (tmp_path / "good.gb").write_bytes(cartridge(sender(b"Passed")))
    (tmp_path / "bad.gb").write_bytes(cartridge(sender(b"Failed")))
    (tmp_path / "text.gb").write_text("Dear Sir or Madam,\n")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("in/packed.gb", cartridge(sender(b"Passed")))
    how = {"how": "serial-text", "contains": "Passed", "fail_contains": "Failed", "seconds": 0.2}
    base = {"system": "gb", "model": ["dmg"], "suite": "one", "pass": how}
    entries = [
        {**base, "path": "good.gb", "model": ["dmg", "nes"]},
        {**base, "path": "bad.gb", "suite": "two"},
        {**base, "path": "missing.gb"},
        {**base, "path": "text.gb"},
        {**base, "path": "more.zip::in/packed.gb"},
        {**base, "path": "other.gba", "system": "gba", "model": ["gba"]},
        {**base, "path": "good.gb", "pass": {"how": "telepathy"}},
        {**base, "path": "bad.gb", "note": "broken in itself; do not count it"},
    ]
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(entries))
    return file


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_program_gets_a_verdict(command: Command, manifest: Path, jobs: int) -> None:
    result = command("judge", manifest, "--engine", "reference", "--jobs", jobs, "--json")
    assert result.exit_code == 1
    results = parsed(result)["results"]
    assert [(entry["path"], entry["model"], entry["verdict"]) for entry in results] == [
        ("good.gb", "dmg", "pass"),
        ("good.gb", "nes", "unjudged"),
        ("bad.gb", "dmg", "fail"),
        ("missing.gb", "dmg", "fail"),
        ("text.gb", "dmg", "fail"),
        ("more.zip::in/packed.gb", "dmg", "pass"),
        ("other.gba", "gba", "unjudged"),
        ("good.gb", "dmg", "unjudged"),
        ("bad.gb", "dmg", "unjudged"),
    ]
    for entry in results:
        assert list(entry) == ["path", "suite", "model", "engine", "verdict", "reason", "seconds"]
        assert entry["engine"] == "reference"
        assert (entry["reason"] == "") == (entry["verdict"] == "pass")
    reasons = [entry["reason"] for entry in results]
    assert "model nes not built yet" in reasons
    assert "system gba not built yet" in reasons
    assert any("No such file" in reason for reason in reasons)
    assert any("text file" in reason for reason in reasons)


def test_the_table_and_the_failures_are_shown(command: Command, manifest: Path) -> None:
    result = command("judge", manifest, "--engine", "reference", "--jobs", 1)
    assert result.exit_code == 1
    for words in (
        "one",
        "two",
        "pass",
        "FAIL bad.gb (dmg): sent: Failed",
        "unjudged 1: no way of judging by telepathy",
    ):
        assert words in result.stdout


def test_options_choose_and_success_is_the_status(command: Command, manifest: Path) -> None:
    chosen = ("judge", manifest, "--engine", "reference", "--jobs", 1, "--json")
    result = command(*chosen, "--path", "good*", "--model", "dmg")
    assert result.exit_code == 0
    assert len(parsed(result)["results"]) == 2
    assert len(parsed(command(*chosen, "--suite", "two"))["results"]) == 1
    assert len(parsed(command(*chosen, "--system", "gba"))["results"]) == 1
    nothing = command(*chosen, "--suite", "three")
    assert nothing.exit_code == 1
    assert "no program" in nothing.stderr


def test_what_is_no_manifest_is_refused(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text("[")
    result = command("judge", file, "--engine", "reference")
    assert result.exit_code == 1
    assert "not JSON" in result.stderr
