"""What is outside the subset is refused: with file, line, column, the expression, and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tracklayer.compiler.errors import CompileError
from tracklayer.compiler.program import Program

from .harness import module_of

HEAD = """from __future__ import annotations

from typing import Any

from tracklayer.lang import (
    Array, Host, Object, Ptr, acquire, array, ask, comptime, go, i8, i32, i64, null, pointer, pointer_at, publish,
    struct,
    tell, typed, u1, u8, u16, u32, u64, unlikely,
)

TABLE = (1, 2, 3)
HUGE = (1, 1 << 70)
TEXT = "text"

@struct
class Line:
    y: u8
    on: u1
    pixels: Array[u8] = array(8)

@struct
class S:
    host: Host
    function: Object
    count: u32
    wide: u64
    line: Line
    lines: Array[Line] = array(4)
    cells: Array[u8] = array(16)
    p: Ptr[u8]
    q: Ptr[u16]

def plain(x):
    return x

@comptime
def failing(x):
    raise LookupError("none of these")

@typed
def returns_nothing(s: S) -> None:
    s.count = 1

@typed
def two(x: u8) -> tuple[u8, u8]:
    return x, x

@typed
def forever(x: u8) -> u8:
    return forever(x)

@typed(outline=True)
def gives_pointer(s: S) -> Ptr[u8]:
    return s.p

@typed(outline=True)
def takes_anything(x: Any) -> u8:
    return 1

