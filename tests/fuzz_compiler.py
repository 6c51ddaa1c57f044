"""Made-up typed functions, compiled and under CPython: `python -m tests.fuzz_compiler --minutes 10 [--seed N]`.

Every difference is printed with its seed and its program; the exit status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.compiler import fuzz, generate


def main() -> int:
    """Run until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first program; by default another each time")
    parser.add_argument("--count", type=int, default=1 << 60, help="stop after so many programs")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 40)
    end = time.monotonic() + options.minutes * 60
    refused: collections.Counter[str] = collections.Counter()
    done = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end and done < options.count:
            text = generate.program(random.Random(seed + done))
            try:
                fuzz.check(text, Path(folder))
            except fuzz.Refused as refusal:
                refused[str(refusal).split("..")[-1]] += 1
            except Exception as error:
                wrong += 1
                print(f"--- seed {seed + done}: {type(error).__name__}: {error}")
                if not isinstance(error, fuzz.Mismatch):
                    print(text)
            done += 1
    print(f"{done} programs from seed {seed}, {wrong} wrong, {sum(refused.values())} refused")
    for reason, count in refused.most_common(8):
        print(f"  {count:5} {reason}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
