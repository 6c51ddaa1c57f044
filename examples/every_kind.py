"""Callbacks with every kind of argument and result, and what happens to values that do not fit."""

from __future__ import annotations

from typing import Any

from tracklayer.native import Assembler

KINDS = (
    ("i8", -100),
    ("u16", 65535),
    ("i32", -(2**31)),
    ("u64", 2**64 - 1),
    ("f32", 0.5),
    ("f64", 3.141592653589793),
    ("bool", True),
    ("ptr", 0xDEADBEEF),
    ("object", ["any", "object"]),
)


def echo(value: Any) -> Any:
    """Show what arrived, and give it back."""
    print(f"    Python sees {value!r}")
    return value


def through(kind: str) -> Any:
    """A function that passes its argument on to `echo`, and returns what that returns."""
    a = Assembler(f"through_{kind}")
    a.prologue()
    a.call(a.callback(echo, f"{kind}(value: {kind})"))
    a.epilogue()
    return a.function(f"{kind}(value: {kind})")


def main() -> None:
    """All of them, then some that do not fit."""
    for kind, value in KINDS:
        print(f"{kind}: {value!r}")
        result = through(kind)(value)
        assert result == value and type(result) is type(value)
    for kind, value in (("u8", 256), ("u64", -1), ("i64", "text"), ("f64", None)):
        try:
            through(kind)(value)
        except (TypeError, OverflowError) as error:
            print(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