"""


class Case(NamedTuple):
    """A body of `f(s: S, x: u8, y: i32, z: u64)`, the expression at fault, and what the error says.

    The faulty expression stands in the body's last line that holds it.
    """

    body: str
    expression: str
    problem: str
    mend: str = ""
    result: str = "u64"


CASES = [
    # Values and their intervals.
    Case("return s.cells[x]", "s.cells[x]", r"the index is an integer in 0\.\.255, the array has 16 elements",
         r"show that it lies in 0\.\.15"),
    Case("return s.lines[y & 7].y", "s.lines[y & 7]", "the index is an integer in 0..7, the array has 4"),
    Case("return s.cells[-1]", "s.cells[-1]", "the index is -1"),
    Case("return TABLE[x & 3]", "TABLE[x & 3]", "the table has 3 entries", "mask it, or compare it just before"),
    Case("return HUGE[x & 1]", "HUGE[x & 1]", "more than 64 bits"),
    Case("return z * z", "z * z", "more than 64 bits", r"narrow an operand or the result: u32\(...\)"),
    Case("return z + y", "z + y", "more than 64 bits", "& mask"),
    Case("return u64(y < z)", "y < z", "may be negative and the other may pass 63 bits", "narrow both sides"),
    Case("return u64(x / 2)", "x / 2", "the operator Div is not in the typed subset", "use // "),
    Case("return x // x", "x // x", "`//` needs a known positive divisor"),
    Case("return x % -3", "x % -3", "needs a known positive divisor, this is -3"),
    Case("return x << y", "x << y", "the shift count lies in", "mask it"),
    Case("return z >> 64", "z >> 64", "the shift count lies in 64..64"),
    Case("return 1 << (1 << 30)", "1 << (1 << 30)", "shifted by"),
    Case("return 5 // 0", "5 // 0", "ZeroDivisionError"),
    Case("return x + 'a'", "x + 'a'", "an integer is needed here, this is 'a'"),
    Case("return u64(x ** 2)", "x ** 2", "the operator Pow"),
    Case("return x @ x", "x @ x", "the operator MatMult"),
    Case("return TEXT < 3", "TEXT < 3", "not supported between instances of 'str' and 'int'"),
    Case("return (1 << 70) >> (x & 7)", "1 << 70 >> (x & 7)", "does not fit 64 bits"),
    # Types that are declared.
    Case("a: u8 = y\nreturn a", "a", "a is declared u8, the value is an integer in -2147483648",
         r"narrow it: u8\(...\)"),
    Case("x = 256\nreturn x", "x", "x is declared u8, the value is 256"),
    Case("return y", "return y", "the result of f is declared u64", r"narrow it: u64"),
    Case("s.line.on = x\nreturn 0", "s.line.on", "a u1 is stored from an integer in 0..255", "show that it is 0 or 1"),
    Case("s.line = s.lines[0]\nreturn 0", "s.line", "a Line cannot be stored to as a whole", "store to its fields"),
    Case("return s.line", "return s.line", "an integer is needed here, this is a Line"),
    Case("s.p = s.q\nreturn 0", "s.p", r"a Ptr\[u8\] is stored from a pointer"),
    Case("s.p = 0\nreturn 0", "s.p", r"a Ptr\[u8\] is stored from 0", "null"),
    Case("a: str = 1\nreturn a", "a: str = 1", "annotated with a type of numbers, a struct, a Ptr or an Object"),
    Case("a: float = 1\nreturn a", "a: float = 1", "a is declared f64, the value is 1", "write f64"),
    Case("a: 'u8' = 1\nreturn a", "a: 'u8' = 1", "the annotation is a string"),
    Case("a: u8\nreturn 1", "a: u8", "declares a local variable with its value"),
    Case("return two(y)[0]", "two(y)", "x of two is declared u8", "narrow it"),
    Case("returns_nothing(s.line)\nreturn 0", "returns_nothing(s.line)",
         "s of returns_nothing is declared S, the value is a Line"),
    Case("return (x, x)", "return (x, x)", "an integer is needed here, this is a tuple of 2"),
    Case("return x", "return x", "declared to return 2 values|is no tuple", result="tuple[u8, u8]"),
    Case("if x:\n    return 1", "def f(s: S, x: u8, y: i32, z: u64) -> u64:", "can end without returning a u64",
         "return a value on every path"),
    # Names and fields.
    Case("return nowhere", "nowhere", "nowhere is not defined here"),
    Case("if x:\n    a = 1\nreturn a", "a", "a is not set on every path", "set it on every path"),
    Case("while x > 3:\n    x = TABLE2\n    TABLE2 = 3\nreturn 0", "TABLE2",
         "TABLE2 is not set on every path that leads here"),
    Case("if x:\n    a = s\nelse:\n    a = 5\nreturn a", "a", "of different kinds on the paths that meet"),
    Case("t = (1, x)\nwhile x < 9:\n    x = u8(x + t[0])\n    t = (x, 2)\nreturn 0", "t",
         "t is changed by this loop, and neither an integer nor a pointer"),
    Case("r = s.lines[0]\nwhile x < 9:\n    x = u8(x + r.y)\n    r = s.lines[1]\nreturn 0", "r",
         "changed by this loop"),
    Case("p = s.p\nwhile x < 9:\n    x = u8(x + p[0])\n    p = s.q\nreturn 0", "p", "changed by this loop"),
    Case("return s.nothing", "s.nothing", "S has no field or typed method nothing"),
    Case("s.nothing = 1\nreturn 0", "s.nothing", "a S has no field nothing"),
    Case("return x.bits", "x.bits", "an integer in 0..255 has no fields"),
    Case("return TEXT.nothing", "TEXT.nothing", "'str' object has no attribute 'nothing'"),
    Case("return x[0]", "x[0]", "an integer in 0..255 has no elements"),
    Case("return two(x)[2]", "two(x)[2]", "the index is 2, the tuple has 2 items"),
    Case("return two(x)[y & 1]", "two(x)[y & 1]", "a tuple of run-time values needs a known index"),
    Case("return TABLE[5]", "TABLE[5]", "IndexError"),
    Case("return TEXT[x & 1]", "TEXT[x & 1]", "only a known tuple of integers can be indexed by a run-time value"),
    Case("return s.function[0]", "s.function[0]", "an Object has no elements", "ask"),
    Case("return s.p == s.p", "s.p == s.p", "pointers are not compared", "address_of"),
    Case("return x is 3", "x is 3", "`is` compares known values only"),
    # Calls.
    Case("return plain(x)", "plain(x)", "plain is not typed, and not all of its arguments are known", "mark it @typed"),
    Case("return plain(3)", "plain(3)", "plain is a plain Python function", "mark it @typed or @comptime"),
    Case("return failing(3)", "failing(3)", "failing raised LookupError: none of these"),
    Case("return x(3)", "x(3)", "an integer in 0..255 cannot be called"),
    Case("return TABLE(3)", "TABLE(3)", "cannot be called"),
    Case("return two()[0]", "two()", "two needs an argument x"),
    Case("return two(x, x)[0]", "two(x, x)", "two takes 1 arguments, 2 are given"),
    Case("return two(x, x=x)[0]", "two(x, x=x)", "two is given x twice"),
    Case("return two(y=x)[0]", "two(y=x)", "two needs an argument x"),
    Case("return two(x, z=3)[0]", "two(x, z=3)", "two has no parameter z"),
    Case("return two(**x)[0]", "two(**x)", "[*][*] is not in the typed subset"),
    Case("return u8(x, x)", "u8(x, x)", "u8 takes one integer"),
    Case("return u8(TEXT)", "u8(TEXT)", "an integer is needed here, this is 'text'"),
    Case("return min()", "min()", "min raised TypeError"),
    Case("return max(x, key=x)", "max(x, key=x)", "max takes positional arguments here"),
    Case("return unlikely(x, y)", "unlikely(x, y)", "unlikely takes other arguments than these 2"),
    Case("return len(x)", "len(x)", "an integer in 0..255 is no tuple of known length"),
    Case("return pointer(x)[0]", "pointer(x)", "takes an array field, this is an integer"),
    Case("return pointer(s.cells, x)[0]", "pointer(s.cells, x)", "the index is an integer in 0..255"),
    Case("return null(x)[0]", "null(x)", "null\\(\\) takes a type"),
    Case("go(s.p)\nreturn 0", "go(s.p)", "go is not typed"),
    Case("return forever(x)", "forever(x)", "nest too deep to be inlined", "outline=True"),
    Case("return gives_pointer(s)[0]", "gives_pointer(s)", "can return integers, tuples of integers, or None only",
         "let it be inlined"),
    Case("return takes_anything(x)", "takes_anything(x)", "cannot be passed as x to the outlined function",
         "annotate the parameter"),
    Case("return ask(s.host, s.count, 0)", "ask(s.host, s.count, 0)", "takes a Host, an Object field"),
    Case("return print(1)", "print(1)", "print is a plain Python function"),
    Case("return S()", "S()", "S is a plain Python function"),
    # Statements.
    Case("a = b = x\nreturn a", "a = b = x", "chained assignment", "one assignment a line"),
    Case("a, b = x, x, x\nreturn a", "(a, b)", "3 values for 2 targets"),
    Case("a, b = x\nreturn a", "(a, b)", "is no tuple of known length"),
    Case("TABLE[0] = 1\nreturn 0", "TABLE[0]", "has no elements"),
    Case("for i in range(x):\n    pass\nreturn 0", "range(x)",
         "range is not typed, and not all of its arguments are known"),
    Case("for i in x:\n    pass\nreturn 0", "for i in x:", "is no tuple of known length"),
    Case("for i in (1, 2):\n    pass\nelse:\n    x = 1\nreturn 0", "for i in (1, 2):", "`for ... else`"),
    Case("while x:\n    x = 0\nelse:\n    x = 1\nreturn 0", "while x:", "`while ... else`"),
    Case("n = 0\nwhile x:\n    n = n * 3 + 1\nreturn n", "n * 3", "more than 64 bits", "narrow"),
    Case("match x:\n    case 1 if y:\n        pass\nreturn 0", "y", "a case has no guard", "use `if` inside the case"),
    Case("match x:\n    case [a]:\n        pass\nreturn 0", "[a]", "this pattern is not in the typed subset",
         "match on integers"),
    Case("match x:\n    case None:\n        pass\nreturn 0", "None", "an integer is matched with None",
         "a case is a known integer"),
    Case("match x:\n    case s.count:\n        pass\nreturn 0", "s.count", "a case is a known value"),
    Case("assert x\nreturn 0", "assert x", "an assertion must be decided while compiling", "leave it out"),
    Case("assert len(TABLE) == 2\nreturn 0", "assert len(TABLE) == 2", "the assertion does not hold"),
    Case("try:\n    pass\nfinally:\n    pass\nreturn 0", "try:", "Try is not in the typed subset", "docs/lang.md"),
    Case("with x:\n    pass\nreturn 0", "with x:", "With is not in the typed subset"),
    Case("raise ValueError", "raise ValueError", "which only functions that Python calls can", "tracklayer.function"),
    Case("del x\nreturn 0", "del x", "Delete is not"),
    Case("global GLOBAL\nreturn 0", "global GLOBAL", "Global is not"),
    Case("import os\nreturn 0", "import os", "Import is not"),
    Case("def g():\n    pass\nreturn 0", "def g():", "FunctionDef is not"),
    Case("return (lambda: 3)()", "lambda: 3", "Lambda is not"),
    Case("return [x][0]", "[x]", "List is not"),
    Case("return sum(i for i in TABLE)", "(i for i in TABLE)", "GeneratorExp is not"),
    Case("return f'{x}'", "f'{x}'", "JoinedStr is not"),
    Case("return (a := 3)", "(a := 3)", "NamedExpr is not"),
    Case("return s.cells[1:2]", "1:2", "Slice is not"),
    Case("return {1: 2}[x]", "{1: 2}", "Dict is not"),
    Case("yield x", "(yield x)", "Yield is not"),
]  # fmt: skip


def refusal(text: str, folder: Path) -> CompileError:
    module = module_of(text, folder)
    with pytest.raises(CompileError) as caught:
        Program().function("f", module.f)
    return caught.value


def text_of(case: Case) -> str:
    body = "".join(f"    {line}\n" for line in case.body.splitlines())
    head = "@typed\ndef f(s: S, x: u8, y: i32, z: u64)"
    if case.result == "u64":
        return f"{HEAD}{head} -> u64:\n{body}"
    return f"{HEAD}{head.replace('f(', 'g(')} -> {case.result}:\n{body}\n{head} -> u64:\n    return g(s, x, y, z)[0]\n"


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.body.replace("\n", "; ")[:60])
def test_an_error_says_where_what_and_how_to_mend_it(case: Case, tmp_path: Path) -> None:
    text = text_of(case)
    error = refusal(text, tmp_path)
    assert error.file.startswith(str(tmp_path))
    assert re.search(case.problem, error.problem), error.problem
    assert re.search(case.mend, error.mend), error.mend
    message = str(error)
    assert message.startswith(f"{error.file}:{error.line}:{error.column}: in ")
    assert f"\n    {case.expression}" in message
    assert (f"\n  instead: {error.mend}" in message) == bool(error.mend)
    there = text.splitlines()[error.line - 1][error.column - 1 :]
    assert there.lstrip("(").startswith(case.expression.strip("()")[:4])


def test_an_annotation_that_only_type_checkers_know(tmp_path: Path) -> None:
    text = "if TYPE_CHECKING:\n    from nowhere import Thing\n\n@typed\ndef f(s: Thing) -> u8:\n    return 1\n"
    error = refusal(HEAD.replace("import Any", "import TYPE_CHECKING, Any") + text, tmp_path)
    assert "an annotation cannot be evaluated: name 'Thing' is not defined" in str(error)
    assert "import what it names where the module is loaded" in error.mend
    assert "def f(s: Thing)" in str(error)


def test_a_parameter_that_c_code_cannot_pass(tmp_path: Path) -> None:
    error = refusal(HEAD + "@typed\ndef f(s: S, x: float) -> u8:\n    return 1\n", tmp_path)
    assert error.problem == "the parameter x has no type that C code can pass"
    error = refusal(HEAD + "@typed\ndef f(s: S) -> tuple[u8, u8]:\n    return 1, 2\n", tmp_path)
    assert error.problem == "a C function returns one integer, or None"
    error = refusal(HEAD + "@typed\ndef f(s: S) -> None:\n    return s.count\n", tmp_path)
    assert "and is not declared to" in error.problem


@pytest.mark.parametrize("signature", ["*args", "**more", "s: S, *, x: u8"])
def test_signatures_outside_the_subset(signature: str, tmp_path: Path) -> None:
    error = refusal(HEAD + f"@typed\ndef f({signature}) -> u8:\n    return 1\n", tmp_path)
    assert "takes no *args, **kwargs or keyword-only arguments" in error.problem


def test_a_function_without_source() -> None:
    space: dict[str, Any] = {}
    exec("def f(x):\n    return x\n", space)
    with pytest.raises(CompileError, match="the source of this function cannot be found") as caught:
        Program().function("f", space["f"])
    assert "define it with `def` in a file that can be read" in str(caught.value)


def test_an_error_in_an_inlined_function_names_that_function(tmp_path: Path) -> None:
    text = (
        HEAD
        + "@typed\ndef inner(x: u8) -> u8:\n    return x + 1\n\n"
        + "@typed\ndef f(s: S) -> u8:\n    return inner(s.line.y)\n"
    )
    error = refusal(text, tmp_path)
    assert error.function == "inner"
    assert error.expression == "return x + 1"
