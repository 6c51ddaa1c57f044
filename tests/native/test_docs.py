"""The pages on the crossing: the tutorial runs as it stands, what they point to exists, the reference is up to date."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "crossing.md"
X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="needs the repository")


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Each block of Python, and what the page says that it prints."""
    return re.findall(r"```python\n(.*?)```(?:\n```text\n(.*?)```)?", page.read_text(), re.DOTALL)


def pattern(shown: str) -> str:
    """What is shown as `...` may be anything."""
    return "".join(".*" if part == "..." else re.escape(part) for part in re.split(r"(\.\.\.)", shown))


@pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")
def test_the_tutorial_runs_as_it_stands_and_prints_what_it_shows(tmp_path: Path) -> None:
    blocks = blocks_of(ROOT / "docs" / "tutorial.md")
    assert len(blocks) == 9 and all(shown for _, shown in blocks)
    script = tmp_path / "tutorial.py"
    script.write_text("".join(f"{block}\nprint(end='\\x1e')\n" for block, _ in blocks))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    for (_, shown), printed in zip(blocks, done.stdout.split("\x1e"), strict=False):
        assert re.fullmatch(pattern(shown), printed, re.DOTALL), f"{printed}\ninstead of\n{shown}"


@pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")
def test_the_typed_function_of_the_page_does_what_the_page_says(tmp_path: Path) -> None:
    (block,) = [block for block, _ in blocks_of(PAGE) if "@function" in block]
    script = tmp_path / "page.py"
    script.write_text(
        f"{block}\nimport numpy\nassert within(numpy.array([1.0, 5.0, 2.0]), 0.0, 3.0, print) == (1.5, 2)\n"
        "within(numpy.array([1.0]), 2.0, 3.0, print)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "0\n2\n"
    assert "in within\n    return total / count, count" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: float division by zero\n")


def test_the_reference_is_what_the_docstrings_say() -> None:
    check = [sys.executable, str(ROOT / "docs" / "make_reference.py"), "--check"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(check, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    import tracklayer.native

    page = (ROOT / "docs" / "reference.md").read_text()
    for name in (*tracklayer.native.__all__, "function", "typed", "Program"):
        assert f"### `{name}" in page, name


def test_what_the_page_names_exists() -> None:
    text = PAGE.read_text()
    for name in re.findall(r"`(?:tests/native/)?(test_\w+\.py)`", text):
        assert (ROOT / "tests" / "native" / name).exists()
    for name in re.findall(r"`(examples/\w+\.py)`", text):
        assert (ROOT / name).exists()
    import tracklayer.native

    reference = text[text.index("## Reference") : text.index("Signatures are")]
    rows = [line.split("|")[1:3] for line in reference.splitlines() if line.startswith("| `")]
    for first, second in rows:
        for name in re.findall(r"`(\w+)", first):
            assert name in (*tracklayer.native.__all__, "operands"), name
        if "`Assembler" in first:
            for name in " ".join(re.findall(r"`([^`]+)`", second)).split():
                assert hasattr(tracklayer.native.Assembler, name), name
    assert len(rows) > 8
