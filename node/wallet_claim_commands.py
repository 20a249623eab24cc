"""`keel wallet` afterwards: claims on L1, balances, and receipts held against what was posted."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.amounts import DOLLAR, ETHER, format_amount
from node.command_options import Chain
from node.instrument_names import format_instrument
from node.keys import format_address, parse_address
from node.wallet_options import add_verb, open_wallet, show_amount
from state.leaves import Account

if TYPE_CHECKING:
    from node.rollup import BridgedAsset
    from node.wallet import Wallet


def add_parsers(verbs: Any) -> None:
    """The verbs of this file."""
    claim = add_verb(verbs, "claim", "pay out every withdrawal that is final", run_claim)
    claim.add_argument("--index", metavar="N", type=int, action="append", help="this one only, as for a bought claim")
    sell = add_verb(verbs, "transfer-claim", "hand a final withdrawal on to another address", run_transfer_claim)
    sell.add_argument("index", type=int, help="of the withdrawal in the outbox")
    sell.add_argument("to", help="the address that shall be paid")
    add_verb(verbs, "balance", "what the key holds on L1, in its accounts, and on the way out", run_balance)
    _add_check_parser(verbs)


def run_claim(arguments: argparse.Namespace) -> int:
    """`keel wallet claim`."""
    chain = Chain(arguments)
    with open_wallet(chain) as wallet:
        final = wallet.read_final_state()
        indices = arguments.index or wallet.list_claims(final)
        tokens: dict[bytes, BridgedAsset] = {}
        for index in indices:
            withdrawal, mined = final.require_withdrawal(index), wallet.claim(final, index)
            asset = wallet.rollup.get_asset(withdrawal.asset)
            tokens[asset.token] = asset
            print(f"withdrawal {index}: {show_amount(wallet, asset, withdrawal.amount)}, {mined.gas_used:,} gas")
        if not indices:
            print("nothing to claim: no unclaimed withdrawal of this key stands in a final batch")
        for token in tokens:
            collected = wallet.collect(token)
            if collected is not None:
                print(f"collected {'ether' if not any(token) else format_address(token)}, {collected.gas_used:,} gas")
    return 0


def run_transfer_claim(arguments: argparse.Namespace) -> int:
    """`keel wallet transfer-claim`."""
    to = parse_address(arguments.to, "to")
    chain = Chain(arguments)
    with open_wallet(chain) as wallet:
        leaf = wallet.read_final_state().require_withdrawal(arguments.index)
        mined = wallet.transfer_claim(arguments.index, leaf, to)
        print(f"withdrawal {arguments.index} now pays {arguments.to}, {mined.gas_used:,} gas")
    return 0


def run_balance(arguments: argparse.Namespace) -> int:
    """`keel wallet balance`."""
    chain = Chain(arguments)
    with open_wallet(chain) as wallet:
        rollup = wallet.rollup
        ether = format_amount(chain.l1.get_balance(wallet.address), ETHER)
        print(f"{format_address(wallet.address)}: {ether} ether on L1")
        final = wallet.read_final_state()
        assets = [rollup.get_asset(n) for n in range(len(final.get_params().assets))]
        for asset in assets:
            if credit := wallet.get_credit(asset.token):
                print(f"to collect: {show_amount(wallet, asset, credit // asset.unit)}")
        for index in wallet.list_claims(final):
            withdrawal = final.require_withdrawal(index)
            amount = show_amount(wallet, assets[withdrawal.asset], withdrawal.amount)
            print(f"to claim: {amount} (withdrawal {index})")
        for number, account in final.find_accounts(wallet.address):
            _print_account(wallet, assets, final.list_symbols(), number, account)
        print(f"as of batch {final.replica.tip}, the last final one")
    return 0


def _print_account(
    wallet: "Wallet", assets: "list[BridgedAsset]", symbols: list[str], number: int, account: Account
) -> None:
    print(f"account {number}: {format_amount(account.cash, DOLLAR)} dollars of cash, {len(account.keys)} session keys")
    for asset, amount in account.collateral:
        print(f"  {show_amount(wallet, assets[asset], amount)}")
    for instrument, quantity in account.positions:
        print(f"  {quantity:+d} lots of {format_instrument(instrument, symbols)}")


# Receipts


def _add_check_parser(verbs: Any) -> None:
    summary = "hold receipts against L1, and take the bond of whoever broke his word (exits with 1 then)"
    check = add_verb(verbs, "check-receipts", summary, run_check)
    check.add_argument("file", metavar="FILE", type=Path, help="that --receipts has filled")
    check.add_argument("--dry-run", action="store_true", help="say what was found, and send nothing")


def run_check(arguments: argparse.Namespace) -> int:
    """`keel wallet check-receipts`: each key that broke its word is slashed once, and half of its bond collected."""
    from node.receipt_check import find_contradictions, read_receipts

    chain = Chain(arguments)
    kept = read_receipts(arguments.file, chain.rollup.get_domain())
    found = find_contradictions(chain.rollup, kept)
    for one in found:
        print(f"{one}, signed by {format_address(one.kept.signer)}")
    print(f"{len(kept)} receipts, {len(found)} contradicted")
    if found and not arguments.dry_run:
        with open_wallet(chain) as wallet:
            for one in {one.kept.signer: one for one in found}.values():
                print(f"slashed {format_address(one.kept.signer)}, {wallet.contradict(one.proof).gas_used:,} gas")
            wallet.collect(bytes(20))
    return 1 if found else 0
