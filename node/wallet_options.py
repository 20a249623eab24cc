"""What the wallet's commands share: their options, and what is opened and found from them."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from node.amounts import format_amount
from node.client import GatewayAddress, GatewayUnreachable, open_client
from node.command_options import Chain, add_chain_options, add_gateway_options, add_key_option
from node.errors import CallReverted, ConfigError
from node.gateway import MethodError
from node.keys import format_address
from state.codec import Value
from state.constants import ACCOUNTS_MAX

if TYPE_CHECKING:
    from node.rollup import BridgedAsset
    from node.wallet import Wallet

# Options


def add_verb(verbs: Any, name: str, summary: str, run: Callable[[argparse.Namespace], int]) -> Any:
    """One verb of the wallet, with the options that all of them have."""
    parser = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    add_chain_options(parser)
    add_key_option(parser)
    parser.add_argument("--session", metavar="FILE", type=Path, help="key file of the session")
    add_gateway_options(parser)
    parser.add_argument(
        "--account", metavar="N", type=parse_account, default=0, help="which account (default: the only one)"
    )
    parser.set_defaults(run=run)
    return parser


def add_amount(parser: Any) -> None:
    """How much of which asset."""
    parser.add_argument("amount", help="in whole tokens, as in 12.5")
    parser.add_argument("--asset", metavar="N", type=int, default=0, help="which asset (default: 0, the dollar)")


def parse_account(text: str) -> int:
    """An account's number, from the command line."""
    if not text.isdigit() or not 1 <= int(text) < ACCOUNTS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not an account; write a number from 1 to {ACCOUNTS_MAX - 1}")
    return int(text)


# What they name


def open_wallet(chain: Chain) -> "Wallet":
    """The wallet's L1 side; a context manager."""
    from node.wallet import Wallet

    return Wallet(chain.rollup, chain.open_sender(is_wallet=True))


def get_session_path(chain: Chain) -> Path:
    """The session's key file. Raises ConfigError when nothing names one."""
    if chain.arguments.session:
        return Path(chain.arguments.session)
    if chain.config is None:
        raise ConfigError("no session key: give --session FILE, made with `keel wallet new FILE --session`")
    return chain.config.keys.session


def get_units_per_token(chain: Chain, number: int) -> int:
    """Of an asset. Raises ConfigError when it is not listed."""
    try:
        return chain.rollup.get_units_per_token(chain.rollup.get_asset(number))
    except CallReverted as error:
        raise ConfigError(f"--asset: the rollup lists no asset {number}") from error


# Accounts


def require_account(chain: Chain, wallet: "Wallet") -> int:
    """The named account, or the address's only one. Raises ConfigError when there is none, or a choice."""
    found = find_accounts(chain, wallet)
    if len(found) != 1:
        owner = format_address(wallet.address)
        if not found:
            raise ConfigError(f"{owner} has no account: deposit first, and wait until the sequencer has taken it")
        raise ConfigError(f"{owner} has accounts {', '.join(map(str, found))}: name one with --account")
    return found[0]


def find_accounts(chain: Chain, wallet: "Wallet") -> list[int]:
    """The named account, else all of the wallet's address: as a gateway shows them, and as L1 does when none answers.

    A sequencer that hides an account, or makes one up, gains nothing: L1 asks for the owner's own signature.
    """
    if chain.arguments.account:
        return [int(chain.arguments.account)]
    with suppress(ConfigError, GatewayUnreachable, MethodError):
        found = trio.run(_ask_accounts, chain.require_gateway(), wallet.address)
        if isinstance(found, list):
            return [account for account in found if isinstance(account, int)]
    return [number for number, _ in wallet.read_state().find_accounts(wallet.address)]


async def _ask_accounts(gateway: GatewayAddress, owner: bytes) -> Value:
    async with open_client(*gateway) as client:
        return await client.call("accounts_of", owner)


# For people


def show_amount(wallet: "Wallet", asset: "BridgedAsset", units: int) -> str:
    """Units of an asset in whole tokens."""
    token = "ether" if not any(asset.token) else f"of {format_address(asset.token)}"
    return f"{format_amount(units, wallet.rollup.get_units_per_token(asset))} {token}"
