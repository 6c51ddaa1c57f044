"""What a crossing costs: calls from Python into code and from code into Python, in nanoseconds.

    python -m benchmarks.crossing [--quick] [--json FILE]

One run compares, row by row: tracklayer's toolkit (an assembled function with a signature, and a typed function that
`@tracklayer.function` made; its loops poll for Ctrl-C); a C extension written by hand and built on the spot with `gcc
-O2` (METH_FASTCALL and PyObject_Vectorcall); ctypes; cffi in API mode; Numba; and plain Python calling Python. What is
not installed is left out. The contenders take turns within each row, and the best of many short rounds counts, so
other work on the machine disturbs all alike. A call into code includes the loop around it (ten calls for each turn of
the loop), a call into Python is one of a thousand that one call into code makes.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.machinery
import importlib.util
import json
import platform
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracklayer.native.assembler import Assembler
from tracklayer.native.operands import eax, qword, rax, rbx, rdi, rsp, xmm0

TURNS = 1000
"""Calls into Python that one call into code makes."""


class Row:
    """One way of calling: the C types of the arguments and what to pass. `kind` is i, d, O or b (buffer)."""

    def __init__(self, name: str, kinds: str, arguments: tuple[Any, ...]) -> None:
        self.name = name
        self.kinds = kinds
        self.arguments = arguments

    @property
    def result(self) -> str:
        return {"": "i", "i": "i", "d": "d", "O": "O", "b": "i"}[self.kinds[:1]]


ROWS = (
    Row("no argument", "", ()),
    Row("1 int", "i", (12345,)),
    Row("3 ints", "iii", (12345, -2, 300)),
    Row("8 ints", "iiiiiiii", (1, 22, 333, 4444, 5, 66, 777, 8888)),
    Row("1 float", "d", (1.5,)),
    Row("3 floats", "ddd", (1.5, 2.5, -3.5)),
    Row("8 floats", "dddddddd", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)),
    Row("an object", "O", ("text",)),
    Row("a buffer", "b", (bytearray(64),)),
)
NATIVE = {"i": "i64", "d": "f64", "O": "object", "b": "buffer"}
C_TYPE = {"i": "long long", "d": "double"}

# ----------------------------------------------------------------------------------------------------------------- ours


def our_function(row: Row) -> Callable[..., Any]:
    """The first argument plus the last; an object comes back; of a buffer the length."""
    a = Assembler("ours")
    match row.kinds[:1]:
        case "":
            a.xor(eax, eax)
        case "i":
            a.mov(rax, rdi)
            if len(row.kinds) > 1:
                n = len(row.kinds) - 1
                a.add(rax, a.argument(n) if n < 6 else qword[rsp + 8 * (n - 5)])
        case "d":
            from tracklayer.native.operands import REGISTERS

            if len(row.kinds) > 1:
                a.addsd(xmm0, REGISTERS[f"xmm{len(row.kinds) - 1}"])
        case "O":
            a.mov(rax, rdi)
            a.incref(rax)
        case _:
            a.mov(rax, a.argument(1))
    a.ret()
    return a.function(f"{NATIVE[row.result]}({', '.join(NATIVE[k] for k in row.kinds)})")


def our_loop(row: Row, callback: Callable[..., Any]) -> Callable[[], Any]:
    """A loop that calls Python with constants."""
    from tracklayer.native.operands import REGISTERS

    a = Assembler("ours")
    a.prologue(rbx, locals=max(0, len(row.kinds) - 6) + (len(row.kinds) > 6))
    a.mov(rbx, TURNS)
    made = a.callback(callback, f"{NATIVE[row.result]}({', '.join(NATIVE[k] for k in row.kinds)})")
    a.label("next")
    for i, value in enumerate(row.arguments):
        match row.kinds[i]:
            case "i" if i < 6:
                a.mov(a.argument(i), value)
            case "i":
                a.mov(qword[rsp + 8 * (i - 6)], value)
            case "d":
                a.movsd(REGISTERS[f"xmm{i}"], a.constant(value))
            case _:
                a.mov(a.argument(i), a.object(value))
    a.call(made)
    if row.result == "O":
        a.decref(rax)
    a.dec(rbx)
    a.jnz("next")
    a.epilogue()
    return a.function("void()")


def typed_source() -> str:
    """The same functions and loops in typed Python."""
    kinds = {"i": "i64", "d": "f64", "O": "object", "b": "Buffer[u8]"}
    out = ["from collections.abc import Callable", "from tracklayer import function"]
    out.append("from tracklayer.lang import Buffer, f64, i64, u8")
    for n, row in enumerate(ROWS):
        names = [f"x{i}" for i in range(len(row.kinds))]
        parameters = ", ".join(f"{name}: {kinds[kind]}" for name, kind in zip(names, row.kinds, strict=True))
        total = "0" if not names else names[0] + (f" + {names[-1]}" if len(names) > 1 else "")
        value = {"i": f"i64({total})", "b": "len(x0)"}.get(row.kinds[:1], total)
        result = kinds[row.result]
        out += ["@function", f"def in{n}({parameters}) -> {result}:", f"    return {value}"]
        if "b" in row.kinds:
            continue
        types = ", ".join(kinds[kind] for kind in row.kinds)
        values = ", ".join(map(repr, row.arguments))
        out += ["@function", f"def out{n}(f: Callable[[{types}], {result}]) -> None:"]
        out += [f"    for _ in range({TURNS}):", f"        f({values})"]
    return "\n".join(out) + "\n"


def build_typed(folder: Path) -> Any:
    """A module of typed functions."""
    path = folder / "by_typed_python.py"
    path.write_text(typed_source())
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def typed_loop(module: Any, n: int, callback: Callable[..., Any]) -> Callable[[], Any]:
    loop = getattr(module, f"out{n}")
    return lambda: loop(callback)


# ------------------------------------------------------------------------------------------------------ the C extension

HEAD = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
"""


