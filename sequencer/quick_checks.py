"""The checks of a perpetual's order and of a cancel in one look at their leaves: what most requests pass, fast.

state/process_market.py is the law, and the engine asks it whenever the answer here is no: then it also knows which
check speaks against the op. A yes here must be a yes there; tests/sequencer/test_quick_checks.py holds them together.
"""

from collections.abc import Mapping

from state.context import StepContext
from state.leaves import PERPETUAL, SCOPE_TRADE, Account, Globals, decode_account, decode_globals, decode_order
from state.operations import Cancel, OrderOp
from state.tree import GLOBALS_KEY, LeafKey, account_key, order_key


def is_order_good(
    leaves: Mapping[LeafKey, bytes], context: StepContext, position: int, op: OrderOp, digest: bytes
) -> bool:
    """Whether an order may stand at a log position that it was accepted at, between `open` and `close`.

    `digest` is what its signature is over; positions within `op` are not looked at.
    """
    terms = op.terms
    state, account = decode_globals(leaves[GLOBALS_KEY]), decode_account(leaves.get(account_key(terms.account), b""))
    held = decode_order(leaves.get(order_key(terms.account, terms.slot), b""))
    return (
        not context.header.is_rescue
        and state is not None
        and account is not None
        and state.next_position <= position < context.header.position_to
        and terms.generation == state.generation
        and state.cancel_only_until <= state.time <= terms.valid_until
        and terms.epoch == account.epoch
        and len(terms.legs) == 1
        and terms.instrument.kind == PERPETUAL
        and terms.instrument.underlying < state.underlying_count
        and (held is None or terms.counter > held.counter)
        and _is_signed(state, account, context, op, digest)
    )


def is_cancel_good(
    leaves: Mapping[LeafKey, bytes], context: StepContext, position: int, op: Cancel, digest: bytes
) -> bool:
    """The same of a cancel."""
    state, account = decode_globals(leaves[GLOBALS_KEY]), decode_account(leaves.get(account_key(op.account), b""))
    held = decode_order(leaves.get(order_key(op.account, op.slot), b""))
    return (
        state is not None
        and account is not None
        and state.next_position <= position < context.header.position_to
        and op.generation == state.generation
        and (held is None or op.counter > held.counter or (op.counter == held.counter and held.remaining > 0))
        and _is_signed(state, account, context, op, digest)
    )


def _is_signed(state: Globals, account: Account, context: StepContext, op: OrderOp | Cancel, digest: bytes) -> bool:
    """A live key of the account signed the digest."""
    if op.key_index >= len(account.keys):
        return False
    key = account.keys[op.key_index]
    is_live = bool(key.scope & SCOPE_TRADE) and key.expiry > state.time
    return is_live and context.verify(key.public_key, digest, op.signature)
