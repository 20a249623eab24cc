"""What people put into the rollup: deposits that are measured, and messages that every reader chains alike."""

import random

import pytest

from state.leaves import SessionKey
from state.operations import hash_domain
from state.process_bid import encode_bid
from state.process_inbox import Message, MessageType, decode_message, encode_amount, encode_close, encode_key
from tests.contracts import token_zoo
from tests.contracts.rollup_chain import (
    DEPOSIT_MAX,
    ETH,
    ETH_UNIT,
    FEE,
    Chain,
    address,
    chain_messages,
    compile_once,
)
from tests.evm import Contract, Evm
from tests.world import GENESIS_TIME

USER = address("user")
TOKEN_UNIT = 10


def build_chain(token_source: str | None = None) -> tuple[Chain, Contract]:
    """A rollup whose asset 0 is a token, of which the user has plenty, and asset 1 is ether."""
    evm = Evm(timestamp=GENESIS_TIME + 100)
    if token_source is None:
        token = evm.deploy("token", "Dollar", "USD", 6)
        token.send("mint", USER, 10**30)
    else:
        token = evm.deploy_artifact(compile_once(token_source), USER)
    chain = Chain(((token.address, TOKEN_UNIT, DEPOSIT_MAX), (ETH, ETH_UNIT, DEPOSIT_MAX)), evm=evm)
    chain.person("user")
    if token_source is None:
        token.send("approve", chain.rollup.address, 2**256 - 1, sender=USER)
    return chain, token


def test_token_deposit_moves_exactly_what_it_says() -> None:
    """Custody counts units, the token counts its own; the message names the sender, the time and the units."""
    chain, token = build_chain()
    outcome = chain.do("deposit", 0, 123, 7, sender=USER, value=FEE)

    assert token.read("balanceOf", chain.rollup.address).value == 123 * TOKEN_UNIT
    assert chain.read("custody", 0) == 123
    message = Message(MessageType.DEPOSIT, bytes.fromhex(USER[2:]), chain.evm.timestamp, 7, encode_amount(0, 123))
    assert outcome.events[-1].arguments == {"index": 0, "message": message.encode()}


def test_ether_deposit_pays_the_fee_on_top() -> None:
    """The value is the fee and the amount, to the wei; a wei more or less deposits nothing."""
    chain, _ = build_chain()
    value = FEE + 5 * ETH_UNIT
    for wrong in (value - 1, value + 1, FEE, 0):
        assert chain.refuse("deposit", 1, 5, 0, sender=USER, value=wrong) == "rollup: value"
    chain.do("deposit", 1, 5, 0, sender=USER, value=value)

    assert chain.read("custody", 1) == 5
    assert chain.evm.get_balance(chain.rollup.address) == value
    assert chain.refuse("deposit", 0, 5, 0, sender=USER, value=value) == "rollup: value"


def test_deposits_are_bounded_and_listed() -> None:
    """An amount of 0 or above the bound and an asset that is not listed are refused before anything moves."""
    chain, _ = build_chain()
    for amount in (0, DEPOSIT_MAX + 1, 2**64 - 1):
        assert chain.refuse("deposit", 0, amount, 0, sender=USER, value=FEE) == "rollup: amount"
    for asset in (2, 2**16, 2**256 - 1):
        assert chain.refuse("deposit", asset, 1, 0, sender=USER, value=FEE) == "rollup: asset"

    chain.do("deposit", 0, DEPOSIT_MAX, 0, sender=USER, value=FEE)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("KEEPS_A_FEE", "rollup: received"),
        ("GIVES_A_BONUS", "rollup: received"),
        ("LIES_ABOUT_SUCCESS", "rollup: received"),
        ("ANSWERS_FALSE", "rollup: transfer"),
    ],
)
def test_token_that_delivers_otherwise_deposits_nothing(token: str, reason: str) -> None:
    """What counts is what arrived: a token with a fee, a bonus or a lie is refused to the unit."""
    chain, _ = build_chain(getattr(token_zoo, token))

    assert chain.refuse("deposit", 0, 1000, 0, sender=USER, value=FEE) == reason


def test_token_that_answers_nothing_is_taken() -> None:
    """An old token without a return value deposits, because what arrived is measured."""
    chain, token = build_chain(token_zoo.ANSWERS_NOTHING)
    chain.do("deposit", 0, 1000, 0, sender=USER, value=FEE)

    assert token.read("balanceOf", chain.rollup.address).value == 1000 * TOKEN_UNIT


def test_one_arrival_is_one_deposit() -> None:
    """A token that calls its owner cannot be used to deposit within a deposit; alone each of the two is good."""
    chain, token = build_chain(token_zoo.CALLS_THE_OWNER)
    thief = chain.evm.deploy_artifact(
        compile_once(token_zoo.DEPOSITS_WITHIN_A_DEPOSIT), chain.rollup.address, 1000, FEE, value=10 * FEE
    )
    token.send("give", thief.address, 1000 * TOKEN_UNIT, sender=USER)

    assert thief.send("deposit", True).reverted
    assert chain.read("custody", 0) == 0
    assert not thief.send("deposit", False).reverted
    assert chain.read("custody", 0) == 1000
    assert token.read("balanceOf", chain.rollup.address).value == 1000 * TOKEN_UNIT


