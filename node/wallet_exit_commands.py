"""`keel wallet exit`: out of a rollup that is dead, with nothing but L1."""

import argparse
from typing import TYPE_CHECKING, Any

from node.command_options import Chain
from node.wallet_options import add_verb, open_wallet, show_amount

if TYPE_CHECKING:
    from node.exit import Exit
    from node.wallet import Wallet

SUMMARY = "leave a rollup that is dead: end it, register who owes, be paid; run it again when it says so"


def add_parser(verbs: Any) -> None:
    """The verb of this file; --account names any account, to have its owner paid."""
    add_verb(verbs, "exit", SUMMARY, run_exit)


def run_exit(arguments: argparse.Namespace) -> int:
    """`keel wallet exit`: every step that is due and that nobody has done yet."""
    from node.exit import Exit, format_time

    chain = Chain(arguments)
    with open_wallet(chain) as wallet:
        leaving = Exit(chain.rollup, wallet.sender, print)
        leaving.end()
        leaving.open()
        leaving.refund_deposits()
        if leaving.is_registering():
            count = leaving.register_debtors()
            print(f"{count} debtors, all registered")
            print(f"claims are paid from {format_time(leaving.registered_until)}: run `keel wallet exit` again then")
        else:
            leaving.claim([arguments.account] if arguments.account else leaving.list_own_accounts())
        for index in wallet.list_claims(leaving.final):
            wallet.claim(leaving.final, index)
        _collect(wallet, leaving)
    return 0


def _collect(wallet: "Wallet", leaving: "Exit") -> None:
    """Everything that stands to the key's credit, of each asset."""
    assets = [wallet.rollup.get_asset(number) for number in range(len(leaving.final.get_params().assets))]
    for asset in {asset.token: asset for asset in assets}.values():
        units = wallet.get_credit(asset.token) // asset.unit
        if wallet.collect(asset.token) is not None:
            print(f"collected {show_amount(wallet, asset, units)}")
