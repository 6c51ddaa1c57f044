"""`tracklayer profile`: where a program's time goes, the guest's and the host's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from tracklayer.api.gameboy import CYCLES_PER_FRAME, CYCLES_PER_SECOND

from .commands import MODELS, OutputFile, Seconds, engine_option, print_json
from .progress import building
from .run import DEFAULT_SECONDS, parse_presses, start

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tracklayer.api.profiling.results import Block, Profile

FLAMES = (".svg", ".folded")
SHOWN_FUNCTIONS = 3
SHOWN_BLOCKS = 3
"""Of the blocks in the table, so many are shown with their instructions; all with --code."""
SHOWN_LINES = 12
"""Machine instructions of the engine's functions; the hottest ones."""
WIDTH = 120
"""Columns where the output is no terminal."""


class FlameFile(OutputFile):
    """A file whose ending says what is written: a picture, or folded stacks."""

    name = "FILE.svg|FILE.folded"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = str(value)
        if os.path.splitext(path)[1].lower() not in FLAMES:
            self.fail(f"{path!r} ends neither in .svg, for a picture, nor in .folded, for text", param, ctx)
        return super().convert(path, param, ctx)


@click.command()
@click.argument("rom")
@engine_option()
@click.option("--model", type=click.Choice(MODELS), default="auto", show_default=True, help="Which console.")
@click.option("--frames", type=click.IntRange(min=1), help="Profile so many frames of 70,224 cycles.")
@click.option("--seconds", type=Seconds(min=0, min_open=True), help="Or so much guest time.  [default: 10]")
@click.option(
    "--warm-up", type=click.IntRange(min=0), default=0, show_default=True, help="Frames before these, not profiled."
)
@click.option(
    "--buttons", metavar="SCRIPT", default="", help="Presses, as of `run`; frames count from the begin of the warm-up."
)
@click.option("--load-state", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Begin in this state.")
@click.option("--render/--no-render", default=True, show_default=True, help="Whether each frame is drawn.")
@click.option("--sound", is_flag=True, help="Make the sound as well.")
@click.option("--symbols", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="Names of places.  [default: the .sym file beside ROM, if there is one]")  # fmt: skip
@click.option(
    "--flame", "flames", type=FlameFile(), multiple=True, help="Write a flame graph, or folded stacks, there."
)
@click.option("--top", type=click.IntRange(min=0), default=12, show_default=True, help="How many of the hottest.")
@click.option("--code", is_flag=True, help="Show the instructions of all the hottest blocks, not of three.")
@click.option("--host", "host_code", is_flag=True, help="Show machine code: of these, and of the engine.")
@click.option(
    "--host-seconds",
    type=click.FloatRange(0, 600),
    default=1.0,
    show_default=True,
    help="Sample the host for so long, of its processor's time; 0: not at all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def profile(
    rom: str,
    engine: str,
    model: str,
    frames: int | None,
    seconds: float | None,
    warm_up: int,
    buttons: str,
    load_state: str | None,
    render: bool,
    sound: bool,
    symbols: str | None,
    flames: tuple[str, ...],
    top: int,
    code: bool,
    host_code: bool,
    host_seconds: float,
    as_json: bool,
) -> None:
    """Show where the time of ROM goes: the guest's to the cycle, the host's by sampling.

    ROM is a file, FILE.zip::MEMBER, or the word demo. The same frames run several times: as they are, counted, and
    sampled. Without symbols, functions go by the address that is called.
    """
    if frames is not None and seconds is not None:
        raise click.UsageError("give --frames or --seconds, not both")
    if frames is None:
        frames = max(1, round((seconds or DEFAULT_SECONDS) * CYCLES_PER_SECOND / CYCLES_PER_FRAME))
    from tracklayer.api.profiling.run import profile as run_profile

    presses = [(press.frame - warm_up, press.button, press.down) for press in parse_presses(buttons)]
    console = start(rom, engine, model, quiet=as_json)
    if load_state is not None:
        console.load_state(load_state)
    found = run_profile(
        console, frames, warm_up=warm_up, presses=presses, render=render, sound=sound, symbols=symbols, top=top,
        host=host_seconds > 0, host_code=host_code, seconds=host_seconds, progress=None if as_json else building(),
    )  # fmt: skip
    for path in flames:
        _write(path, found)
    if as_json:
        print_json({"rom": rom, **found.as_json()})
    else:
        _show(found, top, top if code else SHOWN_BLOCKS, host_code)
        for path in flames:
            click.echo(f"{path} written", err=True)


def _write(path: str, found: Profile) -> None:
    from tracklayer.api.files import write_atomically

    text = found.flame_graph() if path.lower().endswith(".svg") else found.folded()
    write_atomically(path, text.encode())


# ------------------------------------------------------------------------------------------------ for people


def _show(found: Profile, top: int, with_code: int, host_code: bool) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=WIDTH)
    ways = ", ".join(
        [found.engine, "every frame drawn" if found.rendered else "nothing drawn", *["with sound"] * found.sound]
    )
    console.print(f"{found.title or 'no title'} on {found.model}: {found.frames:,} frames, {ways}")
    if not found.agrees:
        console.print("The runs did not end in the same state: something outside differs from run to run.")
    _show_guest(console, found, top)
    _show_host(console, found, with_code if host_code else 0)
    _show_exits(console, found)
    _show_blocks(console, found.blocks, with_code)


