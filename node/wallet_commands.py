"""`keel wallet`: keys, deposits, trading, withdrawals and claims, from a command line."""

import argparse
from pathlib import Path
from typing import Any

from node import wallet_claim_commands, wallet_exit_commands, wallet_message_commands, wallet_trading_commands
from node.keys import Ed25519Key, Secp256k1Key, create_key, format_address

DESCRIPTION = """\
A whole round, from the folder that `keel init` made (or with --l1, --rollup, --key, --session, --gateway):

  keel wallet deposit 500                       500 dollars (asset 0); opens an account
  keel wallet register-key --wait               let the session key trade, transfer and withdraw
  keel wallet order sell 10 BTC --price 17.25   10 lots at 17.25 dollars a lot or better
  keel wallet cancel --slot 0
  keel wallet transfer 20 --to 7
  keel wallet withdraw 100                      into the outbox, claimable when its batch is final
  keel wallet claim                             pay out every withdrawal that is final
  keel wallet force-withdraw 100                without the sequencer
  keel wallet exit                              when the rollup is dead: end it, and be paid
  keel wallet balance
  keel wallet watch --gateway HOST:PORT         margin calls, from a follower
  keel wallet check-receipts FILE               FILE from order, cancel, transfer, withdraw with --receipts FILE

Amounts are in whole tokens, exactly: asset 0 is the quote dollar; --asset 1 is what the rollup lists next."""


def add_parser(commands: Any) -> None:
    """`keel wallet` and its verbs."""
    parser = commands.add_parser(
        "wallet",
        help="deposit, trade, withdraw, claim",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_new_parser(verbs)
    wallet_message_commands.add_parsers(verbs)
    wallet_trading_commands.add_parsers(verbs)
    wallet_claim_commands.add_parsers(verbs)
    wallet_exit_commands.add_parser(verbs)


def _add_new_parser(verbs: Any) -> None:
    new = verbs.add_parser("new", help="make a key file", description="Make a key file of mode 0600; never overwrites.")
    new.add_argument("file", type=Path)
    new.add_argument("--session", action="store_true", help="a session key (Ed25519) instead of an L1 key")
    new.set_defaults(run=run_new)


def run_new(arguments: argparse.Namespace) -> int:
    """`keel wallet new`."""
    key = create_key(arguments.file, Ed25519Key if arguments.session else Secp256k1Key)
    public = format_address(key.address) if isinstance(key, Secp256k1Key) else key.public_key.hex()
    print(f"{arguments.file}  {public}")
    return 0
