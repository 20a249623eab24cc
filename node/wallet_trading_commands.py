"""`keel wallet` through the gateway: orders, cancels, transfers, withdrawals, and the receipts for them."""

import argparse
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import trio

from node.amounts import DOLLAR, format_amount, parse_amount
from node.client import Client, open_client
from node.command_options import Chain
from node.errors import ConfigError
from node.instrument_names import parse_instrument
from node.keys import load_ethereum_key, load_session_key
from node.session import Answer, Session, SessionError, fetch_underlyings, find_account, open_session
from node.wallet_message_commands import run_bid_through_l1
from node.wallet_options import (
    add_amount,
    add_verb,
    get_session_path,
    get_units_per_token,
    parse_account,
)
from risk.margin_calls import CallLevel
from state.codec import Value
from state.constants import PPM, PRICE_MAX, QUANTITY_MAX, SLOTS_PER_ACCOUNT
from state.leaves import FLAG_POST_ONLY, FLAG_REDUCE_ONLY

SendFromSession = Callable[[Session, Client], Awaitable[Answer]]


def add_parsers(verbs: Any) -> None:
    """The verbs of this file."""
    order = add_verb(verbs, "order", "buy or sell; an order replaces the one that lives in its slot", run_order)
    order.add_argument("side", choices=["buy", "sell"])
    order.add_argument("size", type=int, help="lots")
    order.add_argument("instrument", help="BTC, BTC-20171229 (a future) or BTC-20171229-17.5-C (a call; P: a put)")
    order.add_argument("--price", required=True, help="limit, dollars a lot")
    order.add_argument("--post-only", action="store_true", help="refuse it rather than trade at once")
    order.add_argument("--reduce-only", action="store_true", help="never grow the position")
    order.add_argument("--seconds", type=int, default=600, help="how long it lives (default: 600)")
    order.add_argument("--max-fee-ppm", type=int, default=10_000, help="most that it pays, of the notional")
    cancel = add_verb(verbs, "cancel", "kill what lives in a slot", run_cancel)
    for parser in (order, cancel):
        parser.add_argument("--slot", type=_slot, default=0, help=f"0 to {SLOTS_PER_ACCOUNT - 1} (default: 0)")
    transfer = add_verb(verbs, "transfer", "move tokens to another account", run_transfer)
    transfer.add_argument("--to", type=parse_account, required=True, help="the other account's number")
    add_amount(transfer)
    withdraw = add_verb(verbs, "withdraw", "move tokens to the outbox, for L1", run_withdraw)
    add_amount(withdraw)
    bid = add_verb(verbs, "bid", "take over a slice of an account that is up for auction", run_bid)
    bid.add_argument("target", type=parse_account, help="the account in auction")
    bid.add_argument("--percent", type=int, default=100, help="of all that it holds (default: 100)")
    bid.add_argument("--discount", required=True, help="least that it must be under its value, in dollars")
    bid.add_argument("--through-l1", action="store_true", help="with or without the sequencer, for a message's fee")
    add_verb(verbs, "watch", "print the account's margin calls, as a follower tells them (--gateway)", run_watch)
    for parser in (order, cancel, transfer, withdraw, bid):
        parser.add_argument("--receipts", metavar="FILE", type=Path, help="append the receipt, for check-receipts")


def run_order(arguments: argparse.Namespace) -> int:
    """`keel wallet order`."""
    price = parse_amount(arguments.price, DOLLAR, "--price")
    if not 1 <= arguments.size <= QUANTITY_MAX or not 1 <= price <= PRICE_MAX:
        raise ConfigError(f"size goes from 1 to {QUANTITY_MAX} lots, the price up to {PRICE_MAX // DOLLAR} dollars")
    flags = (FLAG_POST_ONLY if arguments.post_only else 0) | (FLAG_REDUCE_ONLY if arguments.reduce_only else 0)

    async def send(session: Session, client: Client) -> Answer:
        symbols = [leaf.symbol.rstrip(b"\0").decode() for leaf in await fetch_underlyings(client)]
        instrument = parse_instrument(arguments.instrument, symbols)
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


