"""docs/crossing.md: its tutorial runs as it stands, and what it points to exists."""

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


@pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")
def test_the_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 6
    script = tmp_path / "tutorial.py"
    script.write_text("\n".join(blocks))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "<built-in function add>" in done.stdout
    assert "add() argument 'x' must be an integer, not str" in done.stdout
    assert done.stdout.count("number ") == 3 + 3
    assert re.search(r'tutorial\.py", line \d+, in count_up\n    a\.call\(a\.callback\(shout', done.stderr)


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
