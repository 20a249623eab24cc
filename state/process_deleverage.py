"""deleverage: when nobody takes a bankrupt's portfolio and the fund cannot pay for it, those who won against it close
with it, the most leveraged first (SPEC.md sections 6 to 8).

The price is the mark, shifted by what is missing, in proportion to the position's share of the bankrupt's gross
notional: so the loss is shared by size, and nothing depends on the order of the closings.

Mirrors contracts/verify_deleverage.vy.
"""

from dataclasses import replace
from typing import NamedTuple, cast

from state.active_scenarios import is_number_true, list_tried, weigh_account
from state.codes import Code
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import Account, Asset, Instrument, Underlying
from state.ledger import Exhibit, Ledger, SubjectMissing
from state.marks import compute_mark
from state.operations import Deleverage, Operation
from state.valuation import add_position, compute_funding_index_floor, is_young


class Rank(NamedTuple):
    """Who closes first: |position| over the account's cash with this one position closed at mark."""

    account: int
    lots: int
    wealth: int

    def is_before(self, other: "Rank") -> bool:
        """The more leveraged comes first; no wealth at all before any; ties by account."""
        if (self.wealth <= 0) != (other.wealth <= 0):
            return self.wealth <= 0
        mine, theirs = (self.lots * other.wealth, other.lots * self.wealth) if self.wealth > 0 else (0, 0)
        return mine > theirs if mine != theirs else self.account < other.account


def compute_value(ledger: Ledger, op: Deleverage, underlying: Underlying) -> int:
    """Quote units a lot that the position is worth: the claimed mark, less a perpetual's funding index."""
    if op.instrument.expiry > 0:
        return op.mark
    return op.mark - compute_funding_index_floor(underlying, ledger.get_globals().time, ledger.get_params())


def claim_deleverage(
    ledger: Ledger, position: int, bankrupt: int, counterparty: int, instrument: Instrument, quantity: int
) -> Deleverage:
    """The op whose claims are true of the state as it stands. Raises SubjectMissing."""
    account, time = ledger.require_account(bankrupt), ledger.get_globals().time
    scales, _ = weigh_account(ledger, account)
    margin = scales.compute_after(None)
    underlying = ledger.require_underlying(instrument.underlying)
    expiry = ledger.require_expiry(instrument.underlying, instrument.expiry) if instrument.expiry > 0 else None
    return Deleverage(
        position=position,
        bankrupt=bankrupt,
        counterparty=counterparty,
        instrument=instrument,
        quantity=quantity,
        equity=margin.equity,
        maintenance=margin.maintenance,
        active=scales.name_worst_after(),
        notional=compute_notional(ledger, account),
        mark=compute_mark(instrument, underlying, expiry, time),
    )


def compute_notional(ledger: Ledger, account: Account) -> int:
    """Gross notional of all positions at the marks of their underlyings, in quote units."""
    return sum(
        abs(quantity) * ledger.require_underlying(instrument.underlying).mark
        for instrument, quantity in account.positions
    )


