"""The corpus of saved states: `python -m tests.make_states NAME` adds those of this version as tests/states/NAME-*.

Later versions must load them for ever (tests/api/test_old_states.py), so files that are there are never made anew. Add
some whenever container.VERSION, or what a state holds, changes. Beside each stands what a console shows that loaded it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from tests.api.images import cartridge, signed
from tracklayer import GameBoy

FOLDER = Path(__file__).with_name("states")

# Counts in cartridge RAM, in work RAM, in HRAM by code that lies there, and scrolls.
COUNTER = bytes.fromhex(
    "3e0a ea0000 3eff e047 210080 3e55 22 cb6c 28fb 3e34 ea80ff 3ec9 ea81ff"
    "21 00a0 34 fa00c0 3c ea00c0 e043 2190ff cd80ff 18ee"
)
TYPES = {"mbc3-clock": (0x10, 3), "mbc5": (0x1B, 3), "mbc1": (0x03, 2), "huc3": (0xFE, 3), "none": (0x08, 2)}
CASES = (
    ("none", "dmg"), ("mbc1", "dmg"), ("mbc3-clock", "dmg"), ("mbc3-clock", "cgb"), ("mbc5", "cgb"), ("huc3", "cgb"),
)  # fmt: skip


def console(kind: str, model: str, engine: str = "interpreter") -> GameBoy:
    """A console with the corpus' program in a cartridge of some kind. Neither may ever change."""
    type_code, ram_code = TYPES[kind]
    image = bytearray(cartridge(COUNTER, type_code=type_code, ram_code=ram_code, banks=4, size_code=1))
    image[0x143] = 0x80 if model == "cgb" else 0
    return GameBoy(signed(image), engine=engine, model=model)


def facts(gb: GameBoy) -> dict[str, Any]:
    """What a console shows: what must be the same in every version that loads its state."""
    return {
        "registers": repr(gb.registers),
        "cycles": gb.cycles,
        "work RAM": hashlib.sha256(bytes(gb.memory[0xC000:0xE000])).hexdigest(),
        "video RAM": hashlib.sha256(bytes(gb.memory[0x8000:0xA000])).hexdigest(),
        "high RAM": bytes(gb.memory[0xFF80:0x10000]).hex(),
        "cartridge RAM": hashlib.sha256(gb.cartridge_ram).hexdigest(),
        "battery": gb.battery[len(gb.cartridge_ram) : -8].hex(),
        "picture": gb.picture_hash(),
    }


def main() -> int:
    """Add states."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", metavar="NAME", help="begins the new files' names")
    name = parser.parse_args().name
    for kind, model in CASES:
        gb = console(kind, model)
        gb.tick(70)
        gb.run(cycles=31_415)
        path = FOLDER / f"{name}-{kind}-{model}.state"
        if path.exists():
            print(f"{path} is there already, and stays")
            return 1
        path.write_bytes(gb.save_state())
        shown = facts(gb)
        path.with_suffix(".json").write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")
        print(path.name, path.stat().st_size, "bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
