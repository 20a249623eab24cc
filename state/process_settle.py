"""settle: an expired position becomes cash, whoever holds it and whether he is there or not (SPEC.md sections 6 to 8).

Nobody has to be quick: margin counts a settled position as cash from the moment the settlement price stands.

Mirrors contracts/verify_liquidation.vy.
"""

from dataclasses import replace
from typing import cast

from state.codes import Code
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import Account, Instrument
from state.ledger import Ledger, SubjectMissing
from state.marks import compute_payoff
from state.operations import Operation, Settle

Payoffs = dict[Instrument, int]


def does_settled_account_exist(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """There is an account to settle."""
    return ledger.get_account(cast(Settle, op).account) is not None


def read_payoffs(ledger: Ledger, account: Account) -> Payoffs:
    """What each settled position pays, quote units a lot. Reads every expiry of the account that has come, in order."""
    time = ledger.get_globals().time
    payoffs: Payoffs = {}
    for instrument, _ in account.positions:  # in order of instruments, so in order of expiries
        if 0 < instrument.expiry <= time:
            expiry = ledger.get_expiry(instrument.underlying, instrument.expiry)
            if expiry is not None and expiry.settlement > 0:
                payoffs[instrument] = compute_payoff(instrument, expiry.settlement)
    return payoffs


def is_anything_settled(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """At least one position has its settlement price."""
    ledger.get_globals()
    return bool(read_payoffs(ledger, ledger.require_account(cast(Settle, op).account)))


def apply_settle(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Pay what every settled position is worth, from or to the house."""
    settle = cast(Settle, op)
    advance_position(ledger, op)
    account = ledger.require_account(settle.account)
    payoffs = read_payoffs(ledger, account)
    if not payoffs:
        raise SubjectMissing("settlement")
    closed_long: dict[int, int] = {}
    for instrument, quantity in account.positions:
        if instrument in payoffs:
            known = closed_long.get(instrument.underlying, 0)
            closed_long[instrument.underlying] = known + max(quantity, 0)
    underlyings = {index: ledger.require_underlying(index) for index in closed_long}
    books = ledger.require_asset(0)
    # EFFECTS
    paid = sum(quantity * payoffs.get(instrument, 0) for instrument, quantity in account.positions)
    kept = tuple(position for position in account.positions if position[0] not in payoffs)
    ledger.put_account(settle.account, replace(account, cash=account.cash + paid, positions=kept))
    for index, lots in closed_long.items():
        underlying = underlyings[index]
        ledger.put_underlying(index, replace(underlying, open_interest=underlying.open_interest - lots))
    ledger.put_asset(0, replace(books, house_cash=books.house_cash - paid))
    # RECEIPT
    return Receipt(account=settle.account)


SETTLE = Process(
    checks=(
        (Code.SETTLE_POSITION_MUST_INCREASE, is_position_next),
        (Code.SETTLE_ACCOUNT_MUST_EXIST, does_settled_account_exist),
        (Code.SETTLE_MUST_FIND_SETTLED, is_anything_settled),
    ),
    apply_effects=apply_settle,
)
