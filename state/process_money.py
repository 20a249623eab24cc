"""transfer and withdraw: what an account's own key may send away (SPEC.md sections 6 to 8).

Mirrors contracts/verify_account.vy.
"""

from dataclasses import replace
from typing import cast

from state.codes import Code
from state.constants import ASSETS_MAX, CASH_MAX, CUSTODY_MAX
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import SCOPE_TRANSFER, SCOPE_WITHDRAW, Account, Withdrawal
from state.leaving import is_balance_covered, is_margin_kept
from state.ledger import Ledger, SubjectMissing
from state.operations import Operation, Transfer, Withdraw
from state.signed_checks import does_account_exist, is_key_live, is_signature_valid
from state.valuation import add_balance

MoneyOp = Transfer | Withdraw


def is_destination_other(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The receiving account exists and is not the paying one."""
    transfer = cast(Transfer, op)
    return ledger.get_account(transfer.to) is not None and transfer.to != transfer.account


def is_sequence_risen(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """No replay: sequences strictly increase."""
    money = cast(MoneyOp, op)
    return money.sequence > ledger.require_account(money.account).sequence


def is_covered(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The account owns what it sends."""
    money = cast(MoneyOp, op)
    # Globals and params come first in the order of reads, also when no price is needed.
    ledger.get_params()
    return is_balance_covered(ledger, ledger.require_account(money.account), money.asset, money.amount)


def is_margin_held(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """What remains covers the account's initial margin."""
    money = cast(MoneyOp, op)
    ledger.get_params()
    return is_margin_kept(ledger, ledger.require_account(money.account), money.asset, money.amount)


def has_room(account: Account, asset: int, amount: int) -> bool:
    """Whether an account can take `amount` units more of an asset."""
    after = add_balance(account, asset, amount)
    if asset == 0:
        return after.cash <= CASH_MAX
    return len(after.collateral) < ASSETS_MAX and after.get_collateral(asset) <= CUSTODY_MAX


def does_destination_fit(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The receiving account's numbers stay within their fields."""
    transfer = cast(Transfer, op)
    return has_room(ledger.require_account(transfer.to), transfer.asset, transfer.amount)


def does_custody_cover(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """What was paid in and has not left covers the amount with its share of the loss that nobody has paid: a gain that
    the losing side cannot pay is not there."""
    withdraw = cast(Withdraw, op)
    books = ledger.require_asset(withdraw.asset)
    return books.custody + books.bad_debt >= withdraw.amount


def apply_transfer(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Move the amount."""
    transfer = cast(Transfer, op)
    if transfer.to == transfer.account:
        raise SubjectMissing("destination")
    advance_position(ledger, op)
    source, target = ledger.require_account(transfer.account), ledger.require_account(transfer.to)
    # EFFECTS
    source = replace(add_balance(source, transfer.asset, -transfer.amount), sequence=transfer.sequence)
    ledger.put_account(transfer.account, source)
    ledger.put_account(transfer.to, add_balance(target, transfer.asset, transfer.amount))
    # RECEIPT
    return Receipt(account=transfer.account)


def move_to_outbox(ledger: Ledger, index: int, account: Account, asset: int, amount: int) -> int:
    """Take `amount` out of an account, and its share of custody into the outbox; answers the withdrawal's index.

    Where custody does not cover what is owed, whoever leaves bears his share of the loss.
    """
    books = ledger.require_asset(asset)
    owed = books.custody + books.bad_debt
    if owed < amount:
        raise SubjectMissing("custody")
    paid = amount * books.custody // owed
    left = replace(books, custody=books.custody - paid, bad_debt=books.bad_debt - (amount - paid))
    state = ledger.get_globals()
    ledger.put_asset(asset, left)
    ledger.put_account(index, add_balance(account, asset, -amount))
    ledger.put_withdrawal(state.outbox_count, Withdrawal(account.owner, asset, paid, index))
    ledger.put_globals(replace(state, outbox_count=state.outbox_count + 1))
    return state.outbox_count


def apply_withdraw(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Move the amount to the outbox."""
    withdraw = cast(Withdraw, op)
    advance_position(ledger, op)
    account = replace(ledger.require_account(withdraw.account), sequence=withdraw.sequence)
    # EFFECTS
    index = move_to_outbox(ledger, withdraw.account, account, withdraw.asset, withdraw.amount)
    # RECEIPT
    return Receipt(account=withdraw.account, withdrawal=index)


TRANSFER = Process(
    checks=(
        (Code.TRANSFER_POSITION_MUST_INCREASE, is_position_next),
        (Code.TRANSFER_ACCOUNT_MUST_EXIST, does_account_exist),
        (Code.TRANSFER_DESTINATION_MUST_EXIST, is_destination_other),
        (Code.TRANSFER_SEQUENCE_MUST_RISE, is_sequence_risen),
        (Code.TRANSFER_BALANCE_MUST_COVER, is_covered),
        (Code.TRANSFER_DESTINATION_MUST_FIT, does_destination_fit),
        (Code.TRANSFER_MARGIN_MUST_HOLD, is_margin_held),
        (Code.TRANSFER_KEY_MUST_BE_LIVE, is_key_live(SCOPE_TRANSFER)),
        (Code.TRANSFER_SIGNATURE_MUST_VERIFY, is_signature_valid),
    ),
    apply_effects=apply_transfer,
)

WITHDRAW = Process(
    checks=(
        (Code.WITHDRAW_POSITION_MUST_INCREASE, is_position_next),
        (Code.WITHDRAW_ACCOUNT_MUST_EXIST, does_account_exist),
        (Code.WITHDRAW_SEQUENCE_MUST_RISE, is_sequence_risen),
        (Code.WITHDRAW_BALANCE_MUST_COVER, is_covered),
        (Code.WITHDRAW_MARGIN_MUST_HOLD, is_margin_held),
        (Code.WITHDRAW_KEY_MUST_BE_LIVE, is_key_live(SCOPE_WITHDRAW)),
        (Code.WITHDRAW_SIGNATURE_MUST_VERIFY, is_signature_valid),
        (Code.WITHDRAW_CUSTODY_MUST_COVER, does_custody_cover),
    ),
    apply_effects=apply_withdraw,
)
