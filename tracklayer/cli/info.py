"""`tracklayer info`: what a cartridge's header says, and whether it can be run."""

from __future__ import annotations

import sys

import click

from tracklayer.api.errors import RomError
from tracklayer.api.roms import inspect, read_header, read_rom

from .commands import print_json


@click.command()
@click.argument("rom")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of text.")
def info(rom: str, as_json: bool) -> None:
    """Show what the header of ROM says.

    ROM is a file, FILE.zip::MEMBER, or the word demo. The exit status is 0 if it can be run, 1 if not.
    """
    name, image = read_rom(rom)
    header = read_header(image)
    problem, oddities = None, []
    try:
        oddities = inspect(image)
    except RomError as error:
        problem = str(error)
    if as_json:
        print_json({"rom": name, "bytes": len(image), **header._asdict(), "odd": oddities, "problem": problem})
    else:
        right = {True: "right", False: "wrong"}
        rows = (
            ("title", header.title),
            ("type", f"{header.type:02X} {header.type_name}"),
            ("bytes", f"{len(image):,}" + (f", header says {header.rom_size:,}" if header.rom_size else "")),
            ("cartridge RAM", f"{header.ram_size:,} bytes"),
            ("Game Boy Color", header.color),
            ("Super Game Boy", "yes" if header.super else "no"),
            ("version", str(header.version)),
            ("header checksum", f"{header.checksum:02X} {right[header.checksum_right]}"),
            ("global checksum", f"{header.global_checksum:04X} {right[header.global_checksum_right]}"),
        )
        for label, value in rows:
            click.echo(f"{label:<16} {value}")
        for oddity in oddities:
            click.echo(f"odd: {oddity}")
        if problem:
            click.echo(f"cannot be run: {problem}", err=True)
    sys.exit(0 if problem is None else 1)