def test_nothing_leaves_while_an_arrival_is_measured() -> None:
    """Who is called in the middle of his deposit cannot collect there, not even a credit of nothing."""
    chain, token = build_chain(token_zoo.CALLS_THE_OWNER)
    source = compile_once(token_zoo.COLLECTS_WITHIN_A_DEPOSIT)
    thief = chain.evm.deploy_artifact(source, chain.rollup.address, FEE, value=FEE)
    token.send("give", thief.address, 1000 * TOKEN_UNIT, sender=USER)

    assert not thief.send("collect").reverted
    assert thief.send("deposit", 1000).reverted
    assert chain.read("custody", 0) == 0


def test_messages_are_those_of_the_node(seed: int) -> None:
    """Every kind of message has the bytes that the node writes for it, and the accumulator is the node's."""
    rng = random.Random(seed)
    chain, _ = build_chain()
    messages: list[bytes] = []
    for _ in range(30):
        chain.wait(rng.randrange(100))
        account, number = rng.getrandbits(32), rng.getrandbits(64)
        asset, amount, scope = rng.randrange(2), rng.randrange(1, DEPOSIT_MAX), rng.getrandbits(8)
        public_key = rng.randbytes(32)
        kind = rng.choice([one for one in MessageType if one != MessageType.PARAMS])  # test_governor.py sends those
        match kind:
            case MessageType.DEPOSIT:
                value = FEE + amount * ETH_UNIT * asset
                chain.evm.set_balance(USER, value)
                outcome = chain.do("deposit", asset, amount, account, sender=USER, value=value)
                payload = encode_amount(asset, amount)
            case MessageType.REGISTER_KEY:
                arguments = (account, public_key, scope, number)
                chain.evm.set_balance(USER, FEE)
                outcome = chain.do("register_key", *arguments, sender=USER, value=FEE)
                payload = encode_key(SessionKey(public_key, scope, number))
            case MessageType.FORCE_WITHDRAW:
                chain.evm.set_balance(USER, FEE)
                outcome = chain.do("force_withdraw", account, 65_535 * asset, number, sender=USER, value=FEE)
                payload = encode_amount(65_535 * asset, number)
            case MessageType.CANCEL_ALL:
                chain.evm.set_balance(USER, FEE)
                outcome = chain.do("cancel_all", account, sender=USER, value=FEE)
                payload = b""
            case MessageType.FORCE_CLOSE:
                chain.evm.set_balance(USER, FEE)
                outcome = chain.do("force_close", account, bool(asset), sender=USER, value=FEE)
                payload = encode_close(bool(asset))
            case MessageType.TAKE:
                terms = (number, rng.getrandbits(32), rng.getrandbits(32), amount, rng.getrandbits(64))
                chain.evm.set_balance(USER, FEE)
                outcome = chain.do("take", account, *terms, sender=USER, value=FEE)
                payload = encode_bid(*terms)
            case MessageType.READING | MessageType.SURFACE:
                account, payload = 0, rng.randbytes(rng.randrange(417))
                value = FEE * (2 if len(payload) > 256 - 33 else 1)
                chain.evm.set_balance(USER, value)
                outcome = chain.do("relay", kind is MessageType.SURFACE, payload, sender=USER, value=value)
            case MessageType.FORCE_LIQUIDATE:
                chain.evm.set_balance(USER, FEE)
                outcome = chain.do("force_liquidate", account, sender=USER, value=FEE)
                payload = b""
        message = Message(kind, bytes.fromhex(USER[2:]), chain.evm.timestamp, account, payload)
        assert outcome.events[-1].arguments == {"index": len(messages), "message": message.encode()}
        assert decode_message(message.encode()) == message
        messages.append(message.encode())
        assert chain.read("inbox_count") == len(messages)
        assert chain.read("accumulator", len(messages)) == chain_messages(messages)
        assert chain.read("message_time", len(messages) - 1) == chain.evm.timestamp


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("register_key", (1, bytes(32), 7, 9)),
        ("force_withdraw", (1, 0, 9)),
        ("cancel_all", (1,)),
        ("force_close", (1, True)),
        ("force_liquidate", (1,)),
    ],
)
def test_message_costs_its_fee(function: str, arguments: tuple[object, ...]) -> None:
    """A message is sent for the fee, to the wei."""
    chain, _ = build_chain()
    for wrong in (0, FEE - 1, FEE + 1):
        assert chain.refuse(function, *arguments, sender=USER, value=wrong) == "rollup: value"

    chain.do(function, *arguments, sender=USER, value=FEE)


def test_domain_is_that_of_the_node() -> None:
    """What users sign under names the chain and this very contract."""
    chain, _ = build_chain()

    assert chain.read("DOMAIN") == hash_domain(31_337, bytes.fromhex(chain.rollup.address[2:]))