def do_both_exist(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Two different accounts."""
    deleverage = cast(Deleverage, op)
    ledger.require_account(deleverage.bankrupt)
    ledger.require_account(deleverage.counterparty)
    return deleverage.bankrupt != deleverage.counterparty


def is_auction_over(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Both phases of the auction have passed."""
    params, time = ledger.get_params(), ledger.get_globals().time
    account = ledger.require_account(cast(Deleverage, op).bankrupt)
    return account.liquidation_from > 0 and time >= account.liquidation_from + 2 * params.auction_seconds


def is_claimed_equity_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """What the op claims of the bankrupt is so, at young prices, and it is still short of maintenance margin."""
    deleverage = cast(Deleverage, op)
    params, time = ledger.get_params(), ledger.get_globals().time
    bankrupt = ledger.require_account(deleverage.bankrupt)
    scales, quotes = weigh_account(ledger, bankrupt)

    def is_true(exhibit: Exhibit) -> bool:
        margin = scales.compute_after(exhibit.after)
        return margin.equity == deleverage.equity and is_number_true(
            margin.maintenance, deleverage.maintenance, exhibit.after, deleverage.active
        )

    tried = list_tried(ledger, scales, Exhibit(deleverage.active, deleverage.active))
    is_priced = is_young(bankrupt, quotes, time, params)
    return is_priced and deleverage.maintenance < 0 and all(map(is_true, tried))


def is_claimed_mark_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The claimed mark is the instrument's."""
    deleverage = cast(Deleverage, op)
    instrument = deleverage.instrument
    ledger.get_params()
    underlying = ledger.require_underlying(instrument.underlying)
    expiry = ledger.require_expiry(instrument.underlying, instrument.expiry) if instrument.expiry > 0 else None
    return deleverage.mark == compute_mark(instrument, underlying, expiry, ledger.get_globals().time)


def is_claimed_notional_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The claimed gross notional is that of all the bankrupt's positions."""
    deleverage = cast(Deleverage, op)
    return deleverage.notional == compute_notional(ledger, ledger.require_account(deleverage.bankrupt))


def is_quantity_held(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Both hold that much, on opposite sides."""
    deleverage = cast(Deleverage, op)
    held = ledger.require_account(deleverage.bankrupt).get_position(deleverage.instrument)
    other = ledger.require_account(deleverage.counterparty).get_position(deleverage.instrument)
    return held * other < 0 and deleverage.quantity <= min(abs(held), abs(other))


def rank_account(index: int, account: Account, instrument: Instrument, value: int) -> Rank:
    """Where an account stands in the queue."""
    held = account.get_position(instrument)
    return Rank(index, abs(held), account.cash + held * value)


def find_first(ledger: Ledger, instrument: Instrument, value: int, side: int) -> Rank | None:
    """Who is first in the queue of those long (side above 0) or short (below). Looks at every account."""
    first: Rank | None = None
    for index, account in ledger.peek_accounts():
        if account.get_position(instrument) * side > 0:
            rank = rank_account(index, account, instrument, value)
            first = rank if first is None or rank.is_before(first) else first
    return first


def is_rank_first(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Nobody on the counterparty's side comes before it. Who does is read last: he is the exhibit of a proof."""
    deleverage = cast(Deleverage, op)
    instrument = deleverage.instrument
    ledger.get_params()
    counterparty = ledger.require_account(deleverage.counterparty)
    value = compute_value(ledger, deleverage, ledger.require_underlying(instrument.underlying))
    held = counterparty.get_position(instrument)
    first = find_first(ledger, instrument, value, held)
    if first is None:
        return True
    ledger.require_account(first.account)
    return first == rank_account(deleverage.counterparty, counterparty, instrument, value)


def compute_shift_ceil(op: Deleverage, underlying: Underlying, books: Asset) -> int:
    """What the counterparty adds to the mark, in quote units: its share of what equity and fund leave open."""
    missing = max(0, -op.equity - max(books.fund, 0))
    return -(-missing * op.quantity * underlying.mark // max(op.notional, 1))


def apply_deleverage(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Both close, at the shifted mark."""
    deleverage = cast(Deleverage, op)
    instrument, quantity = deleverage.instrument, deleverage.quantity
    if deleverage.bankrupt == deleverage.counterparty:
        raise SubjectMissing("another account")
    advance_position(ledger, op)
    ledger.get_params()
    bankrupt = ledger.require_account(deleverage.bankrupt)
    counterparty = ledger.require_account(deleverage.counterparty)
    underlying, books = ledger.require_underlying(instrument.underlying), ledger.require_asset(0)
    held = bankrupt.get_position(instrument)
    if held == 0 or quantity > abs(held):
        raise SubjectMissing("position")
    # EFFECTS
    shift = compute_shift_ceil(deleverage, underlying, books)
    paid = quantity * compute_value(ledger, deleverage, underlying)
    if held > 0:
        closed, gain = -quantity, paid + shift
    else:
        closed, gain = quantity, min(shift, quantity * deleverage.mark) - paid
    ledger.put_account(
        deleverage.bankrupt, replace(add_position(bankrupt, instrument, closed), cash=bankrupt.cash + gain)
    )
    ledger.put_account(
        deleverage.counterparty,
        replace(add_position(counterparty, instrument, -closed), cash=counterparty.cash - gain),
    )
    ledger.put_underlying(instrument.underlying, replace(underlying, open_interest=underlying.open_interest - quantity))
    # RECEIPT
    return Receipt(account=deleverage.counterparty)


DELEVERAGE = Process(
    checks=(
        (Code.DELEVERAGE_POSITION_MUST_INCREASE, is_position_next),
        (Code.DELEVERAGE_ACCOUNTS_MUST_EXIST, do_both_exist),
        (Code.DELEVERAGE_MUST_BE_DUE, is_auction_over),
        (Code.DELEVERAGE_MARGIN_MUST_MATCH, is_claimed_equity_true),
        (Code.DELEVERAGE_MARK_MUST_MATCH, is_claimed_mark_true),
        (Code.DELEVERAGE_NOTIONAL_MUST_MATCH, is_claimed_notional_true),
        (Code.DELEVERAGE_QUANTITY_MUST_FIT, is_quantity_held),
        (Code.DELEVERAGE_RANK_MUST_BE_FIRST, is_rank_first),
    ),
    apply_effects=apply_deleverage,
)
