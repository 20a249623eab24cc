"""Random histories of all kinds of ops, with what must hold after every step."""

import random
from collections import Counter
from collections.abc import Mapping

import pytest

from state.codes import Kind
from state.constants import CASH_MAX, CUSTODY_MAX
from state.context import MessageUnknown
from state.ledger import Ledger
from state.operations import L1, Bid, Deleverage, Fill, Interest, Take, Transfer, Withdraw, decode_operation
from state.process_bid import decode_bid
from state.process_inbox import decode_message
from state.transition import Invalid
from state.tree import Collection, LeafKey, build_tree, get_collection
from state.valuation import compute_account_margin, is_within_caps, read_quotes
from tests.conservation import assert_conserved, list_accounts
from tests.workload import mutate, random_steps
from tests.world import Attempt, PlayedStep, World, open_mixed_market

STEPS = 250
HISTORIES = 6
PRICE_OPS = (Kind.TICK, Kind.ORACLE, Kind.SURFACE, Kind.INDEX, Kind.RELAY)
"""What moves prices and funding under everybody; all else leaves every price as it is."""

histories = pytest.mark.parametrize("history", range(HISTORIES))


def compute_margin(leaves: Mapping[LeafKey, bytes], account: int) -> tuple[int, int, int]:
    """Equity and both surpluses, at the prices of that state."""
    ledger = Ledger(leaves)
    held, params = ledger.require_account(account), ledger.get_params()
    margin = compute_account_margin(held, read_quotes(ledger, held, params), ledger.get_globals().time, params)
    return margin.equity, margin.initial, margin.maintenance


def compute_equity(leaves: Mapping[LeafKey, bytes], account: int) -> int:
    """What an account is worth at the prices of that state."""
    return compute_margin(leaves, account)[0]


def compute_excess(leaves: Mapping[LeafKey, bytes], account: int) -> int:
    """Equity above the initial margin, at the prices of that state; who owes nothing needs no margin."""
    held = Ledger(leaves).require_account(account)
    return 0 if not held.positions and held.cash >= 0 else compute_margin(leaves, account)[1]


@histories
def test_money_and_positions_are_conserved(history: int, seed: int) -> None:
    """After every step accounts and books add up to custody, positions to nothing, longs to open interest."""
    world = open_mixed_market(seed)
    assert_conserved(world.state.leaves)
    kinds = Counter[int]()
    for op in random_steps(world, STEPS):
        assert_conserved(world.state.leaves)
        kinds[op[0]] += 1
    assert kinds[Kind.FILL] > 0


@histories
def test_no_own_act_goes_below_margin(history: int, seed: int) -> None:
    """Who is above his initial margin is above it after every op that moves no price, his own or another's; but for who
    is closed with, and pays his share of a loss, and for interest."""
    world = open_mixed_market(seed)
    for op in random_steps(world, STEPS):
        if op[0] in (*PRICE_OPS, Kind.DELEVERAGE, Kind.INTEREST):
            continue
        before = world.steps[-1].leaves
        for account in list_accounts(before):
            if compute_excess(before, account) >= 0:
                assert compute_excess(world.state.leaves, account) >= 0


def list_concerned(step: PlayedStep) -> list[int]:
    """Whose equity an op may lower: who signed it, who is auctioned or closed with, and who pays interest."""
    match decode_operation(step.op):
        case Fill(buyer=buyer, seller=seller):
            return [buyer, seller]
        case Transfer(account=account) | Withdraw(account=account) | Interest(account=account):
            return [account]
        case Take(account=account, target=target):
            return [account, target]
        case Deleverage(bankrupt=bankrupt, counterparty=counterparty):
            return [bankrupt, counterparty]
        case Bid(index=index):
            message = decode_message(step.context.get_message(index))
            return [message.account, decode_bid(message.payload)[1]] if len(message.payload) == 32 else []
        case L1():
            return [step.result.receipt.account]
        case _:
            return []


@histories
def test_nobody_pays_for_what_he_has_not_signed(history: int, seed: int) -> None:
    """No op that moves no price lowers the equity of anybody but of those whom it is about."""
    world = open_mixed_market(seed)
    for op in random_steps(world, STEPS):
        if op[0] in PRICE_OPS or op[0] in (Kind.OPEN, Kind.CLOSE):
            continue
        step = world.steps[-1]
        concerned = list_concerned(step)
        for account in list_accounts(step.leaves):
            if account not in concerned:
                before, after = (compute_equity(leaves, account) for leaves in (step.leaves, world.state.leaves))
                assert after >= before


