"""The vocabulary of typed Python: a subset that runs unmodified under CPython and compiles to machine code.

For:     integer and float types, structs, arrays, pointers, buffers, and the marks on typed functions. `docs/lang.md`
         is the reference.
Not for: compiling (compiler/), or anything that knows a guest.
"""

from .addresses import ZeroedMemory, acquire, address_of, pointer_at, publish, release
from .buffers import Buffer, BufferType, MutBuffer
from .floats import FloatType, f32, f64
from .functions import Host, Typed, ask, comptime, consult, go, take_error, tell, typed, unlikely
from .integers import IntType, i8, i16, i32, i64, u1, u2, u3, u4, u5, u6, u7, u8, u16, u32, u64
from .structs import (
    Array,
    ArrayType,
    Field,
    Object,
    Ptr,
    PtrType,
    array,
    is_struct,
    layout,
    null,
    pointer,
    size_of,
    storage,
    struct,
    type_name,
)

__all__ = [
    "Array", "ArrayType", "Buffer", "BufferType", "Field", "FloatType", "Host", "IntType", "MutBuffer", "Object",
    "Ptr", "PtrType", "Typed", "ZeroedMemory", "acquire", "address_of", "array", "ask", "comptime", "consult", "f32",
    "f64", "go", "i8", "i16", "i32", "i64", "is_struct", "layout", "null", "pointer", "pointer_at", "publish",
    "release", "size_of", "storage", "struct", "take_error", "tell", "type_name", "typed", "u1", "u2", "u3", "u4",
    "u5", "u6", "u7", "u8", "u16", "u32", "u64", "unlikely",
]  # fmt: skip
