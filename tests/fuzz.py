"""`make fuzz MINUTES=…`: random histories before both judges, one seed after the other, until the time is over.

Each round is tests/parity with a seed of its own, so that a failure is replayed by the command that it prints.
"""

import argparse
import random
import sys
import time

import pytest

ROUND = ["tests/parity/test_honest_steps.py", "tests/parity/test_wrong_steps.py", "-q", "-x", "--no-header"]


def main() -> int:
    """0 when no round has failed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="a round that has begun is finished")
    parser.add_argument("--seed", type=int, help="of the seeds; drawn when left out")
    arguments = parser.parse_args()
    first = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    seeds, ends, rounds = random.Random(first), time.monotonic() + 60 * arguments.minutes, 0
    print(f"fuzz: seed {first}", flush=True)
    while time.monotonic() < ends:
        seed = seeds.randrange(1 << 32)
        if pytest.main([*ROUND, "--seed", str(seed)]) != 0:
            print(f"fuzz: round {rounds + 1} failed; replay it with: pytest {' '.join(ROUND)} --seed {seed}")
            return 1
        rounds += 1
    print(f"fuzz: {rounds} rounds, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
