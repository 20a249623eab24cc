"""Who is short of margin, or no longer: every account looked at once per price.

The seam of the keeper: an account's margin needs nothing but its leaf and the prices, so that other machines may look
at other accounts, and only the answer, a list of accounts, has to be brought together.

`AccountSweep` is the definition, one account after the other. `BookSweep` lays accounts of perpetuals and options out
side by side and lets compiled code pass over them, once it is loaded; what it does not know (collateral, futures, what
is settled, prices of thin confidence, sums beyond int64) it leaves to the other. Both find the same
(tests/sequencer/test_sweep.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from risk.fast_account import is_loaded
from risk.fast_margin import MAINTENANCE, QUOTE_EQUITY, Book, sweep
from risk.fixed_point import ONE_Q38
from risk.market import Market
from risk.parameters import Parameters
from state.leaves import CALL, PERPETUAL, QUOTE_UNDERLYING, Account, Expiry, Instrument, Params
from state.ledger import Ledger
from state.process_interest import is_interest_due
from state.process_liquidate import is_margin_bad
from state.valuation import (
    Quotes,
    build_market,
    compute_account_margin,
    compute_funding_index_floor,
    read_quotes,
)

Integers = NDArray[np.int64]
SUM_END = 1 << 60

Measured = tuple[int, Account, int, int]
"""An account by its index, its maintenance surplus and its quote equity, in quote units."""


class AccountSweep:
    """One account after the other."""

    def find_changed(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """Accounts whose auction should begin or end at the prices that the ledger shows."""
        params = ledger.get_params()
        return [
            index
            for index, account, maintenance, quote_equity in self._measure(ledger, accounts)
            if is_auction_wrong(account, maintenance, quote_equity, params)
        ]

    def find_debtors(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """Accounts for which interest is to be charged, or its clock started or stopped."""
        params, time = ledger.get_params(), ledger.get_globals().time
        return [
            index
            for index, account, _, quote_equity in self._measure(ledger, accounts)
            if is_interest_due(account, quote_equity, params, time)
        ]

    def _measure(self, ledger: Ledger, accounts: Mapping[int, Account]) -> Iterator[Measured]:
        params, time = ledger.get_params(), ledger.get_globals().time
        for index, account in accounts.items():
            margin = compute_account_margin(account, read_quotes(ledger, account, params), time, params)
            yield index, account, margin.maintenance, margin.quote_equity


def is_auction_wrong(account: Account, maintenance: int, quote_equity: int, params: Params) -> bool:
    """Whether the account's auction should begin or end."""
    return is_margin_bad(account, maintenance, quote_equity, params) == (account.liquidation_from == 0)


@dataclass(frozen=True, slots=True)
class _Row:
    """An account laid out: lots by underlying, and its options by the numbers that they were given."""

    account: Account
    perpetuals: Integers
    options: Integers
    quantities: Integers


