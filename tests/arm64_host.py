"""The native layer on an arm64 CPython, under qemu-aarch64: `python -m tests.arm64_host FOLDER [tests ...]`.

Puts Debian's arm64 Python and the arm64 wheels that are needed into FOLDER (once; about 350 MB, nothing is installed in
the system), and runs the tests of the native layer that know arm64 there. Needs apt-get, dpkg and qemu-aarch64 (package
qemu-user).

An emulated program cannot start another arm64 program, so `sys.executable` is a script that calls qemu again. QEMU
before 8.1 does not see code that is written through another mapping; there, pages are turned around for each write.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = ("tests/native/test_arm64.py", "tests/native/test_calls.py", "tests/native/test_assembler.py")
PACKAGES = (
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libgcc-s1", "libstdc++6",
    "libffi8", "zlib1g", "libexpat1", "libssl3", "libuuid1", "libbz2-1.0", "liblzma5", "libsqlite3-0", "libcrypt1",
)  # fmt: skip
WHEELS = ("numpy", "llvmlite>=0.50,<0.51", "iced-x86", "pytest", "pytest-timeout", "hypothesis")
ROOT = Path(__file__).resolve().parents[1]

PLUGIN = """
import os, sys
sys.executable = os.environ["ARM64_RUN"]
if os.environ["ARM64_FLIPS"]:
    from tracklayer.native import memory
    reserve = memory._reserve
    memory._reserve = lambda size, low, mode: reserve(size, low, mode or "flip")
"""


def fetch_python(folder: Path) -> None:
    """Debian's arm64 packages, unpacked side by side; this machine's own list of packages is not touched."""
    for name in ("state/lists/partial", "cache/archives/partial", "debs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "state/status").touch()
    config = folder / "apt.conf"
    config.write_text(
        'APT::Architecture "arm64";\nAPT::Architectures {"arm64";};\nAPT::Sandbox::User "root";\n'
        f'Dir::State "{folder}/state";\nDir::State::status "{folder}/state/status";\nDir::Cache "{folder}/cache";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(config)}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True)
    subprocess.run(["apt-get", "download", "-qq", *PACKAGES], env=environment, cwd=folder / "debs", check=True)
    for package in sorted((folder / "debs").glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(folder / "sysroot")], check=True)


def fetch_wheels(folder: Path) -> None:
    """The arm64 wheels, unpacked by the pip of this machine."""
    platforms = [f"--platform={kind}_aarch64" for kind in ("manylinux2014", "manylinux_2_27", "manylinux_2_28")]
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder / "site"), "--only-binary=:all:"]
    subprocess.run([*install, "--python-version=3.11", "--implementation=cp", *platforms, *WHEELS], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where all of it is put")
    parser.add_argument("tests", nargs="*", default=TESTS)
    given = parser.parse_args()
    missing = [name for name in ("apt-get", "dpkg", "qemu-aarch64") if shutil.which(name) is None]
    if missing:
        print(f"not here: {', '.join(missing)}")
        return 2
    folder = given.folder.resolve()
    if not (folder / "sysroot/usr/bin/python3.11").exists():
        fetch_python(folder)
    if not (folder / "site/pytest").exists():
        fetch_wheels(folder)
    (folder / "site/arm64_plugin.py").write_text(PLUGIN)
    run = folder / "run"
    run.write_text(f'#!/bin/sh\nexec qemu-aarch64 -L {folder}/sysroot {folder}/sysroot/usr/bin/python3.11 "$@"\n')
    run.chmod(0o755)
    version = subprocess.run(["qemu-aarch64", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)", version)
    old = found is None or (int(found[1]), int(found[2])) < (8, 1)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{folder}/site",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ARM64_RUN": str(run),
        "ARM64_FLIPS": "1" if old else "",
    }
    options = ["-p", "arm64_plugin", "-p", "no:cacheprovider", "-q", "-rs", "-o", "timeout=600"]
    return subprocess.run(
        [str(run), "-m", "pytest", *options, *given.tests], cwd=ROOT, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
