"""Whatever a callback does, generated code survives it: collection, recursion, threads, forks, signals, tracing.

The workloads of survival.py in their short form; `make soak` runs them at full length."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import functools
import gc
import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.native import survival
from tests.native.survival import spinning, through
from tracklayer.native.assembler import Assembler
from tracklayer.native.operands import mem, rax, rbx, rsp

X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = [
    pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux"),
    pytest.mark.usefixtures("little_garbage"),
]


# ----------------------------------------------------------------------------------------------------------- collection


def test_collection_in_every_callback() -> None:
    survival.collection_at_every_call(100)


def test_weak_references_and_finalisers_that_call_back_in() -> None:
    events: list[str] = []

    class Noisy:
        def __del__(self) -> None:
            events.append(again("from __del__"))

    again = through(lambda x: x)

    def make(x: object) -> object:
        noisy = Noisy()
        weakref.finalize(noisy, lambda: events.append(again("from weakref")))
        del noisy
        gc.collect()
        return x

    f = through(make)
    assert f("result") == "result"
    assert sorted(events) == ["from __del__", "from weakref"]


def test_memory_is_flat_over_many_calls() -> None:
    survival.many_calls(300_000)


def test_exceptions_leave_eight_levels_with_nothing_left_behind() -> None:
    survival.exceptions_eight_deep(120)


# ------------------------------------------------------------------------------------------------------------ recursion


RECURSION = """
import sys, threading, traceback
from tracklayer.native.assembler import Assembler
a = Assembler("deeper")
depth = 0
def go(x):
    global depth
    depth += 1
    return deeper(x)
a.prologue(); a.call(a.callback(go, "i64(i64)")); a.epilogue()
deeper = a.function("i64(x: i64)")
def run(where):
    global depth
    for _ in range(3):
        depth = 0
        try:
            deeper(1)
        except RecursionError as error:
            assert depth > 50, depth
            last = depth
        else:
            raise SystemExit("no RecursionError")
    print(where, "ok")
run("main")
sys.setrecursionlimit(10**6)
run("main without limit")
threading.stack_size(256 << 10)
threads = [threading.Thread(target=run, args=(f"thread {i}",)) for i in range(4)]
for thread in threads: thread.start(); thread.join()
threading.stack_size(16 << 20)
thread = threading.Thread(target=run, args=("large thread",)); thread.start(); thread.join()
threading.stack_size(128 << 10)
thread = threading.Thread(target=run, args=("small thread",)); thread.start(); thread.join()
run("main again")
"""


def test_recursion_without_end_is_an_error_never_a_crash() -> None:
    """On the main thread, without a recursion limit, on threads with small and large stacks, one after the other (their
    control blocks come to lie at the same addresses)."""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", RECURSION], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("ok") == 9


def test_a_stack_of_ones_own_is_not_mistaken_for_a_full_one() -> None:
    """A fiber runs on memory from the heap. Its stack pointer says nothing about the thread's stack."""
    space = (ctypes.c_char * (1 << 20))()
    result: list[object] = []

    def inner(x: object) -> object:
        result.append(x)
        return x

    f = through(inner)
    a = Assembler("fiber")
    a.prologue(rbx)
    a.mov(rbx, rsp)
    a.mov(rax, a.buffer(space))
    a.lea(rsp, mem[rax + (1 << 20) - 64])
    a.and_(rsp, -16)
    a.call(a.callback(lambda: f("on the fiber"), "void()"))
    a.mov(rsp, rbx)
    a.epilogue()
    a.function("void()")()
    assert result == ["on the fiber"]


# -------------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("nogil", [False, True])
def test_ctrl_c_reaches_an_endless_loop(nogil: bool) -> None:
    survival.ctrl_c(5, nogil=nogil)


def test_other_threads_get_their_turn_while_a_loop_polls() -> None:
    assert survival.counted_beside(spinning()) > 100


def test_signals_and_profilers_while_code_runs() -> None:
    """Registers keep their values over polls, calls return what they should, under SIGALRM and SIGPROF."""
    survival.under_signals(0.5)


# -------------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("nogil", [False, True])
def test_eight_threads_call_are_called_compile_and_drop(nogil: bool) -> None:
    survival.eight_threads(2.0, nogil=nogil)


def test_functions_dropped_while_they_run() -> None:
    survival.dropped_while_they_run(20)


