"""Reserves and liabilities of a state, added up from nothing but its leaves: what anybody can do who has derived it.

Two invariants must hold of every state (state/SPEC.md section 3): per asset, claims and books add up to custody; per
instrument, positions add up to nothing, and the longs of an underlying to its open interest. The rest is for judgement:
who is close to maintenance margin, what the insurance fund could bear, and what is owed that is not there.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from state.leaves import Account, Asset, Instrument
from state.ledger import Ledger, SubjectMissing
from state.tree import LeafKey
from state.valuation import compute_account_margin, read_quotes


@dataclass(frozen=True, slots=True)
class AssetReport:
    """One asset, in units. `claims` is what accounts hold."""

    claims: int
    books: Asset

    @property
    def difference(self) -> int:
        """What the books do not explain: 0 in every state that the rules lead to."""
        booked = self.books.house_cash + self.books.fund + self.books.fees - self.books.bad_debt
        return self.claims + booked - self.books.custody


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
    return Solvency(assets, tuple(accounts), tuple(list_departures(ledger, held, assets)))


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


def list_departures(ledger: Ledger, held: list[tuple[int, Account]], assets: tuple[AssetReport, ...]) -> Iterator[str]:
    """Every invariant that does not hold, in words."""
    for asset, report in enumerate(assets):
        if report.difference != 0:
            yield f"asset {asset}: claims and books differ from custody by {report.difference} units"
    sums: dict[Instrument, int] = defaultdict(int)
    longs: dict[int, int] = defaultdict(int)
    for _, account in held:
        for instrument, quantity in account.positions:
            sums[instrument] += quantity
            longs[instrument.underlying] += max(quantity, 0)
    for instrument, total in sums.items():
        if total != 0 and not is_settled(ledger, instrument):
            yield f"{instrument}: positions add up to {total} lots"
    for underlying in range(ledger.get_globals().underlying_count):
        counted = ledger.require_underlying(underlying).open_interest
        if counted != longs[underlying]:
            yield f"underlying {underlying}: open interest says {counted} lots, accounts hold {longs[underlying]}"


def is_settled(ledger: Ledger, instrument: Instrument) -> bool:
    """Whether the instrument's positions are being paid out, one account after the other."""
    leaf = ledger.get_expiry(instrument.underlying, instrument.expiry) if instrument.expiry else None
    return leaf is not None and leaf.settlement > 0