def c_source() -> str:
    """A METH_FASTCALL function and a calling loop for each row, as a person would write them."""
    out = [HEAD, "static PyObject *callee, *fixed;", "static long long result_i; static double result_d;"]
    table = []
    for n, row in enumerate(ROWS):
        count = len(row.kinds)
        body = [f'if (nargs != {count}) {{ PyErr_SetString(PyExc_TypeError, "arguments"); return NULL; }}']
        for i, kind in enumerate(row.kinds):
            if kind == "i":
                body.append(f"long long x{i} = PyLong_AsLongLong(args[{i}]);")
                body.append(f"if (x{i} == -1 && PyErr_Occurred()) return NULL;")
            elif kind == "d":
                body.append(f"double x{i} = PyFloat_AsDouble(args[{i}]);")
                body.append(f"if (x{i} == -1.0 && PyErr_Occurred()) return NULL;")
            elif kind == "b":
                body.append("Py_buffer v; if (PyObject_GetBuffer(args[0], &v, PyBUF_SIMPLE)) return NULL;")
                body.append("long long x = v.len; PyBuffer_Release(&v); return PyLong_FromLongLong(x);")
        last = f" + x{count - 1}" if count > 1 else ""
        body.append(
            {
                "": "return PyLong_FromLongLong(0);",
                "i": f"return PyLong_FromLongLong(x0{last});",
                "d": f"return PyFloat_FromDouble(x0{last});",
                "O": "Py_INCREF(args[0]); return args[0];",
                "b": "",
            }[row.kinds[:1]]
        )
        out.append(f"static PyObject *in{n}(PyObject *s, PyObject *const *args, Py_ssize_t nargs) {{")
        out += [*body, "}"]
        table.append(f'{{"in{n}", (PyCFunction)(void *)in{n}, METH_FASTCALL, NULL}},')
        if "b" in row.kinds:
            continue
        out.append(f"static PyObject *out{n}(PyObject *s, PyObject *unused) {{")
        out.append(f"for (int t = 0; t < {TURNS}; t++) {{ PyObject *a[{count + 1}]; a[0] = NULL;")
        for i, kind in enumerate(row.kinds):
            value = row.arguments[i]
            make = {"i": f"PyLong_FromLongLong({value})", "d": f"PyFloat_FromDouble({value})", "O": "fixed"}[kind]
            out.append(f"a[{i + 1}] = {make}; if (!a[{i + 1}]) return NULL;")
        out.append(f"PyObject *r = PyObject_Vectorcall(callee, a + 1, {count} | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);")
        out += [f"Py_DECREF(a[{i + 1}]);" for i, kind in enumerate(row.kinds) if kind != "O"]
        out.append("if (!r) return NULL;")
        if row.result != "O":
            convert = {"i": "PyLong_AsLongLong", "d": "PyFloat_AsDouble"}[row.result]
            out.append(f"result_{row.result} = {convert}(r);")
            out.append(f"if (result_{row.result} == -1 && PyErr_Occurred()) {{ Py_DECREF(r); return NULL; }}")
        out.append("Py_DECREF(r); } Py_RETURN_NONE; }")
        table.append(f'{{"out{n}", out{n}, METH_NOARGS, NULL}},')
    out.append("static PyObject *set(PyObject *s, PyObject *const *args, Py_ssize_t nargs) {")
    out.append("Py_XSETREF(callee, Py_NewRef(args[0])); Py_XSETREF(fixed, Py_NewRef(args[1])); Py_RETURN_NONE; }")
    out.append("static PyMethodDef methods[] = {")
    out.append('{"set", (PyCFunction)(void *)set, METH_FASTCALL, NULL},')
    out += [*table, "{NULL}};"]
    out.append('static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, "byhand", NULL, -1, methods};')
    out.append("PyMODINIT_FUNC PyInit_byhand(void) { return PyModule_Create(&def); }")
    return "\n".join(out)


