"""Generated code under its own name: in gdb, for perf, and to the C unwinder."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tracklayer.native import debug
from tracklayer.native.assembler import Assembler
from tracklayer.native.loader import parse
from tracklayer.native.memory import code_memory
from tracklayer.native.operands import rbx, rdi, rsi

X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")

PROGRAM = """
import os, subprocess, sys
from tracklayer.native import Assembler, debug
from tracklayer.native.operands import rax, rbx, rdi
debug.enable(gdb=True, perf=True)

def inner(x):
    if sys.argv[1:] == ["gdb"]:
        command = ["gdb", "-p", str(os.getpid()), "-batch", "-ex", "set pagination off", "-ex", "bt 60"]
        print(subprocess.run(command, capture_output=True, text=True).stdout)
    return x

a = Assembler("my_generated")
a.prologue(rbx)
a.mov(rbx, rdi)
a.call(a.callback(inner, "i64(i64)"))  # line 16
a.add(rax, rbx)
a.epilogue()
f = a.function("i64(x: i64)")
f(5)
print(open(f"/tmp/perf-{os.getpid()}.map").read())
os.unlink(f"/tmp/perf-{os.getpid()}.map")
for _ in range(20):
    a.function("i64(x: i64)")  # comes and goes
"""


def may_be_traced() -> bool:
    if shutil.which("gdb") is None:
        return False
    sleeper = subprocess.Popen(["sleep", "20"])
    try:
        done = subprocess.run(["gdb", "-p", str(sleeper.pid), "-batch", "-ex", "bt"], capture_output=True, text=True)
        return "#0" in done.stdout
    finally:
        sleeper.kill()
        sleeper.wait()


def test_gdb_shows_names_and_lines_and_goes_through_all_frames(tmp_path: object) -> None:
    if not may_be_traced():
        pytest.skip("needs gdb, and leave to attach it")
    script = f"{tmp_path}/program.py"
    with open(script, "w") as file:
        file.write(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, script, "gdb"], capture_output=True, text=True, env=environment, timeout=100)
    assert done.returncode == 0, done.stderr
    frames = [line for line in done.stdout.splitlines() if line.startswith("#")]
    at = next(i for i, line in enumerate(frames) if "inner (callback)" in line)
    assert "my_generated ()" in frames[at + 1] and "program.py:16" in frames[at + 1]
    assert "my_generated (entry)" in frames[at + 2]
    assert any("Py_BytesMain" in line or "main" in line for line in frames[at + 3 :])
    assert frames[-1].rstrip().endswith("_start ()")


def test_perf_finds_names_in_its_map(tmp_path: object) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    names = [line.split(" ", 2)[2] for line in done.stdout.splitlines() if line]
    assert {"my_generated", "my_generated (entry)", "inner (callback)"} <= set(names)


def test_perf_names_samples_by_the_dump(tmp_path: Path) -> None:
    perf = shutil.which("perf")
    program = tmp_path / "program.py"
    program.write_text(
        "from tracklayer.native import Assembler\nfrom tracklayer.native.operands import rdi\n"
        "a = Assembler('burning')\na.label('next')\na.dec(rdi)\na.jnz('next')\na.ret()\n"
        "a.function('void(n: u64)')(500_000_000)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "TRACKLAYER_DEBUG": "jitdump"}
    run = [sys.executable, str(program)]
    if perf is not None:
        run = [perf, "record", "-q", "-k", "mono", "-o", "perf.data", *run]
    recorded = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    if perf is not None and recorded.returncode and "ermission" in recorded.stderr:
        pytest.skip("needs leave to record")
    assert recorded.returncode == 0, recorded.stderr
    (dump,) = tmp_path.glob("jit-*.dump")
    data = dump.read_bytes()
    assert data[:4] == b"DTiJ" and b"burning\0" in data and b"program.py\0" in data
    if perf is None:
        return
    inject = [perf, "inject", "-j", "-i", "perf.data", "-o", "named.data"]
    subprocess.run(inject, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    report = [perf, "report", "-i", "named.data", "--stdio"]
    shown = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True, timeout=60).stdout
    assert "burning" in next(line for line in shown.splitlines() if "%" in line), shown[:2000]


def py_spy() -> str | None:
    beside = os.path.join(os.path.dirname(sys.executable), "py-spy")
    return beside if os.path.exists(beside) else shutil.which("py-spy")


SPIED = """
import os, subprocess, sys
from tracklayer.native import Assembler
from tracklayer.native.operands import rax, rbx, rdi

def outer(x):
    return below(x)

