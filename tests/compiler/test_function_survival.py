"""Builtins of typed functions survive what Python does in the middle of them."""

from __future__ import annotations

import array
import ctypes
import gc
import linecache
import os
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.native import survival
from tracklayer import CompileError, function, original
from tracklayer.compiler.fallible import Fallible
from tracklayer.lang import Buffer, MutBuffer, i64, typed, u8, u32
from tracklayer.native.memory import code_memory
from tracklayer.native.runtime import attention

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__)
SOAK = float(os.environ.get("TRACKLAYER_SOAK") or 0)
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="builtins of typed functions are known for Linux only"),
    pytest.mark.usefixtures("little_garbage"),
]


def line_of(text: str) -> int:
    lines = HERE.read_text().splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if text in line and "line_of" not in line]
    return number


def run(program: str, *arguments: str) -> str:
    """A program in a process of its own; what it printed."""
    folder = Path(os.environ.get("PYTEST_TMPDIR", "/tmp")) / f"function-{os.getpid()}-{abs(hash(program))}"
    folder.mkdir(exist_ok=True)
    file = folder / "program.py"
    file.write_text(textwrap.dedent(program))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "faulthandler", str(file), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    file.unlink()
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# ---------------------------------------------------------------------------------------------------------- exceptions


@function
def deeper(f: Callable[[i64], i64], n: i64) -> i64:
    total: i64 = 0
    for _ in range(3):
        total = i64(total + f(n))  # deeper calls
    return total


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_eight_deep_comes_out_at_once_with_all_its_lines(kind: type[BaseException]) -> None:
    calls: list[int] = []

    def back(n: int) -> int:
        calls.append(n)
        if n == 0:
            raise kind("at the bottom")
        return deeper(back, n - 1)

    for _ in range(3):
        calls.clear()
        with pytest.raises(kind, match="at the bottom") as caught:
            deeper(back, 8)
        assert calls == list(range(8, -1, -1))  # nothing was called after it
        entries = [(e.name, e.lineno) for e in traceback.extract_tb(caught.value.__traceback__)]
        assert entries[1:] == [("deeper", line_of("# deeper calls")), ("back", entries[2][1])] * 8 + [
            ("deeper", line_of("# deeper calls")),
            ("back", back.__code__.co_firstlineno + 3),
        ]
        assert {e.filename for e in traceback.extract_tb(caught.value.__traceback__)} == {str(HERE)}
    assert deeper(lambda n: n, 5) == 15


@typed
def inlined(data: Buffer[u8], i: i64) -> u8:
    return data[i]  # inlined reads


@typed(outline=True)
def outlined(data: Buffer[u8], i: i64) -> u8:
    return inlined(data, i)  # outlined calls


@function
def reads(data: Buffer[u8], i: i64) -> u8:
    return outlined(data, i)  # reads calls


def test_a_traceback_names_inlined_and_outlined_functions() -> None:
    assert reads(b"abc", 1) == ord("b")
    with pytest.raises(IndexError) as caught:
        reads(b"abc", 3)
    entries = [(e.name, e.lineno) for e in traceback.extract_tb(caught.value.__traceback__)]
    assert entries[1:] == [
        ("reads", line_of("# reads calls")),
        ("outlined", line_of("# outlined calls")),
        ("inlined", line_of("# inlined reads")),
    ]
    data = bytearray(b"abc")
    with pytest.raises(IndexError):
        reads(data, -4)
    data.append(1)  # and lets the buffer go


# ---------------------------------------------------------------------------------------------------------- references


@function
def chain(make: Callable[[object], object], times: u32) -> object:
    kept = make(None)
    for _ in range(times):
        kept = make(kept)
    return kept


class Cell:
    """A link of a chain, in a cycle with itself."""

    def __init__(self, rest: object) -> None:
        self.rest = rest
        self.me = self