def plain_c() -> str:
    """The same functions for ctypes and cffi to call, and loops that call back through a function pointer."""
    out = []
    for n, row in enumerate(ROWS):
        if set(row.kinds) - set("id"):
            continue
        parameters = ", ".join(f"{C_TYPE[k]} x{i}" for i, k in enumerate(row.kinds)) or "void"
        kind = C_TYPE[row.result]
        value = "0" if not row.kinds else "x0" + (f" + x{len(row.kinds) - 1}" if len(row.kinds) > 1 else "")
        out.append(f"{kind} plain{n}({parameters}) {{ return {value}; }}")
        types = ", ".join(C_TYPE[k] for k in row.kinds) or "void"
        values = ", ".join(map(repr, row.arguments))
        out.append(f"void loop{n}({kind} (*f)({types})) {{ for (int t = 0; t < {TURNS}; t++) f({values}); }}")
    return "\n".join(out)


def build(folder: Path) -> tuple[Any, Any]:
    """The extension module and the plain library, by gcc. (None, None) without a compiler."""
    if shutil.which("gcc") is None:
        return None, None
    include = sysconfig.get_paths()["include"]
    (folder / "byhand.c").write_text(c_source())
    (folder / "plain.c").write_text(plain_c())
    flags = ["gcc", "-O2", "-shared", "-fPIC", f"-I{include}"]
    subprocess.run([*flags, "-o", str(folder / "byhand.so"), str(folder / "byhand.c")], check=True)
    subprocess.run([*flags, "-o", str(folder / "plain.so"), str(folder / "plain.c")], check=True)
    loader = importlib.machinery.ExtensionFileLoader("byhand", str(folder / "byhand.so"))
    spec = importlib.util.spec_from_loader("byhand", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module, ctypes.CDLL(str(folder / "plain.so"))


# ------------------------------------------------------------------------------------------------------- the other ways

CTYPES = {"i": ctypes.c_longlong, "d": ctypes.c_double}


def with_ctypes(library: Any, n: int, row: Row) -> Any:
    function = getattr(library, f"plain{n}")
    function.restype = CTYPES[row.result]
    function.argtypes = tuple(CTYPES[k] for k in row.kinds)
    return function


def ctypes_loop(library: Any, n: int, row: Row, callback: Any) -> Callable[[], Any]:
    made = ctypes.CFUNCTYPE(CTYPES[row.result], *(CTYPES[k] for k in row.kinds))(callback)
    loop = getattr(library, f"loop{n}")
    return lambda: loop(made)


def build_cffi(folder: Path) -> Any:
    """A cffi module in API mode, or None."""
    if importlib.util.find_spec("cffi") is None or shutil.which("gcc") is None:
        return None
    import cffi  # type: ignore[import-not-found,unused-ignore]

    builder = cffi.FFI()
    for n, row in enumerate(ROWS):
        if set(row.kinds) - set("id"):
            continue
        kind, types = C_TYPE[row.result], ", ".join(C_TYPE[k] for k in row.kinds) or "void"
        builder.cdef(f"{kind} plain{n}({types}); void loop{n}({kind} (*f)({types}));")
        builder.cdef(f'extern "Python" {kind} back{n}({types});')
    builder.set_source("by_cffi", plain_c(), extra_compile_args=["-O2"])
    path = builder.compile(tmpdir=str(folder))
    spec = importlib.util.spec_from_file_location("by_cffi", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cffi_loop(module: Any, n: int, callback: Any) -> Callable[[], Any]:
    module.ffi.def_extern(name=f"back{n}")(callback)
    back, loop = getattr(module.lib, f"back{n}"), getattr(module.lib, f"loop{n}")
    return lambda: loop(back)


def with_numba(row: Row) -> Any:
    """A compiled function, or None."""
    if importlib.util.find_spec("numba") is None or set(row.kinds) - set("id"):
        return None
    import numba  # type: ignore[import-not-found,unused-ignore]

    names = [f"x{i}" for i in range(len(row.kinds))]
    value = "0" if not names else names[0] + (f" + {names[-1]}" if len(names) > 1 else "")
    space: dict[str, Any] = {}
    exec(f"def f({', '.join(names)}):\n    return {value}\n", space)
    made = numba.njit(space["f"])
    made(*row.arguments)
    return made


def numba_loop(row: Row, callback: Any) -> Any:
    if importlib.util.find_spec("numba") is None or set(row.kinds) - set("id"):
        return None
    import numba

    kind = {"i": "int64", "d": "float64"}[row.result]
    values = ", ".join(map(repr, row.arguments))
    space: dict[str, Any] = {"numba": numba, "callback": callback}
    exec(
        f"def f():\n    total = 0\n    for t in range({TURNS}):\n        with numba.objmode(r={kind!r}):\n"
        f"            r = callback({values})\n        total += r\n    return total\n",
        space,
    )
    made = numba.njit(space["f"])
    made()
    return made


def python_function(row: Row) -> Any:
    """The same, written in Python."""
    match row.kinds:
        case "":
            return lambda: 0
        case "i" | "d" | "O":
            return lambda x: x
        case "iii" | "ddd":
            return lambda x, y, z: x + z
        case "b":
            return len
        case _:
            return lambda a, b, c, d, e, f, g, h: a + h


# ------------------------------------------------------------------------------------------------------------ measuring


def timer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[int], float]:
    """Nanoseconds for each of 10 * n calls."""
    names = ", ".join(f"x{i}" for i in range(len(arguments)))
    lines = "\n        ".join([f"f({names})"] * 10)
    source = (
        f"def run(n, f=f, {''.join(f'x{i}=x{i}, ' for i in range(len(arguments)))}clock=clock):\n"
        f"    start = clock()\n    for _ in range(n):\n        {lines}\n    return (clock() - start) / n / 10\n"
    )
    space: dict[str, Any] = {"f": function, "clock": time.perf_counter_ns}
    space |= {f"x{i}": value for i, value in enumerate(arguments)}
    exec(source, space)
    return space["run"]  # type: ignore[no-any-return]


def measure(contenders: dict[str, Callable[[int], float]], rounds: int, calls: int) -> dict[str, float]:
    """The best round of each, taking turns."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(rounds):
        for name, run in contenders.items():
            best[name] = min(best[name], run(calls))
    return best


def inward(typed: Any, byhand: Any, plain: Any, by_cffi: Any, rounds: int) -> dict[str, dict[str, float]]:
    """Python calls code."""
    table = {}
    for n, row in enumerate(ROWS):
        functions: dict[str, Any] = {"ours": our_function(row), "typed": getattr(typed, f"in{n}")}
        if byhand is not None:
            functions["C extension"] = getattr(byhand, f"in{n}")
        if not set(row.kinds) - set("id"):
            if plain is not None:
                functions["ctypes"] = with_ctypes(plain, n, row)
            if by_cffi is not None:
                functions["cffi"] = getattr(by_cffi.lib, f"plain{n}")
            functions["Numba"] = with_numba(row)
        functions["Python"] = python_function(row)
        known = {name: function for name, function in functions.items() if function is not None}
        answers = {name: function(*row.arguments) for name, function in known.items()}
        assert len(set(map(str, answers.values()))) == 1, answers
        table[row.name] = measure({k: timer(f, row.arguments) for k, f in known.items()}, rounds, 2000)
    return table


def outward(typed: Any, byhand: Any, plain: Any, by_cffi: Any, rounds: int) -> dict[str, dict[str, float]]:
    """Code calls Python."""
    table = {}
    for n, row in enumerate(ROWS):
        if "b" in row.kinds:
            continue
        callback = python_function(row)
        loops: dict[str, Any] = {"ours": our_loop(row, callback), "typed": typed_loop(typed, n, callback)}
        if byhand is not None:
            byhand.set(callback, row.arguments[0] if row.arguments else None)
            loops["C extension"] = getattr(byhand, f"out{n}")
        if not set(row.kinds) - set("id"):
            if plain is not None:
                loops["ctypes"] = ctypes_loop(plain, n, row, callback)
            if by_cffi is not None:
                loops["cffi"] = cffi_loop(by_cffi, n, callback)
            loops["Numba"] = numba_loop(row, callback)
        names = ", ".join(f"x{i}" for i in range(len(row.arguments)))
        space: dict[str, Any] = {"f": callback} | {f"x{i}": v for i, v in enumerate(row.arguments)}
        defaults = "".join(f"x{i}=x{i}, " for i in range(len(row.arguments)))
        exec(f"def loop(f=f, {defaults}):\n    for _ in range({TURNS}):\n        f({names})\n", space)
        loops["Python"] = space["loop"]
        known = {name: loop for name, loop in loops.items() if loop is not None}

        def timed(loop: Callable[[], Any]) -> Callable[[int], float]:
            def run(calls: int) -> float:
                start = time.perf_counter_ns()
                for _ in range(calls):
                    loop()
                return (time.perf_counter_ns() - start) / calls / TURNS

            return run

        table[row.name] = measure({k: timed(loop) for k, loop in known.items()}, rounds, 10)
    return table


NAMES = ("ours", "typed", "C extension", "ctypes", "cffi", "Numba", "Python")


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """A table, and how ours stands against the C extension."""
    present = [name for name in NAMES if any(name in row for row in table.values())]
    print(f"\n{title}, ns\n")
    print(f"{'':14}" + "".join(f"{name:>13}" for name in present) + f"{'ours / C':>13}{'typed / C':>13}")
    for name, row in table.items():
        cells = "".join(f"{row[who]:13.1f}" if who in row else f"{'':13}" for who in present)
        by_hand = row.get("C extension")
        ratio = f"{row['ours'] / by_hand:13.2f}{row['typed'] / by_hand:13.2f}" if by_hand else ""
        print(f"{name:14}{cells}{ratio}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", type=Path, help="write the figures to a file as well")
    options = parser.parse_args()
    rounds = 10 if options.quick else 60
    with tempfile.TemporaryDirectory() as folder:
        byhand, plain = build(Path(folder))
        by_cffi = build_cffi(Path(folder))
        print(f"CPython {platform.python_version()}, {platform.machine()}, best of {rounds} rounds")
        typed = build_typed(Path(folder))
        into = inward(typed, byhand, plain, by_cffi, rounds)
        back = outward(typed, byhand, plain, by_cffi, rounds)
    show("Python calls code", into)
    show("Code calls Python", back)
    if options.json:
        options.json.write_text(json.dumps({"python": platform.python_version(), "in": into, "out": back}, indent=1))


if __name__ == "__main__":
    main()
