"""`keel wallet`: keys, deposits, trading, withdrawals and claims, from a command line."""

import argparse
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from node.amounts import DOLLAR, ETHER, format_amount, parse_amount
from node.client import Client, GatewayUnreachable, open_client
from node.command_options import Chain, add_chain_options, add_key_option
from node.config import parse_host_port
from node.errors import CallReverted, ConfigError
from node.gateway import MethodError
from node.keys import (
    Ed25519Key,
    Secp256k1Key,
    create_key,
    format_address,
    load_ethereum_key,
    load_session_key,
    parse_address,
)
from node.session import Answer, Session, fetch_globals, fetch_underlyings, open_session
from state.codec import Value
from state.constants import ACCOUNTS_MAX, NEVER, PRICE_MAX, QUANTITY_MAX, SLOTS_PER_ACCOUNT
from state.leaves import (
    FLAG_POST_ONLY,
    FLAG_REDUCE_ONLY,
    SCOPE_TRADE,
    SCOPE_TRANSFER,
    SCOPE_WITHDRAW,
    Account,
    SessionKey,
    perpetual,
)

if TYPE_CHECKING:
    from node.rollup import BridgedAsset
    from node.wallet import SentMessage, Wallet

SCOPES = {"trade": SCOPE_TRADE, "transfer": SCOPE_TRANSFER, "withdraw": SCOPE_WITHDRAW}
WAIT_SECONDS = 300

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
  keel wallet balance
  keel wallet check-receipts FILE               FILE from order, cancel, transfer, withdraw with --receipts FILE

