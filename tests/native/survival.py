"""Workloads that generated code must survive, each of any length: short in test_survival.py, full in `make soak`.

Each function takes how long or how often, raises AssertionError where something is wrong, and returns what it did, in a
line. `Say` is called now and then with how far it is, from 0 to 1.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tracklayer.native import Assembler, code_memory
from tracklayer.native.operands import REGISTERS, eax, mem, qword, r8, rax, rbx, rcx, rdi, rsi

Say = Callable[[float], None]


def silent(_: float) -> None:
    """Nobody wants to know."""


def through(function: Callable[..., Any], signature: str = "object(x: object)", **options: Any) -> Any:
    """A builtin that passes its arguments on to a callback and gives back the result."""
    a = Assembler("through")
    a.prologue()
    a.call(a.callback(function, signature, nogil=options.get("nogil", False)))
    a.epilogue()
    return a.function(signature, **options)


def writable_and_executable() -> set[str]:
    """Mappings that are both (libffi, under ctypes callbacks, has one)."""
    with open("/proc/self/maps") as file:
        return {line.split()[0] for line in file if "wx" in line.split()[1]}


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def mappings() -> int:
    """How many mappings this process has."""
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)


# ----------------------------------------------------------------------------------------------------- calls and memory


def many_calls(times: int, say: Say = silent) -> str:
    """Integers, floats and objects go in, a new list comes out. References stay equal, memory flat."""

    def back(number: int, real: float, thing: object) -> list[object]:
        return [number, real, thing]

    f = through(back, "object(i64, f64, object)")
    thing = object()
    watched = (thing, back, f)
    constants = () if sys.version_info >= (3, 12) else (True, None)  # immortal since; whatever else happens counts too

    def run(count: int) -> None:
        for i in range(count):
            f(i << 20, 0.5, thing)

    run(10_000)
    gc.collect()
    before = resident(), sys.getallocatedblocks(), [sys.getrefcount(x) for x in watched]
    counted = [sys.getrefcount(x) for x in constants]
    for turn in range(20):
        run(times // 20)
        say((turn + 1) / 20)
    gc.collect()
    grown, blocks = resident() - before[0], sys.getallocatedblocks() - before[1]
    after = [sys.getrefcount(x) for x in watched]
    assert after == before[2], (before[2], after)
    assert all(abs(sys.getrefcount(x) - count) < 100 for x, count in zip(constants, counted, strict=True))
    assert abs(blocks) < 200, f"{blocks} objects more than before"
    assert grown < 2 << 20, f"memory grew by {grown} bytes"
    return f"{times:,} calls there and back, references equal, memory grew by {max(grown, 0) >> 10} KiB"


def compile_and_drop(times: int, say: Say = silent) -> str:
    """Assemble a function, call it, drop it: code memory, resident memory and mappings stay as they were."""

    def plain(i: int) -> None:
        a = Assembler("add")
        a.lea(rax, mem[rdi + rsi])
        a.ret()
        assert a.function("i64(x: i64, y: i64)")(i, 1) == i + 1

    def cycle(i: int) -> None:
        if i % 10:
            plain(i)
        else:  # with a callback, and every second of them in a reference cycle for the collector
            cell: list[Any] = []
            f = through(lambda x, cell=cell: x + len(cell), "i64(x: i64)")
            if i % 20:
                cell.append(f)
            assert f(i) == i + len(cell)

    for i in range(400):
        cycle(i)
    gc.collect()
    before = code_memory().used, mappings(), resident()
    for i in range(times):
        cycle(i)
        if i % 1000 == 0:
            say(i / times)
    gc.collect()
    grown = resident() - before[2]
    assert code_memory().used == before[0], f"{code_memory().used - before[0]} bytes of code are left"
    assert mappings() <= before[1] + 4, f"{mappings()} mappings, {before[1]} before"
    assert grown < 4 << 20, f"memory grew by {grown} bytes"
    return f"{times:,} functions made and dropped, no code left, {mappings() - before[1]:+} mappings, {grown >> 10} KiB"


def collection_at_every_call(times: int, say: Say = silent) -> str:
    """A linked list that only the generated frame holds grows under constant collection; finalisers call back in."""
    events: list[str] = []
    again = through(lambda x: x)

    class Cell:
        def __init__(self, rest: object) -> None:
            self.rest = rest
            self.me = self  # a cycle in each

    class Noisy:
        def __del__(self) -> None:
            events.append(again("from __del__"))

    def grow(rest: object) -> object:
        noisy = Noisy()
        weakref.finalize(noisy, lambda: events.append(again("from weakref")))
        noisy.me = noisy  # type: ignore[attr-defined]
        del noisy
        gc.collect()
        return Cell(rest)

    a = Assembler("grow")
    a.prologue(rbx, locals=1)
    a.mov(rbx, rsi)
    a.mov(rax, rdi)
    a.incref(rax)
    a.label("next")
    a.mov(a.local(0), rax)
    a.mov(rdi, rax)
    a.call(a.callback(grow, "object(x: object)"))
    a.mov(rdi, a.local(0))
    a.mov(a.local(0), rax)
    a.call(a.c_function(ctypes.pythonapi.Py_DecRef))  # the new cell holds it now
    a.mov(rax, a.local(0))
    a.dec(rbx)
    a.jnz("next")
    a.epilogue()
    f = a.function("object(x: object, n: u64)")
    length = 50
    for turn in range(max(times // length, 1)):
        events.clear()
        cell, found = f(None, length), 0
        while cell is not None:
            cell, found = cell.rest, found + 1
        assert found == length
        assert events.count("from __del__") == events.count("from weakref") == length
        say(turn * length / times)
    return f"{times:,} collections inside callbacks, nothing lost"


# ----------------------------------------------------------------------------------------------------------- exceptions

KINDS = (ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, MemoryError)


def exceptions_eight_deep(times: int, say: Say = silent) -> str:
    """Python, code, Python, code ...: what comes out is what went in, its traceback whole, its references equal."""
    raised: list[BaseException] = []

    def bottom() -> None:
        raise raised[0]

    function: Callable[[], Any] = bottom
    for _ in range(8):

        def level(inner: Callable[[], Any] = function) -> None:
            inner()

        function = through(level, "void()")

    def once(i: int) -> None:
        error = KINDS[i % len(KINDS)](i)
        raised[:] = [error]
        try:
            function()
        except BaseException as caught:
            assert caught is error
            names = [entry.name for entry in traceback.extract_tb(caught.__traceback__)]
            assert names[-17:] == ["through", "level"] * 8 + ["bottom"], names
        else:
            raise AssertionError("nothing came out")

    for i in range(20):
        once(i)
    raised.clear()
    gc.collect()
    before = sys.getrefcount(bottom), sys.getrefcount(function), sys.getallocatedblocks()
    for i in range(times):
        once(i)
        if i % 100 == 0:
            say(i / times)
    raised.clear()
    gc.collect()
    assert (sys.getrefcount(bottom), sys.getrefcount(function)) == before[:2]
    assert abs(sys.getallocatedblocks() - before[2]) < 300
    return f"{times:,} exceptions through eight levels, each with its whole traceback"


def recursion(times: int, say: Say = silent) -> str:
    """Recursion through both sides without end, on stacks of all sizes: RecursionError, and all goes on."""
    depth = 0

    def go(x: int) -> int:
        nonlocal depth
        depth += 1
        return int(deeper(x))

    deeper = through(go, "i64(x: i64)")
    shallowest = sys.maxsize
    errors: list[object] = []

    def run() -> None:
        nonlocal depth, shallowest
        for _ in range(3):
            depth = 0
            try:
                deeper(1)
            except RecursionError:
                shallowest = min(shallowest, depth)
            else:
                errors.append("no RecursionError")

    def on_a_thread(stack: int) -> None:
        old = threading.stack_size(stack)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        threading.stack_size(old)

    limit = sys.getrecursionlimit()
    try:
        for turn in range(times):
            run()
            for unlimited in (False, True):
                sys.setrecursionlimit(10**6 if unlimited else limit)
                for stack in (256 << 10, 256 << 10, 16 << 20, 128 << 10):
                    on_a_thread(stack)
            run()
            sys.setrecursionlimit(limit)
            say((turn + 1) / times)
    finally:
        sys.setrecursionlimit(limit)
    assert not errors
    assert shallowest > 20, shallowest
    return f"{times * 30:,} endless recursions ended in RecursionError, {shallowest} levels deep or more"


# -------------------------------------------------------------------------------------------------------------- threads


def eight_threads(seconds: float, say: Say = silent, *, nogil: bool = False) -> str:
    """Eight threads call, are called back, raise, compile and drop, on functions that they share."""
    before = writable_and_executable()
    start = time.monotonic()
    errors: list[BaseException] = []
    shared: list[Any] = [through(lambda x: x, nogil=nogil) for _ in range(10)]
    turns = [0] * 8

    def turn(chooser: random.Random) -> None:
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

    def work(seed: int) -> None:
        chooser = random.Random(seed)
        try:
            while time.monotonic() - start < seconds and not errors:
                turns[seed] += 1
                turn(chooser)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.5)
        time.sleep(0.01)
        say((time.monotonic() - start) / seconds)
    assert not errors, errors
    assert min(turns) > 10
    assert writable_and_executable() <= before
    return f"{sum(turns):,} turns of eight threads in {seconds:.0f} s" + (", without the GIL" if nogil else "")


def parallel_speed(rounds: int, say: Say = silent) -> str:
    """The same native work twice, one after the other and at once on two threads without the GIL."""
    a = Assembler("work")
    a.label("next")
    a.imul(rax, rdi, 3)
    a.add(rcx, rax)
    a.dec(rdi)
    a.jnz("next")
    a.mov(rax, rcx)
    a.ret()
    work = a.function("u64(n: u64)", nogil=True)
    turns, best = 200_000_000, 0.0
    for i in range(rounds):
        start = time.perf_counter()
        work(turns)
        work(turns)
        alone = time.perf_counter() - start
        start = time.perf_counter()
        other = threading.Thread(target=work, args=(turns,))
        other.start()
        work(turns)
        other.join()
        best = max(best, alone / (time.perf_counter() - start))
        say((i + 1) / rounds)
    assert best >= 1.8, f"{best:.2f} times as fast on two threads; is a core busy with something else?"
    return f"two threads without the GIL are {best:.2f} times as fast as one (best of {rounds})"


def dropped_while_they_run(times: int, say: Say = silent) -> str:
    """The last reference to a function goes while it runs: in its own callback, and on another thread."""

    def refill() -> None:
        gc.collect(0)
        for _ in range(5):
            through(lambda x: x)  # takes any code memory that was freed

    for i in range(times):
        holder: list[Any] = []
        dropped = threading.Event()

        def inside(x: object, holder: list[Any] = holder) -> object:
            holder.clear()
            refill()
            return x

        holder.append(through(inside))
        assert holder[0](i) == i

        def drop(holder: list[Any] = holder, dropped: threading.Event = dropped) -> None:
            holder.clear()
            refill()
            dropped.set()

        def wait(x: object, drop: Any = drop, dropped: threading.Event = dropped) -> object:
            threading.Thread(target=drop).start()
            assert dropped.wait(30)
            return x

        holder.append(through(wait))
        assert holder[0](i) == i
        if i % 10 == 0:
            say(i / times)
    return f"{2 * times:,} functions dropped while they ran"


# -------------------------------------------------------------------------------------------------------------- signals


def spinning(nogil: bool = False) -> Any:
    """A builtin that never returns, but polls."""
    a = Assembler("spin")
    a.prologue(polls=True)
    a.label("loop")
    a.poll(nogil=nogil)
    a.jmp("loop")
    return a.function("void()", nogil=nogil)


def ctrl_c(times: int, say: Say = silent, *, nogil: bool = False) -> str:
    """Ctrl-C while an endless loop runs. Returns how late it was; the median must be within the promised 50 ms."""
    spin = spinning(nogil)
    delays = []
    for i in range(times):
        sent = [0.0]

        def interrupt(sent: list[float] = sent) -> None:
            sent[0] = time.perf_counter()
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.02, interrupt)
        try:
            timer.start()
            spin()
        except KeyboardInterrupt:
            delays.append(time.perf_counter() - sent[0])
        timer.join()
        say((i + 1) / times)
    assert len(delays) == times
    delays.sort()
    median = delays[times // 2]
    assert median < 0.05, delays
    return f"{times} interrupts, {median * 1e3:.2f} ms late in the middle, {delays[-1] * 1e3:.2f} ms at most"


def counted_beside(endless: Callable[[], object]) -> int:
    """How far another thread counts beside a loop, until Ctrl-C ends that after a third of a second."""
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        endless()
        raise AssertionError("an endless loop ended by itself")
    except KeyboardInterrupt:
        return counted
    finally:
        stop.set()
        thread.join()
        timer.join()


def busy_loop() -> Any:
    """A builtin with live values in every register that a callee may use; True if all are there after n polls."""
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
    return a.function("bool(n: u64)")


@contextmanager
def alarms(which: int, number: signal.Signals, heard: list[object]) -> Iterator[None]:
    """A signal 500 times a second, whose handler notes it."""
    old = signal.signal(number, lambda *_: heard.append(1.5 * len(heard)))
    signal.setitimer(which, 0.002, 0.002)
    try:
        yield
    finally:
        signal.setitimer(which, 0)
        signal.signal(number, old)


def under_signals(seconds: float, say: Say = silent) -> str:
    """Calls, callbacks and polling loops while SIGALRM and SIGPROF (what profilers use) keep arriving."""
    rang: list[object] = []
    profiled: list[object] = []
    f = through(lambda x: x + 1, "i64(x: i64)")
    busy = busy_loop()
    start = time.perf_counter()
    calls = 0
    with alarms(signal.ITIMER_REAL, signal.SIGALRM, rang), alarms(signal.ITIMER_PROF, signal.SIGPROF, profiled):
        while (gone := time.perf_counter() - start) < seconds or len(rang) < 20 or len(profiled) < 10:
            assert busy(2_000_000)
            for i in range(5000):
                assert f(i) == i + 1
            calls += 5000
            say(gone / seconds)
    return f"{calls:,} calls under {len(rang):,} alarms and {len(profiled):,} profiling signals"


# ------------------------------------------------------------------------------------------------- forks and coroutines


def reap(pid: int) -> int:
    """The exit status of a child, which has a minute."""
    until = time.monotonic() + 60
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("a forked child hangs")
        time.sleep(0.0005)


def forks(times: int, say: Say = silent) -> str:
    """Forks out of a callback; parent and child both go on, write code of their own, and read their own."""
    f = through(lambda x: x + 1, "i64(x: i64)")
    pids: list[int] = []

    def fork_inside(x: object) -> object:
        pids.append(os.fork())
        return x

    inside = through(fork_inside)

    def good(sign: int) -> bool:
        made = [through(lambda x, i=i: x + sign * i, "i64(x: i64)") for i in range(10)]  # type: ignore[misc]
        return all(g(100) == 100 + sign * i for i, g in enumerate(made)) and f(1) == 2

    for i in range(times):
        result = inside("both")
        if pids[-1] == 0:
            fine = False
            try:
                fine = result == "both" and good(1) and f(2) == 3
            finally:
                os._exit(0 if fine else 1)
        assert result == "both" and good(-1)
        assert reap(pids[-1]) == 0
        say((i + 1) / times)
    return f"{times:,} forks inside callbacks, both sides went on"


def greenlets(times: int, say: Say = silent) -> str:
    """Greenlets that switch inside callbacks, so that generated frames come and go on the stack in any order."""
    import greenlet  # type: ignore[import-not-found,unused-ignore]

    main = greenlet.getcurrent()
    f = through(main.switch)
    chooser = random.Random(4)

    def run(i: int) -> None:
        for turn in range(10):
            assert f((i, turn)) == (i, turn, "back")

    switches = 0
    while switches < times:
        lets = [greenlet.greenlet(run) for _ in range(10)]
        waiting: dict[int, Any] = {i: let.switch(i) for i, let in enumerate(lets)}
        while waiting:
            i = chooser.choice(list(waiting))
            answer = lets[i].switch((*waiting[i], "back"))
            switches += 1
            if lets[i].dead:
                del waiting[i]
            else:
                waiting[i] = answer
        gc.collect(0)
        say(switches / times)
    return f"{switches:,} greenlet switches inside callbacks"


def tracing(times: int, say: Say = silent) -> str:
    """Trace and profile functions (and `sys.monitoring`, where there is one) on, over calls and exceptions."""
    seen = [0, 0, 0]

    def trace(frame: Any, event: str, argument: Any) -> Any:
        seen[0] += 1
        return trace

    def profile(frame: Any, event: str, argument: Any) -> None:
        seen[1] += 1

    def monitored(*_: object) -> None:
        seen[2] += 1

    def back(x: int) -> int:
        return 10 // x

    f = through(back, "i64(x: i64)")
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        monitoring.use_tool_id(4, "survival")
        monitoring.register_callback(4, monitoring.events.CALL, monitored)
        monitoring.set_events(4, monitoring.events.CALL)
    old = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        for i in range(times):
            try:
                assert f(i % 3) == 10 // (i % 3)
            except ZeroDivisionError:
                assert i % 3 == 0
            if i % 1000 == 0:
                say(i / times)
    finally:
        sys.settrace(old[0])
        sys.setprofile(old[1])
        if monitoring is not None:
            monitoring.set_events(4, 0)
            monitoring.free_tool_id(4)
    assert seen[0] > times and seen[1] > times and (monitoring is None or seen[2] > times)
    return f"{times:,} calls, {sum(seen):,} events seen by trace, profile and monitoring functions"


def everything_at_once(seconds: float, say: Say = silent) -> str:
    """Four threads compile, call and drop while signals arrive, the collector runs, and this thread forks.

    All modules are imported before: a child that is forked in the middle of another thread's import waits for that
    module for ever, in CPython's import system."""
    busy_loop()(1)
    through(lambda x: x, nogil=True)(1)
    start = time.monotonic()
    errors: list[BaseException] = []
    counts = [0] * 4
    rang: list[object] = []

    def work(seed: int) -> None:
        chooser = random.Random(seed)
        try:
            while time.monotonic() - start < seconds and not errors:
                nogil = chooser.random() < 0.5
                f = through(lambda x: [x], "object(x: object)", nogil=nogil)
                a = Assembler("sum_of_squares")
                a.prologue(rbx, polls=True)
                a.xor(rax, rax)
                a.label("next")
                a.mov(r8, qword[rdi + rsi * 8 - 8])
                a.imul(r8, r8)
                a.add(rax, r8)
                a.poll(nogil=nogil)
                a.dec(rsi)
                a.jnz("next")
                a.epilogue()
                g = a.function("i64(data: i64[])", nogil=nogil)
                numbers = (ctypes.c_int64 * 1000)(*range(1000))
                assert g(numbers) == sum(i * i for i in range(1000))
                assert f(seed) == [seed]
                if chooser.random() < 0.1:
                    gc.collect()
                counts[seed] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    forked = 0
    with alarms(signal.ITIMER_REAL, signal.SIGALRM, rang):
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            pid = os.fork()
            if pid == 0:
                fine = False
                try:
                    fine = bool(through(lambda x: x + 1, "i64(x: i64)")(1) == 2)
                finally:
                    os._exit(0 if fine else 1)
            assert reap(pid) == 0
            forked += 1
            time.sleep(0.05)
            say((time.monotonic() - start) / seconds)
    assert not errors, errors
    assert min(counts) > 0 and forked > 0 and rang
    return f"{sum(counts):,} functions on four threads, {forked:,} forks, {len(rang):,} signals, {seconds:.0f} s"
