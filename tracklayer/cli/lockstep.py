"""`tracklayer lockstep`: two engines side by side up to their first difference."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from .commands import ENGINES, MODELS, print_json
from .progress import bar
from .run import start

SHOWN_FIELDS = 40


class EnginePair(click.ParamType[tuple[str, str]]):
    """Two engines, as in `interpreter,translated`."""

    name = "A,B"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        names = str(value).split(",")
        if len(names) != 2 or any(name not in ENGINES for name in names):
            self.fail(f"{value!r} is not two of {', '.join(ENGINES)}, with a comma between", param, ctx)
        return names[0], names[1]


@click.command()
@click.argument("rom")
@click.option("--engines", type=EnginePair(), default="interpreter,translated", show_default=True, help="Which two.")
@click.option("--model", type=click.Choice(MODELS), default="auto", show_default=True, help="Which console.")
@click.option(
    "--instructions", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="How far to compare."
)
@click.option("--seed", type=int, default=1, show_default=True, help="What slices and presses come from.")
@click.option("--buttons", is_flag=True, help="Press buttons at random, from the seed.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of text.")
def lockstep(
    rom: str,
    engines: tuple[str, str],
    model: str,
    instructions: int,
    seed: int,
    buttons: bool,
    as_json: bool,
) -> None:
    """Run ROM on two engines side by side and stop at the first difference.

    Both run slices of varied length; after each, everything that a saved state holds is compared: registers, memory,
    time, scheduled events. At a difference, the shortest slice that shows it is looked for, and the instructions that
    led there are shown. The exit status is 0 if there was none, 1 if there was.
    """
    from tracklayer.api.lockstep import lockstep as compare

    left, right = (start(rom, engine, model, quiet=as_json) for engine in engines)
    begin = time.perf_counter()
    with bar(instructions, "{so_far} instructions") as advance:
        report = compare(
            left,
            right,
            instructions,
            seed=seed,
            buttons=buttons,
            progress=lambda count: advance(count, so_far=f"{count:,}"),
        )
    seconds = time.perf_counter() - begin
    found = report.divergence
    if as_json:
        print_json(
            {
                "rom": rom,
                "engines": list(engines),
                "instructions": report.instructions,
                "cycles": report.cycles,
                "slices": report.slices,
                "seconds": round(seconds, 3),
                "stuck": report.stuck,
                "difference": None if found is None else _as_json(found),
            }
        )
    elif found is None:
        end = "; there the guest stopped executing for good" if report.stuck else ""
        click.echo(
            f"no difference between {engines[0]} and {engines[1]} in {report.instructions:,} instructions,"
            f" {report.cycles:,} cycles, {report.slices:,} slices ({seconds:.1f} s){end}"
        )
    else:
        _show(found, engines)
    sys.exit(0 if found is None else 1)


def _as_json(found: Any) -> dict[str, Any]:
    return {
        "agreed_cycles": found.agreed,
        "shown_cycles": found.shown,
        "fields": [field._asdict() for field in found.fields],
        "trace": found.trace,
    }


def _show(found: Any, engines: tuple[str, str]) -> None:
    click.echo(f"difference: equal at cycle {found.agreed:,}, different at cycle {found.shown:,}")
    click.echo(f"{'offset':>8}  {engines[0]:>16}  {engines[1]:>16}  field")
    for field in found.fields[:SHOWN_FIELDS]:
        click.echo(f"{field.offset:>8}  {field.left:>16X}  {field.right:>16X}  {field.name}")
    if len(found.fields) > SHOWN_FIELDS:
        click.echo(f"and {len(found.fields) - SHOWN_FIELDS} fields more")
    click.echo(f"the instructions up to there, one at a time on {engines[0]}:")
    for line in found.trace:
        click.echo(f"  {line}")
