"""`python -m tests.torture`: kill a node's processes again and again, at every kind of write, and audit what is left.

Ends with a table of what was hit, and with status 1 when anything was lost, or when some kind was not hit often enough.
"""

import argparse
import secrets
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from node.anvil import run_anvil
from tests.torture.audit import Lost
from tests.torture.campaign import Campaign, run_campaign
from tests.torture.site import build_site, keep_no_process

MINUTES = 18
PEOPLE = 8


def main(words: list[str]) -> int:
    """Run a campaign; 0 when nothing was lost and everything was hit."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="replay the draws of an earlier run")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="stop then, whatever is missing")
    parser.add_argument("--hits", type=int, default=5, help="how often each kind must be hit")
    arguments = parser.parse_args(words)
    print(f"seed: {arguments.seed} (replay with --seed {arguments.seed})", flush=True)
    began = time.monotonic()
    with TemporaryDirectory(prefix="keel-torture-") as name, run_anvil(block_seconds=1) as anvil:
        site = build_site(Path(name) / "site", anvil, PEOPLE)
        with keep_no_process(site):
            campaign = Campaign(site, arguments.seed, arguments.hits, began + 60 * arguments.minutes, print_line)
            lost: list[BaseException] = []
            try:
                trio.run(run_campaign, campaign)
            except* Lost as group:
                lost += group.exceptions
    for error in lost:
        print(f"LOST: {error} (replay the draws with --seed {arguments.seed})")
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if lost or not campaign.is_complete else 0


def print_line(line: str) -> None:
    """Progress, as it happens."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
