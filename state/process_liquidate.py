"""liquidate: an account that no longer covers its maintenance margin is put up for auction, by whoever says so; one
that does again is let go; one of which only a debt is left is written off (SPEC.md sections 6 to 8).

The op claims the account's margin, and a check compares: so no effect ever has to compute one.

Mirrors contracts/verify_liquidation.vy.
"""

from dataclasses import replace
from typing import cast

from state.active_scenarios import is_number_true, list_tried, weigh_account
from state.codes import Code
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import Account, Asset, Params
from state.ledger import Exhibit, Ledger
from state.operations import Liquidate, Operation
from state.valuation import is_young


def needs_margin(account: Account) -> bool:
    """Whether there is anything to be short for. The value of collateral is rounded, and dust of it may stand below
    its own haircut."""
    return bool(account.positions) or account.cash < 0


def is_margin_bad(account: Account, maintenance: int, quote_equity: int, params: Params) -> bool:
    """Short of maintenance margin, or owing more quote cash than may be owed against other collateral."""
    return needs_margin(account) and (maintenance < 0 or quote_equity < -params.quote_debt_max)


def is_only_debt_left(account: Account) -> bool:
    """Nothing remains that could be sold."""
    return not account.positions and not account.collateral and account.cash < 0


def raise_epoch(account: Account) -> Account:
    """Every order that the account has signed is dead."""
    return replace(account, epoch=(account.epoch + 1) % (1 << 32))


def claim_liquidate(ledger: Ledger, position: int, account: int) -> Liquidate:
    """The op whose claims are true of the state as it stands. Raises SubjectMissing."""
    scales, _ = weigh_account(ledger, ledger.require_account(account))
    margin, active = scales.compute_after(None), scales.name_worst_after()
    return Liquidate(position, account, margin.equity, margin.maintenance, margin.quote_equity, active)


def does_liquidated_account_exist(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """There is an account to liquidate."""
    return ledger.get_account(cast(Liquidate, op).account) is not None


def is_claimed_margin_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The numbers that the op claims are the account's, at prices that are young."""
    liquidate = cast(Liquidate, op)
    params, time = ledger.get_params(), ledger.get_globals().time
    account = ledger.require_account(liquidate.account)
    scales, quotes = weigh_account(ledger, account)

    def is_true(exhibit: Exhibit) -> bool:
        margin = scales.compute_after(exhibit.after)
        return (margin.equity, margin.quote_equity) == (liquidate.equity, liquidate.quote_equity) and is_number_true(
            margin.maintenance, liquidate.maintenance, exhibit.after, liquidate.active
        )

    tried = list_tried(ledger, scales, Exhibit(liquidate.active, liquidate.active))
    return is_young(account, quotes, time, params) and all(map(is_true, tried))


def is_anything_changed(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """An auction begins or ends, or a debt is written off."""
    liquidate, params = cast(Liquidate, op), ledger.get_params()
    account = ledger.require_account(liquidate.account)
    is_bad = is_margin_bad(account, liquidate.maintenance, liquidate.quote_equity, params)
    return is_only_debt_left(account) or is_bad == (account.liquidation_from == 0)


def write_off(account: Account, books: Asset) -> tuple[Account, Asset]:
    """The insurance fund pays a debt as far as it can; what is left is everybody's."""
    debt = -account.cash
    paid = min(max(books.fund, 0), debt)
    freed = replace(account, cash=0, liquidation_from=0, close_from=0)
    return freed, replace(books, fund=books.fund - paid, bad_debt=books.bad_debt + debt - paid)


def apply_liquidate(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Start the clock and kill the account's orders, or stop it, or write the rest off."""
    liquidate = cast(Liquidate, op)
    advance_position(ledger, op)
    params, time = ledger.get_params(), ledger.get_globals().time
    account, books = ledger.require_account(liquidate.account), ledger.require_asset(0)
    # EFFECTS
    if is_only_debt_left(account):
        account, books = write_off(account, books)
    elif is_margin_bad(account, liquidate.maintenance, liquidate.quote_equity, params):
        account = replace(raise_epoch(account), liquidation_from=time)
    else:
        account = replace(account, liquidation_from=0)
    ledger.put_account(liquidate.account, account)
    ledger.put_asset(0, books)
    # RECEIPT
    return Receipt(account=liquidate.account)


LIQUIDATE = Process(
    checks=(
        (Code.LIQUIDATE_POSITION_MUST_INCREASE, is_position_next),
        (Code.LIQUIDATE_ACCOUNT_MUST_EXIST, does_liquidated_account_exist),
        (Code.LIQUIDATE_MARGIN_MUST_MATCH, is_claimed_margin_true),
        (Code.LIQUIDATE_MUST_CHANGE, is_anything_changed),
    ),
    apply_effects=apply_liquidate,
)