def run_bid(arguments: argparse.Namespace) -> int:
    """`keel wallet bid`."""
    discount = parse_amount(arguments.discount, DOLLAR, "--discount")
    if not 1 <= arguments.percent <= 100:
        raise ConfigError("--percent goes from 1 to 100")
    if arguments.through_l1:
        return run_bid_through_l1(arguments, arguments.percent * PPM // 100, discount)

    async def send(session: Session, _: Client) -> Answer:
        return await session.bid(arguments.target, arguments.percent * PPM // 100, discount)

    answer = _send_from_session(Chain(arguments), send)
    print(f"{arguments.percent} % of account {arguments.target} taken over at {_describe(answer)}")
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
    amount = parse_amount(arguments.amount, get_units_per_token(chain, arguments.asset))

    async def send(session: Session, _: Client) -> Answer:
        return await session.transfer(arguments.to, arguments.asset, amount)

    answer = _send_from_session(chain, send)
    print(f"{arguments.amount} moved to account {arguments.to} at {_describe(answer)}")
    return 0


def run_withdraw(arguments: argparse.Namespace) -> int:
    """`keel wallet withdraw`."""
    chain = Chain(arguments)
    amount = parse_amount(arguments.amount, get_units_per_token(chain, arguments.asset))

    async def send(session: Session, _: Client) -> Answer:
        return await session.withdraw(arguments.asset, amount)

    answer = _send_from_session(chain, send)
    print(f"{arguments.amount} moved to the outbox at {_describe(answer)}; `keel wallet claim` when the batch is final")
    return 0


def run_watch(arguments: argparse.Namespace) -> int:
    """`keel wallet watch`: until it is interrupted, or the follower ends."""
    chain = Chain(arguments)
    owner = b"" if arguments.account else load_ethereum_key(chain.get_key_path(is_wallet=True)).address

    async def run() -> None:
        async with open_client(*chain.require_gateway()) as client:
            account = arguments.account or await find_account(client, owner)
            async with aclosing(client.stream("margin_calls", account)) as calls:
                async for call in calls:
                    print(describe_call(account, call), flush=True)

    trio.run(run)
    return 0


def describe_call(account: int, answer: Value) -> str:
    """One line for people. Raises SessionError for what is no margin call."""
    match answer:
        case [int(level), int(equity), int(initial), int(maintenance), int(), int(position), int(time)]:
            surpluses = f"initial {show_dollars(initial)}, maintenance {show_dollars(maintenance)}"
            worth = f"worth {show_dollars(equity)}, surplus over {surpluses}"
            return f"{CallLevel(level).name}  account {account} {worth}  (position {position}, time {time})"
    raise SessionError("the gateway's answer is no margin call: is it a follower's?")


def show_dollars(units: int) -> str:
    """Quote units in dollars, of either sign."""
    return ("-" if units < 0 else "") + format_amount(abs(units), DOLLAR)


def _send_from_session(chain: Chain, send: SendFromSession) -> Answer:
    """Connect, find account and key, send one op; the receipt must be the slot holder's."""
    from node.receipt_check import format_receipt

    domain, key = chain.rollup.get_domain(), load_session_key(get_session_path(chain))
    owner = b"" if chain.arguments.account else load_ethereum_key(chain.get_key_path(is_wallet=True)).address
    holder = chain.rollup.get_slot_holder()

    async def run() -> Answer:
        async with open_client(*chain.require_gateway()) as client:
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


def _slot(text: str) -> int:
    if not text.isdigit() or int(text) >= SLOTS_PER_ACCOUNT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a slot; write a number from 0 to {SLOTS_PER_ACCOUNT - 1}")
    return int(text)
