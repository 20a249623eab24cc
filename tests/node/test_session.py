"""A session signs what the chain takes, and believes no receipt that it has not checked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from coincurve import PrivateKey

from node.client import Client, open_client
from node.gateway import Gateway, Method, MethodError
from node.keys import Ed25519Key, Secp256k1Key
from node.reads import build_read_methods
from node.sequencer_core import SequencerCore
from node.session import Session, SessionError, fetch_underlyings, find_account, open_session
from sequencer.engine import Accepted
from sequencer.refusals import Refused
from state.codec import Value
from state.codes import Code
from state.leaves import FLAG_POST_ONLY, perpetual
from state.receipts import ReceiptBody, SignedReceipt
from state.store import Store
from tests.receipts import sign_receipt
from tests.world import World, open_market

OPERATOR = Secp256k1Key(bytes([9]) * 32)
PRICE = 17_000_000

Forge = Callable[[Value], Value]


class Exchange:
    """A real engine behind a real gateway, whose answers a test may spoil on their way out."""

    def __init__(self, folder: Path) -> None:
        self.world: World = open_market(keep_steps=False)
        self.world.seal()
        self.core = SequencerCore(Store(folder), self.world.domain, 10**6)
        leaves = dict(self.world.state.leaves)
        self.core.restart(leaves, generation=2, index=self.world.batch_index - 1, parent=self.world.parent)
        for seconds in (1, 20):
            self.core.make_durable(self.core.engine.tick(self.core.engine.globals.time + seconds))
        self.forge: Forge = lambda answer: answer

    async def submit(self, arguments: list[Value]) -> Value:
        """As a sequencer's gateway does it."""
        (request,) = arguments
        assert isinstance(request, bytes)
        group = self.core.take([request])
        self.core.make_durable(group.records)
        (outcome,) = group.outcomes
        if isinstance(outcome, Refused):
            raise MethodError(outcome.code, outcome.text)
        assert isinstance(outcome, Accepted)
        receipt = sign_receipt(self.core, PrivateKey(OPERATOR.secret), self.world.domain, outcome)
        return self.forge([receipt.encode(), outcome.filled])

    def build_methods(self) -> dict[str, Method]:
        return build_read_methods(lambda: self.core.engine.leaves) | {"submit": self.submit}

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(Gateway(self.build_methods()).serve, "127.0.0.1", 0)
            async with open_client("127.0.0.1", port) as client:
                yield client
            nursery.cancel_scope.cancel()

    async def open(self, client: Client, name: str) -> Session:
        person = self.world.person(name)
        key = Ed25519Key(bytes(person.key))
        return await open_session(client, self.world.domain, key, person.address, sequencer=OPERATOR.address)


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path)


async def test_every_op_is_taken(exchange: Exchange) -> None:
    """Order, replace, trade, cancel, transfer and withdraw, each answered by a receipt for itself."""
    async with exchange.connect() as client:
        alice, bob = await exchange.open(client, "alice"), await exchange.open(client, "bob")
        first = await alice.order(perpetual(0), 5, PRICE - 10_000)
        second = await alice.order(perpetual(0), 5, PRICE)
        sold = await bob.order(perpetual(0), -3, PRICE, slot=7)
        cancelled = await alice.cancel()
        moved = await alice.transfer(bob.account, 0, 1_000_000)
        again = await alice.transfer(bob.account, 0, 1_000_000)
        left = await bob.withdraw(0, 5)
        held = await bob.get_account()

    assert (first.filled, second.filled, sold.filled) == (0, 0, 3)
    positions = [answer.receipt.body.position for answer in (first, second, sold, cancelled, moved, again, left)]
    assert positions == sorted(set(positions))
    assert held.get_position(perpetual(0)) == -3


async def test_a_refusal_has_the_protocols_code(exchange: Exchange) -> None:
    """What may not stand on the chain is refused with the number of the rule."""
    async with exchange.connect() as client:
        alice = await exchange.open(client, "alice")
        with pytest.raises(MethodError) as raised:
            await alice.transfer(alice.account + 999, 0, 1)
        assert raised.value.code == Code.TRANSFER_DESTINATION_MUST_EXIST
        await alice.order(perpetual(1), -5, 7_000_000)
        bob = await exchange.open(client, "bob")
        with pytest.raises(MethodError, match="post-only"):
            await bob.order(perpetual(1), 5, 7_000_000, flags=FLAG_POST_ONLY)


@pytest.mark.parametrize("name", ["of another op", "by somebody else", "torn", "no list", "not signed"])
async def test_a_false_receipt_is_not_believed(exchange: Exchange, name: str) -> None:
    """Over other bytes, by another key, or no receipt at all: the session says so."""

    def sign(body: ReceiptBody, key: Secp256k1Key) -> bytes:
        return SignedReceipt(body, key.sign(body.hash_signing(exchange.world.domain))).encode()

    def forge(answer: Value) -> Value:
        assert isinstance(answer, list)
        data = answer[0]
        assert isinstance(data, bytes)
        body = ReceiptBody(2, 1, data[12:44], bytes(32))
        forgeries: dict[str, Value] = {
            "of another op": [sign(replace(body, op_digest=bytes(32)), OPERATOR), 0],
            "by somebody else": [sign(body, Secp256k1Key(bytes([7]) * 32)), 0],
            "torn": [data[:-1], 0],
            "no list": data,
            "not signed": [data[:-65] + bytes(65), 0],
        }
        return forgeries[name]

    exchange.forge = forge
    async with exchange.connect() as client:
        alice = await exchange.open(client, "alice")
        with pytest.raises(SessionError, match="receipt"):
            await alice.order(perpetual(0), 1, PRICE)


async def test_who_cannot_trade_is_told_why(exchange: Exchange) -> None:
    """No account, a choice of accounts, a key that the account does not know."""
    world = exchange.world
    owner = world.person("alice").address
    stranger = Ed25519Key(bytes([1]) * 32)
    async with exchange.connect() as client:
        with pytest.raises(SessionError, match="has no account yet: deposit first"):
            await find_account(client, bytes([3]) * 20)
        session = await open_session(client, world.domain, stranger, owner)
        with pytest.raises(SessionError, match=r"does not know the session key .* register-key"):
            await session.cancel()
        missing = await open_session(client, world.domain, stranger, owner, account=999)
        with pytest.raises(SessionError, match="there is no account 999"):
            await missing.withdraw(0, 1)
        assert [leaf.symbol[:3] for leaf in await fetch_underlyings(client)] == [b"BTC", b"ETH", b"LTC", b"XRP"]


async def test_something_else_than_a_node_is_noticed() -> None:
    """A gateway whose answers have other shapes."""

    async def odd(arguments: list[Value]) -> Value:
        return 7

    names = ("account", "globals", "accounts_of", "underlyings")
    calls: list[Callable[[Client], Awaitable[object]]] = [
        lambda client: find_account(client, bytes(20)),
        lambda client: Session(client, bytes(32), Ed25519Key(bytes(32)), 1).cancel(),
        lambda client: Session(client, bytes(32), Ed25519Key(bytes(32)), 1).get_account(),
    ]
    async with trio.open_nursery() as nursery:
        port = await nursery.start(Gateway(dict.fromkeys(names, odd)).serve, "127.0.0.1", 0)
        async with open_client("127.0.0.1", port) as client:
            for call in calls:
                with pytest.raises(SessionError):
                    await call(client)
            assert await fetch_underlyings(client) == []
        nursery.cancel_scope.cancel()
