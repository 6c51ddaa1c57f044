"""Calls: inlined typed functions, outlined ones, compile-time functions, conversions and intrinsics.

For:     `Calls.call_paths(node, state)`: the states that a call leaves, each with its result.
Not for: what a function's body does (statements.py).
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from .. import lang
from ..lang import ArrayType, BufferType, FloatType, IntType, Object, PtrType, is_struct, type_name
from . import floats
from .arith import bounds
from .crossings import MATHEMATICS, Crossings
from .errors import NeverReturns, Refusal
from .glue import MOST_ARGUMENTS
from .sources import FunctionInfo, describe_function, meaning
from .state import State
from .text import literal
from .values import (
    I64_MAX,
    I64_MIN,
    U64_MAX,
    Callee,
    CallType,
    Float,
    Int,
    Known,
    Method,
    Pointer,
    Ref,
    Value,
    View,
    describe,
    known_int,
)

if TYPE_CHECKING:
    from .program import Program
    from .statements import Walker

Path = tuple[State, Value]


class Frame:
    """One call of a typed function while its body is walked inline."""

    __slots__ = ("declared", "info", "loops", "returns")

    def __init__(self, info: FunctionInfo) -> None:
        self.info = info
        self.declared: dict[str, IntType | FloatType] = {}
        self.returns: list[Path] = []
        self.loops: list[tuple[list[State], list[State]]] = []


class Calls(Crossings):
    """The walk through calls."""

    program: Program
    frame: Frame
    context: str
    depth = 0
    whole: State | None = None
    """The state of the statement that is walked, where that is a plain one: no arm of it, no loop's condition."""

    @property
    def walker(self) -> Walker:
        """This, as the whole walk that it is."""
        return cast("Walker", self)

    def body(self, frame: Frame, state: State) -> list[State]:
        """Walk a function's body (statements.py); the states that fall off its end."""
        raise AssertionError

    def group(self, paths: list[Path]) -> list[Path]:
        """Join the paths that may be joined (statements.py)."""
        raise AssertionError

    def call(self, node: ast.Call, state: State) -> Value:
        paths = self.call_paths(node, state)
        if not paths:
            if state is self.whole:
                raise NeverReturns
            raise Refusal("this call never comes back, so it has no value", "make it a statement of its own")
        joined, result = self.meet([path[0] for path in paths], [path[1] for path in paths])
        state.become(joined)
        return result

    def call_paths(self, node: ast.Call, state: State) -> list[Path]:
        """Evaluate a call; every path that comes back from it, with its result."""
        callee = self.value(node.func, state)
        if isinstance(callee, Known) and isinstance(callee.value, IntType):
            if len(node.args) != 1 or node.keywords:
                raise Refusal(f"{callee.value} takes one integer")
            # A sum or product only needs the low bits that the conversion keeps.
            if self.spills and isinstance(node.args[0], ast.Call):
                wide = self.call_paths(node.args[0], state)
            else:
                wide = [(state, self.value(node.args[0], state, callee.value.bits))]
            return [(end, self.arith.narrow(end.block, value, callee.value)) for end, value in wide]
        if isinstance(callee, Known) and (isinstance(callee.value, FloatType) or callee.value is float):
            if len(node.args) != 1 or node.keywords:
                raise Refusal(f"{type_name(callee.value)} takes one number")
            bits = 32 if isinstance(callee.value, FloatType) and callee.value.bits == 32 else 64
            number = self.value(node.args[0], state)  # which may go on in another block
            return [(state, floats.rounded(self.arith, state.block, number, bits))]
        paths: list[Path] = []
        for end, arguments in self._arguments(node, state):
            paths += self._call_with(node, callee, arguments, end)
        return paths

    def _arguments(self, node: ast.Call, state: State) -> list[tuple[State, list[Value]]]:
        """A call's positional arguments, on each path that their evaluation leaves."""
        paths: list[tuple[State, list[Value]]] = [(state, [])]
        for argument in node.args:
            if self.spills and isinstance(argument, ast.Call):
                paths = [
                    (end, [*before, value]) for one, before in paths for end, value in self.call_paths(argument, one)
                ]
                continue
            for one, before in paths:
                if isinstance(argument, ast.Starred):
                    before.extend(self.items(self.value(argument.value, one)))
                else:
                    before.append(self.value(argument, one))
        return paths

    def _call_with(self, node: ast.Call, callee: Value, arguments: list[Value], state: State) -> list[Path]:
        named: dict[str, Value] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise Refusal("** is not in the typed subset")
            named[keyword.arg] = self.value(keyword.value, state)
        if isinstance(callee, Method):
            return self.invoke(callee.function, [callee.owner, *arguments], named, state)
        self.at, self.site = node.lineno, id(node)
        if isinstance(callee, Callee) or (isinstance(callee, Pointer) and callee.element is None):
            kind = callee.kind if isinstance(callee, Callee) else CallType(None, Object)
            if named:
                raise Refusal("a Python callable takes positional arguments here")
            shown = ast.unparse(node.func)
            return [(state, self.call_python(self.place_key(node), state, callee.name, kind, arguments, shown))]
        if not isinstance(callee, Known):
            raise Refusal(f"{describe(callee)} cannot be called")
        if self.program.fallible is not None:
            value = self._outward(node, callee.value, arguments, named, state)
            if value is not None:
                return [(state, value)]
        return self.invoke(callee.value, arguments, named, state)

    def _outward(
        self, node: ast.Call, function: Any, arguments: list[Value], named: dict[str, Value], state: State
    ) -> Value | None:
        """A call of `math`'s functions or of a Python callable that is known; None where it is something else."""
        all_known = all(isinstance(value, Known) for value in (*arguments, *named.values()))
        if not _hashable(function):
            is_ours = False
        elif function in MATHEMATICS:
            if all_known:
                try:
                    return Known(function(*(value.value for value in arguments if isinstance(value, Known))))
                except Exception as error:
                    raise Refusal(f"{function.__name__} raised {type(error).__name__}: {error}") from error
            found = self.mathematics(self.place_key(node), state, function, arguments)
            if found is not None:
                return found
            is_ours = function is int
        else:
            is_ours = function in INTRINSICS or function in self.program.intrinsics
        if is_ours or hasattr(function, "__typed__") or hasattr(getattr(function, "__func__", None), "__typed__"):
            return None
        if hasattr(getattr(function, "__self__", None), PYTHON):  # made by @function: as typed as any
            return None
        if hasattr(function, "__comptime__") or (all_known and _hashable(function) and function in PURE | FOLDED):
            return None
        if not callable(function):
            return None
        if named:
            raise Refusal("a Python callable takes positional arguments here")
        kind = _declared(function, len(arguments))
        name = self.object_name(state, Known(function))
        return self.call_python(self.place_key(node), state, name, kind, arguments, ast.unparse(node.func))

    def invoke(self, function: Any, arguments: list[Value], named: dict[str, Value], state: State) -> list[Path]:
        """Call a known function with values."""
        everything = [*arguments, *named.values()]
        all_known = all(isinstance(value, Known) for value in everything)
        if _hashable(function):
            intrinsic = INTRINSICS.get(function) or self.program.intrinsics.get(function)
            if intrinsic is not None and not (all_known and function in FOLDED):
                if named:
                    raise Refusal(f"{function.__name__} takes positional arguments here")
                if function in HOSTED and self.program.fallible is not None:
                    raise Refusal(f"{function.__name__}() is for emulators", "call the Python object itself")
                fewest, most = _arity(intrinsic)
                if not fewest <= len(arguments) <= most:
                    raise Refusal(f"{function.__name__} takes other arguments than these {len(arguments)}")
                result = intrinsic(self, state, *arguments)
                return [] if result is None else [(state, result)]
        function = getattr(getattr(function, "__self__", None), PYTHON, function)
        if hasattr(function, "__self__") and hasattr(function, "__func__") and hasattr(function.__func__, "__typed__"):
            arguments, function = [Known(function.__self__), *arguments], function.__func__
        if hasattr(function, "__typed__"):
            return self._typed_call(function, arguments, named, state)
        name = getattr(function, "__name__", repr(function))
        if not callable(function):
            raise Refusal(f"{name} cannot be called")
        if not all_known:
            raise Refusal(f"{name} is not typed, and not all of its arguments are known", "mark it @typed")
        if not hasattr(function, "__comptime__") and not (_hashable(function) and function in PURE | FOLDED):
            raise Refusal(f"{name} is a plain Python function", "mark it @typed or @comptime")
        values = [value.value for value in arguments if isinstance(value, Known)]
        keywords = {key: value.value for key, value in named.items() if isinstance(value, Known)}
        try:
            return [(state, Known(function(*values, **keywords)))]
        except Exception as error:
            raise Refusal(f"{name} raised {type(error).__name__}: {error}") from error

    # ------------------------------------------------------------------ typed functions

    def _typed_call(
        self, function: Callable[..., Any], arguments: list[Value], named: dict[str, Value], state: State
    ) -> list[Path]:
        info = describe_function(function)
        values = self._bind(info, arguments, named)
        assert info.typed is not None
        if info.typed.outline or (info.typed.apart and state.spilled):
            return self.program.outlined_call(self.walker, info, values, state)
        if self.depth > 60:
            raise Refusal(
                f"calls of {info.name} nest too deep to be inlined",
                "mark a function that calls itself @typed(outline=True)",
            )
        return self.inline(info, values, state)

    def _bind(self, info: FunctionInfo, arguments: list[Value], named: dict[str, Value]) -> dict[str, Value]:
        """The arguments by parameter name, each checked against its annotation."""
        if len(arguments) > len(info.parameters):
            raise Refusal(f"{info.name} takes {len(info.parameters)} arguments, {len(arguments)} are given")
        values: dict[str, Value] = {}
        for position, (name, kind) in enumerate(info.parameters):
            if position < len(arguments):
                value = arguments[position]
            elif name in named:
                value = named[name]
            elif name in info.defaults:
                value = Known(info.defaults[name])
            else:
                raise Refusal(f"{info.name} needs an argument {name}")
            values[name] = self.check(value, kind, f"{name} of {info.name}")
        given = {name for name, _ in info.parameters[: len(arguments)]}
        for name in named:
            if name not in values:
                raise Refusal(f"{info.name} has no parameter {name}")
            if name in given:
                raise Refusal(f"{info.name} is given {name} twice")
        return values

    def check(self, value: Value, kind: Any, what: str) -> Value:
        """`value` where a `kind` is declared; Refusal where it may not fit."""
        if isinstance(kind, (IntType, FloatType)):
            self.check_number(value, kind, what)
        elif isinstance(kind, BufferType):
            fits = isinstance(value, View) and value.element is kind.element and value.writable >= kind.writable
            if not fits:
                raise Refusal(f"{what} is declared {kind}, the value is {describe(value)}")
        elif kind is Object and self.program.fallible is not None:
            if isinstance(value, Known):  # kept by the program
                return value
            self.object_name(State(self.text.blocks[-1], {}, {}, set()), value)
        elif isinstance(kind, CallType):
            if not isinstance(value, Known) and not (isinstance(value, Callee) and value.kind == kind):
                raise Refusal(f"{what} is declared a callable of one kind, the value is {describe(value)}")
        elif is_struct(kind):
            if not isinstance(value, Ref) or value.kind is not kind:
                raise Refusal(f"{what} is declared {type_name(kind)}, the value is {describe(value)}")
        elif isinstance(kind, PtrType) and (not isinstance(value, Pointer) or value.element != kind.element):
            raise Refusal(f"{what} is declared {kind}, the value is {describe(value)}")
        return value

    def inline(self, info: FunctionInfo, values: dict[str, Value], state: State) -> list[Path]:
        """Walk the body of a function here; the paths that return."""
        outer_frame, outer_info, outer_locals, outer_at = self.frame, self.info, state.locals, self.at
        if self.depth:
            self.callers.append((outer_info, outer_at, self.site))
        self.frame, self.info = Frame(info), info
        self.depth += 1
        state.locals = dict(values)
        returns = self.frame.returns
        ends = self.body(self.frame, state)
        if ends and info.result is not None:
            raise self.error(
                info.node,
                f"{info.name} can end without returning a {type_name(info.result)}",
                "return a value on every path",
            )
        returns.extend((end, Known(None)) for end in ends)
        self.frame, self.info, self.at = outer_frame, outer_info, outer_at
        self.depth -= 1
        if self.depth:
            self.callers.pop()
        for end, _ in returns:
            end.locals = {}
        paths = self.group(returns)
        for position, (end, _) in enumerate(paths):
            end.locals = outer_locals if position == 0 else dict(outer_locals)
        return paths

    # ------------------------------------------------------------------ intrinsics

    def _pointer(self, state: State, owner: Value, index: Value | None = None) -> Value:
        if not isinstance(owner, Ref) or not isinstance(owner.kind, ArrayType):
            raise Refusal(f"pointer() takes an array field, this is {describe(owner)}")
        place = self.element(state, owner, index if index is not None else Known(0))
        return Pointer(self.address(state, place), owner.kind.element)

    def _null(self, state: State, element: Value) -> Value:
        if not isinstance(element, Known):
            raise Refusal("null() takes a type")
        return Pointer("null", element.value)

    def _ask(self, state: State, host: Value, function: Value, default: Value, *arguments: Value) -> Value:
        return self._ask_python(state, False, host, function, default, arguments)

    def _consult(self, state: State, host: Value, function: Value, default: Value, *arguments: Value) -> Value:
        return self._ask_python(state, True, host, function, default, arguments)

    def _ask_python(
        self, state: State, changes: bool, host: Value, function: Value, default: Value, arguments: tuple[Value, ...]
    ) -> Value:
        """A call of a Python callable through the program's host glue."""
        if not isinstance(function, Pointer) or not isinstance(host, Ref):
            raise Refusal("ask() takes a Host, an Object field, a default and integers")
        if len(arguments) > MOST_ARGUMENTS:
            raise Refusal(f"{len(arguments)} arguments for Python; at most {MOST_ARGUMENTS} are possible")
        for value in (default, *arguments):
            if bounds(value)[0] < I64_MIN or bounds(value)[1] > I64_MAX:
                raise Refusal(f"Python is given {describe(value)}", "narrow it: i64(...)")
        slots = self.text.stack_slots(max(1, len(arguments)))
        for index, argument in enumerate(arguments):
            where = self.arith.op(state.block, f"getelementptr inbounds i64, ptr {slots}, i64 {index}")
            state.block.lines.append(f"  store i64 {self.arith.operand(state.block, argument, 64)}, ptr {where}")
        fallback = self.arith.operand(state.block, default, 64)
        return self.program.host_call(self.walker, state, host, function.name, fallback, len(arguments), slots, changes)

    def _tell(self, state: State, host: Value, function: Value, *objects: Value) -> Value:
        if not isinstance(function, Pointer) or not isinstance(host, Ref):
            raise Refusal("tell() takes a Host, an Object field, and more Object fields")
        if len(objects) > MOST_ARGUMENTS:
            raise Refusal(f"{len(objects)} arguments for Python; at most {MOST_ARGUMENTS} are possible")
        slots = self.text.stack_slots(max(1, len(objects)))
        for index, value in enumerate(objects):
            if not isinstance(value, Pointer) or value.element is not None:
                raise Refusal(f"tell() hands on Object fields, this is {describe(value)}")
            where = self.arith.op(state.block, f"getelementptr inbounds i64, ptr {slots}, i64 {index}")
            state.block.lines.append(f"  store ptr {value.name}, ptr {where}")
        self.program.host_tell(self.walker, state, host, function.name, len(objects), slots)
        return Known(None)

    def _address_of(self, state: State, pointer: Value) -> Value:
        if isinstance(pointer, Ref):
            pointer = Pointer(self.address(state, pointer), None)
        if not isinstance(pointer, Pointer):
            raise Refusal(f"address_of() takes a pointer, this is {describe(pointer)}")
        return Int(self.arith.op(state.block, f"ptrtoint ptr {pointer.name} to i64"), 64, 0, U64_MAX)

    def _pointer_at(self, state: State, address: Value, element: Value) -> Value:
        if not isinstance(element, Known):
            raise Refusal("pointer_at() takes an address and a type")
        name = self.arith.operand(state.block, address, 64)
        return Pointer(self.arith.op(state.block, f"inttoptr i64 {name} to ptr"), element.value)

    def _acquire(self, state: State, lock: Value) -> Value:
        if not isinstance(lock, Pointer):
            raise Refusal("acquire() takes a pointer to a u32")
        spin, free = self.text.block(), self.text.block()
        state.block.lines.append(f"  br label %{spin.label}")
        old = self.text.fresh()
        taken = self.text.fresh()
        spin.lines += [
            f"  {old} = atomicrmw xchg ptr {lock.name}, i32 1 acquire",
            f"  {taken} = icmp ne i32 {old}, 0",
            f"  br i1 {taken}, label %{spin.label}, label %{free.label}",
        ]
        state.block = free
        return Known(None)

    def _release(self, state: State, lock: Value) -> Value:
        if not isinstance(lock, Pointer):
            raise Refusal("release() takes a pointer to a u32")
        state.block.lines.append(f"  store atomic i32 0, ptr {lock.name} release, align 4")
        return Known(None)

    def _publish(self, state: State, place: Value, value: Value) -> Value:
        if not isinstance(place, Pointer):
            raise Refusal("publish() takes a pointer to a u64, and its value")
        state.block.lines.append(
            f"  store atomic i64 {self.arith.operand(state.block, value, 64)}, ptr {place.name} release, align 8"
        )
        return Known(None)

    def _min(self, state: State, *values: Value) -> Value:
        return self._extreme(state, "<", values)

    def _max(self, state: State, *values: Value) -> Value:
        return self._extreme(state, ">", values)

    def _extreme(self, state: State, symbol: str, values: tuple[Value, ...]) -> Value:
        if any(map(floats.is_float, values)):
            return self._float_extreme(state, symbol, values)
        if len(values) == 1:
            values = tuple(self.items(values[0]))
        if not values:
            raise Refusal("of nothing there is no least or greatest")
        result = values[0]
        for value in values[1:]:
            result = self.arith.extreme(state.block, symbol, result, value)
        return result

    def _float_extreme(self, state: State, symbol: str, values: tuple[Value, ...]) -> Value:
        """As Python: a later value counts only where it compares so with the one before."""
        if not all(map(floats.is_float, values)):
            raise Refusal("integers and floats are mixed: the result would be now one, now the other", "write f64(...)")
        result = values[0]
        for value in values[1:]:
            better = floats.compare(self.arith, state.block, symbol, value, result)
            assert isinstance(better, Int)
            names = [floats.operand(self.arith, state.block, one) for one in (value, result)]
            chosen = f"select i1 {better.name}, double {names[0]}, double {names[1]}"
            result = Float(self.arith.op(state.block, chosen))
        return result

    def _abs(self, state: State, value: Value) -> Value:
        if isinstance(value, Float):
            return floats.magnitude(self.arith, state.block, value)
        lo, hi = bounds(value)
        if lo >= 0:
            return value
        result = self._extreme(state, ">", (value, self.arith.binary(state.block, "-", Known(0), value, 0)))
        return Int(result.name, result.width, 0, max(-lo, hi)) if isinstance(result, Int) else result

    def _bool(self, state: State, value: Value) -> Value:
        return self.truth(value, state)

    def _int(self, state: State, value: Value) -> Value:
        known = known_int(value)
        if known is not None:
            return Known(known)
        bounds(value)
        return value

    def _len(self, state: State, value: Value) -> Value:
        if isinstance(value, Ref) and isinstance(value.kind, ArrayType):
            return Known(value.kind.length)
        if isinstance(value, View):
            return Int(value.length, 64, 0, I64_MAX)
        return Known(len(self.items(value)))

    def _unlikely(self, state: State, value: Value) -> Value:
        truth = self.truth(value, state)
        if isinstance(truth, Int):
            expected = self.arith.op(state.block, f"call i1 @llvm.expect.i1(i1 {truth.name}, i1 {literal(0, 1)})")
            return Int(expected, 1, 0, 1)
        return truth