Amounts are in whole tokens, exactly: asset 0 is the quote dollar; --asset 1 is what the rollup lists next."""

SendFromSession = Callable[[Session, Client], Awaitable[Answer]]


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
    _add_l1_parsers(verbs)
    _add_trading_parsers(verbs)
    _add_claim_parsers(verbs)
    _add_check_parser(verbs)


def _add_verb(verbs: Any, name: str, summary: str, run: Callable[[argparse.Namespace], int]) -> Any:
    parser = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    add_chain_options(parser)
    add_key_option(parser)
    parser.add_argument("--session", metavar="FILE", type=Path, help="key file of the session")
    parser.add_argument("--gateway", metavar="HOST:PORT", help="the sequencer's gateway (default: as configured)")
    parser.add_argument(
        "--account", metavar="N", type=_account, default=0, help="which account (default: the only one)"
    )
    parser.set_defaults(run=run)
    return parser


def _add_amount(parser: Any) -> None:
    parser.add_argument("amount", help="in whole tokens, as in 12.5")
    parser.add_argument("--asset", metavar="N", type=int, default=0, help="which asset (default: 0, the dollar)")


# Keys


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


# Through L1


def _add_l1_parsers(verbs: Any) -> None:
    deposit = _add_verb(verbs, "deposit", "move tokens from L1 into an account; the first opens it", run_deposit)
    _add_amount(deposit)
    deposit.add_argument("--new-account", action="store_true", help="open another account")
    _add_wait(deposit)
    register = _add_verb(verbs, "register-key", "let a session key sign for the account", run_register_key)
    register.add_argument("--public-key", metavar="HEX", help="another key than the session file's")
    register.add_argument("--scope", default="trade,transfer,withdraw", help="what it may do (default: everything)")
    register.add_argument("--revoke", action="store_true", help="take the key away instead")
    _add_wait(register)
    force = _add_verb(verbs, "force-withdraw", "withdraw through L1, with or without the sequencer", run_force_withdraw)
    _add_amount(force)
    _add_verb(verbs, "cancel-all", "kill every order the account has signed, through L1", run_cancel_all)


def _add_wait(parser: Any) -> None:
    parser.add_argument("--wait", action="store_true", help="until the sequencer has taken it")


def run_deposit(arguments: argparse.Namespace) -> int:
    """`keel wallet deposit`."""
    chain = Chain(arguments)
    amount = parse_amount(arguments.amount, _get_units_per_token(chain, arguments.asset))
    with _open_wallet(chain) as wallet:
        account = 0 if arguments.new_account or not _find_accounts(chain, wallet) else _require_account(chain, wallet)
        sent = wallet.deposit(arguments.asset, amount, account)
        _report_message(sent, f"deposit of {arguments.amount}")
        if arguments.wait:
            _wait_for_message(chain, sent)
    return 0


def run_register_key(arguments: argparse.Namespace) -> int:
    """`keel wallet register-key`."""
    chain = Chain(arguments)
    key = SessionKey(_get_public_key(chain), _parse_scope(arguments.scope), 0 if arguments.revoke else NEVER)
    with _open_wallet(chain) as wallet:
        sent = wallet.register_key(_require_account(chain, wallet), key)
        _report_message(sent, f"{'revocation' if arguments.revoke else 'registration'} of {key.public_key.hex()}")
        if arguments.wait:
            _wait_for_message(chain, sent)
    return 0


def run_force_withdraw(arguments: argparse.Namespace) -> int:
    """`keel wallet force-withdraw`."""
    chain = Chain(arguments)
    amount = parse_amount(arguments.amount, _get_units_per_token(chain, arguments.asset))
    with _open_wallet(chain) as wallet:
        sent = wallet.force_withdraw(_require_account(chain, wallet), arguments.asset, amount)
        _report_message(sent, f"forced withdrawal of {arguments.amount}")
        seconds = wallet.rollup.get_terms().inbox_deadline
        print(f"the sequencer must take it within {seconds} s; then wait for finality and `keel wallet claim`")
    return 0


def run_cancel_all(arguments: argparse.Namespace) -> int:
    """`keel wallet cancel-all`."""
    chain = Chain(arguments)
    with _open_wallet(chain) as wallet:
        _report_message(wallet.cancel_all(_require_account(chain, wallet)), "cancel-all")
    return 0


def _report_message(sent: "SentMessage", what: str) -> None:
    print(f"{what}: message {sent.index}, in L1 block {sent.mined.block}, {sent.mined.gas_used:,} gas")


# Through the gateway


def _add_trading_parsers(verbs: Any) -> None:
    order = _add_verb(verbs, "order", "buy or sell; an order replaces the one that lives in its slot", run_order)
    order.add_argument("side", choices=["buy", "sell"])
    order.add_argument("size", type=int, help="lots")
    order.add_argument("underlying", help="symbol, as in BTC")
    order.add_argument("--price", required=True, help="limit, dollars a lot")
    order.add_argument("--post-only", action="store_true", help="refuse it rather than trade at once")
    order.add_argument("--reduce-only", action="store_true", help="never grow the position")
    order.add_argument("--seconds", type=int, default=600, help="how long it lives (default: 600)")
    order.add_argument("--max-fee-ppm", type=int, default=10_000, help="most that it pays, of the notional")
    cancel = _add_verb(verbs, "cancel", "kill what lives in a slot", run_cancel)
    for parser in (order, cancel):
        parser.add_argument("--slot", type=_slot, default=0, help=f"0 to {SLOTS_PER_ACCOUNT - 1} (default: 0)")
    transfer = _add_verb(verbs, "transfer", "move tokens to another account", run_transfer)
    transfer.add_argument("--to", type=_account, required=True, help="the other account's number")
    _add_amount(transfer)
    withdraw = _add_verb(verbs, "withdraw", "move tokens to the outbox, for L1", run_withdraw)
    _add_amount(withdraw)
    for parser in (order, cancel, transfer, withdraw):
        parser.add_argument("--receipts", metavar="FILE", type=Path, help="append the receipt, for check-receipts")


def run_order(arguments: argparse.Namespace) -> int:
    """`keel wallet order`."""
    price = parse_amount(arguments.price, DOLLAR, "--price")
    if not 1 <= arguments.size <= QUANTITY_MAX or not 1 <= price <= PRICE_MAX:
        raise ConfigError(f"size goes from 1 to {QUANTITY_MAX} lots, the price up to {PRICE_MAX // DOLLAR} dollars")
    flags = (FLAG_POST_ONLY if arguments.post_only else 0) | (FLAG_REDUCE_ONLY if arguments.reduce_only else 0)

    async def send(session: Session, client: Client) -> Answer:
        symbols = [leaf.symbol.rstrip(b"\0").decode() for leaf in await fetch_underlyings(client)]
        if arguments.underlying not in symbols:
            raise ConfigError(f"{arguments.underlying} is not listed; listed are: {', '.join(symbols)}")
        instrument = perpetual(symbols.index(arguments.underlying))
        size = arguments.size if arguments.side == "buy" else -arguments.size
        return await session.order(
            instrument,
            size,
            price,
            slot=arguments.slot,
            flags=flags,
            seconds=arguments.seconds,
            max_fee_ppm=arguments.max_fee_ppm,
        )

    answer = _send_from_session(Chain(arguments), send)
    resting = f", {arguments.size - answer.filled} rest in slot {arguments.slot}"
    print(f"accepted at {_describe(answer)}: {answer.filled} lots traded at once{resting}")
    return 0


def run_cancel(arguments: argparse.Namespace) -> int:
    """`keel wallet cancel`."""

    async def send(session: Session, _: Client) -> Answer:
        return await session.cancel(arguments.slot)

    print(f"slot {arguments.slot} is empty from {_describe(_send_from_session(Chain(arguments), send))} on")
    return 0


def run_transfer(arguments: argparse.Namespace) -> int:
    """`keel wallet transfer`."""
    chain = Chain(arguments)
    amount = parse_amount(arguments.amount, _get_units_per_token(chain, arguments.asset))

    async def send(session: Session, _: Client) -> Answer:
        return await session.transfer(arguments.to, arguments.asset, amount)

    answer = _send_from_session(chain, send)
    print(f"{arguments.amount} moved to account {arguments.to} at {_describe(answer)}")
    return 0


def run_withdraw(arguments: argparse.Namespace) -> int:
    """`keel wallet withdraw`."""
    chain = Chain(arguments)
    amount = parse_amount(arguments.amount, _get_units_per_token(chain, arguments.asset))

    async def send(session: Session, _: Client) -> Answer:
        return await session.withdraw(arguments.asset, amount)

    answer = _send_from_session(chain, send)
    print(f"{arguments.amount} moved to the outbox at {_describe(answer)}; `keel wallet claim` when the batch is final")
    return 0


def _send_from_session(chain: Chain, send: SendFromSession) -> Answer:
    """Connect, find account and key, send one op; the receipt must be the slot holder's."""
    from node.receipt_check import format_receipt

    domain, key = chain.rollup.get_domain(), load_session_key(_get_session_path(chain))
    owner = b"" if chain.arguments.account else load_ethereum_key(chain.get_key_path(is_wallet=True)).address
    holder = chain.rollup.get_slot_holder()

    async def run() -> Answer:
        async with open_client(*_get_gateway(chain)) as client:
            session = await open_session(client, domain, key, owner, chain.arguments.account, holder)
            return await send(session, client)

    answer = trio.run(run)
    if chain.arguments.receipts:
        with open(chain.arguments.receipts, "a") as file:
            print(format_receipt(answer.receipt, answer.request), file=file)
    return answer


