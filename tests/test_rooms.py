"""Every import of every module, held against the table of rooms.

A room may use what lies below it and nothing else; that is what keeps a machine unaware of the compiler, and the
translator unaware of the guest. The table here is the one of the design; to change it is a decision, not a repair.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tracklayer"

#          room          rooms of ours that it may import
ROOMS = {
    "lang":      (),
    "native":    (),
    "compiler":  ("lang", "native"),
    "isa":       ("lang",),
    "cpu":       ("lang", "isa"),
    "machine":   ("lang", "isa", "cpu"),
    "translate": ("lang", "isa", "compiler", "native"),
    "demo":      ("isa", "cpu"),
    "api":       ("lang", "native", "compiler", "isa", "cpu", "machine", "translate", "demo"),
    "cli":       ("api",),
    "env":       ("api",),
    "":          ("api",),      # the package itself: names of the api, imported when first asked for
    "__main__":  ("cli",),
}  # fmt: skip

# Within a room: siblings that never import each other, and the one through which they share.
SIBLINGS = {"machine": "common", "cpu": None}

#          room          what it may import that is neither ours nor Python's own
FOREIGN = {
    "native":    ("iced_x86", "llvmlite", "numpy"),
    "compiler":  ("llvmlite",),
    "translate": ("numpy",),
    "api":       ("numpy", "PIL"),
    "cli":       ("click", "rich", "numpy"),
    "env":       ("gymnasium", "numpy"),
}  # fmt: skip


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> list[str]:
    """The dotted package that relative imports of a module start from, as a list: ["tracklayer", "machine", "gb"]."""
    return list(path.relative_to(ROOT).parent.parts)


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    if len(parts) > 1:
        return parts[0]
    return "" if parts[0] == "__init__.py" else Path(parts[0]).stem


def imports(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a module imports, wherever in the module that happens."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, *([node.module] if node.module else []), alias.name])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0].value
            if called in ("import_module", "__import__") and isinstance(name, str):
                level = len(name) - len(name.lstrip("."))
                base = package[: len(package) - level + 1] if level else []
                yield node.lineno, ".".join([*base, *filter(None, name.lstrip(".").split("."))])


def complaint(path: Path, name: str) -> str | None:
    """Why a module may not import a name; None where it may."""
    room = room_of(path)
    top, *rest = name.split(".")
    if top != "tracklayer":
        if top in sys.stdlib_module_names or top in FOREIGN.get(room, ()):
            return None
        return f"{room or 'the package root'} may import of others {FOREIGN.get(room, ()) or 'nothing'}, not {top}"
    target = rest[0] if rest and (rest[0] in ROOMS or (PACKAGE / rest[0]).is_dir()) else ""
    if room not in ROOMS:
        return f"{room} is not a room; add it to the table with what it may import"
    if target == room:
        if room not in SIBLINGS or len(rest) < 2:
            return None
        mine = path.relative_to(PACKAGE).parts[1]
        shared = SIBLINGS[room]
        if rest[1] in (mine, shared) or not (PACKAGE / room / rest[1]).is_dir():
            return None
        return f"{room}/{mine} may share with {room}/{rest[1]} through {room}/{shared} only"
    if target in ROOMS[room]:
        return None
    return f"{room or 'the package root'} may import {', '.join(ROOMS[room]) or 'no other room'}, not {target or name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: imports {name}: {why}"
        for line, name in imports(tree, package_of(path))
        if (why := complaint(path, name)) is not None
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("module", "text", "right"),
    [
        ("machine/gb/bus.py", "from ..common import clock", True),
        ("machine/gb/bus.py", "from ...cpu.sm83 import rows", True),
        ("machine/gb/bus.py", "from ...compiler import build", False),
        ("machine/gb/bus.py", "def f():\n    import tracklayer.translate", False),
        ("machine/gba/bus.py", "from ..gb import bus", False),
        ("machine/gba/bus.py", "from tracklayer.machine.gb.bus import GB", False),
        ("cpu/arm/rows.py", "from ..sm83 import rows", False),
        ("translate/blocks.py", "from tracklayer.cpu import sm83", False),
        ("lang/structs.py", "import numpy", False),
        ("lang/structs.py", "import ctypes", True),
        ("cli/run.py", "import importlib\nimportlib.import_module('tracklayer.machine.gb')", False),
        ("cli/run.py", "from ..api import GameBoy", True),
        ("__init__.py", "from .api import GameBoy", True),
        ("__init__.py", "from .machine import gb", False),
    ],
)
def test_the_table_tells_right_from_wrong(module: str, text: str, right: bool) -> None:
    path = PACKAGE / module
    complaints = [complaint(path, name) for _, name in imports(ast.parse(text), package_of(path))]
    assert complaints, text
    assert all(why is None for why in complaints) == right, complaints


def test_importing_the_package_is_quick_and_pulls_nothing_heavy_in() -> None:
    """`import tracklayer` costs under 0.15 s, because names are imported when first asked for."""
    program = (
        "import sys, time; start = time.perf_counter(); import tracklayer; seconds = time.perf_counter() - start\n"
        "heavy = {'numpy', 'llvmlite', 'rich', 'PIL', 'click', 'iced_x86'} & set(sys.modules)\n"
        "print(seconds, *sorted(heavy))"
    )
    best = 9.9
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        seconds, *heavy = run.stdout.split()
        assert not heavy
        best = min(best, float(seconds))
    assert best < 0.15
