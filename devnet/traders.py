"""People who trade: makers who quote around mark, takers who hit them, and payments between them.

Each trades its own account with its own session key, through the gateway as anybody would. After a rollback or a
restart they find a new generation in the gateway's status, and sign anew for it; whatever the sequencer refuses they
count and go on.
"""

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import cast

import trio

from node.client import Client, GatewayUnreachable, open_client
from node.gateway import MethodError
from node.keys import Ed25519Key
from sequencer.requests import build_request
from state.leaves import FLAG_POST_ONLY, FLAG_SELL, Account, Underlying, decode_account, decode_underlying, perpetual
from state.operations import Cancel, OrderOp, OrderTerms, SignedOperation, Transfer, hash_digest

MAX_FEE_PPM = 20_000
POSITION_MAX = 1_000
"""Lots: a maker that holds more quotes one side only."""

ORDER_SECONDS = 60
SPREAD_PPM = 800
"""Half of a maker's spread."""

CROSSING_PPM = 4_000
"""How far beyond mark a taker goes."""

PPM = 1_000_000


@dataclass(slots=True)
class Tally:
    """What came of all that was sent; `refused` by code."""

    accepted: int = 0
    lots_filled: int = 0
    refused: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class Desk:
    """One account at one gateway: signs, sends, and sees what the sequencer shows."""

    client: Client
    domain: bytes
    account: int
    key: Ed25519Key
    tally: Tally
    generation: int = 0
    time: int = 0
    is_open: bool = False
    held: Account = field(default_factory=lambda: Account(bytes(20)))
    underlyings: list[Underlying] = field(default_factory=list)

    async def look(self) -> None:
        """See the generation, the time, the account and the prices. Orders live in one generation only."""
        _, self.generation, _, self.time, cancel_only_until, *_ = cast(list[int], await self.client.call("status"))
        self.is_open = self.time >= cancel_only_until
        self.held = decode_account(cast(bytes, await self.client.call("account", self.account))) or self.held
        leaves = cast(list[bytes], await self.client.call("underlyings"))
        self.underlyings = [found for leaf in leaves if (found := decode_underlying(leaf)) is not None]

    @property
    def markets(self) -> list[int]:
        """Underlyings that have a price."""
        return [index for index, underlying in enumerate(self.underlyings) if underlying.mark > 0]

    def get_position(self, underlying: int) -> int:
        """Signed lots held."""
        return self.held.get_position(perpetual(underlying))

    async def place(self, underlying: int, slot: int, size: int, price: int, flags: int = 0) -> None:
        """Put an order in a slot, in place of what is there; negative size sells."""
        terms = OrderTerms(
            account=self.account,
            slot=slot,
            counter=draw_counter(),
            generation=self.generation,
            epoch=self.held.epoch,
            valid_until=self.time + ORDER_SECONDS,
            flags=flags | (FLAG_SELL if size < 0 else 0),
            price=price,
            size=abs(size),
            max_fee_ppm=MAX_FEE_PPM,
            counterparty=0,
            legs=((perpetual(underlying), 1),),
        )
        await self._send(OrderOp(0, 0, terms, 0, bytes(64)))

    async def cancel(self, slot: int) -> None:
        """Kill whatever is in a slot."""
        await self._send(Cancel(0, self.account, slot, draw_counter(), self.generation, 0, bytes(64)))

    async def transfer(self, to: int, amount: int) -> None:
        """Pay quote units to another account."""
        await self._send(Transfer(0, self.account, draw_counter(), to, 0, amount, 0, bytes(64)))

    async def _send(self, op: SignedOperation) -> None:
        signed = replace(op, signature=self.key.sign(hash_digest(self.domain, op)))
        try:
            _, filled = cast(tuple[bytes, int], await self.client.call("submit", build_request(signed)))
        except MethodError as error:
            self.tally.refused[error.code] += 1
            return
        self.tally.accepted += 1
        self.tally.lots_filled += filled


Turn = Callable[[Desk, random.Random], Awaitable[None]]
"""What a trader does again and again, once it has looked."""


def draw_counter() -> int:
    """A counter or sequence above all before, also after a restart: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


async def make_market(desk: Desk, rng: random.Random) -> None:
    """Quote both sides of every market; the side that would make a large position larger stays away."""
    for underlying in desk.markets:
        mark, position = desk.underlyings[underlying].mark, desk.get_position(underlying)
        half_spread = mark * (SPREAD_PPM + rng.randrange(SPREAD_PPM)) // PPM
        for side, slot in ((1, 2 * underlying), (-1, 2 * underlying + 1)):
            if side * position < POSITION_MAX:
                size = side * rng.randint(5, 25)
                await desk.place(underlying, slot, size, mark - side * half_spread, FLAG_POST_ONLY)
            else:
                await desk.cancel(slot)
    await trio.sleep(1.5 + rng.random())


async def take(desk: Desk, rng: random.Random) -> None:
    """Trade at once with whoever quotes, most often towards a flat position; what remains is cancelled."""
    underlying = rng.choice(desk.markets)
    mark, position = desk.underlyings[underlying].mark, desk.get_position(underlying)
    side = rng.choice((1, -1)) if abs(position) < POSITION_MAX // 10 else (-1 if position > 0 else 1)
    await desk.place(underlying, 0, side * rng.randint(1, 8), mark + side * (mark * CROSSING_PPM // PPM))
    await trio.sleep(0.3 + rng.random())
    await desk.cancel(0)


def pay(others: list[int]) -> Turn:
    """The turn of somebody who pays one of the others a few dollars now and then."""

    async def turn(desk: Desk, rng: random.Random) -> None:
        await desk.transfer(rng.choice(others), rng.randint(1, 20) * 1_000_000)
        await trio.sleep(3 + 3 * rng.random())

    return turn


async def trade(
    address: tuple[str, int], domain: bytes, account: int, key: Ed25519Key, turn: Turn, tally: Tally, seed: int
) -> None:
    """Take turns at a gateway until cancelled; while it does not answer, or takes only cancels, wait."""
    rng = random.Random(seed)
    while True:
        try:
            async with open_client(*address) as client:
                desk = Desk(client, domain, account, key, tally)
                while True:
                    await desk.look()
                    if desk.is_open and desk.markets:
                        await turn(desk, rng)
                    else:
                        await trio.sleep(0.5)
        except* GatewayUnreachable:
            await trio.sleep(0.5)
