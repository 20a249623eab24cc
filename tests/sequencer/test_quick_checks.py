"""The checks in one look: a yes exactly where the law finds nothing against an op, as far as they know such ops."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from sequencer.quick_checks import is_cancel_good, is_order_good, is_transfer_good
from sequencer.requests import decode_request
from state.codes import Code
from state.constants import CASH_MAX
from state.context import StepContext, draft_header
from state.leaves import Globals, SessionKey, decode_account, decode_globals
from state.ledger import Ledger, Slot
from state.operations import Cancel, OrderOp, OrderTerms, Transfer, hash_digest
from state.process_market import CANCEL, ORDER
from state.process_money import TRANSFER
from state.signatures import is_ed25519_valid
from state.transition import find_failed_check
from state.tree import GLOBALS_KEY, LeafKey, account_key
from tests.sequencer.market import Sequencing

PRICE = 17_000_000
ROUNDS = 300


def test_both_know_the_same_checks() -> None:
    """Whoever adds a check to the law learns here that the quick look does not know it yet."""
    assert [code for code, _ in ORDER.checks] == [
        Code.ORDER_POSITION_MUST_INCREASE,
        Code.ORDER_ACCEPTED_MUST_NOT_FOLLOW,
        Code.ORDER_ACCOUNT_MUST_EXIST,
        Code.ORDER_GENERATION_MUST_MATCH,
        Code.ORDER_MUST_NOT_BE_CANCEL_ONLY,
        Code.ORDER_EPOCH_MUST_MATCH,
        Code.ORDER_MUST_NOT_BE_EXPIRED,
        Code.ORDER_INSTRUMENT_MUST_BE_LISTED,
        Code.ORDER_COUNTER_MUST_RISE,
        Code.ORDER_KEY_MUST_BE_LIVE,
        Code.ORDER_SIGNATURE_MUST_VERIFY,
    ]
    assert [code for code, _ in CANCEL.checks] == [
        Code.CANCEL_POSITION_MUST_INCREASE,
        Code.CANCEL_ACCOUNT_MUST_EXIST,
        Code.CANCEL_GENERATION_MUST_MATCH,
        Code.CANCEL_COUNTER_MUST_RISE,
        Code.CANCEL_KEY_MUST_BE_LIVE,
        Code.CANCEL_SIGNATURE_MUST_VERIFY,
    ]
    assert [code for code, _ in TRANSFER.checks] == [
        Code.TRANSFER_POSITION_MUST_INCREASE,
        Code.TRANSFER_ACCOUNT_MUST_EXIST,
        Code.TRANSFER_DESTINATION_MUST_EXIST,
        Code.TRANSFER_SEQUENCE_MUST_RISE,
        Code.TRANSFER_BALANCE_MUST_COVER,
        Code.TRANSFER_DESTINATION_MUST_FIT,
        Code.TRANSFER_MARGIN_MUST_HOLD,
        Code.TRANSFER_KEY_MUST_BE_LIVE,
        Code.TRANSFER_SIGNATURE_MUST_VERIFY,
    ]


def build_market(seed: int) -> Sequencing:
    """Alice's slot 0 holds a registered order that is half filled, slot 1 a filled one; nobody else has traded much."""
    market = Sequencing(seed)
    market.take(market.order("alice", 10, PRICE))
    market.take(market.order("alice", 5, PRICE + 1000, slot=1))
    market.take(market.order("bob", -10, PRICE))
    assert Ledger(market.engine.leaves).require_order(Slot(market.world.person("alice").account, 0)).remaining == 5
    return market


def disturb_state(rng: random.Random, market: Sequencing, leaves: dict[LeafKey, bytes], account: int) -> None:
    """Change one thing that a check looks at, or nothing."""
    state = decode_globals(leaves[GLOBALS_KEY])
    holder = decode_account(leaves[account_key(account)])
    assert state is not None
    assert holder is not None
    changes: list[Callable[[], Globals]] = [
        lambda: replace(state, cancel_only_until=state.time + rng.randrange(-1, 2)),
        lambda: replace(state, generation=rng.randrange(1, 4)),
        lambda: replace(state, next_position=state.next_position + rng.randrange(-1, 2)),
        lambda: replace(state, underlying_count=rng.randrange(2)),
    ]
    roll = rng.randrange(8)
    if roll < len(changes):
        leaves[GLOBALS_KEY] = changes[roll]().encode()
    elif roll == 4:
        leaves[account_key(account)] = replace(holder, epoch=rng.randrange(2)).encode()
    elif roll == 5:
        (key, *others) = holder.keys
        changed = SessionKey(key.public_key, rng.randrange(8), state.time + rng.randrange(-1, 2))
        leaves[account_key(account)] = replace(holder, keys=(changed, *others)).encode()


def disturb_order(rng: random.Random, op: OrderOp, state: Globals) -> OrderOp:
    """Change one thing that a check looks at, or nothing; the signature no longer fits then."""
    terms = op.terms
    changes: list[Callable[[], OrderTerms]] = [
        lambda: replace(terms, generation=terms.generation + rng.randrange(-1, 2)),
        lambda: replace(terms, valid_until=state.time + rng.randrange(-1, 2)),
        lambda: replace(terms, counter=rng.randrange(1, 4)),
        lambda: replace(terms, account=rng.randrange(1, 6)),
        lambda: replace(terms, slot=rng.randrange(3)),
        lambda: replace(terms, epoch=rng.randrange(2)),
    ]
    roll = rng.randrange(9)
    if roll < len(changes):
        return replace(op, terms=changes[roll]())
    return replace(op, key_index=rng.randrange(2)) if roll == len(changes) else op


