"""Random typed functions of integers and floats, as builtins and as plain Python: the same results, the same errors."""

from __future__ import annotations

import importlib.util
import math
import os
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tracklayer import CompileError, original

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="builtins of typed functions are known for Linux only")
PROGRAMS = int(os.environ.get("TRACKLAYER_FUZZ") or 40)
FLOATS = (0.0, -0.0, 1.0, -1.5, 0.1, 2.0, 1e-300, 1e300, -7.25, 3.0, 1e16, 123456.789, math.inf, math.nan)
INTEGERS = (0, 1, -1, 2, -3, 7, 100, -128, 127)


class Writer:
    """Writes one function with two floats `x y` and two integers `m n`, and locals of both kinds."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.floats = ["x", "y"]
        self.integers = ["m", "n"]

    def float(self, depth: int) -> str:
        pick = self.random.random()
        if depth == 0 or pick < 0.15:
            return self.random.choice([*self.floats, "0.5", "-3.0", "1e10", "0.25", "2.5"])
        a, b = self.float(depth - 1), self.float(depth - 1)
        if pick < 0.55:
            return f"({a} {self.random.choice('+-*/')} {b})"
        if pick < 0.65:
            return f"({a} {self.random.choice(['//', '%'])} {b})"
        if pick < 0.75:
            b = self.integer(depth - 1)
            return f"({a} {self.random.choice('+-*/')} {b})"
        if pick < 0.9:
            names = ["abs", "math.sqrt", "math.sin", "math.exp", "f32", "-", "math.atan", "math.fabs"]
            name = self.random.choice(names)
            return f"({name}({a}))"
        if pick < 0.95:
            return f"{self.random.choice(['min', 'max', 'math.copysign', 'math.pow'])}({a}, {b})"
        return f"({a} if {self.condition(depth - 1)} else {b})"

    def integer(self, depth: int) -> str:
        pick = self.random.random()
        if depth == 0 or pick < 0.2:
            return self.random.choice([*self.integers, "3", "-2", "17"])
        a, b = self.integer(depth - 1), self.integer(depth - 1)
        if pick < 0.6:
            return f"i16({a} {self.random.choice('+-*&|^')} {b})"
        if pick < 0.8:
            return f"i16({a} {self.random.choice(['//', '%'])} {b})"
        if pick < 0.9:
            return f"i16({self.random.choice(['int', 'round', 'math.floor', 'math.ceil'])}({self.float(depth - 1)}))"
        return f"({a} if {self.condition(depth - 1)} else {b})"

    def condition(self, depth: int) -> str:
        kind = self.random.choice([self.float, self.integer])
        how = self.random.choice(["<", "<=", "==", "!=", ">", ">="])
        text = f"{kind(depth)} {how} {kind(depth)}"
        if depth and self.random.random() < 0.3:
            return f"({text} {self.random.choice(['and', 'or'])} {self.condition(depth - 1)})"
        return f"not {text}" if self.random.random() < 0.1 else text

    def statements(self, depth: int, indent: str) -> list[str]:
        lines = []
        for _ in range(self.random.randint(1, 3)):
            pick = self.random.random()
            if pick < 0.4:
                lines.append(f"{indent}{self.random.choice(self.floats)} = {self.float(3)}")
            elif pick < 0.6:
                lines.append(f"{indent}{self.random.choice(self.integers)} = {self.integer(3)}")
            elif pick < 0.75 and depth:
                lines += [f"{indent}if {self.condition(2)}:", *self.statements(depth - 1, indent + "    ")]
                lines += [f"{indent}else:", *self.statements(depth - 1, indent + "    ")]
            elif pick < 0.9 and depth:
                count = f"k{len(indent)}"
                lines += [f"{indent}for {count} in range({self.random.choice(['n', 'm', '5'])} & 7):"]
                lines += self.statements(depth - 1, indent + "    ")
                if self.random.random() < 0.3:
                    lines += [f"{indent}    if {self.condition(1)}:", f"{indent}        break"]
            else:
                lines.append(f"{indent}{self.random.choice(self.floats)} += {self.float(2)}")
        return lines

    def text(self) -> str:
        body = [f"    p = {self.float(2)}", "    c: i16 = 0"]
        self.floats.append("p")
        self.integers.append("c")
        body += self.statements(2, "    ")
        return "\n".join(["@function", "def f(x: f64, y: f64, m: i16, n: i16) -> tuple[f64, i64]:", *body,
                          f"    return {self.float(2)} + p, c + m", ""])  # fmt: skip


def module_of(text: str, folder: Path, name: str) -> ModuleType:
    path = folder / f"{name}.py"
    head = "import math\nfrom tracklayer import function\nfrom tracklayer.lang import f32, f64, i16, i64\n"
    path.write_text(head + text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outcome(function: Any, *arguments: Any) -> str:
    try:
        return repr(function(*arguments))
    except (ArithmeticError, ValueError) as error:
        return type(error).__name__


def test_random_functions_do_the_same_in_plain_python(tmp_path: Path) -> None:
    compiled = 0
    for seed in range(PROGRAMS):
        writer = Writer(seed)
        text = writer.text()
        made = module_of(text, tmp_path, f"fuzz_{seed}").f
        inputs = random.Random(seed)
        for _ in range(30):
            x, y = inputs.choice(FLOATS), inputs.choice(FLOATS)
            m, n = inputs.choice(INTEGERS), inputs.choice(INTEGERS)
            try:
                got = outcome(made, x, y, m, n)
            except CompileError as error:
                folded = ("divides by zero", "ZeroDivisionError", " raised ")  # known beforehand
                assert any(one in str(error) for one in folded), text + str(error)
                break
            expected = outcome(original(made), x, y, m, n)
            assert got == expected or "OverflowError" in got, f"seed {seed}, f{(x, y, m, n)}:\n{text}"
        else:
            compiled += 1
    assert compiled > PROGRAMS // 2