def _describe(answer: Answer) -> str:
    body = answer.receipt.body
    return f"log position {body.position} of generation {body.generation}"


# Claims and balances


def _add_claim_parsers(verbs: Any) -> None:
    claim = _add_verb(verbs, "claim", "pay out every withdrawal that is final", run_claim)
    claim.add_argument("--index", metavar="N", type=int, action="append", help="this one only, as for a bought claim")
    sell = _add_verb(verbs, "transfer-claim", "hand a final withdrawal on to another address", run_transfer_claim)
    sell.add_argument("index", type=int, help="of the withdrawal in the outbox")
    sell.add_argument("to", help="the address that shall be paid")
    _add_verb(verbs, "balance", "what the key holds on L1, in its accounts, and on the way out", run_balance)


def run_claim(arguments: argparse.Namespace) -> int:
    """`keel wallet claim`."""
    chain = Chain(arguments)
    with _open_wallet(chain) as wallet:
        final = wallet.read_final_state()
        indices = arguments.index or wallet.list_claims(final)
        tokens: dict[bytes, BridgedAsset] = {}
        for index in indices:
            withdrawal, mined = final.require_withdrawal(index), wallet.claim(final, index)
            asset = wallet.rollup.get_asset(withdrawal.asset)
            tokens[asset.token] = asset
            print(f"withdrawal {index}: {_show(wallet, asset, withdrawal.amount)}, {mined.gas_used:,} gas")
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
    with _open_wallet(chain) as wallet:
        leaf = wallet.read_final_state().require_withdrawal(arguments.index)
        mined = wallet.transfer_claim(arguments.index, leaf, to)
        print(f"withdrawal {arguments.index} now pays {arguments.to}, {mined.gas_used:,} gas")
    return 0


