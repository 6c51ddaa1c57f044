"""Two processes of `tracklayer run`, joined by `--listen` and `--connect`: they do what two on a `Link` do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.images import cartridge
from tests.api.test_link import outcome
from tracklayer import GameBoy, Link
from tracklayer.api import container

from .conftest import Command

ROOT = Path(__file__).resolve().parents[2]
SENT_A, SENT_B = bytes(range(0x10, 0x50)), bytes(range(0xE0, 0xA0, -1))
DATA = 0x200

# HL = DATA, DE = D000; SB <- [HL+]; SC <- 81; wait for the end; [DE+] <- SB; some time later again.
MASTER = bytes.fromhex("210002 1100d0 2a e001 3e81 e002 f002 cb7f 20fa f001 12 13 0640 05 20fd 18e8")
# The same with SC <- 80, and without the pause: it waits for the other one's clock.
SLAVE = bytes.fromhex("210002 1100d0 2a e001 3e80 e002 f002 cb7f 20fa f001 12 13 18ed")


def rom(program: bytes, sent: bytes) -> bytes:
    image = bytearray(cartridge(program))
    image[DATA : DATA + len(sent)] = sent
    return bytes(image)


def started(*options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tracklayer", "run", *map(str, options), "--json", "--engine", "interpreter"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def both(folder: Path, *more: tuple[object, ...]) -> list[dict[str, object]]:
    """Run the two ends in processes of their own. Returns: what each printed."""
    with started(folder / "a.gb", "--listen", 0, *more[0]) as first:
        assert first.stderr is not None
        port = first.stderr.readline().rsplit(":", 1)[1].strip()
        with started(folder / "b.gb", "--connect", port, *more[1]) as second:
            texts = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), texts
    return [json.loads(out) for out, _ in texts]


def test_two_processes_do_what_two_consoles_on_a_link_do(tmp_path: Path) -> None:
    roms = (rom(MASTER, SENT_A), rom(SLAVE, SENT_B))
    for name, image in zip("ab", roms, strict=True):
        (tmp_path / f"{name}.gb").write_bytes(image)
    saving = [("--frames", 8, "--save-state", tmp_path / f"{name}.state") for name in "ab"]
    going_on = [("--frames", 4, "--load-state", tmp_path / f"{name}.state") for name in "ab"]
    shown = both(tmp_path, *saving)
    one, two = (GameBoy(image, engine="interpreter") for image in roms)
    with Link(one, two) as link:
        link.tick(8)
        assert [(each["cycles"], each["instructions"]) for each in shown] == [
            (gb.cycles, gb.instructions) for gb in (one, two)
        ]
        found = []
        for name, image in zip("ab", roms, strict=True):
            gb = GameBoy(image, engine="interpreter")
            gb.load_state(container.unpack((tmp_path / f"{name}.state").read_bytes()).sections["console"])
            found.append(gb)
        assert outcome((found[0], found[1])) == outcome((one, two))
        assert bytes(one.memory[0xD000:0xD020]) == SENT_B[:0x20]
        later = both(tmp_path, *going_on)
        link.run(cycles=4 * 70224)
        assert [each["instructions"] for each in later] == [one.instructions, two.instructions]


def test_a_process_that_is_killed_is_an_error_of_the_other(tmp_path: Path) -> None:
    for name, image in (("a", rom(MASTER, SENT_A)), ("b", rom(SLAVE, SENT_B))):
        (tmp_path / f"{name}.gb").write_bytes(image)
    program = """if True:
        import sys
        from tracklayer import GameBoy, Listener, Peer
        gb = GameBoy(sys.argv[1], engine="interpreter")
        with Listener() as listener:
            print(listener.address[1], flush=True)
            with Peer(gb, listener.accept(None)):
                print("joined", flush=True)
                gb.tick(1 << 30)
    """
    command = [sys.executable, "-c", program, str(tmp_path / "a.gb")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        port = first.stdout.readline().strip()
        with started(tmp_path / "b.gb", "--connect", port, "--seconds", 1e6) as second:
            assert first.stdout.readline() == "joined\n"
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(0.5)
            first.kill()
            _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert errors.startswith(f"Error: the other end, 127.0.0.1:{port}, went away")
    assert "Traceback" not in errors


def test_wrong_addresses_and_options_are_refused(command: Command, tmp_path: Path) -> None:
    for options, words in (
        (("--listen", "nowhere:x"), "HOST:PORT"),
        (("--connect", ""), "HOST:PORT"),
        (("--listen", "1", "--connect", "2"), "not both"),
        (("--listen", "1", "--wav", tmp_path / "x.wav"), "no sound"),
        (("--connect", "127.0.0.1:1", "--link-timeout", "0.1"), "cannot connect to 127.0.0.1:1"),
    ):
        result = command("run", "demo", "--engine", "interpreter", *options)
        assert result.exit_code != 0
        assert words in result.stderr
