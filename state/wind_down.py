"""The end of a rollup: what everybody is paid by the last final state.

    ending = Ending(leaves)
    for debtor in ending.list_debtors():
        ending.register(debtor)
    payments = ending.claim(account)

Positions count at their marks in that state, at its own time, however long ago. Who owes quote units pays with
collateral; what cannot be covered is shared by all who are owed, at one factor.

Mirrors contracts/wind_down.vy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from state.leaves import Account, Asset
from state.ledger import Ledger
from state.tree import LeafKey
from state.valuation import compute_account_margin, read_quotes

QUOTE = 0


class NotOwed(Exception):
    """The account is not there, has been settled already, or is asked for what it is not: the contract refuses too."""


class Payment(NamedTuple):
    """Units of an asset to an L1 address."""

    asset: int
    units: int
    to: bytes


class Valued(NamedTuple):
    """An account at the last marks. `claim` is cash and all positions, quote units, below 0 for a debtor; `collateral`
    is what that is worth, quote units."""

    account: Account
    claim: int
    collateral: int


@dataclass(slots=True)
class Pool:
    """What is there of an asset, in units. `total` is what accounts are owed, less what accounts owe that were not
    registered; `pot` was seized from debtors for those who are owed quote units."""

    custody: int
    left: int
    total: int
    pot: int = 0
    pot_left: int = 0


class Ending:
    """One rollup that has ended, as contracts/wind_down.vy keeps it. `leaves` are those of the last final state."""

    def __init__(self, leaves: Mapping[LeafKey, bytes]) -> None:
        self._leaves = leaves
        ledger = Ledger(leaves)
        books = [ledger.require_asset(asset) for asset in range(ledger.get_globals().asset_count)]
        self.pools = [Pool(one.custody, one.custody, compute_total(one)) for one in books]
        self.settled: dict[int, None] = {}

    def value(self, account: int) -> Valued:
        """An account at the last marks. Raises NotOwed."""
        held = Ledger(self._leaves).get_account(account)
        if held is None:
            raise NotOwed(f"account {account} does not exist")
        return value_account(Ledger(self._leaves), account)

    def list_debtors(self) -> Iterator[tuple[int, int]]:
        """Who owes quote units, and how many; registered or not."""
        for account, _ in Ledger(self._leaves).peek_accounts():
            claim = self.value(account).claim
            if claim < 0:
                yield account, -claim

    def register(self, account: int) -> list[Payment]:
        """Count in what an account owes and seize what covers it; what its owner keeps. Raises NotOwed."""
        valued = self._begin(account)
        if valued.claim >= 0:
            raise NotOwed(f"account {account} owes nothing")
        self.settled[account] = None
        self.pools[QUOTE].total -= valued.claim
        return self._settle_debtor(valued, is_in_time=True)

    def claim(self, account: int) -> list[Payment]:
        """What the owner of an account is paid once registration is over. Raises NotOwed."""
        valued = self._begin(account)
        self.settled[account] = None
        return self._settle_debtor(valued, is_in_time=False) if valued.claim < 0 else self._settle_creditor(valued)

    def _begin(self, account: int) -> Valued:
        if account in self.settled:
            raise NotOwed(f"account {account} has been settled")
        return self.value(account)

    def _settle_debtor(self, valued: Valued, *, is_in_time: bool) -> list[Payment]:
        payments = []
        for asset, amount in valued.account.collateral:
            pool = self.pools[asset]
            seized = compute_seized_ceil(amount, -valued.claim, valued.collateral)
            if is_in_time:
                # What lacks of an asset lacks of what is seized of it as well.
                there = compute_share_floor(seized, pool.custody, pool.total)
                pool.pot += there
                pool.pot_left += there
            kept = compute_share_floor(amount - seized, pool.custody, pool.total)
            payments += self._pay(asset, kept, valued.account.owner)
        return payments

    def _settle_creditor(self, valued: Valued) -> list[Payment]:
        quote, owner = self.pools[QUOTE], valued.account.owner
        payments = self._pay(QUOTE, compute_share_floor(valued.claim, quote.custody, quote.total), owner)
        for asset, pool in enumerate(self.pools):
            if asset == QUOTE:
                continue
            units = compute_share_floor(valued.account.get_collateral(asset), pool.custody, pool.total)
            if valued.claim > 0:
                # Pots are there for the quote units that lack: shares in them are those of the quote claims.
                part = min(compute_pot_share_floor(valued.claim, pool.pot, quote.total), pool.pot_left)
                pool.pot_left -= part
                units += part
            payments += self._pay(asset, units, owner)
        return payments

    def _pay(self, asset: int, units: int, to: bytes) -> list[Payment]:
        """As far as they are there: withdrawals and refunds stay covered."""
        pool = self.pools[asset]
        paid = min(units, pool.left)
        pool.left -= paid
        return [Payment(asset, paid, to)] if paid else []


def value_account(ledger: Ledger, account: int) -> Valued:
    """An account at the marks and the time of the state. Reads it and, unless it has neither positions nor debts to be
    covered, G, P, M*. Raises SubjectMissing."""
    held = ledger.require_account(account)
    if not held.positions and (held.cash >= 0 or not held.collateral):
        return Valued(held, held.cash, 0)
    params = ledger.get_params()
    margin = compute_account_margin(held, read_quotes(ledger, held, params), ledger.get_globals().time, params)
    return Valued(held, margin.quote_equity, margin.equity - margin.quote_equity)


def compute_total(books: Asset) -> int:
    """What is owed to accounts of an asset, less what accounts owe: what has settled stands in house_cash until its
    holders are touched, and other positions add up to nothing."""
    return books.custody + books.bad_debt - books.fund - books.fees


def compute_share_floor(owed: int, custody: int, total: int) -> int:
    """What is paid on a claim: all of it where custody covers the total."""
    return owed if custody >= total else owed * custody // total


def compute_pot_share_floor(owed: int, pot: int, total: int) -> int:
    """The part of a pot that goes with a claim of quote units; where debts were left out, at most all of it."""
    return pot if owed >= total else pot * owed // total


def compute_seized_ceil(amount: int, debt: int, worth: int) -> int:
    """What is taken of a collateral to cover a debt, when all that the debtor has is `worth` quote units."""
    return amount if debt >= worth else -(-amount * debt // worth)