def test_objects_that_only_the_frame_holds_live_through_collections() -> None:
    made: list[weakref.ref[Cell]] = []

    def make(rest: object) -> Cell:
        gc.collect()
        cell = Cell(rest)
        made.append(weakref.ref(cell))
        return cell

    cell = chain(make, 50)
    length = 0
    while cell is not None:
        cell, length = cell.rest, length + 1
    assert length == 51
    gc.collect()
    assert not any(ref() for ref in made)


@function
def careless(make: Callable[..., object], times: u32) -> object:
    last = make(0)
    for i in range(times):
        last = make(i)
        other = last
        last = other
    return last


def test_each_reference_is_given_back_once_on_every_way_out() -> None:
    living = 0

    class Thing:
        def __init__(self) -> None:
            nonlocal living
            living += 1

        def __del__(self) -> None:
            nonlocal living
            living -= 1

    most = 0

    def make(i: int) -> Thing:
        nonlocal most
        most = max(most, living)
        if i == 7:
            raise ValueError("seven")
        return Thing()

    for _ in range(20):
        thing = careless(make, 5)
        assert isinstance(thing, Thing) and living == 1
        del thing
        assert living == 0
        with pytest.raises(ValueError, match="seven"):
            careless(make, 30)
        assert living == 0
    assert most <= 4
    before = sys.getrefcount(make)
    for _ in range(100):
        careless(make, 3)
    after = sys.getrefcount(make)
    assert after == before


@typed
def made_inline(make: Callable[[], object]) -> object:
    return make()


@typed(outline=True)
def made_outside(make: Callable[[], object]) -> object:
    return make()


@function
def several(make: Callable[[], object], join: Callable[..., object]) -> object:
    first = join(made_inline(make), made_inline(make), made_outside(make), made_outside(make))
    a, b = made_inline(make), made_outside(make)
    return join(first, a, b, join(b, a))


def test_objects_of_one_line_do_not_replace_each_other() -> None:
    made: list[weakref.ref[Cell]] = []

    def make() -> Cell:
        gc.collect(0)
        cell = Cell(len(made))
        cell.me = cell.rest  # type: ignore[assignment]
        made.append(weakref.ref(cell))
        return cell

    def numbers(what: Any) -> Any:
        return [numbers(one) for one in what] if isinstance(what, tuple) else what.rest

    for _ in range(5):
        made.clear()
        assert numbers(several(make, lambda *parts: parts)) == [[0, 1, 2, 3], 4, 5, [5, 4]]
        assert not any(ref() for ref in made)


def test_a_finaliser_calls_back_in() -> None:
    events: list[int] = []

    class Noisy:
        def __del__(self) -> None:
            events.append(deeper(lambda n: n, 2))

    def make(_: object) -> Noisy:
        return Noisy()

    chain(make, 10)
    assert events == [6] * 11


def test_memory_is_flat_over_many_calls() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    data = bytearray(100)

    def round_of_calls(n: int) -> None:
        for i in range(n):
            deeper(lambda x: x, i << 20)
            careless(lambda x: [x], 3)
            reads(data, i % 100)

    round_of_calls(5_000)
    before = resident()
    round_of_calls(1_000_000 if SOAK else 50_000)
    assert resident() - before < 2 << 20


def test_what_is_made_and_dropped_leaves_nothing() -> None:
    def make() -> Any:
        def twice(x: i64) -> i64:
            return i64(x * 2)

        return function(twice)

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    made = make()
    assert made(4) == 8
    gone = weakref.ref(made), weakref.ref(original(made))
    del made
    gc.collect()
    assert gone[0]() is None and gone[1]() is None
    addresses = set()
    before = 0
    for turn in range(20_000 if SOAK else 300):
        if turn == 100:
            gc.collect()
            before = resident()
        assert make()(turn) == 2 * turn
        addresses.add(code_memory().allocate(64).address)
        if turn % 10 == 0:
            gc.collect()
    gc.collect()
    assert resident() - before < 2 << 20
    assert len(addresses) < 100  # what was freed is used again


