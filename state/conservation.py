"""What no change may break: no money and no position comes from nowhere or is lost (SPEC.md section 3).

Looked at beside the rules and independently of them, over the leaves that a change has written: cheap enough for
whoever re-executes a chain to ask after every batch. A leak is a mistake of the rules themselves, which no proof
convicts; so it has to be told, and by everybody who sees it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from state.leaves import Instrument, decode_account, decode_asset, decode_expiry, decode_underlying
from state.marks import compute_payoff
from state.tree import Collection, LeafKey, expiry_key, get_collection, get_index


class _Change:
    """What has changed by: of each asset what accounts and books hold less custody, of each underlying long lots less
    open interest, of each instrument lots, and what the house holds."""

    def __init__(self) -> None:
        self.owed = defaultdict[int, int](int)
        self.longs = defaultdict[int, int](int)
        self.lots = defaultdict[Instrument, int](int)
        self.house_cash = 0

    def count(self, key: LeafKey, data: bytes, sign: int) -> None:
        """Count a leaf in (+1) or out (-1)."""
        collection = get_collection(key)
        if collection is Collection.ACCOUNTS:
            self._count_account(data, sign)
        elif collection is Collection.ASSETS:
            books = decode_asset(data)
            if books is not None:
                booked = books.house_cash + books.fund + books.fees - books.bad_debt
                self.owed[get_index(key)] += sign * (booked - books.custody)
                self.house_cash += sign * books.house_cash
        elif collection is Collection.UNDERLYINGS:
            underlying = decode_underlying(data)
            if underlying is not None:
                self.longs[get_index(key)] -= sign * underlying.open_interest

    def _count_account(self, data: bytes, sign: int) -> None:
        account = decode_account(data)
        if account is None:
            return
        self.owed[0] += sign * account.cash
        for asset, amount in account.collateral:
            self.owed[asset] += sign * amount
        for instrument, quantity in account.positions:
            self.lots[instrument] += sign * quantity
            self.longs[instrument.underlying] += sign * max(quantity, 0)


def find_leak(before: Mapping[LeafKey, bytes], leaves: Mapping[LeafKey, bytes]) -> str | None:
    """The first of what a change does not conserve; None when there is nothing."""
    return next(list_leaks(before, leaves), None)


def list_leaks(before: Mapping[LeafKey, bytes], leaves: Mapping[LeafKey, bytes]) -> Iterator[str]:
    """What a change does not conserve, in words.

    `before` is what every leaf that has changed was, `leaves` the state since; a whole state is a change from nothing.
    """
    change = _Change()
    for key, data in before.items():
        change.count(key, data, -1)
        change.count(key, leaves.get(key, b""), 1)
    for asset, amount in change.owed.items():
        if amount != 0:
            yield f"{amount} units of asset {asset} from nowhere"
    for underlying, lots in change.longs.items():
        if lots != 0:
            yield f"open interest of underlying {underlying} is {lots} lots short"
    unpaid = 0
    for instrument, lots in change.lots.items():
        settlement = _get_settlement(instrument, leaves)
        if settlement > 0:
            unpaid += lots * compute_payoff(instrument, settlement)
        elif lots != 0:
            yield f"{lots} lots of {instrument.encode().hex()} from nowhere"
    if unpaid != change.house_cash:
        yield f"the house holds {change.house_cash - unpaid} units of nobody's"


def _get_settlement(instrument: Instrument, leaves: Mapping[LeafKey, bytes]) -> int:
    """What an instrument has settled at; 0 for not."""
    if instrument.expiry == 0:
        return 0
    expiry = decode_expiry(leaves.get(expiry_key(instrument.underlying, instrument.expiry), b""))
    return 0 if expiry is None else expiry.settlement
