"""Where Python is: the addresses of its C API, for code that calls it.

For:       `python_api()`, functions and objects by their C names; `address_of`, the code behind a ctypes function or a
           builtin.
Not for:   being called by Python (calls.py).
Invariant: every address is good as long as the process lives.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Mapping
from types import BuiltinFunctionType, MappingProxyType
from typing import Any, cast


class UnsupportedPython(RuntimeError):
    """This Python lays its objects out in a way that generated code does not know."""


_FUNCTIONS = """
    PyBool_FromLong PyBuffer_Release PyBytes_AsString PyBytes_FromStringAndSize PyCallable_Check PyDict_GetItemWithError
    PyErr_CheckSignals PyErr_Clear PyErr_ExceptionMatches PyErr_Fetch PyErr_Format PyErr_GetRaisedException
    PyErr_NoMemory PyErr_NormalizeException PyErr_Occurred PyErr_Restore PyErr_SetNone PyErr_SetObject
    PyErr_SetRaisedException PyErr_SetString PyErr_WriteUnraisable PyEval_RestoreThread PyEval_SaveThread
    PyFloat_AsDouble PyFloat_FromDouble PyGILState_Check PyGILState_Ensure PyGILState_GetThisThreadState
    PyGILState_Release PyIter_Next PyList_Append PyList_New PyLong_AsLong PyLong_AsLongAndOverflow PyLong_AsLongLong
    PyLong_AsLongLongAndOverflow PyLong_AsSize_t PyLong_AsSsize_t PyLong_AsUnsignedLong PyLong_AsUnsignedLongLong
    PyLong_AsUnsignedLongLongMask PyLong_AsVoidPtr PyLong_FromLong PyLong_FromLongLong PyLong_FromSize_t
    PyLong_FromSsize_t PyLong_FromUnsignedLong PyLong_FromUnsignedLongLong PyLong_FromVoidPtr PyMem_Free PyMem_Malloc
    PyModule_GetState PyNumber_Float PyNumber_Index PyNumber_Long PyObject_Call PyObject_CallNoArgs PyObject_CallObject
    PyObject_CallOneArg PyObject_Free PyObject_GetAttr PyObject_GetAttrString PyObject_GetBuffer PyObject_IsInstance
    PyObject_IsTrue PyObject_Malloc PyObject_RichCompareBool PyObject_SetAttr PyObject_Vectorcall
    PyObject_VectorcallDict PyObject_VectorcallMethod PySequence_GetItem PySequence_Size PyThreadState_Get
    PyTuple_GetItem PyTuple_New PyTuple_Pack PyTuple_SetItem PyType_IsSubtype PyUnicode_AsUTF8AndSize
    PyUnicode_FromStringAndSize
    Py_AddPendingCall Py_BuildValue Py_DecRef Py_EnterRecursiveCall Py_IncRef Py_IsFinalizing Py_LeaveRecursiveCall
    Py_MakePendingCalls _PyThreadState_UncheckedGet PyThreadState_GetUnchecked _PyTraceback_Add _Py_CheckRecursiveCall
    _Py_Dealloc
    """


@functools.cache
def python_api() -> Mapping[str, int]:
    """The addresses that generated code may call or mention, by their C names.

    Functions: those of the C API that make sense in generated code, as far as this version of Python has them (3.11 has
    no PyErr_GetRaisedException, 3.13 has PyThreadState_GetUnchecked instead of its older name).
    Objects that live as long as the process: `_Py_NoneStruct`, `_Py_TrueStruct`, `_Py_FalseStruct`; types such as
    `PyLong_Type`, `PyFloat_Type`, `PyBytes_Type`; and each builtin exception as `PyExc_ValueError` and so on: the
    object itself, not the C variable that points to it."""
    table: dict[str, int] = {}
    for name in _FUNCTIONS.split():
        function = getattr(ctypes.pythonapi, name, None)
        if function is not None:
            table[name] = cast(int, ctypes.cast(function, ctypes.c_void_p).value)
    table["_Py_NoneStruct"], table["_Py_TrueStruct"], table["_Py_FalseStruct"] = id(None), id(True), id(False)
    types = {"Long": int, "Float": float, "Bool": bool, "Bytes": bytes, "ByteArray": bytearray, "Unicode": str}
    types |= {"Tuple": tuple, "List": list, "Dict": dict, "Type": type, "BaseObject": object, "MemoryView": memoryview}
    types |= {"CFunction": BuiltinFunctionType, "Function": type(python_api)}
    table |= {f"Py{name}_Type": id(what) for name, what in types.items()}
    builtins = vars(sys.modules["builtins"])
    exceptions = {n: e for n, e in builtins.items() if isinstance(e, type) and issubclass(e, BaseException)}
    table |= {f"PyExc_{name}": id(exception) for name, exception in exceptions.items()}
    return MappingProxyType(table)


_C_FUNCTION: Any = ctypes.CFUNCTYPE(None).__mro__[1]  # what ctypes functions and function pointers have in common


def address_of(function: Any) -> int:
    """The machine address behind a ctypes function pointer or a builtin function of Python.

    ctypes.CDLL(...).name and CFUNCTYPE objects give their C address; builtins give the C function that implements them.
    Errors: TypeError for anything else."""
    if isinstance(function, _C_FUNCTION):
        return cast(int, ctypes.cast(function, ctypes.c_void_p).value)
    if isinstance(function, BuiltinFunctionType):
        get = ctypes.pythonapi.PyCFunction_GetFunction
        get.restype = ctypes.c_void_p
        get.argtypes = (ctypes.py_object,)
        return cast(int, get(function))
    raise TypeError(f"{type(function).__name__} has no machine address; a ctypes function or a builtin has")
