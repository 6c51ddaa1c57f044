"""Whatever a callback does, generated code survives it: collection, recursion, threads, forks, signals, tracing.

The short form of each; TRACKLAYER_SOAK=seconds makes the ones that run for a time run so long."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import functools
import gc
import importlib.util
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tracklayer.native.assembler import Assembler
from tracklayer.native.memory import code_memory
from tracklayer.native.operands import REGISTERS, eax, mem, qword, rax, rbx, rdi, rsi, rsp

X86_LINUX = sys.platform == "linux" and os.uname().machine == "x86_64"
pytestmark = pytest.mark.skipif(not X86_LINUX, reason="runs x86-64 code on Linux")
SOAK = float(os.environ.get("TRACKLAYER_SOAK") or 0)


def through(function: Callable[..., Any], signature: str = "object(x: object)", **options: Any) -> Any:
    """A builtin that passes its arguments on to a callback and gives back the result."""
    a = Assembler("through")
    a.prologue()
    a.call(a.callback(function, signature, nogil=options.get("nogil", False)))
    a.epilogue()
    return a.function(signature, **options)


def writable_and_executable() -> set[str]:
    with open("/proc/self/maps") as file:
        return {line.split()[0] for line in file if "wx" in line.split()[1]}


# ----------------------------------------------------------------------------------------------------------- collection


def test_collection_in_every_callback() -> None:
    """A linked list that only the generated frame holds grows under constant collection."""

    class Cell:
        def __init__(self, rest: object) -> None:
            self.rest = rest
            self.me = self  # a cycle in each

    def grow(rest: object) -> object:
        gc.collect(0)
        return Cell(rest)

    a = Assembler("grow")
    a.prologue(rbx, locals=1)
    a.mov(rbx, rsi)
    a.mov(rax, rdi)
    a.inc(qword[rax])
    a.label("next")
    a.mov(a.local(0), rax)
    a.mov(rdi, rax)
    a.call(a.callback(grow, "object(x: object)"))
    a.mov(rdi, a.local(0))
    a.mov(a.local(0), rax)
    a.call(a.c_function(ctypes.pythonapi.Py_DecRef))  # the list holds it now
    a.mov(rax, a.local(0))
    a.dec(rbx)
    a.jnz("next")
    a.epilogue()
    f = a.function("object(x: object, n: u64)")
    cell = f(None, 300)
    length = 0
    while cell is not None:
        cell, length = cell.rest, length + 1
    assert length == 300


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
    f = through(lambda x, y: [x, y], "object(i64, f64)")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    for i in range(10_000):
        f(i << 40, 0.5)
    before = resident()
    for i in range(10_000_000 if SOAK else 300_000):
        f(i << 20, 0.5)
    assert resident() - before < 2 << 20


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


def spinning(nogil: bool = False) -> Any:
    a = Assembler("spin")
    a.prologue(polls=True)
    a.label("loop")
    a.poll(nogil=nogil)
    a.jmp("loop")
    return a.function("void()", nogil=nogil)


@pytest.mark.parametrize("nogil", [False, True])
def test_ctrl_c_reaches_an_endless_loop(nogil: bool) -> None:
    spin = spinning(nogil)
    delays = []
    for _ in range(5):
        sent = [0.0]

        def interrupt(sent: list[float] = sent) -> None:
            sent[0] = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.05, interrupt)
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            spin()
        delays.append(time.perf_counter() - sent[0])
        timer.join()
    assert min(delays) < 0.05


def test_other_threads_get_their_turn_while_a_loop_polls() -> None:
    spin = spinning()
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        spin()
    stop.set()
    thread.join()
    timer.join()
    assert counted > 100


def test_polls_keep_all_registers() -> None:
    """A loop with live values in every caller-saved register runs while a signal handler keeps interrupting it."""
    heard = []
    old = signal.signal(signal.SIGALRM, lambda *_: heard.append(1.5 * len(heard)))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        a = Assembler("busy")
        names = ["rax", "rcx", "rdx", "rsi", "r8", "r9", "r10"]
        a.prologue(polls=True)
        for i, name in enumerate(names):
            a.mov(REGISTERS[name], i * 1000 + 1)
        for i in range(16):
            a.cvtsi2sd(REGISTERS[f"xmm{i}"], REGISTERS[names[i % 7]])
        a.label("next")
        a.poll()
        a.dec(rdi)
        a.jnz("next")
        for i in range(16):
            a.cvttsd2si(REGISTERS["r11"], REGISTERS[f"xmm{i}"])
            a.cmp(REGISTERS["r11"], REGISTERS[names[i % 7]])
            a.jne("wrong")
        for i, name in enumerate(names):
            a.cmp(REGISTERS[name], i * 1000 + 1)
            a.jne("wrong")
        a.mov(rax, 1)
        a.epilogue()
        a.label("wrong")
        a.xor(eax, eax)
        a.epilogue()
        f = a.function("bool(n: u64)")
        while len(heard) < 20:
            assert f(5_000_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_a_profiling_signal_in_generated_code() -> None:
    samples: list[int] = []
    old = signal.signal(signal.SIGPROF, lambda number, frame: samples.append(frame.f_lineno if frame else 0))
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    try:
        f = through(lambda x: x + 1, "i64(x: i64)")
        until = time.perf_counter() + 0.3
        while time.perf_counter() < until:
            assert f(41) == 42
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)
    assert len(samples) > 10


# -------------------------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("nogil", [False, True])
def test_eight_threads_call_are_called_compile_and_drop(nogil: bool) -> None:
    before = writable_and_executable()
    until = time.monotonic() + (SOAK or 2.0)
    errors: list[BaseException] = []
    shared: list[Any] = [through(lambda x: x, nogil=nogil) for _ in range(10)]
    turns = [0] * 8

    def work(seed: int) -> None:
        chooser = random.Random(seed)
        try:
            while time.monotonic() < until:
                turns[seed] += 1
                match chooser.randrange(4):
                    case 0:
                        added = chooser.randrange(1000)
                        f = through(lambda x, added=added: x + added, "i64(x: i64)", nogil=nogil)
                        assert f(5) == 5 + added
                        shared.append(through(lambda x: x, nogil=nogil))
                    case 1:
                        if len(shared) > 20:  # never emptied by all eight at once
                            shared.pop(0)
                    case 2:
                        thing = object()
                        for _ in range(100):
                            assert shared[-1](thing) is thing
                    case _:
                        f = shared[chooser.randrange(10)]
                        try:
                            through(lambda x: 1 // x, "i64(x: i64)", nogil=nogil)(0)
                        except ZeroDivisionError:
                            pass
                        else:
                            raise AssertionError("no exception")
                        del f
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert min(turns) > 10
    assert writable_and_executable() <= before


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
    def cycle() -> None:
        f = through(lambda x: x)
        assert f(5) == 5

    def state() -> tuple[int, int]:
        with open("/proc/self/maps") as file:
            return code_memory().used, sum(1 for _ in file)

    for _ in range(20):
        cycle()
    gc.collect()
    before = state()
    for _ in range(3000 if SOAK else 300):
        cycle()
    gc.collect()
    used, maps = state()
    assert used == before[0] and maps <= before[1] + 2


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
