"""Batches against lone consoles: `python -m tests.batches [--steps 100] [--seed N] [--threads 3]`.

All games of a model in one batch, several consoles of each; random buttons, frames and pictures wanted, consoles that
begin again, and hooks that come and go. After each step every console's state, memory, registers and picture must be
those of a console that did the same alone. Every difference is printed; the exit status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy

from tracklayer import Batch, GameBoy

from .games import folder, games, try_all

COPIES = 2
MEMORY = (slice(0xC000, 0xE000), slice(0xFE00, 0x10000))
MODELS = ("dmg", "cgb")


def roms_of(model: str) -> list[str]:
    """The games that are played on a model; a plain cartridge is played on a Color too."""
    return [str(folder() / game.path) for game in games() if game.model.startswith(model)]


def differences(batch: Batch, index: int, lone: GameBoy, drawn: bool) -> Iterator[str]:
    """In what a console of the batch differs from a lone one, in words."""
    for number, where in enumerate(MEMORY):
        if bytes(batch.memory[number][index]) != lone.memory[where]:
            yield f"memory from {where.start:04X} on"  # reading registers has brought the lone one's devices up to date
    for difference in batch[index].differences(lone)[:3]:
        yield f"{difference.name} is {difference.left:#x}, not {difference.right:#x}"
    if drawn and not (batch.screens[index] == lone.screen).all():
        yield "the picture"
    if int(batch.cycles[index]) != lone.cycles:
        yield "the time"


def check(model: str, engine: str, threads: int, steps: int, seed: int) -> Iterator[str]:
    """So many steps of a batch. Yields: what was wrong, in words."""
    source = numpy.random.default_rng(seed)
    roms = roms_of(model)
    count = COPIES * len(roms)
    lone = [GameBoy(roms[index % len(roms)], engine=engine, model=model) for index in range(count)]
    with Batch(roms, count, threads=threads, engine=engine, model=model, memory=MEMORY) as batch:
        for step in range(steps):
            again = source.random(count) < 0.02
            batch.reset(again)
            for index in numpy.flatnonzero(again):
                lone[index] = GameBoy(roms[index % len(roms)], engine=engine, model=model)
            hooked = int(source.integers(count))
            calls: list[GameBoy] = []
            hooks = [gb.hook(0x0040, calls.append) for gb in (batch[hooked], lone[hooked])]
            buttons = source.integers(0, 256, count, dtype=numpy.uint8) & source.integers(
                0, 256, count, dtype=numpy.uint8
            )
            frames = source.choice((0, 1, 1, 2, 4, 4, 16, 60), count)
            render = source.random(count) < 0.7
            batch.step(buttons, frames, render)
            for index, gb in enumerate(lone):
                gb._gb.press(int(buttons[index]))
                gb.tick(int(frames[index]), bool(render[index]))
                for complaint in differences(batch, index, gb, bool(render[index])):
                    yield f"{model}, {engine}, seed {seed}, step {step}, console {index}, {gb!r}: {complaint}"
            for hook in hooks:
                hook.remove()
            if calls.count(batch[hooked]) != calls.count(lone[hooked]):
                yield f"{model}, {engine}, seed {seed}, step {step}: {len(calls)} calls of a hook, of one console more"


def main() -> int:
    """Try every model and engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=3)
    options = parser.parse_args()
    steps = options.steps
    return try_all(
        (f"{model}, {engine}: {steps} steps", check(model, engine, options.threads, steps, options.seed))
        for model in MODELS
        for engine in ("interpreter", "translated", "regions")
    )


if __name__ == "__main__":
    sys.exit(main())
