"""The examples run, and do what they say."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = [
    pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux"),
    pytest.mark.skipif(not EXAMPLES.exists(), reason="needs the repository"),
]


def run(name: str, *arguments: str, given: bytes = b"") -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_hello_as_raw_bytes() -> None:
    assert run("hello_bytes") == "Hello, world!\nthe system wrote 14 bytes\n"


def test_hello_by_the_assembler() -> None:
    lines = run("hello_assembler").splitlines()
    assert "48 8d 35 08 00 00 00" in lines[2] and "lea rsi, [text]" in lines[2]
    assert lines[-2:] == ["Hello, world!", "<built-in function hello> wrote 14 bytes"]


def test_three_in_and_two_out() -> None:
    assert run("three_in_two_out") == "Python was called with 1, 2, 10\n(3, 11)\n"


def test_collecting_in_a_callback() -> None:
    assert run("collecting") == "while generated code holds it: alive\nafter it was dropped: gone\n"


def test_recursion_through_both_sides() -> None:
    lines = run("recursion").splitlines()
    assert lines[0] == "16 discs take 65535 moves"
    assert lines[1].startswith("MainThread: stopped far down")
    assert lines[2].startswith("small thread: stopped far down")
    assert lines[3] == "and all goes on: 31"


def test_every_kind_of_argument() -> None:
    lines = run("every_kind").splitlines()
    assert sum("Python sees" in line for line in lines) == 9
    assert [line.partition(":")[0] for line in lines[-4:]] == [
        "OverflowError",
        "OverflowError",
        "TypeError",
        "TypeError",
    ]


def test_a_typed_function_draws_the_same_picture_as_plain_python() -> None:
    lines = run("typed_function", "38").splitlines()
    assert len(lines) == 16 and lines[-1] == "<built-in function rows>: the same picture as plain Python"
    assert sum(line.count("@") for line in lines) > 60


def test_brainfuck(tmp_path: Path) -> None:
    assert run("brainfuck") == "Hello World!\n"
    program = tmp_path / "reverse.bf"
    program.write_text(">,[>,]<[.<]")
    assert run("brainfuck", str(program), given=b"abc") == "cba"
    assert len((EXAMPLES / "brainfuck.py").read_text().splitlines()) < 150
    brainfuck = module("brainfuck")
    squares: list[int] = []
    source = (
        "++++[>+++++<-]>[<+++++>-]+<+[>[>+>+<<-]++>>[<<+>>-]>>>[-]++>[-]+>>>+[[-]++++++>>>]<<<[[<++++++++<++>>-]+<.<[>-"
    )
    source += "---<-]<]<<[>>>>>[>>>[-]+++++++++<[>-<-]+++++++++>[-[<->-]+[<<<]]<[>+<-]>]<<-]<<-]"
    brainfuck.compile_brainfuck(source, squares.append, lambda: 0)(bytearray(1000))
    assert bytes(squares).split() == [str(i * i).encode() for i in range(101)]
    with pytest.raises(brainfuck.LeftTheTape):
        brainfuck.compile_brainfuck("+[>+]", print, lambda: 0)(bytearray(50))
    with pytest.raises(brainfuck.LeftTheTape):
        brainfuck.compile_brainfuck("<", print, lambda: 0)(bytearray(50))
    with pytest.raises(SyntaxError, match="without its"):
        brainfuck.compile_brainfuck("[", print, lambda: 0)
    with pytest.raises(OverflowError, match="must return u8"):
        brainfuck.compile_brainfuck(",", print, lambda: 256)(bytearray(50))


def test_brainfuck_can_be_interrupted() -> None:
    brainfuck = module("brainfuck")
    endless = brainfuck.compile_brainfuck("+[]", print, lambda: 0)
    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), 2))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        endless(bytearray(10))
    timer.join()


def test_regex_races_re() -> None:
    assert [line.split()[-2] for line in run("regex").splitlines()] == ["20000", "2000", "2000", "4000"]


def test_regex_agrees_with_re() -> None:
    """On patterns where the longest match is the one that Python finds too."""
    regex = module("regex")
    chooser = random.Random(3)
    patterns = (
        "a", "ab*c", "a+b?", "[abc]+", "[^ab]", "(ab|cd)+", "a.c", r"\d+\.\d*", "(a|b)(c|d)*", "[a-c1-3]+x?", r"\[a\]",
        "x*y", "(a(b(c)?)?)+d", r"\w+@\w+", "[]a]+", "[^]]", "a|bc", "(aa)*b",
    )  # fmt: skip
    for source in patterns:
        ours, theirs = regex.Pattern(source), re.compile(source.encode())
        for _ in range(200):
            data = "".join(chooser.choices("abcdxy123.@[] ", k=chooser.randrange(30))).encode()
            assert ours.findall(data) == [match.group() for match in theirs.finditer(data)], (source, data)
    assert regex.Pattern("[0-9]+").find(b"ab12c") == (2, 4)
    assert regex.Pattern("[0-9]+").find(b"ab12c", 4) is None
    for wrong in ("(a", "a)", "[a"):
        with pytest.raises(ValueError, match=r"without its|too many"):
            regex.Pattern(wrong)


def test_two_consoles_swap_a_message_over_tcp() -> None:
    assert sorted(run("link_over_tcp").splitlines()) == [
        "the first console received:  hello from two! ",
        "the second console received: hello from one! ",
    ]
