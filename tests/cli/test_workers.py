"""Worker processes that may die."""

from __future__ import annotations

import os

from tracklayer.cli.workers import spread


def unexpected(task: int, code: int) -> int:
    raise AssertionError((task, code))


def test_every_task_has_its_result_whatever_the_number_of_workers() -> None:
    tasks = list(range(-20, 0))
    for jobs in (1, 3, 50):
        assert dict(spread(abs, tasks[:5] if jobs == 50 else tasks, jobs, unexpected)) == {
            index: -task for index, task in enumerate(tasks[:5] if jobs == 50 else tasks)
        }


def test_a_task_that_ends_its_process_gets_a_result_and_the_others_go_on() -> None:
    results = dict(spread(os._exit, [3, 4, 5], 2, lambda task, code: (task, code)))  # type: ignore[arg-type, return-value]
    assert results == {0: (3, 3), 1: (4, 4), 2: (5, 5)}


def test_no_tasks_are_no_work() -> None:
    assert list(spread(abs, [], 4, unexpected)) == []
