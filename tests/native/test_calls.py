"""Builtins around machine code: they work, they live as long as they must, and no longer."""

from __future__ import annotations

import ctypes
import functools
import gc
import inspect
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any

import iced_x86
import llvmlite.binding as llvm
import pytest

from tracklayer.native import calls
from tracklayer.native.calls import METH_FASTCALL, METH_KEYWORDS, METH_NOARGS, METH_O, bound, builtin
from tracklayer.native.capi import address_of, python_api
from tracklayer.native.loader import load
from tracklayer.native.memory import CodeMemory, code_memory

MACHINE = os.uname().machine if sys.platform == "linux" else ""
pytestmark = pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason="runs code on Linux, on x86-64 and arm64")

GLUE = """
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyErr_Occurred()
declare void @Py_IncRef(ptr)
@callee = external global i8

define ptr @add(ptr %self, ptr %args, i64 %count) {
  %overflow = alloca i32
  %a = load ptr, ptr %args
  %second = getelementptr ptr, ptr %args, i64 1
  %b = load ptr, ptr %second
  %x = call i64 @PyLong_AsLongLongAndOverflow(ptr %a, ptr %overflow)
  %y = call i64 @PyLong_AsLongLongAndOverflow(ptr %b, ptr %overflow)
  %wrong = call ptr @PyErr_Occurred()
  %bad = icmp ne ptr %wrong, null
  br i1 %bad, label %fail, label %good
good:
  %sum = add i64 %x, %y
  %result = call ptr @PyLong_FromLongLong(i64 %sum)
  ret ptr %result
fail:
  ret ptr null
}
define ptr @call_back(ptr %self, ptr %args, i64 %count) {
  %result = tail call ptr @PyObject_Vectorcall(ptr @callee, ptr %args, i64 %count, ptr null)
  ret ptr %result
}
define ptr @count_names(ptr %self, ptr %args, i64 %count, ptr %names) {
  %none = icmp eq ptr %names, null
  br i1 %none, label %zero, label %some
zero:
  %number = call ptr @PyLong_FromLongLong(i64 0)
  ret ptr %number
some:
  call void @Py_IncRef(ptr %names)
  ret ptr %names
}
define ptr @same(ptr %self, ptr %argument) {
  call void @Py_IncRef(ptr %argument)
  ret ptr %argument
}
define ptr @own(ptr %self, ptr %args, i64 %count) {
  call void @Py_IncRef(ptr %self)
  ret ptr %self
}
define ptr @nothing(ptr %self, ptr %null) {
  call void @Py_IncRef(ptr @callee)
  ret ptr @callee
}
"""


@functools.cache
def glue() -> bytes:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = f"{MACHINE}-unknown-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine(opt=2, reloc="pic", codemodel="small")
    return bytes(machine.emit_object(llvm.parse_assembly(f'target triple = "{triple}"\n{GLUE}')))


def make(name: str, callee: object = None, flags: int = METH_FASTCALL, **more: Any) -> Callable[..., Any]:
    loaded = load(glue(), code_memory(), {**python_api(), "callee": id(callee)})
    return builtin(loaded[name], name, flags=flags, keep=(loaded,), uses=(callee,), **more)


@pytest.fixture
def add() -> Callable[..., Any]:
    return make("add", signature="(x, y, /)", doc="The sum.", module=__name__)


def test_all_calling_conventions(add: Callable[..., Any]) -> None:
    assert add(40, 2) == 42
    thing = object()
    assert make("same", flags=METH_O)(thing) is thing
    assert make("nothing", thing, METH_NOARGS)() is thing
    names = make("count_names", flags=METH_FASTCALL | METH_KEYWORDS)
    assert names(1, 2) == 0
    assert names(1, a=2, b=3) == ("a", "b")
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        add(1, y=2)
    with pytest.raises(ValueError, match="flags 0x1000"):
        make("add", flags=0x1000)


def test_one_code_is_bound_to_many_things_and_lives_as_long_as_they() -> None:
    callee = type("Callee", (), {})()
    watch = weakref.ref(callee)
    own = make("own", callee)
    functions = [bound(own, f"thing {index}".encode()) for index in range(3)]
    del own, callee
    gc.collect()
    assert [function() for function in functions] == [b"thing 0", b"thing 1", b"thing 2"]
    assert all(inspect.isbuiltin(function) for function in functions)
    before = sys.getrefcount(functions[0].__self__)
    for _ in range(1000):
        functions[0]()
    after = sys.getrefcount(functions[0].__self__)
    assert after == before
    del functions[1:]
    gc.collect()
    assert watch() is not None and functions[0]() == b"thing 0"
    functions.clear()
    gc.collect()
    assert watch() is None


def test_it_is_a_builtin_function_in_every_respect(add: Callable[..., Any]) -> None:
    assert type(add) is BuiltinFunctionType
    assert inspect.isbuiltin(add)
    assert repr(add) == "<built-in function add>"
    assert (add.__name__, add.__qualname__, add.__module__, add.__doc__) == ("add", "add", __name__, "The sum.")
    assert str(inspect.signature(add)) == "(x, y, /)"
    plain = make("add")
    assert plain.__doc__ is None and plain.__module__ is None


def test_it_pickles_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    home = types.ModuleType("tracklayer_test_home")
    monkeypatch.setitem(sys.modules, home.__name__, home)
    home.add = make("add", module=home.__name__)  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(home.add)) is home.add


