"""The group of commands, and what they share: options, errors, output.

Commands are looked up by name in MODULES and imported only then.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

#          command     module       one line for `tracklayer --help`
MODULES = {
    "run":      ("run",      "Run a cartridge for some time and show what came out."),
    "info":     ("info",     "Show what a cartridge's header says."),
    "disasm":   ("disasm",   "Show a cartridge's instructions as text."),
    "judge":    ("judge",    "Run the test programs of a manifest and judge them."),
    "lockstep": ("lockstep", "Run two engines side by side up to their first difference."),
    "profile":  ("profile",  "Show where a cartridge's guest and host time goes."),
}  # fmt: skip

ENGINES = ("reference", "interpreter", "blocks", "translated", "regions")
MODELS = (
    "auto", "dmg", "dmg-0", "mgb", "sgb", "sgb2", "cgb", "cgb-0", "cgb-b", "cgb-c", "cgb-d", "cgb-e", "cgb-compat",
    "agb",
)  # fmt: skip
"""Consoles."""
RESULT_MODELS = ("dmg", "cgb", "cgb-compat", "mgb", "sgb", "sgb2", "agb", "cgb0")
"""What a manifest's results are meant for."""


class Commands(click.Group):
    """A group whose commands are imported when they are called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return None
        found = getattr(import_module(f"tracklayer.cli.{MODULES[cmd_name][0]}"), cmd_name)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in MODULES.items()])

    def invoke(self, ctx: click.Context) -> Any:
        from tracklayer.api.errors import TracklayerError

        try:
            return super().invoke(ctx)
        except TracklayerError as error:
            raise click.ClickException(str(error)) from error
        except BrokenPipeError:  # whoever read the output wants no more: click ends quietly
            raise
        except OSError as error:
            where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sys.modules[__name__.partition(".")[0]].__version__)
def tracklayer() -> None:
    """Emulators written once in typed Python, running as machine code that can call Python back."""


class OutputFile(click.ParamType[str]):
    """A file to be written at the end: what can be seen to be in its way is said at the beginning."""

    name = "file"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = str(value)
        folder = os.path.dirname(path) or "."
        if os.path.isdir(path):
            self.fail(f"{path!r} cannot be written: it is a folder", param, ctx)
        if not os.path.isdir(folder):
            self.fail(f"{path!r} cannot be written: there is no folder {folder!r}", param, ctx)
        if not os.access(path if os.path.exists(path) else folder, os.W_OK):
            self.fail(f"{path!r} cannot be written: permission denied", param, ctx)
        return path


class Seconds(click.FloatRange):
    """A time, which is a number and ends."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is no time", param, ctx)
        return seconds


def engine_option(default: str = "translated") -> Callable[[Any], Any]:
    return click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default=default,
        show_default=True,
        help="What executes the guest. blocks: translated, no loop compiled as a whole; regions: each at once.",
    )


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def shown(text: bytes) -> str:
    """Serial bytes as text: what is not printable ASCII as an escape, lines kept."""
    return "".join(chr(b) if 0x20 <= b < 0x7F or b == 0x0A else f"\\x{b:02x}" for b in text)
