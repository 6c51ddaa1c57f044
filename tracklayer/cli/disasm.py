"""`tracklayer disasm`: a cartridge's instructions as text, one behind the other."""

from __future__ import annotations

import click

from tracklayer.api.disassembly import ENTRY, disassemble
from tracklayer.api.roms import BANK, read_rom

from .commands import print_json


class Address(click.ParamType[int]):
    """A guest address in hexadecimal: 150, 0150, $0150 and 0x150 are the same."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).removeprefix("$").removeprefix("0x")
        try:
            number = int(text, 16)
        except ValueError:
            number = -1
        if not 0 <= number < 2 * BANK:
            self.fail(f"{value!r} is not an address of the cartridge's ROM, 0000 to 7FFF, in hexadecimal", param, ctx)
        return number


@click.command()
@click.argument("rom")
@click.option("--start", type=Address(), default=ENTRY, help="Where to begin, in hexadecimal.  [default: 0100]")
@click.option("--count", type=click.IntRange(min=1), default=64, show_default=True, help="How many instructions.")
@click.option("--bank", type=click.IntRange(min=0), default=1, show_default=True, help="The 16 KiB seen at 4000-7FFF.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of text.")
def disasm(rom: str, start: int, count: int, bank: int, as_json: bool) -> None:
    """Show the instructions of ROM as text.

    ROM is a file, FILE.zip::MEMBER, or the word demo. Instructions are read one behind the other; data between them
    is shown as if it were instructions too.
    """
    name, image = read_rom(rom)
    if not image:
        raise click.ClickException("the file is empty")
    banks = max(1, -(-len(image) // BANK))
    if bank >= banks and bank > 1:
        raise click.BadParameter(f"{name} has banks 0 to {banks - 1}", param_hint="--bank")
    low, high = image[:BANK], image[bank * BANK : (bank + 1) * BANK]
    lines = disassemble((low + b"\xff" * (BANK - len(low)) + high)[start:], start, count)
    if not lines:
        raise click.ClickException(f"{name} has nothing at {start:04X}")
    if as_json:
        print_json([{"address": line.address, "bytes": line.data.hex(), "text": line.text} for line in lines])
        return
    for line in lines:
        click.echo(f"{line.address:04X}  {line.data.hex(' ').upper():<8}  {line.text}")
