"""Functions: native code with a signature becomes a builtin, and a Python callable becomes a C function.

For:       `native_function(address, signature)`, a builtin that checks and converts its arguments; `callback(callable,
           signature)`, a C function that calls Python.
Not for:   signatures (signatures.py), the code between (adapters.py; templates.py), the native code (assembler.py, the
           compiler), lifetimes (calls.py).
Invariant: on every way out, every buffer is released, every reference given back, and the GIL held again.

Integers that fit 30 bits and floats are read and checked inline; what does not fit goes out of line, and errors are put
into words by Python (refusals.py). The code of such an adapter is made once for each signature; a further function is
a copy of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any, NoReturn

from tracklayer.native import debug
from tracklayer.native.calls import builtin
from tracklayer.native.memory import CodeMemory, code_memory
from tracklayer.native.refusals import Explainer
from tracklayer.native.signatures import Signature, parse_signature
from tracklayer.native.templates import TEMPLATES, Template

if TYPE_CHECKING:
    from tracklayer.native.adapters import Adapter


# ----------------------------------------------------------------------------------------------------- Python -> native


def native_function(
    address: int,
    signature: str | Signature,
    *,
    name: str,
    doc: str | None = None,
    module: str | None = None,
    keep: Iterable[object] = (),
    uses: Iterable[object] = (),
    nogil: bool = False,
    calls_back: bool = False,
    short: bytes = b"",
    memory: CodeMemory | None = None,
) -> BuiltinFunctionType:
    """A builtin around native code that follows the host's C calling convention.

    nogil:      release the GIL while the native code runs; it may then touch Python by callbacks only
    calls_back: the native code uses callbacks, so it may return with an exception set
    short:      the native code without the return at its end, at most SHORT bytes that run anywhere and leave the stack
                alone: it is copied, not called
    keep, uses: see calls.builtin

    Errors: SignatureError."""
    known = parse_signature(signature) if isinstance(signature, str) else signature
    memory = memory or code_memory()
    entered = entry(address, known, name=name, way=Way(nogil, calls_back), short=short, memory=memory)
    return builtin(
        entered.address,
        name,
        doc=doc,
        signature=str(known),
        module=module,
        keep=(*entered.keep, *keep),
        uses=(*entered.uses, *uses),
        memory=memory,
    )


@dataclass(frozen=True, slots=True)
class Way:
    """How a builtin's code treats its body.

    nogil:      release the GIL while it runs
    calls_back: it may return with an exception set
    status:     it says so in RCX, which is not 0 then
    limit:      its first argument is the lowest address to which the thread's stack pointer may go"""

    nogil: bool = False
    calls_back: bool = False
    status: bool = False
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Entered:
    """Code that checks and converts arguments and calls a body: what METH_FASTCALL wants. `keep`, `uses`: as for
    calls.builtin."""

    address: int
    keep: tuple[object, ...]
    uses: tuple[object, ...]


def _entry_template(signature: Signature, way: Way, body: str) -> Template:
    def _entry() -> Adapter:
        from tracklayer.native.adapters import Entry

        return Entry(signature, way, body)

    return TEMPLATES.get(("entry", signature.shape, way, body), _entry)


def entry(
    address: int,
    signature: Signature,
    *,
    name: str,
    way: Way,
    structs: Mapping[str, type] | None = None,
    short: bytes = b"",
    memory: CodeMemory | None = None,
) -> Entered:
    """The code of a builtin around a body at `address`.

    structs: the classes of the parameters of type struct, in their order
    short:   see native_function"""
    memory = memory or code_memory()
    body = "short" if short and not debug.enabled() else "near" if address in memory else "far"
    template = _entry_template(signature, way, body)
    explainer = Explainer(name, signature, structs)
    classes = tuple((structs or {}).values())
    values = {"body": address, "explainer": id(explainer)}
    values |= {slot: id(cls) for slot, cls in zip(template.structs, classes, strict=True)}
    made, (start,) = template.copy(f"{name} (entry)", memory, values, ("entry",), short)
    return Entered(start, made, (explainer, *classes))