def run_balance(arguments: argparse.Namespace) -> int:
    """`keel wallet balance`."""
    chain = Chain(arguments)
    with _open_wallet(chain) as wallet:
        rollup = wallet.rollup
        ether = format_amount(chain.l1.get_balance(wallet.address), ETHER)
        print(f"{format_address(wallet.address)}: {ether} ether on L1")
        final = wallet.read_final_state()
        assets = [rollup.get_asset(n) for n in range(len(final.get_params().assets))]
        for asset in assets:
            if credit := wallet.get_credit(asset.token):
                print(f"to collect: {_show(wallet, asset, credit // asset.unit)}")
        for index in wallet.list_claims(final):
            withdrawal = final.require_withdrawal(index)
            amount = _show(wallet, assets[withdrawal.asset], withdrawal.amount)
            print(f"to claim: {amount} (withdrawal {index})")
        for number, account in final.find_accounts(wallet.address):
            _print_account(wallet, assets, number, account)
        print(f"as of batch {final.replica.tip}, the last final one")
    return 0


def _print_account(wallet: "Wallet", assets: "list[BridgedAsset]", number: int, account: Account) -> None:
    print(f"account {number}: {format_amount(account.cash, DOLLAR)} dollars of cash, {len(account.keys)} session keys")
    for asset, amount in account.collateral:
        print(f"  {_show(wallet, assets[asset], amount)}")
    for instrument, quantity in account.positions:
        print(f"  {quantity:+d} lots of the perpetual on underlying {instrument.underlying}")


# Receipts


def _add_check_parser(verbs: Any) -> None:
    summary = "hold receipts against L1, and take the bond of whoever broke his word (exits with 1 then)"
    check = _add_verb(verbs, "check-receipts", summary, run_check)
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
        with _open_wallet(chain) as wallet:
            for one in {one.kept.signer: one for one in found}.values():
                print(f"slashed {format_address(one.kept.signer)}, {wallet.contradict(one.proof).gas_used:,} gas")
            wallet.collect(bytes(20))
    return 1 if found else 0


# Opening things


def _open_wallet(chain: Chain) -> "Wallet":
    from node.wallet import Wallet

    return Wallet(chain.rollup, chain.open_sender(is_wallet=True))


def _get_session_path(chain: Chain) -> Path:
    if chain.arguments.session:
        return Path(chain.arguments.session)
    if chain.config is None:
        raise ConfigError("no session key: give --session FILE, made with `keel wallet new FILE --session`")
    return chain.config.keys.session


