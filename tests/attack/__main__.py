"""`make attack`: spoiled inputs through everything that reads what strangers bring."""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from tests.attack.run import run


def main() -> int:
    """Print faults and what was used; 1 if there was any fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", help="only this reader")
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        tried = run(options.mutants, options.seed, Path(folder), options.target)
    faults = [each for each in tried if each.fault]
    for each in faults:
        print(f"{each.target}: {each.way} of {each.file}: {each.fault}")
    count = collections.Counter(each.target for each in tried)
    for target, number in count.items():
        mine = [each for each in tried if each.target == target]
        refused, wrong = sum(each.refused for each in mine), sum(bool(each.fault) for each in mine)
        most = max(each.seconds for each in mine), max(each.megabytes for each in mine)
        line = f"{target:10} {number:5} mutants, {refused:4} refused, {wrong:3} faults"
        print(f"{line}, at most {most[0]:.1f} s, {most[1]:,.0f} MB")
    print(f"{len(tried)} mutants, {len(faults)} faults, {time.perf_counter() - start:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
