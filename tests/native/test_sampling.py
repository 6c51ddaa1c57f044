"""Sampling proves that: addresses fall where a thread's time goes, and the process is afterwards as it was before."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tracklayer.native import code_memory
from tracklayer.native.sampling import Sampler, SamplingUnavailable, available

pytestmark = pytest.mark.skipif(bool(available()), reason=f"no sampling here: {available()}")


@pytest.fixture
def spin() -> Iterator[tuple[object, range]]:
    """A function that counts down in machine code, and where that lies."""
    block = code_memory().allocate(64)
    block.write(0, bytes.fromhex("4889f8 48ffc8 75fb c3"))  # mov rax, rdi; again: dec rax; jnz again; ret
    yield ctypes.CFUNCTYPE(None, ctypes.c_uint64)(block.address), range(block.address, block.address + block.size)


def samples_of(spin: tuple[object, range], wanted: int) -> Sampler:
    """Spin until there are so many samples."""
    function, _ = spin
    patience = time.monotonic() + 30
    with Sampler(0.001) as sampler:
        while len(sampler.samples) < wanted and time.monotonic() < patience:
            function(10_000_000)  # type: ignore[operator]
    return sampler


def test_most_samples_fall_into_the_code_that_runs(spin: tuple[object, range]) -> None:
    before = time.thread_time()
    sampler = samples_of(spin, 50)
    samples = sampler.samples
    assert 0 < sampler.seconds <= time.thread_time() - before
    inside = sum(address in spin[1] for address in samples)
    assert len(samples) >= 50
    assert inside > len(samples) / 2


def test_a_full_buffer_only_counts(spin: tuple[object, range]) -> None:
    function, _ = spin
    with Sampler(0.001, most=3) as sampler:
        patience = time.monotonic() + 30
        while not sampler.lost and time.monotonic() < patience:
            function(10_000_000)  # type: ignore[operator]
    assert len(sampler.samples) == 3
    assert sampler.lost >= 1


def test_short_stretches_have_their_share(spin: tuple[object, range]) -> None:
    """Each is a hundredth of the interval, and all together are many intervals."""
    function, _ = spin
    sampler = Sampler(0.01)
    patience = time.monotonic() + 60
    while not sampler.samples and time.monotonic() < patience:
        with sampler:
            function(300_000)  # type: ignore[operator]
    assert sampler.samples
    before = len(sampler.samples)
    with sampler:
        pass
    assert len(sampler.samples) >= before


def test_the_old_handler_is_back_afterwards_and_hears_nothing_of_ours(spin: tuple[object, range]) -> None:
    heard = []
    before = signal.signal(signal.SIGPROF, lambda number, frame: heard.append(number))
    try:
        samples_of(spin, 5)
        assert not heard
        os.kill(os.getpid(), signal.SIGPROF)
        patience = time.monotonic() + 30
        while not heard and time.monotonic() < patience:
            time.sleep(0.001)
        assert heard == [signal.SIGPROF]
    finally:
        signal.signal(signal.SIGPROF, before)


def test_only_the_thread_that_asked_is_sampled(spin: tuple[object, range]) -> None:
    function, where = spin
    stop = threading.Event()

    def other() -> None:
        while not stop.is_set():
            function(1_000_000)  # type: ignore[operator]

    helper = threading.Thread(target=other)
    helper.start()
    try:
        with Sampler(0.001) as sampler:
            patience = time.monotonic() + 30
            while len(sampler.samples) < 20 and time.monotonic() < patience:
                time.sleep(0.01)
    finally:
        stop.set()
        helper.join()
    assert len(sampler.samples) >= 20
    assert not any(address in where for address in sampler.samples)


def test_waiting_is_not_cut_short() -> None:
    with Sampler(0.001) as sampler:
        start = time.monotonic()
        time.sleep(0.2)
        passed = time.monotonic() - start
    assert passed >= 0.2
    assert sampler.samples


def test_one_sampler_at_a_time_and_the_next_one_works(spin: tuple[object, range]) -> None:
    with Sampler(), pytest.raises(BlockingIOError, match="another sampler"), Sampler():
        pass
    assert samples_of(spin, 3).samples


@pytest.mark.parametrize(("interval", "most"), [(0.0, 5), (1e-6, 5), (2.0, 5), (0.001, 0)])
def test_nonsense_is_refused(interval: float, most: int) -> None:
    with pytest.raises(ValueError, match="interval"):
        Sampler(interval, most)


def test_another_thread_cannot_end_it() -> None:
    sampler = Sampler()
    raised: list[BaseException] = []

    def end() -> None:
        try:
            sampler.__exit__(None, None, None)
        except RuntimeError as error:
            raised.append(error)

    with sampler:
        thread = threading.Thread(target=end)
        thread.start()
        thread.join()
    assert "in the thread in which it began" in str(raised[0])


def test_a_forked_child_can_leave_the_with() -> None:
    program = (
        "import os, time\nfrom tracklayer.native.sampling import Sampler\n"
        "with Sampler(0.001) as sampler:\n    child = os.fork()\n    time.sleep(0.05)\n"
        "if child == 0:\n    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(sampler.samples) > 0)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["7", "True"], run.stderr


def test_where_there_is_none_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "sparc64")
    with pytest.raises(SamplingUnavailable, match="sparc64"):
        Sampler()