@dataclass(slots=True)
class BookSweep:
    """All plain accounts in one pass. An account that has not changed since the last look is not laid out again."""

    _rows: dict[int, _Row | None] = field(default_factory=dict)
    _seen: dict[int, Account] = field(default_factory=dict)
    _numbers: dict[Instrument, int] = field(default_factory=dict)

    def find_changed(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """As AccountSweep."""
        params = ledger.get_params()
        measured, rest = self._measure(ledger, accounts)
        changed = [
            index
            for index, account, maintenance, quote_equity in measured
            if is_auction_wrong(account, maintenance, quote_equity, params)
        ]
        return [*changed, *AccountSweep().find_changed(ledger, rest)]

    def find_debtors(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """As AccountSweep."""
        params, time = ledger.get_params(), ledger.get_globals().time
        measured, rest = self._measure(ledger, accounts)
        due = [
            index
            for index, account, _, quote_equity in measured
            if is_interest_due(account, quote_equity, params, time)
        ]
        return [*due, *AccountSweep().find_debtors(ledger, rest)]

    def _measure(self, ledger: Ledger, accounts: Mapping[int, Account]) -> tuple[list[Measured], Mapping[int, Account]]:
        """What the pass knows, and who is left to the other sweep."""
        count = ledger.get_globals().underlying_count
        for index, account in accounts.items():
            if self._seen.get(index) is not account:
                self._seen[index], self._rows[index] = account, self._lay_out(account, count)
        plain = {index: row for index in accounts if (row := self._rows[index]) is not None}
        measured = self._sweep(ledger, plain)
        if measured is None:
            return [], accounts
        return measured, {index: account for index, account in accounts.items() if index not in plain}

    def _lay_out(self, account: Account, underlyings: int) -> _Row | None:
        """None for what the pass does not know."""
        perpetuals = [0] * underlyings
        options: list[int] = []
        quantities: list[int] = []
        for instrument, quantity in account.positions:
            if instrument.kind == PERPETUAL:
                perpetuals[instrument.underlying] = quantity
            elif instrument.is_option:
                options.append(self._numbers.setdefault(instrument, len(self._numbers)))
                quantities.append(quantity)
            else:
                return None
        if account.collateral or abs(account.cash) >= SUM_END:
            return None
        return _Row(account, *(np.array(column, dtype=np.int64) for column in (perpetuals, options, quantities)))

    def _sweep(self, ledger: Ledger, rows: Mapping[int, _Row]) -> list[Measured] | None:
        """None when the prices of the moment are not for the pass."""
        params, state = ledger.get_params(), ledger.get_globals()
        if not rows:
            return []
        if not is_loaded():
            return None
        known = sorted(self._numbers)
        expiries = {(i.underlying, i.expiry): ledger.require_expiry(i.underlying, i.expiry) for i in known}
        live = {key: leaf for key, leaf in expiries.items() if leaf.settlement == 0}
        underlyings = {index: ledger.require_underlying(index) for index in range(state.underlying_count)}
        quotes = Quotes(ledger.get_rules(), underlyings, live)
        market = build_market(quotes, state.time, params)
        if params.peg_underlying != QUOTE_UNDERLYING or is_thin(quotes.rules, market):
            return None
        listed = [i for i in known if (i.underlying, i.expiry) in live]
        # There may be entries for underlyings that are not listed yet.
        loadings = [terms.correlation_q20 for terms in params.underlyings[: state.underlying_count]]
        book = self._build_book(quotes, params, state.time, list(rows.values()), listed)
        if book is None:
            return None
        try:
            margins = sweep(quotes.rules, market, number_options(listed, live), book, loadings)
        except OverflowError:
            return None
        maintenance, quote_equity = (margins[:, column].tolist() for column in (MAINTENANCE, QUOTE_EQUITY))
        accounts = (row.account for row in rows.values())
        return list(zip(rows, accounts, maintenance, quote_equity, strict=True))

    def _build_book(
        self, quotes: Quotes, params: Params, time: int, rows: Sequence[_Row], listed: Sequence[Instrument]
    ) -> Book | None:
        """None when a sum could leave int64, or somebody still holds what has settled."""
        order = np.full(len(self._numbers), -1, np.int64)
        for place, instrument in enumerate(listed):
            order[self._numbers[instrument]] = place
        instruments = order[np.concatenate([row.options for row in rows])]
        if (instruments < 0).any():
            return None
        lots = np.stack([row.perpetuals for row in rows])
        marks, spots, values = np.array(list_prices(quotes, params, time), dtype=np.int64).T
        dearest = max(1, *(int(np.abs(column).max()) for column in (marks, spots, values)))
        if int(np.abs(lots).max()) * dearest * lots.shape[1] >= SUM_END:
            return None
        rules, notional = quotes.rules.contingencies, (np.abs(lots) * spots).sum(axis=1).tolist()
        fractions = rules.perpetual_maintenance_q38, rules.perpetual_initial_q38
        nothing = np.zeros(len(rows), np.int64)
        return Book(
            starts=np.array([0, *np.cumsum([len(row.options) for row in rows])], dtype=np.int64),
            instruments=instruments,
            quantities=np.concatenate([row.quantities for row in rows]),
            linear=lots * marks,
            holds=lots != 0,
            cash=np.array([row.account.cash for row in rows], dtype=np.int64) + (lots * values).sum(axis=1),
            collateral=nothing,
            charges=np.array([[-(-one * part >> 38) for part in fractions] for one in notional], dtype=np.int64),
            tiers=np.array([row.account.tier for row in rows], dtype=np.int64),
        )


def list_prices(quotes: Quotes, params: Params, time: int) -> list[tuple[int, int, int]]:
    """Of every underlying the mark, the spot and what a lot of its perpetual is worth."""
    return [
        (quote.mark, quote.spot, quote.mark - compute_funding_index_floor(quote, time, params))
        for quote in quotes.underlyings.values()
    ]


def number_options(
    listed: Sequence[Instrument], expiries: Mapping[tuple[int, int], Expiry]
) -> list[tuple[int, int, int, bool]]:
    """Instruments as risk/ names them: the expiry by its place among its underlying's."""
    places: dict[tuple[int, int], int] = {}
    counts: dict[int, int] = {}
    for underlying, expiry in sorted(expiries):
        places[underlying, expiry] = counts.get(underlying, 0)
        counts[underlying] = places[underlying, expiry] + 1
    return [(i.underlying, places[i.underlying, i.expiry], i.strike, i.kind == CALL) for i in listed]


def is_thin(rules: Parameters, market: Market) -> bool:
    """Whether any perpetual's price is of a confidence that costs margin."""
    threshold = min(rules.contingencies.confidence_threshold_q38, ONE_Q38)
    return any(
        min(underlying.spot_confidence_q38, underlying.mark_confidence_q38) < threshold
        for underlying in market.underlyings
    )
