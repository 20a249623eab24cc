"""`keel audit`: reserves against liabilities, derived from L1 by whoever asks."""

import argparse
from typing import Any

from node.command_options import Chain, add_chain_options

DESCRIPTION = """\
Derive the whole state from L1, re-executing every batch, and add it up: what the contract holds of each asset, what
accounts claim of it, the insurance fund, bad debt, and the accounts that are closest to liquidation.

  keel audit --config exchange
  keel audit --l1 http://127.0.0.1:8545 --rollup 0x... --worst 20

Exit code 1: the contract holds less than is owed, an invariant does not hold, or a pending batch is wrong."""

WORST = 10


def add_parser(commands: Any) -> None:
    """`keel audit`."""
    parser = commands.add_parser(
        "audit",
        help="prove reserves and liabilities from L1",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_chain_options(parser)
    parser.add_argument("--worst", type=int, default=WORST, metavar="N", help=f"accounts to show (default: {WORST})")
    parser.set_defaults(run=run_audit)


def run_audit(arguments: argparse.Namespace) -> int:
    """`keel audit`."""
    from node import solvency_audit

    return solvency_audit.audit(Chain(arguments).rollup, arguments.worst)