def _get_public_key(chain: Chain) -> bytes:
    named: str | None = chain.arguments.public_key
    if named is None:
        return load_session_key(_get_session_path(chain)).public_key
    try:
        public_key = bytes.fromhex(named.removeprefix("0x"))
    except ValueError:
        public_key = b""
    if len(public_key) != 32:
        raise ConfigError(f"--public-key: {named!r} will not do; write 64 hexadecimal digits")
    return public_key


def _get_gateway(chain: Chain) -> tuple[str, int]:
    if chain.arguments.gateway:
        return parse_host_port(chain.arguments.gateway, "--gateway")
    if chain.config is None:
        raise ConfigError("no gateway: give --gateway HOST:PORT")
    return chain.config.sequencer.host, chain.config.sequencer.port


# Accounts


def _require_account(chain: Chain, wallet: "Wallet") -> int:
    """The named account, or the address's only one. Raises ConfigError when there is none, or a choice."""
    found = _find_accounts(chain, wallet)
    if len(found) != 1:
        owner = format_address(wallet.address)
        if not found:
            raise ConfigError(f"{owner} has no account: deposit first, and wait until the sequencer has taken it")
        raise ConfigError(f"{owner} has accounts {', '.join(map(str, found))}: name one with --account")
    return found[0]


def _find_accounts(chain: Chain, wallet: "Wallet") -> list[int]:
    """The named account, else all of the wallet's address: as a gateway shows them, and as L1 does when none answers.

    A sequencer that hides an account, or makes one up, gains nothing: L1 asks for the owner's own signature.
    """
    if chain.arguments.account:
        return [int(chain.arguments.account)]
    with suppress(ConfigError, GatewayUnreachable, MethodError):
        found = trio.run(_ask_accounts, *_get_gateway(chain), wallet.address)
        if isinstance(found, list):
            return [account for account in found if isinstance(account, int)]
    return [number for number, _ in wallet.read_state().find_accounts(wallet.address)]


async def _ask_accounts(host: str, port: int, owner: bytes) -> Value:
    async with open_client(host, port) as client:
        return await client.call("accounts_of", owner)


def _wait_for_message(chain: Chain, sent: "SentMessage") -> None:
    """Until the sequencer has taken the message. Raises ConfigError after WAIT_SECONDS."""

    async def run() -> bool:
        async with open_client(*_get_gateway(chain)) as client:
            for _ in range(math.ceil(WAIT_SECONDS / chain.poll_seconds)):
                if (await fetch_globals(client)).inbox_cursor > sent.index:
                    return True
                await trio.sleep(chain.poll_seconds)
        return False

    if not trio.run(run):
        raise ConfigError(f"message {sent.index} was not taken within {WAIT_SECONDS} s; L1 will force it in, but late")
    print(f"message {sent.index} is taken")


# Reading arguments


def _account(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) < ACCOUNTS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not an account; write a number from 1 to {ACCOUNTS_MAX - 1}")
    return int(text)


def _slot(text: str) -> int:
    if not text.isdigit() or int(text) >= SLOTS_PER_ACCOUNT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a slot; write a number from 0 to {SLOTS_PER_ACCOUNT - 1}")
    return int(text)


def _parse_scope(text: str) -> int:
    words = text.split(",")
    for word in words:
        if word not in SCOPES:
            raise ConfigError(f"--scope: {word!r} will not do; write some of {','.join(SCOPES)}, with commas between")
    return sum({SCOPES[word] for word in words})


def _get_units_per_token(chain: Chain, number: int) -> int:
    """Of an asset. Raises ConfigError when it is not listed."""
    try:
        return chain.rollup.get_units_per_token(chain.rollup.get_asset(number))
    except CallReverted as error:
        raise ConfigError(f"--asset: the rollup lists no asset {number}") from error


def _show(wallet: "Wallet", asset: "BridgedAsset", units: int) -> str:
    token = "ether" if not any(asset.token) else f"of {format_address(asset.token)}"
    return f"{format_amount(units, wallet.rollup.get_units_per_token(asset))} {token}"
