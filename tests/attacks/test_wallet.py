"""Attacks by a sequencer on the wallets that ask it for the state: it shows one in which they sign too much."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.gateway import Method
from node.session import SessionError
from sequencer.requests import decode_request
from state.codec import Value
from state.constants import NEVER
from state.leaves import decode_account, decode_globals, perpetual
from state.operations import OrderOp
from tests.node.test_session import PRICE, Exchange

Show = Callable[[bytes], bytes]


class Liar(Exchange):
    """A sequencer that shows other leaves than it has, and keeps what it was sent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.shows: dict[str, Show] = {}
        self.requests: list[bytes] = []

    async def submit(self, arguments: list[Value]) -> Value:
        (request,) = arguments
        assert isinstance(request, bytes)
        self.requests.append(request)
        return await super().submit(arguments)

    def build_methods(self) -> dict[str, Method]:
        methods = super().build_methods()
        for name, show in self.shows.items():
            methods[name] = self._spoil(methods[name], show)
        return methods

    @staticmethod
    def _spoil(method: Method, show: Show) -> Callable[[list[Value]], Awaitable[Value]]:
        async def answer(arguments: list[Value]) -> Value:
            leaf = await method(arguments)
            assert isinstance(leaf, bytes)
            return show(leaf)

        return answer


@pytest.fixture
def liar(tmp_path: Path) -> Liar:
    return Liar(tmp_path)


def far_ahead(leaf: bytes) -> bytes:
    """The globals of a chain in a far future."""
    state = decode_globals(leaf)
    assert state is not None
    return replace(state, time=NEVER // 2).encode()


def nearly_used_up(leaf: bytes) -> bytes:
    """An account that has one sequence left."""
    account = decode_account(leaf)
    assert account is not None
    return replace(account, sequence=NEVER - 1).encode()


async def test_order_that_never_dies(liar: Liar) -> None:
    """The sequencer shows a time to come, so that an order for ten minutes is its option for years."""
    liar.shows["globals"] = far_ahead
    async with liar.connect() as client:
        alice = await liar.open(client, "alice")
        await alice.order(perpetual(0), 5, PRICE, seconds=600)

    request = decode_request(liar.requests[0])
    assert request is not None
    op = request.place(0)
    assert isinstance(op, OrderOp)
    assert op.terms.valid_until <= time.time() + 600


@pytest.mark.parametrize("is_withdrawal", [True, False])
async def test_last_sequence_of_an_account(liar: Liar, is_withdrawal: bool) -> None:
    """The sequencer shows a sequence near its end, so that the account can never sign anything again."""
    liar.shows["account"] = nearly_used_up
    async with liar.connect() as client:
        alice = await liar.open(client, "alice")
        with pytest.raises(SessionError, match="sequence"):
            await (alice.withdraw(0, 1) if is_withdrawal else alice.transfer(2, 0, 1))

    assert not liar.requests
