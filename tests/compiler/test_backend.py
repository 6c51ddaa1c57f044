"""From IR to objects, with and without a helping process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracklayer.compiler import backend
from tracklayer.compiler.backend import Emission, Job, emit
from tracklayer.native.loader import parse

IR = """
target triple = "x86_64-unknown-linux-gnu"
define i32 @f{0}(i32 %x) {{
  %y = add i32 %x, {0}
  ret i32 %y
}}
"""
WRONG = "define i32 @f() { ret i64 0 }"


def names(objects: list[bytes]) -> list[str]:
    return [next(iter(parse(data).functions())) for data in objects]


def test_an_object_has_the_functions() -> None:
    assert names([emit(IR.format(1), level, opt) for level in (0, 2) for opt in (0, 2)]) == ["f1"] * 4


def test_an_error_is_llvms_message() -> None:
    with pytest.raises(RuntimeError, match="value doesn't match function result type"):
        emit(WRONG)


def emit_all(jobs: list[Job], helping: backend.Helper | None, done: list[tuple[int, int]] | None = None) -> list[bytes]:
    emission = Emission(helping, lambda made, given: done.append((made, given)) if done is not None else None)
    for job in jobs:
        emission.add(job)
    return emission.finish()


@pytest.fixture
def helper() -> backend.Helper:
    return backend.Helper()


def test_two_processes_make_objects_in_order(helper: backend.Helper) -> None:
    done: list[tuple[int, int]] = []
    objects = emit_all([Job(IR.format(n), 1, 1) for n in range(9)], helper, done)
    helper.close()
    assert names(objects) == [f"f{n}" for n in range(9)]
    assert [made for made, _ in done] == list(range(1, 10))
    assert done[-1] == (9, 9)
    assert helper.process.returncode == 0


def test_without_a_helper() -> None:
    assert names(emit_all([Job(IR.format(n)) for n in range(3)], None)) == ["f0", "f1", "f2"]


def test_a_helpers_error_is_raised_here(helper: backend.Helper) -> None:
    with pytest.raises(RuntimeError, match="doesn't match"):
        helper.emit(Job(WRONG))
    assert helper.emit(Job(IR.format(5)))
    with pytest.raises(RuntimeError, match="doesn't match"):
        emit_all([Job(WRONG), Job(WRONG)], helper)
    helper.close()


@pytest.mark.parametrize("how", ["killed", "talks", "ends"])
def test_a_helper_that_is_none_is_done_without(how: str, helper: backend.Helper) -> None:
    if how == "killed":
        helper.process.kill()
    else:
        helper.close()
        text = "print('hello')" if how == "talks" else ""
        helper.process = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert names(emit_all([Job(IR.format(n)) for n in range(4)], helper)) == ["f0", "f1", "f2", "f3"]
    helper.close()


def test_no_helper_where_python_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert backend.helper() is None
    monkeypatch.setattr(sys, "executable", "")
    assert backend.helper() is None


def test_only_this_module_imports_llvmlite() -> None:
    found = [path.name for path in Path(backend.__file__).parent.glob("*.py") if "llvmlite" in path.read_text()]
    assert sorted(set(found) - {"cache.py"}) == ["backend.py"]


def test_the_helper_begins_before_all_jobs_are_there(helper: backend.Helper) -> None:
    begun = threading.Event()
    emission = Emission(helper, lambda made, given: begun.set())
    emission.add(Job(IR.format(0)))
    assert begun.wait(60)
    emission.add(Job(IR.format(1)))
    assert names(emission.finish()) == ["f0", "f1"]
    helper.close()
