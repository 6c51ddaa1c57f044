"""Running the command line inside the test's process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.api.images import cartridge, sender
from tracklayer.cli.commands import tracklayer

Command = Callable[..., Result]


@pytest.fixture
def command() -> Command:
    """`command("run", path, ...)` gives output, error output and exit status."""
    return lambda *arguments: CliRunner().invoke(tracklayer, [str(argument) for argument in arguments])


@pytest.fixture
def rom(tmp_path: Path) -> Path:
    """A cartridge that sends "Passed" and loops."""
    file = tmp_path / "good.gb"
    file.write_bytes(cartridge(sender(b"Passed\n")))
    return file


def parsed(result: Result) -> Any:
    """The JSON document on standard output, which must be all that is there."""
    return json.loads(result.stdout)