def pack_entry(signature: Signature, way: Way) -> bytes:
    """The adapter that `entry` uses for a body in the same memory, for another process: see `learn_entry`."""
    return _entry_template(signature, way, "near").pack()


def learn_entry(signature: Signature, way: Way, packed: bytes) -> None:
    """Have an adapter without assembling it. `packed` is of the same Python, on the same machine.
    Errors: ValueError."""
    TEMPLATES.learn(("entry", signature.shape, way, "near"), packed)


# ----------------------------------------------------------------------------------------------------- native -> Python


@dataclass(frozen=True)
class Callback:
    """A C function that calls a Python callable. It may be called as long as this object is held.

    address:   sets the carry flag and ECX if it failed (an exception is set), clears both otherwise
    unchecked: the same for callers that do not look: it does nothing where an exception waits already"""

    address: int
    unchecked: int
    keep: tuple[object, ...]
    function: Callable[..., Any]
    explainer: object


def callback(
    function: Callable[..., Any],
    signature: str | Signature,
    *,
    nogil: bool = False,
    abi: str | None = None,
    memory: CodeMemory | None = None,
) -> Callback:
    """A Python callable as a C function.

    nogil: whether callers may come without the GIL (another thread, a function with nogil=True); costs about 30 ns

    Errors: SignatureError; TypeError for what is not callable."""
    if not callable(function):
        raise TypeError(f"a callback is something callable, not {type(function).__name__}")
    known = parse_signature(signature) if isinstance(signature, str) else signature
    convention = abi or ("win64" if sys.platform == "win32" else "sysv")
    key = ("callback", known.shape, nogil, convention)

    def _adapter() -> Adapter:
        from tracklayer.native.adapters import callback_adapter

        return callback_adapter(known, nogil, convention)

    template = TEMPLATES.get(key, _adapter)
    explainer = Explainer(getattr(function, "__qualname__", type(function).__name__), known)
    values = {"callable": id(function), "explainer": id(explainer)}
    name = f"{getattr(function, '__name__', 'object')} (callback)"
    made, (checked, unchecked) = template.copy(name, memory or code_memory(), values, ("checked", "unchecked"))
    return Callback(checked, unchecked, made, function, explainer)


def calling(
    signature: str | Signature, *, name: str, nogil: bool = False, memory: CodeMemory | None = None
) -> Callback:
    """A C function that calls whatever callable is its first argument, with the others; as `callback` otherwise.

    name: what messages about results call it
    nogil: as for callback

    Errors: SignatureError."""
    known = parse_signature(signature) if isinstance(signature, str) else signature
    convention = "win64" if sys.platform == "win32" else "sysv"
    template = _calling_template(known, nogil, convention)
    explainer = Explainer(name, known)
    values = {"explainer": id(explainer)}
    made, (checked, unchecked) = template.copy(name, memory or code_memory(), values, ("checked", "unchecked"))
    return Callback(checked, unchecked, made, _nobody, explainer)


def _calling_template(signature: Signature, nogil: bool, convention: str) -> Template:
    key = ("calling", signature.shape, nogil, convention)

    def _adapter() -> Adapter:
        from tracklayer.native.adapters import callback_adapter

        return callback_adapter(signature, nogil, convention, given=True)

    return TEMPLATES.get(key, _adapter)


def pack_calling(signature: Signature, nogil: bool) -> bytes:
    """The adapter that `calling` uses, for another process: see `learn_calling`."""
    return _calling_template(signature, nogil, "win64" if sys.platform == "win32" else "sysv").pack()


def learn_calling(signature: Signature, nogil: bool, packed: bytes) -> None:
    """As learn_entry. Errors: ValueError."""
    convention = "win64" if sys.platform == "win32" else "sysv"
    TEMPLATES.learn(("calling", signature.shape, nogil, convention), packed)


def _nobody(*arguments: object) -> NoReturn:
    """Stands where a callable is not known beforehand."""
    raise TypeError("there is no callable")


__all__ = [
    "Callback",
    "Entered",
    "Way",
    "callback",
    "calling",
    "entry",
    "learn_calling",
    "learn_entry",
    "native_function",
    "pack_calling",
    "pack_entry",
]