def test_a_function_dropped_by_another_thread_while_it_runs() -> None:
    entered, dropped = threading.Event(), threading.Event()
    holder: list[Any] = []

    def wait(x: object) -> object:
        entered.set()
        dropped.wait(10)
        gc.collect()
        return x

    holder.append(through(wait))

    def drop() -> None:
        entered.wait(10)
        holder.clear()
        gc.collect()
        for _ in range(50):
            through(lambda x: x)  # reuse any memory that was freed
        dropped.set()

    thread = threading.Thread(target=drop)
    thread.start()
    assert holder[0]("back") == "back"
    thread.join()


@pytest.mark.parametrize("way", ["map", "sorted", "thread", "partial", "attribute"])
def test_whoever_calls_holds_the_function(way: str) -> None:
    """CPython's callers own a reference to what they call: dropping all others inside frees nothing too early."""
    holder: dict[str, Any] = {}

    def drop(x: object) -> object:
        holder.clear()
        gc.collect()
        for _ in range(20):
            through(lambda x: x)
        return x

    class Thing:
        pass

    for _ in range(20):
        holder["f"] = through(drop)
        match way:
            case "map":
                assert list(map(holder.pop("f"), [1, 2, 3])) == [1, 2, 3]
            case "sorted":
                assert sorted([2, 1], key=holder.pop("f")) == [1, 2]
            case "thread":
                thread = threading.Thread(target=holder.pop("f"), args=(1,))
                thread.start()
                thread.join()
            case "partial":
                assert functools.partial(holder.pop("f"), 5)() == 5
            case _:
                thing = Thing()
                thing.f = holder.pop("f")  # type: ignore[attr-defined]
                holder["thing"] = thing
                assert thing.f(7) == 7  # type: ignore[attr-defined]
                del thing


def test_compiling_and_dropping_keeps_memory_and_mappings_flat() -> None:
    survival.compile_and_drop(3000)


# ---------------------------------------------------------------------------------------------------------------- forks


@pytest.fixture
def forking() -> Iterator[None]:
    """Forking is what is tested here, whatever Python says of threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def forked(child: Callable[[], bool]) -> None:
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            good = child()
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.usefixtures("forking")
def test_fork_before_inside_and_after() -> None:
    f = through(lambda x: x + 1, "i64(x: i64)")

    def child() -> bool:
        made = [through(lambda x, i=i: x + i, "i64(x: i64)") for i in range(20)]  # type: ignore[misc]
        return all(g(100) == 100 + i for i, g in enumerate(made)) and f(1) == 2

    forked(child)
    pids = []

    def fork_inside(x: object) -> object:
        pids.append(os.fork())
        return x

    inside = through(fork_inside)
    result = inside("both")
    if pids[0] == 0:
        good = False
        try:
            good = result == "both" and child() and f(2) == 3
        finally:
            os._exit(0 if good else 1)
    assert result == "both"
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0
    made = [through(lambda x, i=i: x - i, "i64(x: i64)") for i in range(20)]  # type: ignore[misc]
    forked(child)
    assert all(g(100) == 100 - i for i, g in enumerate(made))


@pytest.mark.usefixtures("forking")
def test_fork_again_and_again_inside_callbacks() -> None:
    survival.forks(10)


@pytest.mark.usefixtures("forking")
def test_fork_while_other_threads_compile_call_and_drop() -> None:
    """The child has what those threads had made by then, and no lock that one of them held."""
    survival.everything_at_once(3.0)


def in_another_process(n: int) -> int:
    return int(through(lambda x: x * 2, "i64(x: i64)")(n))


@pytest.mark.usefixtures("forking")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str) -> None:
    script = textwrap.dedent(f"""
        import multiprocessing, sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import test_survival
        if __name__ == "__main__":
            first = test_survival.in_another_process(1)
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                print(first, *pool.map(test_survival.in_another_process, range(5)))
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["2", "0", "2", "4", "6", "8"], done.stderr[-1500:]


# ------------------------------------------------------------------------------------------- coroutines, tracing, tools


def test_generators_and_tasks_suspended_around_calls() -> None:
    def steps(n: int) -> Iterator[int]:
        for i in range(n):
            yield double(i)

    double = through(lambda x: x * 2, "i64(x: i64)")
    advance = through(next)
    generator = steps(10)
    assert [advance(generator) for _ in range(10)] == [2 * i for i in range(10)]
    with pytest.raises(StopIteration):
        advance(generator)

    async def task(i: int) -> int:
        total = 0
        for _ in range(20):
            total += double(i)
            await asyncio.sleep(0)
        return total

    async def main() -> list[int]:
        return await asyncio.gather(*(task(i) for i in range(10)))

    assert asyncio.run(main()) == [40 * i for i in range(10)]

    def run_a_loop(x: object) -> object:
        asyncio.run(main())
        return x

    assert through(run_a_loop)("done") == "done"


