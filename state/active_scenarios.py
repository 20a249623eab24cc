"""Which scenarios an op relies on, and which a proof holds against it (SPEC.md section 8, "Active scenarios").

The margin of an account is what its worst scenarios leave, and is never above the margin under any others. So whoever
says that an account is short names the scenarios that show it: the op, where it relies on a shortfall; the prover,
where an op denies one. A proof values an option in two or three scenarios and not in all.

Eight bytes name them: one byte for each underlying in which the account holds options that have not settled, ascending.
It is the number of a scenario, or BASIS_ACTIVE; any other takes nothing from the account.

Mirrors contracts/margin.vy and contracts/margins.vy.
"""

from risk import fast_account
from risk.margin import Margin, Measured, compute_margin_under, get_active
from state.leaves import Account, Params
from state.ledger import Exhibit, Ledger
from state.operations import NO_ACTIVE
from state.valuation import Quotes, build_market, build_portfolio, list_loadings_q20, read_quotes

WORST = Exhibit(None, None)


class Scales:
    """Accounts of the same quotes, each measured in every scenario when it is first asked for."""

    __slots__ = ("_accounts", "_measured", "_params", "_quotes", "_time")

    def __init__(self, quotes: Quotes, time: int, params: Params, before: Account, after: Account) -> None:
        self._quotes, self._time, self._params = quotes, time, params
        self._accounts = (before, after)
        self._measured: dict[int, Measured] = {}

    def compute_before(self, active: bytes | None) -> Margin:
        """Margin of the account before the op under these scenarios; None: the worst."""
        return self._compute(0, active)

    def compute_after(self, active: bytes | None) -> Margin:
        """Margin of the account after the op."""
        return self._compute(1, active)

    def name_worst_before(self) -> bytes:
        """The active scenarios of the account before the op."""
        return self._name_worst(0)

    def name_worst_after(self) -> bytes:
        """Those of the account after it."""
        return self._name_worst(1)

    def _measure(self, lane: int) -> Measured:
        if lane not in self._measured:
            market = build_market(self._quotes, self._time, self._params)
            portfolio = build_portfolio(self._accounts[lane], self._quotes, self._time, self._params)
            self._measured[lane] = fast_account.measure_account(self._quotes.rules, market, portfolio)
        return self._measured[lane]

    def _list_named(self) -> list[int]:
        """The places, among the quotes' underlyings, of those that the bytes speak of."""
        named = {
            instrument.underlying
            for account in self._accounts
            for instrument, _ in account.positions
            if instrument.is_option and self._quotes.expiries[instrument.underlying, instrument.expiry].settlement == 0
        }
        return [place for place, underlying in enumerate(self._quotes.underlyings) if underlying in named]

    def _compute(self, lane: int, active: bytes | None) -> Margin:
        named: dict[int, int] = {}
        if active is not None:
            padded = active + bytes(len(self._quotes.underlyings))
            named = {place: padded[order] for order, place in enumerate(self._list_named())}
        loadings = list_loadings_q20(self._quotes, self._params)
        tier = self._accounts[lane].tier
        return compute_margin_under(self._quotes.rules, self._measure(lane), named, loadings, tier)

    def _name_worst(self, lane: int) -> bytes:
        risks = self._measure(lane).underlyings
        named = bytes(get_active(risks[place]) for place in self._list_named())
        return (named + NO_ACTIVE)[: len(NO_ACTIVE)]


def weigh_account(ledger: Ledger, account: Account) -> tuple[Scales, Quotes]:
    """An account as the state stands, before and after alike; reads G, P, M*. Raises SubjectMissing."""
    params = ledger.get_params()
    quotes = read_quotes(ledger, account, params)
    return Scales(quotes, ledger.get_globals().time, params, account, account), quotes


def list_tried(ledger: Ledger, scales: Scales, named: Exhibit | None = None) -> tuple[Exhibit, ...]:
    """The scenarios under which a check must pass: in a proof those that are exhibited; else the worst, and those that
    the op names, if it names any."""
    if ledger.exhibited is not None:
        return (ledger.exhibited,)
    others = () if named is None else (named,)
    ledger.list_exhibits = lambda: (Exhibit(scales.name_worst_before(), scales.name_worst_after()), *others)
    return (WORST, *others)


def is_number_true(number: int, claimed: int, exhibit: bytes | None, active: bytes) -> bool:
    """Whether a surplus computed under the scenarios `exhibit` does not speak against what an op claims of it: it is
    never less than claimed, and as claimed under those that the op names."""
    return number >= claimed and (exhibit != active or number == claimed)
