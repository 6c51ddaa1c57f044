"""Symbol files: names of places in a program.

For:     reading the `.sym` files that RGBDS, WLA-DX and no$gmb write; looking names and places up.
Not for: hooks on them (hooks.py).
Source:  "The SYM file format" (gbdev.io): a line `BB:AAAA Name`, bank and address in hexadecimal; `;` begins a comment.
         WLA-DX and no$gmb put headings like `[labels]` before them, and other tables under other headings.
"""

from __future__ import annotations

import bisect
import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .errors import SymbolError

LINE = re.compile(r"([0-9A-Fa-f]+):([0-9A-Fa-f]+)\s+(\S+)")
BOOT = re.compile(r"BOOT:([0-9A-Fa-f]+)\s+(\S+)")
"""A place in the boot ROM; those are left out."""


class Symbol(NamedTuple):
    """A named place: its bank, as the symbol file counts, and its address."""

    name: str
    bank: int
    address: int


class Symbols(Mapping[str, Symbol]):
    """The symbols of a program by name. Where a name comes twice the first counts."""

    def __init__(self, symbols: Mapping[str, Symbol] | None = None) -> None:
        self._by_name = dict(symbols or {})
        self._by_place = sorted((one.bank, one.address, one.name) for one in self._by_name.values())

    @classmethod
    def parse(cls, text: str, where: str = "the symbols") -> Symbols:
        """The symbols in a text. Errors: SymbolError, with the number of the line that cannot be read."""
        found: dict[str, Symbol] = {}
        wanted = True
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split(";", 1)[0].strip()
            if line.startswith("["):
                wanted = line.lower() in ("[labels]", "[symbols]")
            elif line and wanted:
                match = LINE.fullmatch(line)
                if match is None:
                    if BOOT.fullmatch(line):
                        continue
                    raise SymbolError(f"{where}, line {number}: {line[:60]!r} is no `bank:address name`")
                bank, address = int(match[1], 16), int(match[2], 16)
                if address > 0xFFFF or bank > 0xFFFE:
                    raise SymbolError(f"{where}, line {number}: {match[1]}:{match[2]} is no place in a Game Boy")
                found.setdefault(match[3], Symbol(match[3], bank, address))
        return cls(found)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Symbols:
        """The symbols of a file. Errors: SymbolError where it cannot be read, or holds something else."""
        try:
            with open(path, encoding="utf-8") as file:
                return cls.parse(file.read(), os.fspath(path))
        except (OSError, UnicodeDecodeError) as error:
            raise SymbolError(f"{os.fspath(path)}: {error}") from None

    def at(self, bank: int, address: int) -> list[str]:
        """The names of a place."""
        low = bisect.bisect_left(self._by_place, (bank, address, ""))
        high = bisect.bisect_left(self._by_place, (bank, address + 1, ""))
        return [name for _, _, name in self._by_place[low:high]]

    def near(self, bank: int, address: int) -> tuple[str, int] | None:
        """The last symbol at or before a place in its bank, and how far behind it the place is; None: there is none."""
        index = bisect.bisect_left(self._by_place, (bank, address + 1, "")) - 1
        if index < 0 or self._by_place[index][0] != bank:
            return None
        return self._by_place[index][2], address - self._by_place[index][1]

    def __getitem__(self, name: str) -> Symbol:
        if name not in self._by_name:
            raise KeyError(f"there is no symbol {name!r} among {len(self._by_name)}")
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __repr__(self) -> str:
        return f"<Symbols: {len(self)}>"


def beside(rom: str | os.PathLike[str]) -> str:
    """Where the symbol file of a ROM file stands: beside it, with the ending `.sym`."""
    file = os.fspath(rom).partition("::")[0]
    return os.path.splitext(file)[0] + ".sym"