@pytest.mark.skipif(importlib.util.find_spec("greenlet") is None, reason="needs greenlet")
def test_greenlets_switch_inside_callbacks() -> None:
    import greenlet  # type: ignore[import-not-found,unused-ignore]

    main = greenlet.getcurrent()
    log: list[Any] = []

    def switch(x: object) -> object:
        log.append(x)
        return main.switch(x)

    f = through(switch)
    lets = [greenlet.greenlet(lambda i=i: log.append(("end", f((i, f(i)))))) for i in range(5)]  # type: ignore[misc]
    got = [let.switch() for let in lets]
    assert got == list(range(5))
    got = [let.switch("first") for let in lets]
    assert got == [(i, "first") for i in range(5)]
    for let in reversed(lets):
        let.switch("second")
    assert [entry for entry in log if isinstance(entry, tuple) and entry[0] == "end"] == [("end", "second")] * 5


@pytest.mark.skipif(importlib.util.find_spec("greenlet") is None, reason="needs greenlet")
def test_greenlets_switch_in_any_order() -> None:
    survival.greenlets(2000)


def test_calls_under_trace_profile_and_monitoring_functions() -> None:
    survival.tracing(2000)


def test_tracing_and_profiling() -> None:
    events: list[tuple[str, str]] = []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        events.append((event, frame.f_code.co_name))
        return trace

    def back(x: int) -> int:
        return x + 1

    f = through(back, "i64(x: i64)")
    sys.settrace(trace)
    try:
        assert f(1) == 2
    finally:
        sys.settrace(None)
    assert ("call", "back") in events
    calls: list[tuple[str, Any]] = []
    sys.setprofile(lambda frame, event, argument: calls.append((event, argument)))
    try:
        assert f(1) == 2
    finally:
        sys.setprofile(None)
    assert ("c_call", f) in calls and ("c_return", f) in calls


@pytest.mark.skipif(importlib.util.find_spec("coverage") is None, reason="needs coverage")
@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_coverage_counts_callbacks(core: str, tmp_path: Path) -> None:
    if core == "sysmon" and sys.version_info < (3, 12):
        pytest.skip("sys.monitoring is new in 3.12")
    program = tmp_path / "program.py"
    program.write_text(
        "from tests.native.survival import through\n"
        "def back(x):\n"
        "    if x == 1:\n"
        "        return 2\n"
        "    return 3\n"
        "assert through(back)(1) == 2\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.getcwd(),
        "COVERAGE_CORE": core,
        "COVERAGE_FILE": str(tmp_path / "data"),
    }
    run = [sys.executable, "-m", "coverage", "run", "--include", str(program), str(program)]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    report = [sys.executable, "-m", "coverage", "report", "-m"]
    shown = subprocess.run(report, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=100).stdout
    assert shown.splitlines()[-1].split()[1:3] == ["6", "1"], shown
    assert "program.py" in shown and " 5" in shown.splitlines()[2], shown


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_monitoring() -> None:
    if sys.version_info < (3, 12):
        return
    seen: list[Any] = []
    monitoring = sys.monitoring
    monitoring.use_tool_id(4, "test")
    try:
        monitoring.register_callback(
            4, monitoring.events.CALL, lambda code, at, function, argument: seen.append(function)
        )
        monitoring.set_events(4, monitoring.events.CALL)
        f = through(lambda x: x)
        seen.clear()
        f(5)
        monitoring.set_events(4, 0)
    finally:
        monitoring.free_tool_id(4)
    assert f in seen


def test_faulthandler_shows_python_frames_around_generated_ones(tmp_path: Any) -> None:
    with open(tmp_path / "trace", "w+") as file:

        def inner(x: object) -> object:
            faulthandler.dump_traceback(file)
            return x

        through(inner)(1)
        file.seek(0)
        text = file.read()
    assert "in inner" in text and "in test_faulthandler_shows_python_frames" in text


def test_every_mapping_is_writable_or_executable_never_both() -> None:
    script = """
import sys
from tracklayer.native.assembler import Assembler
from tracklayer.native.memory import *
a = Assembler(); a.prologue(polls=True); a.call(a.callback(abs, "i64(i64)")); a.poll(); a.epilogue()
f = a.function("i64(x: i64)")
assert f(-5) == 5
print([line for line in open("/proc/self/maps") if "wx" in line.split()[1]])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
