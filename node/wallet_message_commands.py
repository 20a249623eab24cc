"""`keel wallet` through L1: deposits, session keys, and what works against a sequencer's will."""

import argparse
import math
from typing import TYPE_CHECKING, Any

import trio

from node.amounts import parse_amount
from node.client import open_client
from node.command_options import Chain
from node.errors import ConfigError
from node.keys import load_session_key
from node.session import fetch_globals
from node.wallet_options import (
    add_amount,
    add_verb,
    find_accounts,
    get_session_path,
    get_units_per_token,
    open_wallet,
    require_account,
)
from state.constants import NEVER
from state.leaves import SCOPE_TRADE, SCOPE_TRANSFER, SCOPE_WITHDRAW, SessionKey

if TYPE_CHECKING:
    from node.wallet import SentMessage

SCOPES = {"trade": SCOPE_TRADE, "transfer": SCOPE_TRANSFER, "withdraw": SCOPE_WITHDRAW}
WAIT_SECONDS = 300


def add_parsers(verbs: Any) -> None:
    """The verbs of this file."""
    deposit = add_verb(verbs, "deposit", "move tokens from L1 into an account; the first opens it", run_deposit)
    add_amount(deposit)
    deposit.add_argument("--new-account", action="store_true", help="open another account")
    _add_wait(deposit)
    register = add_verb(verbs, "register-key", "let a session key sign for the account", run_register_key)
    register.add_argument("--public-key", metavar="HEX", help="another key than the session file's")
    register.add_argument("--scope", default="trade,transfer,withdraw", help="what it may do (default: everything)")
    register.add_argument("--revoke", action="store_true", help="take the key away instead")
    _add_wait(register)
    force = add_verb(verbs, "force-withdraw", "withdraw through L1, with or without the sequencer", run_force_withdraw)
    add_amount(force)
    add_verb(verbs, "cancel-all", "kill every order the account has signed, through L1", run_cancel_all)
    close = add_verb(verbs, "force-close", "have all positions sold by auction, through L1", run_force_close)
    close.add_argument("--off", action="store_true", help="call it off")
    liquidate = add_verb(verbs, "force-liquidate", "have an account short of margin auctioned", run_force_liquidate)
    liquidate.add_argument("target", type=int, metavar="ACCOUNT", help="anybody's account")


def _add_wait(parser: Any) -> None:
    parser.add_argument("--wait", action="store_true", help="until the sequencer has taken it")


def run_deposit(arguments: argparse.Namespace) -> int:
    """`keel wallet deposit`."""
    chain = Chain(arguments)
    amount = parse_amount(arguments.amount, get_units_per_token(chain, arguments.asset))
    with open_wallet(chain) as wallet:
        account = 0 if arguments.new_account or not find_accounts(chain, wallet) else require_account(chain, wallet)
        sent = wallet.deposit(arguments.asset, amount, account)
        _report_message(sent, f"deposit of {arguments.amount}")
        if arguments.wait:
            _wait_for_message(chain, sent)
    return 0


def run_register_key(arguments: argparse.Namespace) -> int:
    """`keel wallet register-key`."""
    chain = Chain(arguments)
    key = SessionKey(_get_public_key(chain), _parse_scope(arguments.scope), 0 if arguments.revoke else NEVER)
    with open_wallet(chain) as wallet:
        sent = wallet.register_key(require_account(chain, wallet), key)
        _report_message(sent, f"{'revocation' if arguments.revoke else 'registration'} of {key.public_key.hex()}")
        if arguments.wait:
            _wait_for_message(chain, sent)
    return 0


def run_force_withdraw(arguments: argparse.Namespace) -> int:
    """`keel wallet force-withdraw`."""
    chain = Chain(arguments)
    amount = parse_amount(arguments.amount, get_units_per_token(chain, arguments.asset))
    with open_wallet(chain) as wallet:
        sent = wallet.force_withdraw(require_account(chain, wallet), arguments.asset, amount)
        _report_message(sent, f"forced withdrawal of {arguments.amount}")
        seconds = wallet.rollup.get_terms().inbox_deadline
        print(f"the sequencer must take it within {seconds} s; then wait for finality and `keel wallet claim`")
    return 0


def run_cancel_all(arguments: argparse.Namespace) -> int:
    """`keel wallet cancel-all`."""
    chain = Chain(arguments)
    with open_wallet(chain) as wallet:
        _report_message(wallet.cancel_all(require_account(chain, wallet)), "cancel-all")
    return 0


def run_force_close(arguments: argparse.Namespace) -> int:
    """`keel wallet force-close`."""
    chain = Chain(arguments)
    with open_wallet(chain) as wallet:
        sent = wallet.force_close(require_account(chain, wallet), not arguments.off)
        _report_message(sent, "forced close called off" if arguments.off else "forced close")
        if not arguments.off:
            print("trade out of your positions meanwhile; what is left after the rollup's delay goes to whoever bids")
    return 0


def run_force_liquidate(arguments: argparse.Namespace) -> int:
    """`keel wallet force-liquidate`."""
    chain = Chain(arguments)
    with open_wallet(chain) as wallet:
        _report_message(wallet.force_liquidate(arguments.target), f"liquidation of account {arguments.target}")
    return 0


def run_bid_through_l1(arguments: argparse.Namespace, slice_ppm: int, discount_min: int) -> int:
    """`keel wallet bid --through-l1`."""
    from node.wallet import BidTerms

    chain = Chain(arguments)
    with open_wallet(chain) as wallet:
        account = require_account(chain, wallet)
        sequence = wallet.read_state().get_sequence(account) + 1
        terms = BidTerms(sequence, arguments.target, slice_ppm, discount_min, NEVER)
        _report_message(wallet.bid(account, terms), f"bid for account {arguments.target}")
        seconds = wallet.rollup.get_terms().inbox_deadline
        print(f"the sequencer must take it within {seconds} s, at prices that are young now; it may still fail")
    return 0


def _report_message(sent: "SentMessage", what: str) -> None:
    print(f"{what}: message {sent.index}, in L1 block {sent.mined.block}, {sent.mined.gas_used:,} gas")


def _wait_for_message(chain: Chain, sent: "SentMessage") -> None:
    """Until the sequencer has taken the message. Raises ConfigError after WAIT_SECONDS."""

    async def run() -> bool:
        async with open_client(*chain.require_gateway()) as client:
            for _ in range(math.ceil(WAIT_SECONDS / chain.poll_seconds)):
                if (await fetch_globals(client)).inbox_cursor > sent.index:
                    return True
                await trio.sleep(chain.poll_seconds)
        return False

    if not trio.run(run):
        raise ConfigError(f"message {sent.index} was not taken within {WAIT_SECONDS} s; L1 will force it in, but late")
    print(f"message {sent.index} is taken")


# Reading arguments


def _get_public_key(chain: Chain) -> bytes:
    named: str | None = chain.arguments.public_key
    if named is None:
        return load_session_key(get_session_path(chain)).public_key
    try:
        public_key = bytes.fromhex(named.removeprefix("0x"))
    except ValueError:
        public_key = b""
    if len(public_key) != 32:
        raise ConfigError(f"--public-key: {named!r} will not do; write 64 hexadecimal digits")
    return public_key


def _parse_scope(text: str) -> int:
    words = text.split(",")
    for word in words:
        if word not in SCOPES:
            raise ConfigError(f"--scope: {word!r} will not do; write some of {','.join(SCOPES)}, with commas between")
    return sum({SCOPES[word] for word in words})