@histories
def test_a_settlement_pays_what_was_counted(history: int, seed: int) -> None:
    """Margin counts a settled position as cash: settling it changes neither equity nor margin."""
    world = open_mixed_market(seed)
    for op in random_steps(world, STEPS):
        if op[0] == Kind.SETTLE:
            before = world.steps[-1].leaves
            for account in list_accounts(before):
                assert compute_margin(world.state.leaves, account) == compute_margin(before, account)


@histories
def test_an_invalid_op_changes_nothing(history: int, seed: int) -> None:
    """Ops beside each valid one are judged in the state before it; whatever the verdict, that state stays."""
    world, chance = open_mixed_market(seed), random.Random(seed)
    refused = 0
    for _ in random_steps(world, STEPS):
        played = world.steps[-1]
        before = dict(played.leaves)
        attempt = Attempt(played.leaves, played.context, mutate(played.op, chance))
        try:
            refused += isinstance(attempt.judge(), Invalid)
        except MessageUnknown:
            continue
        assert played.leaves == before
    assert refused > STEPS // 2


@histories
def test_the_root_is_that_of_the_leaves(history: int, seed: int) -> None:
    """Moved step by step, the tree is the one built from the leaves; a step's pre-root is the last one's post-root."""
    world = open_mixed_market(seed)
    for _ in random_steps(world, STEPS):
        continue
    assert build_tree(world.state.leaves.items()).root == world.root
    for step, following in zip(world.steps, world.steps[1:], strict=False):
        assert following.pre_root == step.post_root
    for step in world.steps[-10:]:
        assert build_tree(step.leaves.items()).root == step.pre_root


@histories
def test_numbers_only_rise_that_may_only_rise(history: int, seed: int) -> None:
    """Time, batch, generation, cursors, counters, sequences and counts never fall; accounts never disappear."""
    world = open_mixed_market(seed)
    before = dict(world.state.leaves)
    for _ in random_steps(world, STEPS):
        old, new = Ledger(before).get_globals(), world.globals
        for name in ("time", "batch", "generation", "inbox_cursor", "outbox_count", "account_count"):
            assert getattr(new, name) >= getattr(old, name)
        assert (new.generation, new.next_position) >= (old.generation, old.next_position)
        assert before.keys() <= world.state.leaves.keys()
        accounts, ledger = list_accounts(before), Ledger(world.state.leaves)
        for index, account in accounts.items():
            assert ledger.require_account(index).sequence >= account.sequence
            assert ledger.require_account(index).owner == account.owner
        for key, data in before.items():
            if get_collection(key) == Collection.ORDERS:
                assert world.state.leaves[key][:8] >= data[:8]  # the counter stands first
            if get_collection(key) in (Collection.OUTBOX, Collection.PARAMS):
                assert world.state.leaves[key] == data
        before = dict(world.state.leaves)


@histories
def test_numbers_stay_within_their_bounds(history: int, seed: int) -> None:
    """Every account is within the caps that a proof about it relies on, whoever has sent it what."""
    world = open_mixed_market(seed)
    for _ in random_steps(world, STEPS):
        for account in list_accounts(world.state.leaves).values():
            assert is_within_caps(account)
            assert abs(account.cash) <= CASH_MAX
            assert all(0 < amount <= CUSTODY_MAX for _, amount in account.collateral)
        assert Ledger(world.state.leaves).require_asset(0).custody >= 0


def test_a_history_is_replayed_by_its_seed(seed: int) -> None:
    """The same seed plays the same ops to the same root; another seed others."""
    worlds: list[World] = [open_mixed_market(number) for number in (seed, seed, seed + 1)]
    ops = [list(random_steps(world, 60)) for world in worlds]
    assert ops[0] == ops[1] != ops[2]
    assert worlds[0].root == worlds[1].root != worlds[2].root


def test_histories_hold_ops_of_every_kind(seed: int) -> None:
    """Over a few histories every kind is played, and most reasons for which a message has no effect."""
    kinds, codes = Counter[int](), Counter[int]()
    for number in range(6):
        world = open_mixed_market(seed + number)
        kinds.update(op[0] for op in random_steps(world, STEPS))
        codes.update(step.result.receipt.message_code for step in world.steps)
    assert kinds.keys() == {*Kind}
    assert len(codes) >= 8
