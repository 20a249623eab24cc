"""interest: who owes quote against other collateral pays for it, hour by hour, to the insurance fund (SPEC.md
sections 6 to 8).

Cash itself is below 0 for whoever is long, since a trade books its whole price: what is owed is quote equity below 0.

Mirrors contracts/verify_liquidation.vy.
"""

from dataclasses import replace
from typing import cast

from state.codes import Code
from state.constants import INTEREST_PERIOD, INTEREST_SECONDS_MAX, PPM, YEAR_SECONDS
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import Account, Asset, Params
from state.ledger import Ledger
from state.operations import Interest, Operation
from state.valuation import measure_account


def is_interest_due(account: Account, quote_equity: int, params: Params, time: int) -> bool:
    """Whether a debt's clock may begin, or has run for a period; or runs for somebody who owes nothing. What is in
    auction is charged nothing."""
    if quote_equity >= 0:
        return account.interest_from > 0
    if account.liquidation_from > 0 or params.debt_rate_ppm == 0:
        return False
    return account.interest_from == 0 or time >= account.interest_from + INTEREST_PERIOD


def compute_interest_ceil(account: Account, quote_equity: int, params: Params, time: int) -> int:
    """Quote units for a debt since it was last paid for, `quote_equity` being below 0: never for longer than
    INTEREST_SECONDS_MAX, so that nobody gains by waiting for it to be large."""
    seconds = min(max(0, time - account.interest_from), INTEREST_SECONDS_MAX)
    return -(quote_equity * params.debt_rate_ppm * seconds // (PPM * YEAR_SECONDS))


def claim_interest(ledger: Ledger, position: int, account: int) -> Interest:
    """The op whose claim is true of the state as it stands. Raises SubjectMissing."""
    margin, _ = measure_account(ledger, account)
    return Interest(position, account, margin.quote_equity)


def does_debtor_exist(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """There is an account to charge."""
    return ledger.get_account(cast(Interest, op).account) is not None


def is_claimed_quote_equity_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """What the op claims is the account's quote equity, at prices that are young."""
    interest = cast(Interest, op)
    margin, is_priced = measure_account(ledger, interest.account)
    return is_priced and interest.quote_equity == margin.quote_equity


def is_anything_due(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The clock begins, goes on by a payment, or ends."""
    interest, params = cast(Interest, op), ledger.get_params()
    account, time = ledger.require_account(interest.account), ledger.get_globals().time
    return is_interest_due(account, interest.quote_equity, params, time)


def charge(account: Account, books: Asset, quote_equity: int, params: Params, time: int) -> tuple[Account, Asset]:
    """The account and the books behind the op. What is paid repays bad debt before it is the fund's."""
    if quote_equity >= 0:
        return replace(account, interest_from=0), books
    if account.interest_from == 0:
        return replace(account, interest_from=time), books
    interest = compute_interest_ceil(account, quote_equity, params, time)
    repaid = min(interest, books.bad_debt)
    charged = replace(account, cash=account.cash - interest, interest_from=time)
    return charged, replace(books, bad_debt=books.bad_debt - repaid, fund=books.fund + interest - repaid)


def apply_interest(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Start the clock, or move it on and take what is owed, or stop it."""
    interest = cast(Interest, op)
    advance_position(ledger, op)
    params, time = ledger.get_params(), ledger.get_globals().time
    account, books = ledger.require_account(interest.account), ledger.require_asset(0)
    # EFFECTS
    account, books = charge(account, books, interest.quote_equity, params, time)
    ledger.put_account(interest.account, account)
    ledger.put_asset(0, books)
    # RECEIPT
    return Receipt(account=interest.account)


INTEREST = Process(
    checks=(
        (Code.INTEREST_POSITION_MUST_INCREASE, is_position_next),
        (Code.INTEREST_ACCOUNT_MUST_EXIST, does_debtor_exist),
        (Code.INTEREST_QUOTE_EQUITY_MUST_MATCH, is_claimed_quote_equity_true),
        (Code.INTEREST_MUST_CHANGE, is_anything_due),
    ),
    apply_effects=apply_interest,
)
