"""What can go wrong, as exceptions that say what to do about it."""

from __future__ import annotations


class TracklayerError(Exception):
    """The base of every error that Tracklayer raises on purpose."""


class RomError(TracklayerError):
    """The cartridge image cannot be used: missing, empty, truncated, damaged, or of a kind that is not built."""


class EngineError(TracklayerError):
    """The engine asked for does not exist or cannot run on this machine."""


class ModelError(TracklayerError):
    """The console model asked for does not exist or is not built."""


class StateError(TracklayerError):
    """The bytes given are not a state of this kind of console."""


class SaveError(TracklayerError):
    """A battery save cannot be what this cartridge keeps."""


class BusyError(TracklayerError, RuntimeError):
    """A console was asked to run while it runs: from one of its own hooks, or from a second thread."""


class SymbolError(TracklayerError):
    """A symbol file cannot be read."""


class RegisterError(TracklayerError):
    """A register cannot be changed now."""


class LinkError(TracklayerError):
    """Two consoles cannot be linked, or a linked one was asked for what it cannot do."""
