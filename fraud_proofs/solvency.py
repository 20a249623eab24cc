"""Reserves and liabilities of a state, added up from nothing but its leaves: what anybody can do who has derived it.

What must hold of every state (state/SPEC.md section 3) is asked of it whole, as of a change from nothing. The rest is
for judgement: who is close to maintenance margin, what the insurance fund could bear, and what is owed that is not
there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from state.conservation import list_leaks
from state.leaves import Account, Asset
from state.ledger import Ledger, SubjectMissing
from state.tree import LeafKey
from state.valuation import compute_account_margin, read_quotes


@dataclass(frozen=True, slots=True)
class AssetReport:
    """One asset, in units. `claims` is what accounts hold."""

    claims: int
    books: Asset


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One account with positions or debt, in quote units; surpluses as margin has them."""

    account: int
    equity: int
    initial: int
    maintenance: int
    is_in_auction: bool


@dataclass(frozen=True, slots=True)
class Solvency:
    """A state's reserves and liabilities. `departures` name every invariant that does not hold."""

    assets: tuple[AssetReport, ...]
    accounts: tuple[AccountReport, ...]
    departures: tuple[str, ...]

    @property
    def negative_equity(self) -> int:
        """What accounts owe beyond all that they have: quote units that are nobody's yet."""
        return sum(min(account.equity, 0) for account in self.accounts)


def examine_solvency(leaves: Mapping[LeafKey, bytes]) -> Solvency:
    """Everything, worst accounts first. An account without a price for all that it holds is left out of `accounts`."""
    ledger = Ledger(leaves)
    held = list(ledger.peek_accounts())
    assets = tuple(examine_asset(ledger, held, asset) for asset in range(ledger.get_globals().asset_count))
    reports = [examine_account(ledger, index, account) for index, account in held if is_exposed(account)]
    accounts = sorted((one for one in reports if one is not None), key=lambda one: one.maintenance)
    return Solvency(assets, tuple(accounts), tuple(list_leaks(dict.fromkeys(leaves, b""), leaves)))


def is_exposed(account: Account) -> bool:
    """Whether prices can make the account fall short."""
    return bool(account.positions) or account.cash < 0


def examine_asset(ledger: Ledger, held: list[tuple[int, Account]], asset: int) -> AssetReport:
    """What accounts hold of an asset, beside its books."""
    claims = sum(account.cash if asset == 0 else account.get_collateral(asset) for _, account in held)
    return AssetReport(claims, ledger.require_asset(asset))


def examine_account(ledger: Ledger, index: int, account: Account) -> AccountReport | None:
    """Its margin at the prices of the state; None where one is missing."""
    params = ledger.get_params()
    try:
        quotes = read_quotes(ledger, account, params)
    except SubjectMissing:
        return None
    margin = compute_account_margin(account, quotes, ledger.get_globals().time, params)
    is_in_auction = account.liquidation_from > 0
    return AccountReport(index, margin.equity, margin.initial, margin.maintenance, is_in_auction)