def test_a_function_in_a_cycle_with_what_it_calls_is_collected() -> None:
    space: dict[str, Any] = {"function": function, "i64": i64}
    program = (
        "def ask(x: i64) -> i64:\n    return made(x) if x else 0\n"
        "@function\ndef made(x: i64) -> i64:\n    return ask(x)\n"
    )
    file = HERE.parent / "nowhere.py"
    linecache.cache[str(file)] = (len(program), None, program.splitlines(keepends=True), str(file))
    exec(compile(program, str(file), "exec"), space)
    assert space["made"](0) == 0
    gone = weakref.ref(space["made"])
    space.clear()
    gc.collect()
    assert gone() is None


def test_dropped_while_it_runs() -> None:
    def body(f: Callable[[], None]) -> i64:
        f()
        return 42

    for _ in range(20):
        holder = [function(body)]

        def drop(holder: list[Any] = holder) -> None:
            holder.clear()
            gc.collect()
            for _ in range(20):  # fill the memory anew
                code_memory().allocate(256).write(0, b"\xcc" * 256)

        assert holder[0](drop) == 42
        assert not holder


# ----------------------------------------------------------------------------------------------------------- recursion


RECURSION = """
import sys, threading
from collections.abc import Callable
from tracklayer import function
from tracklayer.lang import i64, u64

@function
def endless(n: u64) -> u64:
    return u64(endless(u64(n + 1)) + 1)

@function
def through(f: Callable[[i64], i64], n: i64) -> i64:
    return f(n)

@function(nogil=True)
def endless_nogil(n: u64) -> u64:
    return u64(endless_nogil(u64(n + 1)) + 1)

def back(n):
    return through(back, n + 1)

def run(where):
    for call in (lambda: endless(0), lambda: through(back, 0), lambda: endless_nogil(0)):
        for _ in range(2):
            try:
                call()
            except RecursionError as error:
                entries = 0
                trace = error.__traceback__
                while trace: entries, trace = entries + 1, trace.tb_next
                assert entries > 20, entries
            else:
                raise SystemExit("no RecursionError")
    print(where, "ok")

run("main")
sys.setrecursionlimit(10**6)
run("main without limit")
for size in (256 << 10, 16 << 20):
    threading.stack_size(size)
    threads = [threading.Thread(target=run, args=(f"thread of {size}",)) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
run("main again")
"""


def test_recursion_without_end_is_an_error_never_a_crash() -> None:
    assert run(RECURSION).count("ok") == 9


# ------------------------------------------------------------------------------------------------------------- signals


@function(eager=True)
def spin(start: u32) -> u32:
    n: u32 = start
    while True:
        n = u32(n + 1)
        if n == start and n != start:
            return n


@function(nogil=True, eager=True)
def spin_free(start: u32) -> u32:
    n: u32 = start
    while True:
        n = u32(n + 1)
        if n == start and n != start:
            return n


@pytest.mark.parametrize("spinning", [spin, spin_free])
def test_ctrl_c_ends_an_endless_loop(spinning: Callable[[int], int]) -> None:
    for _ in range(5):
        timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt) as caught:
            timer.start()
            spinning(1)
        timer.join()
        names = [entry.name for entry in traceback.extract_tb(caught.value.__traceback__)]
        assert spinning.__name__ in names


def test_other_threads_run_beside_a_loop() -> None:
    assert survival.counted_beside(lambda: spin(1)) > 100


def test_polls_are_off_by_request() -> None:
    def loops(n: u32) -> u32:
        i: u32 = 0
        while i < n:
            i += 1
        return i

    for polls in (True, False):
        made = function(polls=polls)(loops)
        assert made(10) == 10
        program = Fallible(False, polls, attention())
        program.enter(original(made))
        assert ("load volatile" in program.render()) == polls


# ------------------------------------------------------------------------------------------------------- threads, forks


@function(nogil=True)
def work(f: Callable[[i64], i64], data: MutBuffer[u32], rounds: u32) -> i64:
    total: i64 = 0
    for i in range(rounds):
        for k in range(len(data)):
            data[k] = u32(data[k] * 3 + i)
        total = i64(total + f(i))
    return total


