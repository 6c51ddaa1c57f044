"""Refusals: why an argument or a result was not taken, in words.

For:       `Explainer`, which the code of an adapter calls, and the numbers that it calls it with.
Not for:   checking (conversions.py): this is asked where a check has failed.
Invariant: an explainer always raises.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NoReturn

from tracklayer.native.signatures import Signature, Type

COUNT, RESULT, DEPTH, PAIR, FIRST, SECOND = -1, -2, -3, -4, -5, -6
"""Numbers for the explainer besides those of arguments."""


class Explainer:
    """Puts into words why an argument was refused. Generated code calls it, seldom, with a number and the object at
    fault."""

    __slots__ = ("name", "signature", "structs")

    def __init__(self, name: str, signature: Signature, structs: Mapping[str, type] | None = None) -> None:
        self.name = name
        self.signature = signature
        self.structs = structs or {}

    def __call__(self, index: int, value: Any) -> NoReturn:
        if index == COUNT:
            n = len(self.signature.parameters)
            expected = f"exactly {n} argument{'s' * (n != 1)}" if n else "no arguments"
            raise TypeError(f"{self.name}() takes {expected} ({value} given)")
        if index == RESULT:
            self._refuse("must return", self.signature.results[0], value)
        if index in (FIRST, SECOND):
            second = index == SECOND
            what = f"must return as its {'second' if second else 'first'} result"
            self._refuse(what, self.signature.results[second], value[second])
        if index == PAIR:
            size = f" of {len(value)}" if isinstance(value, tuple) else ""
            raise TypeError(f"{self.name}() must return a tuple of 2, not {type(value).__name__}{size}")
        if index == DEPTH:
            raise RecursionError(f"maximum recursion depth exceeded in {self.name}(): the C stack is nearly full")
        parameter = self.signature.parameters[index]
        if parameter.type.kind == "struct":
            wanted, given = self.structs[parameter.shown].__qualname__, type(value).__name__
            raise TypeError(f"{self.name}() argument {parameter.shown!r} must be a {wanted}, not {given}")
        self._refuse(f"argument {parameter.shown!r} must be", parameter.type, value)

    def _refuse(self, what: str, kind: Type, value: Any) -> NoReturn:
        given = type(value).__name__
        if kind.kind == "buffer":
            self._refuse_buffer(what, kind, value)
        if kind.kind == "callable":
            raise TypeError(f"{self.name}() {what} callable, not {given}")
        if kind.kind == "float":
            if hasattr(value, "__float__"):
                float(value)  # what it raises itself is better than what could be said here
            raise TypeError(f"{self.name}() {what} a number, not {given}")
        if kind.kind == "ptr" and not hasattr(value, "__index__"):
            raise TypeError(f"{self.name}() {what} an address (an integer) or None, not {given}")
        if kind.kind == "bool":
            bool(value)
            raise TypeError(f"{self.name}() {what} something with a truth value, not {given}")
        if not hasattr(value, "__index__"):
            raise TypeError(f"{self.name}() {what} an integer, not {given}")
        low = -(1 << (8 * kind.size - 1)) if kind.signed else 0
        high = (1 << (8 * kind.size - kind.signed)) - 1
        raise OverflowError(f"{self.name}() {what} {kind.name}, from {low} to {high}, not {operator.index(value)}")

    def _refuse_buffer(self, what: str, kind: Type, value: Any) -> NoReturn:
        wanted = f"a {'writable ' * kind.writable}buffer"
        wanted += f" of {kind.name.removeprefix('mut ').removesuffix('[]')}" if kind.codes else ""
        given = type(value).__name__
        try:
            view = memoryview(value)
        except TypeError:
            raise TypeError(f"{self.name}() {what} {wanted}, not {given}") from None
        if kind.writable and view.readonly:
            raise TypeError(f"{self.name}() {what} {wanted}; this {given} is read-only")
        if not view.c_contiguous:
            raise ValueError(f"{self.name}() {what} {wanted}, contiguous; this {given} is not")
        raise TypeError(f"{self.name}() {what} {wanted}; the elements of this {given} are {view.format!r}")
