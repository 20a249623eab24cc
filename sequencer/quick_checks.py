"""The checks of a perpetual's order, a cancel and a transfer of cash in one look at their leaves: what most requests
pass, fast.

state/process_market.py and state/process_money.py are the law, and the engine asks it whenever the answer here is no:
then it also knows which check speaks against the op. A yes here must be a yes there; tests/sequencer/
test_quick_checks.py holds them together.
"""

from state.constants import CASH_MAX
from state.context import StepContext
from state.leaves import (
    PERPETUAL,
    SCOPE_TRADE,
    SCOPE_TRANSFER,
    Globals,
    decode_account,
    decode_globals,
    decode_order,
    read_epoch,
    read_key,
)
from state.ledger import Leaves
from state.operations import Cancel, OrderOp, Transfer, hash_digest
from state.tree import GLOBALS_KEY, account_key, order_key


def is_order_good(leaves: Leaves, context: StepContext, position: int, op: OrderOp, digest: bytes) -> bool:
    """Whether an order may stand at a log position at which it was accepted, or later, between `open` and `close`.

    `digest` is what its signature is over; positions within `op` are not looked at.
    """
    terms = op.terms
    state, account = decode_globals(leaves.get(GLOBALS_KEY, b"")), leaves.get(account_key(terms.account), b"")
    held = decode_order(leaves.get(order_key(terms.account, terms.slot), b""))
    return (
        not context.header.is_rescue
        and state is not None
        and bool(account)
        and state.next_position <= position < context.header.position_to
        and terms.generation == state.generation
        and state.cancel_only_until <= state.time <= terms.valid_until
        and terms.epoch == read_epoch(account)
        and len(terms.legs) == 1
        and terms.instrument.kind == PERPETUAL
        and terms.instrument.underlying < state.underlying_count
        and (held is None or terms.counter > held.counter)
        and _is_signed(state, account, context, op, digest)
    )


def is_cancel_good(leaves: Leaves, context: StepContext, position: int, op: Cancel, digest: bytes) -> bool:
    """The same of a cancel."""
    state, account = decode_globals(leaves.get(GLOBALS_KEY, b"")), leaves.get(account_key(op.account), b"")
    held = decode_order(leaves.get(order_key(op.account, op.slot), b""))
    return (
        state is not None
        and bool(account)
        and state.next_position <= position < context.header.position_to
        and op.generation == state.generation
        and (held is None or op.counter > held.counter or (op.counter == held.counter and held.remaining > 0))
        and _is_signed(state, account, context, op, digest)
    )


def is_transfer_good(leaves: Leaves, context: StepContext, op: Transfer) -> bool:
    """Whether a transfer of cash that needs no price may stand where it says, between `open` and `close`."""
    data = leaves.get(account_key(op.account), b"")
    state, account = decode_globals(leaves.get(GLOBALS_KEY, b"")), decode_account(data)
    target = decode_account(leaves.get(account_key(op.to), b""))
    return (
        not context.header.is_rescue
        and state is not None
        and account is not None
        and target is not None
        and op.account != op.to
        and op.asset == 0
        and state.next_position <= op.position < context.header.position_to
        and op.sequence > account.sequence
        and not account.positions
        and account.cash >= op.amount
        and target.cash + op.amount <= CASH_MAX
        and _is_signed(state, data, context, op, hash_digest(context.domain, op), SCOPE_TRANSFER)
    )


def _is_signed(
    state: Globals,
    account: bytes,
    context: StepContext,
    op: OrderOp | Cancel | Transfer,
    digest: bytes,
    scope: int = SCOPE_TRADE,
) -> bool:
    """A live key of the account, whose leaf is given, signed the digest."""
    key = read_key(account, op.key_index)
    if key is None:
        return False
    is_live = bool(key.scope & scope) and key.expiry > state.time
    return is_live and context.verify(key.public_key, digest, op.signature)
