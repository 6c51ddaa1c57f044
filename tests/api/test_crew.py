"""Threads that help: the task is done in all of them, whatever happens."""

from __future__ import annotations

import gc
import threading

import pytest

from tracklayer.api.crew import Crew


def test_the_task_runs_in_the_caller_and_in_each_helper() -> None:
    crew = Crew(2)
    threads: dict[int, threading.Thread] = {}
    together = threading.Barrier(3)

    def task(number: int) -> None:
        threads[number] = threading.current_thread()
        together.wait()

    for _ in range(3):
        crew.run(task, lambda: None)
    assert sorted(threads) == [0, 1, 2]
    assert threads[0] is threading.current_thread()
    assert len(set(threads.values())) == 3
    crew.close()
    assert not threads[1].is_alive()
    assert not threads[2].is_alive()


@pytest.mark.parametrize("number", [0, 1])
def test_an_error_stops_the_others_and_comes_out_when_they_are_done(number: int) -> None:
    crew = Crew(1)
    stopped = threading.Event()
    ended: list[int] = []

    def task(mine: int) -> None:
        if mine == number:
            raise LookupError("here")
        if mine:  # who helps goes on until it is stopped; the caller hears of a helper's error when it is done itself
            stopped.wait()
        ended.append(mine)

    with pytest.raises(LookupError, match="here"):
        crew.run(task, stopped.set)
    assert ended == [1 - number]
    crew.run(lambda mine: ended.append(mine), lambda: None)
    assert sorted(ended[1:]) == [0, 1]
    crew.close()


def test_a_helper_that_is_still_in_its_task_can_be_called_for_the_next() -> None:
    crew = Crew(1)
    waits, called, heard, leave = (threading.Event() for _ in range(4))
    done: list[str] = []

    def task(number: int) -> None:
        done.append(f"{number} sent")
        if number:
            waits.set()
            called.wait()
            done.append("1 called")
            heard.set()
            leave.wait()
        else:
            waits.wait()

    def following(number: int) -> None:
        done.append(f"{number} next")
        heard.wait()

    def call(number: int) -> bool:
        called.set()
        return True

    crew.run(task, leave.set, over=waits.is_set)
    crew.run(following, leave.set, call, heard.is_set)
    assert sorted(done) == ["0 next", "0 sent", "1 called", "1 sent"]
    leave.set()
    crew.run(lambda number: done.append(f"{number} last"), leave.set)
    assert sorted(done[4:]) == ["0 last", "1 last"]
    crew.close()


def test_helpers_end_with_their_crew() -> None:
    crew = Crew(1)
    threads: list[threading.Thread] = []
    crew.run(lambda number: threads.append(threading.current_thread()) if number else None, lambda: None)
    del crew
    gc.collect()
    threads[0].join()
    assert not threads[0].is_alive()


def test_without_helpers_the_caller_does_it_all() -> None:
    numbers: list[int] = []
    Crew(0).run(numbers.append, lambda: None)
    assert numbers == [0]
