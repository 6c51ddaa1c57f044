"""Adapters: the code between CPython's calls and native code, in both directions, for each shape of signature.

For:       `Entry`, a METH_FASTCALL function that converts its arguments, calls a body, and converts its result;
           `callback_adapter`, a C function that makes objects of its arguments and calls Python.
Not for:   signatures (signatures.py), copies for functions (templates.py). These need the assembler; who finds his
           adapters on the disk needs neither.
Invariant: on every way out, every buffer is released, every reference given back, and the GIL held again. An adapter
           runs at any address and in any process once its slots are filled in.
"""

from __future__ import annotations

from tracklayer.native.callback_code import callback_adapter
from tracklayer.native.conversions import Adapter
from tracklayer.native.entries import Entry

__all__ = ["Adapter", "Entry", "callback_adapter"]