def test_eight_threads_without_the_gil_call_back_compile_and_drop() -> None:
    errors: list[BaseException] = []
    ready = threading.Barrier(8)
    expected = array.array("I", range(50))
    original(work)(lambda i: i, expected, 30)
    first = function(original(work))  # made by the one that comes first
    made_again = function(nogil=True)(original(work))

    def run(number: int) -> None:
        try:
            ready.wait()
            for turn in range(200 if SOAK else 20):
                data = array.array("I", range(50))
                made = (work, made_again, first)[(turn + number) % 3]
                assert made(lambda i: i, data, 30) == sum(range(30))
                assert data == expected

                def fail(i: int) -> int:
                    if i == 9:
                        raise ValueError(number)
                    return i

                with pytest.raises(ValueError, match=str(number)):
                    made(fail, data, 30)

                def local(x: i64) -> i64:
                    return i64(x * 2)

                assert function(local)(turn) == 2 * turn
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]


def test_a_nogil_function_refuses_to_own_objects() -> None:
    @function(nogil=True)
    def keeps(f: Callable[..., object]) -> i64:
        kept = f(1)
        return 1 if kept is None else 0

    with pytest.raises(CompileError, match="without the GIL cannot own"):
        keeps(print)


FORKS = """
import multiprocessing, os, sys
from collections.abc import Callable
from tracklayer import function
from tracklayer.lang import i64

@function
def calls(f: Callable[[i64], i64], n: i64) -> i64:
    return i64(f(n) + 1)

@function
def later(n: i64) -> i64:
    return i64(n * 3)

def forks(n):
    pid = os.fork()
    if pid == 0:
        assert later(n) == 3 * n
        return n
    assert os.waitpid(pid, 0)[1] == 0
    return n

if __name__ == "__main__":
    parent = os.getpid()
    assert calls(forks, 4) == 5
    assert later(2) == 6
    if os.getpid() != parent:
        os._exit(0)
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(2) as pool:
            assert pool.map(later, range(10)) == [3 * i for i in range(10)], way
    print("ok")
"""


def test_forks_in_a_callback_and_multiprocessing_by_fork_and_spawn() -> None:
    assert run(FORKS).strip() == "ok"


@typed(outline=True)
def between(f: Callable[[i64], i64], n: i64) -> i64:
    return n if n == 0 else i64(f(n) + between(f, i64(n - 1)))


@function
def outermost(f: Callable[[i64], i64], n: i64) -> i64:
    return i64(between(f, n) + 1)


def test_the_c_unwinder_goes_through_typed_functions() -> None:
    """glibc, asked in a callback where it came from, sees the frames of typed functions and those behind them."""
    space = (ctypes.c_void_p * 300)()
    found: list[list[int]] = []
    backtrace = ctypes.CDLL(None).backtrace

    def look(n: int) -> int:
        count = backtrace(space, 300)
        found.append([space[i] or 0 for i in range(count)])
        return n

    assert outermost(look, 3) == 7
    inside = [sum(frame in code_memory() for frame in frames) for frames in found]
    assert inside[0] >= 3 and inside[1] > inside[0] and inside[2] > inside[1]  # one more frame for each level
    assert all(frames[-1] not in code_memory() and len(frames) > 12 for frames in found)


def test_gdb_and_others_are_told_the_name() -> None:
    program = """
    from tracklayer import function
    from tracklayer.lang import i64
    from tracklayer.native import debug
    told = []
    real = debug.announce
    debug.enable(gdb=True)
    debug.announce = lambda name, *rest: told.append(name) or real(name, *rest)

    @function
    def known_by_name(x: i64) -> i64:
        return x

    assert known_by_name(3) == 3
    print(*told)
    """
    assert run(program).split()[0] == "known_by_name"


def test_tracing_and_profiling() -> None:
    for install in (sys.settrace, sys.setprofile):
        seen: list[str] = []
        install(lambda frame, event, argument, seen=seen: seen.append(event))
        try:
            assert deeper(lambda n: n + 1, 4) == 15
        finally:
            install(None)
        assert seen
