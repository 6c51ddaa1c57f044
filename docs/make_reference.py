"""Writes docs/reference.md from the docstrings: `python docs/make_reference.py`.

With `--check` it only says whether the page is up to date."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("reference.md")
sys.path.insert(0, str(PAGE.parents[1]))  # this repository's package, whatever is installed

HEAD = """# Reference

Every public name of `tracklayer.native`, of the typed language `tracklayer.lang` and of `tracklayer.compiler`, by
module, from their docstrings. Written by `python docs/make_reference.py`; do not edit. To learn, begin with
`docs/tutorial.md`; how it works is in `docs/crossing.md`, `docs/lang.md` and `docs/compiler.md`.
"""

#   module                               names shown; classes with all their public members
MODULES = (
    ("tracklayer.native.assembler",      ("Assembler",)),
    ("tracklayer.native.source",         ("Assembled", "Code", "Distance", "Line", "Listing", "AssemblyError")),
    ("tracklayer.native.operands",       ("Register", "Address", "Memory", "Size", "Label", "Symbol", "OperandError")),
    ("tracklayer.native.arm64",          ("Arm64Assembler",)),
    ("tracklayer.native.arm64_operands", ("Register", "Modified", "Vector", "Vectors", "vectors", "Memory")),
    ("tracklayer.native.mc",             ("assemble", "command", "AssemblerErrors", "NoAssembler")),
    ("tracklayer.native.functions",      ("native_function", "callback", "calling", "Callback", "entry", "Way",
                                          "Entered")),
    ("tracklayer.native.signatures",     ("parse_signature", "Signature", "Parameter", "Type", "SignatureError")),
    ("tracklayer.native.calls",          ("builtin", "bound", "deferred", "Made")),
    ("tracklayer.native.capi",           ("python_api", "address_of", "UnsupportedPython")),
    ("tracklayer.native.memory",         ("code_memory", "memory_of", "CodeMemory", "Block", "CodeMemoryFull",
                                          "ExecutableMemoryDenied")),
    ("tracklayer.native.loader",         ("load", "parse", "LoadedObject", "ObjectFile", "Layout", "Section",
                                          "Function", "Relocation", "ObjectError", "UndefinedSymbols")),
    ("tracklayer.native.unwind",         ("register", "Registration")),
    ("tracklayer.native.debug",          ("enable", "enabled", "announce")),
    ("tracklayer.native.elf",            ()),
    ("tracklayer.native.sampling",       ("Sampler", "SamplingUnavailable", "available")),
    ("tracklayer.compiler.function",     ("function", "original")),
    ("tracklayer.lang",                  ("typed", "comptime", "struct", "array", "Buffer", "MutBuffer", "null",
                                          "pointer", "pointer_at", "address_of", "size_of", "layout", "storage",
                                          "is_struct", "type_name", "unlikely", "ask", "consult", "tell", "go",
                                          "take_error", "Host", "ZeroedMemory", "acquire", "publish", "release")),
    ("tracklayer.compiler.program",      ("Program",)),
    ("tracklayer.compiler.convention",   ("Convention", "Effects")),
    ("tracklayer.compiler.backend",      ("emit", "Emission", "Job", "helper")),
    ("tracklayer.compiler.cache",        ("find_cached", "keep", "directory", "machine_identity", "source_digest")),
    ("tracklayer.compiler.errors",       ("CompileError",)),
)  # fmt: skip


def text_of(what: Any) -> str:
    """A docstring as it stands, in a block of its own."""
    return f"```text\n{(inspect.getdoc(what) or '').strip()}\n```\n"


def annotation(value: Any) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


def signature_of(what: Any) -> str:
    """Parameters with their types and defaults, as they are written; nothing where there are none to be seen."""
    try:
        signature = inspect.signature(what)
    except (TypeError, ValueError):
        return ""
    shown, only_keywords = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not only_keywords:
            only_keywords = True
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        only_keywords |= stars == "*"
        text = stars + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}" if len(repr(parameter.default)) < 40 else " = ..."
        shown.append(text)
    result = signature.return_annotation
    arrow = "" if result is signature.empty or inspect.isclass(what) else f" -> {annotation(result)}"
    return f"({', '.join(shown)}){arrow}"


def members_of(kind: type) -> list[tuple[str, Any]]:
    """The public methods and properties that are written in this package, in the order of their names."""
    found = {}
    for home in reversed(kind.__mro__):
        if home.__module__.startswith("tracklayer."):
            found.update({name: value for name, value in vars(home).items() if not name.startswith("_")})
    return [
        (name, value)
        for name, value in sorted(found.items())
        if (
            inspect.isroutine(value)
            or isinstance(value, property | classmethod | staticmethod)
            or hasattr(value, "func")
        )
        and inspect.getdoc(value)
    ]


def shown(name: str, what: Any) -> list[str]:
    """The part of the page about one name."""
    is_error = inspect.isclass(what) and issubclass(what, BaseException)
    lines = [f"### `{name}{'' if is_error else signature_of(what)}`\n", text_of(what)]
    if not inspect.isclass(what) or is_error:
        return lines
    for member, value in members_of(what):
        is_property = isinstance(value, property) or hasattr(value, "func")
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        lines += [f"#### `{name}.{member}{'' if is_property else signature_of(plain)}`\n", text_of(value)]
    return lines


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for module_name, names in MODULES:
        module = importlib.import_module(module_name)
        lines += [f"## {module_name}\n", text_of(module)]
        for name in names:
            lines += shown(name, getattr(module, name))
    return "\n".join(lines)


def main() -> int:
    made = page()
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text(encoding="utf-8") == made:
            return 0
        print(f"{PAGE.name} is not what the docstrings say: run python docs/make_reference.py")
        return 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