def _table(console: Console, title: str, *columns: str) -> Table:
    """A table, its title already shown; columns whose names begin with a blank are numbers."""
    from rich import box
    from rich.table import Table

    console.print(title, style="bold")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name.strip(), justify="right" if name.startswith(" ") else "left", no_wrap=name[0] == " ")
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _show_guest(console: Console, found: Profile, top: int) -> None:
    total = found.running + found.waiting + found.dispatching + found.stalled or 1
    console.print(
        f"Guest: {found.cycles:,} cycles, {found.instructions:,} instructions; running"
        f" {_percent(found.running / total)}, waiting {_percent(found.waiting / total)}, interrupts' dispatches"
        f" {_percent(found.dispatching / total)}, stalled {_percent(found.stalled / total)}"
    )
    if found.uncounted:
        console.print(f"{found.uncounted:,} cycles were not counted: the program has more places than there is room")
    names = f"{found.symbols:,} symbols" if found.symbols else "no symbols: named by the bank and address called"
    table = _table(console, f"Functions ({names})", "function", "at", " own", " with callees", " calls")
    for one in found.functions[:top]:
        table.add_row(one.name, str(one.place), _percent(one.own), _percent(one.total), f"{one.calls:,}")
    console.print(table)
    console.print()


def _show_host(console: Console, found: Profile, with_code: int) -> None:
    if found.host is None:
        console.print(f"Host: not sampled, {found.host_missing}")
        return
    host = found.host
    each = host.seconds / host.passes / found.frames
    passes = "one pass" if host.passes == 1 else f"{host.passes} passes"
    table = _table(
        console, f"Host: {1e6 * each:.1f} us a frame; {host.samples:,} samples in {passes}", "part", " share",
        "most of it",
    )  # fmt: skip
    for part in host.parts:
        most = ", ".join(f"{name} {_percent(share)}" for name, share in part.functions[:SHOWN_FUNCTIONS])
        table.add_row(part.name, _percent(part.share), most)
    console.print(table)
    console.print()
    for function in host.functions[:with_code]:
        console.print(f"{function.name}: {_percent(function.share)} of the host's time")
        hottest = sorted(function.lines, key=lambda line: -line.share)[:SHOWN_LINES]
        for line in sorted(hottest, key=lambda line: line.offset):
            console.print(f"  {line.offset:>6x}  {_percent(line.share):>7}  {line.text}")
        console.print()
    if host.regions:
        table = _table(console, "Regions of hot code", "heads", " host")
        for region in host.regions:
            table.add_row(", ".join(one.symbol or str(one) for one in region.heads), _percent(region.share))
        console.print(table)
    console.print()


def _show_exits(console: Console, found: Profile) -> None:
    if found.exits is None:
        return
    exits = found.exits
    inside = _percent(1 - exits.interpreted / (exits.instructions or 1))
    table = _table(
        console, f"Translated code ran {inside} of the instructions. It was left for", "reason", " a frame",
        "most often at",
    )  # fmt: skip
    for one in exits.reasons:
        most = ", ".join(f"{place.place} {place.text}" for place in one.places[:SHOWN_FUNCTIONS])
        table.add_row(one.reason, f"{one.per_frame:,.1f}", most)
    console.print(table)
    console.print()


def _show_blocks(console: Console, blocks: tuple[Block, ...], with_code: int) -> None:
    if not blocks:
        return
    table = _table(console, "Hottest blocks", "block", "symbol", " guest", " runs", "tier", " host")
    for block in blocks:
        host = "" if block.host_share is None else _percent(block.host_share)
        place = f"{block.place}-{block.instructions[-1].place.address:04x}"
        table.add_row(place, block.place.symbol, _percent(block.share), f"{block.executions:,}", block.tier, host)
    console.print(table)
    console.print()
    for block in blocks[:with_code]:
        console.print(f"{block.place} {block.place.symbol}: {_percent(block.share)} of the guest's cycles")
        for one in block.instructions:
            host = "" if one.host_share is None else _percent(one.host_share)
            console.print(
                f"  {one.place.address:04x}  {bytes.fromhex(one.data).hex(' '):<8}  {one.text:<24}{one.executions:>12,}"
                f" {one.cycles:>14,} cycles {host:>8}",
                no_wrap=True,
                overflow="ignore",
            )
            for line in one.host_code:
                console.print(f"              {line}", no_wrap=True, overflow="ignore")
        console.print()