def inner(x):
    command = [sys.argv[1], "dump", "--native", "--pid", str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return x

def through(name, function):
    a = Assembler(name)
    a.prologue(rbx)
    a.mov(rbx, rdi)
    a.call(a.callback(function, "i64(i64)"))
    a.add(rax, rbx)
    a.epilogue()
    return a.function("i64(x: i64)")

dropped = [through(f"dropped_{i}", abs) for i in range(50)]
below = through("second_generated", inner)
del dropped
through("first_generated", outer)(5)
"""


def test_py_spy_goes_through_generated_frames_by_name(tmp_path: Path) -> None:
    """It reads names and unwinding tables from the file that code memory is, with TRACKLAYER_DEBUG=elf."""
    spy = py_spy()
    if spy is None:
        pytest.skip("needs py-spy")
    program = tmp_path / "program.py"
    program.write_text(SPIED)
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "TRACKLAYER_DEBUG": "elf", "TMPDIR": str(tmp_path)}
    run = [sys.executable, str(program), spy]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, timeout=100)
    assert done.returncode == 0, done.stderr
    if "ermission" in done.stdout or "not permitted" in done.stdout:
        pytest.skip("needs leave to attach py-spy (ptrace)")
    names = [line.split(" (")[0].strip() for line in done.stdout.splitlines() if line.startswith("    ")]
    # The callback's adapter is named "inner (callback)", the builtin's "first_generated (entry)".
    twice = ("inner", "second_generated", "outer", "first_generated")
    down = [name for name in twice for _ in range(2)] + ["<module>"]
    at = names.index("inner")
    assert names[at : at + len(down)] == down, done.stdout
    assert "second_generated (entry)" in done.stdout and "outer (callback)" in done.stdout


def test_code_memory_is_a_valid_library_when_asked_for() -> None:
    script = textwrap.dedent("""
        import gc, os, subprocess, sys
        from tracklayer.native import Assembler, code_memory
        from tracklayer.native.loader import parse
        def make(name):
            a = Assembler(name); a.ret(); return a.function("void()")
        kept, dropped = make("kept"), make("dropped")
        (path,) = {line.split()[-1] for line in open("/proc/self/maps") if "tracklayer-code" in line}
        def names():
            shown = subprocess.run(["readelf", "-W", "-l", "-S", "-s", path], capture_output=True, text=True)
            assert shown.returncode == 0 and not shown.stderr, shown.stderr
            assert "GNU_EH_FRAME" in shown.stdout
            return {line.split()[-1] for line in shown.stdout.splitlines() if " FUNC " in line}
        assert names() >= {"kept", "dropped"}, names()
        del dropped
        assert "kept" in names() and "dropped" not in names()
        memory = code_memory()
        assert memory.largest_hole() + (1 << 20) <= memory.size
        print(path)
    """)
    if shutil.which("readelf") is None:
        pytest.skip("needs readelf")
    environment = {**os.environ, "TRACKLAYER_DEBUG": "elf"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not os.path.exists(done.stdout.strip())  # it goes with the process


def test_nothing_is_announced_unless_asked_for() -> None:
    script = textwrap.dedent("""
        import os
        from tracklayer.native import Assembler, debug
        a = Assembler(); a.ret(); a.function("void()")()
        print(debug.enabled(), os.path.exists(f"/tmp/perf-{os.getpid()}.map"))
        print("jit_debug" in open("/proc/self/maps").read())
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "False", "False"], done.stderr


def test_the_files_that_are_written_by_hand_are_well_formed(tmp_path: object) -> None:
    data = debug.symbol_file("f", 0x10000, 64, [(0x10000, "a.py", 5), (0x10004, "b.py", 300), (0x10008, "a.py", 2)])
    file = parse(data)
    assert {section.name for section in file.sections} >= {".text", ".symtab", ".debug_line", ".debug_info"}
    if shutil.which("readelf") is None:
        return
    path = f"{tmp_path}/object"
    with open(path, "wb") as out:
        out.write(data)
    done = subprocess.run(["readelf", "-wl", "--debug-dump=decodedline,info", path], capture_output=True, text=True)
    assert "Warning" not in done.stderr and done.returncode == 0
    decoded = [line.split()[:3] for line in done.stdout.splitlines() if ".py" in line and "0x" in line]
    assert [row[:2] for row in decoded][:3] == [["a.py", "5"], ["b.py", "300"], ["a.py", "2"]]
    with open(path, "wb") as out:
        out.write(debug.jit_library())
    done = subprocess.run(["readelf", "-a", path], capture_output=True, text=True)
    assert "Warning" not in done.stderr and done.returncode == 0
    assert "GNU_STACK" in done.stdout and "RWE" not in done.stdout


def test_the_c_unwinder_goes_through_adapters() -> None:
    """A function called from Python calls Python, which calls a function that asks glibc where it came from."""
    space = (ctypes.c_void_p * 200)()
    count = ctypes.c_int()
    a = Assembler("bottom")
    a.prologue()
    a.mov(rdi, ctypes.addressof(space))
    a.mov(rsi, 200)
    a.call(a.c_function("backtrace"))
    a.epilogue()
    bottom = a.function("i32()")

    def python(x: object) -> object:
        count.value = bottom()
        return x

    a = Assembler("top")
    a.prologue(rbx)
    a.call(a.callback(python, "object(object)"))
    a.epilogue()
    a.function("object(x: object)")(1)
    frames = [space[i] or 0 for i in range(count.value)]
    assert sum(frame in code_memory() for frame in frames) >= 5
    assert frames[-1] not in code_memory() and len(frames) > 12