INTRINSICS: dict[Any, Callable[..., Value | None]] = {
    lang.pointer: Calls._pointer,
    lang.null: Calls._null,
    lang.ask: Calls._ask,
    lang.consult: Calls._consult,
    lang.tell: Calls._tell,
    lang.unlikely: Calls._unlikely,
    lang.address_of: Calls._address_of,
    lang.pointer_at: Calls._pointer_at,
    lang.acquire: Calls._acquire,
    lang.release: Calls._release,
    lang.publish: Calls._publish,
    min: Calls._min,
    max: Calls._max,
    abs: Calls._abs,
    bool: Calls._bool,
    int: Calls._int,
    len: Calls._len,
}
HOSTED = {lang.ask, lang.consult, lang.tell}
"""What needs a Host that an engine wired."""
FOLDED = {min, max, abs, bool, int, len}
"""Called as they are where all arguments are known."""
PURE = {
    range, isinstance, enumerate, zip, tuple, reversed, sum, sorted, getattr, hasattr, any, all, divmod, ord,
    lang.size_of, lang.is_struct,
}  # fmt: skip
"""Python's own functions that may be called while compiling."""


PYTHON = "python"
"""Where the builtins that `function` makes keep the Python function: in an attribute of their __self__."""


def _declared(function: Any, count: int) -> CallType:
    """What is declared of a Python callable: its annotations, where they are all there."""
    try:
        annotations = inspect.get_annotations(function, eval_str=True)
        names = list(inspect.signature(function).parameters)[:count]
    except (NameError, AttributeError, TypeError, ValueError, SyntaxError):
        return CallType(None, Object)
    parameters = tuple(meaning(annotations[name]) if name in annotations else None for name in names)
    result = meaning(annotations["return"]) if "return" in annotations else Object
    return CallType(parameters if len(parameters) == count else None, result)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _arity(intrinsic: Any) -> tuple[int, int]:
    """How many values an intrinsic takes at least and at most; the walker and the state come before them."""
    function = getattr(intrinsic, "__func__", intrinsic)
    count = function.__code__.co_argcount - (2 if function is intrinsic else 3)
    least = count - len(function.__defaults__ or ())
    return least, 99 if function.__code__.co_flags & inspect.CO_VARARGS else count
