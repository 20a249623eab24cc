"""The load: people who trade at a gateway that keeps dying, and keep every receipt that they were given."""

import random
from collections import Counter
from dataclasses import dataclass, field

import trio

from devnet.people import Person
from node.client import Client, GatewayUnreachable, open_client
from node.gateway import MethodError
from node.session import Answer, Session, SessionError
from state.leaves import perpetual
from tests.torture.site import PRICE, Site

SLOTS = 4
IN_FLIGHT = 4


@dataclass
class Kept:
    """What was answered; `refused` by code."""

    answers: list[Answer] = field(default_factory=list)
    filled: int = 0
    refused: Counter[int] = field(default_factory=Counter)


async def trade(site: Site, person: Person, kept: Kept, seed: int) -> None:
    """One person, for ever: on a new connection whenever the old one broke, several requests at a time."""
    rng = random.Random(seed)
    while True:
        try:
            async with open_client("127.0.0.1", site.port) as client, trio.open_nursery() as nursery:
                for lane in range(IN_FLIGHT):
                    nursery.start_soon(_trade_in_lane, site, client, person, kept, rng, lane)
        except* (GatewayUnreachable, SessionError, trio.BrokenResourceError):
            await trio.sleep(0.05)


async def _trade_in_lane(site: Site, client: Client, person: Person, kept: Kept, rng: random.Random, lane: int) -> None:
    session = Session(client, site.domain, person.session, person.account, site.operator)
    others = [other.account for other in site.people if other is not person]
    while True:
        try:
            answer = await _ask_for_something(session, rng, lane, others)
        except MethodError as error:
            kept.refused[error.code] += 1
            await trio.sleep(0.02)
        else:
            kept.answers.append(answer)
            kept.filled += answer.filled


async def _ask_for_something(session: Session, rng: random.Random, lane: int, others: list[int]) -> Answer:
    """Orders on both sides of one price, so that many trade; cancels; and, of one lane, transfers."""
    roll = rng.random()
    if roll < 0.1 and lane == 0:
        return await session.transfer(rng.choice(others), 0, rng.randrange(1, 1_000_000))
    if roll < 0.3:
        return await session.cancel(lane)
    size = rng.choice((-1, 1)) * rng.randrange(1, 50)
    return await session.order(perpetual(0), size, PRICE + rng.randrange(-5, 6) * 1000, slot=lane)
