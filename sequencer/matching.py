"""One market's book: price-time priority, nothing else.

Time is the log position at which an order was accepted. A market is an instrument, or a combination of them with their
ratios, which has a book and a price of its own; or either between two accounts that name each other: those trade in
private with the same rules.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import NamedTuple

from sequencer.requests import SIGNED_TAIL_BYTES
from state.leaves import FLAG_SELL, Instrument
from state.ledger import Slot
from state.operations import OrderOp, OrderTerms


class Market(NamedTuple):
    """Where an order meets others. `pair` is (0, 0) for the public book, else the two accounts in order."""

    legs: tuple[tuple[Instrument, int], ...]
    pair: tuple[int, int] = (0, 0)


def single(instrument: Instrument) -> Market:
    """The public book of one instrument."""
    return Market(((instrument, 1),))


def get_market(terms: OrderTerms) -> Market:
    """The market in which an order rests and trades."""
    if terms.counterparty == 0:
        return Market(terms.legs)
    low, high = sorted((terms.account, terms.counterparty))
    return Market(terms.legs, (low, high))


@dataclass(slots=True)
class RestingOrder:
    """A live order. `request` is what the user sent; `is_registered` once its slot on the chain holds it.

    `slot` names it: there is one live order a slot. What follows from its terms is asked for often and kept.
    """

    terms: OrderTerms
    request: bytes
    accepted: int
    remaining: int
    is_registered: bool = False
    slot: Slot = field(init=False)
    market: Market = field(init=False)
    is_sell: bool = field(init=False)

    def __post_init__(self) -> None:
        terms = self.terms
        self.slot = Slot(terms.account, terms.slot)
        self.market = get_market(terms)
        self.is_sell = bool(terms.flags & FLAG_SELL)

    def register(self, position: int) -> OrderOp:
        """The op that puts it on the chain, at a log position. A request ends with the key's index and signature."""
        tail = self.request[-SIGNED_TAIL_BYTES:]
        return OrderOp(position, self.accepted, self.terms, tail[0], tail[1:])

    def crosses(self, price: int) -> bool:
        """Whether it would trade at this price."""
        return price >= self.terms.price if self.is_sell else price <= self.terms.price


class _Ladder:
    """One side of a book. Keys sort so that the best price comes first: negated for bids."""

    __slots__ = ("_keys", "_levels", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[int] = []
        self._levels: dict[int, dict[Slot, RestingOrder]] = {}

    def add(self, order: RestingOrder) -> None:
        key = self._sign * order.terms.price
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = {}
            insort(self._keys, key)
        level[order.slot] = order

    def remove(self, order: RestingOrder) -> None:
        key = self._sign * order.terms.price
        level = self._levels[key]
        del level[order.slot]
        if not level:
            del self._levels[key]
            del self._keys[bisect_left(self._keys, key)]

    def get_best(self) -> RestingOrder | None:
        if not self._keys:
            return None
        return next(iter(self._levels[self._keys[0]].values()))

    def get_levels(self, depth: int) -> list[tuple[int, int]]:
        return [
            (self._sign * key, sum(order.remaining for order in self._levels[key].values()))
            for key in self._keys[:depth]
        ]


class Book:
    """The live orders of one market."""

    __slots__ = ("_asks", "_bids")

    def __init__(self) -> None:
        self._bids = _Ladder(-1)
        self._asks = _Ladder(1)

    def add(self, order: RestingOrder) -> None:
        """Rest an order behind those at its price."""
        (self._asks if order.is_sell else self._bids).add(order)

    def remove(self, order: RestingOrder) -> None:
        """Take a resting order out."""
        (self._asks if order.is_sell else self._bids).remove(order)

    def get_best_against(self, is_sell: bool) -> RestingOrder | None:
        """The first order that one of this side would meet."""
        return (self._bids if is_sell else self._asks).get_best()

    def get_depth(self, depth: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks, best first, as (price, lots)."""
        return self._bids.get_levels(depth), self._asks.get_levels(depth)
