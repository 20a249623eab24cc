"""People who trade: makers who quote around mark, takers who hit them, and payments between them.

Each trades its own account through the gateway, as anybody would. A session signs for the generation that it sees, so
that after a rollback everybody signs anew; whatever the sequencer refuses is counted, and the trader goes on.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from node.client import Client, GatewayUnreachable, open_client
from node.gateway import MethodError
from node.keys import Ed25519Key
from node.session import Answer, Session, SessionError, fetch_underlyings
from state.constants import PPM
from state.leaves import FLAG_POST_ONLY, Underlying, perpetual

MAX_FEE_PPM = 20_000
POSITION_MAX = 1_000
"""Lots: a maker that holds more quotes one side only."""

ORDER_SECONDS = 60
HALF_SPREAD_PPM = 800
CROSSING_PPM = 4_000
"""How far beyond mark a taker goes."""


@dataclass(slots=True)
class Tally:
    """What came of all that was sent; `refused` by code."""

    accepted: int = 0
    lots_filled: int = 0
    refused: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class Desk:
    """One account at one gateway, and the prices that it saw last."""

    client: Client
    session: Session
    tally: Tally
    underlyings: list[Underlying] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)

    async def look(self) -> bool:
        """See prices and positions; whether there is anything to trade now."""
        state, account = await self.session.get_globals(), await self.session.get_account()
        self.underlyings = await fetch_underlyings(self.client)
        self.positions = {instrument.underlying: quantity for instrument, quantity in account.positions}
        return state.time >= state.cancel_only_until and bool(self.markets)

    @property
    def markets(self) -> list[int]:
        """Underlyings that have a price."""
        return [index for index, underlying in enumerate(self.underlyings) if underlying.mark > 0]

    async def place(self, underlying: int, slot: int, size: int, price: int, flags: int = 0) -> None:
        """Put an order in a slot, in place of what is there; negative size sells."""
        await self.count(
            self.session.order(
                perpetual(underlying),
                size,
                price,
                slot=slot,
                flags=flags,
                seconds=ORDER_SECONDS,
                max_fee_ppm=MAX_FEE_PPM,
            )
        )

    async def count(self, answer: Awaitable[Answer]) -> None:
        """Await what was sent and note what came of it."""
        try:
            self.tally.lots_filled += (await answer).filled
        except MethodError as error:
            self.tally.refused[error.code] += 1
        else:
            self.tally.accepted += 1


Turn = Callable[[Desk, random.Random], Awaitable[None]]
"""What a trader does again and again, once it has looked."""


async def make_market(desk: Desk, rng: random.Random) -> None:
    """Quote both sides of every market; the side that would make a large position larger stays away."""
    for underlying in desk.markets:
        mark, position = desk.underlyings[underlying].mark, desk.positions.get(underlying, 0)
        half_spread = mark * (HALF_SPREAD_PPM + rng.randrange(HALF_SPREAD_PPM)) // PPM
        for side, slot in ((1, 2 * underlying), (-1, 2 * underlying + 1)):
            if side * position < POSITION_MAX:
                size = side * rng.randint(5, 25)
                await desk.place(underlying, slot, size, mark - side * half_spread, FLAG_POST_ONLY)
            else:
                await desk.count(desk.session.cancel(slot))
    await trio.sleep(1.5 + rng.random())


async def take(desk: Desk, rng: random.Random) -> None:
    """Trade at once with whoever quotes, towards a flat position when it is large; what remains is cancelled."""
    underlying = rng.choice(desk.markets)
    mark, position = desk.underlyings[underlying].mark, desk.positions.get(underlying, 0)
    side = rng.choice((1, -1)) if abs(position) < POSITION_MAX // 10 else (-1 if position > 0 else 1)
    await desk.place(underlying, 0, side * rng.randint(1, 8), mark + side * (mark * CROSSING_PPM // PPM))
    await trio.sleep(0.3 + rng.random())
    await desk.count(desk.session.cancel(0))


def pay(others: list[int]) -> Turn:
    """The turn of somebody who pays one of the others a few dollars now and then."""

    async def turn(desk: Desk, rng: random.Random) -> None:
        await desk.count(desk.session.transfer(rng.choice(others), 0, rng.randint(1, 20) * 1_000_000))
        await trio.sleep(3 + 3 * rng.random())

    return turn


@dataclass(frozen=True, slots=True)
class Trader:
    """Who trades where, and how; `sequencer` is the address whose receipts count."""

    host: str
    port: int
    domain: bytes
    sequencer: bytes
    account: int
    key: Ed25519Key
    turn: Turn

    async def run(self, tally: Tally, seed: int) -> None:
        """Take turns until cancelled; while nobody answers, or only cancels are taken, wait."""
        rng = random.Random(seed)
        while True:
            try:
                async with open_client(self.host, self.port) as client:
                    await self._trade(client, tally, rng)
            except* (GatewayUnreachable, SessionError):
                await trio.sleep(0.5)

    async def _trade(self, client: Client, tally: Tally, rng: random.Random) -> None:
        session = Session(client, self.domain, self.key, self.account, self.sequencer)
        desk = Desk(client, session, tally)
        while True:
            if await desk.look():
                await self.turn(desk, rng)
            else:
                await trio.sleep(0.5)
