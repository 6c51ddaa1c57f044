"""`tracklayer run`: a cartridge for some time, and what came out.

Starting counts here: nothing is imported before the first guest instruction that this path does not need.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tracklayer.api.gameboy import CYCLES_PER_FRAME, CYCLES_PER_SECOND, GameBoy
from tracklayer.api.sound import DEFAULT_RATE, HIGHEST_RATE, LOWEST_RATE

from .commands import MODELS, OutputFile, Seconds, engine_option, print_json, shown
from .progress import building

if TYPE_CHECKING:
    from tracklayer.api.engines import Progress
    from tracklayer.api.peer import Peer

    from .wav import Recorder

DEFAULT_SECONDS = 10.0
DEFAULT_PATIENCE = 30.0
HELD_FRAMES = 6


class Press(NamedTuple):
    """A button goes down or up at the start of a frame."""

    frame: int
    button: str
    down: bool


def parse_presses(script: str) -> list[Press]:
    """A button script in order of time.

    `60:start,120:right*30` holds START for 6 frames from frame 60 on, and RIGHT for 30 from frame 120 on.

    Errors: click.BadParameter, which names the part that is wrong.
    """
    from tracklayer.api.gameboy import BUTTONS

    presses = []
    for part in filter(None, (piece.strip() for piece in script.split(","))):
        frame, _, rest = part.partition(":")
        button, _, held = rest.partition("*")
        if not frame.isdecimal() or button.lower() not in BUTTONS or (held and not held.isdecimal()):
            raise click.BadParameter(
                f"{part!r} is not FRAME:BUTTON or FRAME:BUTTON*FRAMES; buttons: {', '.join(BUTTONS)}"
            )
        last = int(frame) + (int(held) if held else HELD_FRAMES)
        presses += [Press(int(frame), button.lower(), True), Press(last, button.lower(), False)]
    return sorted(presses)


def start(
    rom: str, engine: str, model: str, quiet: bool, save: str | None = None, boot_rom: str | None = None
) -> GameBoy:
    """A console for a command, with progress shown while an engine is built for the first time."""
    progress: Progress | None = None if quiet else building()
    console = GameBoy(rom, engine=engine, model=model, save=save, boot_rom=boot_rom, progress=progress)
    for warning in () if quiet else console.warnings:
        click.echo(f"{rom}: {warning}", err=True)
    return console


@click.command()
@click.argument("rom")
@engine_option()
@click.option("--model", type=click.Choice(MODELS), default="auto", show_default=True, help="Which console.")
@click.option("--boot-rom", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Run this one first.")
@click.option("--frames", type=click.IntRange(min=0), help="Run for so many frames of 70,224 cycles.")
@click.option("--seconds", type=Seconds(min=0), help="Run for so much guest time.  [default: 10]")
@click.option(
    "--until-serial", metavar="TEXT", help="Stop once TEXT was sent on the serial port; failure if it never is."
)
@click.option("--screenshot", type=OutputFile(), metavar="FILE.png", help="Write the last picture there.")
@click.option("--wav", type=OutputFile(), metavar="FILE.wav", help="Write the sound there.")
@click.option(
    "--rate",
    type=click.IntRange(LOWEST_RATE, HIGHEST_RATE),
    default=DEFAULT_RATE,
    show_default=True,
    help="Samples a second of the sound.",
)
@click.option("--serial", is_flag=True, help="Print what was sent on the serial port.")
@click.option(
    "--buttons", metavar="SCRIPT", default="", help="Presses, as in '60:start,120:right*30' (frame, frames held)."
)
@click.option(
    "--save",
    is_flag=False,
    flag_value="auto",
    metavar="[FILE]",
    help="Read and write the battery save, beside ROM unless FILE is given.",
)
@click.option("--load-state", type=click.Path(exists=True, dir_okay=False), metavar="FILE", help="Begin in this state.")
@click.option("--save-state", type=OutputFile(), metavar="FILE", help="Write the last state there.")
@click.option("--listen", metavar="[HOST:]PORT", help="Wait there for another console, and link with it.")
@click.option("--connect", metavar="[HOST:]PORT", help="Link with a console that listens there.")
@click.option(
    "--link-timeout",
    type=Seconds(min=0, min_open=True),
    default=DEFAULT_PATIENCE,
    show_default=True,
    metavar="SECONDS",
    help="How long the other console may keep this one waiting.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def run(
    rom: str,
    engine: str,
    model: str,
    boot_rom: str | None,
    frames: int | None,
    seconds: float | None,
    until_serial: str | None,
    screenshot: str | None,
    wav: str | None,
    rate: int,
    serial: bool,
    buttons: str,
    save: str | None,
    load_state: str | None,
    save_state: str | None,
    listen: str | None,
    connect: str | None,
    link_timeout: float,
    as_json: bool,
) -> None:
    """Run ROM for some time, without a window, as fast as the host can, and show what came out.

    ROM is a file, FILE.zip::MEMBER, or the word demo. The exit status is 0 if the run ended as asked: with
    --until-serial, only if the text was sent in time.

    With --listen or --connect the serial port is joined to another console's, in another process or on another machine;
    both go through the cable's transfers in guest time, bit by bit, whatever the network does. HOST is this machine
    unless it is given. States are then those of this end: both ends load those that they saved at the same time.
    """
    if frames is not None and seconds is not None:
        raise click.UsageError("give --frames or --seconds, not both")
    if listen is not None and connect is not None:
        raise click.UsageError("one end listens, the other one connects: give --listen or --connect, not both")
    linked = listen is not None or connect is not None
    if wav is not None and linked:
        raise click.UsageError("a linked console makes no sound: leave --wav out")
    if until_serial == "":
        raise click.UsageError("nothing to wait for: give --until-serial some text")
    presses = parse_presses(buttons)
    limit = frames * CYCLES_PER_FRAME if frames is not None else int((seconds or 0.0) * CYCLES_PER_SECOND)
    if frames is None and seconds is None:
        limit = int(DEFAULT_SECONDS * CYCLES_PER_SECOND)
    console = start(rom, engine, model, quiet=as_json, save=save, boot_rom=boot_rom)
    cable = plug_in(console, listen, connect, link_timeout) if linked else None
    end: GameBoy | Peer = cable or console
    if load_state is not None:
        end.load_state(load_state)
    wanted = until_serial.encode() if until_serial is not None else None
    begin = time.perf_counter()
    drawn = screenshot is not None or as_json
    if wav is None:
        found = _run(console, limit, wanted, presses, drawn)
    else:
        from .wav import Recorder

        console.sound_rate = rate
        with Recorder(console, wav) as recorder:
            found = _run(console, limit, wanted, presses, drawn, recorder)
    host_seconds = time.perf_counter() - begin
    if save_state is not None:
        end.save_state(save_state)
    if cable is not None:
        cable.unplug(link_timeout)
    console.close()
    if screenshot is not None:
        console.save_screenshot(screenshot)
    if as_json:
        print_json({"rom": rom, **outcome(console, host_seconds), "found": found})
    else:
        if serial:
            click.echo(shown(console.serial))
        guest = console.cycles / CYCLES_PER_SECOND
        mips = console.instructions / host_seconds / 1e6 if host_seconds else 0.0
        click.echo(
            f"{guest:.2f} guest seconds, {console.frames} frames, {console.instructions:,} instructions in"
            f" {host_seconds:.3f} s on the {engine} engine: {mips:,.1f} MIPS, {guest / max(host_seconds, 1e-9):,.1f}x",
            err=serial,
        )
    if found is False:
        if not as_json:
            click.echo(f"{until_serial!r} was not sent", err=True)
        sys.exit(1)


def plug_in(console: GameBoy, listen: str | None, connect: str | None, timeout: float) -> Peer:
    """Join the console with the one that is asked for. Errors: LinkError, click.BadParameter."""
    from tracklayer.api.peer import Peer
    from tracklayer.api.wire import Listener, parse_address, shown

    try:
        host, port = parse_address(listen or connect or "")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if connect is not None:
        return Peer.connect(console, port, host, timeout=timeout)
    with Listener(port, host) as listener:
        click.echo(f"waiting for another console at {shown(*listener.address)}", err=True)
        return Peer(console, listener.accept(timeout))


def outcome(console: GameBoy, host_seconds: float) -> dict[str, Any]:
    """What a run came to, as `--json` prints it."""
    return {
        "engine": console.engine,
        "model": console.model,
        "frames": console.frames,
        "cycles": console.cycles,
        "instructions": console.instructions,
        "host_seconds": round(host_seconds, 6),
        "serial": shown(console.serial),
        "picture": console.picture_hash(),
    }


def _run(
    console: GameBoy,
    limit: int,
    wanted: bytes | None,
    presses: list[Press],
    drawn: bool,
    recorder: Recorder | None = None,
) -> bool | None:
    """Run for so long, with buttons pressed on the way. Returns whether the wanted text was sent; None if none was."""
    start = console.cycles
    for frame, button, down in [*presses, Press(limit // CYCLES_PER_FRAME + 1, "", False)]:
        end = min(limit, frame * CYCLES_PER_FRAME)
        left = max(0, start + end - console.cycles)
        if recorder is not None:
            found = recorder.run(left, drawn, wanted)
        elif wanted is not None:
            found = console.run_until_serial(wanted, cycles=left, render=drawn)
        else:
            found = console.run(cycles=left, render=drawn)
        if found:
            return True
        if end < limit and button:
            console.button(button, down)
    return None if wanted is None else False