def test_exceptions_pass_through_both_ways(add: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        add("x", 2)

    def fail(*arguments: object) -> None:
        raise KeyError(arguments)

    call = make("call_back", fail)
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            call(1, 2)
        assert caught.value.args == ((1, 2),)
        assert [entry.name for entry in caught.traceback][-1] == "fail"
    assert add(1, 2) == 3


def test_reference_counts_are_equal_after_a_million_calls() -> None:
    argument, answer = object(), object()

    def back(x: object) -> object:
        assert x is argument
        return answer

    call = make("call_back", back)
    call(argument)
    before = [sys.getrefcount(x) for x in (argument, answer, back, call)]
    for _ in range(1_000_000):
        call(argument)
    assert [sys.getrefcount(x) for x in (argument, answer, back, call)] == before


def test_a_dropped_function_gives_everything_back() -> None:
    def back() -> None: ...

    make("call_back", back)
    gc.collect()
    used, references = code_memory().used, sys.getrefcount(back)
    for _ in range(1000):
        make("call_back", back)
    assert code_memory().used == used
    assert sys.getrefcount(back) == references


def test_a_cycle_through_generated_code_is_collected() -> None:
    gc.collect()
    used = code_memory().used
    watched = []

    class Cell:
        function: object

    def knot() -> None:
        cell = Cell()
        watched.append(weakref.ref(cell))

        def back() -> object:
            return cell

        cell.function = make("call_back", back)

    for _ in range(10):
        knot()
    gc.collect()
    assert all(reference() is None for reference in watched)
    assert code_memory().used == used


def test_finalisers_of_a_cycle_can_still_call() -> None:
    """The collector runs all `__del__` of a cycle before it takes anything apart; the code must be there for them."""
    heard = []

    class Cell:
        function: Callable[[], Any]

        def __del__(self) -> None:
            heard.append(self.function())

    def knot() -> None:
        cell = Cell()

        def back() -> str:
            return type(cell).__name__

        cell.function = make("call_back", back)

    for _ in range(10):
        knot()
    gc.collect()
    assert heard == ["Cell"] * 10


def test_a_function_whose_last_reference_goes_while_it_runs() -> None:
    holder: list[Callable[[], Any]] = []

    def back() -> str:
        holder.clear()
        gc.collect()
        return "alive"

    holder.append(make("call_back", back))
    del back
    assert holder[0]() == "alive"
    assert holder == []


def test_a_function_outlives_the_memory_object_it_came_from() -> None:
    memory = CodeMemory(4 << 20)
    loaded = load(glue(), memory, {**python_api(), "callee": 0})
    function = builtin(loaded["add"], "add", keep=(loaded,), memory=memory)
    del memory, loaded
    gc.collect()
    assert function(1, 2) == 3


def test_functions_survive_the_end_of_the_interpreter() -> None:
    script = """
import sys
sys.path.insert(0, "tests/native")
import test_calls
class Late:
    def __del__(self, call=test_calls.make("call_back", print)):
        call("late")
import builtins
builtins.late = Late()
sys.late = test_calls.make("add")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "late\n", "")


def test_the_api_table_has_addresses_of_functions_and_objects() -> None:
    api = python_api()
    assert api["PyExc_OverflowError"] == id(OverflowError)
    assert api["_Py_NoneStruct"] == id(None)
    assert ctypes.PYFUNCTYPE(ctypes.c_void_p)(api["PyErr_Occurred"])() is None
    for name in ("PyObject_Vectorcall", "PyEval_SaveThread", "PyGILState_Ensure", "Py_DecRef", "PyErr_CheckSignals"):
        assert api[name]
    exceptions = "PyErr_GetRaisedException" if sys.version_info >= (3, 12) else "PyErr_Fetch"
    assert api[exceptions]


def test_addresses_of_c_functions_and_builtins(add: Callable[..., Any]) -> None:
    libc = ctypes.CDLL(None)
    assert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(address_of(libc.abs))(-5) == 5
    assert address_of(add)
    with pytest.raises(TypeError, match="no machine address"):
        address_of(lambda: None)


@pytest.mark.skipif(MACHINE != "x86_64", reason="x86-64 has assembled support code")
def test_the_assembled_support_code_is_what_its_listing_says() -> None:
    """Its text stands beside the bytes; iced decodes the bytes."""
    decoder = iced_x86.Decoder(64, calls._Support._X86_64)
    text = [str(instruction) for instruction in decoder if instruction.mnemonic != iced_x86.Mnemonic.INT3]
    assert len(text) == 56
    assert text[:7] == ["push rbx", "push rbp", "push r12", "push r13", "sub rsp,8", "mov r12,rsi", "mov r13,rdx"]
    assert [line.split()[0] for line in text].count("ret") == 2
    release = next(i for i in iced_x86.Decoder(64, calls._Support._X86_64, ip=0) if i.ip == 78)
    assert str(release) == "push rbx"


def test_the_support_code_that_llvm_compiles_does_the_same() -> None:
    """Hosts without assembled bytes take this way."""
    support = calls._SUPPORT.get()
    other = object.__new__(calls._Support)
    other.memory = support.memory
    loaded = other._compiled((python_api()["PyModule_GetState"], python_api()["Py_DecRef"]))
    assert other.traverse and other.release
    words = list(support._definition)
    words[-3], words[-1] = other.traverse, other.release
    original = support._definition
    gc.collect()
    used = code_memory().used
    definition = (ctypes.c_uint64 * len(words))(*words)
    support._definition = definition
    try:

        def knot() -> None:
            cell: list[object] = []

            def back() -> object:
                return cell

            cell.append(make("call_back", back))

        for _ in range(5):
            knot()
        assert code_memory().used > used
        gc.collect()
        assert code_memory().used == used
    finally:
        support._definition = original
    assert loaded