def build_context(rng: random.Random, market: Sequencing, position: int) -> StepContext:
    """An open batch, rarely of a rescuer or with an end of the log; signatures verify, or only where they do."""
    header = draft_header(
        index=1,
        parent=bytes(32),
        generation=2,
        pre_root=bytes(32),
        time_from=0,
        position_from=0,
        flags=int(rng.random() < 0.05),
    )
    if rng.random() < 0.1:
        header = replace(header, position_to=position + rng.randrange(2))
    # Half the time the signature is not what decides: else every disturbed op would fail that check alone.
    is_signed = rng.random() < 0.5
    return StepContext(header, 1, market.world.domain, verify=is_ed25519_valid if is_signed else lambda *_: True)


def test_orders_are_judged_alike(seed: int) -> None:
    """Whatever is wrong with an order or with the state before it."""
    market, rng, verdicts = build_market(seed), random.Random(seed), {True: 0, False: 0}
    for _ in range(ROUNDS):
        request = decode_request(market.order("alice", 3, PRICE, slot=rng.randrange(3)))
        assert request is not None
        assert isinstance(request.op, OrderOp)
        leaves = dict(market.engine.leaves)
        disturb_state(rng, market, leaves, request.op.account)
        op = disturb_order(rng, request.op, market.engine.globals)
        position = market.engine.next_position
        context = build_context(rng, market, position)
        digest = hash_digest(market.world.domain, op)

        found = is_order_good(leaves, context, position, op, digest)

        placed = replace(op, position=position, accepted=rng.randrange(position + 1))
        assert found == (find_failed_check(Ledger(leaves), context, placed) is None), (op, context)
        verdicts[found] += 1
    assert min(verdicts.values()) > ROUNDS // 10, verdicts


@pytest.mark.parametrize("slot", [0, 1, 2])
def test_cancels_are_judged_alike(slot: int, seed: int) -> None:
    """Whether the slot holds an order that lives, one that is spent, or none."""
    market, rng, verdicts = build_market(seed), random.Random(seed), {True: 0, False: 0}
    for _ in range(ROUNDS):
        request = decode_request(market.cancel("alice", slot, counter=rng.randrange(1, 4)))
        assert request is not None
        assert isinstance(request.op, Cancel)
        leaves = dict(market.engine.leaves)
        disturb_state(rng, market, leaves, request.op.account)
        op = rng.choice((request.op, replace(request.op, generation=3), replace(request.op, account=99)))
        position = market.engine.next_position
        context = build_context(rng, market, position)
        digest = hash_digest(market.world.domain, op)

        found = is_cancel_good(leaves, context, position, op, digest)

        placed = replace(op, position=position)
        assert found == (find_failed_check(Ledger(leaves), context, placed) is None), (op, context)
        verdicts[found] += 1
    assert min(verdicts.values()) > ROUNDS // 20, verdicts


def disturb_transfer(rng: random.Random, op: Transfer, cash: int) -> Transfer:
    """Change one thing that a check looks at, or nothing."""
    changes: list[Callable[[], Transfer]] = [
        lambda: replace(op, position=op.position + rng.randrange(-1, 2)),
        lambda: replace(op, account=99),
        lambda: replace(op, to=rng.choice((op.account, 99))),
        lambda: replace(op, sequence=rng.randrange(3)),
        lambda: replace(op, amount=cash + rng.randrange(-1, 2)),
        lambda: replace(op, key_index=rng.randrange(2)),
        lambda: replace(op, asset=1),
    ]
    roll = rng.randrange(2 * len(changes))
    return changes[roll]() if roll < len(changes) else op


def test_transfers_of_cash_are_judged_alike(seed: int) -> None:
    """Carol holds nothing but cash; of Alice, who has positions, and of other assets the quick look knows nothing."""
    market, rng, verdicts = build_market(seed), random.Random(seed), {True: 0, False: 0}
    for _ in range(ROUNDS):
        name = rng.choice(("carol", "carol", "alice"))
        signed = market.world.sign_transfer(name, "bob", 5, position=market.engine.next_position, sequence=2)
        leaves = dict(market.engine.leaves)
        disturb_state(rng, market, leaves, signed.account)
        target = decode_account(leaves[account_key(signed.to)])
        assert target is not None
        if rng.random() < 0.1:
            leaves[account_key(signed.to)] = replace(target, cash=CASH_MAX - rng.randrange(4, 7)).encode()
        holder = decode_account(leaves[account_key(signed.account)])
        assert holder is not None
        op = disturb_transfer(rng, signed, holder.cash)
        context = build_context(rng, market, market.engine.next_position)

        found = is_transfer_good(leaves, context, op)

        is_good = find_failed_check(Ledger(leaves), context, op) is None
        assert found == (is_good and name == "carol" and op.asset == 0), (op, context)
        verdicts[found] += 1
    assert min(verdicts.values()) > ROUNDS // 10, verdicts
