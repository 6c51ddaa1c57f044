"""The syntax trees of typed functions, and what their signatures say.

For:     `describe_function(fn)`: tree, parameter types, return type, names of the globals it can see.
Not for: walking the body (statements.py, expressions.py).
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import functools
import inspect
import linecache
import typing
import weakref
from collections.abc import Callable
from typing import Any

from ..lang import Object, Typed, f64, u1
from .errors import CompileError
from .values import CallType


class FunctionInfo:
    """A typed function as the compiler sees it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        code = function.__code__
        self.function = function
        self.name = function.__qualname__
        self.file = code.co_filename
        node = _functions_of(self.file).get((code.co_firstlineno, function.__name__))
        if node is None:
            raise CompileError(self.file, None, self.name, "the source of this function cannot be found",
                               "define it with `def` in a file that can be read")  # fmt: skip
        self.node = node
        self.typed: Typed | None = getattr(function, "__typed__", None)
        try:
            annotations = inspect.get_annotations(function, eval_str=True)
        except (NameError, AttributeError, TypeError, SyntaxError) as error:
            mend = "import what it names where the module is loaded, not for type checkers only"
            raise CompileError(
                self.file, node, self.name, f"an annotation cannot be evaluated: {error}", mend
            ) from None
        self.declared = annotations
        """The annotations as they stand there."""
        self.result = meaning(annotations.get("return", None))
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
            raise CompileError(
                self.file, node, self.name, "a typed function takes no *args, **kwargs or keyword-only arguments"
            )
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        self.names = assigned_names(node) | set(names)
        """All local names."""
        self.parameters: list[tuple[str, Any]] = [(name, meaning(annotations.get(name))) for name in names]
        defaults = function.__defaults__ or ()
        self.defaults = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        self.closed = {
            name: cell.cell_contents for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
        }

    @property
    def full_name(self) -> str:
        """The name with its module before it, as symbols have it; within this package without the package's name."""
        package, _, module = (self.function.__module__ or "").partition(".")  # exec may know no module
        return f"{module}.{self.name}" if module and package == __name__.partition(".")[0] else self.name

    def resolve(self, name: str) -> Any:
        """A global, closed-over or builtin name; KeyError where there is none."""
        for scope in (self.closed, self.function.__globals__):
            if name in scope:
                return scope[name]
        return vars(builtins)[name]


def meaning(annotation: Any) -> Any:
    """What an annotation in Python's own words means in the subset: float is f64, bool a u1, object an Object."""
    if annotation in (float, bool, object):
        return _PYTHONS[annotation]
    if annotation in (collections.abc.Callable, typing.Callable):
        return CallType(None, Object)
    if getattr(annotation, "__origin__", None) is collections.abc.Callable:
        *parameters, result = annotation.__args__
        return CallType(None if parameters == [...] else tuple(map(meaning, parameters)), meaning(result))
    return annotation


_PYTHONS: dict[Any, Any] = {float: f64, bool: u1, object: Object}


@functools.cache
def _functions_of(file: str) -> dict[tuple[int, str], ast.FunctionDef]:
    """All functions of a file by their first line (decorators included) and name."""
    text = "".join(linecache.getlines(file))
    found: dict[tuple[int, str], ast.FunctionDef] = {}
    waiting: list[ast.AST] = [ast.parse(text)]
    while waiting:
        node = waiting.pop()
        waiting += statements_in(node)
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[first, node.name] = node
    return found


def statements_in(node: ast.AST) -> list[ast.AST]:
    """The statements, handlers and cases that stand right in a node. Expressions have none."""
    found: list[ast.AST] = []
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        inside = getattr(node, name, None)
        if type(inside) is list:
            found += inside
    return found


def describe_function(function: Callable[..., Any]) -> FunctionInfo:
    """What the compiler knows of a function's text; read once, and kept by the function itself."""
    found: FunctionInfo | None = function.__dict__.get(_KEPT)
    if found is None:
        found = function.__dict__[_KEPT] = FunctionInfo(function)
        _DESCRIBED.add(function)
    return found


def forget_functions() -> None:
    """Forget what is known of functions' texts: who has compiled a whole machine leaves a hundred thousand objects,
    which the collector would look through for as long as the process lives. What is asked for again is read again."""
    for function in tuple(_DESCRIBED):
        function.__dict__.pop(_KEPT, None)
    _DESCRIBED.clear()
    _functions_of.cache_clear()
    assigned_names.cache_clear()


_KEPT = "__typed_info__"
_DESCRIBED: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()
"""The functions that keep it."""


@functools.cache
def assigned_names(node: ast.AST) -> frozenset[str]:
    """The local names that a statement may set."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        match one := waiting.pop():
            case ast.Name():
                if isinstance(one.ctx, ast.Store):
                    found.add(one.id)
            case ast.Tuple() | ast.List():
                waiting += one.elts
            case ast.expr():
                pass
            case ast.Assign():
                waiting += one.targets
            case ast.AugAssign() | ast.AnnAssign():
                waiting.append(one.target)
            case _:
                if isinstance(one, ast.For):
                    waiting.append(one.target)
                waiting += statements_in(one)
    return frozenset(found)
