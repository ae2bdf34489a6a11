"""`make attack`: spoiled inputs through everything that reads what strangers bring."""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from tests.attack.harness import Tried
from tests.attack.kills import JOBS, Killed, kills
from tests.attack.run import run


def main() -> int:
    """Print faults and what was used; 1 if there was any fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=20, help="of each kind of work")
    parser.add_argument("--target", action="append", help="only this reader")
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        tried = run(options.mutants, options.seed, Path(folder), options.target)
    faults: list[Tried | Killed] = [each for each in tried if each.fault]
    for each in (each for each in tried if each.fault):
        print(f"{each.target}: {each.way} of {each.file}: {each.fault}")
    count = collections.Counter(each.target for each in tried)
    for target, number in count.items():
        mine = [each for each in tried if each.target == target]
        refused, wrong = sum(each.refused for each in mine), sum(bool(each.fault) for each in mine)
        most = max(each.seconds for each in mine), max(each.megabytes for each in mine)
        line = f"{target:10} {number:5} mutants, {refused:4} refused, {wrong:3} faults"
        print(f"{line}, at most {most[0]:.1f} s, {most[1]:,.0f} MB")
    for job in JOBS if options.target is None else ():
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            killed = kills(job, options.kills, options.seed, Path(folder))
        wrong = [each for each in killed if each.fault]
        print(
            f"{job:15} killed {len(killed)} times, {len(wrong)} faults", *(f"{e.moment:.2f}: {e.fault}" for e in wrong)
        )
        faults += wrong
    print(f"{len(tried)} mutants, {len(faults)} faults, {time.perf_counter() - start:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
