"""Calls: what a call calls, and the walk into it: inlined functions, outlined ones, conversions, compile time.

For:     `Calls.call_paths(node, state)`: the states that a call leaves, each with its result.
Not for: what a function's body does (statements.py); what the language's own functions do (standard.py).
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

from ..lang import BufferType, FloatType, IntType, Object, PtrType, is_struct, type_name
from . import floats
from .crossings import MATHEMATICS
from .errors import NeverReturns, Refusal
from .sources import FunctionInfo, describe_function, meaning
from .standard import FOLDED, HOSTED, INTRINSICS, PURE, Standard
from .state import State
from .values import Callee, CallType, Known, Method, Pointer, Ref, Value, View, describe

Path = tuple[State, Value]


class Frame:
    """One call of a typed function while its body is walked inline."""

    __slots__ = ("declared", "info", "loops", "returns")

    def __init__(self, info: FunctionInfo) -> None:
        self.info = info
        self.declared: dict[str, IntType | FloatType] = {}
        self.returns: list[Path] = []
        self.loops: list[tuple[list[State], list[State]]] = []


class Calls(Standard):
    """The walk through calls."""

    frame: Frame
    context: str
    depth = 0
    whole: State | None = None
    """The state of the statement that is walked, where that is a plain one: no arm of it, no loop's condition."""

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
